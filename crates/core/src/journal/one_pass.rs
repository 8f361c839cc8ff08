//! [`OnePassJournal`]: the journal of a run that no other goes on with.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::{ItemRecord, Journal, is_of_run};
use crate::error::StepError;

/// The journal of a run that no other goes on with: no outcome is written down for it. An address is visited once, so
/// nobody asks for what stands at one; what steps remember for the whole run, such as the vector of a text, it holds.
#[derive(Debug, Default)]
pub struct OnePassJournal(Mutex<HashMap<String, String>>);

impl OnePassJournal {
    /// An empty journal.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Journal for OnePassJournal {
    fn keeps(&self) -> bool {
        false
    }

    fn effect(&self, key: &str) -> Result<Option<String>, StepError> {
        if !is_of_run(key) {
            return Ok(None);
        }
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn keep_effect(&self, key: String, outcome: String) -> Result<(), StepError> {
        if is_of_run(&key) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, outcome);
        }
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
    use crate::journal::run_key;

    #[test]
    fn it_holds_what_the_run_remembers_and_no_outcome() {
        let journal = OnePassJournal::new();
        for key in [run_key("vector"), "write#1!reply".to_owned()] {
            journal.keep_effect(key, "1".to_owned()).unwrap();
        }
        assert_eq!(journal.effect(&run_key("vector")).unwrap().as_deref(), Some("1"));
        assert_eq!(journal.effect("write#1!reply").unwrap(), None);
    }
}
