//! [`StepCx`]: everything a step may do beside its own work. Nothing is global.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frame::{Frame, State, walk};
use super::shelf::Fork;
use super::{ItemFailure, Run, RunOptions};
use crate::address::{Address, FrameKind};
use crate::cast::cast;
use crate::error::StepError;
use crate::events::{Event, Usage};
use crate::flow::{Flow, FlowStep};
use crate::ports::Ports;
use crate::seed::Key;
use crate::value::Value;

/// What a step sees of the run.
pub struct StepCx<'a> {
    pub(super) run: &'a Arc<Run>,
    pub(super) step: &'a FlowStep,
    pub(super) frame: &'a Frame,
    state: &'a State,
    visit: u32,
    attempt: u32,
    effects: Mutex<Vec<String>>,
}

/// How a flow that a step ran has ended.
#[derive(Debug)]
pub struct FlowEnd {
    /// Its outputs.
    pub outputs: Ports,
    /// The name of the `complete` step that it reached; none for the unnamed end.
    pub name: Option<Arc<str>>,
}

impl<'a> StepCx<'a> {
    pub(super) fn new(
        run: &'a Arc<Run>,
        step: &'a FlowStep,
        frame: &'a Frame,
        state: &'a State,
        visit: u32,
        attempt: u32,
    ) -> Self {
        Self { run, step, frame, state, visit, attempt, effects: Mutex::default() }
    }

    /// The step's name in its flow.
    pub fn step_name(&self) -> &Arc<str> {
        &self.step.name
    }

    /// Where the step stands in the run.
    pub fn address(&self) -> Address {
        self.frame.address.step(&self.step.name, self.visit)
    }

    /// 1, and one more for each trial after the first and each retry edge taken on the way here, up to the nearest
    /// enclosing map item.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// What the person who started the run asked for.
    pub fn options(&self) -> &RunOptions {
        &self.run.options
    }

    /// Whether the step belongs to the top flow.
    pub fn is_top(&self) -> bool {
        self.frame.address.step_name().is_none()
    }

    /// Whether the run is in preview: nothing may be written.
    pub fn is_preview(&self) -> bool {
        self.run.options.preview.is_some()
    }

    /// The draws of a column of this step, on this visit.
    pub fn rng(&self, column: &str) -> Key {
        Key::new(self.run.options.seed, &self.address().key(), column)
    }

