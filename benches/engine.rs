//! How fast the engine is without a model: one render, a map over a chain of templates, and compiling.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use flowrun::core::compile::compile;
use flowrun::core::execute::{Run, RunOptions, bind, execute};
use flowrun::core::flow::Flow;
use flowrun::core::journal::{Journal, MemoryJournal, NoJournal};
use flowrun::core::spec::{FlowSpec, StepSpec};
use flowrun::core::template::{Extras, Template};
use flowrun::core::types::Type;
use flowrun::core::value::Value;
use serde_json::json;
use tokio::runtime::Runtime;

const ITEMS: u32 = 100_000;
const STEPS: u32 = 10;

/// A chain of steps, each a text around the one before.
fn chain(name: &str, steps: u32) -> FlowSpec {
    let mut flow = FlowSpec::new(name).input("text", Type::string(), None);
    let mut before = "inputs.text".to_owned();
    for n in 0..steps {
        let step = StepSpec::new(&format!("step_{n}"), "template", &json!({"template": "<{{ text }}>"}));
        flow = flow.step(step.with("text", &before).output(&format!("text_{n}")));
        before = format!("step_{n}.text_{n}");
    }
    flow.output("last", &before)
}

fn mapped() -> FlowSpec {
    let config = json!({"flow": "chain", "over": {"text": "inputs.texts"}, "collect": ["last"], "parallel": 64});
    FlowSpec::new("mapped")
        .input("texts", Type::list(Type::string()), None)
        .step(StepSpec::new("all", "map", &config))
        .output("table", "all.table")
        .flow(chain("chain", STEPS))
}

fn run_map(runtime: &Runtime, flow: &Arc<Flow>, texts: &Value, journal: Arc<dyn Journal>) {
    let inputs = bind(flow, BTreeMap::from([("texts".to_owned(), texts.clone())])).expect("one input");
    let run = Arc::new(Run::new(RunOptions::default()).journal(journal));
    let outputs = runtime.block_on(execute(flow, inputs, &run)).expect("templates cannot fail here");
    let table = outputs.values.get("table").and_then(Value::as_table);
    assert_eq!(table.and_then(flowrun::core::table::Table::len), Some(ITEMS.into()));
}

fn render(c: &mut Criterion) {
    let template = Template::parse("<{{ text }}>", Extras::None).expect("a text");
    let value = Value::from("about as long as a name");
    c.bench_function("render", |b| b.iter(|| template.render(|_| Some(value.clone()))));
}

fn map(c: &mut Criterion) {
    let compiled = compile(&mapped(), &flowrun::standard()).expect("a flow");
    let texts: Value = Value::from((0..ITEMS).map(|n| Value::from(format!("item {n}"))).collect::<Vec<_>>());
    let runtime = Runtime::new().expect("threads");
    let mut group = c.benchmark_group("map");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(12));
    group.throughput(Throughput::Elements(u64::from(ITEMS) * u64::from(STEPS)));
    group.bench_function("no journal", |b| {
        b.iter(|| run_map(&runtime, &compiled.flow, &texts, Arc::new(NoJournal)));
    });
    group.bench_function("memory journal", |b| {
        b.iter(|| run_map(&runtime, &compiled.flow, &texts, Arc::new(MemoryJournal::new())));
    });
    group.finish();
}

fn compiling(c: &mut Criterion) {
    let registry = flowrun::standard();
    let mut group = c.benchmark_group("compile");
    group.sample_size(10);
    for steps in [1_000, 10_000] {
        let spec = chain("chain", steps);
        group.throughput(Throughput::Elements(steps.into()));
        group.bench_function(steps.to_string(), |b| b.iter(|| compile(&spec, &registry).expect("a flow")));
    }
    group.finish();
}

criterion_group!(benches, render, map, compiling);
criterion_main!(benches);
