//! [`StepCx`]: everything a step may do beside its own work. Nothing is global.

use std::borrow::Cow;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::frame::{Frame, State, walk, walk_keeping};
use super::shelf::{Fork, Shelf};
use super::{Run, RunOptions};
use crate::address::{Address, FrameKind};
use crate::cast::cast;
use crate::error::StepError;
use crate::events::{Event, Usage};
use crate::flow::{Flow, FlowProvider, FlowStep, ProviderSource};
use crate::journal::Journal;
use crate::ports::Ports;
use crate::secrets::Secrets;
use crate::seed::Key;
use crate::signature::Port;
use crate::step::Effect;
use crate::value::Value;
use crate::variable::Operation;

/// What stands between the address of a visit and the name of an effect in it.
const EFFECT: &str = "!";

/// What a step sees of the run.
pub struct StepCx<'a> {
    pub(super) run: &'a Arc<Run>,
    pub(super) home: &'a Arc<Flow>,
    pub(super) step: &'a FlowStep,
    pub(super) frame: &'a Frame,
    state: &'a State,
    visit: u32,
    attempt: u32,
    address: OnceLock<Address>,
    /// The exact form of the address, of which every key of the visit is made.
    key: OnceLock<String>,
    effects: Mutex<Vec<String>>,
}

/// How a flow that a step ran has ended.
#[derive(Debug)]
pub struct FlowEnd {
    /// Its outputs.
    pub outputs: Ports,
    /// The name of the `complete` step that it reached; none for the unnamed end.
    pub name: Option<Arc<str>>,
    /// The step by which it ended, where that is an end.
    pub step: Option<Arc<str>>,
}

/// An outcome with the digest of the request that it answers.
#[derive(Serialize, Deserialize)]
struct Answered<S, T> {
    of: S,
    value: T,
}

/// Where an effect has its outcome.
pub(super) struct EffectPlace<'a> {
    /// None where the journal keeps nothing.
    address: Option<String>,
    asked: &'a Asked,
}

/// What was asked, as far as a journal compares it: a digest, where the journal outlives the run.
pub struct Asked(Option<String>);

