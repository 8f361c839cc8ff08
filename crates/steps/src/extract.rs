//! `extract`: a part of a text.

use std::sync::OnceLock;

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use memchr::memmem;
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::jq::Query;
use crate::json_text::json_in;

/// Takes a part out of a text: what stands after or between markers, what a regular expression matches, or what a jq
/// query finds in JSON. Where the part is missing or empty, that is the error `extract.missing`, or the default.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extract {
    /// The text after the first place where this stands, up to the next such place or the end.
    after: Option<String>,
    /// The text before the first place where this stands (after `after`, if both are given).
    before: Option<String>,
    /// A regular expression; its first group, or the whole match if it has none.
    regex: Option<String>,
    /// A jq query on the JSON in the text: in a fenced block, or the text from its first brace or bracket on.
    json: Option<String>,
    /// What is given where the part is missing; without it, a missing part is an error.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<serde_json::Value>")]
    default: Option<Value>,
    #[serde(skip)]
    how: OnceLock<Result<How, Wrong>>,
}

/// A null that is written is a value; serde would take it for nothing.
pub(crate) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// The key that is wrong, and why.
type Wrong = (&'static str, String);

/// How a part is found.
#[derive(Debug)]
enum How {
    Markers,
    Regex(Box<Regex>),
    Json(Query),
}

impl Extract {
    /// The one way that the keys say, compiled once.
    fn how(&self) -> &Result<How, Wrong> {
        self.how.get_or_init(|| self.compile())
    }

    fn compile(&self) -> Result<How, Wrong> {
        let markers = self.after.is_some() || self.before.is_some();
        match (markers, &self.regex, &self.json) {
            (true, None, None) => Ok(How::Markers),
            (false, Some(regex), None) => match Regex::new(regex) {
                Ok(regex) => Ok(How::Regex(Box::new(regex))),
                Err(e) => {
                    Err(("regex", format!("`{regex}` is no regular expression: {}", last_line(&e.to_string()))))
                }
            },
            (false, None, Some(json)) => Query::parse(json).map(How::Json).map_err(|e| ("json", e)),
            _ => Err(("", "`extract` wants one of `after` and `before`, `regex`, or `json`".to_owned())),
        }
    }

    /// What a text does not have.
    fn missing(&self, how: &How) -> String {
        match how {
            How::Markers => {
                let after = self.after.as_ref().map(|m| format!(" after `{m}`")).unwrap_or_default();
                let before = self.before.as_ref().map(|m| format!(" before `{m}`")).unwrap_or_default();
                format!("nothing{after}{before}")
            }
            How::Regex(regex) => format!("no match of `{regex}`"),
            How::Json(query) => format!("no JSON in which `{query}` finds something"),
        }
    }

    fn output_type(&self) -> Type {
        let found = if self.json.is_some() { Type::any() } else { Type::string() };
        match &self.default {
            Some(Value::String(_)) | None => found,
            Some(Value::Null) => found.nullable(),
            Some(_) => Type::any(),
        }
    }
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ")
}

fn between(text: &str, after: Option<&str>, before: Option<&str>) -> Option<Value> {
    let mut rest = text;
    if let Some(marker) = after {
        rest = &rest[find(rest, marker)? + marker.len()..];
        if before.is_none() {
            rest = &rest[..find(rest, marker).unwrap_or(rest.len())];
        }
    }
    if let Some(marker) = before {
        rest = &rest[..find(rest, marker)?];
    }
    let rest = rest.trim();
    (!rest.is_empty()).then(|| rest.into())
}

/// As `str::find`, which looks at the marker for longer than most texts are.
fn find(text: &str, marker: &str) -> Option<usize> {
    memmem::find(text.as_bytes(), marker.as_bytes())
}

fn matched(text: &str, regex: &Regex) -> Option<Value> {
    let found = regex.captures(text)?;
    let part = if regex.captures_len() > 1 { found.get(1)? } else { found.get(0)? };
    (!part.as_str().is_empty()).then(|| part.as_str().into())
}

impl Step for Extract {
    const TYPE: &'static str = "extract";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "parse:\n  type: extract\n  with: { text: write.draft }\n  after: \"Justification:\"\n  output: justification";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("text", Type::string()).doc("The text.")],
            outputs: vec![Port::new("output", Type::string()).doc("The part; any value with `json`.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        if let Err((key, message)) = self.how() {
            return Err(scope.bad(&[key], message.as_str()).into());
        }
        let output = Port::new("output", self.output_type());
        Ok(Signature::new(vec![Port::new("text", Type::string())], vec![output]))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let text = input.get("text").and_then(Value::as_str).unwrap_or_default();
        let how =
            self.how().as_ref().map_err(|(_, message)| StepError::new("extract.config", message.as_str()))?;
        let found = match how {
            How::Markers => between(text, self.after.as_deref(), self.before.as_deref()),
            How::Regex(regex) => matched(text, regex),
            How::Json(query) => match json_in(text) {
                Some(json) => query.first(&json).map_err(|e| StepError::new("extract.json", e))?,
                None => None,
            },
        };
        let value = found.or_else(|| self.default.clone()).ok_or_else(|| {
            StepError::new("extract.missing", format!("the text has {}", self.missing(how)))
                .detail("text", text.chars().take(2000).collect::<String>())
                .help("retry the step that wrote it (`retry_on: [extract.missing]`), or give a `default:`")
        })?;
        Ok(Outcome::next(cx.outputs(vec![value])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_between_markers() {
        assert_eq!(between("a Justification: b c ", Some("Justification:"), None), Some("b c".into()));
        assert_eq!(between("x: 1 x: 2", Some("x:"), None), Some("1".into()));
        assert_eq!(between("<a>1</a>", Some("<a>"), Some("</a>")), Some("1".into()));
        assert_eq!(between("1</a>", None, Some("</a>")), Some("1".into()));
        assert_eq!(between("é<é>1é</é>2<é>", Some("<é>"), None), Some("1é</é>2".into()));
        assert_eq!(between("ab", Some(""), Some("b")), Some("a".into()));
        for missing in ["", "no marker", "x:   "] {
            assert_eq!(between(missing, Some("x:"), None), None);
        }
    }
}
