//! What a server answers, as the value of a tool.

use flowrun_core::cast::castable;
use flowrun_core::error::StepError;
use flowrun_core::signature::Port;
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use rmcp::model::{CallToolResult, ContentBlock};

/// The name under which servers give a result that is no object.
pub(super) const WRAPPED: &str = "result";

/// The value of a tool with these results.
pub(super) fn value(answer: CallToolResult, results: &[Port]) -> Result<Value, StepError> {
    let texts: Vec<&str> = answer.content.iter().filter_map(text).collect();
    if answer.is_error == Some(true) {
        let said = texts.join("\n");
        return Err(StepError::new(
            "tool.failed",
            if said.is_empty() { "it gives no reason".to_owned() } else { said },
        ));
    }
    if let Some(structured) = answer.structured_content {
        let structured = Value::try_from(structured).map_err(|e| StepError::new("tool.result", e.to_string()))?;
        return Ok(named(structured, results));
    }
    if texts.is_empty() && !answer.content.is_empty() {
        return Err(StepError::new("tool.result", "the server gave pictures or the like, and no text"));
    }
    let said = texts.join("\n");
    match results {
        [] => Ok(Value::Null),
        [only] if castable(&Type::string(), &only.value_type) => Ok(Value::from(said)),
        _ => {
            let read: Value = serde_json::from_str(&said).map_err(|e| {
                let message = format!("the server gave a text, which is not the JSON that `results` wants: {e}");
                StepError::new("tool.result", message)
                    .help("list one result that is a `string`, and read it in the flow")
            })?;
            Ok(named(read, results))
        }
    }
}

/// The only result, where it stands in an object under its own name or under the usual one.
fn named(value: Value, results: &[Port]) -> Value {
    let ([only], Value::Object(object)) = (results, &value) else { return value };
    let wrapped = || object.get(WRAPPED).filter(|_| object.len() == 1);
    object.get(&only.name).or_else(wrapped).cloned().unwrap_or(value)
}

fn text(content: &ContentBlock) -> Option<&str> {
    match content {
        ContentBlock::Text(text) => Some(&text.text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(answer: serde_json::Value, results: &[Port]) -> Result<Value, String> {
        value(serde_json::from_value(answer).unwrap(), results).map_err(|e| format!("{}: {}", e.code, e.message))
    }

    fn said(text: &str) -> serde_json::Value {
        json!({ "content": [{ "type": "text", "text": text }] })
    }

    #[test]
    fn a_structured_result_goes_by_names_and_a_text_by_its_type() {
        let (text, number) = ([Port::new("t", Type::string())], [Port::new("n", Type::integer())]);
        let both = [text[0].clone(), number[0].clone()];
        assert_eq!(of(said("3"), &text), Ok("3".into()));
        assert_eq!(of(said("3"), &number), Ok(Value::Int(3)));
        assert_eq!(of(said(r#"{"n": 3}"#), &number), Ok(Value::Int(3)));
        assert!(of(said("three"), &number).unwrap_err().starts_with("tool.result"));
        let structured = |value: serde_json::Value| json!({ "content": [], "structuredContent": value });
        assert_eq!(of(structured(json!({ "n": 3, "x": 1 })), &number), Ok(Value::Int(3)));
        assert_eq!(of(structured(json!({ "result": 3 })), &number), Ok(Value::Int(3)));
        assert!(of(structured(json!({ "t": "a", "n": 3 })), &both).unwrap().as_object().is_some());
    }

    #[test]
    fn errors_and_pictures_are_no_values() {
        let text = [Port::new("t", Type::string())];
        let failed = json!({ "content": [{ "type": "text", "text": "no" }], "isError": true });
        assert_eq!(of(failed, &text), Err("tool.failed: no".to_owned()));
        let picture = json!({ "content": [{ "type": "image", "data": "AAAA", "mimeType": "image/png" }] });
        assert!(of(picture, &text).unwrap_err().starts_with("tool.result"));
    }
}
