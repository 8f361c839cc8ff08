//! How fast the engine is without a model: one render, a map over a chain of templates, and compiling.

mod support;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput};
use flowrun::core::compile::compile;
use flowrun::core::execute::{Execution, Run, RunOptions, bind, execute};
use flowrun::core::flow::Flow;
use flowrun::core::journal::{Journal, MemoryJournal, NoJournal};
use flowrun::core::spec::{FlowSpec, StepSpec};
use flowrun::core::table::Table;
use flowrun::core::template::{Extras, Template};
use flowrun::core::types::Type;
use flowrun::core::value::Value;
use flowrun::yaml::{ParseOptions, parse};
use serde_json::json;
use tokio::runtime::Runtime;

use support::{Number, Target};

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ITEMS: u32 = 100_000;
const STEPS: u32 = 10;
const TEXT: &str = "<{{ text }}>";

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = support::estimates::configured();
    render(&mut criterion);
    map(&mut criterion);
    flows(&mut criterion);
    criterion.final_summary();

    let seconds = support::estimates::seconds;
    let rate = |benchmark| Ok::<_, Box<dyn Error>>(f64::from(ITEMS * STEPS) / seconds(benchmark)?);
    let map = format!("map of {STEPS} templates over {ITEMS} items");
    let million = Target::AtLeast(1e6);
    support::report(
        "1-engine",
        &[
            Number::new("one render", Target::None, seconds("render")? * 1e6, "µs"),
            Number::new(format!("{map}, no journal"), million, rate("map/no_journal")?, "steps/s"),
            Number::new(format!("{map}, the command's journal"), million, rate("map/memory_journal")?, "steps/s"),
        ],
    )?;
    let mut numbers = Vec::new();
    for (what, group) in [("compile", "compile"), ("parse and check", "check")] {
        for shape in Shape::ALL {
            let took =
                |steps| Ok::<_, Box<dyn Error>>(seconds(&format!("{group}/{}/{steps}", shape.word()))? * 1e3);
            let (few, many) = (took(1_000)?, took(10_000)?);
            let what = format!("{what} 1,000 steps, {}", shape.name());
            numbers.push(Number::new(&what, Target::Below(50.0), few, "ms"));
            numbers.push(Number::new(
                format!("{what}: 10 times the steps, times the time"),
                Target::Below(15.0),
                many / few,
                "",
            ));
        }
    }
    support::report("1-engine-flows", &numbers)?;
    Ok(())
}

/// How the steps of a long flow hang together.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Each step reads what the one before gave.
    Chain,
    /// Each step reads what the first one gave, by its name, so that its wire leads past all others.
    ByName,
    /// A branch, two ways and a step where they meet, which reads what either gave; and so on.
    Diamonds,
    /// One branch with a way for each step, and a step where all meet.
    Fan,
    /// A map for every second step, of a flow with one step.
    Maps,
    /// A step that writes and one that may go back to it; and so on.
    Retries,
}

impl Shape {
    const ALL: [Self; 6] = [Self::Chain, Self::ByName, Self::Diamonds, Self::Fan, Self::Maps, Self::Retries];

    fn word(self) -> &'static str {
        match self {
            Self::Chain => "chain",
            Self::ByName => "by_name",
            Self::Diamonds => "diamonds",
            Self::Fan => "fan",
            Self::Maps => "maps",
            Self::Retries => "retries",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Chain => "a chain",
            Self::ByName => "wired by name",
            Self::Diamonds => "ways that part and meet",
            Self::Fan => "a branch with as many ways",
            Self::Maps => "half of them maps of small flows",
            Self::Retries => "half of them go back",
        }
    }

    /// A flow of so many steps as its file.
    fn text(self, steps: u32) -> String {
        let flow = match self {
            Self::Chain => chain_in_yaml(steps),
            Self::ByName => after_first(steps, 1, |n| format!("  step_{n}: {}\n", template("text", n, ""))),
            Self::Diamonds => after_first(steps, 4, diamond),
            Self::Fan => fan(steps),
            Self::Maps => maps(steps / 2),
            Self::Retries => {
                let last = format!("  step_{}: {}\n", steps / 2, template("text", steps / 2, ""));
                after_first(steps, 2, retry) + &last
            }
        };
        format!("flow: {}\n{flow}", self.word())
    }
}

