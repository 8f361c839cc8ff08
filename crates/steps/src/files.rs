//! Which files a flow may read and write, and what it did.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_data::parts::Parts;
use flowrun_data::write::WriteReport;
use serde::Serialize;

/// What to do where a file is not what it was when the run began.
pub(crate) const CHANGED_HELP: &str = "put the file back as it was, take it as it is with `flowrun resume --accept-changes`, or begin again with `flowrun FILE --new`";

/// Where rows that are many are kept, if anywhere. What is made within an item belongs to the item's record, and is not
/// many.
pub(crate) fn parts<'a>(cx: &'a StepCx<'_>) -> Option<&'a Parts> {
    cx.resource::<Parts>().ok().filter(|_| cx.is_top())
}

/// Where a `write_table` step writes, if not where its own `path` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A file, relative to the working folder; the person who started the run named it, so it may lie anywhere.
    Path(PathBuf),
    /// Standard output.
    Stdout,
}

/// A file that was written.
#[derive(Clone, Debug, Serialize)]
pub struct Written {
    /// The step that wrote it.
    pub step: String,
    /// What it holds: `accepted` rows, or `rejected` ones.
    pub holds: &'static str,
    /// Its path as it was given; `-` for standard output.
    pub path: String,
    /// Rows, bytes and digest.
    #[serde(flatten)]
    pub report: WriteReport,
    /// The file itself; none for standard output.
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

/// A file that was read.
#[derive(Clone, Debug, Serialize)]
pub struct FileRead {
    /// The step that read it.
    pub step: String,
    /// Its path as it was given.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The BLAKE3 digest of its bytes, in hexadecimal.
    pub digest: String,
}

/// The files of a run.
///
/// What a flow reads is relative to the flow's folder and may not leave it; what it writes is relative to the working
/// folder and may not leave that. Further folders have to be allowed.
#[derive(Debug, Default)]
pub struct Files {
    /// The folder of the flow's file.
    pub flow_folder: PathBuf,
    /// The working folder.
    pub working_folder: PathBuf,
    /// Folders and files that may be read and written too, absolute.
    pub allowed: Vec<PathBuf>,
    /// Files among them that the person gave to be read.
    pub given: Vec<PathBuf>,
    /// The flow's name, the stem of files that belong to no target.
    pub flow_name: String,
    /// Destinations of `write_table` steps of the top flow, by name.
    pub destinations: BTreeMap<String, Destination>,
    read: Mutex<BTreeMap<String, FileRead>>,
    written: Mutex<Vec<Written>>,
}

impl Files {
    /// The files of a flow in `flow_folder`, run from `working_folder`.
    pub fn new(flow_folder: impl Into<PathBuf>, working_folder: impl Into<PathBuf>) -> Self {
        Self { flow_folder: flow_folder.into(), working_folder: working_folder.into(), ..Self::default() }
    }

    /// The place of a file that a flow reads.
    ///
    /// # Errors
    /// `files.outside` when it leaves the flow's folder and no allowed one holds it.
    pub fn to_read(&self, path: &str) -> Result<PathBuf, StepError> {
        self.within(&self.flow_folder, path, "read", "the folder of the flow's file")
    }

    /// The place of a file that a flow writes.
    ///
    /// # Errors
    /// `files.outside` when it leaves the working folder and no allowed one holds it.
    pub fn to_write(&self, path: &str) -> Result<PathBuf, StepError> {
        self.within(&self.working_folder, path, "written", "the working folder")
    }

    /// A path as a person would type it here: relative to the working folder where it lies below it.
    pub fn shown(&self, path: &Path) -> String {
        let short = path.strip_prefix(&self.working_folder).unwrap_or(path);
        short.display().to_string()
    }

    /// A message with paths as a person would type them here.
    pub fn shortened(&self, message: &str) -> String {
        message.replace(&format!("{}{}", self.working_folder.display(), std::path::MAIN_SEPARATOR), "")
    }

    fn within(&self, base: &Path, path: &str, verb: &str, base_name: &str) -> Result<PathBuf, StepError> {
        let target = base.join(path);
        let real = resolved(&target);
        let allowed = std::iter::once(base).chain(self.allowed.iter().map(PathBuf::as_path));
        if allowed.into_iter().any(|folder| real.starts_with(resolved(folder))) {
            return Ok(target);
        }
        let folder = real.parent().unwrap_or(&real).display().to_string();
        let message = format!("`{path}` leaves {base_name}, so it is not {verb}");
        Err(StepError::new("files.outside", message)
            .help(format!("allow its folder with `--allow-path {folder}`")))
    }

    /// Notes a file that was read; says whether it is the first time that this process reads it.
    pub fn note_read(&self, file: FileRead) -> bool {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(file.path.clone(), file).is_none()
    }

    /// Notes a file that was written.
    pub fn note_written(&self, file: Written) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).push(file);
    }

    /// All files that were read, by name.
    pub fn read(&self) -> Vec<FileRead> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// All files that were written, in their order.
    pub fn written(&self) -> Vec<Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The path without links and `..`, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    let mut here = lexical(path);
    loop {
        if let Ok(real) = here.canonicalize() {
            return rest.iter().rev().fold(real, |path, part| path.join(part));
        }
        let Some(name) = here.file_name().map(ToOwned::to_owned) else { return lexical(path) };
        rest.push(name);
        if !here.pop() {
            return lexical(path);
        }
    }
}

/// The path with `.` and `..` worked out by name alone.
fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !clean.pop() {
                    clean.push(part);
                }
            }
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_not_leave_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("flows/data")).unwrap();
        let files = Files::new(folder.path().join("flows"), folder.path());
        assert!(files.to_read("data/seed.json").is_ok());
        assert!(files.to_read("data/../x.json").is_ok());
        for outside in ["../x.json", "data/../../x.json", "/etc/passwd"] {
            let error = files.to_read(outside).unwrap_err();
            assert_eq!(error.code, "files.outside", "{outside}");
        }
        assert!(files.to_write("out/new/loans.json").is_ok());
        assert!(files.to_write("../loans.json").is_err());
    }

    #[test]
    #[cfg(unix)]
    fn a_link_out_of_the_folder_is_followed_before_it_is_judged() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
        let mut files = Files::new(folder.path(), folder.path());
        assert!(files.to_read("link/x.json").is_err());
        files.allowed.push(outside.path().to_owned());
        assert!(files.to_read("link/x.json").is_ok());
    }
}
