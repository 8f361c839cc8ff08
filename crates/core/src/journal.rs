//! What a run remembers of what it did: effects that cost something, and finished items.
//!
//! The engine looks an effect up before it does it and an item before it runs it, so a run over a fuller journal is the
//! same run, only shorter.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::events::Usage;
use crate::execute::Changes;
use crate::value::Value;

/// The key of the effect that notes a file which a step read. It costs nothing, so a run that holds only such is no
/// loss.
pub const FILE_EFFECT: &str = "file";

/// The key of the effect that notes that a step has waited, so that nobody waits again. It costs nothing either.
pub const WAIT_EFFECT: &str = "delay";

/// What stands behind the key of a call that may do harm the second time, in the key of the note that it has begun.
pub(crate) const START_MARK: &str = "/start";

/// The key of the call that a key notes the beginning of; none where it is the key of anything else.
pub fn begun_call(key: &str) -> Option<&str> {
    let call = key.strip_suffix(START_MARK)?;
    // What gives a value of the context may have any name.
    (!call.ends_with("!context")).then_some(call)
}

mod memory;
mod one_pass;

pub use memory::MemoryJournal;
pub use one_pass::OnePassJournal;

/// The key of what the whole run remembers. No address begins so: it stands apart from what steps did.
pub(crate) fn run_key(key: &str) -> String {
    format!("!{key}")
}

/// Whether a key is of what the whole run remembers.
fn is_of_run(key: &str) -> bool {
    key.starts_with('!')
}

/// How an item of a map ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemRecord {
    /// Its place among the items, from 0.
    pub index: u64,
    /// The collected outputs of the inner flow, in the order that the map collects them, or why there are none.
    #[serde(with = "result")]
    pub result: Result<Vec<Value>, StepError>,
    /// The named end that it reached.
    pub end: Option<Arc<str>>,
    /// Attempts that it took: 1 and one for each trial or retry edge beyond the first pass.
    pub attempts: u32,
    /// Whether it ended well and was not accepted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejected: bool,
    /// What it used.
    pub usage: Usage,
    /// What it changed of what is kept in memory; made in the parent when its turn comes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Changes,
    /// What its steps counted, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: BTreeMap<String, u64>,
}

/// Values as they are kept: what JSON has no type for comes back as it was.
mod result {
    use super::{Deserialize, Serialize, StepError, Value};
    use crate::value::kept;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        result: &Result<Vec<Value>, StepError>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        result.as_ref().map(kept::Kept).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Result<Vec<Value>, StepError>, D::Error> {
        let read = Result::<Vec<Value>, StepError>::deserialize(deserializer)?;
        let restore = |values: Vec<Value>| values.into_iter().map(kept::restore).collect::<Result<Vec<_>, _>>();
        read.map_or_else(|error| Ok(Err(error)), |values| restore(values).map(Ok))
            .map_err(serde::de::Error::custom)
    }
}

/// Where records are kept. Implementations are called from many tasks at once.
pub trait Journal: Send + Sync {
    /// The outcome of an effect that was done before, as JSON.
    ///
    /// # Errors
    /// When the journal cannot be read.
    fn effect(&self, key: &str) -> Result<Option<String>, StepError>;

    /// Keeps the outcome of an effect, as JSON, before it is used.
    ///
    /// # Errors
    /// When it cannot be kept; the run ends.
    fn keep_effect(&self, key: String, outcome: String) -> Result<(), StepError>;

    /// Keeps what somebody answered, as JSON: an effect that was no call.
    ///
    /// # Errors
    /// As for [`Journal::keep_effect`].
    fn keep_answer(&self, key: String, answer: String) -> Result<(), StepError> {
        self.keep_effect(key, answer)
    }

    /// The record of an item that finished before; `map` is the exact address of the map's visit.
    ///
    /// # Errors
    /// When the journal cannot be read.
    fn item(&self, map: &str, index: u64) -> Result<Option<ItemRecord>, StepError>;

    /// Keeps the record of an item; its effects are not needed any more.
    ///
    /// # Errors
    /// When it cannot be kept; the run ends.
    fn keep_item(&self, map: &str, record: &ItemRecord) -> Result<(), StepError>;

    /// Whether outcomes of effects are kept. Where they are not, they are not written down either.
    fn keeps(&self) -> bool {
        true
    }

    /// Whether a later process, with a flow that may have been changed, can ask for what is kept.
    fn outlives(&self) -> bool {
        false
    }

    /// Waits until the disk has all that was kept so far, where the journal was asked to wait for it; `must`: in any
    /// case. None where there is nothing to wait for.
    fn settled(&self, must: bool) -> Option<BoxFuture<'_, Result<(), StepError>>> {
        let _ = must;
        None
    }
}

/// No journal: nothing is remembered.
#[derive(Debug, Default)]
pub struct NoJournal;

impl Journal for NoJournal {
    fn keeps(&self) -> bool {
        false
    }

    fn effect(&self, _: &str) -> Result<Option<String>, StepError> {
        Ok(None)
    }

    fn keep_effect(&self, _: String, _: String) -> Result<(), StepError> {
        Ok(())
    }

    fn item(&self, _: &str, _: u64) -> Result<Option<ItemRecord>, StepError> {
        Ok(None)
    }

    fn keep_item(&self, _: &str, _: &ItemRecord) -> Result<(), StepError> {
        Ok(())
    }
}
