//! What a server saw.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::FaultKind;

/// What a server saw since its start or its last reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Requests for a completion.
    pub requests: u64,
    /// Answers by HTTP status. A connection that is dropped before an answer has none.
    pub by_status: BTreeMap<u16, u64>,
    /// Faults by kind.
    pub faults: BTreeMap<FaultKind, u64>,
    /// Different `X-Client-Request-Id`s.
    pub identities: u64,
    /// Replies that were handed to the connection in full and without a fault.
    pub completed: u64,
    /// Identities that got such a reply more than once: finished calls that were made again.
    pub completed_again: u64,
    /// Most requests that were waiting for their answer at once.
    pub max_in_flight: u64,
}

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Its `X-Client-Request-Id`.
    pub identity: Option<String>,
    /// Its `Authorization`.
    pub authorization: Option<String>,
    /// Its body.
    pub body: Value,
}

/// What is known of one identity.
#[derive(Default)]
struct Call {
    faults: u32,
    completed: u32,
}

#[derive(Default)]
struct State {
    counters: Counters,
    in_flight: u64,
    calls: HashMap<String, Call>,
    recorded: Vec<Recorded>,
}

/// The counting. One lock, held for a few lines at a time, costs less than a dozen atomics.
#[derive(Default)]
pub(crate) struct Tally(Mutex<State>);

impl Tally {
    fn state(&self) -> MutexGuard<'_, State> {
        // Counters stay counters when a thread that held them panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an arrival and gives its number, from 0.
    pub(crate) fn arrived(&self, identity: Option<&str>) -> u64 {
        let mut state = self.state();
        let arrival = state.counters.requests;
        state.counters.requests += 1;
        state.in_flight += 1;
        state.counters.max_in_flight = state.counters.max_in_flight.max(state.in_flight);
        if let Some(identity) = identity
            && !state.calls.contains_key(identity)
        {
            state.calls.insert(identity.to_owned(), Call::default());
        }
        arrival
    }

    /// Keeps a request.
    pub(crate) fn record(&self, request: Recorded) {
        self.state().recorded.push(request);
    }

    /// Counts a fault, unless the call has met as many as the plan allows.
    pub(crate) fn fault(&self, identity: Option<&str>, kind: FaultKind, per_call: Option<u32>) -> bool {
        let mut state = self.state();
        if let Some(call) = identity.and_then(|identity| state.calls.get_mut(identity)) {
            if per_call.is_some_and(|most| call.faults >= most) {
                return false;
            }
            call.faults += 1;
        }
        *state.counters.faults.entry(kind).or_default() += 1;
        true
    }

    /// Counts an answer; `completed` where it is a whole reply without a fault.
    pub(crate) fn answered(&self, identity: Option<&str>, status: u16, completed: bool) {
        let mut state = self.state();
        *state.counters.by_status.entry(status).or_default() += 1;
        if !completed {
            return;
        }
        state.counters.completed += 1;
        if let Some(call) = identity.and_then(|identity| state.calls.get_mut(identity)) {
            call.completed += 1;
            if call.completed == 2 {
                state.counters.completed_again += 1;
            }
        }
    }

    /// Counts that a request no longer waits.
    pub(crate) fn left(&self) {
        let mut state = self.state();
        state.in_flight = state.in_flight.saturating_sub(1);
    }

    pub(crate) fn counters(&self) -> Counters {
        let state = self.state();
        Counters { identities: state.calls.len() as u64, ..state.counters.clone() }
    }

    pub(crate) fn recorded(&self) -> Vec<Recorded> {
        self.state().recorded.clone()
    }

    /// Forgets everything; requests that wait stay in flight.
    pub(crate) fn reset(&self) {
        let mut state = self.state();
        *state = State { in_flight: state.in_flight, ..State::default() };
    }
}
