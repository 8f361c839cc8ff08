//! The folder of a run: who holds it, what was asked, how it ended.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{FORMAT, JOURNAL_FILE, JournalError};

const RUN_FILE: &str = "run.json";
const STATE_FILE: &str = "state.json";
const LOCK_FILE: &str = "lock";
/// Finished runs that are kept.
const FINISHED_KEPT: usize = 20;
/// How long a process may take from making a run's folder to holding it.
const BEGINNING: Duration = Duration::from_secs(60);
/// A journal of so many bytes holds no more than its first line.
const EMPTY_JOURNAL: u64 = 40;
/// Letters and digits that nobody takes for one another.
const ID_LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz";
const ID_CHARACTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// A flow with all that its text depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRecord {
    /// The flow's name.
    pub name: String,
    /// The file as it was named; `-` for standard input.
    pub file: PathBuf,
    /// Its text.
    pub text: String,
    /// The texts of the files that it inlines, by path.
    pub inlined: BTreeMap<String, String>,
    /// The variables of the environment that it reads, with their values; none where one is not set.
    pub environment: BTreeMap<String, Option<String>>,
    /// The variables that it reads into secret places; their values are not kept.
    pub secrets: Vec<String>,
    /// Whether the text held secrets itself, which are hidden in what is kept of it.
    #[serde(default)]
    pub hidden: bool,
}

impl FlowRecord {
    /// In words, where `other` differs from it, most telling first; empty where the flow is the same.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = Vec::new();
        text_difference(&self.file.display().to_string(), Some(&self.text), Some(&other.text), &mut found);
        let paths = self.inlined.keys().chain(other.inlined.keys()).collect::<std::collections::BTreeSet<_>>();
        for path in paths {
            let (was, is) = (self.inlined.get(path), other.inlined.get(path));
            text_difference(path, was.map(String::as_str), is.map(String::as_str), &mut found);
        }
        let names =
            self.environment.keys().chain(other.environment.keys()).collect::<std::collections::BTreeSet<_>>();
        for name in names {
            let value = |record: &Self| record.environment.get(name).cloned().flatten();
            let (was, is) = (value(self), value(other));
            if was != is {
                let shown = |v: Option<String>| v.map_or_else(|| "unset".to_owned(), |v| format!("`{v}`"));
                found.push(format!("the environment's {name} was {}, and is {}", shown(was), shown(is)));
            }
        }
        found
    }
}

fn text_difference(name: &str, was: Option<&str>, is: Option<&str>, found: &mut Vec<String>) {
    match (was, is) {
        (Some(was), Some(is)) if was != is => {
            let same = was.lines().zip(is.lines()).take_while(|(a, b)| a == b).count();
            found.push(format!("{name} differs from line {} on", same + 1));
        }
        (Some(_), None) => found.push(format!("{name} is not inlined any more")),
        (None, Some(_)) => found.push(format!("{name} is inlined now")),
        _ => {}
    }
}

/// What was asked: `run.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunFile {
    /// The format of the folder.
    pub format: u32,
    /// The program that made it, with its version.
    pub program: String,
    /// The flow.
    pub flow: FlowRecord,
    /// The folder from which it was started, and to which what is written is relative.
    pub working_folder: PathBuf,
    /// The flow's inputs, by name, without the secret ones.
    pub inputs: Map<String, Value>,
    /// The names of the secret ones; their values are not kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_inputs: Vec<String>,
    /// The run's seed.
    pub seed: u64,
    /// Who answers for each model.
    pub models: BTreeMap<String, String>,
    /// Who answered before the run went on with others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_models: Vec<BTreeMap<String, String>>,
    /// The run that it was forked from, and the step from which on it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked: Option<Forked>,
    /// The place in the journal from which on items count: those before it were finished over a flow that was changed
    /// since.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub items_from: u64,
    /// What no other run has: by it stores know what the run has changed already.
    #[serde(default)]
    pub mark: String,
    /// The files that the flow was known to read when the run began, and its programs, with the BLAKE3 digests of their
    /// bytes, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// The options as they were typed.
    pub options: Map<String, Value>,
    /// A digest over all that makes two runs the same one: the flow, inputs, seed, models and targets.
    pub identity: String,
    /// When it was started, in seconds since 1970.
    pub started: u64,
}

