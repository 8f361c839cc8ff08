//! `flowrun host`: sessions as JSON lines, and a live one with the Python of `examples/`.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Sandbox, repository};

/// How long a line may take that has to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A host's end of the line.
struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Peer {
    fn start(sandbox: &Sandbox) -> Self {
        let mut command = sandbox.command(["host"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { input: child.stdin.take(), child, lines }
    }

    fn send(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
        input.flush().unwrap();
    }

    fn next(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("an answer");
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line}: {e}"))
    }

    fn ask(&mut self, id: u64, method: &str, params: &Value) -> Value {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string());
        self.next()
    }

    /// Ends the input, and waits for the end of the process.
    fn end(mut self) {
        drop(self.input.take());
        let left: Vec<_> = self.lines.iter().collect();
        assert!(left.is_empty(), "nobody asked for {left:?}");
        assert!(self.child.wait().unwrap().success());
    }
}

/// `?` stands for any text.
fn fits(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::String(_), Value::String(any)) if any == "?" => true,
        (Value::Null, Value::String(any)) if any == "?" => true,
        (Value::Object(found), Value::Object(wanted)) => {
            found.len() == wanted.len()
                && wanted.iter().all(|(key, value)| found.get(key).is_some_and(|found| fits(found, value)))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| fits(found, wanted))
        }
        (found, wanted) => found == wanted,
    }
}

fn hold(text: &str) {
    let sandbox = Sandbox::new();
    let mut peer = Peer::start(&sandbox);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.split_once(' ').unwrap() {
            (">", sent) => peer.send(sent),
            ("<", wanted) => {
                let found = peer.next();
                assert!(fits(&found, &serde_json::from_str(wanted).unwrap()), "found  {found}\nwanted {wanted}");
            }
            // In whatever order.
            ("<<", wanted) => {
                let mut wanted: VecDeque<Value> = serde_json::from_str(wanted).unwrap();
                while !wanted.is_empty() {
                    let found = peer.next();
                    let place = wanted.iter().position(|wanted| fits(&found, wanted));
                    wanted.remove(place.unwrap_or_else(|| panic!("found  {found}\nwanted {wanted:?}")));
                }
            }
            (other, _) => panic!("a line begins with {other}"),
        }
    }
    peer.end();
}

