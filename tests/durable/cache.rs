//! Replies from run to run.

use flowrun_mock_llm::Plan;
use serde_json::Value;

use super::{ASK, run_folder};
use crate::support::{Mock, Sandbox};

/// How many calls a run made, and how many it found in the cache.
fn used(sandbox: &Sandbox, args: &[&str]) -> (u64, u64) {
    let told = sandbox.must_run([args, &["--json"]].concat()).json();
    let number = |name: &str| told["usage"].get(name).and_then(Value::as_u64).unwrap_or(0);
    (number("calls"), number("cached"))
}

#[test]
fn what_was_answered_before_is_not_asked_again() {
    let mock = Mock::start(Plan::default());
    let sandbox = Sandbox::new().models(&mock);
    sandbox.write("flow.yaml", ASK);
    let run = |args: &[&str]| used(&sandbox, &[&["flow.yaml", "--cache", "--new"], args].concat());
    assert_eq!(run(&[]), (40, 0));
    let rows = sandbox.read("out/answers.jsonl");
    // The seed does not name a question, but its place in the run does, and every parameter.
    assert_eq!(run(&["--seed", "7"]), (0, 40));
    assert_eq!((sandbox.read("out/answers.jsonl"), mock.counters().requests), (rows, 40));
    let manifest: Value = serde_json::from_str(&sandbox.read("out/answers.manifest.json")).unwrap();
    assert_eq!(manifest["usage"]["cached"], 40);
    assert_eq!(run(&["-i", "rows=41"]), (1, 40));
    assert_eq!(used(&sandbox, &["flow.yaml", "--new"]), (40, 0), "without --cache nobody looks");
    sandbox.write("flow.yaml", ASK.replace("model: gpt-4o-mini,", "model: gpt-4o-mini, max_tokens: 50,"));
    assert_eq!(run(&[]), (40, 0));
    let summary = sandbox.must_run(["flow.yaml", "--cache", "--new"]).stderr;
    assert!(summary.contains("model calls 0 and 40 from the cache"), "{summary}");
    let stats = sandbox.must_run(["cache", "stats"]).stdout;
    assert!(stats.starts_with("gpt-4o-mini  81 replies  "), "{stats}");
    for (name, bytes) in sandbox.files(".flowrun") {
        assert!(!String::from_utf8_lossy(&bytes).contains(Mock::KEY), "the key stands in {name}");
    }
    sandbox.must_run(["cache", "clear"]);
    assert_eq!(sandbox.must_run(["cache", "stats"]).stdout, "the cache is empty\n");
    assert_eq!(run(&[]), (40, 0));
}

/// Two steps and all their items ask the same.
const SAME: &str = "
flow: same
models: { writer: { provider: auto, model: gpt-4o-mini, temperature: WARMTH } }
steps:
  rows: { type: synthesize, rows: 5, columns: { id: { sample: sequence } } }
  each: { type: map, flow: one, over: { row: rows.table }, collect: [answer] }
outputs: { answers: each.answer }
flows:
  one:
    inputs: { row: any }
    steps:
      write: { type: prompt, model: writer, template: The same question., output: answer }
";

#[test]
fn only_a_model_that_does_not_choose_freely_gives_one_answer_to_all() {
    let mock = Mock::start(Plan::default());
    for (warmth, asked) in [("0", (1, 4)), ("0.7", (5, 0))] {
        let sandbox = Sandbox::new().models(&mock);
        sandbox.write("flow.yaml", SAME.replace("WARMTH", warmth));
        assert_eq!(used(&sandbox, &["flow.yaml", "--cache"]), asked, "temperature {warmth}");
    }
}

#[test]
fn a_run_with_a_cache_goes_on_with_it_and_one_that_is_broken_is_told() {
    let mock = Mock::start(Plan::default());
    let sandbox = Sandbox::new().models(&mock);
    sandbox.write("flow.yaml", ASK.replace("flows:\n", "  stop: { type: fail_here, x: 1 }\nflows:\n"));
    assert_eq!(sandbox.run(["flow.yaml", "--cache"]).code, Some(2), "the flow is wrong");
    assert!(!sandbox.path(".flowrun").exists(), "nothing is made before a flow is right");
    let flow = ASK.replace("flows:\n", "  stop: { type: template, template: \"{{ nothing }}\" }\nflows:\n");
    let flow = flow.replace("inputs: {", "inputs: { nothing: { type: any, default: null },");
    sandbox.write("flow.yaml", &flow);
    assert_eq!(sandbox.run(["flow.yaml", "--cache"]).code, Some(1));
    std::fs::write(run_folder(&sandbox).join("journal.jsonl"), first_line(&sandbox)).unwrap();
    sandbox.write("flow.yaml", flow.replace("{{ nothing }}", "mended"));
    assert_eq!(
        used(&sandbox, &["resume", "--accept-changes"]),
        (0, 40),
        "the journal is gone, the cache is there"
    );
    sandbox.write(
        ".flowrun/cache.db",
        "no database, and longer than a header of one would have to be: 100 bytes, at the very least of it.",
    );
    let ran = sandbox.run(["flow.yaml", "--cache", "--new"]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.contains("cache.db` cannot be used") && ran.stderr.contains("flowrun cache clear"),
        "{}",
        ran.stderr
    );
}

fn first_line(sandbox: &Sandbox) -> String {
    let text = std::fs::read_to_string(run_folder(sandbox).join("journal.jsonl")).unwrap();
    format!("{}\n", text.lines().next().unwrap())
}