/// Where a run was forked from another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forked {
    /// The other run.
    pub run: String,
    /// The step.
    pub from: String,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It reached its end.
    Finished,
    /// It ended in an error.
    Failed,
    /// It was told to stop.
    Stopped,
    /// It waits for somebody's answer.
    Waiting,
    /// A process works on it.
    Running,
    /// Its process is gone without a word.
    Killed,
}

impl Status {
    /// The word for a person.
    pub fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Killed => "killed",
        }
    }
}

/// Why a run failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// The error's code.
    pub code: String,
    /// What was wrong.
    pub message: String,
    /// The step.
    pub step: Option<String>,
}

/// How a run ended, the last time that it did: `state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunState {
    /// How.
    pub status: Status,
    /// Why, where it failed.
    pub error: Option<Failure>,
    /// How the items of its maps ended, by step.
    pub maps: Value,
    /// What its calls used.
    pub usage: Value,
    /// The questions that it waits for answers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Value>,
    /// How many messages a person has seen.
    #[serde(default)]
    pub said: u64,
    /// When, in seconds since 1970.
    pub ended: u64,
    /// And the nanoseconds beyond them, by which the last of several runs is told.
    #[serde(default)]
    pub ended_nanos: u32,
}

/// A run's folder, held by this process.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    id: String,
    /// What was asked.
    pub run: RunFile,
    lock: File,
}

#[expect(
    clippy::disallowed_methods,
    reason = "when a run began and ended is told, and its id has to be free; no result"
)]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl RunFolder {
    /// A new folder below `runs`, under an id that is free. It is no run's yet before [`RunFolder::write_run`], which
    /// comes when its journal is there: a process that is killed in between leaves nothing that looks like a run.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create_in(runs: &Path, run: RunFile) -> Result<Self, JournalError> {
        std::fs::create_dir_all(runs).map_err(JournalError::io(runs, "written"))?;
        if let Some(above) = runs.parent() {
            ignore(above)?;
        }
        for attempt in 0_u32.. {
            let id = new_id(attempt);
            let path = runs.join(&id);
            match std::fs::create_dir(&path) {
                Ok(()) => return Self::begin(path, id, run),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(JournalError::io(&path, "written")(e)),
            }
        }
        Err(JournalError::NoRun(runs.to_owned()))
    }

    /// Likewise in exactly this folder, which has to be empty or not there.
    ///
    /// # Errors
    /// When it holds something, or cannot be written.
    pub fn create_at(path: &Path, run: RunFile) -> Result<Self, JournalError> {
        std::fs::create_dir_all(path).map_err(JournalError::io(path, "written"))?;
        let mut entries = std::fs::read_dir(path).map_err(JournalError::io(path, "read"))?;
        if entries.next().is_some() {
            return Err(JournalError::NoRun(path.to_owned()));
        }
        Self::begin(path.to_owned(), id_of(path), run)
    }

    fn begin(path: PathBuf, id: String, mut run: RunFile) -> Result<Self, JournalError> {
        let lock = lock(&path, &id)?;
        run.started = since_1970().as_secs();
        run.mark = new_mark(&path);
        Ok(Self { path, id, run, lock })
    }

    /// The folder of a run that goes on.
    ///
    /// # Errors
    /// When another process holds it, something of it is missing, or a later version made it.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let run = read_run(path)?;
        let id = id_of(path);
        let lock = lock(path, &id)?;
        let journal = path.join(JOURNAL_FILE);
        if !journal.is_file() {
            return Err(JournalError::Missing(journal));
        }
        Ok(Self { path: path.to_owned(), id, run, lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its id: the folder's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Writes what was asked anew, as when a run goes on with another flow.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_run(&self) -> Result<(), JournalError> {
        replace(&self.path.join(RUN_FILE), &self.run)
    }

    /// Says how it ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_state(&self, mut state: RunState) -> Result<(), JournalError> {
        let now = since_1970();
        (state.ended, state.ended_nanos) = (now.as_secs(), now.subsec_nanos());
        replace(&self.path.join(STATE_FILE), &state)
    }

    /// Forgets how it ended, because it goes on.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn clear_state(&self) -> Result<(), JournalError> {
        let path = self.path.join(STATE_FILE);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(JournalError::io(&path, "written")(e)),
            _ => Ok(()),
        }
    }

    /// How it ended, the last time that it did.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn state(&self) -> Result<Option<RunState>, JournalError> {
        read_state(&self.path)
    }

    /// Removes it with all that is in it.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove(self) -> Result<(), JournalError> {
        let Self { path, lock, .. } = self;
        // Some systems remove no file that is open.
        drop(lock);
        std::fs::remove_dir_all(&path).map_err(JournalError::io(&path, "removed"))
    }
}

