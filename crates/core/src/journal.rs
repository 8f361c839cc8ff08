//! What a run remembers of what it did: effects that cost something, and finished items.
//!
//! The engine looks an effect up before it does it and an item before it runs it, so a run over a fuller journal is the
//! same run, only shorter.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::events::Usage;
use crate::value::Value;

/// How an item of a map ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemRecord {
    /// Its place among the items, from 0.
    pub index: u64,
    /// The outputs of the inner flow in its order, or why there are none.
    pub result: Result<Vec<Value>, StepError>,
    /// The named end that it reached.
    pub end: Option<Arc<str>>,
    /// Attempts that it took: 1 and one for each trial or retry edge beyond the first pass.
    pub attempts: u32,
    /// What it used.
    pub usage: Usage,
}

/// Where records are kept. Implementations are called from many tasks at once.
pub trait Journal: Send + Sync {
    /// The outcome of an effect that was done before.
    ///
    /// # Errors
    /// When the journal cannot be read.
    fn effect(&self, key: &str) -> Result<Option<serde_json::Value>, StepError>;

    /// Keeps the outcome of an effect, before it is used.
    ///
    /// # Errors
    /// When it cannot be kept; the run ends.
    fn keep_effect(&self, key: &str, outcome: &serde_json::Value) -> Result<(), StepError>;

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
}

/// A journal that ends with the process.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    effects: Mutex<HashMap<String, serde_json::Value>>,
    items: Mutex<HashMap<String, HashMap<u64, ItemRecord>>>,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many effects are held at the moment.
    pub fn effects(&self) -> usize {
        self.effects.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many items are held.
    pub fn items(&self) -> usize {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).values().map(HashMap::len).sum()
    }
}

impl Journal for MemoryJournal {
    fn effect(&self, key: &str) -> Result<Option<serde_json::Value>, StepError> {
        Ok(self.effects.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn keep_effect(&self, key: &str, outcome: &serde_json::Value) -> Result<(), StepError> {
        self.effects.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), outcome.clone());
        Ok(())
    }

    fn item(&self, map: &str, index: u64) -> Result<Option<ItemRecord>, StepError> {
        let items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(items.get(map).and_then(|m| m.get(&index)).cloned())
    }

    fn keep_item(&self, map: &str, record: &ItemRecord) -> Result<(), StepError> {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        items.entry(map.to_owned()).or_default().insert(record.index, record.clone());
        Ok(())
    }
}

/// No journal: nothing is remembered.
#[derive(Debug, Default)]
pub struct NoJournal;

impl Journal for NoJournal {
    fn effect(&self, _: &str) -> Result<Option<serde_json::Value>, StepError> {
        Ok(None)
    }

    fn keep_effect(&self, _: &str, _: &serde_json::Value) -> Result<(), StepError> {
        Ok(())
    }

    fn item(&self, _: &str, _: u64) -> Result<Option<ItemRecord>, StepError> {
        Ok(None)
    }

    fn keep_item(&self, _: &str, _: &ItemRecord) -> Result<(), StepError> {
        Ok(())
    }
}
