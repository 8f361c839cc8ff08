//! The JSON of a chat completion, as sent and as read.
//!
//! Types of our own: the client library's have hundreds of fields, copy every message, and refuse replies of
//! compatible servers that leave out what nobody needs.

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::settings::Merged;
use crate::{FinishReason, MaxTokensKey, Message, ModelError, ModelErrorKind, Reply, SeedSetting, Usage, retry};

/// A request. It borrows everything, so that a try costs one pass over the messages and no copy of them.
pub(crate) struct WireRequest<'a> {
    pub(crate) model: &'a str,
    pub(crate) messages: &'a [Message],
    pub(crate) settings: Merged<'a>,
    pub(crate) max_tokens_key: MaxTokensKey,
    pub(crate) identity: &'a str,
}

impl Serialize for WireRequest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fn field<M: SerializeMap, T: Serialize>(
            map: &mut M,
            name: &str,
            value: Option<T>,
        ) -> Result<(), M::Error> {
            value.map_or(Ok(()), |value| map.serialize_entry(name, &value))
        }

        let settings = &self.settings;
        let seed = settings.seed.map(|seed| match seed {
            SeedSetting::Fixed(seed) => seed,
            SeedSetting::Auto => retry::sampling_seed(self.identity),
        });
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", self.model)?;
        map.serialize_entry("messages", self.messages)?;
        map.serialize_entry("stream", &false)?;
        field(&mut map, self.max_tokens_key.field(), settings.max_tokens)?;
        field(&mut map, "temperature", settings.temperature)?;
        field(&mut map, "top_p", settings.top_p)?;
        field(&mut map, "stop", (!settings.stop.is_empty()).then_some(settings.stop))?;
        field(&mut map, "frequency_penalty", settings.frequency_penalty)?;
        field(&mut map, "presence_penalty", settings.presence_penalty)?;
        field(&mut map, "seed", seed)?;
        for (name, value) in settings.extra() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The parts of a reply that matter. Anything else may be absent, null or unknown.
#[derive(Deserialize)]
pub(crate) struct WireReply {
    #[serde(default)]
    model: Option<String>,
    #[serde(rename = "choices", deserialize_with = "first")]
    choice: Choice,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct Choice {
    message: ChoiceMessage,
    #[serde(default)]
    finish_reason: Option<FinishReason>,
}

#[derive(Deserialize)]
struct ChoiceMessage {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
}

/// An empty list is refused while reading, because only then the error still has the body.
fn first<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Choice, D::Error> {
    let choices = Vec::<Choice>::deserialize(deserializer)?;
    choices.into_iter().next().ok_or_else(|| serde::de::Error::custom("`choices` is empty"))
}

impl WireReply {
    /// The reply for the caller, or why it is none.
    pub(crate) fn into_reply(self, host: &str, messages: &[Message]) -> Result<Reply, ModelError> {
        let Choice { message, finish_reason } = self.choice;
        let finish_reason = finish_reason.unwrap_or(FinishReason::Stop);
        let text = message.content.unwrap_or_default();
        if text.is_empty() {
            return Err(no_text(host, &finish_reason, message.refusal.as_deref()));
        }
        let usage = self.usage.as_ref().and_then(WireUsage::reported).unwrap_or_else(|| estimate(messages, &text));
        Ok(Reply { text, finish_reason, usage, tries: 1, served_by: self.model })
    }
}

impl WireUsage {
    fn reported(&self) -> Option<Usage> {
        Some(Usage { input_tokens: self.prompt_tokens?, output_tokens: self.completion_tokens?, reported: true })
    }
}

fn no_text(host: &str, finish_reason: &FinishReason, refusal: Option<&str>) -> ModelError {
    // A model that reasons can spend all its tokens before the first word of its answer.
    let (kind, why) = match (finish_reason, refusal) {
        (FinishReason::Length, _) => {
            (ModelErrorKind::Truncated, "its limit of tokens was reached before the first word".to_owned())
        }
        (_, Some(refusal)) => (ModelErrorKind::EmptyReply, format!("the model refuses: {refusal}")),
        (reason, None) => (ModelErrorKind::EmptyReply, format!("its finish reason is `{}`", reason.as_str())),
    };
    ModelError { status: Some(200), ..ModelError::new(kind, format!("{host} answered without a text: {why}")) }
}

/// Tokens where the server counts none: four characters each, and six for the frame of a message.
fn estimate(messages: &[Message], text: &str) -> Usage {
    let tokens = |text: &str| u64::try_from(text.chars().count().div_ceil(4)).unwrap_or(u64::MAX);
    let input_tokens = messages.iter().map(|message| tokens(&message.content) + 6).sum();
    Usage { input_tokens, output_tokens: tokens(text), reported: false }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Settings;

    fn read(body: Value) -> Result<Reply, ModelError> {
        let reply: WireReply = serde_json::from_value(body).unwrap();
        reply.into_reply("host", &[Message::user("12345678")])
    }

    #[test]
    fn a_request_holds_what_is_set_and_nothing_else() {
        let (call, base) = (Settings::default(), Settings { stop: Some(Vec::new()), ..Settings::default() });
        let mut request = WireRequest {
            model: "m",
            messages: &[Message::system("s"), Message::user("u")],
            settings: call.over(&base),
            max_tokens_key: MaxTokensKey::MaxTokens,
            identity: "ab",
        };
        let messages = json!([{ "role": "system", "content": "s" }, { "role": "user", "content": "u" }]);
        assert_eq!(
            serde_json::to_value(&request).unwrap(),
            json!({ "model": "m", "messages": messages, "stream": false })
        );

        let call: Settings = serde_json::from_value(json!({
            "max_tokens": 9, "temperature": 0.5, "stop": ["x"], "seed": "auto", "extra": { "reasoning_effort": "low" },
        }))
        .unwrap();
        request.settings = call.over(&base);
        request.max_tokens_key = MaxTokensKey::MaxCompletionTokens;
        assert_eq!(
            serde_json::to_value(&request).unwrap(),
            json!({
                "model": "m", "messages": messages, "stream": false, "max_completion_tokens": 9, "temperature": 0.5, "stop": ["x"],
                "seed": retry::sampling_seed("ab"), "reasoning_effort": "low",
            })
        );
    }

    #[test]
    fn a_sparse_reply_is_a_reply() {
        let reply = read(json!({ "choices": [{ "message": { "content": "hello" } }] })).unwrap();
        assert_eq!(reply.finish_reason, FinishReason::Stop);
        assert_eq!(reply.usage, Usage { input_tokens: 8, output_tokens: 2, reported: false });
        assert_eq!(reply.served_by, None);
    }

    #[test]
    fn a_reply_without_a_text_says_why() {
        for (choice, kind, why) in [
            (
                json!({ "message": { "content": null }, "finish_reason": "tool_calls" }),
                ModelErrorKind::EmptyReply,
                "`tool_calls`",
            ),
            (
                json!({ "message": { "content": "" }, "finish_reason": "length" }),
                ModelErrorKind::Truncated,
                "limit of tokens",
            ),
            (json!({ "message": { "refusal": "no." } }), ModelErrorKind::EmptyReply, "refuses: no."),
        ] {
            let error = read(json!({ "choices": [choice] })).unwrap_err();
            assert_eq!(error.kind, kind);
            assert!(error.detail.contains(why) && !error.retryable(), "{error}");
        }
    }
}
