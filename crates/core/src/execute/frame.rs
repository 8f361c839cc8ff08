//! One visit of a flow: gather inputs, run the step, write outputs, take the branch's edge.

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::context::{FlowEnd, StepCx};
use super::limits::{Meter, interrupted, step_within, within};
use super::panics::caught;
use super::shelf::Shelf;
use super::{ItemStats, Run};
use crate::address::Address;
use crate::cast::{cast, fits};
use crate::error::{INTERRUPTED, StepError};
use crate::events::Event;
use crate::flow::{Bound, Edge, Flow, FlowStep, From};
use crate::ports::Ports;
use crate::step::{Effect, Outcome};
use crate::value::{Value, kept};

/// A loop of steps that never wait would keep its thread, and no limit of time could end it.
const STEPS_BETWEEN_YIELDS: u64 = 64;

/// What a frame knows of the way to it.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) address: Address,
    /// The attempt that the frame began in.
    pub(super) attempt: u32,
    /// The item that it belongs to.
    pub(super) item: Option<Arc<ItemStats>>,
    /// What its steps keep in memory.
    pub(super) shelf: Arc<Shelf>,
    /// What counts against the limits of the flows around it.
    pub(super) meter: Option<Arc<Meter>>,
}

/// The values and counters of a frame.
pub(super) struct State {
    pub(super) slots: Vec<Option<Value>>,
    pub(super) visits: Vec<u32>,
    /// The step that runs, until its outputs are in their slots.
    running: Option<usize>,
    /// What the variables hold. Steps write them while they run.
    pub(super) variables: Mutex<Vec<Option<Value>>>,
}

impl State {
    fn new(flow: &Flow, inputs: Vec<Value>) -> Self {
        let mut slots = vec![None; flow.slots];
        for (value, filled) in inputs.into_iter().zip(&flow.input_slots) {
            fill(&mut slots, filled, value);
        }
        let variables = flow.variables.iter().map(|port| port.default.clone()).collect();
        Self { slots, visits: vec![0; flow.steps.len()], running: None, variables: Mutex::new(variables) }
    }

    /// Whether a step has given its outputs at least once.
    fn has_given(&self, step: usize) -> bool {
        self.visits[step] > u32::from(self.running == Some(step))
    }

    pub(super) fn variables(&self) -> MutexGuard<'_, Vec<Option<Value>>> {
        self.variables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self, from: &From) -> Option<Value> {
        match from {
            From::Slot(slot) => self.slots[*slot].clone(),
            From::Constant(value) => Some(value.clone()),
            From::Visits(step) => Some(Value::from(self.visits[*step])),
            From::Variable(place) => self.variables()[*place].clone(),
            From::Either(first, second) => self.read(first).or_else(|| self.read(second)),
            From::Nothing => None,
        }
    }
}

/// Walks a flow from its first step to an end. `inputs` stand in the order of the flow's inputs.
pub(super) async fn walk(
    run: &Arc<Run>,
    flow: &Arc<Flow>,
    inputs: Vec<Value>,
    frame: &Frame,
) -> Result<FlowEnd, StepError> {
    let mut state = State::new(flow, inputs);
    visit(run, flow, &mut state, frame).await
}

/// As [`walk`], and where a step fails, those outputs of the flow that steps had given by then.
pub(super) async fn walk_keeping(
    run: &Arc<Run>,
    flow: &Arc<Flow>,
    inputs: Vec<Value>,
    frame: &Frame,
) -> (Result<FlowEnd, StepError>, Ports) {
    let mut state = State::new(flow, inputs);
    let end = visit(run, flow, &mut state, frame).await;
    let given = if end.is_err() { given_so_far(flow, &state) } else { Ports::empty() };
    (end, given)
}

