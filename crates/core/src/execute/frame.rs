//! One visit of a flow: gather inputs, run the step, write outputs, take the branch's edge.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt;

use super::context::{FlowEnd, StepCx};
use super::shelf::Shelf;
use super::{ItemStats, Run};
use crate::address::Address;
use crate::cast::cast;
use crate::error::{INTERRUPTED, StepError};
use crate::events::Event;
use crate::flow::{Bound, Edge, Flow, FlowStep, From};
use crate::ports::Ports;
use crate::step::{Effect, Outcome};
use crate::value::{Value, from_value};

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
}

/// The values and counters of a frame.
pub(super) struct State {
    pub(super) slots: Vec<Option<Value>>,
    pub(super) visits: Vec<u32>,
}

impl State {
    pub(super) fn read(&self, from: &From) -> Option<Value> {
        match from {
            From::Slot(slot) => self.slots[*slot].clone(),
            From::Constant(value) => Some(value.clone()),
            From::Visits(step) => Some(Value::from(self.visits[*step])),
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
    let mut state = State { slots: vec![None; flow.slots], visits: vec![0; flow.steps.len()] };
    for (value, slots) in inputs.into_iter().zip(&flow.input_slots) {
        fill(&mut state.slots, slots, value);
    }
    let top = frame.address.step_name().is_none();
    let tell = top || run.observers.wants_inner();
    let mut retries = 0;
    let mut at = 0;
    for _ in 0..flow.max_steps {
        if top && run.stop.is_asked() {
            return Err(StepError::new(INTERRUPTED, "the run was told to stop"));
        }
        let step = &flow.steps[at];
        state.visits[at] += 1;
        let visit = state.visits[at];
        let cx = StepCx::new(run, step, frame, &state, visit, frame.attempt + retries);
        let Taken { values, edge } = take_step(&cx, step, &state, tell).await?;
        let Some(edge) = edge else { return finish(flow, &state, Some(Arc::clone(&step.name))) };
        for (value, slots) in values.into_iter().zip(&step.output_slots) {
            fill(&mut state.slots, slots, value);
        }
        let go = follow(step, edge, &state).map_err(|mut error| {
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
            Go::End => return finish(flow, &state, None),
        }
    }
    let message = format!("the flow `{}` has not ended after {} steps", flow.name, flow.max_steps);
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
    let observers = &cx.run.observers;
    if tell {
        observers.tell(&Event::StepStarted { at: &cx.address(), step_type: step.step_type });
    }
    let done = async {
        let Outcome { outputs, branch, note } = run_step(cx, step, state).await?;
        let branch = branch.map_or(Cow::Borrowed("next"), Cow::Owned);
        let edge = if step.is_end() { None } else { Some(edge_of(step, &branch)?) };
        Ok((Taken { values: ordered(step, outputs)?, edge }, branch, note))
    };
    match done.await {
        Ok((taken, branch, note)) => {
            if tell {
                let (at, step_type) = (&cx.address(), step.step_type);
                observers.tell(&Event::StepFinished { at, step_type, branch: &branch, note: note.as_deref() });
            }
            Ok(taken)
        }
        Err(error) => {
            let mut error: StepError = error;
            error.at.get_or_insert_with(|| cx.address());
            if tell {
                observers.tell(&Event::StepFailed { at: &cx.address(), error: &error });
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
    if step.effect != Effect::Whole {
        return run_caught(cx, step, inputs).await;
    }
    if let Some(kept) = cx.kept("outcome")? {
        return restore(&kept);
    }
    let outcome = run_caught(cx, step, inputs).await?;
    let has_table = outcome.outputs.values().iter().any(|v| matches!(v, Value::Table(_)));
    if !has_table {
        // A table is a recipe that no record can hold; a step that gives one is run again.
        cx.keep("outcome", record(&outcome)?)?;
    }
    Ok(outcome)
}

/// A step that panics is a bug in it, which ends the run as an error and not the process.
async fn run_caught(cx: &StepCx<'_>, step: &FlowStep, inputs: Ports) -> Result<Outcome<Ports>, StepError> {
    match AssertUnwindSafe(step.step.run(cx, inputs)).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(panic) => {
            let said = panic.downcast_ref::<&str>().copied();
            let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
            Err(StepError::new("step.panic", format!("the step broke down: {said}")).fatal())
        }
    }
}

fn record(outcome: &Outcome<Ports>) -> Result<String, StepError> {
    let wrong =
        |e: crate::value::ValueError| StepError::new("step.type", format!("an output cannot be kept: {e}"));
    let mut outputs = serde_json::Map::new();
    for (name, value) in outcome.outputs.iter() {
        outputs.insert(name.to_string(), value.to_json().map_err(wrong)?);
    }
    Ok(serde_json::json!({"outputs": outputs, "branch": outcome.branch, "note": outcome.note}).to_string())
}

fn restore(kept: &str) -> Result<Outcome<Ports>, StepError> {
    #[derive(serde::Deserialize)]
    struct Kept {
        outputs: Value,
        branch: Option<String>,
        note: Option<String>,
    }
    let wrong = |e: String| StepError::new("journal.record", format!("a record cannot be read: {e}"));
    let kept: Value = serde_json::from_str(kept).map_err(|e| wrong(e.to_string()))?;
    let kept: Kept = from_value(kept).map_err(|e| wrong(e.to_string()))?;
    let outputs = kept.outputs.as_object().map(|o| o.iter().map(|(k, v)| (Arc::clone(k), v.clone())).collect());
    Ok(Outcome { outputs: outputs.unwrap_or_else(Ports::empty), branch: kept.branch, note: kept.note })
}

fn gather(step: &FlowStep, state: &State) -> Result<Ports, StepError> {
    let mut values = Vec::with_capacity(step.inputs.len());
    for (wire, name) in step.inputs.iter().zip(&*step.input_names) {
        let value = match state.read(&wire.from) {
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
    let in_order =
        ports.len() == outputs.names().len() && ports.iter().zip(&**outputs.names()).all(|(p, n)| p.name == **n);
    let mut values = Vec::with_capacity(ports.len());
    let given = if in_order {
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
    for (port, value) in ports.iter().zip(given) {
        let value = cast(value, &port.value_type)
            .map_err(|e| StepError::new("step.type", format!("output `{}`: {e}", port.name)))?;
        values.push(value);
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

fn finish(flow: &Flow, state: &State, name: Option<Arc<str>>) -> Result<FlowEnd, StepError> {
    let mut values = Vec::with_capacity(flow.outputs.len());
    for (port, from) in flow.outputs.iter().zip(&flow.output_sources) {
        let Some(value) = state.read(from) else {
            let message = format!("the flow `{}` ended without its output `{}`", flow.name, port.name);
            return Err(StepError::new("flow.missing_output", message));
        };
        values.push(value);
    }
    Ok(FlowEnd { outputs: Ports::new(Arc::clone(&flow.output_names), values), name })
}
