//! Tools: what is called, kept, killed and asked about.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use flowrun::core::error::StepError;
use flowrun::core::execute::{RunOptions, Unfinished};
use flowrun::core::journal::{ItemRecord, Journal, MemoryJournal};
use flowrun::core::value::Value;
use flowrun::prelude::*;
use serde_json::json;

use crate::support::{Engine, Sandbox, repository};

/// Calls `count` once, which is a function of the test.
const CALLS: &str = "
flow: calls
inputs: { text: string }
steps:
  call: { type: tool, tool: count }
outputs: { words: call.words, least: call.least }
";

#[derive(Deserialize, JsonSchema)]
struct In {
    text: String,
    #[serde(default)]
    least: u32,
}

#[derive(Serialize, JsonSchema)]
struct Out {
    words: Option<usize>,
    least: Option<u32>,
}

/// The registry with the tool `count`, which counts its calls, and fails for an empty text.
fn counting(calls: &Arc<AtomicU32>, once: bool) -> Registry {
    let calls = Arc::clone(calls);
    let tool = function("Counts the words of a text.", move |input: In| {
        calls.fetch_add(1, Ordering::SeqCst);
        async move {
            let words = Some(input.text.split_whitespace().count()).filter(|n| *n > 0);
            let words = words.ok_or_else(|| StepError::new("mine.empty", "the text is empty"))?;
            Ok(Out { words: Some(words), least: Some(input.least) })
        }
    });
    let registry = flowrun::standard();
    if once { registry.with_tool("count", tool.once()) } else { registry.with_tool("count", tool) }
}

fn text(text: &str) -> BTreeMap<String, Value> {
    BTreeMap::from([("text".to_owned(), Value::from(text))])
}

#[test]
fn a_rust_function_is_a_tool() {
    let calls = Arc::new(AtomicU32::new(0));
    let registry = counting(&calls, false);
    assert_eq!(registry.problems(), &[] as &[String]);
    let known = registry.tool("count").unwrap();
    assert_eq!(known.description.as_deref(), Some("Counts the words of a text."));
    assert_eq!(known.arguments_schema()["required"], json!(["text"]));
    assert_eq!(known.results_schema()["properties"]["words"]["anyOf"][0]["type"], "integer");
    let outputs = Engine::of(CALLS, &registry).run(text("a b c")).unwrap();
    assert_eq!(outputs.values.get("words"), Some(&Value::Int(3)));
    assert_eq!(outputs.values.get("least"), Some(&Value::Int(0)));
    let error = Engine::of(CALLS, &registry).run(text("")).unwrap_err();
    assert_eq!(error.code, "mine.empty");
}

#[test]
fn two_tools_or_kinds_of_one_name_are_refused() {
    let twice = counting(&Arc::default(), false).with_tool("count", function("", |_: In| async { Ok(1) }));
    assert_eq!(twice.problems(), ["there are two tools named `count`"]);
    let twice = flowrun::standard().with_tool_kind::<flowrun::tools::Exec>();
    assert_eq!(twice.problems(), ["there are two kinds of tools named `exec`"]);
}

