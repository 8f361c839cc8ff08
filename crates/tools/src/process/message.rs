//! The messages: one JSON object a line.
//!
//! ```text
//! {"id": 0, "describe": {}}            {"id": 0, "result": {"arguments": …, "results": …}}
//! {"id": 1, "call": {"text": "a b"}}   {"id": 1, "result": 2}   or   {"id": 1, "error": "the text is empty"}
//! ```
//!
//! An answer names what it answers: a program that says one line too many would otherwise give each call the answer to
//! the one before, and nobody would see it.

use flowrun_core::error::StepError;
use flowrun_core::signature::Port;
use flowrun_core::tool::{TOOL_OUTPUT, ports_of};
use flowrun_core::types::Type;
use flowrun_core::value::{Object, Value};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::{Pool, Program};

/// What a program is asked.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// What it takes and gives.
    Describe,
    /// What it gives for these arguments.
    With(&'a Object),
}

/// What a program answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The value.
    pub result: Value,
    /// The branch, of a program that is a step.
    pub branch: Option<String>,
}

#[derive(Serialize)]
struct CallLine<'a> {
    id: u64,
    call: &'a Object,
}

impl Call<'_> {
    /// The line that asks it.
    pub(super) fn line(self, id: u64) -> Result<Vec<u8>, StepError> {
        let mut line = match self {
            Self::Describe => json!({ "id": id, "describe": {} }).to_string().into_bytes(),
            Self::With(call) => serde_json::to_vec(&CallLine { id, call })
                .map_err(|e| StepError::new("tool.arguments", format!("the arguments cannot be sent: {e}")))?,
        };
        line.push(b'\n');
        Ok(line)
    }
}

impl Reply {
    /// Reads the line that answers call `id`: what it answers, or why it is no answer.
    pub(super) fn read(line: &[u8], id: u64) -> Result<Result<Self, StepError>, String> {
        let Value::Object(message) = serde_json::from_slice(line).map_err(|e| e.to_string())? else {
            return Err("it is no object".to_owned());
        };
        let known = ["result", "error", "branch", "id"];
        if let Some(unknown) = message.iter().map(|(key, _)| &**key).find(|key| !known.contains(key)) {
            return Err(format!("it has an unknown key `{}`", unknown.escape_debug()));
        }
        match message.get("id") {
            None => return Err("it has no `id`, that of the call".to_owned()),
            Some(echoed) if echoed.as_i64() != i64::try_from(id).ok() => {
                return Err("its `id` is that of another call".to_owned());
            }
            Some(_) => {}
        }
        let branch = match message.get("branch") {
            None | Some(Value::Null) => None,
            Some(Value::String(branch)) => Some(branch.to_string()),
            Some(_) => return Err("`branch` is no text".to_owned()),
        };
        match (message.get("result"), message.get("error")) {
            (Some(result), None) => Ok(Ok(Self { result: result.clone(), branch })),
            (None, Some(error)) => Ok(Err(failure(error)?)),
            _ => Err("it has neither `result` nor `error`, or both".to_owned()),
        }
    }
}

/// An error that a program answered: a text, or `{"type": …, "message": …}`.
fn failure(error: &Value) -> Result<StepError, String> {
    let failed = |message: &str| StepError::new("tool.failed", message);
    match error {
        Value::String(message) => Ok(failed(message)),
        Value::Object(object) => {
            let text = |key: &str| object.get(key).and_then(Value::as_str);
            let message = text("message").ok_or("`error` has no `message`")?;
            Ok(match text("type") {
                Some(class) => failed(message).detail("type", class),
                None => failed(message),
            })
        }
        _ => Err("`error` is neither a text nor an object".to_owned()),
    }
}

/// What a program says about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Description {
    /// What it does.
    pub description: Option<String>,
    /// What it takes.
    pub arguments: Vec<Port>,
    /// What it gives.
    pub results: Vec<Port>,
    /// Whether what it gives is an object with the results, and not the only one itself.
    pub several: bool,
    /// The branches that it can take, of a program that is a step.
    pub branches: Vec<String>,
    /// Whether it may be called twice without harm, where it says so.
    pub idempotent: Option<bool>,
}

impl Description {
    /// What a tool gives for an answer of the program: the only result itself, also where the program puts it into an
    /// object.
    pub fn value(&self, answer: Value) -> Value {
        match (self.results.as_slice(), &answer) {
            ([only], Value::Object(object)) if self.several => object.get(&only.name).cloned().unwrap_or_default(),
            _ => answer,
        }
    }
}

