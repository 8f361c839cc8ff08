//! What a server is told to do.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How a server answers and misbehaves. The default answers everything at once and without a fault.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// Seed of the draws of latencies and faults.
    pub seed: u64,
    /// How long a reply takes. Faults that are statuses come at once, as those of a real gateway.
    pub latency: Latency,
    /// What goes wrong.
    pub faults: Faults,
    /// Replies to the first request, the second, and so on. A prompt that its rule does not match falls to `rules`.
    pub replies: Vec<Rule>,
    /// Replies to prompts that match, the first match wins. Anything else gets the default replies.
    pub rules: Vec<Rule>,
    /// Shares of the default judge's verdicts.
    pub verdicts: Verdicts,
    /// Whether requests are kept for [`MockServer::recorded`](crate::MockServer::recorded).
    pub record: bool,
}

impl Plan {
    /// A plan whose first requests meet the given faults, in order of arrival, and whose requests are recorded.
    pub fn failing(faults: impl IntoIterator<Item = FaultKind>) -> Self {
        let script = faults.into_iter().map(Some).collect();
        Self { faults: Faults { script, ..Faults::default() }, record: true, ..Self::default() }
    }

    /// A plan whose every request meets the given fault.
    pub fn always(fault: FaultKind) -> Self {
        let shares = BTreeMap::from([(fault, 1.0)]);
        Self { faults: Faults { shares, ..Faults::default() }, record: true, ..Self::default() }
    }
}

/// How long a reply takes, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Latency {
    /// Always the same.
    Fixed {
        /// The latency.
        ms: f64,
    },
    /// Evenly spread around a middle.
    Jittered {
        /// The middle.
        ms: f64,
        /// Most that it differs from the middle, either way.
        jitter_ms: f64,
    },
    /// Long-tailed, as the latencies of real models are.
    Lognormal {
        /// The mean, not the median.
        mean_ms: f64,
        /// The standard deviation of the logarithm; 1 is a long tail.
        sigma: f64,
    },
}

impl Default for Latency {
    fn default() -> Self {
        Self::Fixed { ms: 0.0 }
    }
}

/// What goes wrong, for which requests. The numbers of arrival decide alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// The fault of the first request, the second, and so on; null for none.
    pub script: Vec<Option<FaultKind>>,
    /// After the script: how likely each fault is. At most 1 together.
    pub shares: BTreeMap<FaultKind, f64>,
    /// Most faults that one call (one `X-Client-Request-Id`) meets over its tries. Without it there is no end.
    pub per_call: Option<u32>,
    /// `Retry-After` of a 429 or 503, in seconds or as a date.
    pub retry_after: Option<String>,
    /// `retry-after-ms` of a 429 or 503.
    pub retry_after_ms: Option<u64>,
    /// Over how many milliseconds a `slow` body drips.
    pub slow_ms: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            script: Vec::new(),
            shares: BTreeMap::new(),
            per_call: None,
            retry_after: None,
            retry_after_ms: None,
            slow_ms: 30_000,
        }
    }
}

/// One way to go wrong. Written as in `429`, `drop` or `malformed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FaultKind {
    /// An error with this HTTP status and a JSON body.
    Status(u16),
    /// A 429 that says that the account's quota is used up.
    Quota,
    /// The connection is closed without an answer.
    Drop,
    /// The connection is closed in the middle of the body.
    Cut,
    /// A good body that drips.
    Slow,
    /// A whole body that ends in the middle of its JSON.
    Truncated,
    /// A whole body that is no JSON.
    Malformed,
    /// A completion without a choice.
    NoChoice,
    /// A completion without a text.
    Empty,
    /// A body of 32 MiB.
    Huge,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status(status) => return write!(f, "{status}"),
            Self::Quota => "quota",
            Self::Drop => "drop",
            Self::Cut => "cut",
            Self::Slow => "slow",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::NoChoice => "no_choice",
            Self::Empty => "empty",
            Self::Huge => "huge",
        })
    }
}

