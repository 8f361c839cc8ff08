//! `parallel`: runs several flows beside each other.

use std::num::NonZeroUsize;
use std::sync::Arc;

use flowrun_core::address::FrameKind;
use flowrun_core::cast::castable;
use flowrun_core::compile::{FlowPorts, Scope};
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::{FlowEnd, Fork, StepCx};
use flowrun_core::late::Late;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::Type;
use flowrun_core::value::{Object, Value};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::task::JoinSet;

const BRANCHES: &str = "branches";
const ERRORS: &str = "errors";

/// Runs several flows at once, spread over the cores, each in a frame of its own. They share inputs by name, and the step
/// gives the outputs of all.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunParallel {
    /// The flows, by their names under `flows:`.
    flows: Vec<String>,
    /// What becomes of the step when a flow fails: `fail` stops the others and fails with the error that came first,
    /// `collect` runs all to their ends, gives null for what a failed one would have given, and says in `errors` why.
    #[serde(default)]
    on_error: OnFlowError,
    /// How many flows run at once. Default: all. `--parallel N` lowers it, and never raises it.
    max_parallel: Option<Late<NonZeroUsize>>,
}

/// What becomes of the step when a flow fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnFlowError {
    /// The others are stopped, and the step fails.
    #[default]
    Fail,
    /// All run to their ends.
    Collect,
}

/// The flows that run beside each other: names and ports, in the order written.
type Flows<'a> = [(&'a str, FlowPorts)];

/// Ports, and what does not go together: the place of the flow that is at odds with one before, and why.
type United = (Vec<Port>, Vec<(usize, String)>);

/// The inputs of all flows, each name once. Where two types go together, the one that admits less stands; a default
/// stands where all flows have it.
fn united_inputs(flows: &Flows<'_>) -> United {
    let mut united: Vec<(&str, Port)> = Vec::new();
    let mut wrong = Vec::new();
    for (place, (flow, ports)) in flows.iter().enumerate() {
        for port in &ports.inputs {
            let Some((first, seen)) = united.iter_mut().find(|(_, p)| p.name == port.name) else {
                united.push((*flow, port.clone()));
                continue;
            };
            let (one, other) = (&seen.value_type, &port.value_type);
            if !castable(one, other) || !castable(other, one) {
                let name = &port.name;
                let message = format!("`{flow}` wants {other} as its input `{name}`, `{first}` wants {one}");
                wrong.push((place, message));
                continue;
            }
            if one.admits_null() && !other.admits_null() {
                seen.value_type = other.clone();
            }
            if seen.default != port.default {
                seen.default = None;
            }
        }
    }
    (united.into_iter().map(|(_, port)| port).collect(), wrong)
}

/// The outputs of all flows; a name that two of them give would hide one of the two.
fn united_outputs(flows: &Flows<'_>) -> United {
    let mut united: Vec<(&str, Port)> = Vec::new();
    let mut wrong = Vec::new();
    for (place, (flow, ports)) in flows.iter().enumerate() {
        for port in &ports.outputs {
            let name = &port.name;
            if name == BRANCHES || name == ERRORS {
                let message = format!("the flow `{flow}` gives `{name}`, which is a name of the step's own");
                wrong.push((place, message));
            } else if let Some((first, _)) = united.iter().find(|(_, p)| p.name == *name) {
                wrong.push((place, format!("`{first}` and `{flow}` both give `{name}`")));
            } else {
                united.push((*flow, port.clone()));
            }
        }
    }
    (united.into_iter().map(|(_, port)| port).collect(), wrong)
}

impl RunParallel {
    /// The ports of all flows, or all that is wrong with how they are named.
    fn inner(&self, scope: &Scope<'_>) -> Result<Vec<(&str, FlowPorts)>, Diagnostics> {
        if self.flows.is_empty() {
            return Err(scope.bad(&["flows"], "`flows` names nothing to run").into());
        }
        let mut wrong = Diagnostics::new();
        let mut inner = Vec::with_capacity(self.flows.len());
        for (place, name) in self.flows.iter().enumerate() {
            let at = place.to_string();
            if self.flows[..place].contains(name) {
                wrong.push(scope.bad(&["flows", &at], format!("the flow `{name}` is named twice")));
                continue;
            }
            match scope.flow(name, &["flows", &at]) {
                Ok(ports) => inner.push((name.as_str(), ports)),
                Err(found) => wrong.extend(found),
            }
        }
        // A flow with errors of its own adds nothing here; they are told where they are.
        if inner.len() == self.flows.len() { Ok(inner) } else { Err(wrong) }
    }

