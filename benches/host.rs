//! How many calls of a lent function go through `flowrun host` in a second: a map over 10,000 items, 64 in flight, and a peer
//! that answers at once. `cargo bench --bench host`.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use support::{Number, Target};

const ITEMS: usize = 10_000;
const ROUNDS: usize = 5;

const FLOW: &str = "
flow: calls
tools: { add: { type: host, arguments: { n: integer }, results: { more: integer } } }
inputs: { list: [integer] }
steps: { each: { type: map, flow: one, over: { n: inputs.list }, collect: [more], parallel: 64 } }
outputs: { more: each.more }
flows: { one: { steps: { call: { type: tool, tool: add } } } }
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_flowrun"))
        .arg("host")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().ok_or("no input")?;
    let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
    let mut line = String::new();
    let mut next = |line: &mut String| -> Result<Value, Box<dyn std::error::Error>> {
        line.clear();
        output.read_line(line)?;
        Ok(serde_json::from_str(line)?)
    };
    let request = |id: usize, method: &str, params: Value| {
        format!("{}\n", json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
    };
    input.write_all(request(0, "load", json!({ "text": FLOW, "tools": ["add"] })).as_bytes())?;
    let flow = next(&mut line)?["result"]["flow"].clone();
    let list: Vec<usize> = (0..ITEMS).collect();
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        input.write_all(request(1, "start", json!({ "flow": flow, "inputs": { "list": list } })).as_bytes())?;
        let run = next(&mut line)?["result"]["run"].clone();
        let began = Instant::now();
        input.write_all(request(2, "run", json!({ "run": run })).as_bytes())?;
        loop {
            let message = next(&mut line)?;
            if message["method"] != "call_tool" {
                let given = message["result"]["outputs"]["more"].as_array().map_or(0, Vec::len);
                assert_eq!(given, ITEMS, "{message}");
                break;
            }
            let n = message["params"]["arguments"]["n"].as_u64().unwrap_or_default();
            let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": n + 1 });
            input.write_all(format!("{answer}\n").as_bytes())?;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        rates.push(ITEMS as f64 / began.elapsed().as_secs_f64());
    }
    drop(input);
    child.wait()?;
    let what = format!("calls of a lent function through `flowrun host`, a map of {ITEMS} items, 64 in flight");
    let number = Number::new(what, Target::AtLeast(1e4), support::median(rates), "calls/s");
    Ok(support::report("6-host", &[number])?)
}
