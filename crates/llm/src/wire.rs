//! The JSON of a chat completion, as sent and as read.
//!
//! Types of our own: the client library's have hundreds of fields, copy every message, and refuse replies of
//! compatible servers that leave out what nobody needs.

use std::fmt;

use serde::de::{self, IgnoredAny, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::settings::Merged;
use crate::{
    ChatRequest, FinishReason, MaxTokensKey, Message, ModelError, ModelErrorKind, Reply, SeedSetting, ToolCall,
    ToolChoice, ToolSpec, Usage, quoted, retry,
};

/// A request. It borrows everything.
pub(crate) struct WireRequest<'a> {
    pub(crate) model: &'a str,
    pub(crate) request: &'a ChatRequest,
    pub(crate) settings: Merged<'a>,
    pub(crate) max_tokens_key: MaxTokensKey,
}

impl WireRequest<'_> {
    /// The request as it is sent, written in one go into room that is enough for it: thousands of bytes that would else be
    /// moved six times while they are written.
    pub(crate) fn body(&self) -> Result<Vec<u8>, serde_json::Error> {
        let texts: usize = self.request.messages.iter().map(|message| message.content.len()).sum();
        let mut body = Vec::with_capacity(texts + texts / 16 + 512);
        body.extend_from_slice(b"{\"model\":");
        serde_json::to_writer(&mut body, self.model)?;
        body.extend_from_slice(b",\"messages\":[");
        for (place, message) in self.request.messages.iter().enumerate() {
            if place > 0 {
                body.push(b',');
            }
            push_message(&mut body, message)?;
        }
        body.push(b']');
        let rest = body.len();
        serde_json::to_writer(&mut body, &Rest(self))?;
        // What follows is an object of its own, which has at least one field.
        body[rest] = b',';
        Ok(body)
    }
}

/// All fields but the model and the messages.
struct Rest<'a>(&'a WireRequest<'a>);

impl Serialize for Rest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fn field<M: SerializeMap, T: Serialize>(
            map: &mut M,
            name: &str,
            value: Option<T>,
        ) -> Result<(), M::Error> {
            value.map_or(Ok(()), |value| map.serialize_entry(name, &value))
        }

        let Self(wire) = self;
        let (settings, request) = (&wire.settings, wire.request);
        let seed = settings.seed.map(|seed| match seed {
            SeedSetting::Fixed(seed) => seed,
            SeedSetting::Auto => retry::sampling_seed(&request.identity),
        });
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("stream", &false)?;
        field(&mut map, wire.max_tokens_key.field(), settings.max_tokens)?;
        field(&mut map, "temperature", settings.temperature)?;
        field(&mut map, "top_p", settings.top_p)?;
        field(&mut map, "stop", (!settings.stop.is_empty()).then_some(settings.stop))?;
        field(&mut map, "frequency_penalty", settings.frequency_penalty)?;
        field(&mut map, "presence_penalty", settings.presence_penalty)?;
        field(&mut map, "seed", seed)?;
        field(&mut map, "logprobs", settings.top_logprobs.map(|_| true))?;
        field(&mut map, "top_logprobs", settings.top_logprobs)?;
        let schema = request.reply_schema.as_ref();
        field(&mut map, "response_format", schema.map(|s| json!({ "type": "json_schema", "json_schema": s })))?;
        let tools: Vec<Value> = request.tools.iter().map(wire_tool).collect();
        field(&mut map, "tools", (!tools.is_empty()).then_some(tools))?;
        field(&mut map, "tool_choice", request.tool_choice.as_ref().map(wire_choice))?;
        for (name, value) in settings.extra().filter(|(name, _)| !wire.has(name)) {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl WireRequest<'_> {
    /// Whether the call itself gives a field that may also stand in `extra`; the nearer one counts.
    fn has(&self, name: &str) -> bool {
        match name {
            "logprobs" | "top_logprobs" => self.settings.top_logprobs.is_some(),
            "response_format" => self.request.reply_schema.is_some(),
            "tools" => !self.request.tools.is_empty(),
            "tool_choice" => self.request.tool_choice.is_some(),
            _ => false,
        }
    }
}