/// A name may stand for an input of the flow until a step gives it; such a value is not one that was made.
fn given_so_far(flow: &Flow, state: &State) -> Ports {
    let made = |from: &From| {
        let From::Slot(slot) = from else { return true };
        let fills = |step: &FlowStep| step.output_slots.iter().flatten().any(|filled| filled == slot);
        let mut makers = flow.steps.iter().enumerate().filter(|(_, step)| fills(step)).peekable();
        makers.peek().is_none() || makers.any(|(n, _)| state.has_given(n))
    };
    let sources = flow.output_names.iter().zip(&flow.output_sources).filter(|(_, from)| made(from));
    sources.filter_map(|(name, from)| Some((Arc::clone(name), state.read(from)?))).collect()
}

/// Walks a flow within its limits.
async fn visit(run: &Arc<Run>, flow: &Arc<Flow>, state: &mut State, frame: &Frame) -> Result<FlowEnd, StepError> {
    if !flow.limits.bounds_use() {
        return go(run, flow, state, frame).await;
    }
    let bounded = Frame { meter: Meter::of(flow, frame.meter.as_ref()), ..frame.clone() };
    let top = frame.address.step_name().is_none();
    // In room of its own: this future is part of every one that walks a flow, and few flows have limits.
    Box::pin(within(flow, top, go(run, flow, state, &bounded))).await
}

async fn go(run: &Arc<Run>, flow: &Arc<Flow>, state: &mut State, frame: &Frame) -> Result<FlowEnd, StepError> {
    let top = frame.address.step_name().is_none();
    let tell = top || run.observers.wants_inner();
    let mut retries = 0;
    let mut at = 0;
    for taken in 1..=flow.limits.max_steps {
        if taken % STEPS_BETWEEN_YIELDS == 0 {
            tokio::task::coop::consume_budget().await;
        }
        if top && run.stop.is_asked() {
            return Err(StepError::new(INTERRUPTED, "the run was told to stop"));
        }
        let step = &flow.steps[at];
        state.visits[at] += 1;
        state.running = Some(at);
        let visit = state.visits[at];
        interrupted(run, || frame.address.step(&step.name, visit))?;
        let attempt = frame.attempt + retries;
        for (provider, slot) in &step.context {
            let value = StepCx::new(run, flow, step, frame, state, visit, attempt).provide(provider).await?;
            state.slots[*slot] = Some(value);
        }
        let cx = StepCx::new(run, flow, step, frame, state, visit, attempt);
        let Taken { values, edge } = take_step(&cx, step, state, tell).await?;
        for (value, slots) in values.into_iter().zip(&step.output_slots) {
            fill(&mut state.slots, slots, value);
        }
        let Some(edge) = edge else { return finish(flow, state, step) };
        state.running = None;
        let go = follow(step, edge, state).map_err(|mut error| {
            error.at.get_or_insert_with(|| frame.address.step(&step.name, visit));
            error
        })?;
        match go {
            Go::To(next) => at = next,
            Go::Again(next) => {
                at = next;
                retries += 1;
                if let Some(item) = &frame.item {
                    item.retries.fetch_add(1, Ordering::Relaxed);
                }
            }
            Go::End => return finish(flow, state, step),
        }
    }
    let message = format!("the flow `{}` has not ended after {} steps", flow.name, flow.limits.max_steps);
    let mut error = StepError::new("flow.max_steps", message).help(
        "bound the loop with `{ retry: STEP, max_trials: N, else: STEP }`, or raise `limits: { max_steps: N }`",
    );
    error.at = Some(frame.address.step(&flow.steps[at].name, state.visits[at]));
    Err(error)
}

/// What a step gave.
struct Taken<'f> {
    /// Its outputs in the order of the signature.
    values: Vec<Value>,
    /// The edge of the branch that it took; none where it ends the flow.
    edge: Option<&'f Edge>,
}