/// A run that was found on disk.
#[derive(Debug)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// Its folder.
    pub path: PathBuf,
    /// What was asked, or why that cannot be read.
    pub run: Result<RunFile, JournalError>,
    /// How it stands.
    pub status: Status,
    /// How it ended, the last time that it did.
    pub state: Option<RunState>,
    /// When it ended or, where it has not said so, wrote something the last time, since 1970.
    pub last: Duration,
    /// How long ago that was.
    pub age: Duration,
}

/// All runs below a folder, the last one first.
///
/// # Errors
/// When the folder cannot be read; that it is not there is no error.
pub fn runs_in(runs: &Path) -> Result<Vec<Found>, JournalError> {
    let entries = match std::fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(JournalError::io(runs, "read")(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(JournalError::io(runs, "read"))?.path();
        if path.join(RUN_FILE).is_file() || path.join(STATE_FILE).is_file() {
            found.push(Found::at(&path)?);
        }
    }
    // Runs of one moment stand in the order of their ids, so that the list is the same each time.
    found.sort_by(|a, b| (b.last, &a.id).cmp(&(a.last, &b.id)));
    Ok(found)
}

impl Found {
    /// The run in a folder.
    ///
    /// # Errors
    /// When how it ended cannot be read.
    pub fn at(path: &Path) -> Result<Self, JournalError> {
        let run = read_run(path);
        let state = read_state(path)?;
        let id = id_of(path);
        let held = matches!(lock(path, &id), Err(JournalError::InUse { .. }));
        let status = match (&state, held) {
            (_, true) => Status::Running,
            (Some(state), false) => state.status,
            (None, false) => Status::Killed,
        };
        let ended = state.as_ref().map(|s| Duration::new(s.ended, s.ended_nanos));
        let wrote = || written(&path.join(JOURNAL_FILE));
        let began = || run.as_ref().ok().map(|run| Duration::from_secs(run.started));
        let last = ended.or_else(wrote).or_else(began).unwrap_or_default();
        let age = since_1970().saturating_sub(last);
        Ok(Self { id, path: path.to_owned(), run, status, state, last, age })
    }
}

/// Removes the oldest finished runs beyond those that are kept, and what was never begun.
///
/// # Errors
/// When one cannot be removed.
pub fn prune(runs: &Path) -> Result<(), JournalError> {
    // The one that has just said that it finished is still held.
    let has_finished = |found: &Found| found.state.as_ref().is_some_and(|state| state.status == Status::Finished);
    let finished = runs_in(runs)?.into_iter().filter(has_finished);
    for old in finished.skip(FINISHED_KEPT) {
        match RunFolder::open(&old.path) {
            Ok(folder) => folder.remove()?,
            // Somebody has just begun to look at it.
            Err(JournalError::InUse { .. }) => {}
            Err(_) => std::fs::remove_dir_all(&old.path).map_err(JournalError::io(&old.path, "removed"))?,
        }
    }
    for entry in std::fs::read_dir(runs).map_err(JournalError::io(runs, "read"))? {
        let path = entry.map_err(JournalError::io(runs, "read"))?.path();
        let empty = std::fs::metadata(path.join(JOURNAL_FILE)).map_or(0, |m| m.len()) <= EMPTY_JOURNAL;
        if path.is_dir()
            && empty
            && !path.join(RUN_FILE).exists()
            && is_left(&path)
            && lock(&path, &id_of(&path)).is_ok()
        {
            std::fs::remove_dir_all(&path).map_err(JournalError::io(&path, "removed"))?;
        }
    }
    Ok(())
}

/// Whether a folder is so old that no process is about to begin a run in it.
fn is_left(folder: &Path) -> bool {
    written(folder).is_some_and(|made| since_1970().saturating_sub(made) > BEGINNING)
}

/// When a file or folder was written the last time.
fn written(path: &Path) -> Option<Duration> {
    let when = std::fs::metadata(path).and_then(|m| m.modified()).ok()?;
    when.duration_since(UNIX_EPOCH).ok()
}

fn id_of(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Four characters, more where many are taken. An id reaches no result, so the clock may give it.
fn new_id(attempt: u32) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&since_1970().as_nanos().to_le_bytes());
    hasher.update(&std::process::id().to_le_bytes());
    hasher.update(&attempt.to_le_bytes());
    let length = 4 + usize::try_from(attempt / 16).unwrap_or(0);
    let mut bytes = hasher.finalize_xof();
    let mut draw = |from: &[u8]| {
        let mut byte = [0; 2];
        bytes.fill(&mut byte);
        char::from(from[usize::from(u16::from_le_bytes(byte)) % from.len()])
    };
    (0..length).map(|n| draw(if n == 0 { ID_LETTERS } else { ID_CHARACTERS })).collect()
}

