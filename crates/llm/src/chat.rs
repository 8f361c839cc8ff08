//! What goes to a model and what comes back, free of any provider's JSON.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Add, AddAssign};

use schemars::JsonSchema;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::Settings;

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions that stand above the conversation.
    System,
    /// The side that asks.
    User,
    /// The model's side.
    Assistant,
    /// What a tool gave that the model called. Only a request has it.
    #[serde(skip_deserializing)]
    #[schemars(skip)]
    Tool,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// The text.
    pub content: String,
    /// Pictures that go with the text: addresses, or `data:` addresses that hold the picture.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// The calls of tools that the model's side made with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(skip)]
    pub tool_calls: Vec<ToolCall>,
    /// Of what a tool gave: the call that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub tool_call_id: Option<String>,
}

impl Message {
    /// A message with the given role.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), images: Vec::new(), tool_calls: Vec::new(), tool_call_id: None }
    }

    /// A system message.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// A user message.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// What the model said when it called tools.
    pub fn calling(content: impl Into<String>, tool_calls: Vec<ToolCall>) -> Self {
        Self { tool_calls, ..Self::assistant(content) }
    }

    /// What a call of a tool gave.
    pub fn tool_result(call: impl Into<String>, content: impl Into<String>) -> Self {
        Self { tool_call_id: Some(call.into()), ..Self::new(Role::Tool, content) }
    }

    /// An assistant message.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }
}

/// Messages as far as it matters whether they are the same: with a hash in the place of each text and picture. A journal
/// compares the request of every call, and hashing a long text is a tenth of writing it as JSON.
pub struct Compared<'a> {
    /// The messages.
    pub messages: &'a [Message],
    /// What a journal may know of a text.
    pub veil: &'a (dyn for<'t> Fn(&'t str) -> Cow<'t, str> + Sync),
}

impl Serialize for Compared<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hash = |text: &String| blake3::hash((self.veil)(text).as_bytes()).to_hex().as_str().to_owned();
        serializer.collect_seq(self.messages.iter().map(|message| {
            let Message { role, content, images, tool_calls, tool_call_id } = message;
            (role, hash(content), images.iter().map(hash).collect::<Vec<_>>(), tool_calls, tool_call_id)
        }))
    }
}

/// The form that a reply must have: the server keeps the model to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplySchema {
    /// A name for it, of letters, digits, `_` and `-`.
    pub name: String,
    /// The JSON schema.
    pub schema: Value,
    /// Whether the server guarantees the form; it does so only for schemas whose objects are closed.
    pub strict: bool,
}

/// A tool that the model may call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToolSpec {
    /// Its name, of letters, digits, `_` and `-`.
    pub name: String,
    /// What it is for, for the model.
    pub description: String,
    /// The JSON schema of its arguments, an object.
    pub parameters: Value,
    /// As [`ReplySchema::strict`].
    pub strict: bool,
}

/// Whether the model has to call a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum ToolChoice {
    /// The tool of this name.
    Named(String),
    /// Any of them.
    Required,
}

/// A call of a tool that the model asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// What the model calls this call; empty where it gives no name.
    #[serde(default)]
    pub id: String,
    /// The tool.
    pub name: String,
    /// The arguments as the model wrote them: JSON, unless it made a mistake.
    #[serde(default)]
    pub arguments: String,
}

/// One call of a model.
#[derive(Clone, Debug, Default)]
pub struct ChatRequest {
    /// The conversation so far; the model writes its next message.
    pub messages: Vec<Message>,
    /// Settings of this call. Each one that is set wins over the model's own, the others stay as the model
    /// has them.
    pub settings: Settings,
    /// What names this call in the run, as hexadecimal digits. It is sent as `X-Client-Request-Id`, is the
    /// same for every try of the call, and gives `seed: auto` its value.
    pub identity: String,
    /// The form that the reply must have, where the server is to see to it.
    pub reply_schema: Option<ReplySchema>,
    /// Tools that the model may call. Without any, a reply without a text is an error.
    pub tools: Vec<ToolSpec>,
    /// Whether it has to call one. Nothing said, it may answer with a text too.
    pub tool_choice: Option<ToolChoice>,
}

