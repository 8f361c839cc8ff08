//! Conversations: the messages of a run, and the questions that it may have to wait for.
//!
//! A run that waits is a run that ended early: its journal holds all that was done, and an answer is one more outcome in
//! it, under the address of the question. Going on is running the flow again over the fuller journal.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::error::StepError;
use crate::execute::Kept;
use crate::journal::Journal;
use crate::value::{ObjectBuilder, Value};

/// Most bytes of one message.
pub const LARGEST_MESSAGE: usize = 1 << 20;

/// Who says a message, or what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The person.
    User,
    /// The flow, or a model in it.
    Agent,
    /// An instruction for models.
    System,
    /// What a model thinks to itself.
    Thought,
    /// Shown to the person, and no part of what models read.
    DisplayOnly,
    /// A call of a tool.
    ToolRequest,
    /// What a tool gave.
    ToolResult,
}

impl Role {
    /// The word for it, as in a flow file.
    pub fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Agent => "agent",
            Self::System => "system",
            Self::Thought => "thought",
            Self::DisplayOnly => "display_only",
            Self::ToolRequest => "tool_request",
            Self::ToolResult => "tool_result",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        let all = [
            Self::User,
            Self::Agent,
            Self::System,
            Self::Thought,
            Self::DisplayOnly,
            Self::ToolRequest,
            Self::ToolResult,
        ];
        all.into_iter().find(|role| role.word() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: Arc<str>,
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<Arc<str>>) -> Self {
        Self { role, content: content.into() }
    }

    /// `{ role, content }`, as steps hand it on.
    pub fn to_value(&self) -> Value {
        let mut object = ObjectBuilder::default();
        object.set("role", self.role.word()).set("content", Value::String(Arc::clone(&self.content)));
        Value::Object(object.finish())
    }

    fn from_value(value: &Value) -> Option<Self> {
        let object = value.as_object()?;
        let role = Role::parse(object.get("role")?.as_str()?)?;
        Some(Self::new(role, object.get("content")?.as_str()?))
    }
}

/// A message that a run has said, and the place of the step that said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The key of the step's address. A step may say several things in one visit.
    pub at: Arc<str>,
    /// What it said.
    pub message: Message,
}

impl Said {
    /// `{ role, content, at }`, as it is told to the conversation around an item.
    pub(crate) fn to_value(&self) -> Value {
        let mut object = ObjectBuilder::default();
        object.set("role", self.message.role.word());
        object.set("content", Value::String(Arc::clone(&self.message.content)));
        object.set("at", Value::String(Arc::clone(&self.at)));
        Value::Object(object.finish())
    }

    fn from_value(value: &Value) -> Option<Self> {
        // Records of earlier versions do not say who said it.
        let at = value.as_object()?.get("at").and_then(Value::as_str).unwrap_or_default();
        Some(Self { at: at.into(), message: Message::from_value(value)? })
    }
}

/// The messages of a run, in the order of the conversation: items of maps and flows beside each other see those from
/// before and their own; what they say is appended in their order, whichever was quicker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Messages {
    pub(crate) all: Arc<Vec<Message>>,
    /// Where each was said; those from before the run have no place.
    places: Arc<Vec<Arc<str>>>,
}

impl Messages {
    /// Messages from before the run.
    pub(crate) fn before(all: Vec<Message>) -> Self {
        Self { all: Arc::new(all), places: Arc::default() }
    }

    /// What was said in the run.
    pub(crate) fn said(&self) -> impl Iterator<Item = Said> {
        let before = self.all.len() - self.places.len();
        let said = self.places.iter().zip(&self.all[before..]);
        said.map(|(at, message)| Said { at: Arc::clone(at), message: message.clone() })
    }
}

/// The name under which they are kept; no datastore has it.
pub(crate) const MESSAGES: &str = "!messages";

impl Kept for Messages {
    fn apply(&mut self, change: &Value) -> Result<(), StepError> {
        let Said { at, message } = Said::from_value(change)
            .ok_or_else(|| StepError::new("journal.record", "what was said in an item cannot be read"))?;
        Arc::make_mut(&mut self.all).push(message);
        Arc::make_mut(&mut self.places).push(at);
        Ok(())
    }

    fn fork(&self) -> Box<dyn Kept> {
        Box::new(self.clone())
    }
}

/// What a run cannot go on without.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Its place in the run, which an answer names. Opaque.
    pub id: String,
    /// The step that asks, as a person reads it.
    pub at: String,
    /// What is asked.
    #[serde(flatten)]
    pub kind: QuestionKind,
}

/// The kinds of a question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum QuestionKind {
    /// A message of the person, who was told `text` before, if anything. The answer is a text.
    Message {
        /// What the person was told.
        text: Option<String>,
    },
    /// What a tool gives that the caller lends. The answer is `{"result": …}` or `{"error": {"type", "message"}}`.
    Tool {
        /// The tool.
        name: String,
        /// What it is called with.
        arguments: Map<String, Json>,
    },
    /// Whether a tool may be called. The answer is `{"accept": …}`, with `arguments` to take in the place of those asked
    /// for, or a `reason` against it.
    Confirmation {
        /// The tool.
        name: String,
        /// What it is to be called with.
        arguments: Map<String, Json>,
    },
}