#[test]
fn a_call_is_kept_and_not_made_again() {
    let (calls, journal) = (Arc::new(AtomicU32::new(0)), Arc::new(MemoryJournal::new()));
    let run = || Engine::of(CALLS, &counting(&calls, false)).journal(journal.clone()).run(text("a b")).unwrap();
    let (first, second) = (run(), run());
    assert_eq!(first.values.get("words"), second.values.get("words"));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

/// A journal of a process that ends before it can keep what a call gave.
struct Cut(Arc<MemoryJournal>);

impl Journal for Cut {
    fn effect(&self, key: &str) -> Result<Option<String>, StepError> {
        self.0.effect(key)
    }

    fn keep_effect(&self, key: String, outcome: String) -> Result<(), StepError> {
        if key.ends_with("/start") {
            self.0.keep_effect(key, outcome)
        } else {
            Err(StepError::new("test.cut", ""))
        }
    }

    fn item(&self, _: &str, _: u64) -> Result<Option<ItemRecord>, StepError> {
        Ok(None)
    }

    fn keep_item(&self, _: &str, _: &ItemRecord) -> Result<(), StepError> {
        Ok(())
    }
}

#[test]
fn a_resume_asks_about_a_call_that_may_do_harm_twice() {
    let calls = Arc::new(AtomicU32::new(0));
    for (once, unfinished, ends) in [
        (true, Unfinished::Ask, Err("tool.unfinished")),
        (true, Unfinished::Redo, Ok((Value::Int(2), 2))),
        (true, Unfinished::Skip, Ok((Value::Null, 1))),
        (false, Unfinished::Ask, Ok((Value::Int(2), 2))),
    ] {
        calls.store(0, Ordering::SeqCst);
        let journal = Arc::new(MemoryJournal::new());
        let engine = || Engine::of(CALLS, &counting(&calls, once));
        let cut = engine().journal(Arc::new(Cut(journal.clone()))).run(text("a b")).unwrap_err();
        assert_eq!(cut.code, "test.cut");
        let options = RunOptions::default().unfinished(unfinished);
        let again = engine().journal(journal.clone()).options(options).run(text("a b"));
        let came = match &again {
            Ok(outputs) => Ok((outputs.values.get("words").unwrap().clone(), calls.load(Ordering::SeqCst))),
            Err(error) => Err(error.code.as_ref()),
        };
        assert_eq!(came, ends, "{unfinished:?}");
        // What was decided is kept: the next resume asks nothing.
        if again.is_ok() {
            engine().journal(journal).run(text("a b")).unwrap();
            assert_eq!(Ok(calls.load(Ordering::SeqCst)), ends.map(|(_, calls)| calls));
        }
    }
}

#[test]
fn a_call_that_ended_in_an_error_is_not_unfinished() {
    let (calls, journal) = (Arc::new(AtomicU32::new(0)), Arc::new(MemoryJournal::new()));
    for _ in 0..2 {
        let engine = Engine::of(CALLS, &counting(&calls, true)).journal(journal.clone());
        assert_eq!(engine.run(text("")).unwrap_err().code, "mine.empty");
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

/// A tool that writes down each call and, when it is called first, gives no answer.
const HANGS: &str = r#"
flow: hangs
tools:
  pay:
    type: exec
    command: [sh, -c, 'read -r line; if [ -e calls ]; then echo >> calls; echo "{\"id\": 0, \"result\": 7}"; else echo > calls; fi; read -r line']
    arguments: {}
    results: { paid: integer? }
    idempotent: false
steps:
  call: { type: tool, tool: pay }
outputs: { paid: call.paid }
"#;

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_killed_run_stops_at_an_unfinished_call_and_goes_on_as_it_is_told() {
    for (flag, paid, calls) in [("--redo", json!(7), 2), ("--skip", json!(null), 1)] {
        let sandbox = Sandbox::new();
        sandbox.write("flow.yaml", HANGS);
        let mut child = sandbox.command(["flow.yaml"]).stderr(Stdio::null()).spawn().unwrap();
        wait_until("the tool is not called", || sandbox.path("calls").exists());
        child.kill().unwrap();
        child.wait().unwrap();
        let asked = sandbox.run(["resume"]);
        assert_eq!(asked.code, Some(1), "{}", asked.stderr);
        assert!(
            asked.stderr.contains("error[tool.unfinished]") && asked.stderr.contains("--redo"),
            "{}",
            asked.stderr
        );
        let ran = sandbox.must_run(["resume", flag, "--json"]);
        assert_eq!(ran.json()["outputs"]["paid"], paid);
        assert_eq!(sandbox.read("calls").lines().count(), calls);
    }
}

#[test]
fn what_cannot_be_null_cannot_be_skipped() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.yaml",
        HANGS.replace("integer?", "integer").replace("echo > calls; fi", "echo > calls; exit 3; fi"),
    );
    let died = sandbox.run(["flow.yaml"]);
    assert!(died.stderr.contains("error[tool.died]"), "{}", died.stderr);
    let skipped = sandbox.run(["resume", "--skip"]);
    assert!(
        skipped.stderr.contains("cannot be skipped") && skipped.stderr.contains("--redo"),
        "{}",
        skipped.stderr
    );
    let both = sandbox.run(["resume", "--skip", "--redo"]);
    assert_eq!(both.code, Some(2));
    sandbox.must_run(["resume", "--redo"]);
}

#[test]
fn a_program_ends_with_all_that_it_has_started() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.yaml",
        r"
flow: starts
tools:
  start: { type: exec, command: [sh, -c, 'read -r line; sleep 1000 > /dev/null 2>&1 & echo $! > pid; exit 3'], arguments: {} }
steps:
  call: { type: tool, tool: start }
",
    );
    let ran = sandbox.run(["flow.yaml"]);
    assert!(ran.stderr.contains("error[tool.died]"), "{}", ran.stderr);
    let pid = sandbox.read("pid").trim().to_owned();
    let is_there = || Command::new("kill").args(["-0", &pid]).stderr(Stdio::null()).status().unwrap().success();
    wait_until("what the program had started still runs", || !is_there());
}

#[test]
fn a_program_is_told_when_nothing_comes_any_more() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.yaml",
        r#"
flow: ends
tools:
  end: { type: exec, command: [sh, -c, 'while read -r line; do id=$(expr "$line" : "..id..\([0-9]*\)"); echo "{\"id\": $id, \"result\": \"\"}"; done; echo > end'], arguments: {} }
steps:
  call: { type: tool, tool: end }
"#,
    );
    sandbox.must_run(["flow.yaml"]);
    assert!(sandbox.path("end").exists(), "the program was killed before it could end by itself");
}