fn wire_tool(tool: &ToolSpec) -> Value {
    json!({ "type": "function", "function": tool })
}

fn wire_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Named(name) => json!({ "type": "function", "function": { "name": name } }),
        ToolChoice::Required => json!("required"),
    }
}

/// Almost all messages are a text and who says it.
fn push_message(body: &mut Vec<u8>, message: &Message) -> Result<(), serde_json::Error> {
    let is_text = message.images.is_empty() && message.tool_calls.is_empty() && message.tool_call_id.is_none();
    if !is_text {
        return serde_json::to_writer(body, &WireMessage(message));
    }
    body.extend_from_slice(b"{\"role\":");
    serde_json::to_writer(&mut *body, &message.role)?;
    body.extend_from_slice(b",\"content\":");
    quoted::push(body, &message.content)?;
    body.push(b'}');
    Ok(())
}

struct WireMessage<'a>(&'a Message);

impl Serialize for WireMessage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("role", &self.0.role)?;
        // A plain text is what every server takes; parts are for those that see.
        if self.0.content.is_empty() && !self.0.tool_calls.is_empty() {
            map.serialize_entry("content", &())?;
        } else if self.0.images.is_empty() {
            map.serialize_entry("content", &self.0.content)?;
        } else {
            map.serialize_entry("content", &Parts(self.0))?;
        }
        if !self.0.tool_calls.is_empty() {
            let calls = self.0.tool_calls.iter().map(|call| {
                let function = json!({ "name": call.name, "arguments": call.arguments });
                json!({ "id": call.id, "type": "function", "function": function })
            });
            map.serialize_entry("tool_calls", &calls.collect::<Vec<_>>())?;
        }
        if let Some(call) = &self.0.tool_call_id {
            map.serialize_entry("tool_call_id", call)?;
        }
        map.end()
    }
}

struct Parts<'a>(&'a Message);

impl Serialize for Parts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        enum Part<'a> {
            Text { text: &'a str },
            ImageUrl { image_url: Address<'a> },
        }

        #[derive(Serialize)]
        struct Address<'a> {
            url: &'a str,
        }

        let Message { content, images, .. } = self.0;
        let text = (!content.is_empty()).then_some(Part::Text { text: content });
        let images = images.iter().map(|url| Part::ImageUrl { image_url: Address { url } });
        serializer.collect_seq(text.into_iter().chain(images))
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
    #[serde(default)]
    logprobs: Option<WireLogprobs>,
}

#[derive(Deserialize)]
struct WireLogprobs {
    #[serde(default)]
    content: Option<Vec<Value>>,
}

#[derive(Deserialize)]
struct ChoiceMessage {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<WireToolCall>>,
}

#[derive(Deserialize)]
struct WireToolCall {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<WireFunction>,
}

#[derive(Deserialize)]
struct WireFunction {
    name: String,
    /// Text by the protocol; some servers send the object itself.
    #[serde(default)]
    arguments: Value,
}

impl WireToolCall {
    fn into_call(self) -> Option<ToolCall> {
        let WireFunction { name, arguments } = self.function?;
        let arguments = match arguments {
            Value::String(text) => text,
            Value::Null => String::new(),
            object => object.to_string(),
        };
        Some(ToolCall { id: self.id.unwrap_or_default(), name, arguments })
    }
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<WireDetails>,
}

#[derive(Deserialize)]
struct WireDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

/// The first of a list, without making room for more. An empty one is refused while reading, because only then the error
/// still has the body.
fn first<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Choice, D::Error> {
    struct First;

    impl<'de> Visitor<'de> for First {
        type Value = Choice;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of choices")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Choice, A::Error> {
            let first = list.next_element()?.ok_or_else(|| de::Error::custom("`choices` is empty"))?;
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(first)
        }
    }

    deserializer.deserialize_seq(First)
}