impl QuestionKind {
    /// Why `answer` does not answer the question; none where it does.
    pub fn refuses(&self, answer: &Json) -> Option<String> {
        let object = |required: &[&str], allowed: &[&str]| {
            let Some(object) = answer.as_object() else { return Some("the answer is an object".to_owned()) };
            if let Some(unknown) = object.keys().find(|key| !allowed.contains(&key.as_str())) {
                return Some(format!("the answer has no `{unknown}`"));
            }
            let given = required.iter().filter(|key| object.contains_key(**key)).count();
            (given != 1).then(|| format!("the answer wants one of {}", listed(required)))
        };
        match self {
            Self::Message { .. } => match answer.as_str() {
                None => Some("the answer is a text".to_owned()),
                Some(text) if text.len() > LARGEST_MESSAGE => {
                    Some(format!("the answer has {} bytes, and may have {LARGEST_MESSAGE}", text.len()))
                }
                Some(_) => None,
            },
            Self::Tool { .. } => object(&["result", "error"], &["result", "error"]),
            Self::Confirmation { .. } => {
                let wrong = object(&["accept"], &["accept", "arguments", "reason"]);
                wrong.or_else(|| match (answer.get("accept"), answer.get("arguments")) {
                    (Some(Json::Bool(_)), None | Some(Json::Object(_) | Json::Null)) => None,
                    (Some(Json::Bool(_)), _) => Some("`arguments` is an object".to_owned()),
                    _ => Some("`accept` is true or false".to_owned()),
                })
            }
        }
    }
}

fn listed(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(" and ")
}

/// Keeps the answer to a question, on the disk where the journal has one. The run that asked goes on when it is run again
/// over this journal.
///
/// # Errors
/// `answer.unfit` when it does not answer the question; the journal's own.
pub async fn answer(journal: &dyn Journal, question: &Question, answer: &Json) -> Result<(), StepError> {
    if let Some(why) = question.kind.refuses(answer) {
        return Err(StepError::new("answer.unfit", why));
    }
    journal.keep_answer(question.id.clone(), answer.to_string())?;
    match journal.settled(true) {
        Some(settled) => settled.await,
        None => Ok(()),
    }
}

/// Who answers questions while a run goes on: a terminal, a host. Called from many tasks at once.
pub trait Answers: Send + Sync {
    /// The answer; none where there is nobody, and the run has to wait.
    ///
    /// # Errors
    /// When there is somebody who cannot answer any more.
    fn answer<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Option<Json>, StepError>>;
}

/// Nobody: every question makes the run wait.
#[derive(Debug, Default)]
pub struct NoAnswers;

impl Answers for NoAnswers {
    fn answer<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Result<Option<Json>, StepError>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_has_the_form_that_its_question_wants() {
        let (name, arguments) = ("t".to_owned(), Map::new());
        let message = QuestionKind::Message { text: None };
        let tool = QuestionKind::Tool { name: name.clone(), arguments: arguments.clone() };
        let confirmation = QuestionKind::Confirmation { name, arguments };
        for (kind, answer, why) in [
            (&message, json!("yes"), None),
            (&message, json!(3), Some("the answer is a text")),
            (&tool, json!({"result": null}), None),
            (&tool, json!({"error": {"type": "E", "message": "m"}}), None),
            (&tool, json!({"result": 1, "error": 2}), Some("the answer wants one of `result` and `error`")),
            (&tool, json!({"value": 1}), Some("the answer has no `value`")),
            (&tool, json!(3), Some("the answer is an object")),
            (&confirmation, json!({"accept": true}), None),
            (&confirmation, json!({"accept": false, "reason": "no"}), None),
            (&confirmation, json!({"accept": true, "arguments": {"a": 1}}), None),
            (&confirmation, json!({"accept": true, "arguments": 3}), Some("`arguments` is an object")),
            (&confirmation, json!({"accept": 1}), Some("`accept` is true or false")),
            (&confirmation, json!({}), Some("the answer wants one of `accept`")),
        ] {
            assert_eq!(kind.refuses(&answer).as_deref(), why, "{kind:?} {answer}");
        }
        let long = json!("x".repeat(LARGEST_MESSAGE + 1));
        assert!(message.refuses(&long).is_some_and(|why| why.contains("bytes")));
    }

    #[test]
    fn a_message_survives_its_value() {
        for role in [Role::User, Role::Agent, Role::System, Role::Thought, Role::DisplayOnly] {
            let message = Message::new(role, "ä");
            assert_eq!(Message::from_value(&message.to_value()), Some(message.clone()));
            let said = Said { at: "a#1".into(), message };
            assert_eq!(Said::from_value(&said.to_value()), Some(said));
        }
        assert!(Messages::default().apply(&Value::Null).is_err());
    }
}
