//! What stands in the journal beside the outcomes of effects: what a whole run remembers, and what was used for it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::context::{StepCx, not_kept, unreadable};
use crate::error::StepError;
use crate::events::Usage;
use crate::journal::{Journal, run_key};

/// What a call used whose answer the whole run remembers, as a journal keeps it for the visit that made the call.
#[derive(Serialize, Deserialize)]
pub struct Used {
    /// What it used.
    pub used: Usage,
}

impl StepCx<'_> {
    /// What [`StepCx::remember`] kept under a key, by whatever step of the run.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn recall<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StepError> {
        let kept = self.run.journal.effect(&run_key(key))?;
        kept.map(|kept| serde_json::from_str(&kept).map_err(unreadable)).transpose()
    }

    /// Keeps what was paid for and is the same wherever in the run it is asked for, such as the vector of a text. The
    /// key says all that it depends on.
    ///
    /// # Errors
    /// When it cannot be kept; the run ends.
    pub fn remember<T: Serialize>(&self, key: &str, outcome: &T) -> Result<(), StepError> {
        let kept = serde_json::to_string(outcome).map_err(not_kept)?;
        self.run.journal.keep_effect(run_key(key), kept)
    }

    /// Counts what a call used whose answer the whole run remembers, and keeps it for this visit: what it paid is told
    /// after a kill too. `key` is unique within the visit.
    ///
    /// # Errors
    /// When it cannot be kept; the run ends.
    pub async fn note_usage(&self, key: &str, usage: Usage) -> Result<(), StepError> {
        self.add_usage(usage);
        if !self.run.journal.keeps() {
            return Ok(());
        }
        self.keep(key, serde_json::to_string(&Used { used: usage }).map_err(not_kept)?).await
    }

    /// Counts again what this visit noted under the key in an earlier process; false where there is no such note.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn recall_usage(&self, key: &str) -> Result<bool, StepError> {
        let Some(kept) = self.kept(key)? else { return Ok(false) };
        let Used { used } = serde_json::from_str(&kept).map_err(unreadable)?;
        self.add_usage(used);
        if let Some(meter) = &self.frame.meter {
            meter.count_calls(used.calls);
        }
        Ok(true)
    }
}
