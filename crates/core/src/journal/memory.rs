//! [`MemoryJournal`]: a journal that ends with the process.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{ItemRecord, Journal};
use crate::error::StepError;
use crate::events::Usage;
use crate::execute::Changes;
use crate::value::Value;
use crate::words::push_number;

/// Parts that do not wait for each other.
const PARTS: usize = 16;

/// A journal that ends with the process.
///
/// It holds what a run over it could still ask for: the effects of items that run, and the records of those that have
/// ended. What happened inside an item goes when its record comes.
#[derive(Debug, Default)]
pub struct MemoryJournal([Mutex<Part>; PARTS]);

/// What is held of some of the outermost items, and of what lies inside them.
#[derive(Debug, Default)]
struct Part {
    /// By outermost item, then by key. What belongs to no item stands under no name.
    effects: HashMap<String, BTreeMap<String, String>>,
    /// By map, in the order of addresses: what lies below one stands together.
    items: BTreeMap<String, BTreeMap<u64, Kept>>,
}

/// A record in less room: almost all are without an error.
#[derive(Debug)]
struct Kept {
    result: Result<Box<[Value]>, Box<StepError>>,
    end: Option<Arc<str>>,
    attempts: u32,
    rejected: bool,
    usage: Usage,
    counters: Option<BTreeMap<String, u64>>,
    changes: Changes,
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many effects are held at the moment.
    pub fn effects(&self) -> usize {
        self.parts().map(|part| part.effects.values().map(BTreeMap::len).sum::<usize>()).sum()
    }

    /// How many items are held at the moment.
    pub fn items(&self) -> usize {
        self.parts().map(|part| part.items.values().map(BTreeMap::len).sum::<usize>()).sum()
    }

    fn parts(&self) -> impl Iterator<Item = MutexGuard<'_, Part>> {
        self.0.iter().map(|part| part.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The part that holds what lies in this outermost item.
    fn part(&self, item: &str) -> MutexGuard<'_, Part> {
        let mut hasher = DefaultHasher::new();
        hasher.write(item.as_bytes());
        let place = usize::try_from(hasher.finish() % PARTS as u64).unwrap_or(0);
        self.0[place].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for MemoryJournal {
    fn effect(&self, key: &str) -> Result<Option<String>, StepError> {
        let item = outermost(key);
        Ok(self.part(item).effects.get(item).and_then(|effects| effects.get(key)).cloned())
    }

    fn keep_effect(&self, key: String, outcome: String) -> Result<(), StepError> {
        let item = outermost(&key);
        let mut part = self.part(item);
        if let Some(effects) = part.effects.get_mut(item) {
            effects.insert(key, outcome);
        } else {
            let item = item.to_owned();
            part.effects.insert(item, BTreeMap::from([(key, outcome)]));
        }
        Ok(())
    }

    fn item(&self, map: &str, index: u64) -> Result<Option<ItemRecord>, StepError> {
        let inside = inside(map, index);
        let part = self.part(outermost(&inside));
        let kept = part.items.get(map).and_then(|items| items.get(&index));
        Ok(kept.map(|kept| kept.record(index)))
    }

    fn keep_item(&self, map: &str, record: &ItemRecord) -> Result<(), StepError> {
        let (inside, kept) = (inside(map, record.index), Kept::of(record));
        let item = outermost(&inside);
        let mut part = self.part(item);
        let effects = if item.len() + 1 == inside.len() {
            part.effects.remove(item).into_iter().flatten().collect()
        } else {
            part.effects.get_mut(item).map(|effects| take_below(effects, &inside)).unwrap_or_default()
        };
        let gone = (effects, take_below(&mut part.items, &inside));
        match part.items.get_mut(map) {
            Some(items) => items.insert(record.index, kept),
            None => part.items.entry(map.to_owned()).or_default().insert(record.index, kept),
        };
        // Texts are given back when nobody waits for the lock any more.
        drop(part);
        drop(gone);
        Ok(())
    }
}

impl Kept {
    fn of(record: &ItemRecord) -> Self {
        let result = match &record.result {
            Ok(values) => Ok(values.as_slice().into()),
            Err(error) => Err(Box::new(error.clone())),
        };
        let counters = (!record.counters.is_empty()).then(|| record.counters.clone());
        Self {
            result,
            end: record.end.clone(),
            attempts: record.attempts,
            rejected: record.rejected,
            usage: record.usage,
            counters,
            changes: record.changes.clone(),
        }
    }

    fn record(&self, index: u64) -> ItemRecord {
        let result = match &self.result {
            Ok(values) => Ok(values.to_vec()),
            Err(error) => Err((**error).clone()),
        };
        let (counters, changes) = (self.counters.clone().unwrap_or_default(), self.changes.clone());
        ItemRecord {
            index,
            result,
            end: self.end.clone(),
            attempts: self.attempts,
            rejected: self.rejected,
            usage: self.usage,
            counters,
            changes,
        }
    }
}

/// How the addresses of all that happens inside an item begin.
fn inside(map: &str, index: u64) -> String {
    let mut text = String::with_capacity(map.len() + "[18446744073709551615]/".len());
    text.push_str(map);
    text.push('[');
    push_number(&mut text, index);
    text.push_str("]/");
    text
}

/// The outermost item on the way to an address, `justify#1[17]`; nothing for what lies in none.
fn outermost(key: &str) -> &str {
    key.find("]/").map_or("", |end| &key[..=end])
}

/// Takes out all entries whose keys begin so.
fn take_below<T>(entries: &mut BTreeMap<String, T>, beginning: &str) -> Vec<(String, T)> {
    let from = (Bound::Included(beginning), Bound::Unbounded);
    let below = entries.range::<str, _>(from).map(|(key, _)| key).take_while(|key| key.starts_with(beginning));
    let keys: Vec<String> = below.cloned().collect();
    keys.iter().filter_map(|key| entries.remove_entry(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: u64) -> ItemRecord {
        let (result, counters) = (Ok(vec![Value::Null]), BTreeMap::new());
        ItemRecord {
            index,
            result,
            end: None,
            attempts: 1,
            rejected: false,
            usage: Usage::default(),
            counters,
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

    #[test]
    fn an_inner_item_takes_only_what_lies_in_it() {
        let journal = MemoryJournal::new();
        let keys = ["m#1[1]/i#1[1]/a#1!reply", "m#1[1]/i#1[12]/a#1!reply", "m#1[1]/a#1!reply", "m#1[1]/i#1!reply"];
        for key in keys {
            journal.keep_effect(key.to_owned(), "1".to_owned()).unwrap();
        }
        journal.keep_item("m#1[1]/i#1", &record(1)).unwrap();
        let left: Vec<bool> = keys.iter().map(|key| journal.effect(key).unwrap().is_some()).collect();
        assert_eq!(left, [false, true, true, true]);
        journal.keep_item("m#1", &record(1)).unwrap();
        assert_eq!((journal.effects(), journal.items()), (0, 1));
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let journal = MemoryJournal::new();
        let usage = Usage { calls: 2, ..Usage::default() };
        let good = ItemRecord { end: Some("done".into()), attempts: 3, usage, ..record(5) };
        let bad = ItemRecord { result: Err(StepError::new("a.b", "no").detail("x", "y")), ..record(6) };
        for record in [&good, &bad] {
            journal.keep_item("m#1", record).unwrap();
            let kept = journal.item("m#1", record.index).unwrap().unwrap();
            assert_eq!(format!("{kept:?}"), format!("{record:?}"));
        }
        assert!(journal.item("m#1", 7).unwrap().is_none());
    }
}