impl WireReply {
    /// The reply for the caller, or why it is none.
    pub(crate) fn into_reply(self, host: &str, request: &ChatRequest) -> Result<Reply, ModelError> {
        let Choice { message, finish_reason, logprobs } = self.choice;
        let finish_reason = finish_reason.unwrap_or(FinishReason::Stop);
        let text = message.content.unwrap_or_default();
        // Who offers no tool has no use for a call.
        let calls = message.tool_calls.filter(|_| !request.tools.is_empty()).unwrap_or_default();
        let tool_calls: Vec<ToolCall> = calls.into_iter().filter_map(WireToolCall::into_call).collect();
        if text.is_empty() && tool_calls.is_empty() {
            return Err(no_text(host, &finish_reason, message.refusal.as_deref()));
        }
        let written = || tool_calls.iter().fold(text.clone(), |all, call| all + &call.arguments);
        let reported = self.usage.as_ref().and_then(WireUsage::reported);
        let usage = reported.unwrap_or_else(|| estimate(&request.messages, &written()));
        let logprobs = logprobs.and_then(|l| l.content);
        Ok(Reply {
            text,
            finish_reason,
            usage,
            tries: 1,
            cached: false,
            cost: None,
            served_by: self.model,
            tool_calls,
            logprobs,
        })
    }
}

