//! What `retry_on` and `except_on` name errors by: a code, a status of HTTP, or a kind.

use std::borrow::Cow;

use flowrun_core::compile::Scope;
use flowrun_core::error::StepError;
use flowrun_core::value::Value;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// The detail of an error that holds the status with which a server answered.
const STATUS: &str = "status";

/// The detail of an error that holds the class that a tool says.
const CLASS: &str = "type";

/// One name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ErrorName {
    /// `extract.missing`.
    Code(String),
    /// `ValueError`, of an error that a tool answers.
    Class(String),
    /// `429`.
    Status(u16),
    /// `5xx`, by its first digit.
    StatusClass(u16),
    /// `model.*`: what every code of the kind begins with.
    Kind(String),
}

impl ErrorName {
    /// What is written where none of the forms is.
    pub(crate) const FORMS: &str = "write a code such as `extract.missing`, a kind such as `model.*`, a status of HTTP such as `429` or `5xx`, or a class that a tool says such as `ValueError`; `flowrun explain` lists the codes";

    /// Reads a name; none where it has no such form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_word = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_lowercase())
                && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        let digit = |class: &str| class.parse().ok().filter(|d| (1..=5).contains(d) && class.len() == 1);
        if let Some(class) = text.strip_suffix("xx") {
            return digit(class).map(Self::StatusClass);
        }
        if text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().ok().filter(|status| (100..=599).contains(status)).map(Self::Status);
        }
        if text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            return Some(Self::Class(text.to_owned()));
        }
        match text.strip_suffix(".*") {
            Some(kind) => kind.split('.').all(is_word).then(|| Self::Kind(format!("{kind}."))),
            None => (text.contains('.') && text.split('.').all(is_word)).then(|| Self::Code(text.to_owned())),
        }
    }

    /// Warns where it names no error that there is; the path leads to where it stands.
    pub(crate) fn check(&self, scope: &Scope<'_>, path: &[&str]) {
        match self {
            Self::Code(code) => scope.warn_of_unknown_code(path, code),
            Self::Kind(kind) => scope.warn_of_unknown_code(path, &format!("{kind}*")),
            Self::Class(_) | Self::Status(_) | Self::StatusClass(_) => {}
        }
    }

    /// A smaller number where fewer errors have the name.
    pub(crate) fn exactness(&self) -> u8 {
        match self {
            Self::Class(_) => 0,
            Self::Code(_) => 1,
            Self::Status(_) => 2,
            Self::StatusClass(_) => 3,
            Self::Kind(_) => 4,
        }
    }

    /// Whether it names an error.
    pub(crate) fn names(&self, error: &StepError) -> bool {
        match self {
            Self::Class(class) => class_of(error) == Some(class.as_str()),
            Self::Code(code) => error.code == *code,
            Self::Status(status) => status_of(error) == Some(*status),
            Self::StatusClass(class) => status_of(error).is_some_and(|status| status / 100 == *class),
            Self::Kind(kind) => error.code.starts_with(kind.as_str()),
        }
    }
}

pub(crate) fn class_of(error: &StepError) -> Option<&str> {
    error.details.iter().find(|(name, _)| &**name == CLASS).map(|(_, class)| class.as_str())
}

fn status_of(error: &StepError) -> Option<u16> {
    let (_, text) = error.details.iter().find(|(label, _)| label == STATUS)?;
    text.trim().parse().ok()
}

/// A name as it is written in a list, a text or a number; [`Written::unread`] says with its place where it is none.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Written(Value);

impl Written {
    pub(crate) fn read(&self) -> Option<ErrorName> {
        match &self.0 {
            Value::String(text) => ErrorName::parse(text),
            Value::Int(status) => ErrorName::parse(&status.to_string()),
            _ => None,
        }
    }

    /// What was written, where it is no name.
    pub(crate) fn unread(&self) -> Option<String> {
        let shown = || self.0.as_str().map_or_else(|| self.0.to_string(), str::to_owned);
        self.read().is_none().then(shown)
    }
}

impl JsonSchema for Written {
    fn schema_name() -> Cow<'static, str> {
        "ErrorName".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 100, "maximum": 599}]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_form() {
        for good in ["extract.missing", "model.*", "step.missing_input", "mine.a.b", "a.b.*", "429", "5xx"] {
            assert!(ErrorName::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "*",
            ".*",
            "model",
            "model.",
            "model.t*",
            "42",
            "4299",
            "099",
            "600",
            "9xx",
            "xx",
            "12xx",
            "4.2",
            "Model.*",
            "timeout-error",
            "Timeout.Error",
            "a..b",
        ] {
            assert_eq!(ErrorName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn errors_are_named_by_code_kind_and_status() {
        let error = StepError::new("http.status", "").detail("status", "503");
        let names = |name: &str, error: &StepError| ErrorName::parse(name).unwrap().names(error);
        for right in ["http.status", "http.*", "503", "5xx"] {
            assert!(names(right, &error), "{right}");
        }
        for wrong in ["http.statu", "http.status.more", "htt.*", "504", "4xx"] {
            assert!(!names(wrong, &error), "{wrong}");
        }
        assert!(!names("5xx", &StepError::new("http.status", "")), "an error without a status");
    }
}