/// Asks a program what it takes and gives, by starting it.
///
/// # Errors
/// Why it cannot say so.
pub fn describe(program: &Program) -> Result<Description, StepError> {
    let said = std::thread::scope(|scope| {
        // A flow is compiled inside of other programs' runtimes, too, which must not be blocked on.
        let asked = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|e| StepError::new("tool.start", e.to_string()))?;
            let program = Program { workers: 1, ..program.clone() };
            runtime.block_on(async { Pool::new(program).call(Call::Describe).await })
        });
        asked.join().unwrap_or_else(|_| Err(StepError::new("tool.start", "it could not be asked")))
    })?;
    let json = said.result.to_json().map_err(|e| StepError::new("tool.protocol", e.to_string()))?;
    read_description(&json).map_err(|why| {
        StepError::new("tool.protocol", format!("`{}` describes itself wrongly: {why}", program.name()))
    })
}

fn read_description(said: &Json) -> Result<Description, String> {
    let said = said.as_object().ok_or("it is no object")?;
    let known = ["description", "arguments", "results", "branches", "idempotent"];
    if let Some(unknown) = said.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("it has an unknown key `{}`", unknown.escape_debug()));
    }
    let nothing = json!({ "type": "object" });
    let arguments =
        ports_of(said.get("arguments").unwrap_or(&nothing)).map_err(|why| format!("`arguments`: {why}"))?;
    let results = match said.get("results") {
        None => vec![Port::new(TOOL_OUTPUT, Type::string())],
        Some(schema) if schema.get("properties").is_some() => {
            // What a program may leave out of what it gives is null, and no default of a port.
            let ports = ports_of(schema).map_err(|why| format!("`results`: {why}"))?;
            ports.into_iter().map(|port| Port { default: None, ..port }).collect()
        }
        Some(schema) => vec![Port::new(TOOL_OUTPUT, Type::from_json_schema(schema))],
    };
    let text = |value: &Json| value.as_str().map(str::to_owned);
    let branches = match said.get("branches") {
        None => Vec::new(),
        Some(listed) => {
            let texts = listed.as_array().and_then(|all| all.iter().map(text).collect::<Option<Vec<_>>>());
            texts.filter(|all| !all.is_empty()).ok_or("`branches` is no list of names")?
        }
    };
    Ok(Description {
        description: said.get("description").and_then(text),
        arguments,
        results,
        several: said.get("results").is_some_and(|schema| schema.get("properties").is_some()),
        branches,
        idempotent: said.get("idempotent").and_then(Json::as_bool),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_result_or_an_error() {
        let read = |line: &str| Reply::read(line.as_bytes(), 7);
        let result = |value: Value| Some(Reply { result: value, branch: None });
        assert_eq!(read(r#"{"id": 7, "result": 2}"#).unwrap().ok(), result(Value::Int(2)));
        assert_eq!(read(r#"{"id": 7, "result": null}"#).unwrap().ok(), result(Value::Null));
        assert_eq!(
            read(r#"{"id": 7, "result": {}, "branch": "no"}"#).unwrap().unwrap().branch.as_deref(),
            Some("no")
        );
        let failed =
            read(r#"{"id": 7, "error": {"type": "ValueError", "message": "empty"}}"#).unwrap().unwrap_err();
        assert_eq!((failed.code.as_ref(), failed.message.as_str()), ("tool.failed", "empty"));
        assert_eq!(failed.details, [("type".into(), "ValueError".to_owned())]);
        assert_eq!(read(r#"{"id": 7, "error": "empty"}"#).unwrap().unwrap_err().message, "empty");
        for wrong in [
            "",
            "hello",
            "3",
            "{}",
            r#"{"id": 7}"#,
            r#"{"result": 1}"#,
            r#"{"id": 7, "result": 1, "error": "x"}"#,
            r#"{"result": 1, "id": 8}"#,
            r#"{"result": 1, "id": "7"}"#,
            r#"{"id": 7, "result": 1, "log": "x"}"#,
            r#"{"id": 7, "error": 3}"#,
            r#"{"id": 7, "error": {"type": "x"}}"#,
            r#"{"id": 7, "result": 1, "branch": 2}"#,
            "\u{0}",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(Reply::read(&[0xff, 0xfe], 7).is_err());
        assert!(Reply::read("[".repeat(100_000).as_bytes(), 7).is_err());
    }

    #[test]
    fn a_description_is_read_or_refused() {
        let said = json!({
            "description": "Counts.",
            "arguments": { "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] },
            "results": { "type": "integer" },
            "branches": ["few", "many"],
        });
        let read = read_description(&said).unwrap();
        assert_eq!(read.arguments, [Port::new("text", Type::string())]);
        assert_eq!(read.results, [Port::new(TOOL_OUTPUT, Type::integer())]);
        assert_eq!(read.branches, ["few", "many"]);
        assert_eq!(read_description(&json!({})).unwrap().results, [Port::new(TOOL_OUTPUT, Type::string())]);
        for wrong in [
            json!(3),
            json!({ "inputs": {} }),
            json!({ "arguments": 3 }),
            json!({ "results": { "properties": 3 } }),
            json!({ "branches": [] }),
            json!({ "branches": [1] }),
        ] {
            assert!(read_description(&wrong).is_err(), "{wrong}");
        }
    }
}