/// A step that puts its text around a value, as number `n` of those that do.
fn template(reads: &str, n: u32, more: &str) -> String {
    format!("{{ type: template, template: \"<{{{{ {reads} }}}}>\", output: text_{n}{more} }}")
}

/// So many steps after a first one, some at a time.
fn after_first(steps: u32, at_a_time: u32, some: impl Fn(u32) -> String) -> String {
    let all: Vec<_> = (0..steps / at_a_time).map(some).collect();
    format!("steps:\n  first: {{ type: constant, values: {{ text: a }} }}\n{}", all.concat())
}

fn diamond(n: u32) -> String {
    let next = format!("next: {{ left: left_{n}, default: right_{n} }}");
    let parts = format!("{{ type: branch, cases: {{ a: left }}, with: {{ value: text }}, {next} }}");
    let (left, right) = (template("text", n, &format!(", next: meet_{n}")), template("text", n, ""));
    let meets = format!("{{ type: template, template: \"<{{{{ text_{n} }}}}>\", output: met_{n} }}");
    format!("  part_{n}: {parts}\n  left_{n}: {left}\n  right_{n}: {right}\n  meet_{n}: {meets}\n")
}

fn retry(n: u32) -> String {
    let again = format!("{{ retry: step_{n}, max_trials: 3, else: end }}");
    let next = format!("next: {{ again: {again}, default: step_{} }}", n + 1);
    let judges = format!("{{ type: branch, cases: {{ bad: again }}, with: {{ value: text_{n} }}, {next} }}");
    format!("  step_{n}: {}\n  judge_{n}: {judges}\n", template("text", n, ""))
}

fn fan(ways: u32) -> String {
    let all = |one: &dyn Fn(u32) -> String| (0..ways).map(one).collect::<Vec<_>>().concat();
    let (cases, next) = (all(&|n| format!("case_{n}: way_{n}, ")), all(&|n| format!("way_{n}: step_{n}, ")));
    let parts = format!(
        "{{ type: branch, with: {{ value: text }}, cases: {{ {cases} }}, next: {{ {next} default: meet }} }}"
    );
    let step = |n| format!("  step_{n}: {{ type: template, template: \"{TEXT}\", output: text, next: meet }}\n");
    let (steps, meets) = (all(&step), template("text", 0, ""));
    format!(
        "steps:\n  first: {{ type: constant, values: {{ text: a }} }}\n  part: {parts}\n{steps}  meet: {meets}\n"
    )
}

fn maps(maps: u32) -> String {
    let all = |one: &dyn Fn(u32) -> String| (0..maps).map(one).collect::<Vec<_>>().concat();
    let map = |n| {
        format!(
            "  map_{n}: {{ type: map, flow: flow_{n}, over: {{ text: inputs.texts }}, parallel: 4, outputs: {{ text_{n}: texts_{n} }} }}\n"
        )
    };
    let flow = |n| {
        format!(
            "  flow_{n}:\n    inputs: {{ text: string }}\n    steps:\n      write: {}\n",
            template("text", n, "")
        )
    };
    format!("inputs: {{ texts: \"[string]\" }}\nsteps:\n{}flows:\n{}", all(&map), all(&flow))
}

fn render(criterion: &mut Criterion) {
    let template = Template::parse(TEXT, Extras::None).expect("the text parses");
    let value = Value::from("about as long as a name");
    criterion.bench_function("render", |b| b.iter(|| template.render(|_| Some(value.clone()))));
}