impl FromStr for FaultKind {
    type Err = FaultKindError;

    fn from_str(text: &str) -> Result<Self, FaultKindError> {
        const NAMED: [FaultKind; 9] = [
            FaultKind::Quota,
            FaultKind::Drop,
            FaultKind::Cut,
            FaultKind::Slow,
            FaultKind::Truncated,
            FaultKind::Malformed,
            FaultKind::NoChoice,
            FaultKind::Empty,
            FaultKind::Huge,
        ];
        if let Ok(status @ 300..=599) = text.parse() {
            return Ok(Self::Status(status));
        }
        NAMED
            .into_iter()
            .find(|kind| kind.to_string() == text)
            .ok_or_else(|| FaultKindError { text: text.to_owned() })
    }
}

impl TryFrom<String> for FaultKind {
    type Error = FaultKindError;

    fn try_from(text: String) -> Result<Self, FaultKindError> {
        text.parse()
    }
}

impl From<FaultKind> for String {
    fn from(kind: FaultKind) -> Self {
        kind.to_string()
    }
}

/// A word that names no fault.
#[derive(Debug, Error)]
#[error(
    "`{text}` is no fault: write a status from 300 to 599, or quota, drop, cut, slow, truncated, malformed, no_choice, empty or huge"
)]
pub struct FaultKindError {
    text: String,
}

/// A reply to the prompts that match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// A regular expression over the system messages and the last user message, joined by line breaks.
    #[serde(default)]
    pub when: String,
    /// The reply; `$1` and `${name}` stand for what the expression's groups matched.
    pub reply: String,
    /// The reply's finish reason.
    #[serde(default = "stop")]
    pub finish_reason: String,
    /// The tool that is called; then `reply` is its arguments and no text.
    #[serde(default)]
    pub tool: Option<String>,
}

fn stop() -> String {
    "stop".to_owned()
}

impl Rule {
    /// A rule whose replies are complete.
    pub fn new(when: impl Into<String>, reply: impl Into<String>) -> Self {
        Self { when: when.into(), reply: reply.into(), finish_reason: stop(), tool: None }
    }

    /// The same as a call of a tool, with the reply as its arguments.
    #[must_use]
    pub fn tool(self, name: impl Into<String>) -> Self {
        Self { tool: Some(name.into()), ..self }
    }

    /// The same with another finish reason.
    #[must_use]
    pub fn finish(self, reason: impl Into<String>) -> Self {
        Self { finish_reason: reason.into(), ..self }
    }
}

/// How likely the default judge's verdicts are. What is left of 1 answers with neither word.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Verdicts {
    /// `VALID`.
    pub valid: f64,
    /// `INVALID`.
    pub invalid: f64,
}

impl Default for Verdicts {
    fn default() -> Self {
        Self { valid: 0.9, invalid: 0.1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_json() {
        let text = r#"{
            "seed": 7,
            "latency": { "lognormal": { "mean_ms": 50, "sigma": 1.0 } },
            "faults": { "script": ["429", null, "drop"], "shares": { "500": 0.1, "truncated": 0.05 }, "per_call": 2, "retry_after_ms": 5 },
            "rules": [{ "when": "capital of (\\w+)", "reply": "It is $1 City." }],
            "verdicts": { "valid": 0.5, "invalid": 0.5 }
        }"#;
        let plan: Plan = serde_json::from_str(text).unwrap();
        assert_eq!(plan.faults.script, [Some(FaultKind::Status(429)), None, Some(FaultKind::Drop)]);
        assert_eq!(plan.rules[0].finish_reason, "stop");
        let again: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        assert_eq!(again, plan);
    }

    #[test]
    fn unknown_faults_are_refused() {
        for text in ["200", "600", "explode", ""] {
            assert!(text.parse::<FaultKind>().unwrap_err().to_string().contains("malformed"));
        }
    }
}
