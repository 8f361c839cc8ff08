//! What the engine says while it runs. Terminal, report and log only listen.

use std::ops::{Add, AddAssign};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::conversation::Message;
use crate::error::StepError;

/// What calls of models used. Everything is counted, retried calls too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Calls that got an answer, templates' answers included.
    pub calls: u64,
    /// Calls that were answered from the cache of earlier runs; they are no calls, and used nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached: u64,
    /// HTTP requests made for them and for those that failed.
    pub tries: u64,
    /// Tokens of the prompts, as the endpoint counted them.
    pub input_tokens: u64,
    /// Tokens of the replies, as the endpoint counted them.
    pub output_tokens: u64,
    /// Calls whose reply did not say its tokens; where this is not 0, the tokens are a lower bound.
    pub uncounted: u64,
    /// Calls of which is known what they cost.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priced: u64,
    /// Calls of which it is not: the model has no price, or the reply did not say its tokens.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unpriced: u64,
    /// What the priced ones cost, in millionths of a millionth of a dollar: a token costs a whole number of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub picodollars: u64,
}

impl Usage {
    /// What a call cost, or that nobody knows.
    #[must_use]
    pub fn costing(self, picodollars: Option<u64>) -> Self {
        match picodollars {
            Some(cost) => Self { priced: 1, picodollars: cost, ..self },
            None => Self { unpriced: 1, ..self },
        }
    }

    /// What all calls cost, in dollars; none where that is not known of each of them, or none was to be paid for.
    #[expect(clippy::cast_precision_loss, reason = "15 digits are exact, and more are no one's bill")]
    pub fn dollars(&self) -> Option<f64> {
        (self.priced > 0 && self.unpriced == 0).then(|| self.picodollars as f64 / 1e12)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            cached: self.cached + other.cached,
            tries: self.tries + other.tries,
            input_tokens: self.input_tokens + other.input_tokens,
            output_tokens: self.output_tokens + other.output_tokens,
            uncounted: self.uncounted + other.uncounted,
            priced: self.priced + other.priced,
            unpriced: self.unpriced + other.unpriced,
            picodollars: self.picodollars.saturating_add(other.picodollars),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// How the items of a map ended. Asked = accepted + rejected + failed + overdrawn + not run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ItemCounts {
    /// How many were to run.
    pub asked: u64,
    /// Finished, and the map's `accept` output is truthy (or there is none).
    pub accepted: u64,
    /// Finished, and it is not.
    pub rejected: u64,
    /// Ended in an error.
    pub failed: u64,
    /// Ran beyond those that were wanted, and were discarded.
    pub overdrawn: u64,
    /// Never ran, because the run ended before.
    pub not_run: u64,
    /// Accepted ones that needed more than one attempt.
    pub accepted_after_retry: u64,
    /// Items that needed more than one attempt.
    pub retried: u64,
}

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step begins.
    StepStarted {
        /// Its address.
        at: &'a Address,
        /// Its type.
        step_type: &'a str,
    },
    /// A step ended well.
    StepFinished {
        /// Its address.
        at: &'a Address,
        /// Its type.
        step_type: &'a str,
        /// The branch that it took.
        branch: &'a str,
        /// What it made, in a few words.
        note: Option<&'a str>,
    },
    /// A step ended in an error.
    StepFailed {
        /// Its address.
        at: &'a Address,
        /// Why.
        error: &'a StepError,
    },
    /// A map begins.
    MapStarted {
        /// Its address.
        at: &'a Address,
        /// How many items there are, where that is known.
        total: Option<u64>,
        /// How many are to be accepted, where that ends it.
        target: Option<u64>,
    },
    /// An item begins.
    ItemStarted {
        /// The map's address.
        map: &'a Address,
        /// Its place.
        index: u64,
    },
    /// An item ended.
    ItemFinished {
        /// The map's address.
        map: &'a Address,
        /// Its place.
        index: u64,
        /// Whether it was accepted, or why it failed.
        result: Result<bool, &'a StepError>,
        /// Attempts that it took.
        attempts: u32,
    },
    /// A map ended.
    MapFinished {
        /// Its address.
        at: &'a Address,
        /// How its items ended.
        counts: &'a ItemCounts,
        /// How often each named end was reached.
        ends: &'a [(Arc<str>, u64)],
    },
    /// A model answered, or a template in its place.
    Answered {
        /// The step's address.
        at: &'a Address,
        /// The model's name in the flow.
        model: &'a str,
        /// The rendered prompt, roles and texts.
        prompt: &'a [(String, String)],
        /// The reply.
        reply: &'a str,
    },
    /// A message of the conversation.
    Said {
        /// The step's address.
        at: &'a Address,
        /// What was said.
        message: &'a Message,
    },
    /// A step says something that a person may want to know.
    Note {
        /// Its address.
        at: &'a Address,
        /// A lower-case fragment.
        text: &'a str,
    },
    /// A table or score that belongs into the report.
    Scored {
        /// Its address.
        at: &'a Address,
        /// The scores.
        scores: &'a serde_json::Value,
    },
}

/// Somebody who listens. Called from many tasks at once; must be quick.
pub trait Observer: Send + Sync {
    /// Whether it wants to hear of steps inside of maps, retries and flows, and of single items' beginnings.
    fn wants_inner(&self) -> bool {
        false
    }

    /// Something happened.
    fn on(&self, event: &Event<'_>);
}

/// All who listen. One that fails is heard no more and never stops a run.
#[derive(Default)]
pub struct Observers {
    all: Vec<(Arc<dyn Observer>, AtomicBool)>,
    inner: bool,
}

impl Observers {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds somebody.
    #[must_use]
    pub fn with(mut self, observer: Arc<dyn Observer>) -> Self {
        self.inner |= observer.wants_inner();
        self.all.push((observer, AtomicBool::new(true)));
        self
    }

    /// Whether anybody wants to hear of inner steps.
    pub fn wants_inner(&self) -> bool {
        self.inner
    }

    /// Tells everybody.
    pub fn tell(&self, event: &Event<'_>) {
        for (observer, alive) in &self.all {
            if alive.load(Ordering::Relaxed) && catch_unwind(AssertUnwindSafe(|| observer.on(event))).is_err() {
                alive.store(false, Ordering::Relaxed);
                tracing::error!("an observer of the run failed and is not heard any more");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    struct Fails(AtomicU32);

    impl Observer for Fails {
        fn on(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("an observer's own mistake");
        }
    }

    #[test]
    fn a_failing_observer_is_heard_once_and_stops_nothing() {
        let observer = Arc::new(Fails(AtomicU32::new(0)));
        let observers = Observers::new().with(observer.clone());
        for _ in 0..3 {
            observers.tell(&Event::Note { at: &Address::root(), text: "x" });
        }
        assert_eq!(observer.0.load(Ordering::Relaxed), 1);
    }
}