impl WireUsage {
    fn reported(&self) -> Option<Usage> {
        let details = self.prompt_tokens_details.as_ref();
        Some(Usage {
            input_tokens: self.prompt_tokens?,
            cached_input_tokens: details.and_then(|details| details.cached_tokens).unwrap_or(0),
            output_tokens: self.completion_tokens?,
            reported: true,
        })
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
    Usage { input_tokens, cached_input_tokens: 0, output_tokens: tokens(text), reported: false }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Settings;

    fn asked(messages: &[Message]) -> ChatRequest {
        ChatRequest { messages: messages.to_vec(), identity: "ab".to_owned(), ..ChatRequest::default() }
    }

    fn read(body: Value) -> Result<Reply, ModelError> {
        let reply: WireReply = serde_json::from_value(body).unwrap();
        reply.into_reply("host", &asked(&[Message::user("12345678")]))
    }

    fn sent(request: &WireRequest<'_>) -> Value {
        serde_json::from_slice(&request.body().unwrap()).unwrap()
    }

    fn tool() -> ToolSpec {
        ToolSpec { name: "t".to_owned(), description: "d".to_owned(), parameters: json!({}), strict: true }
    }

    #[test]
    fn a_request_holds_what_is_set_and_nothing_else() {
        let (call, base) = (Settings::default(), Settings { stop: Some(Vec::new()), ..Settings::default() });
        let chat = asked(&[Message::system("s"), Message::user("u")]);
        let mut request = WireRequest {
            model: "m",
            request: &chat,
            settings: call.over(&base),
            max_tokens_key: MaxTokensKey::MaxTokens,
        };
        let messages = json!([{ "role": "system", "content": "s" }, { "role": "user", "content": "u" }]);
        assert_eq!(sent(&request), json!({ "model": "m", "messages": messages, "stream": false }));

        let call: Settings = serde_json::from_value(json!({
            "max_tokens": 9, "temperature": 0.5, "stop": ["x"], "seed": "auto", "extra": { "reasoning_effort": "low" },
        }))
        .unwrap();
        request.settings = call.over(&base);
        request.max_tokens_key = MaxTokensKey::MaxCompletionTokens;
        assert_eq!(
            sent(&request),
            json!({
                "model": "m", "messages": messages, "stream": false, "max_completion_tokens": 9, "temperature": 0.5, "stop": ["x"],
                "seed": retry::sampling_seed("ab"), "reasoning_effort": "low",
            })
        );
    }

    #[test]
    fn what_a_call_asks_for_goes_before_what_extra_says() {
        let extra = json!({ "response_format": { "type": "text" }, "tools": [], "logprobs": false, "user": "u" });
        let base: Settings = serde_json::from_value(json!({ "extra": extra })).unwrap();
        let call = Settings { top_logprobs: Some(2), ..Settings::default() };
        let schema = crate::ReplySchema { name: "a".to_owned(), schema: json!({}), strict: false };
        let image = Message { images: vec!["http://x/y.png".to_owned()], ..Message::user("see") };
        let chat = ChatRequest {
            reply_schema: Some(schema),
            tools: vec![tool()],
            tool_choice: Some(ToolChoice::Named("t".to_owned())),
            ..asked(&[image])
        };
        let request = WireRequest {
            model: "m",
            request: &chat,
            settings: call.over(&base),
            max_tokens_key: MaxTokensKey::MaxTokens,
        };
        // As text: a name that stood twice would be lost in a value.
        let sent = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"http://x/y.png"}}]}],"stream":false,"logprobs":true,"top_logprobs":2,"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{},"strict":false}},"tools":[{"type":"function","function":{"name":"t","description":"d","parameters":{},"strict":true}}],"tool_choice":{"type":"function","function":{"name":"t"}},"user":"u"}"#;
        assert_eq!(String::from_utf8(request.body().unwrap()).unwrap(), sent);
    }

    #[test]
    fn calls_of_tools_and_what_they_gave_are_sent_back() {
        let call = ToolCall { id: "c1".to_owned(), name: "t".to_owned(), arguments: "{}".to_owned() };
        let messages = [Message::calling("", vec![call]), Message::tool_result("c1", "3")];
        let chat = asked(&messages);
        let base = Settings::default();
        let settings = base.over(&base);
        let sent =
            sent(&WireRequest { model: "m", request: &chat, settings, max_tokens_key: MaxTokensKey::MaxTokens });
        let function = json!({ "name": "t", "arguments": "{}" });
        assert_eq!(
            sent["messages"],
            json!([
                { "role": "assistant", "content": null, "tool_calls": [{ "id": "c1", "type": "function", "function": function }] },
                { "role": "tool", "content": "3", "tool_call_id": "c1" },
            ])
        );
    }

    #[test]
    fn a_call_of_a_tool_is_a_reply_where_tools_were_offered() {
        let body = json!({ "choices": [{ "message": { "content": null, "tool_calls": [
            { "id": "1", "type": "function", "function": { "name": "t", "arguments": "{\"a\":1}" } },
            { "function": { "name": "t", "arguments": { "a": 2 } } },
        ] }, "finish_reason": "tool_calls" }] });
        assert_eq!(read(body.clone()).unwrap_err().kind, ModelErrorKind::EmptyReply);
        let reply: WireReply = serde_json::from_value(body).unwrap();
        let request = ChatRequest { tools: vec![tool()], ..asked(&[]) };
        let reply = reply.into_reply("host", &request).unwrap();
        let call = |id: &str, arguments: &str| ToolCall {
            id: id.to_owned(),
            name: "t".to_owned(),
            arguments: arguments.to_owned(),
        };
        assert_eq!(reply.tool_calls, [call("1", r#"{"a":1}"#), call("", r#"{"a":2}"#)]);
        assert_eq!((reply.text.as_str(), reply.usage.output_tokens), ("", 4));
    }

    #[test]
    fn a_sparse_reply_is_a_reply() {
        let reply = read(json!({ "choices": [{ "message": { "content": "hello" } }] })).unwrap();
        assert_eq!(reply.finish_reason, FinishReason::Stop);
        assert_eq!(reply.usage, Usage { input_tokens: 8, output_tokens: 2, reported: false, ..Usage::default() });
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