fn map(criterion: &mut Criterion) {
    let compiled = compile(&mapped(), &flowrun::standard()).expect("the flow is fine");
    let texts: Vec<Value> = (0..ITEMS).map(|n| format!("item {n}").into()).collect();
    let texts = Value::from(texts);
    let runtime = Runtime::new().expect("threads can be started");
    let mut group = criterion.benchmark_group("map");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(15));
    group.throughput(Throughput::Elements((ITEMS * STEPS).into()));
    let mut with = |name: &str, journal: fn() -> Arc<dyn Journal>| {
        group.bench_function(name, |b| b.iter(|| run_map(&runtime, &compiled.flow, &texts, journal())));
    };
    with("no_journal", || Arc::new(NoJournal));
    with("memory_journal", || Arc::new(MemoryJournal::new()));
    group.finish();
}

fn run_map(runtime: &Runtime, flow: &Arc<Flow>, texts: &Value, journal: Arc<dyn Journal>) {
    let inputs = bind(flow, BTreeMap::from([("texts".to_owned(), texts.clone())])).expect("it is the only input");
    let run = Arc::new(Run::new(RunOptions::default()).journal(journal));
    let outputs =
        runtime.block_on(execute(flow, inputs, &run)).and_then(Execution::finished).expect("no template fails");
    let rows = outputs.values.get("table").and_then(Value::as_table).and_then(Table::len);
    assert_eq!(rows, Some(ITEMS.into()));
}

/// Flows of all shapes: from a `FlowSpec`, and as a person waits for it, from the text of a file.
fn flows(criterion: &mut Criterion) {
    let registry = flowrun::standard();
    let read = |text: &str| parse(text, &ParseOptions::new("flow.yaml", ".")).expect("the text is fine").spec;
    let flows = Shape::ALL.into_iter().flat_map(|shape| [1_000, 10_000].map(|steps| (shape, steps)));
    let flows: Vec<_> =
        flows.map(|(shape, steps)| (format!("{}/{steps}", shape.word()), shape.text(steps), steps)).collect();
    for group in ["compile", "check"] {
        let mut benches = criterion.benchmark_group(group);
        benches.sample_size(10);
        for (name, text, steps) in &flows {
            benches.throughput(Throughput::Elements((*steps).into()));
            let spec = read(text);
            benches.bench_function(name, |b| match group {
                "compile" => b.iter(|| compile(&spec, &registry).expect("the flow is fine")),
                _ => b.iter(|| compile(&read(text), &registry).expect("the flow is fine")),
            });
        }
        benches.finish();
    }
}

fn chain_in_yaml(steps: u32) -> String {
    let before = |n: u32| n.checked_sub(1).map_or("inputs.text".to_owned(), |n| format!("step_{n}.text_{n}"));
    let step = |n| {
        let wire = before(n);
        format!(
            "  step_{n}: {{ type: template, template: \"{TEXT}\", with: {{ text: {wire} }}, output: text_{n} }}\n"
        )
    };
    let all: Vec<_> = (0..steps).map(step).collect();
    let last = before(steps);
    format!("inputs: {{ text: string }}\noutputs: {{ last: {last} }}\nsteps:\n{}", all.concat())
}

/// Steps one after the other, each of which puts its text around that of the step before.
fn chain(name: &str, steps: u32) -> FlowSpec {
    let mut flow = FlowSpec::new(name).input("text", Type::string(), None);
    let mut before = "inputs.text".to_owned();
    for n in 0..steps {
        let step = StepSpec::new(&format!("step_{n}"), "template", &json!({ "template": TEXT }));
        flow = flow.step(step.with("text", &before).output(&format!("text_{n}")));
        before = format!("step_{n}.text_{n}");
    }
    flow.output("last", &before)
}

fn mapped() -> FlowSpec {
    let config =
        json!({ "flow": "chain", "over": { "text": "inputs.texts" }, "collect": ["last"], "parallel": 64 });
    FlowSpec::new("mapped")
        .input("texts", Type::list(Type::string()), None)
        .step(StepSpec::new("all", "map", &config))
        .output("table", "all.table")
        .flow(chain("chain", STEPS))
}
