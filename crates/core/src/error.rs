//! Why a step, and with it an item or a run, did not end well.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::cast::CastError;
use crate::table::TableError;
use crate::template::TemplateError;

/// The error of a step. Its code is stable, and is what `retry_on` names.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepError {
    /// A stable dotted code, such as `extract.missing`.
    pub code: Cow<'static, str>,
    /// What was wrong: a lower-case fragment.
    pub message: String,
    /// What to do, where that is known.
    pub help: Option<String>,
    /// More lines for a person: a label such as `reply`, and its text.
    pub details: Vec<(Cow<'static, str>, String)>,
    /// Whether it ends the run whatever the error policy of a map says: a refused key, a full disk.
    pub fatal: bool,
    /// The step in which it arose; the engine sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Address>,
}

impl StepError {
    /// An error with its code and message.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            help: None,
            details: Vec::new(),
            fatal: false,
            at: None,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a labelled line.
    #[must_use]
    pub fn detail(mut self, label: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Self {
        self.details.push((label.into(), text.into()));
        self
    }

    /// Makes it end the run under every error policy.
    #[must_use]
    pub fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    /// Whether nothing has failed: the run was told to stop, or waits. No retry, catch or error policy looks at it.
    pub fn is_stop(&self) -> bool {
        self.code == INTERRUPTED || self.code == WAITING
    }

    /// Whether a pattern of `retry_on` names it: the code itself, or its kind, as in `model.*`.
    pub fn matches(&self, pattern: &str) -> bool {
        match pattern.strip_suffix('*') {
            Some(prefix) => self.code.starts_with(prefix),
            None => self.code == pattern,
        }
    }
}

/// The code of a run that was told to stop.
pub const INTERRUPTED: &str = "run.interrupted";

/// The code of a run that waits for an answer.
pub const WAITING: &str = "run.waiting";

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StepError {}

impl From<TableError> for StepError {
    fn from(error: TableError) -> Self {
        let fatal = error.code == "write.disk_full";
        Self { help: error.help, fatal, ..Self::new(error.code, error.message) }
    }
}

impl From<TemplateError> for StepError {
    fn from(error: TemplateError) -> Self {
        Self::new("template.failed", error.to_string())
    }
}

impl From<CastError> for StepError {
    fn from(error: CastError) -> Self {
        Self::new("step.type", error.to_string())
    }
}
