//! Why a call of a model failed, in words for the person who runs the flow.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use thiserror::Error;

/// Most bytes of a reply's body that an error keeps.
const BODY_KEPT: usize = 4 * 1024;
/// Most characters of it that the error's own text quotes.
const BODY_QUOTED: usize = 300;

/// The closed set of ways in which a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModelErrorKind {
    /// The key is missing or refused (401, 403).
    Unauthorized,
    /// The endpoint has no such model or no such path (404).
    NotFound,
    /// The account's quota or credit is used up (402, and 429 that says so).
    Quota,
    /// Too many requests (429).
    RateLimited,
    /// The endpoint failed (5xx).
    ServerError,
    /// No complete reply came in time (also 408).
    Timeout,
    /// The endpoint reports a conflict (409).
    Conflict,
    /// There was no connection, or it broke.
    Connection,
    /// The endpoint refuses the request as it is (400, 413, 422 and the other 3xx and 4xx).
    BadRequest,
    /// The reply is no chat completion, or is too large.
    BadReply,
    /// The reply has no text.
    EmptyReply,
    /// The text is cut off at the limit of tokens.
    Truncated,
    /// The model is offline, and there is no template to answer from.
    NoTemplate,
}

impl ModelErrorKind {
    /// Every kind, for documentation.
    pub const ALL: &[Self] = &[
        Self::Unauthorized,
        Self::NotFound,
        Self::Quota,
        Self::RateLimited,
        Self::ServerError,
        Self::Timeout,
        Self::Conflict,
        Self::Connection,
        Self::BadRequest,
        Self::BadReply,
        Self::EmptyReply,
        Self::Truncated,
        Self::NoTemplate,
    ];

    /// The stable code that documentation and error policies refer to.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unauthorized => "model.unauthorized",
            Self::NotFound => "model.not_found",
            Self::Quota => "model.quota",
            Self::RateLimited => "model.rate_limited",
            Self::ServerError => "model.server_error",
            Self::Timeout => "model.timeout",
            Self::Conflict => "model.conflict",
            Self::Connection => "model.connection",
            Self::BadRequest => "model.bad_request",
            Self::BadReply => "model.bad_reply",
            Self::EmptyReply => "model.empty_reply",
            Self::Truncated => "model.truncated",
            Self::NoTemplate => "model.no_template",
        }
    }

    /// Whether every further call would fail alike, so that the run ends under every error policy.
    pub const fn fatal(self) -> bool {
        matches!(self, Self::Unauthorized | Self::NotFound | Self::Quota)
    }

    /// What to do about it, as a sentence without a full stop.
    pub const fn help(self) -> &'static str {
        match self {
            Self::Unauthorized => {
                "set OPENAI_API_KEY, or the model's `api_key`, to a key that this endpoint accepts for this model"
            }
            Self::NotFound => {
                "check the model's `model` name, and that `base_url` (or OPENAI_BASE_URL) ends with the version, as in https://api.openai.com/v1"
            }
            Self::Quota => "add credit to the account behind the key, or use another key; then run again",
            Self::RateLimited => {
                "run fewer calls at a time, or raise the model's `retry.tries` and `retry.max_delay`"
            }
            Self::ServerError => "the endpoint is in trouble: run again later, or raise the model's `retry.tries`",
            Self::Timeout => "raise the model's `timeout`, lower its `max_tokens`, or run fewer calls at a time",
            Self::Conflict => "run again later; another request is changing the same thing at the endpoint",
            Self::Connection => {
                "check `base_url` (or OPENAI_BASE_URL), that the server runs, and the proxy variables of the environment"
            }
            Self::BadRequest => {
                "read the endpoint's message: a setting that this model does not take, or a prompt that is too long, is the usual cause"
            }
            Self::BadReply => {
                "check that `base_url` (or OPENAI_BASE_URL) is the address of an OpenAI-compatible endpoint and not of a web page"
            }
            Self::EmptyReply => "change the prompt, or list `model.empty_reply` in a retry's `retry_on`",
            Self::Truncated => "raise `max_tokens`, or ask for a shorter text",
            Self::NoTemplate => {
                "give the prompt step an `offline:` template, or set OPENAI_API_KEY or OPENAI_BASE_URL"
            }
        }
    }

    /// The kind of a status that is no success.
    fn of(status: StatusCode, body: &str) -> Self {
        match status.as_u16() {
            401 | 403 => Self::Unauthorized,
            402 => Self::Quota,
            404 => Self::NotFound,
            408 => Self::Timeout,
            409 => Self::Conflict,
            429 if says_quota(body) => Self::Quota,
            429 => Self::RateLimited,
            500.. => Self::ServerError,
            _ => Self::BadRequest,
        }
    }
}

