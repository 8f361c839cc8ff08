//! Flows beside each other, and waits between trials.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use flowrun::core::error::INTERRUPTED;
use flowrun::core::execute::{Execution, Resources, Run, RunOptions, Stop, execute};
use flowrun::core::journal::{Journal, MemoryJournal};
use flowrun::prelude::*;

use crate::support::{Engine, compiled, registry};

/// Counts how many are in it at once.
#[derive(Default)]
struct Room {
    now: AtomicU64,
    most: AtomicU64,
}

/// Stays in the room for a moment.
#[derive(Deserialize, JsonSchema)]
struct Stay {}

impl Step for Stay {
    const TYPE: &'static str = "stay";
    const EFFECT: Effect = Effect::Pure;
    type Input = Ports;
    type Output = Ports;

    fn signature(&self, _: &Scope<'_>) -> Result<Signature, Diagnostics> {
        Ok(Signature::new(Vec::new(), Vec::new()))
    }

    async fn run(&self, cx: &StepCx<'_>, _: Ports) -> Result<Outcome<Ports>, StepError> {
        let room: &Room = cx.resource()?;
        let now = room.now.fetch_add(1, Ordering::SeqCst) + 1;
        room.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        room.now.fetch_sub(1, Ordering::SeqCst);
        Ok(Outcome::next(Ports::empty()))
    }
}

/// Holds its thread until somebody on another thread comes too.
#[derive(Deserialize, JsonSchema)]
struct Meet {}

impl Step for Meet {
    const TYPE: &'static str = "meet";
    const EFFECT: Effect = Effect::Pure;
    type Input = Ports;
    type Output = Ports;

    fn signature(&self, _: &Scope<'_>) -> Result<Signature, Diagnostics> {
        Ok(Signature::new(Vec::new(), Vec::new()))
    }

    async fn run(&self, cx: &StepCx<'_>, _: Ports) -> Result<Outcome<Ports>, StepError> {
        cx.resource::<Barrier>()?.wait();
        Ok(Outcome::next(Ports::empty()))
    }
}

const BESIDE: &str = "
flow: beside
steps:
  all: { type: parallel, flows: [a, b, c, d], max_parallel: 3 }
flows:
  a: { steps: { stay: { type: stay } } }
  b: { steps: { stay: { type: stay } } }
  c: { steps: { stay: { type: stay } } }
  d: { steps: { stay: { type: stay } } }
";

/// The most flows that were in the room at once, with `--parallel` as given.
fn most_at_once(parallel: Option<usize>) -> u64 {
    let room = Arc::new(Room::default());
    let options = RunOptions { parallel, ..RunOptions::default() };
    Engine::of(BESIDE, &registry().with::<Stay>()).with(&room).options(options).run(BTreeMap::new()).unwrap();
    room.most.load(Ordering::SeqCst)
}

#[test]
fn the_option_lowers_how_many_flows_run_at_once_and_never_raises_it() {
    assert_eq!(most_at_once(Some(1)), 1);
    assert!(most_at_once(Some(64)) <= 3);
    assert!(most_at_once(None) <= 3);
}

#[test]
fn flows_beside_each_other_run_on_several_threads() {
    const TWO: &str = "
flow: two
steps:
  both: { type: parallel, flows: [a, b] }
flows:
  a: { steps: { meet: { type: meet } } }
  b: { steps: { meet: { type: meet } } }
";
    let barrier = Arc::new(Barrier::new(2));
    Engine::of(TWO, &registry().with::<Meet>()).with(&barrier).run(BTreeMap::new()).unwrap();
}

const WAITS: &str = "
flow: waits
steps:
  attempt: { type: retry, flow: once, until: found, max_trials: 2, delay: 20, next: { failure: end, next: end } }
flows:
  once: { steps: { mark: { type: constant, values: { found: false } } } }
outputs: { trials: attempt.retry_step_num_retries }
";

#[test]
fn a_run_that_goes_on_does_not_wait_again() {
    let journal = Arc::new(MemoryJournal::new());
    journal.keep_effect("attempt#1!delay/2".to_owned(), "null".to_owned()).unwrap();
    let began = Instant::now();
    let outputs = Engine::of(WAITS, &registry()).journal(journal).run(BTreeMap::new()).unwrap();
    assert_eq!(outputs.values.get("trials"), Some(&Value::Int(2)));
    assert!(began.elapsed() < Duration::from_secs(15), "it waited");
}

#[test]
fn a_run_that_is_told_to_stop_at_once_waits_no_longer() {
    let (stop, compiled) = (Arc::new(Stop::default()), compiled(WAITS, &registry()).unwrap());
    let run = Arc::new(Run::new(RunOptions::default()).stop(Arc::clone(&stop)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let began = Instant::now();
    let ended = runtime.block_on(async {
        let asks = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            stop.ask();
            stop.ask();
        };
        tokio::join!(execute(&compiled.flow, Vec::new(), &run), asks).0
    });
    assert_eq!(ended.and_then(Execution::finished).unwrap_err().code, INTERRUPTED);
    assert!(began.elapsed() < Duration::from_secs(15), "it waited");
}

/// Tells the run to stop where it comes to 2.
#[derive(Deserialize, JsonSchema)]
struct Halt {}

#[derive(Deserialize, JsonSchema)]
struct HaltIn {
    n: i64,
}

impl Step for Halt {
    const TYPE: &'static str = "halt";
    const EFFECT: Effect = Effect::Pure;
    type Input = HaltIn;
    type Output = Ports;

    fn signature(&self, _: &Scope<'_>) -> Result<Signature, Diagnostics> {
        Ok(Signature::new(vec![Port::new("n", Type::integer())], Vec::new()))
    }

    async fn run(&self, cx: &StepCx<'_>, input: HaltIn) -> Result<Outcome<Ports>, StepError> {
        if input.n == 2 {
            cx.resource::<Stop>()?.ask();
        }
        Ok(Outcome::next(Ports::empty()))
    }
}

/// The map inside is left in the middle: the item around it has not failed, and is not left out when the run goes on.
#[test]
fn an_item_that_is_left_in_the_middle_runs_again() {
    const LISTS: &str = "
flow: lists
steps:
  lists: { type: constant, values: { lists: [[1, 2, 3]] } }
  each: { type: map, flow: list, over: { numbers: lists.lists }, on_item_error: skip }
outputs: { texts: each.texts }
flows:
  list:
    inputs: { numbers: [integer] }
    steps:
      each: { type: map, flow: item, over: { n: inputs.numbers }, parallel: 1 }
    outputs: { texts: each.text }
  item:
    inputs: { n: integer }
    steps:
      halt: { type: halt }
      say: { type: template, template: \"{{ n }}\", output: text }
";
    let compiled = compiled(LISTS, &registry().with::<Halt>()).unwrap();
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let asked = Arc::new(Stop::default());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let go = |stop: &Arc<Stop>| {
        let run = Run::new(RunOptions::default()).stop(Arc::clone(stop)).journal(Arc::clone(&journal));
        let run = Arc::new(run.resources(Resources::new().with(Arc::clone(&asked))));
        runtime.block_on(execute(&compiled.flow, Vec::new(), &run)).unwrap()
    };
    assert!(matches!(go(&asked), Execution::Interrupted(_)));
    let outputs = go(&Arc::default()).finished().unwrap();
    let texts: Vec<Value> = ["1", "2", "3"].map(Value::from).to_vec();
    assert_eq!(outputs.values.get("texts"), Some(&Value::from(vec![Value::from(texts)])));
}
