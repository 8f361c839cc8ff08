//! Names wire data: a step reads what was produced last on the way to it. The engine computes who that can be before
//! anything runs and gives each value a slot; the interpreter here keeps one map of names and looks at nothing else.
//! What a flow takes and gives where it does not say so follows from the ways through it, which are walked here one name
//! and one step at a time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use flowrun::core::compile::compile;
use flowrun::core::spec::{FlowSpec, StepSpec};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{Engine, Read, Trace, compiled, registry, repository};

/// Names that steps read and give.
const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// More visits than any walk of a drawn flow makes.
const MOST: usize = 1_000;

/// A step: what it reads and gives, and where it jumps to on its first visits before it goes on to the next one.
#[derive(Clone, Debug)]
struct Drawn {
    reads: Vec<&'static str>,
    gives: Vec<&'static str>,
    jumps: Vec<usize>,
}

fn name(step: usize) -> String {
    format!("s{step}")
}

fn flow() -> impl Strategy<Value = Vec<Drawn>> {
    (2..9_usize).prop_flat_map(|steps| {
        let names = || proptest::sample::subsequence(&NAMES[..], 0..=NAMES.len());
        let jumps = proptest::collection::vec(0..steps, 0..3);
        let step = (names(), names(), jumps).prop_map(|(reads, gives, jumps)| Drawn { reads, gives, jumps });
        proptest::collection::vec(step, steps)
    })
}

/// What each step reads: the value of the name that was given last, by whomever.
fn interpreted(flow: &[Drawn]) -> Vec<Read> {
    let mut values: HashMap<&str, String> = HashMap::new();
    let (mut visits, mut trace, mut at) = (vec![0; flow.len()], Vec::new(), 0);
    while at < flow.len() {
        let step = &flow[at];
        let read = step.reads.iter().map(|n| ((*n).to_owned(), values.get(n).cloned())).collect();
        trace.push((name(at), read));
        for given in &step.gives {
            values.insert(given, format!("{}.{given} {}", name(at), visits[at]));
        }
        let visit = visits[at];
        visits[at] += 1;
        at = step.jumps.get(visit).copied().unwrap_or(at + 1);
    }
    trace
}

fn executed(flow: &[Drawn]) -> Vec<Read> {
    let mut spec = FlowSpec::new("drawn");
    spec.limits.max_steps = Some(MOST as u64);
    for (at, step) in flow.iter().enumerate() {
        let branches: Vec<String> = (0..step.jumps.len()).map(|jump| format!("jump{jump}")).collect();
        let config = json!({ "reads": step.reads, "gives": step.gives, "branches": branches, "takes": branches });
        let drawn = StepSpec::new(&name(at), "probe", &config);
        let jumps = step.jumps.iter().zip(&branches);
        spec = spec.step(jumps.fold(drawn, |drawn, (to, branch)| drawn.branch(branch, &name(*to))));
    }
    // Without inputs of its own the top flow has none that names could fall back to.
    spec.inputs = Some(Vec::new());
    let compiled = compile(&spec, &registry()).unwrap_or_else(|e| panic!("{:?}", e.iter().collect::<Vec<_>>()));
    let trace = Arc::new(Trace::default());
    Engine::new(compiled, &repository(".")).with(&trace).run(BTreeMap::new()).unwrap();
    let trace = trace.0.lock().unwrap();
    trace.clone()
}

/// The steps that some way reaches on which no step before gives `name`.
fn reached_without(flow: &[Shape], name: &str) -> Vec<bool> {
    let mut reached = vec![false; flow.len()];
    let mut ahead = vec![0];
    while let Some(at) = ahead.pop() {
        if !std::mem::replace(&mut reached[at], true) && !flow[at].drawn.gives.contains(&name) {
            ahead.extend(flow[at].to.iter().flatten());
        }
    }
    reached
}

/// The inputs of a flow that lists none: what some step reads and some way to it does not give. One that every such step
/// can do without has a default.
fn wanted_inputs(flow: &[Shape]) -> BTreeMap<&'static str, bool> {
    let mut inputs = BTreeMap::new();
    for name in NAMES {
        let without = reached_without(flow, name);
        for (at, Shape { drawn, needs, .. }) in flow.iter().enumerate() {
            if without[at] && (drawn.reads.contains(&name) || needs.contains(&name)) {
                *inputs.entry(name).or_insert(true) &= !needs.contains(&name);
            }
        }
    }
    inputs
}