impl fmt::Display for ModelErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A failed call: what the last try met.
#[derive(Clone, Debug, Error)]
#[error("{detail}{}", if *tries > 1 { format!(" (after {tries} tries)") } else { String::new() })]
pub struct ModelError {
    /// Which of the known ways it failed.
    pub kind: ModelErrorKind,
    /// The HTTP status, where one arrived.
    pub status: Option<u16>,
    /// The beginning of the body, at most 4 KiB, without the key where the server quoted it.
    pub body: Option<String>,
    /// How many HTTP tries were made; 0 where the call was not sent.
    pub tries: u32,
    /// What happened, lower case and on one line.
    pub detail: String,
    pub(crate) transient: bool,
    pub(crate) retry_after: Option<Duration>,
}

impl ModelError {
    /// An error that no retry would help and that no reply came with.
    pub fn new(kind: ModelErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            status: None,
            body: None,
            tries: 0,
            detail: detail.into(),
            transient: false,
            retry_after: None,
        }
    }

    /// The stable code of its kind.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// Whether the failure was one that may pass. The call has been tried as often as the model's `retry`
    /// says all the same.
    pub fn retryable(&self) -> bool {
        self.transient
    }

    /// Whether every further call would fail alike, so that the run ends under every error policy.
    pub fn fatal(&self) -> bool {
        self.kind.fatal()
    }

    /// What to do about it, as a sentence without a full stop.
    pub fn help(&self) -> &'static str {
        self.kind.help()
    }

    pub(crate) fn transient(mut self) -> Self {
        self.transient = true;
        self
    }

    /// A reply whose status is no success.
    pub(crate) fn of_status(host: &str, status: StatusCode, body: String, retry_after: Option<Duration>) -> Self {
        let kind = ModelErrorKind::of(status, &body);
        let reason = status.canonical_reason().unwrap_or("no known status").to_lowercase();
        let detail = format!("{host} answered {} ({reason}){}", status.as_u16(), quoted(&body));
        let transient = match kind {
            ModelErrorKind::RateLimited | ModelErrorKind::Timeout | ModelErrorKind::Conflict => true,
            ModelErrorKind::ServerError => status != StatusCode::NOT_IMPLEMENTED,
            _ => false,
        };
        Self { transient, retry_after, ..Self::new(kind, detail).with_body(status, body) }
    }

    /// A success whose body cannot be read. Such bodies come from overloaded gateways, so another try may help.
    pub(crate) fn unreadable(host: &str, why: &impl fmt::Display, body: String) -> Self {
        let detail = format!("{host} answered with a body that cannot be read ({why}){}", quoted(&body));
        Self::new(ModelErrorKind::BadReply, detail).with_body(StatusCode::OK, body).transient()
    }

    /// There is no connection.
    pub(crate) fn unconnected(host: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let cause = chain(error);
        // A certificate that is refused now will be refused in a second.
        let passing = !cause.contains("certificate");
        let error = Self::new(ModelErrorKind::Connection, format!("there is no connection to {host}: {cause}"));
        if passing { error.transient() } else { error }
    }

    /// The connection broke before all was read.
    pub(crate) fn broken(host: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let cause = chain(error);
        Self::new(ModelErrorKind::Connection, format!("the connection to {host} broke: {cause}")).transient()
    }

    pub(crate) fn out_of_time(host: &str) -> Self {
        Self::new(ModelErrorKind::Timeout, format!("{host} sent no complete reply in time")).transient()
    }

    fn with_body(mut self, status: StatusCode, mut body: String) -> Self {
        let end = (0..=BODY_KEPT.min(body.len())).rev().find(|end| body.is_char_boundary(*end));
        body.truncate(end.unwrap_or_default());
        self.status = Some(status.as_u16());
        self.body = Some(body);
        self
    }
}

