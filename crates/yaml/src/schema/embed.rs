//! Putting the schema of a step or a model below the document's definitions.

use serde_json::{Map, Value, json};

use super::shapes;
use crate::decode::Key;
use crate::decode::datastore::COLLECTIONS;
use crate::decode::step::STEP_KEYS;
use crate::decode::tool::TOOL_KEYS;

/// Schemas nest no deeper than people write them; what lies deeper stays as it is.
const DEEPEST: usize = 64;

/// The name under `$defs` of a step type's configuration.
pub(super) fn step_definition(type_name: &str) -> String {
    format!("step.{type_name}")
}

/// The name under `$defs` of the configuration of a kind of tool.
pub(super) fn tool_definition(type_name: &str) -> String {
    format!("tool.{type_name}")
}

/// Keys that stand beside a configuration, and the schema of each.
pub(super) struct Reserved {
    keys: &'static [Key],
    schema: fn(&Key) -> Value,
}

/// Those of a step.
pub(super) const OF_STEP: Reserved = Reserved { keys: STEP_KEYS, schema: shapes::step_key };

/// Those of a tool.
pub(super) const OF_TOOL: Reserved = Reserved { keys: TOOL_KEYS, schema: shapes::tool_key };

/// A reference to a definition of the document.
pub(super) fn reference(definition: &str) -> Value {
    json!({ "$ref": pointer(definition) })
}

/// A schema as it reads at `#/$defs/{definition}`: what it refers to within itself lies there too.
pub(super) fn at(definition: &str, schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Value::Object(map) = &mut schema {
        // The document says which draft it is, and only it has an address.
        map.shift_remove("$schema");
        map.shift_remove("$id");
    }
    move_references(&mut schema, &pointer(definition), 0);
    schema
}

fn pointer(definition: &str) -> String {
    let mut out = "#/$defs/".to_owned();
    for byte in definition.bytes() {
        match byte {
            b'~' => out.push_str("~0"),
            b'/' => out.push_str("~1"),
            b if b.is_ascii_alphanumeric() || b"-._".contains(&b) => out.push(char::from(b)),
            b => {
                use std::fmt::Write;
                // Writing to a string does not fail.
                let _ = write!(out, "%{b:02X}");
            }
        }
    }
    out
}

fn move_references(schema: &mut Value, prefix: &str, depth: usize) {
    if depth > DEEPEST {
        return;
    }
    match schema {
        Value::Object(map) => {
            for (key, below) in map {
                match (key.as_str(), &mut *below) {
                    ("$ref" | "$dynamicRef", Value::String(target)) => {
                        if let Some(path) = target.strip_prefix('#') {
                            *target = format!("{prefix}{path}");
                        }
                    }
                    // Data, not schemas.
                    ("const" | "default" | "enum" | "examples", _) => {}
                    (_, below) => move_references(below, prefix, depth + 1),
                }
            }
        }
        Value::Array(items) => {
            for below in items {
                move_references(below, prefix, depth + 1);
            }
        }
        _ => {}
    }
}

/// A model's configuration with `use` beside it, which is a key of the format and not of the model.
pub(super) fn beside_use(mut schema: Value) -> Value {
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        let doc = "Another model, whose settings hold where this one says nothing.";
        properties.insert("use".to_owned(), json!({ "type": "string", "description": doc }));
    }
    schema
}

/// A datastore's configuration, in each of its forms, with `collections` beside it.
pub(super) fn beside_collections(mut schema: Value) -> Value {
    let forms = match schema.get_mut("oneOf") {
        Some(Value::Array(forms)) => forms.iter_mut().collect(),
        _ => vec![&mut schema],
    };
    for form in forms {
        let Value::Object(form) = form else { continue };
        let properties = form.entry("properties").or_insert_with(|| json!({}));
        if let Value::Object(properties) = properties {
            properties.insert(COLLECTIONS.name.to_owned(), shapes::collections(COLLECTIONS.doc));
        }
        if let Value::Array(required) = form.entry("required").or_insert_with(|| json!([])) {
            required.push(json!(COLLECTIONS.name));
        }
    }
    schema
}

/// A configuration with the reserved keys beside it, so that refusing other keys does not refuse these.
pub(super) fn beside_reserved_keys(schema: Value, doc: &str, reserved: &Reserved) -> Value {
    let mut map = match schema {
        Value::Object(map) => map,
        Value::Bool(false) => Map::from_iter([("not".to_owned(), json!({}))]),
        _ => Map::new(),
    };
    map.insert("description".to_owned(), json!(doc));
    let mut schema = Value::Object(map);
    admit_reserved_keys(&mut schema, reserved, 0);
    schema
}

fn admit_reserved_keys(schema: &mut Value, reserved: &Reserved, depth: usize) {
    let Value::Object(map) = schema else { return };
    if depth > DEEPEST {
        return;
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        if let Some(Value::Array(members)) = map.get_mut(key) {
            for member in members {
                admit_reserved_keys(member, reserved, depth + 1);
            }
        }
    }
    if !map.contains_key("additionalProperties") && !map.contains_key("properties") {
        return;
    }
    let properties = map.entry("properties").or_insert_with(|| json!({}));
    if let Value::Object(properties) = properties {
        for key in reserved.keys {
            properties.insert(key.name.to_owned(), (reserved.schema)(key));
        }
    }
}