/// Reaches no result either.
fn new_mark(path: &Path) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&since_1970().as_nanos().to_le_bytes());
    hasher.update(&std::process::id().to_le_bytes());
    hasher.update(path.as_os_str().as_encoded_bytes());
    hasher.finalize().to_hex()[..24].to_owned()
}

/// Takes the lock of a run's folder; the operating system gives it back when the process ends, however it does.
fn lock(folder: &Path, id: &str) -> Result<File, JournalError> {
    let path = folder.join(LOCK_FILE);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(JournalError::io(&path, "written"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Who holds it says so after having taken it, so for a moment nothing may stand there.
            let read = file.read_to_string(&mut pid).ok().map(|_| pid.trim().to_owned());
            let pid = read.filter(|pid| !pid.is_empty()).unwrap_or_else(|| "(unknown)".to_owned());
            return Err(JournalError::InUse { id: id.to_owned(), pid });
        }
        Err(TryLockError::Error(e)) => return Err(JournalError::io(&path, "locked")(e)),
    }
    let say = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)).map(drop));
    say.and_then(|()| writeln!(file, "{}", std::process::id())).map_err(JournalError::io(&path, "written"))?;
    Ok(file)
}

/// Keeps what lies in a folder out of version control.
pub(crate) fn ignore(folder: &Path) -> Result<(), JournalError> {
    let ignore = folder.join(".gitignore");
    if !ignore.exists() {
        std::fs::write(&ignore, "*\n").map_err(JournalError::io(&ignore, "written"))?;
    }
    Ok(())
}

/// The place in a run's journal from which on items count.
pub(crate) fn items_from(folder: &Path) -> Result<u64, JournalError> {
    read_run(folder).map(|run| run.items_from)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn read_run(folder: &Path) -> Result<RunFile, JournalError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let path = folder.join(RUN_FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !folder.join(JOURNAL_FILE).exists() => {
            return Err(JournalError::NoRun(folder.to_owned()));
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(JournalError::Missing(path)),
        Err(e) => return Err(JournalError::io(&path, "read")(e)),
    };
    let damaged = |e: serde_json::Error| JournalError::Damaged {
        path: path.clone(),
        line: e.line() as u64,
        why: e.to_string(),
    };
    let Format { format } = serde_json::from_slice(&text).map_err(damaged)?;
    if format > FORMAT {
        return Err(JournalError::Newer { path, found: format });
    }
    serde_json::from_slice(&text).map_err(damaged)
}

fn read_state(folder: &Path) -> Result<Option<RunState>, JournalError> {
    let path = folder.join(STATE_FILE);
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|e| JournalError::Damaged {
            path,
            line: e.line() as u64,
            why: e.to_string(),
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(JournalError::io(&path, "read")(e)),
    }
}

/// Writes beside the file, then renames.
fn replace(path: &Path, value: &impl Serialize) -> Result<(), JournalError> {
    let beside = path.with_extension("partial");
    let write = || {
        let mut text = serde_json::to_vec_pretty(value)?;
        text.push(b'\n');
        let mut file = File::create(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(JournalError::io(path, "written"))
}

#[cfg(test)]
pub(crate) mod tests;