/// Why the model stopped writing.
///
/// Written as the word that OpenAI-compatible servers use, so that an unknown word survives a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The text is complete, or a stop word was met. Also stands for a reply that gives no reason.
    Stop,
    /// The limit of tokens was reached: the text is cut.
    Length,
    /// A content filter removed text.
    ContentFilter,
    /// The model wants a tool called.
    ToolCalls,
    /// Any other word.
    Other(String),
}

impl FinishReason {
    /// The word for it on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ContentFilter => "content_filter",
            Self::ToolCalls => "tool_calls",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for FinishReason {
    fn from(word: &str) -> Self {
        match word {
            "stop" => Self::Stop,
            "length" => Self::Length,
            "content_filter" => Self::ContentFilter,
            "tool_calls" => Self::ToolCalls,
            word => Self::Other(word.to_owned()),
        }
    }
}

impl Serialize for FinishReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for FinishReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;

        impl Visitor<'_> for Word {
            type Value = FinishReason;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<FinishReason, E> {
                Ok(word.into())
            }
        }

        deserializer.deserialize_str(Word)
    }
}

/// A model's answer. It is plain data: what a journal keeps and gives back on resume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The text, as the model wrote it. Empty only where it calls a tool.
    pub text: String,
    /// Why the model stopped.
    pub finish_reason: FinishReason,
    /// Tokens that the answering try cost. Failed tries report none.
    pub usage: Usage,
    /// How many HTTP tries it took, 1 where the first one answered.
    pub tries: u32,
    /// Whether it was asked for in an earlier run, and nobody was asked now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// What it cost, in millionths of a millionth of a dollar, by the price that the model had then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
    /// The model that the reply names; servers often answer with a dated version of the one asked for.
    pub served_by: Option<String>,
    /// The tools that it calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// How likely each token was, where the request asked for it: what the server lists for the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<Vec<Value>>,
}

/// Tokens of one reply, or of many added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the messages sent.
    pub input_tokens: u64,
    /// Those of them that the server had read before, where it says so.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached_input_tokens: u64,
    /// Tokens of the text written.
    pub output_tokens: u64,
    /// Whether the server counted. Where it did not, the numbers are estimates at four characters a token,
    /// so that a budget does not see free calls. In a sum: whether every part was counted.
    pub reported: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// No tokens at all, known exactly: the start of a sum.
impl Default for Usage {
    fn default() -> Self {
        Self { input_tokens: 0, cached_input_tokens: 0, output_tokens: 0, reported: true }
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            cached_input_tokens: self.cached_input_tokens.saturating_add(other.cached_input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            reported: self.reported && other.reported,
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_survives_a_journal() {
        for word in ["stop", "length", "content_filter", "tool_calls", "eos_token"] {
            let reply = Reply {
                text: "a text".to_owned(),
                finish_reason: word.into(),
                usage: Usage { input_tokens: 3, output_tokens: 2, reported: false, ..Usage::default() },
                tries: 2,
                cached: false,
                cost: Some(7),
                served_by: Some("small".to_owned()),
                tool_calls: Vec::new(),
                logprobs: None,
            };
            let json = serde_json::to_string(&reply).unwrap();
            assert!(json.contains(&format!("\"finish_reason\":\"{word}\"")), "{json}");
            assert_eq!(serde_json::from_str::<Reply>(&json).unwrap(), reply);
        }
    }

    #[test]
    fn a_plain_reply_is_kept_as_it_always_was() {
        let kept = r#"{"text":"a","finish_reason":"stop","usage":{"input_tokens":3,"output_tokens":1,"reported":true},"tries":1,"served_by":null}"#;
        let reply: Reply = serde_json::from_str(kept).unwrap();
        assert_eq!(serde_json::to_string(&reply).unwrap(), kept);
    }

    #[test]
    fn a_sum_is_exact_only_where_every_part_is() {
        let counted = Usage { input_tokens: 10, output_tokens: 4, ..Usage::default() };
        let guessed = Usage { reported: false, ..counted };
        assert_eq!(
            [counted, counted].into_iter().sum::<Usage>(),
            Usage { input_tokens: 20, output_tokens: 8, ..Usage::default() }
        );
        assert!(!(counted + guessed).reported);
        assert!(Usage::default().reported);
    }
}
