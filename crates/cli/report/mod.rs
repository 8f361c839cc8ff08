//! What a person is told while a flow runs and when it has ended. Both only listen to the engine's events.

mod preview;
mod progress;
mod summary;

pub(crate) use preview::Preview;
pub(crate) use progress::Progress;
pub(crate) use summary::{Record, clock, cost_in_words};
