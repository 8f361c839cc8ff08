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

const ITEMS: u32 = 100_000;
const STEPS: u32 = 10;
const TEXT: &str = "<{{ text }}>";

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = support::estimates::configured();
    render(&mut criterion);
    map(&mut criterion);
    compiling(&mut criterion);
    checking(&mut criterion);
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
            Number::new("compile 1,000 steps", Target::Below(50.0), seconds("compile/1000")? * 1e3, "ms"),
            Number::new("compile 10,000 steps", Target::None, seconds("compile/10000")? * 1e3, "ms"),
            Number::new(
                "parse and check 1,000 steps",
                Target::Below(50.0),
                seconds("check/chain/1000")? * 1e3,
                "ms",
            ),
            Number::new("parse and check 10,000 steps", Target::None, seconds("check/chain/10000")? * 1e3, "ms"),
            Number::new("the same, wired by name", Target::None, seconds("check/by_name/10000")? * 1e3, "ms"),
        ],
    )?;
    Ok(())
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

fn compiling(criterion: &mut Criterion) {
    let registry = flowrun::standard();
    let mut group = criterion.benchmark_group("compile");
    group.sample_size(10);
    for steps in [1_000, 10_000] {
        let spec = chain("chain", steps);
        group.throughput(Throughput::Elements(steps.into()));
        group.bench_function(steps.to_string(), |b| {
            b.iter(|| compile(&spec, &registry).expect("the flow is fine"));
        });
    }
    group.finish();
}

/// As a person waits for it: from the text of a file.
fn checking(criterion: &mut Criterion) {
    let registry = flowrun::standard();
    let mut group = criterion.benchmark_group("check");
    group.sample_size(10);
    for (name, text) in [("chain", chain_in_yaml as fn(u32) -> String), ("by_name", by_name_in_yaml)] {
        for steps in [1_000, 10_000] {
            let text = text(steps);
            group.throughput(Throughput::Elements(steps.into()));
            group.bench_function(format!("{name}/{steps}"), |b| {
                b.iter(|| {
                    let parsed = parse(&text, &ParseOptions::new("flow.yaml", ".")).expect("the text is fine");
                    compile(&parsed.spec, &registry).expect("the flow is fine")
                });
            });
        }
    }
    group.finish();
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
    format!("flow: chain\ninputs: {{ text: string }}\noutputs: {{ last: {last} }}\nsteps:\n{}", all.concat())
}

/// Each step reads what the first one gave, so that its wire leads past all others.
fn by_name_in_yaml(steps: u32) -> String {
    let step = |n| format!("  step_{n}: {{ type: template, template: \"{TEXT}\", output: text_{n} }}\n");
    let all: Vec<_> = (0..steps).map(step).collect();
    format!("flow: names\nsteps:\n  first: {{ type: constant, values: {{ text: a }} }}\n{}", all.concat())
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