/// The outputs of a flow that lists none: what every way to an end gives.
fn given_outputs(flow: &[Shape]) -> Vec<&'static str> {
    let given = |name: &&str| {
        let without = reached_without(flow, name);
        let mut ends = flow.iter().enumerate().filter(|(_, step)| step.to.contains(&None));
        let lacks = |(at, step): (usize, &Shape)| without[at] && !step.drawn.gives.contains(name);
        !ends.any(lacks)
    };
    let produced = |name: &&str| flow.iter().any(|step| step.drawn.gives.contains(name));
    NAMES.into_iter().filter(produced).filter(given).collect()
}

/// A step, and all the places that it can go to: steps, or the end.
#[derive(Clone, Debug)]
struct Shape {
    drawn: Drawn,
    /// Names without which it cannot run.
    needs: Vec<&'static str>,
    to: Vec<Option<usize>>,
}

/// Flows whose steps go anywhere, the end among it; each step can be reached through the one before.
fn shape() -> impl Strategy<Value = Vec<Shape>> {
    flow().prop_flat_map(|flow| {
        let count = flow.len();
        let needs = proptest::sample::subsequence(&NAMES[..], 0..2);
        let more = proptest::collection::vec((any::<bool>(), needs), count);
        more.prop_map(move |more| {
            let of = |(at, drawn): (usize, &Drawn)| {
                let next = (at + 1 < count).then_some(at + 1);
                let (ends, needs) = more[at].clone();
                let drawn = Drawn {
                    reads: drawn.reads.iter().copied().filter(|n| !needs.contains(n)).collect(),
                    ..drawn.clone()
                };
                let end = ends.then_some(None);
                let to = drawn.jumps.iter().map(|to| Some(*to)).chain([next]).chain(end).collect();
                Shape { drawn, needs, to }
            };
            flow.iter().enumerate().map(of).collect()
        })
    })
}

/// The inputs that the engine finds, each with whether it has a default, and the outputs, sorted.
fn inferred(flow: &[Shape]) -> (BTreeMap<String, bool>, Vec<String>) {
    let mut inner = FlowSpec::new("inner");
    for (at, Shape { drawn, needs, to }) in flow.iter().enumerate() {
        let branches: Vec<String> = (0..to.len()).map(|branch| format!("to{branch}")).collect();
        let none: [&str; 0] = [];
        let config = json!({
            "reads": drawn.reads, "needs": needs, "gives": drawn.gives, "branches": branches, "takes": none,
        });
        let target = |to: &Option<usize>| to.map_or_else(|| "end".to_owned(), name);
        let next = if at + 1 < flow.len() { name(at + 1) } else { "end".to_owned() };
        let step = StepSpec::new(&name(at), "probe", &config).branch("next", &next);
        let ways = to.iter().zip(&branches);
        inner = inner.step(ways.fold(step, |step, (to, branch)| step.branch(branch, &target(to))));
    }
    let feed = json!({ "reads": [], "gives": NAMES, "branches": [], "takes": [] });
    let mut top = FlowSpec::new("top")
        .step(StepSpec::new("feed", "probe", &feed))
        .step(StepSpec::new("run", "flow", &json!({ "flow": "inner" })))
        .flow(inner);
    top.outputs = Some(Vec::new());
    let compiled = compile(&top, &registry()).unwrap_or_else(|e| panic!("{:?}", e.iter().collect::<Vec<_>>()));
    let inner = &compiled.flow.step("run").unwrap().flows["inner"];
    let inputs = inner.inputs.iter().map(|port| (port.name.clone(), port.default.is_some()));
    let mut outputs: Vec<String> = inner.outputs.iter().map(|port| port.name.clone()).collect();
    outputs.sort();
    (inputs.collect(), outputs)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_name_is_the_value_given_last(flow in flow()) {
        let wanted = interpreted(&flow);
        prop_assert!(wanted.len() < MOST);
        prop_assert_eq!(executed(&flow), wanted);
    }

    #[test]
    fn a_flow_takes_what_its_steps_lack_and_gives_what_every_way_gives(flow in shape()) {
        let inputs = wanted_inputs(&flow).into_iter().map(|(name, optional)| (name.to_owned(), optional)).collect();
        let outputs: Vec<String> = given_outputs(&flow).into_iter().map(str::to_owned).collect();
        prop_assert_eq!(inferred(&flow), (inputs, outputs));
    }
}

#[test]
fn no_more_problems_are_listed_than_somebody_reads() {
    let steps = (0..2000)
        .map(|n| format!("  s{n}: {{ type: template, template: \"{{{{ unknown{n} }}}}\", output: o{n} }}\n"));
    let flow = format!("flow: many\nsteps:\n{}", steps.collect::<String>());
    let found = compiled(&flow, &registry()).unwrap_err();
    assert_eq!((found.errors(), found.iter().last().unwrap().code), (501, "E0230"));
}