/// Runs a step, checks what it gave, and tells how it went.
async fn take_step<'f>(
    cx: &StepCx<'_>,
    step: &'f FlowStep,
    state: &State,
    tell: bool,
) -> Result<Taken<'f>, StepError> {
    if tell {
        cx.run.tell(&Event::StepStarted { at: cx.place(), step_type: step.step_type });
    }
    let ended = match cx.home.limits.step_timeout {
        None => run_step(cx, step, state).await,
        Some(most) => Box::pin(step_within(most, run_step(cx, step, state))).await,
    };
    let taken = |Outcome { outputs, branch, note }: Outcome<Ports>| {
        let branch = branch.map_or(Cow::Borrowed("next"), Cow::Owned);
        let edge = if step.is_end() { None } else { Some(edge_of(step, &branch)?) };
        Ok((Taken { values: ordered(step, outputs)?, edge }, branch, note))
    };
    match ended.and_then(taken) {
        Ok((taken, branch, note)) => {
            if tell {
                let (at, step_type) = (cx.place(), step.step_type);
                cx.run.tell(&Event::StepFinished { at, step_type, branch: &branch, note: note.as_deref() });
            }
            Ok(taken)
        }
        Err(error) => {
            let mut error: StepError = cx.run.masked(error);
            error.at.get_or_insert_with(|| cx.address());
            if tell {
                cx.run.tell(&Event::StepFailed { at: cx.place(), error: &error });
            }
            Err(error)
        }
    }
}

fn fill(all: &mut [Option<Value>], slots: &[usize], value: Value) {
    if let Some((last, others)) = slots.split_last() {
        for slot in others {
            all[*slot] = Some(value.clone());
        }
        all[*last] = Some(value);
    }
}

async fn run_step(cx: &StepCx<'_>, step: &FlowStep, state: &State) -> Result<Outcome<Ports>, StepError> {
    let inputs = gather(step, state)?;
    match step.effect {
        Effect::Whole => Box::pin(run_once(cx, step, inputs)).await,
        _ => caught(step.step.run(cx, inputs)).await,
    }
}

/// Runs a step whose outcome is kept, or takes it from the journal.
async fn run_once(cx: &StepCx<'_>, step: &FlowStep, inputs: Ports) -> Result<Outcome<Ports>, StepError> {
    if let Some(kept) = cx.kept("outcome")? {
        return restore(&kept);
    }
    let outcome = caught(step.step.run(cx, inputs)).await?;
    let has_table = outcome.outputs.values().iter().any(|v| matches!(v, Value::Table(_)));
    if !has_table {
        // A table is a recipe that no record can hold; a step that gives one is run again.
        cx.keep("outcome", record(&outcome)?).await?;
    }
    Ok(outcome)
}

/// The outcome of a step as it is kept.
#[derive(serde::Serialize, serde::Deserialize)]
struct Record<'o, T> {
    outputs: Vec<(Arc<str>, T)>,
    branch: Option<Cow<'o, str>>,
    note: Option<Cow<'o, str>>,
}

fn record(outcome: &Outcome<Ports>) -> Result<String, StepError> {
    let record = Record {
        outputs: outcome.outputs.iter().map(|(name, value)| (Arc::clone(name), kept::Kept(value))).collect(),
        branch: outcome.branch.as_deref().map(Cow::Borrowed),
        note: outcome.note.as_deref().map(Cow::Borrowed),
    };
    serde_json::to_string(&record)
        .map_err(|e| StepError::new("step.type", format!("an output cannot be kept: {e}")))
}

fn restore(text: &str) -> Result<Outcome<Ports>, StepError> {
    let wrong = |e: String| StepError::new("journal.record", format!("a record cannot be read: {e}"));
    let record: Record<'_, Value> = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
    let outputs: Vec<(Arc<str>, Value)> = record
        .outputs
        .into_iter()
        .map(|(name, value)| Ok((name, kept::restore(value)?)))
        .collect::<Result<_, crate::value::ValueError>>()
        .map_err(|e| wrong(e.to_string()))?;
    Ok(Outcome {
        outputs: outputs.into_iter().collect(),
        branch: record.branch.map(Cow::into_owned),
        note: record.note.map(Cow::into_owned),
    })
}