/// Whether a 429 means "no more credit" and not "too fast".
///
/// Only the machine-readable words count: some endpoints write "exceeded your current quota" or name their
/// billing page in the message of a plain rate limit, and taking that for the end would end whole runs.
fn says_quota(body: &str) -> bool {
    if let Ok(json) = serde_json::from_str::<Value>(body) {
        ["code", "type"]
            .iter()
            .filter_map(|field| json["error"][field].as_str())
            .any(|word| word.contains("insufficient_quota") || word.starts_with("billing"))
    } else {
        body.contains("insufficient_quota")
    }
}

/// `: ` and the message that the body holds, on one line; nothing where it is empty.
fn quoted(body: &str) -> String {
    let json = serde_json::from_str::<Value>(body).ok();
    let message = json.as_ref().and_then(|json| {
        ["/error/message", "/error", "/message", "/detail"].iter().find_map(|place| json.pointer(place)?.as_str())
    });
    let words: Vec<&str> = message.unwrap_or(body).split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(BODY_QUOTED) {
        _ if line.is_empty() => String::new(),
        Some((end, _)) => format!(": {}…", &line[..end]),
        None => format!(": {line}"),
    }
}

/// An error with its causes. The parts of such a chain often say the same thing twice.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn of(status: u16, body: &str) -> ModelError {
        ModelError::of_status("host", StatusCode::from_u16(status).unwrap(), body.to_owned(), None)
    }

    #[test]
    fn statuses_have_kinds() {
        for (status, code, retryable) in [
            (400, "model.bad_request", false),
            (401, "model.unauthorized", false),
            (402, "model.quota", false),
            (403, "model.unauthorized", false),
            (404, "model.not_found", false),
            (408, "model.timeout", true),
            (409, "model.conflict", true),
            (413, "model.bad_request", false),
            (418, "model.bad_request", false),
            (422, "model.bad_request", false),
            (429, "model.rate_limited", true),
            (500, "model.server_error", true),
            (501, "model.server_error", false),
            (503, "model.server_error", true),
            (529, "model.server_error", true),
        ] {
            let error = of(status, "");
            assert_eq!((error.code(), error.retryable(), error.status), (code, retryable, Some(status)));
            assert_eq!(error.fatal(), matches!(status, 401..=404), "{status}");
        }
    }

    #[test]
    fn a_quota_is_told_from_a_rate_limit_by_its_code_alone() {
        for body in [
            r#"{"error":{"message":"x","code":"insufficient_quota"}}"#,
            r#"{"error":{"message":"x","type":"insufficient_quota","code":null}}"#,
            r#"{"error":{"message":"x","code":"billing_hard_limit_reached"}}"#,
            "plain text: insufficient_quota",
        ] {
            assert_eq!(of(429, body).kind, ModelErrorKind::Quota, "{body}");
        }
        for body in [
            r#"{"error":{"message":"Rate limit reached. Add a payment method at /account/billing","code":"rate_limit_exceeded"}}"#,
            r#"{"error":{"message":"You exceeded your current quota, please check your billing details","code":429}}"#,
        ] {
            assert_eq!(of(429, body).kind, ModelErrorKind::RateLimited, "{body}");
        }
    }

    #[test]
    fn the_text_quotes_the_message_and_the_body_is_cut_at_a_character() {
        let error = of(400, r#"{"error":{"message":"no such\n setting","code":null}}"#);
        assert_eq!(error.to_string(), "host answered 400 (bad request): no such setting");
        assert_eq!(
            of(422, r#"{"detail":"too long"}"#).to_string(),
            "host answered 422 (unprocessable entity): too long"
        );

        let long = of(500, &format!("a{}", "é".repeat(5000)));
        assert_eq!(long.body.unwrap().len(), 4095);
        assert!(long.detail.len() < 800);
    }

    #[test]
    fn codes_differ() {
        let codes: BTreeSet<_> = ModelErrorKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), ModelErrorKind::ALL.len());
        assert!(ModelErrorKind::ALL.iter().all(|kind| !kind.help().ends_with('.')));
    }
}