    /// The identity of a request: the same for every try of it, and in every run with this seed.
    pub fn identity(&self, key: &str) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("flowrun 2026 request identity");
        hasher.update(&self.run.options.seed.to_le_bytes());
        hasher.update(self.effect_key(key).as_bytes());
        hasher.finalize().to_hex()[..32].to_owned()
    }

    fn effect_key(&self, key: &str) -> String {
        let mut address = self.address().key();
        address.push('!');
        address.push_str(key);
        address
    }

    /// Something that all steps share.
    ///
    /// # Errors
    /// `engine.resource` when the program that started the run did not provide one.
    pub fn resource<T: Send + Sync + 'static>(&self) -> Result<&T, StepError> {
        self.run.resources.get().ok_or_else(|| {
            let message = format!("the run has no {}", std::any::type_name::<T>());
            StepError::new("engine.resource", message)
        })
    }

    /// The place of a model among the document's models.
    pub fn model(&self, name: &str) -> Option<usize> {
        self.step.models.get(name).copied()
    }

    /// The place of a datastore among the document's datastores.
    pub fn datastore(&self, name: &str) -> Option<usize> {
        self.step.datastores.get(name).copied()
    }

    /// What [`StepCx::remember`] kept under a key, by whatever step of the run.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn recall<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StepError> {
        let Some(kept) = self.run.journal.effect(&run_key(key))? else { return Ok(None) };
        serde_json::from_str(&kept)
            .map(Some)
            .map_err(|e| StepError::new("journal.record", format!("a record cannot be read: {e}")))
    }

    /// Keeps what was paid for and is the same wherever in the run it is asked for, such as the vector of a text. The
    /// key says all that it depends on.
    ///
    /// # Errors
    /// When it cannot be kept; the run ends.
    pub fn remember<T: Serialize>(&self, key: &str, outcome: &T) -> Result<(), StepError> {
        let kept = serde_json::to_string(outcome)
            .map_err(|e| StepError::new("journal.record", format!("an outcome cannot be kept: {e}")))?;
        self.run.journal.keep_effect(run_key(key), kept)
    }

    /// The value behind a `{ from: … }` of the configuration.
    ///
    /// # Errors
    /// `step.late` when nothing stands there.
    pub fn late(&self, reference: &str) -> Result<Value, StepError> {
        let place = self.step.late.iter().find(|(r, _)| r == reference);
        place
            .and_then(|(_, from)| self.state.read(from))
            .ok_or_else(|| StepError::new("step.late", format!("`{reference}` gave nothing")))
    }

    /// An input of the flow that the step's signature asked for.
    pub fn flow_input(&self, name: &str) -> Option<Value> {
        let (_, from) = self.step.flow_inputs.iter().find(|(n, _)| n == name)?;
        self.state.read(from)
    }

    /// Does something that costs money or time, once: where the journal holds its outcome already, that is used; else
    /// it is done, and kept before it is used. `key` is unique within a visit of the step.
    ///
    /// # Errors
    /// The effect's own, and the journal's. An error is not kept: a resume tries again.
    pub async fn effect<T, F, Fut>(&self, key: &str, run: F) -> Result<T, StepError>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, StepError>> + Send,
    {
        {
            let mut used = self.effects.lock().unwrap_or_else(PoisonError::into_inner);
            if used.iter().any(|k| k == key) {
                return Err(StepError::new("engine.effect", format!("the effect key `{key}` was used twice")));
            }
            used.push(key.to_owned());
        }
        let address = self.effect_key(key);
        if let Some(kept) = self.run.journal.effect(&address)? {
            return serde_json::from_str(&kept)
                .map_err(|e| StepError::new("journal.record", format!("a record cannot be read: {e}")));
        }
        let outcome = run().await?;
        let kept = serde_json::to_string(&outcome)
            .map_err(|e| StepError::new("journal.record", format!("an outcome cannot be kept: {e}")))?;
        self.run.journal.keep_effect(address, kept)?;
        Ok(outcome)
    }

    pub(super) fn kept(&self, key: &str) -> Result<Option<String>, StepError> {
        self.run.journal.effect(&self.effect_key(key))
    }

    pub(super) fn keep(&self, key: &str, outcome: String) -> Result<(), StepError> {
        self.run.journal.keep_effect(self.effect_key(key), outcome)
    }

    /// Counts what a call used, for the item and for the run.
    pub fn add_usage(&self, usage: Usage) {
        self.run.add_usage(usage);
        if let Some(item) = &self.frame.item {
            item.add_usage(usage);
        }
    }

    /// The failure of the lowest item of a map that this step ran.
    pub fn first_failure(&self) -> Option<ItemFailure> {
        let map = self.address().to_string();
        self.run.failures().into_iter().find(|f| f.map == map)
    }

    /// Counts one more attempt for the item that this step belongs to.
    pub fn count_retry(&self) {
        if let Some(item) = &self.frame.item {
            item.retries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Counts something that the run's summary shows under this name, such as replies without a verdict.
    pub fn count(&self, name: &str, times: u64) {
        self.run.count(&format!("{}: {name}", self.step.name), times);
    }

    /// Tells the observers something.
    pub fn emit(&self, event: &Event<'_>) {
        self.run.observers.tell(event);
    }

    /// Whether no more work should be begun.
    pub fn is_stopping(&self) -> bool {
        self.run.stop.is_asked()
    }

    /// The flow that the configuration names, as its scope found it.
    ///
    /// # Errors
    /// `engine.flow` when the step's signature never asked for it.
    pub fn flow(&self, name: &str) -> Result<&'a Arc<Flow>, StepError> {
        let step: &'a FlowStep = self.step;
        step.flows
            .get(name)
            .ok_or_else(|| StepError::new("engine.flow", format!("the step did not ask for the flow `{name}`")))
    }

    /// Runs a flow in a frame of its own; `give` gives its inputs by name, and defaults stand in for what it does not.
    ///
    /// # Errors
    /// The error of the step that failed in it.
    pub async fn run_flow(
        &self,
        name: &str,
        kind: FrameKind,
        give: impl FnMut(&str) -> Option<Value>,
    ) -> Result<FlowEnd, StepError> {
        self.run_flow_on(&Fork(Arc::clone(&self.frame.shelf)), name, kind, give).await
    }

    /// As [`StepCx::run_flow`], on a fork of what is kept in memory.
    ///
    /// # Errors
    /// The error of the step that failed in it.
    pub async fn run_flow_on(
        &self,
        fork: &Fork,
        name: &str,
        kind: FrameKind,
        mut give: impl FnMut(&str) -> Option<Value>,
    ) -> Result<FlowEnd, StepError> {
        let flow = self.flow(name)?;
        let inputs = flow_inputs(flow, |input| give(input))?;
        let trials_before = match kind {
            FrameKind::Trial(n) => n.saturating_sub(1),
            _ => 0,
        };
        let frame = Frame {
            address: self.address().frame(kind),
            attempt: self.attempt + trials_before,
            item: self.frame.item.clone(),
            shelf: Arc::clone(&fork.0),
        };
        walk(self.run, flow, inputs, &frame).await
    }
}

/// No address begins so: what the whole run remembers stands apart from what steps did.
fn run_key(key: &str) -> String {
    format!("!{key}")
}

/// A flow's inputs in its order, cast and completed with defaults.
pub(super) fn flow_inputs(
    flow: &Flow,
    mut give: impl FnMut(&str) -> Option<Value>,
) -> Result<Vec<Value>, StepError> {
    let mut values = Vec::with_capacity(flow.inputs.len());
    for port in &flow.inputs {
        let value = give(&port.name).or_else(|| port.default.clone()).ok_or_else(|| {
            StepError::new("step.missing_input", format!("the flow `{}` wants `{}`", flow.name, port.name))
        })?;
        let value = cast(value, &port.value_type).map_err(|e| {
            StepError::new("step.type", format!("input `{}` of the flow `{}`: {e}", port.name, flow.name))
        })?;
        values.push(value);
    }
    Ok(values)
}
