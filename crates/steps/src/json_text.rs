//! JSON in texts that models write.

use flowrun_core::value::Value;

/// The JSON of a reply: the first fenced block that parses, the whole text, or the value that begins at its first
/// brace or bracket.
pub(crate) fn json_in(text: &str) -> Option<Value> {
    all_json(text).next()
}

/// All places where [`json_in`] looks that hold JSON, in its order.
pub(crate) fn all_json(text: &str) -> impl Iterator<Item = Value> {
    let fenced = text.split("```").skip(1).step_by(2);
    let fenced = fenced.map(|block| block.trim_start().trim_start_matches("json"));
    let whole = fenced.chain([text]).filter_map(|part| serde_json::from_str::<Value>(part.trim()).ok());
    whole.chain(std::iter::once_with(move || first_value(text)).flatten())
}

fn first_value(text: &str) -> Option<Value> {
    let start = text.find(['{', '['])?;
    serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>().next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn json_is_found_in_prose_and_fences() {
        let expected = value(r#"{"a": 1}"#);
        for text in [r#"{"a": 1}"#, "Sure:\n```json\n{\"a\": 1}\n```\nbye", "Here {\"a\": 1} it is"] {
            assert_eq!(json_in(text), Some(expected.clone()), "{text}");
        }
        assert_eq!(json_in("nothing"), None);
    }

    #[test]
    fn all_places_come_in_order() {
        let text = "{\"a\": 1}\n```json\n{\"b\": 2}\n```\nor\n```\n[3]\n```";
        let found: Vec<Value> = all_json(text).collect();
        assert_eq!(found, [value(r#"{"b": 2}"#), value("[3]"), value(r#"{"a": 1}"#)]);
    }
}