    fn most_at_once(&self, cx: &StepCx<'_>) -> Result<usize, StepError> {
        let most = self.max_parallel.as_ref().map(|most| most.get(cx)).transpose()?;
        let most = most.map_or(self.flows.len(), NonZeroUsize::get);
        Ok(cx.options().parallel.map_or(most, |cap| most.min(cap)).max(1))
    }

    /// Whether the error of a flow ends the step.
    fn ends_at(&self, error: &StepError) -> bool {
        error.fatal || error.is_stop() || self.on_error == OnFlowError::Fail
    }

    /// What the flows gave, in the order written.
    fn outcome(&self, ended: Vec<Result<FlowEnd, StepError>>) -> Outcome<Ports> {
        let mut outputs: Vec<(Arc<str>, Value)> = Vec::new();
        let (mut branches, mut errors) = (Vec::new(), Vec::new());
        for (name, result) in self.flows.iter().zip(ended) {
            let name: Arc<str> = name.as_str().into();
            match result {
                Ok(end) => {
                    outputs.extend(end.outputs.iter().map(|(name, value)| (Arc::clone(name), value.clone())));
                    branches.push((name, Value::from(end.name.as_deref().unwrap_or("next"))));
                }
                // Its outputs are not given, which makes them null.
                Err(error) => {
                    branches.push((Arc::clone(&name), Value::Null));
                    errors.push((name, Value::from(error.message)));
                }
            }
        }
        let failed = errors.len();
        outputs.push((BRANCHES.into(), Value::Object(branches.into_iter().collect::<Object>())));
        if self.on_error == OnFlowError::Collect {
            outputs.push((ERRORS.into(), Value::Object(errors.into_iter().collect::<Object>())));
        }
        let outcome = Outcome::next(outputs.into_iter().collect::<Ports>());
        if failed == 0 { outcome } else { outcome.note(format!("{failed} of {} flows failed", self.flows.len())) }
    }
}

