//! [`FileJournal`]: the journal of a run on disk.

use std::fs::{File, OpenOptions as FileOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use flowrun_core::error::StepError;
use flowrun_core::journal::{FILE_EFFECT, ItemRecord, Journal, WAIT_EFFECT, begun_call};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::index::{Asked, Index, Place, StepEnd, line_at};
use crate::line::{Line, decode};
use crate::sync::Syncer;
use crate::{FORMAT, JOURNAL_FILE, JournalError};

/// What is larger stands in a file of its own.
const LARGE: usize = 256 << 10;
/// The folder of what is larger.
pub(crate) const VALUES: &str = "values";

/// How a journal is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// Whether a record is on the disk before its outcome is used, not only with the operating system.
    pub durable: bool,
    /// As if the items that failed had never run.
    pub drop_failed: bool,
    /// Only effects, also those inside finished items: each item is run again over them.
    pub effects_only: bool,
    /// Likewise of items that stand before this place in the journal: they were finished over another flow.
    pub items_from: u64,
}

/// What an earlier process left in a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Outcomes of calls outside of finished items.
    pub calls: u64,
    /// What people answered, likewise.
    pub answers: u64,
    /// Calls that may do harm the second time, and began without giving anything, likewise.
    pub begun: u64,
    /// Finished items.
    pub items: u64,
    /// Finished items that ended in an error.
    pub failed: u64,
}

impl Held {
    /// Whether there is nothing that would be a loss; an item that failed is none.
    pub fn is_empty(&self) -> bool {
        self.calls + self.answers + self.begun == 0 && self.items == self.failed
    }
}

/// A journal on disk: an append-only file of checksummed lines.
///
/// What this process writes it never reads again: an address is visited once, so only what earlier processes left is
/// looked up, and that does not change.
pub struct FileJournal {
    path: PathBuf,
    index: Index,
    reader: Mutex<File>,
    writer: Mutex<Writer>,
    syncer: Syncer,
    durable: bool,
    /// What this process has kept that would be a loss.
    kept: AtomicU64,
}

struct Writer {
    file: File,
    /// Why nothing is written any more. What stands behind a line that failed would be lost with it.
    broken: Option<String>,
}