fn gather(step: &FlowStep, state: &State) -> Result<Ports, StepError> {
    let mut values = Vec::with_capacity(step.inputs.len());
    for (wire, name) in step.inputs.iter().zip(&*step.input_names) {
        let value = match state.read(&wire.from) {
            Some(value) if fits(&value, &wire.value_type) => value,
            Some(value) => cast(value, &wire.value_type)
                .map_err(|e| StepError::new("step.type", format!("input `{name}`: {e}")))?,
            None => {
                if let Some(default) = &wire.default {
                    default.clone()
                } else {
                    let message = format!("input `{name}` was not given on the way here and has no default");
                    return Err(StepError::new("step.missing_input", message));
                }
            }
        };
        values.push(value);
    }
    Ok(Ports::new(Arc::clone(&step.input_names), values))
}

/// The outputs in the order of the signature, cast to its types.
fn ordered(step: &FlowStep, mut outputs: Ports) -> Result<Vec<Value>, StepError> {
    let ports = &step.signature.outputs;
    let mut values = if outputs.are(&step.output_names) {
        outputs.into_values()
    } else {
        let mut given = Vec::with_capacity(ports.len());
        for port in ports {
            match outputs.take(&port.name) {
                Some(value) => given.push(value),
                None if port.value_type.admits_null() => given.push(Value::Null),
                None => {
                    let message = format!("it did not give its output `{}`", port.name);
                    return Err(StepError::new("step.missing_output", message));
                }
            }
        }
        given
    };
    for (port, value) in ports.iter().zip(&mut values) {
        if fits(value, &port.value_type) {
            continue;
        }
        *value = cast(std::mem::take(value), &port.value_type)
            .map_err(|e| StepError::new("step.type", format!("output `{}`: {e}", port.name)))?;
    }
    Ok(values)
}

fn edge_of<'a>(step: &'a FlowStep, branch: &str) -> Result<&'a Edge, StepError> {
    let place = step.signature.branches.iter().position(|b| b == branch);
    place.map(|place| &step.edges[place]).ok_or_else(|| {
        StepError::new("step.branch", format!("it took the branch `{branch}`, which its signature does not have"))
    })
}

enum Go {
    To(usize),
    Again(usize),
    End,
}

fn follow(from: &FlowStep, edge: &Edge, state: &State) -> Result<Go, StepError> {
    match edge {
        Edge::Step(step) => Ok(Go::To(*step)),
        Edge::End => Ok(Go::End),
        Edge::Retry { step, max_trials, otherwise } => {
            let most = match max_trials {
                Bound::Now(most) => i64::from(*most),
                Bound::Late(reference) => late_bound(from, reference, state)?,
            };
            if i64::from(state.visits[*step]) < most {
                Ok(Go::Again(*step))
            } else {
                follow(from, otherwise, state)
            }
        }
    }
}

fn late_bound(from: &FlowStep, reference: &str, state: &State) -> Result<i64, StepError> {
    let place = from.late.iter().find(|(r, _)| r == reference).and_then(|(_, place)| state.read(place));
    place.as_ref().and_then(Value::as_i64).filter(|n| *n >= 1).ok_or_else(|| {
        let got = place.map_or_else(|| "nothing".to_owned(), |v| v.to_string());
        StepError::new(
            "step.late",
            format!("`max_trials` comes from `{reference}`, which gave {got}, no integer from 1"),
        )
    })
}

fn finish(flow: &Flow, state: &State, last: &FlowStep) -> Result<FlowEnd, StepError> {
    let mut values = Vec::with_capacity(flow.outputs.len());
    for (port, from) in flow.outputs.iter().zip(&flow.output_sources) {
        let Some(value) = state.read(from) else {
            let message = format!("the flow `{}` ended without its output `{}`", flow.name, port.name);
            return Err(StepError::new("flow.missing_output", message));
        };
        values.push(value);
    }
    let step = last.is_end().then(|| Arc::clone(&last.name));
    Ok(FlowEnd { outputs: Ports::new(Arc::clone(&flow.output_names), values), name: last.end_name(), step })
}
