//! Names wire data: a step reads what was produced last on the way to it. The engine computes who that can be before
//! anything runs and gives each value a slot; the interpreter here keeps one map of names and looks at nothing else.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use flowrun::core::compile::compile;
use flowrun::core::spec::{FlowSpec, StepSpec};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{Engine, Read, Trace, registry, repository};

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
    spec.max_steps = Some((MOST as u64).into());
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_name_is_the_value_given_last(flow in flow()) {
        let wanted = interpreted(&flow);
        prop_assert!(wanted.len() < MOST);
        prop_assert_eq!(executed(&flow), wanted);
    }
}
