//! The engine through the library, without the program around it.

/// The rules of flows, a file for each: `conformance/RULE.yaml`.
pub(crate) mod conformance;
/// Flows that run beside each other, and waits between trials.
mod control;
/// What is done once stays done: a run over a fuller journal.
mod journal;
/// The order of items, whatever the order in which they end.
mod order;
/// Maps that end before their items do.
mod until;
/// Names, against a simple interpreter of them.
mod wiring;