impl FileJournal {
    /// A new journal in the folder of a run.
    ///
    /// # Errors
    /// When the file is there already, or cannot be written.
    pub fn create(folder: &Path, options: OpenOptions) -> Result<Self, JournalError> {
        let path = folder.join(JOURNAL_FILE);
        let mut file = FileOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)
            .map_err(JournalError::io(&path, "written"))?;
        let header = Line { journal: Some(FORMAT), ..Line::default() };
        let bytes = header.encode().map_err(|e| JournalError::io(&path, "written")(e.into()))?;
        file.write_all(&bytes).map_err(JournalError::io(&path, "written"))?;
        Self::start(path, file, Index { whole: bytes.len() as u64, ..Index::default() }, options)
    }

    /// The journal that an earlier process left. A line that it did not finish is dropped.
    ///
    /// # Errors
    /// When it is missing, of a newer format, or damaged other than at its end.
    pub fn open(folder: &Path, options: OpenOptions) -> Result<Self, JournalError> {
        let path = folder.join(JOURNAL_FILE);
        let mut index = Index::read(
            &path,
            options.drop_failed,
            if options.effects_only { u64::MAX } else { options.items_from },
        )?;
        if options.effects_only {
            // Another flow may take other steps in another order, and another file is read anew.
            index.visits.clear();
            index.effects.retain(|key, _| !is_of(key, FILE_EFFECT));
        }
        let file = FileOptions::new().append(true).open(&path).map_err(JournalError::io(&path, "written"))?;
        let length = file.metadata().map_err(JournalError::io(&path, "read"))?.len();
        if length > index.whole {
            file.set_len(index.whole).map_err(JournalError::io(&path, "written"))?;
        }
        Self::start(path, file, index, options)
    }

    fn start(path: PathBuf, file: File, index: Index, options: OpenOptions) -> Result<Self, JournalError> {
        let reader = File::open(&path).map_err(JournalError::io(&path, "read"))?;
        let synced = file.try_clone().and_then(|file| Syncer::start(file, index.whole));
        let syncer = synced.map_err(JournalError::io(&path, "written"))?;
        let (reader, writer) = (Mutex::new(reader), Mutex::new(Writer { file, broken: None }));
        Ok(Self { path, index, reader, writer, syncer, durable: options.durable, kept: AtomicU64::new(0) })
    }

    /// What an earlier process left.
    pub fn held(&self) -> Held {
        let items = || self.index.items.values().flatten().filter(|place| place.length > 0);
        let effects = |answer| {
            let counts = move |(key, place): &(&String, &Place)| costs(key) && place.answer == answer;
            self.index.effects.iter().filter(counts).count() as u64
        };
        let begun = self.index.effects.keys().filter_map(|key| begun_call(key));
        Held {
            calls: effects(false),
            answers: effects(true),
            begun: begun.filter(|call| !self.index.effects.contains_key(*call)).count() as u64,
            items: items().count() as u64,
            failed: items().filter(|place| place.failed).count() as u64,
        }
    }

    /// Whether a resume would find anything that would be a loss.
    pub fn is_empty(&self) -> bool {
        self.held().is_empty() && self.kept.load(Ordering::Relaxed) == 0
    }

    /// Notes that a map has begun, for those who look at the run from outside; and how many items it has or, where it
    /// has a `target`, how many are to be accepted.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_map(&self, map: &str, items: u64, target: bool) -> Result<(), StepError> {
        let asked = Asked { items, target };
        if self.index.asked.get(map) == Some(&asked) {
            return Ok(());
        }
        self.append(asked.line(map).encode())
    }

    /// Notes that a step of the top flow has begun; `visit` is its address.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_begun(&self, visit: &str, step_type: &str) -> Result<(), StepError> {
        if self.index.visits.has_begun(visit) {
            return Ok(());
        }
        let text = serde_json::json!({ "type": step_type }).to_string();
        self.keep(&text, &Line { begun: Some(visit.into()), ..Line::default() })
    }

    /// Notes how a step of the top flow has ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_ended(&self, visit: &str, how: &StepEnd) -> Result<(), StepError> {
        if self.index.visits.has_ended(visit) {
            return Ok(());
        }
        let text = serde_json::to_string(how).map_err(|e| self.broken(&e.to_string()))?;
        self.keep(&text, &Line { ended: Some(visit.into()), ..Line::default() })
    }

    /// The place in the file at which what this process keeps begins.
    pub fn begins_at(&self) -> u64 {
        self.index.whole
    }

    /// Writes a line, as it was encoded.
    fn append(&self, line: Result<Vec<u8>, serde_json::Error>) -> Result<(), StepError> {
        let bytes = line.map_err(|e| self.broken(&e.to_string()))?;
        if let Some(why) = self.syncer.failure() {
            return Err(self.broken(&why));
        }
        let mut writer = locked(&self.writer);
        if let Some(why) = &writer.broken {
            return Err(self.broken(why));
        }
        if let Err(error) = writer.file.write_all(&bytes) {
            writer.broken = Some(error.to_string());
            return Err(self.broken(&error.to_string()));
        }
        drop(writer);
        self.syncer.wrote(bytes.len());
        Ok(())
    }

    fn broken(&self, why: &str) -> StepError {
        StepError::new("journal.write", format!("the journal of the run cannot be written: {why}"))
            .detail("file", self.path.display().to_string())
            .help("nothing that is in it was lost; when it can be written again, resume the run")
            .fatal()
    }

    /// Appends what is kept under a key, in a file of its own where it is large.
    fn keep(&self, text: &str, line: &Line<'_>) -> Result<(), StepError> {
        if text.len() > LARGE {
            let digest = self.keep_large(text).map_err(|e| self.broken(&e.to_string()))?;
            return self.append(line.encode_with_large(&digest));
        }
        self.append(line.encode_with(text))
    }

    fn keep_under(&self, key: String, outcome: &str, answer: bool) -> Result<(), StepError> {
        let paid = costs(&key) || begun_call(&key).is_some();
        self.keep(outcome, &Line { effect: Some(key.into()), answer, ..Line::default() })?;
        self.kept.fetch_add(u64::from(paid), Ordering::Relaxed);
        Ok(())
    }

    fn keep_large(&self, text: &str) -> std::io::Result<String> {
        let folder = self.path.with_file_name(VALUES);
        let digest = blake3::hash(text.as_bytes()).to_hex().to_string();
        let target = folder.join(&digest);
        if !target.exists() {
            std::fs::create_dir_all(&folder)?;
            let beside = folder.join(format!(".{digest}.{}.partial", std::process::id()));
            let mut file = File::create(&beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&beside, &target)?;
        }
        Ok(digest)
    }

    /// What is kept at a place.
    fn read(&self, place: Place) -> Result<String, JournalError> {
        let bytes = line_at(&mut locked(&self.reader), place).map_err(JournalError::io(&self.path, "read"))?;
        let changed = |why| JournalError::Changed { path: self.path.clone(), why };
        let line = decode(&bytes).map_err(changed)?;
        match (line.value, line.large) {
            (Some(value), _) => Ok(value.get().to_owned()),
            (None, Some(digest)) => read_large(&self.path.with_file_name(VALUES), &digest),
            (None, None) => Err(changed("it keeps nothing".to_owned())),
        }
    }
}

