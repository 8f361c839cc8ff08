//! What a run remembers of what it did: effects that cost something, and finished items.
//!
//! The engine looks an effect up before it does it and an item before it runs it, so a run over a fuller journal is the
//! same run, only shorter.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::events::Usage;
use crate::execute::Changes;
use crate::value::Value;

/// How an item of a map ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemRecord {
    /// Its place among the items, from 0.
    pub index: u64,
    /// The collected outputs of the inner flow, in the order that the map collects them, or why there are none.
    pub result: Result<Vec<Value>, StepError>,
    /// The named end that it reached.
    pub end: Option<Arc<str>>,
    /// Attempts that it took: 1 and one for each trial or retry edge beyond the first pass.
    pub attempts: u32,
    /// What it used.
    pub usage: Usage,
    /// What it changed of what is kept in memory; made in the parent when its turn comes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Changes,
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
///
/// It holds what a run over it could still ask for: the effects of items that run, and the records of those that have
/// ended. What happened inside an item goes when its record comes.
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<Held>);

/// What is held, in the order of addresses: what lies below one stands together.
#[derive(Debug, Default)]
struct Held {
    effects: BTreeMap<String, String>,
    items: BTreeMap<String, HashMap<u64, ItemRecord>>,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many effects are held at the moment.
    pub fn effects(&self) -> usize {
        self.held().effects.len()
    }

    /// How many items are held at the moment.
    pub fn items(&self) -> usize {
        self.held().items.values().map(HashMap::len).sum()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryJournal {
    fn effect(&self, key: &str) -> Result<Option<String>, StepError> {
        Ok(self.held().effects.get(key).cloned())
    }

    fn keep_effect(&self, key: String, outcome: String) -> Result<(), StepError> {
        self.held().effects.insert(key, outcome);
        Ok(())
    }

    fn item(&self, map: &str, index: u64) -> Result<Option<ItemRecord>, StepError> {
        Ok(self.held().items.get(map).and_then(|m| m.get(&index)).cloned())
    }

    fn keep_item(&self, map: &str, record: &ItemRecord) -> Result<(), StepError> {
        let (inside, kept) = (format!("{map}[{}]/", record.index), record.clone());
        let mut held = self.held();
        let gone = (take_below(&mut held.effects, &inside), take_below(&mut held.items, &inside));
        match held.items.get_mut(map) {
            Some(items) => items.insert(kept.index, kept),
            None => held.items.entry(map.to_owned()).or_default().insert(kept.index, kept),
        };
        // Texts are given back when nobody waits for the lock any more.
        drop(held);
        drop(gone);
        Ok(())
    }
}

/// Takes out all entries whose keys begin so.
fn take_below<T>(entries: &mut BTreeMap<String, T>, beginning: &str) -> Vec<(String, T)> {
    let from = (Bound::Included(beginning), Bound::Unbounded);
    let below = entries.range::<str, _>(from).map(|(key, _)| key).take_while(|key| key.starts_with(beginning));
    let keys: Vec<String> = below.cloned().collect();
    keys.iter().filter_map(|key| entries.remove_entry(key)).collect()
}

/// No journal: nothing is remembered.
#[derive(Debug, Default)]
pub struct NoJournal;

impl Journal for NoJournal {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: u64) -> ItemRecord {
        ItemRecord {
            index,
            result: Ok(vec![Value::Null]),
            end: None,
            attempts: 1,
            usage: Usage::default(),
            changes: Vec::new(),
        }
    }

    #[test]
    fn what_happened_inside_an_item_goes_when_its_record_comes() {
        let journal = MemoryJournal::new();
        let outcome = "\"a reply\"".to_owned();
        for key in
            ["m#1[1]/a#1!reply", "m#1[1]/b#1.2/a#1!reply", "m#1[17]/a#1!reply", "m#2[1]/a#1!reply", "a#1!reply"]
        {
            journal.keep_effect(key.to_owned(), outcome.clone()).unwrap();
        }
        journal.keep_item("m#1[1]/inner#1", &record(0)).unwrap();
        journal.keep_item("m#1[17]/inner#1", &record(0)).unwrap();
        journal.keep_item("m#1", &record(1)).unwrap();
        assert_eq!((journal.effects(), journal.items()), (3, 2));
        assert_eq!(journal.effect("m#1[1]/a#1!reply").unwrap(), None);
        assert_eq!(journal.effect("m#1[17]/a#1!reply").unwrap(), Some(outcome));
        assert!(journal.item("m#1", 1).unwrap().is_some() && journal.item("m#1[1]/inner#1", 0).unwrap().is_none());
    }
}
