//! Runs that are kept: gone on with, changed, listed, removed. What is done to them by force stands in `crash.rs`.

use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use flowrun_mock_llm::{FaultKind, Faults, Latency, Plan};
use insta::assert_snapshot;
use serde_json::Value;

use crate::support::{Mock, Ran, Sandbox};

/// Replies from run to run.
mod cache;
/// Runs that branch off others, flows that were changed, journals made smaller.
mod fork;
/// What calls cost.
mod price;

pub(super) const JUSTIFY: &str = "flows/justify.yaml";

/// Questions in a map, one call each.
pub(super) const ASK: &str = "
flow: ask
inputs: { rows: { type: integer, default: 40 } }
models:
  writer: { provider: auto, model: gpt-4o-mini, retry: { tries: 2, initial_delay: 0.001 } }
steps:
  questions: { type: synthesize, rows: { from: inputs.rows }, columns: { id: { sample: sequence } } }
  each: { type: map, flow: one, over: { row: questions.table }, collect: [answer], on_item_error: keep, parallel: 4 }
  joined: { type: add_columns, with: { table: questions.table, columns: each.table } }
  export: { type: write_table, with: { table: joined.table }, path: out/answers.jsonl }
flows:
  one:
    steps:
      write: { type: prompt, model: writer, template: \"Question {{ row.id }}.\", output: answer }
";

pub(super) fn slow(ms: f64) -> Plan {
    Plan { latency: Latency::Fixed { ms }, ..Plan::default() }
}

/// The folder of the only run.
pub(super) fn run_folder(sandbox: &Sandbox) -> PathBuf {
    let folders: Vec<_> = std::fs::read_dir(sandbox.path(".flowrun/runs")).unwrap().collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders.into_iter().next().unwrap().unwrap().path()
}

pub(super) fn id_of(sandbox: &Sandbox) -> String {
    run_folder(sandbox).file_name().unwrap().to_string_lossy().into_owned()
}

/// Starts the program and waits until the journal has so many lines.
pub(super) fn started(sandbox: &Sandbox, args: &[&str], lines: usize) -> Child {
    let mut child = sandbox.command(args).stderr(std::process::Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    while journaled(sandbox) <= lines {
        if began.elapsed() > Duration::from_secs(60) {
            child.kill().and_then(|()| child.wait()).unwrap();
            panic!("the run keeps nothing");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// How many lines the journal of the only run has by now.
pub(super) fn journaled(sandbox: &Sandbox) -> usize {
    let mut folders = std::fs::read_dir(sandbox.path(".flowrun/runs")).into_iter().flatten();
    let journal = folders.find_map(|f| std::fs::read(f.unwrap().path().join("journal.jsonl")).ok());
    journal.map_or(0, |bytes| bytes.split(|b| *b == b'\n').count() - 1)
}

pub(super) fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A run of `ASK` that was killed half way.
pub(super) fn killed(mock: &Mock) -> Sandbox {
    let sandbox = Sandbox::new().models(mock);
    sandbox.write("flow.yaml", ASK);
    kill(started(&sandbox, &["flow.yaml"], 15));
    sandbox
}

/// What was said, without the id of the run and the times.
fn said(sandbox: &Sandbox, ran: &Ran) -> String {
    let ages = regex::Regex::new(
        r"\d+ (s|min) ago|\d+ of 40|\d+ (finished item|effect|call|token)s|\d+(\.\d)? (bytes|kB)",
    )
    .unwrap();
    let text = sandbox.scrub(&format!("{}{}", ran.stdout, ran.stderr)).replace(&id_of(sandbox), "ID");
    ages.replace_all(&text, "N").into_owned()
}

#[test]
fn what_is_kept_unfinished_is_not_begun_again_by_mistake() {
    let mock = Mock::start(slow(20.0));
    let sandbox = killed(&mock);
    let ran = sandbox.run(["flow.yaml"]);
    assert_eq!(ran.code, Some(2));
    assert_snapshot!(said(&sandbox, &ran), @r#"
    error: an unfinished run of this flow with these inputs is kept: ID, killed, N items are kept
      help: flowrun resume ID
            goes on with it; `flowrun flow.yaml --new` begins again
    "#);
    let ran = sandbox.run(["resume", "--json"]);
    assert_eq!((ran.code, ran.json()["maps"][0]["items"]["accepted"].as_u64()), (Some(0), Some(40)));
    assert_eq!(sandbox.records("out/answers.jsonl").len(), 40);
    assert!(mock.counters().completed_again <= 4);
    let requests = mock.counters().requests;
    let again = sandbox.must_run(["resume"]);
    assert_snapshot!(said(&sandbox, &again), @"run ID has finished; nothing is left to do");
    assert_eq!(mock.counters().requests, requests);
    // A finished run stands in nobody's way.
    sandbox.must_run(["flow.yaml"]);
}

#[test]
fn a_run_that_holds_nothing_is_forgotten() {
    let mock = Mock::start(Plan::always(FaultKind::Status(401)));
    let sandbox = Sandbox::new().models(&mock);
    sandbox.write("flow.yaml", ASK);
    assert_eq!(sandbox.run(["flow.yaml"]).code, Some(1));
    let first = id_of(&sandbox);
    assert_eq!(sandbox.run(["flow.yaml"]).code, Some(1));
    assert_ne!(first, id_of(&sandbox));
}

#[test]
fn what_was_changed_since_is_named() {
    let mock = Mock::start(slow(20.0));
    let sandbox = killed(&mock);
    sandbox.write("flow.yaml", ASK.replace("Question {{", "The question {{"));
    let ran = sandbox.run(["resume"]);
    assert_eq!(ran.code, Some(2));
    assert_snapshot!(said(&sandbox, &ran), @r#"
    error: the run ID was started with something else:
           flow.yaml differs from line 14 on
      help: flowrun resume ID --accept-changes
            makes no call again whose request is the same; or undo the changes
    "#);
}

#[test]
fn others_may_answer_from_now_on_and_it_is_said() {
    let mock = Mock::start(Plan { record: true, ..slow(20.0) });
    let sandbox = killed(&mock);
    let before = mock.counters().requests;
    sandbox.must_run(["resume", "--model", "openai:another", "--parallel", "2"]);
    let model = |request: &flowrun_mock_llm::Recorded| request.body["model"].as_str().unwrap().to_owned();
    let asked: Vec<String> = mock.recorded().iter().map(model).collect();
    let (first, later) = asked.split_at(usize::try_from(before).unwrap());
    assert!(first.iter().all(|model| model == "gpt-4o-mini") && later.iter().all(|model| model == "another"));
    // What was in flight when it was killed is asked again, and nothing else.
    assert!(asked.len() <= 40 + 4, "{} calls for 40 items", asked.len());
    let manifest: Value = serde_json::from_str(&sandbox.read("out/answers.manifest.json")).unwrap();
    let (earlier, now) = (&manifest["earlier_models"][0]["writer"], &manifest["models"]["writer"]);
    assert!(earlier.as_str().unwrap().contains("gpt-4o-mini"), "{manifest}");
    assert!(now.as_str().unwrap().contains("another"), "{manifest}");
}

#[test]
fn changes_are_accepted_and_only_other_requests_are_made_again() {
    let mock = Mock::start(slow(20.0));
    let sandbox = killed(&mock);
    let before = mock.counters().requests;
    // Another column beside the answer changes no request.
    sandbox.write("flow.yaml", ASK.replace("collect: [answer]", "accept: answer, collect: [answer]"));
    sandbox.must_run(["resume", "--accept-changes"]);
    let made = mock.counters().requests - before;
    assert!(made <= 40 - 12 + 4 + 4, "{made} requests after {before}");
    assert!(mock.counters().completed_again <= 4);
}

#[test]
fn a_request_that_was_changed_is_made_again() {
    let mock = Mock::start(slow(1.0));
    let sandbox = Sandbox::new().models(&mock);
    let flow = ASK.replace("flows:\n", "  stop: { type: template, template: \"{{ nothing }}\" }\nflows:\n");
    let flow = flow.replace("inputs: {", "inputs: { nothing: { type: any, default: null },");
    sandbox.write("flow.yaml", &flow);
    // Every call is answered; the last step fails.
    assert_eq!(sandbox.run(["flow.yaml"]).code, Some(1));
    assert_eq!(mock.counters().requests, 40);
    let mended = flow.replace("{{ nothing }}", "mended");
    sandbox.write("flow.yaml", mended.replace("row.id }}.", "row.id }}{{ '!' if row.id == 1 else '.' }}"));
    sandbox.must_run(["resume", "--accept-changes"]);
    assert_eq!(mock.counters().requests, 41, "one question is another one");
}

#[test]
fn failed_items_are_told_and_run_again() {
    // The first ten calls fail, each twice, which is one try more than a call has.
    let mock = Mock::start(Plan {
        faults: Faults { script: vec![Some(FaultKind::Status(500)); 20], ..Faults::default() },
        ..Plan::default()
    });
    let sandbox = Sandbox::new().models(&mock);
    sandbox.write("flow.yaml", ASK);
    let told = sandbox.must_run(["flow.yaml", "--parallel", "1", "--json"]).json();
    assert_eq!(told["maps"][0]["items"]["failed"], 10);
    let failures = sandbox.must_run(["show", "--failures"]);
    assert!(failures.stdout.contains("each[0] › write  127.0.0.1:"), "{}", failures.stdout);
    assert!(failures.stdout.contains("10 items failed; `flowrun retry"), "{}", failures.stdout);
    let requests = mock.counters().requests;
    let told = sandbox.must_run(["retry", "--json"]).json();
    assert_eq!((&told["maps"][0]["items"]["failed"], mock.counters().requests - requests), (&Value::from(0), 10));
    let ran = sandbox.run(["retry"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("no item of the run"), "{}", ran.stderr);
}

#[test]
fn runs_are_listed_shown_compacted_and_removed() {
    let mock = Mock::start(slow(20.0));
    let sandbox = killed(&mock);
    // The columns are as wide as their numbers are long.
    let listed = said(&sandbox, &sandbox.must_run(["runs"]));
    assert_eq!(listed.split_whitespace().collect::<Vec<_>>().join(" "), "ID killed N items N, N N ask");
    assert_snapshot!(said(&sandbox, &sandbox.must_run(["show"])), @r#"
    ask  run ID  seed 0  killed N
      flow     flow.yaml
      input    rows = 40
      model    writer: openai gpt-4o-mini at 127.0.0.1:PORT
      used     N, N
      questions  40 rows × 1 column
      each       N items   not ended
                   write  N
      to go on: flowrun resume ID
    "#);
    let before = std::fs::metadata(run_folder(&sandbox).join("journal.jsonl")).unwrap().len();
    sandbox.must_run(["compact"]);
    assert!(std::fs::metadata(run_folder(&sandbox).join("journal.jsonl")).unwrap().len() < before);
    sandbox.must_run(["resume", "--quiet"]);
    assert!(mock.counters().completed_again <= 4);
    let list: Value = serde_json::from_str(&sandbox.must_run(["runs", "--json"]).stdout).unwrap();
    assert_eq!((&list[0]["status"], &list[0]["items"]["done"]), (&Value::from("finished"), &Value::from(40)));
    sandbox.must_run(["rm", "--finished"]);
    assert_eq!(sandbox.must_run(["runs"]).stdout, "no run is kept here\n");
}

#[test]
fn a_run_can_be_kept_in_a_folder_of_its_own_or_not_at_all() {
    let mock = Mock::start(Plan::default());
    let sandbox = Sandbox::new().models(&mock);
    sandbox.write("flow.yaml", ASK);
    sandbox.must_run(["flow.yaml", "--run-dir", "kept", "--durable"]);
    assert!(sandbox.path("kept/journal.jsonl").is_file() && !sandbox.path(".flowrun").exists());
    let ran = sandbox.run(["flow.yaml", "--run-dir", "kept"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("`kept` holds a run already"), "{}", ran.stderr);
    sandbox.must_run(["resume", "kept"]);
    sandbox.must_run(["flow.yaml", "--no-journal"]);
    sandbox.must_run(["flow.yaml", "--preview", "2"]);
    assert!(!sandbox.path(".flowrun").exists());
}

#[test]
fn a_flow_from_standard_input_goes_on_unless_it_held_a_secret() {
    let mock = Mock::start(Plan::default());
    let stopped = |flow: &str| {
        let sandbox = Sandbox::new().env("OPENAI_BASE_URL", mock.base_url()).env("OPENAI_API_KEY", Mock::KEY);
        sandbox.write("stdin", flow);
        let mut command = sandbox.command(["-", "-i", "nothing=null"]);
        command.stdin(std::fs::File::open(sandbox.path("stdin")).unwrap());
        assert_eq!(command.output().unwrap().status.code(), Some(1), "its last step prints a null");
        let ran = sandbox.run(["resume"]);
        assert!(!sandbox.files(".flowrun").values().any(|f| String::from_utf8_lossy(f).contains("sk-typed")));
        ran
    };
    let flow = ASK.replace("flows:\n", "  stop: { type: template, template: \"{{ nothing }}\" }\nflows:\n");
    let flow = flow.replace("inputs: {", "inputs: { nothing: any,");
    let ran = stopped(&flow);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("error[template.failed]"), "{}", ran.stderr);
    let ran = stopped(&flow.replace("retry:", "api_key: sk-typed, retry:"));
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("came from standard input and held a secret"), "{}", ran.stderr);
}

#[test]
fn no_secret_is_kept() {
    let mock = Mock::start(slow(5.0));
    let sandbox = Sandbox::new().env("MY_TOKEN", "sk-from-the-environment").env("WORD", "question");
    let model = format!("base_url: {}, api_key: \"${{MY_TOKEN}}\", retry:", mock.base_url());
    let flow = ASK.replace("retry:", &model).replace("provider: auto", "provider: openai");
    sandbox.write("flow.yaml", flow.replace("Question {{", "${WORD} {{"));
    sandbox.must_run(["flow.yaml"]);
    let run: Value =
        serde_json::from_str(&std::fs::read_to_string(run_folder(&sandbox).join("run.json")).unwrap()).unwrap();
    assert_eq!(
        (&run["flow"]["secrets"][0], &run["flow"]["environment"]["WORD"]),
        (&"MY_TOKEN".into(), &"question".into())
    );
    for (name, bytes) in sandbox.files(".flowrun") {
        assert!(!String::from_utf8_lossy(&bytes).contains("sk-from-the"), "the secret stands in {name}");
    }
}

#[test]
fn the_last_is_the_one_that_ended_last_and_twenty_that_finished_are_kept() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", "flow: says\nsteps:\n  say: { type: template, template: hello }\n");
    let mut last = String::new();
    for _ in 0..22 {
        let told = sandbox.must_run(["flow.yaml", "--json"]).json();
        last = told["run"].as_str().unwrap().to_owned();
        // Many end within one second.
        assert!(sandbox.must_run(["resume"]).stderr.contains(&format!("run {last} has finished")));
    }
    let list: Value = serde_json::from_str(&sandbox.must_run(["runs", "--json"]).stdout).unwrap();
    assert_eq!((list.as_array().unwrap().len(), list[0]["run"].as_str()), (20, Some(&*last)));
    sandbox.must_run(["rm", "--finished", "--older-than", "7d"]);
    assert_eq!(std::fs::read_dir(sandbox.path(".flowrun/runs")).unwrap().count(), 20);
    assert_eq!(sandbox.read(".flowrun/.gitignore"), "*\n");
}

#[test]
fn rows_are_counted_towards_the_target() {
    let sandbox = Sandbox::new();
    let flow = "
flow: half
steps:
  numbers: { type: synthesize, rows: 3, columns: { n: { sample: sequence } } }
  each:
    type: map
    flow: one
    over: { row: numbers.table }
    collect: [is_odd]
    target_accepted: { where: is_odd, rows: 6, max_items: 100 }
    parallel: 1
flows:
  one:
    steps:
      odd: { type: template, template: \"{{ '1' if row.n % 2 == 1 else '' }}\", output: is_odd }
";
    sandbox.write("flow.yaml", flow);
    sandbox.must_run(["flow.yaml"]);
    let list: Value = serde_json::from_str(&sandbox.must_run(["runs", "--json"]).stdout).unwrap();
    let items = serde_json::json!({ "asked": 6, "done": 6, "failed": 0, "rejected": 5 });
    assert_eq!(list[0]["items"], items);
    let listed = sandbox.must_run(["runs"]).stdout;
    let id = listed.split(' ').next().unwrap();
    let columns = format!("{id:<6} finished  {:>24}  {:<14} {:>28}  ", "6 of 6 accepted", "", "–");
    assert!(listed.starts_with(&columns) && listed.ends_with("  half\n"), "{listed}");
    assert_eq!(listed.chars().count(), columns.chars().count() + 12 + "  half\n".len(), "{listed}");
    let shown = sandbox.must_run(["show"]).stdout;
    assert!(shown.contains("each     6 of 6 accepted, 5 rejected"), "{shown}");
}