/// A value that stands in a file of its own, in this folder of a run's.
pub(crate) fn read_large(values: &Path, digest: &str) -> Result<String, JournalError> {
    let path = values.join(digest);
    if !path.is_file() {
        return Err(JournalError::Missing(path));
    }
    let text = std::fs::read_to_string(&path).map_err(JournalError::io(&path, "read"))?;
    if blake3::hash(text.as_bytes()).to_hex().as_str() != digest {
        return Err(JournalError::Changed { path, why: "its digest does not fit".to_owned() });
    }
    Ok(text)
}

impl Journal for FileJournal {
    fn effect(&self, key: &str) -> Result<Option<String>, StepError> {
        match self.index.effects.get(key) {
            Some(place) => Ok(Some(self.read(*place)?)),
            None => Ok(None),
        }
    }

    fn keep_effect(&self, key: String, outcome: String) -> Result<(), StepError> {
        self.keep_under(key, &outcome, false)
    }

    fn keep_answer(&self, key: String, answer: String) -> Result<(), StepError> {
        self.keep_under(key, &answer, true)
    }

    fn item(&self, map: &str, index: u64) -> Result<Option<ItemRecord>, StepError> {
        let Some(place) = self.index.item(map, index) else { return Ok(None) };
        let text = self.read(place)?;
        let record = serde_json::from_str(&text).map_err(|e| {
            StepError::new("journal.record", format!("an item's record cannot be read: {e}")).fatal()
        })?;
        Ok(Some(record))
    }

    fn keep_item(&self, map: &str, record: &ItemRecord) -> Result<(), StepError> {
        let text = serde_json::to_string(record)
            .map_err(|e| StepError::new("journal.record", format!("an item cannot be kept: {e}")).fatal())?;
        let (index, failed, rejected) = (Some(record.index), record.result.is_err(), record.rejected);
        self.keep(&text, &Line { item: Some(map.into()), index, failed, rejected, ..Line::default() })?;
        self.kept.fetch_add(u64::from(!failed), Ordering::Relaxed);
        Ok(())
    }

    fn outlives(&self) -> bool {
        true
    }

    fn settled(&self, must: bool) -> Option<BoxFuture<'_, Result<(), StepError>>> {
        let wait = async move { self.syncer.wait().await.map_err(|why| self.broken(&why)) };
        (must || self.durable).then(|| wait.boxed())
    }
}

/// Whether an effect cost something, so that it would be a loss: a call, an answer; not a file that was looked at, nor the
/// note that a call began, nor what the whole run remembers, of which the visit that paid for it has a note.
pub fn costs(key: &str) -> bool {
    !key.starts_with('!') && !is_of(key, FILE_EFFECT) && !is_of(key, WAIT_EFFECT) && begun_call(key).is_none()
}

/// Whether the name of an effect is this one, or one of several below it.
pub(crate) fn is_of(key: &str, kind: &str) -> bool {
    let name = key.split_once('!').map_or(key, |(_, name)| name);
    name.strip_prefix(kind).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
