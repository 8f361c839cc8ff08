//! How fast the guide's columns are made, on one core: `cargo run --release -p flowrun-data --example speed -- SEED.json`.

#![expect(clippy::print_stdout, reason = "what it measures is all that it has to say")]

use std::path::Path;
use std::time::Instant;

use flowrun_core::seed::Key;
use flowrun_core::table::{Table, TableError};
use flowrun_data::read::{ReadOptions, open};
use flowrun_data::sources::sample_rows;
use flowrun_data::synthesize::Synthesis;
use flowrun_data::write::{Target, write_table};
use flowrun_data::{Format, compare::compare};
use serde_json::json;

const ROWS: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("say which JSON file holds the seed")?;
    let seed = open(Path::new(&path), &ReadOptions::default())?.table;
    let mut columns = json!({
        "customer_type": { "sample": "categorical" },
        "region": { "sample": "categorical" },
        "country": { "sample": "mapped", "by": ["region"] },
        "customer_net_worth": { "sample": "joint", "by": ["region"] },
        "loan_value": { "sample": "joint", "by": ["region"] },
        "loan_proposed_interest": { "sample": "joint", "by": ["region"] },
        "loan_reason": { "sample": "categorical" },
    });
    let key = Key::new(0, "structured", "");
    let plain: Synthesis = serde_json::from_value(columns.clone())?;
    let table = plain.table(Some(&seed), ROWS, &key)?;
    measure("columns drawn from the seed", &table)?;
    let begun = Instant::now();
    let compared = compare(&seed, &table, &plain.compare_plan())?;
    report("compared with the seed", ROWS, begun);
    println!("    {compared}");
    columns["customer_name"] = json!({
        "sample": "when", "column": "customer_type",
        "is": { "individual": { "sample": "fake", "kind": "name" } },
        "else": { "sample": "fake", "kind": "company" },
    });
    let named: Synthesis = serde_json::from_value(columns)?;
    let table = named.table(Some(&seed), ROWS, &key)?;
    measure("the same with made-up names", &table)?;
    measure("sampled from the seed", &sample_rows(&seed, ROWS, true, &key, None)?)?;
    let folder = std::env::temp_dir().join("flowrun-speed");
    for (format, name) in [
        (Format::Jsonl, "a.jsonl"),
        (Format::Json, "a.json"),
        (Format::Csv, "a.csv"),
        (Format::Parquet, "a.parquet"),
    ] {
        let path = folder.join(name);
        let begun = Instant::now();
        write_table(&table, Target::Path(path.clone()), format)?;
        report(&format!("made and written as {format}"), ROWS, begun);
        let begun = Instant::now();
        let opened = open(&path, &ReadOptions::default())?;
        report("    opened", ROWS, begun);
        measure("    scanned", &opened.table)?;
    }
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

fn measure(what: &str, table: &Table) -> Result<(), TableError> {
    let begun = Instant::now();
    let rows = table.scan_all()?.try_fold(0, |n, batch| Ok::<_, TableError>(n + batch?.num_rows() as u64))?;
    report(what, rows, begun);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a speed for people")]
fn report(what: &str, rows: u64, begun: Instant) {
    println!("{what:<32} {:>12.0} rows/s", rows as f64 / begun.elapsed().as_secs_f64());
}