#[test]
fn every_session_goes_as_it_is_written() {
    let mut broken = Vec::new();
    let folder = repository("tests/host");
    let mut sessions: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    sessions.sort();
    for path in sessions {
        let text = std::fs::read_to_string(&path).unwrap();
        if std::panic::catch_unwind(|| hold(&text)).is_err() {
            broken.push(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
    }
    assert!(broken.is_empty(), "the sessions above are those of {broken:#?}");
}

const MAPPED: &str = "
flow: mapped
tools: { add: { type: host, arguments: { n: integer }, results: { more: integer } } }
inputs: { list: [integer] }
steps: { each: { type: map, flow: one, over: { n: inputs.list }, collect: [more], parallel: 8 } }
outputs: { more: each.more }
flows: { one: { steps: { call: { type: tool, tool: add } } } }
";

#[test]
fn calls_of_a_parallel_map_are_under_way_at_once_and_answered_in_any_order() {
    let sandbox = Sandbox::new();
    let mut peer = Peer::start(&sandbox);
    peer.ask(1, "load", &json!({ "text": MAPPED, "tools": ["add"] }));
    peer.ask(2, "start", &json!({ "flow": "f1", "inputs": { "list": (0..16).collect::<Vec<_>>() } }));
    peer.send(&json!({ "jsonrpc": "2.0", "id": 3, "method": "run", "params": { "run": "r2" } }).to_string());
    for _ in 0..2 {
        // All eight are there before any of them is answered; then the last one first.
        let calls: Vec<_> = (0..8).map(|_| peer.next()).collect();
        for call in calls.iter().rev() {
            let n = call["params"]["arguments"]["n"].as_i64().unwrap();
            peer.send(&json!({ "jsonrpc": "2.0", "id": call["id"], "result": n + 1 }).to_string());
        }
    }
    assert_eq!(peer.next()["result"]["outputs"]["more"], json!((1..17).collect::<Vec<_>>()));
    peer.end();
}

#[test]
fn a_run_that_is_kept_goes_on_in_another_process() {
    let sandbox = Sandbox::new();
    let text = "flow: two\ntools: { add: { type: host, arguments: { n: integer }, results: { more: integer } } }\nsteps:\n  one: { type: tool, tool: add, with: { n: { value: 1 } } }\n  ask: { type: input_message, output: said }\n  two: { type: tool, tool: add, with: { n: one.more } }\noutputs: { two: two.more, said: ask.said }\n";
    let begin = |peer: &mut Peer| {
        peer.ask(1, "load", &json!({ "text": text, "tools": ["add"] }));
        let started = peer.ask(2, "start", &json!({ "flow": "f1", "options": { "run_dir": "kept" } }));
        assert_eq!(started["result"]["run"], "r2", "{started}");
    };
    let mut first = Peer::start(&sandbox);
    begin(&mut first);
    let call = first.ask(3, "run", &json!({ "run": "r2" }));
    assert_eq!(call["params"]["arguments"]["n"], 1);
    first.send(&json!({ "jsonrpc": "2.0", "id": call["id"], "result": 10 }).to_string());
    assert_eq!(first.next()["result"]["status"], "user_message");
    first.end();
    let mut second = Peer::start(&sandbox);
    begin(&mut second);
    second.ask(3, "reply", &json!({ "run": "r2", "message": "yes" }));
    let call = second.ask(4, "run", &json!({ "run": "r2" }));
    assert_eq!(call["params"]["arguments"]["n"], 10, "the first call was not made again: {call}");
    second.send(&json!({ "jsonrpc": "2.0", "id": call["id"], "result": 11 }).to_string());
    assert_eq!(second.next()["result"]["outputs"], json!({ "two": 11, "said": "yes" }));
    second.end();
    assert!(!sandbox.path(".flowrun").exists(), "a run without `run_dir` leaves nothing");
}

#[test]
fn a_long_table_is_a_file() {
    let sandbox = Sandbox::new();
    let mut peer = Peer::start(&sandbox);
    let text = "flow: long\nsteps:\n  rows: { type: synthesize, rows: 10001, columns: { id: { sample: sequence } } }\noutputs: { rows: rows.table }\n";
    peer.ask(1, "load", &json!({ "text": text }));
    peer.ask(2, "start", &json!({ "flow": "f1" }));
    let answer = peer.ask(3, "run", &json!({ "run": "r2" }));
    let rows = &answer["result"]["outputs"]["rows"];
    assert_eq!(rows["rows"], 10_001, "{answer}");
    let file = std::fs::read_to_string(rows["$table"].as_str().unwrap()).unwrap();
    assert_eq!(file.lines().count(), 10_001);
    peer.end();
}

#[test]
fn a_table_of_ten_thousand_rows_is_a_list() {
    let sandbox = Sandbox::new();
    let mut peer = Peer::start(&sandbox);
    let text = "flow: long\nsteps:\n  rows: { type: synthesize, rows: 10000, columns: { id: { sample: sequence } } }\noutputs: { rows: rows.table }\n";
    peer.ask(1, "load", &json!({ "text": text }));
    peer.ask(2, "start", &json!({ "flow": "f1" }));
    let answer = peer.ask(3, "run", &json!({ "run": "r2" }));
    assert_eq!(answer["result"]["outputs"]["rows"].as_array().map(Vec::len), Some(10_000));
    peer.end();
}

#[test]
fn paths_of_a_document_are_relative_to_the_folder_that_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("texts/words.csv", "word\ntea\n");
    let mut peer = Peer::start(&sandbox);
    let text =
        "flow: reads\nsteps: { words: { type: read_table, path: words.csv } }\noutputs: { words: words.table }\n";
    peer.ask(1, "load", &json!({ "text": text, "base_dir": sandbox.path("texts") }));
    peer.ask(2, "start", &json!({ "flow": "f1" }));
    let answer = peer.ask(3, "run", &json!({ "run": "r2" }));
    assert_eq!(answer["result"]["outputs"]["words"], json!([{ "word": "tea" }]), "{answer}");
    peer.end();
}

#[test]
fn a_line_that_is_too_long_is_refused_and_the_next_one_is_read() {
    let sandbox = Sandbox::new();
    let mut peer = Peer::start(&sandbox);
    let long =
        format!("{{\"id\": 1, \"method\": \"load\", \"params\": {{\"text\": \"{}\"}}}}", "x".repeat(33 << 20));
    peer.send(&long);
    assert_eq!(peer.next()["error"]["code"], -32600);
    assert_eq!(peer.ask(2, "nothing", &json!({}))["error"]["code"], -32601);
    peer.end();
}

#[test]
fn the_run_of_a_host_that_dies_ends_with_it() {
    let sandbox = Sandbox::new();
    let mut peer = Peer::start(&sandbox);
    peer.ask(1, "load", &json!({ "text": MAPPED, "tools": ["add"] }));
    peer.ask(2, "start", &json!({ "flow": "f1", "inputs": { "list": [1, 2, 3] } }));
    peer.send(&json!({ "jsonrpc": "2.0", "id": 3, "method": "run", "params": { "run": "r2" } }).to_string());
    peer.next();
    drop(peer.input.take());
    // What the run came to is still said, to whoever listens.
    let said: Vec<_> = peer.lines.iter().collect();
    assert!(said.iter().any(|line| line.contains("host.gone") || line.contains("interrupted")), "{said:?}");
    assert!(peer.child.wait().unwrap().success());
}

#[test]
fn a_flow_with_lent_functions_does_not_run_by_itself() {
    let sandbox = Sandbox::new();
    sandbox.write("mapped.yaml", MAPPED);
    let ran = sandbox.run(["mapped.yaml", "-i", "list=[1]"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("nobody lends the function `add`"), "{}", ran.stderr);
    // One that nothing calls is of no concern, here and to a host.
    let unused = "flow: f\ntools: { add: { type: host, arguments: { n: integer } } }\nsteps:\n  a: { type: constant, values: { x: 1 } }\n";
    sandbox.write("unused.yaml", unused);
    sandbox.must_run(["unused.yaml"]);
    let mut peer = Peer::start(&sandbox);
    assert_eq!(peer.ask(1, "load", &json!({ "text": unused }))["result"]["flow"], "f1");
    peer.end();
}

#[test]
fn the_python_of_the_readme_runs_a_document() {
    if Command::new("python3").arg("--version").output().is_err() {
        return;
    }
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    let (_, wayflow) = readme.split_once("## Coming from WayFlow").unwrap();
    let code = wayflow.split_once("```python\n").and_then(|(_, rest)| rest.split_once("```")).unwrap().0;
    let sandbox = Sandbox::new();
    sandbox.write("exported.yaml", std::fs::read(repository("tests/agentspec/tool_that_is_lent.yaml")).unwrap());
    let mut python = Command::new("python3");
    python
        .args(["-c", code])
        .env("FLOWRUN", env!("CARGO_BIN_EXE_flowrun"))
        .env("PYTHONPATH", repository("examples"));
    let ran = python.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(sandbox.path(".")).output().unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}{wrong}");
    assert_eq!(said.trim(), "{'twice': 4}", "{wrong}");
}

#[test]
fn the_python_example_runs() {
    if Command::new("python3").arg("--version").output().is_err() {
        return;
    }
    let sandbox = Sandbox::new();
    let mut python = Command::new("python3");
    python.arg(repository("examples/host.py")).env("FLOWRUN", env!("CARGO_BIN_EXE_flowrun"));
    let ran = python.current_dir(sandbox.path(".")).output().unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}{wrong}");
    assert_eq!(said.lines().last(), Some("{'shouted': ['HELLO ANN!', 'HELLO BOB!']}"), "{said}{wrong}");
}

