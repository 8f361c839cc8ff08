//! A value of a JSON schema, for requests that ask for one.

use serde_json::{Map, Value, json};

/// Most nested schemas that are followed; what lies deeper is null.
const DEEPEST: usize = 16;

/// A value that fits the schema, and follows from it and from `hash` alone. Words that it does not know are ignored.
pub(crate) fn instance(schema: &Value, hash: u64) -> Value {
    below(schema, hash, 0)
}

fn below(schema: &Value, hash: u64, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    let pick = |values: &[Value]| values.get(usize::try_from(hash % values.len().max(1) as u64).ok()?).cloned();
    if let Some(value) = schema.get("enum").and_then(Value::as_array).and_then(|values| pick(values)) {
        return value;
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(first) = schema.get("anyOf").and_then(|options| options.get(0)) {
        return below(first, hash, depth + 1);
    }
    let least = schema.get("minimum").and_then(Value::as_i64).unwrap_or(1);
    let most = schema.get("maximum").and_then(Value::as_i64).unwrap_or(least.saturating_add(8));
    let within = || {
        let span = u64::try_from(most.saturating_sub(least)).unwrap_or(0);
        least.saturating_add(i64::try_from(hash % (span.saturating_add(1)).max(1)).unwrap_or(0))
    };
    match schema.get("type").and_then(Value::as_str) {
        Some("boolean") => json!(hash.is_multiple_of(2)),
        Some("integer" | "number") => json!(within()),
        Some("string") => match schema.get("format").and_then(Value::as_str) {
            Some("date") => json!(format!("2026-01-{:02}", 1 + hash % 28)),
            Some("date-time") => json!(format!("2026-01-{:02}T12:00:00Z", 1 + hash % 28)),
            _ => json!(["amber", "basalt", "cedar", "dune"][usize::try_from(hash % 4).unwrap_or(0)]),
        },
        Some("array") => {
            let item = schema.get("items").unwrap_or(&Value::Null);
            json!([below(item, hash, depth + 1), below(item, hash.rotate_right(8), depth + 1)])
        }
        Some("object") => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let filled = properties.into_iter().flatten().zip(1..);
            let filled =
                filled.map(|((name, schema), n)| (name.clone(), below(schema, hash.rotate_right(n), depth + 1)));
            Value::Object(filled.collect::<Map<_, _>>())
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_fits_its_schema_and_depends_on_nothing_else() {
        let schema = json!({ "type": "object", "properties": {
            "n": { "type": "integer", "minimum": 3, "maximum": 4 }, "word": { "enum": ["a", "b"] },
            "tags": { "type": "array", "items": { "type": "string" } }, "day": { "type": "string", "format": "date" },
            "none": { "anyOf": [{ "type": "null" }, { "type": "string" }] },
        } });
        for hash in 0..50 {
            let value = instance(&schema, hash);
            assert!([3, 4].contains(&value["n"].as_i64().unwrap()), "{value}");
            assert!(["a", "b"].contains(&value["word"].as_str().unwrap()), "{value}");
            assert!(value["tags"][1].is_string() && value["day"].as_str().unwrap().starts_with("2026-01-"));
            assert!(value["none"].is_null());
            assert_eq!(value, instance(&schema, hash));
        }
        assert_eq!(instance(&json!({}), 1), Value::Null);
    }
}