/// Where a secret stands in the request, its name does in the digest: nobody can try values on it, and a run goes on with
/// another one without asking again.
fn digest_of(request: &impl Serialize, secrets: &Secrets) -> Result<String, StepError> {
    // Into one text first: the hash is much faster over many bytes at once than over the pieces of which JSON is written.
    let request = serde_json::to_string(request).map_err(not_kept)?;
    let mut hasher = blake3::Hasher::new_derive_key("flowrun 2026 request digest");
    if secrets.is_empty() {
        hasher.update(request.as_bytes());
    } else {
        hasher.update(secrets.veiled(&request).as_bytes());
    }
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of `map_err`")]
pub(super) fn unreadable(error: serde_json::Error) -> StepError {
    StepError::new("journal.record", format!("a record cannot be read: {error}"))
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of `map_err`")]
pub(super) fn not_kept(error: serde_json::Error) -> StepError {
    StepError::new("journal.record", format!("an outcome cannot be kept: {error}"))
}

/// A flow that is about to run in a frame of its own. It has all that it needs, so a step may spawn it.
pub struct FlowRun {
    run: Arc<Run>,
    flow: Arc<Flow>,
    inputs: Vec<Value>,
    frame: Frame,
}

impl FlowRun {
    /// Runs it to its end.
    ///
    /// # Errors
    /// The error of the step that failed in it.
    pub async fn run(self) -> Result<FlowEnd, StepError> {
        walk(&self.run, &self.flow, self.inputs, &self.frame).await
    }

    /// Runs it to its end; where a step fails in it, also gives those of its outputs that steps had given by then.
    pub async fn run_keeping(self) -> (Result<FlowEnd, StepError>, Ports) {
        walk_keeping(&self.run, &self.flow, self.inputs, &self.frame).await
    }
}

impl<'a> StepCx<'a> {
    pub(super) fn new(
        run: &'a Arc<Run>,
        home: &'a Arc<Flow>,
        step: &'a FlowStep,
        frame: &'a Frame,
        state: &'a State,
        visit: u32,
        attempt: u32,
    ) -> Self {
        Self {
            run,
            home,
            step,
            frame,
            state,
            visit,
            attempt,
            address: OnceLock::new(),
            key: OnceLock::new(),
            effects: Mutex::default(),
        }
    }

    /// The step's name in its flow.
    pub fn step_name(&self) -> &Arc<str> {
        &self.step.name
    }

    /// Where the step stands in the run.
    pub fn address(&self) -> Address {
        self.place().clone()
    }

    pub(super) fn place(&self) -> &Address {
        self.address.get_or_init(|| self.frame.address.step(&self.step.name, self.visit))
    }

    fn key(&self) -> &str {
        self.key.get_or_init(|| self.place().key())
    }

    /// The names of the step's outputs, in the order of its signature.
    pub fn output_names(&self) -> &Arc<[Arc<str>]> {
        &self.step.output_names
    }

    /// The step's outputs, given in the order of its signature.
    ///
    /// # Panics
    /// When there are not as many values as outputs: that is a bug of the step.
    pub fn outputs(&self, values: Vec<Value>) -> Ports {
        Ports::new(Arc::clone(self.output_names()), values)
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
        Key::new(self.run.options.seed, self.key(), column)
    }

    /// The identity of a request: the same for every try of it, and in every run with this seed.
    pub fn identity(&self, key: &str) -> String {
        let effect = [self.key(), EFFECT, key].concat();
        // Not by a `Hasher`, which is two kilobytes that have to be written for each call.
        let hash = blake3::keyed_hash(&self.run.identities, effect.as_bytes());
        let [half, _] = hash.as_bytes().as_chunks().0 else { unreachable!("a hash has 32 bytes") };
        format!("{:032x}", u128::from_be_bytes(*half))
    }

    pub(super) fn effect_key(&self, key: &str) -> String {
        [self.key(), EFFECT, key].concat()
    }

    /// Something that all steps share.
    ///
    /// # Errors
    /// `engine.resource` when the program that started the run did not provide one.
    pub fn resource<T: Send + Sync + 'static>(&self) -> Result<&T, StepError> {
        self.optional().ok_or_else(|| {
            let message = format!("the run has no {}", std::any::type_name::<T>());
            StepError::new("engine.resource", message)
        })
    }

    /// As [`StepCx::resource`], of what a run may do without.
    pub fn optional<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.run.resources.get()
    }

    /// The place of a model among the document's models.
    pub fn model(&self, name: &str) -> Option<usize> {
        self.step.models.get(name).copied()
    }

    /// The place of a datastore among the document's datastores.
    pub fn datastore(&self, name: &str) -> Option<usize> {
        self.step.datastores.get(name).copied()
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

    /// The value of a variable that the step's signature names.
    ///
    /// # Errors
    /// `variable.unset` when it has no default and nothing has written it.
    pub fn variable(&self, name: &str) -> Result<Value, StepError> {
        let place = self.variable_place(name)?;
        self.state.variables()[place].clone().ok_or_else(|| self.unset(place))
    }

    /// Writes a variable that the step's signature names.
    ///
    /// # Errors
    /// `step.type` when the value does not fit, `variable.unset` when the operation builds on a value that is not there.
    pub fn write_variable(&self, name: &str, operation: Operation, value: Value) -> Result<(), StepError> {
        if self.step.effect == Effect::Whole {
            // On resume its outcome would be taken from the journal, and the variable not be written.
            let message =
                format!("`{}` is a step whose outcome is kept, which cannot write variables", self.step.name);
            return Err(StepError::new("engine.variable", message));
        }
        let place = self.variable_place(name)?;
        let mut variables = self.state.variables();
        // Taken, not copied: a list that grows item by item would otherwise be copied each time.
        let held = variables[place].take();
        if held.is_none() && operation.reads() {
            return Err(self.unset(place));
        }
        let value_type = &self.home.variables[place].value_type;
        let written = operation.apply(held.unwrap_or_default(), value, value_type);
        variables[place] =
            Some(written.map_err(|e| StepError::new("step.type", format!("variable `{name}`: {e}")))?);
        Ok(())
    }

    fn unset(&self, place: usize) -> StepError {
        let Port { name, value_type, .. } = &self.home.variables[place];
        let message = format!("nothing has written the variable `{name}` ({value_type}), and it has no default");
        StepError::new("variable.unset", message)
            .help("give it a default under `variables:`, or write it on every way to this step")
    }

    fn variable_place(&self, name: &str) -> Result<usize, StepError> {
        let mut places = self.step.variables.iter().copied();
        places.find(|place| self.home.variables[*place].name == name).ok_or_else(|| {
            StepError::new("engine.variable", format!("the step's signature does not name the variable `{name}`"))
        })
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
        self.effect_of(key, &Asked(None), run).await
    }

    /// What the journal compares of a request. Asked of it before the call, so that nobody has to hold the request until its
    /// answer is there.
    ///
    /// # Errors
    /// When the request cannot be written.
    pub fn asked(&self, request: &impl Serialize) -> Result<Asked, StepError> {
        let digest = || digest_of(request, self.run.journal.secrets());
        self.run.journal.outlives().then(digest).transpose().map(Asked)
    }

    /// As [`StepCx::effect`], for what answers a request: an outcome that was kept is used only where the request is
    /// still the same, so that a run may go on over a flow that was changed.
    ///
    /// # Errors
    /// As [`StepCx::effect`].
    pub async fn effect_of<T, F, Fut>(&self, key: &str, asked: &Asked, run: F) -> Result<T, StepError>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, StepError>> + Send,
    {
        let place = self.place_of(key, asked)?;
        if let Some(kept) = self.kept_there(&place)? {
            return Ok(kept);
        }
        let outcome = run().await?;
        self.keep_there(place, &outcome).await?;
        Ok(outcome)
    }

    /// Notes that an effect is used, and gives the place of its outcome.
    pub(super) fn place_of<'q>(&self, key: &str, asked: &'q Asked) -> Result<EffectPlace<'q>, StepError> {
        self.first_use(key)?;
        Ok(EffectPlace { address: self.run.journal.keeps().then(|| self.effect_key(key)), asked })
    }

    /// What the journal holds there, where it answers the request that is made.
    pub(super) fn kept_there<T: DeserializeOwned>(&self, place: &EffectPlace<'_>) -> Result<Option<T>, StepError> {
        let Some(address) = &place.address else { return Ok(None) };
        let Some(kept) = self.run.journal.effect(address)? else { return Ok(None) };
        let Asked(Some(digest)) = place.asked else {
            return serde_json::from_str(&kept).map(Some).map_err(unreadable);
        };
        let Answered::<String, T> { of, value } = serde_json::from_str(&kept).map_err(unreadable)?;
        Ok((of == *digest).then_some(value))
    }

    /// Keeps an outcome before it is used.
    pub(super) async fn keep_there<T: Serialize>(
        &self,
        place: EffectPlace<'_>,
        outcome: &T,
    ) -> Result<(), StepError> {
        let EffectPlace { address: Some(address), asked } = place else { return Ok(()) };
        let outcome = match asked {
            Asked(Some(of)) => json(&Answered { of, value: outcome }),
            Asked(None) => json(outcome),
        };
        self.keep_at(address, outcome?).await
    }

    /// Notes that an effect is used, which is once in a visit.
    pub(super) fn first_use(&self, key: &str) -> Result<(), StepError> {
        let mut used = self.effects.lock().unwrap_or_else(PoisonError::into_inner);
        if used.iter().any(|k| k == key) {
            return Err(StepError::new("engine.effect", format!("the effect key `{key}` was used twice")));
        }
        used.push(key.to_owned());
        Ok(())
    }

    async fn keep_at(&self, address: String, outcome: String) -> Result<(), StepError> {
        self.run.journal.keep_effect(address, outcome)?;
        match self.run.journal.settled(false) {
            Some(settled) => settled.await,
            None => Ok(()),
        }
    }

    pub(super) fn kept(&self, key: &str) -> Result<Option<String>, StepError> {
        self.run.journal.effect(&self.effect_key(key))
    }

    pub(super) async fn keep(&self, key: &str, outcome: String) -> Result<(), StepError> {
        self.keep_at(self.effect_key(key), outcome).await
    }

    /// Counts what a call used, for the item and for the run.
    pub fn add_usage(&self, usage: Usage) {
        self.run.add_usage(usage);
        if let Some(item) = &self.frame.item {
            item.add_usage(usage);
        }
        if let Some(meter) = &self.frame.meter {
            meter.count_tokens(usage);
        }
    }

    /// Counts one more attempt for the item that this step belongs to.
    pub fn count_retry(&self) {
        if let Some(item) = &self.frame.item {
            item.retries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Counts something that the run's summary shows under this name, such as replies without a verdict.
    pub fn count(&self, name: &str, times: u64) {
        let name = format!("{}: {name}", self.step.name);
        self.run.count(&name, times);
        if let Some(item) = &self.frame.item {
            item.count(&name, times);
        }
    }

    /// Tells the observers something.
    pub fn emit(&self, event: &Event<'_>) {
        self.run.tell(event);
    }

    /// What a journal may know of a text that is part of a request: with the names of secrets in their places.
    pub fn veiled<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let secrets = self.run.journal.secrets();
        if secrets.is_empty() {
            return Cow::Borrowed(text);
        }
        let json = serde_json::Value::from(text).to_string();
        Cow::Owned(secrets.veiled(&json).into_owned())
    }

    /// Whether a secret of the run stands in the text, which then must not be kept beyond the run's own journal.
    pub fn holds_secret(&self, text: &str) -> bool {
        self.run.journal.secrets().are_in(text)
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
        self.flow_run(name, kind, give)?.run().await
    }

    /// Runs the flow of a context provider or calls its tool, and gives its value. The frame lies below the step that wants the value, so
    /// that what costs something in it has an address of its own for each visit of the step.
    pub(super) fn provide<'p>(&'p self, provider: &'p FlowProvider) -> BoxFuture<'p, Result<Value, StepError>> {
        async move {
            let given = match &provider.source {
                ProviderSource::Flow(flow) => {
                    let kind = FrameKind::Context(Arc::clone(&provider.name));
                    match self.inner_flow(flow, kind, |_| None) {
                        Ok(flow) => flow.run().await.map(|end| end.outputs.into_values()),
                        Err(error) => Err(error),
                    }
                }
                ProviderSource::Tool(tool) => {
                    self.call_tool(tool, &format!("context/{}", provider.name), []).await
                }
            };
            let mut given = given.map_err(|mut error| {
                error.at.get_or_insert_with(|| self.address());
                error
            })?;
            Ok(given.swap_remove(provider.output))
        }
        .boxed()
    }

    /// As [`StepCx::run_flow`], which it is the first half of: nothing runs yet.
    ///
    /// # Errors
    /// When an input is missing or not of its type.
    pub fn flow_run(
        &self,
        name: &str,
        kind: FrameKind,
        give: impl FnMut(&str) -> Option<Value>,
    ) -> Result<FlowRun, StepError> {
        self.inner_flow(self.flow(name)?, kind, give)
    }

    /// As [`StepCx::flow_run`], on a fork of what is kept in memory.
    ///
    /// # Errors
    /// When an input is missing or not of its type.
    pub fn flow_run_on(
        &self,
        fork: &Fork,
        name: &str,
        kind: FrameKind,
        give: impl FnMut(&str) -> Option<Value>,
    ) -> Result<FlowRun, StepError> {
        self.flow_run_of(&fork.0, self.flow(name)?, kind, give)
    }

    /// A flow in a frame below this step, on what the step itself sees in memory.
    pub(super) fn inner_flow(
        &self,
        flow: &Arc<Flow>,
        kind: FrameKind,
        give: impl FnMut(&str) -> Option<Value>,
    ) -> Result<FlowRun, StepError> {
        self.flow_run_of(&self.frame.shelf, flow, kind, give)
    }

    fn flow_run_of(
        &self,
        shelf: &Arc<Shelf>,
        flow: &Arc<Flow>,
        kind: FrameKind,
        give: impl FnMut(&str) -> Option<Value>,
    ) -> Result<FlowRun, StepError> {
        let inputs = flow_inputs(flow, give)?;
        let trials_before = match kind {
            FrameKind::Trial(n) => n.saturating_sub(1),
            _ => 0,
        };
        let frame = Frame {
            address: self.place().frame(kind),
            attempt: self.attempt + trials_before,
            item: self.frame.item.clone(),
            shelf: Arc::clone(shelf),
            meter: self.frame.meter.clone(),
        };
        Ok(FlowRun { run: Arc::clone(self.run), flow: Arc::clone(flow), inputs, frame })
    }
}

/// An outcome for the journal.
fn json<T: Serialize>(outcome: &T) -> Result<String, StepError> {
    // Room for a reply of usual length, which else would be moved from buffer to buffer while it is written.
    let mut text = Vec::with_capacity(1024);
    serde_json::to_writer(&mut text, outcome).map_err(not_kept)?;
    String::from_utf8(text)
        .map_err(|e| StepError::new("journal.record", format!("an outcome cannot be kept: {e}")))
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
