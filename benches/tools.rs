//! What a call of a tool costs: a map whose items call a program through one worker, from `execute` to the finished list.
//!
//! The program is this one, started with `--answer`: it reads a line, takes out the id and writes a line, and that is all.

mod support;

use std::error::Error;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::Instant;

use flowrun::core::compile::compile;
use flowrun::core::execute::{Run, RunOptions, bind, execute};
use flowrun::core::journal::MemoryJournal;
use flowrun::core::value::Value;
use flowrun::yaml::{ParseOptions, parse};
use serde::Deserialize;

use support::{Number, Target, median};

const FLAG: &str = "--answer";
const CALLS: u32 = 50_000;
const ROUNDS: u32 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args().nth(1).as_deref() == Some(FLAG) {
        return answer();
    }
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        rates.push(rate()?);
    }
    let what = format!("{CALLS} calls of an `exec` tool through one worker");
    let number = Number::new(what, Target::AtLeast(5e3), median(rates), "calls/s");
    Ok(support::report("5-tools", &[number])?)
}

/// The program that is called.
fn answer() -> Result<(), Box<dyn Error>> {
    #[derive(Deserialize)]
    struct Asked {
        id: u64,
    }
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let asked: Asked = serde_json::from_str(&line?)?;
        writeln!(output, "{{\"id\": {}, \"result\": true}}", asked.id)?;
        output.flush()?;
    }
    Ok(())
}

/// Calls a second in one run.
fn rate() -> Result<f64, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let flow = format!(
        "flow: calls\ninputs: {{ numbers: [integer] }}\ntools:\n  call:\n    type: exec\n    command: ['{}', {FLAG}]\n    arguments: {{ n: integer }}\n    results: {{ yes: boolean }}\nsteps:\n  all: {{ type: map, flow: one, over: {{ n: inputs.numbers }}, parallel: 4 }}\noutputs: {{ all: all.yes }}\nflows:\n  one:\n    inputs: {{ n: integer }}\n    steps: {{ call: {{ type: tool, tool: call }} }}\n",
        program.display()
    );
    let parsed = parse(flow, &ParseOptions::new("flow.yaml", ".")).map_err(|e| format!("{e:?}"))?;
    let compiled = compile(&parsed.spec, &flowrun::standard()).map_err(|e| format!("{e:?}"))?;
    let numbers: Vec<Value> = (0..CALLS).map(|n| Value::Int(n.into())).collect();
    let inputs =
        bind(&compiled.flow, [("numbers".to_owned(), numbers.into())].into()).map_err(|e| e.join(", "))?;
    let run = Arc::new(Run::new(RunOptions::default()).journal(Arc::new(MemoryJournal::new())));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let began = Instant::now();
    let outputs = runtime.block_on(execute(&compiled.flow, inputs, &run))?.finished()?;
    let took = began.elapsed().as_secs_f64();
    let all = outputs.values.get("all").and_then(Value::as_list).ok_or("there is no list")?;
    if all.len() != CALLS as usize || all.items().iter().any(|yes| *yes != Value::Bool(true)) {
        return Err("the calls gave something else".into());
    }
    Ok(f64::from(CALLS) / took)
}