impl Step for RunParallel {
    const TYPE: &'static str = "parallel";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str =
        "answers:\n  type: parallel\n  flows: [short_answer, long_answer]\n  on_error: collect";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![
                Port::new("NAME", Type::any())
                    .doc("One for each input of the flows; flows share those of one name."),
            ],
            outputs: vec![
                Port::new("NAME", Type::any())
                    .doc("One for each output of the flows; with `collect` null where its flow failed."),
                Port::new(BRANCHES, Type::object())
                    .doc("For each flow the `complete` step that it reached, or `next`; null where it failed."),
                Port::new(ERRORS, Type::object()).doc("With `collect`: for each flow that failed the message."),
            ],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let inner = self.inner(scope)?;
        let (inputs, at_odds) = united_inputs(&inner);
        let (mut outputs, clashes) = united_outputs(&inner);
        let mut wrong = Diagnostics::new();
        for (place, message) in at_odds.into_iter().chain(clashes) {
            let help = "rename it in one of the flows";
            wrong.push(scope.bad(&["flows", &place.to_string()], message).help(help));
        }
        for (place, (flow, _)) in inner.iter().enumerate().filter(|(_, (_, ports))| ports.waits) {
            let message = format!("the flow `{flow}` may wait for a person, who answers one question at a time");
            let help = "run it by a `flow` step of its own";
            wrong.push(scope.bad(&["flows", &place.to_string()], message).help(help));
        }
        wrong.into_result()?;
        if self.on_error == OnFlowError::Collect {
            for port in &mut outputs {
                port.value_type = port.value_type.clone().nullable();
            }
        }
        outputs.push(Port::new(BRANCHES, Type::object()));
        if self.on_error == OnFlowError::Collect {
            outputs.push(Port::new(ERRORS, Type::object()));
        }
        Ok(Signature::new(inputs, outputs))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        // Each flow sees what was kept in memory before the first of them began; what they change is made in the
        // order written, so that nothing depends on which was quicker.
        let forks: Vec<Fork> = self.flows.iter().map(|_| cx.fork()).collect();
        let most = self.most_at_once(cx)?;
        let mut waiting = self.flows.iter().enumerate();
        let mut running = JoinSet::new();
        let mut ended = Vec::with_capacity(self.flows.len());
        // Places of flows that ended well, or were left in the middle: what they have changed and said lasts.
        let mut last = Vec::with_capacity(self.flows.len());
        let mut stopped = None;
        loop {
            while stopped.is_none()
                && running.len() < most
                && let Some((place, name)) = waiting.next()
            {
                let kind = FrameKind::Flow(name.as_str().into());
                let flow = cx.flow_run_on(&forks[place], name, kind, |port| input.get(port).cloned());
                running.spawn(async move {
                    match flow {
                        Ok(flow) => (place, flow.run().await),
                        Err(error) => (place, Err(error)),
                    }
                });
            }
            match running.join_next().await {
                None => break,
                // What is in flight is finished: a stopped run goes on, and would have to pay for it again.
                Some(Ok((place, Err(error)))) if error.is_stop() => {
                    last.push(place);
                    stopped = Some(error);
                }
                Some(Ok((_, Err(error)))) if self.ends_at(&error) => {
                    // Nothing of the others happens after the step has ended.
                    running.shutdown().await;
                    return Err(error);
                }
                Some(Ok((place, result))) => {
                    last.extend(result.is_ok().then_some(place));
                    ended.push((place, result));
                }
                Some(Err(broken)) => {
                    let message = format!("a flow ended without an answer: {broken}");
                    return Err(StepError::new("engine.worker", message));
                }
            }
        }
        last.sort_unstable();
        for place in last {
            cx.join(&forks[place])?;
        }
        if let Some(stopped) = stopped {
            return Err(stopped);
        }
        ended.sort_by_key(|(place, _)| *place);
        Ok(self.outcome(ended.into_iter().map(|(_, result)| result).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(inputs: Vec<Port>, outputs: &[&str]) -> FlowPorts {
        let outputs = outputs.iter().map(|name| Port::new(*name, Type::string())).collect();
        FlowPorts { inputs, outputs, ends: Vec::new(), unnamed_end: true, waits: false }
    }

    fn shown(ports: &[Port]) -> Vec<String> {
        ports.iter().map(|p| format!("{}: {} {:?}", p.name, p.value_type, p.default)).collect()
    }

    #[test]
    fn inputs_of_one_name_are_one_input() {
        let a = vec![Port::new("x", Type::any()), Port::new("n", Type::integer()).or(1_i64)];
        let b =
            vec![Port::new("n", Type::integer()), Port::new("x", Type::string()), Port::new("t", Type::table())];
        let (ports, wrong) = united_inputs(&[("a", flow(a, &[])), ("b", flow(b, &[]))]);
        assert!(wrong.is_empty(), "{wrong:?}");
        assert_eq!(shown(&ports), ["x: string None", "n: integer None", "t: table None"]);
    }

    #[test]
    fn inputs_of_types_that_do_not_fit_are_told_with_both_flows() {
        let (a, b) = (vec![Port::new("x", Type::string())], vec![Port::new("x", Type::table())]);
        let (_, wrong) = united_inputs(&[("a", flow(a, &[])), ("b", flow(b, &[]))]);
        assert_eq!(wrong, [(1_usize, "`b` wants table as its input `x`, `a` wants string".to_owned())]);
    }

    #[test]
    fn an_output_has_one_flow() {
        let flows = [("a", flow(Vec::new(), &["x", "y"])), ("b", flow(Vec::new(), &["y", "errors", "z"]))];
        let (ports, wrong) = united_outputs(&flows);
        let names: Vec<&str> = ports.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["x", "y", "z"]);
        let said: Vec<&str> = wrong.iter().map(|(_, message)| message.as_str()).collect();
        assert_eq!(
            said,
            ["`a` and `b` both give `y`", "the flow `b` gives `errors`, which is a name of the step's own"]
        );
    }
}