#[test]
fn a_secret_is_not_kept_and_reaches_the_flow() {
    let sandbox = Sandbox::new();
    let mut peer = Peer::start(&sandbox);
    let text = "flow: f\ninputs: { token: { type: string, secret: true, default: \"${TOKEN:-}\" } }\nsteps:\n  say: { type: output_message, template: \"by {{ token }}\" }\n  ask: { type: input_message, template: \"{{ token }}?\" }\n  fail: { type: template, template: \"{{ token|thousands }}\" }\n";
    let loaded = peer.ask(1, "load", &json!({ "text": text }));
    let input = &loaded["result"]["inputs"][0];
    assert_eq!((&input["writeOnly"], &input["default"]), (&json!(true), &Value::Null));
    let flow = &loaded["result"]["flow"];
    let start = json!({ "flow": flow, "inputs": { "token": "hunter2!" }, "options": { "run_dir": "kept" } });
    let started = peer.ask(2, "start", &start);
    let run = json!({ "run": started["result"]["run"] });
    let waits = peer.ask(3, "run", &run);
    assert_eq!(waits["result"]["messages"][0]["text"], "by ***");
    peer.ask(4, "reply", &json!({ "run": run["run"], "message": "the word is hunter2!" }));
    let failed = peer.ask(5, "run", &run);
    assert_eq!(failed["error"]["message"], "`thousands` wants a number, not ***");
    peer.end();
    for (name, bytes) in sandbox.files("kept") {
        assert!(!String::from_utf8_lossy(&bytes).contains("hunter2"), "the secret stands in {name}");
    }
}