#[test]
fn several_workers_answer_at_once() {
    // Each answers only when another one was called, too.
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.yaml",
        r#"
flow: together
tools:
  meet:
    type: exec
    command: [sh, -c, 'while read -r line; do id=$(expr "$line" : "..id..\([0-9]*\)"); echo > here.$$; until [ "$(ls here.* | wc -l)" -ge 2 ]; do sleep 0.01; done; echo "{\"id\": $id, \"result\": 1}"; done']
    arguments: { n: integer }
    results: { one: integer }
    workers: 2
    timeout: 60
steps:
  numbers: { type: constant, values: { numbers: [1, 2] } }
  all: { type: map, flow: one, over: { n: numbers.numbers }, parallel: 2 }
outputs: { ones: all.one }
flows:
  one:
    inputs: { n: integer }
    steps: { call: { type: tool, tool: meet } }
"#,
    );
    assert_eq!(sandbox.must_run(["flow.yaml", "--json"]).json()["outputs"]["ones"], json!([1, 1]));
}

#[test]
fn what_a_program_is_given_is_not_told() {
    let sandbox = Sandbox::new().env("PASSPHRASE", "hunter2-hunter2");
    sandbox.write(
        "flow.yaml",
        r#"
flow: secret
tools:
  tell: { type: exec, command: [sh, -c, 'read -r line; echo "$PASSPHRASE" >&2; echo "{\"id\": 0, \"error\": \"$PASSPHRASE\"}"; read -r line'], env: [PASSPHRASE], arguments: {} }
  die: { type: exec, command: [sh, -c, 'read -r line; echo "it is $PASSPHRASE" >&2; exit 3'], env: [PASSPHRASE], arguments: {} }
steps:
  told: { type: tool, tool: tell, raise_errors: false }
  call: { type: tool, tool: die }
"#,
    );
    let ran = sandbox.run(["flow.yaml"]);
    assert!(ran.stderr.contains("it is ***"), "{}", ran.stderr);
    let kept = sandbox.files(".flowrun");
    assert!(!kept.is_empty());
    let journal = kept.values().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect::<String>();
    assert!(!format!("{}{}{journal}", ran.stdout, ran.stderr).contains("hunter2"), "{}", ran.stderr);
}

#[test]
fn a_program_lies_beside_its_flow() {
    let sandbox = Sandbox::new();
    sandbox.write("below/answer.sh", "#!/bin/sh\nwhile read -r line; do cat answer.json; done\n");
    sandbox.write("below/answer.json", "{\"id\": 0, \"result\": \"found\"}\n");
    let command = "command: [sh, answer.sh]";
    sandbox.write(
        "below/flow.yaml",
        format!("flow: beside\ntools: {{ ask: {{ type: exec, {command}, arguments: {{}} }} }}\nsteps: {{ call: {{ type: tool, tool: ask }} }}\n"),
    );
    let ran = sandbox.must_run(["below/flow.yaml", "--json"]);
    assert_eq!(ran.json()["outputs"]["tool_output"], "found");
}

#[test]
fn the_tool_in_python_runs() {
    if !Path::new("/usr/bin/python3").exists() && !Path::new("/usr/local/bin/python3").exists() {
        return; // `.ci/run` says that it was skipped
    }
    let flow = repository("examples/tool.yaml");
    let ran = Sandbox::new().must_run([flow.as_os_str(), "--json".as_ref()]);
    assert_eq!(ran.json()["outputs"]["words"], json!([12]));
    assert!(std::fs::read_to_string(repository("examples/tool.py")).unwrap().lines().count() <= 12);
}

#[test]
fn a_run_waits_for_what_the_caller_lends_and_for_leave() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "flow.yaml",
        r#"
flow: lends
tools:
  weigh: { type: client, arguments: { thing: string }, results: { grams: integer } }
  note: { type: exec, command: [sh, -c, 'read -r line; echo >> notes; echo "{\"id\": 0, \"result\": \"noted\"}"; read -r line'], arguments: { grams: integer }, confirm: true }
steps:
  first: { type: tool, tool: weigh, with: { thing: { value: feather } } }
  second: { type: tool, tool: note }
"#,
    );
    let waits = sandbox.run(["flow.yaml"]);
    assert_eq!(waits.code, Some(3), "{}", waits.stderr);
    assert!(waits.stderr.contains("weigh") && waits.stderr.contains("--result"), "{}", waits.stderr);
    let run = std::fs::read_dir(sandbox.path(".flowrun/runs")).unwrap().next().unwrap().unwrap().file_name();
    let run = run.to_str().unwrap();
    let waits = sandbox.run(["reply", run, "--result", "3"]);
    assert_eq!(waits.code, Some(3), "{}", waits.stderr);
    assert!(waits.stderr.contains("note") && waits.stderr.contains("--accept"), "{}", waits.stderr);
    assert!(!sandbox.path("notes").exists(), "the tool was called before it was allowed");
    let ran = sandbox.run(["reply", run, "--accept", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.json()["outputs"], json!({ "grams": 3, "tool_output": "noted" }));
    assert_eq!(sandbox.read("notes").lines().count(), 1);
}
