//! Why a store did not do what it was asked.

use flowrun_core::error::StepError;

/// The disk has no room; no other step could write either.
pub(crate) const DISK_FULL: &str = "write.disk_full";

/// The error of a store, with a stable code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// The code, such as `store.entity`.
    pub code: &'static str,
    /// What was wrong: a lower-case fragment.
    pub message: String,
    /// What to do, where that is known.
    pub help: Option<String>,
}

impl StoreError {
    /// An error with its code and message.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        let fatal = error.code == DISK_FULL;
        Self { help: error.help, fatal, ..Self::new(error.code, error.message) }
    }
}
