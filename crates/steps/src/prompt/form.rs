//! The form of a structured reply: what the model is told of it, and the values that its answer gives.

use std::sync::Arc;

use flowrun_core::ports::Ports;
use flowrun_core::signature::Port;
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::Value;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

use super::shape::{Fit, Shape, closed, is_strict};
use crate::json_text::all_json;

/// What the schema and the tool are called on the wire.
pub(super) const NAME: &str = "answer";
/// The output of `output_schema`, and the field that a value that is no object is sent in.
pub(super) const OUTPUT: &str = "output";

const OPEN: &str = "<final_answer>";
const CLOSE: &str = "</final_answer>";

/// How the model is made to answer in a form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// The prompt ends with the schema and asks for JSON between tags. Every model can do it.
    #[default]
    Tags,
    /// The server holds the model to the schema (`response_format`).
    JsonSchema,
    /// The model has to call a tool whose arguments are the answer.
    Tool,
}

/// The form of a reply.
#[derive(Debug)]
pub(crate) struct Form {
    /// An object, which is what servers want at the top.
    root: Shape,
    /// The fields that are ports; none where the whole answer is one.
    fields: Option<IndexMap<String, Shape>>,
    /// The type of the whole answer, where that is one port.
    whole: Type,
}

impl Form {
    /// One port for each field.
    pub(crate) fn of_fields(fields: &IndexMap<String, Shape>) -> Self {
        let root = closed(fields);
        Self { whole: root.value_type.clone(), root, fields: Some(fields.clone()) }
    }

    /// One port for the whole answer. What is no object is sent as the field of one.
    pub(super) fn of_whole(shape: &Shape) -> Self {
        let is_object = matches!(shape.value_type.kind, Kind::Object(_));
        let whole = shape.value_type.clone();
        let root = if is_object {
            shape.clone()
        } else {
            let bare = Shape { default: None, ..shape.clone() };
            closed(&IndexMap::from([(OUTPUT.to_owned(), bare)]))
        };
        Self { root, fields: None, whole }
    }

    /// The ports that it gives.
    pub(crate) fn outputs(&self) -> Vec<Port> {
        match &self.fields {
            Some(fields) => fields
                .iter()
                .map(|(name, shape)| {
                    let doc = shape.schema.get("description").and_then(Json::as_str).map(str::to_owned);
                    Port { doc, ..Port::new(name, shape.value_type.clone()) }
                })
                .collect(),
            None => vec![Port::new(OUTPUT, self.whole.clone())],
        }
    }

    /// The JSON schema, as the model is shown it.
    pub(crate) fn schema(&self) -> &Json {
        &self.root.schema
    }

    /// Whether a server can guarantee it: nothing in it is open, and every field has to be there.
    pub(super) fn is_strict(&self) -> bool {
        let all_there = self.fields.iter().flatten().all(|(_, shape)| shape.default.is_none());
        all_there && is_strict(&self.root.value_type)
    }

    /// What the prompt ends with, for a model that nothing else tells of the form.
    pub(super) fn instruction(&self) -> String {
        format!(
            "\n\nEnd your answer with one JSON value between {OPEN} and {CLOSE}, and with nothing after it. The JSON must be valid against this schema:\n{}",
            self.schema()
        )
    }

    /// What the model is told of an answer that does not fit.
    pub(crate) fn complaint(problems: &[String], mode: Mode) -> String {
        let how = match mode {
            Mode::Tags => format!(", with the JSON between {OPEN} and {CLOSE}"),
            Mode::JsonSchema => " as JSON".to_owned(),
            Mode::Tool => format!(": call `{NAME}` again"),
        };
        format!(
            "Your answer does not have the form that was asked for:\n- {}\nGive the whole answer again, corrected{how}.",
            problems.join("\n- ")
        )
    }

    /// The outputs that the text of an answer gives, or what is wrong with it.
    pub(crate) fn read(&self, text: &str) -> Result<Ports, Vec<String>> {
        let found = answers(text).map_err(|reason| vec![reason])?;
        let mut first = None;
        for answer in found {
            match self.ports(answer) {
                Ok(ports) => return Ok(ports),
                Err(problems) => first = first.or(Some(problems)),
            }
        }
        Err(first.unwrap_or_else(|| vec!["there is no JSON in the answer".to_owned()]))
    }

    fn ports(&self, answer: Value) -> Result<Ports, Vec<String>> {
        let mut fit = Fit::default();
        let ports = match &self.fields {
            Some(fields) => fields_of(fields, answer, &mut fit).into_iter().collect::<Ports>(),
            None => Ports::one(OUTPUT, fit.value(self.unwrapped(answer), &self.whole, "")),
        };
        if fit.problems.is_empty() { Ok(ports) } else { Err(fit.problems) }
    }

    /// The answer without the object that it was asked to be sent in, which models leave out now and then.
    fn unwrapped(&self, answer: Value) -> Value {
        let is_object = matches!(self.whole.kind, Kind::Object(_));
        match answer.as_object() {
            Some(object) if !is_object && object.len() == 1 => object.get(OUTPUT).cloned().unwrap_or(answer),
            _ => answer,
        }
    }
}

