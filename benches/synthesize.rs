//! How fast `synthesize` makes the columns of the guide, on one core.

mod support;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, SamplingMode, Throughput};
use flowrun::core::seed::Key;
use flowrun::core::table::Table;
use flowrun::data::read::{ReadOptions, open};
use flowrun::data::synthesize::Synthesis;
use flowrun::yaml::{ParseOptions, parse};
use serde::Deserialize;

use support::{Number, Target};

const ROWS: u32 = 1_000_000;
const MADE_UP: &str = "customer_name";

fn main() -> Result<(), Box<dyn Error>> {
    let flows = Path::new(env!("CARGO_MANIFEST_DIR")).join("flows");
    let seed = open(&flows.join("data/loan_seed.json"), &ReadOptions::default())?.table;
    let all = columns(&flows.join("justify.yaml"))?;
    let mut drawn = all.columns().clone();
    drawn.shift_remove(MADE_UP).ok_or("the flow has no made-up column")?;
    let key = Key::new(0, "structured", "columns");

    let mut criterion = support::estimates::configured();
    scan(&mut criterion, "drawn", &Synthesis::new(drawn).table(Some(&seed), ROWS.into(), &key)?);
    scan(&mut criterion, "with_names", &all.table(Some(&seed), ROWS.into(), &key)?);
    criterion.final_summary();

    let rate = |name: &str| {
        let seconds = support::estimates::seconds(&format!("synthesize/{name}"))?;
        Ok::<_, Box<dyn Error>>(f64::from(ROWS) / seconds)
    };
    support::report(
        "2-synthesize",
        &[
            Number::new("synthesize without made-up text, a core", Target::AtLeast(1e6), rate("drawn")?, "rows/s"),
            Number::new("synthesize with names, a core", Target::AtLeast(3e5), rate("with_names")?, "rows/s"),
        ],
    )?;
    Ok(())
}

/// The columns that the flow's `synthesize` step makes.
fn columns(flow: &Path) -> Result<Synthesis, Box<dyn Error>> {
    let folder = flow.parent().unwrap_or(Path::new("."));
    let parsed = parse(&std::fs::read(flow)?, &ParseOptions::new("justify.yaml", folder))
        .map_err(|wrong| format!("the flow does not parse: {wrong:?}"))?;
    let step = parsed.spec.steps.iter().find(|s| s.step_type.value == "synthesize");
    let columns = step.and_then(|s| s.config.get("columns")).ok_or("the flow makes up nothing")?;
    Ok(Synthesis::deserialize(columns)?)
}

/// Reads the whole table, which makes it anew each time.
fn scan(criterion: &mut Criterion, name: &str, table: &Table) {
    let mut group = criterion.benchmark_group("synthesize");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(8));
    group.throughput(Throughput::Elements(ROWS.into()));
    group.bench_function(name, |b| {
        b.iter(|| {
            let batches = table.scan_all().expect("the seed was read");
            let rows: usize = batches.map(|batch| batch.expect("rows can be drawn").num_rows()).sum();
            assert_eq!(rows, ROWS as usize);
        });
    });
    group.finish();
}
