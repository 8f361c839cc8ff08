//! What a run keeps on disk, so that it can be killed at any moment and go on.
//!
//! A run has a folder: `run.json` says what was asked, `journal.jsonl` holds the effects and the finished items, `values`
//! the large ones of them, `state.json` how the run ended, and `lock` is held by the process that runs it.
//!
//! [`FileJournal`] writes a record to the operating system before its outcome is used, so a process that is killed loses
//! nothing; a thread brings it to the disk every 20 ms.

mod cache;
mod compact;
mod failed;
mod folder;
mod fork;
mod held;
mod index;
mod journal;
mod line;
mod sync;

pub use cache::{CachedModel, ReplyCache};
pub use compact::compact;
pub use failed::each_failed;
pub use folder::{Failure, FlowRecord, Forked, Found, RunFile, RunFolder, RunState, Status, prune, runs_in};
pub use fork::{fork, is_compacted, visits};
pub use held::{Kept, each_held};
pub use index::{Record, StepEnd, scan};
pub use journal::{FileJournal, Held, OpenOptions, costs};

use std::path::{Path, PathBuf};

use flowrun_core::error::StepError;

/// The format of journals and run folders that this program writes.
pub const FORMAT: u32 = 1;

/// The name of the journal in a run's folder.
pub const JOURNAL_FILE: &str = "journal.jsonl";

/// Why a run's folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Something that belongs into the folder is not there.
    #[error("`{}` is missing from the run's folder", .0.display())]
    Missing(PathBuf),
    /// Another process works on the run.
    #[error("the run `{id}` is held by the process {pid}")]
    InUse {
        /// The run.
        id: String,
        /// The process, as far as it has said who it is.
        pid: String,
    },
    /// A later version of the program wrote it.
    #[error("`{}` has the format {found}; this program reads up to {FORMAT}", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It was changed by something else than an append.
    #[error("line {line} of `{}` is damaged: {why}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// It is not what it was when the run was opened.
    #[error("`{}` was changed while the run went on: {why}", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// The folder holds something else.
    #[error("`{}` is no run's folder", .0.display())]
    NoRun(PathBuf),
    /// The operating system says no.
    #[error("`{}` cannot be {verb}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried: `read`, `written`.
        verb: &'static str,
        /// Its reason.
        source: std::io::Error,
    },
}

impl JournalError {
    fn io(path: &Path, verb: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), verb, source }
    }
}

/// A journal that fails ends the run: what is not kept must not be used.
impl From<JournalError> for StepError {
    fn from(error: JournalError) -> Self {
        let code = match &error {
            JournalError::Io { verb: "written", .. } => "journal.write",
            _ => "journal.read",
        };
        Self::new(code, error.to_string()).fatal()
    }
}