fn fields_of(fields: &IndexMap<String, Shape>, answer: Value, fit: &mut Fit) -> Vec<(Arc<str>, Value)> {
    let Some(object) = answer.as_object() else {
        // A single value that is wanted may come as it is.
        if let Some((name, shape)) = fields.first().filter(|_| fields.len() == 1) {
            return vec![(name.as_str().into(), fit.value(answer, &shape.value_type, name))];
        }
        fit.problem("", format!("the answer is a {}, not an object", answer.type_name()));
        return Vec::new();
    };
    fields
        .iter()
        .map(|(name, shape)| {
            let value = match (object.get(name), &shape.default) {
                (Some(value), _) => fit.value(value.clone(), &shape.value_type, name),
                (None, Some(default)) => default.clone(),
                (None, None) if shape.value_type.admits_null() => Value::Null,
                (None, None) => {
                    fit.problem(name, "is missing");
                    Value::Null
                }
            };
            (name.as_str().into(), value)
        })
        .collect()
}

/// The JSON that may be the answer, most likely first: the whole text; else what stands in the tags; else what stands
/// in fenced blocks or begins at the first brace. JSON that is broken or cut is not repaired.
fn answers(text: &str) -> Result<Vec<Value>, String> {
    let read = |text: &str| serde_json::from_str::<Value>(text.trim());
    let whole = read(text);
    if let Ok(value) = whole {
        return Ok(vec![value]);
    }
    if let Some(inner) = tagged(text) {
        return read(inner).map(|value| vec![value]).or_else(|reason| {
            let found: Vec<_> = all_json(inner).collect();
            if found.is_empty() {
                Err(format!("what stands between the tags is no JSON: {reason}"))
            } else {
                Ok(found)
            }
        });
    }
    let found: Vec<_> = all_json(text).collect();
    match whole {
        Err(reason) if found.is_empty() && text.trim_start().starts_with(['{', '[']) => {
            Err(format!("the answer is no JSON: {reason}"))
        }
        _ if found.is_empty() => Err("there is no JSON in the answer".to_owned()),
        _ => Ok(found),
    }
}

/// The last block between the tags; one that was opened and not closed, where there is no other.
fn tagged(text: &str) -> Option<&str> {
    if let Some(end) = text.rfind(CLOSE)
        && let Some(start) = text[..end].rfind(OPEN)
    {
        return Some(&text[start + OPEN.len()..end]);
    }
    text.rfind(OPEN).map(|start| &text[start + OPEN.len()..])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form(fields: Json) -> Form {
        Form::of_fields(&serde_json::from_value(fields).unwrap())
    }

    fn whole(declared: Json) -> Form {
        Form::of_whole(&serde_json::from_value(declared).unwrap())
    }

    fn read(form: &Form, text: &str) -> Result<Json, Vec<String>> {
        let ports = form.read(text)?;
        Ok(ports
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_json().unwrap()))
            .collect::<serde_json::Map<_, _>>()
            .into())
    }

    #[test]
    fn an_answer_is_found_in_tags_fences_and_prose() {
        let form = form(json!({ "n": "integer", "word": "string" }));
        let expected = json!({ "n": 1, "word": "a ```b```" });
        let json = expected.to_string();
        for text in [
            json.clone(),
            format!("I think.\n<final_answer>{json}</final_answer>\n"),
            format!(
                "<final_answer>{{\"n\": 2, \"word\": \"draft\"}}</final_answer> no: <final_answer>\n{json}\n</final_answer>"
            ),
            format!("so <final_answer>{json}"),
            format!("Sure: {json}."),
            format!("<final_answer>```json\n{}\n```</final_answer>", json.replace("```", "")),
        ] {
            let found = read(&form, &text).unwrap();
            assert_eq!(found["n"], 1, "{text}");
            assert!(found["word"].as_str().unwrap().starts_with("a "), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let form = form(json!({ "n": "integer", "word": "string" }));
        for (text, why) in [
            ("I will not.", "there is no JSON in the answer"),
            ("{\"n\": 1, \"word\": \"a", "the answer is no JSON: EOF"),
            (
                "<final_answer>{\"n\": }</final_answer> {\"n\": 1, \"word\": \"x\"}",
                "between the tags is no JSON: expected value",
            ),
            ("[1]", "the answer is a list, not an object"),
            ("{\"n\": \"1\", \"word\": \"x\"}", "`n`: \"1\" (string) is no integer"),
            ("{\"n\": 99999999999999999999, \"word\": \"x\"}", "`n`: 1e+20 (number) is no integer"),
        ] {
            let problems = read(&form, text).unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains(why), "{text}: {problems:?}");
        }
        assert_eq!(read(&form, "{}").unwrap_err(), ["`n`: is missing", "`word`: is missing"]);
    }

    #[test]
    fn only_a_default_that_is_declared_stands_in() {
        let form = form(json!({ "a": { "type": "integer", "default": 7 }, "b": "string?" }));
        assert_eq!(read(&form, "{}"), Ok(json!({ "a": 7, "b": null })));
        assert_eq!(read(&form, "{\"a\": null}").unwrap_err(), ["`a`: null is no integer"]);
        assert_eq!(form.schema()["required"], json!(["b"]));
        assert!(!form.is_strict());
    }

    #[test]
    fn a_whole_answer_is_one_port() {
        let list = whole(json!(["string"]));
        for text in ["[\"a\"]", "{\"output\": [\"a\"]}", "Here: [\"a\"]"] {
            assert_eq!(read(&list, text), Ok(json!({ "output": ["a"] })), "{text}");
        }
        assert_eq!(list.schema()["required"], json!(["output"]));
        let object = whole(json!({ "properties": { "output": "integer" } }));
        assert_eq!(read(&object, "{\"output\": 1, \"more\": 2}"), Ok(json!({ "output": { "output": 1 } })));
        assert_eq!(read(&whole(json!("integer")), "42"), Ok(json!({ "output": 42 })));
        assert_eq!(read(&form(json!({ "n": "integer" })), "42"), Ok(json!({ "n": 42 })));
    }
}
