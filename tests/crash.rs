//! What is done to runs by force: they are killed at any moment, two processes want one, and their files are torn, damaged,
//! changed and removed. `benches/crash.sh` does the same with larger numbers, and fills a disk.

use std::collections::BTreeMap;
use std::time::Duration;

use flowrun_mock_llm::{FaultKind, Faults, Latency, Plan};
use serde_json::Value;

use crate::durable::{ASK, JUSTIFY, id_of, kill, killed, run_folder, slow, started};
use crate::support::{Mock, Sandbox};

/// Datastores in a run that is killed.
mod stores;

/// A number from the environment, so that `benches/crash.sh` runs the same test longer.
pub(super) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The rows that were written, accepted and rejected, by file. The manifest also tells of tries, which differ.
fn rows_of(sandbox: &Sandbox) -> BTreeMap<String, Vec<u8>> {
    let mut files = sandbox.files("out");
    files.remove("loans.manifest.json");
    files
}

#[test]
fn killed_at_any_moment_it_ends_with_the_same_bytes_and_no_call_is_made_twice() {
    let (rows, kills) = (setting("FLOWRUN_CRASH_ROWS", 150), setting("FLOWRUN_CRASH_KILLS", 6));
    let parallel = setting("FLOWRUN_CRASH_PARALLEL", 64);
    let at_once = parallel.to_string();
    let rows = format!("rows={rows}");
    let shares = [(FaultKind::Status(429), 0.025), (FaultKind::Status(500), 0.025)].into();
    let faults = Faults { shares, per_call: Some(2), ..Faults::default() };
    let plan = |ms| Plan { faults: faults.clone(), latency: Latency::Fixed { ms }, ..Plan::default() };
    let quick = |sandbox: Sandbox| {
        let flow = sandbox.read(JUSTIFY);
        let retry = "max_tokens: 2048, retry: { tries: 4, initial_delay: 0.001, max_delay: 0.01 } }";
        sandbox.write(JUSTIFY, flow.replace("max_tokens: 2048 }", retry));
        sandbox
    };
    let undisturbed = Mock::start(plan(0.0));
    let sandbox = quick(Sandbox::with_flows().models(&undisturbed));
    sandbox.must_run([JUSTIFY, "-i", &rows, "--no-journal"]);
    let expected = rows_of(&sandbox);
    assert!(expected.contains_key("loans.json") && expected.contains_key("loans.rejected.jsonl"));

    let mock = Mock::start(plan(30.0));
    let sandbox = quick(Sandbox::with_flows().models(&mock));
    let mut command: Vec<&str> = vec![JUSTIFY, "-i", &rows, "--parallel", &at_once];
    let mut killed = 0;
    for n in 0..kills {
        let mut child = sandbox.command(&command).stderr(std::process::Stdio::null()).spawn().unwrap();
        // Moments all over the run, the same in each run of the test.
        std::thread::sleep(Duration::from_millis(40 + n * 7919 % 230));
        let alive = child.try_wait().unwrap().is_none();
        kill(child);
        if !alive {
            break;
        }
        killed += 1;
        if sandbox.path(".flowrun/runs").is_dir() && sandbox.run(["show"]).code == Some(0) {
            command = vec!["resume"];
        }
    }
    let ran = sandbox.run(&command);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(rows_of(&sandbox) == expected, "the dataset differs from that of an undisturbed run");
    let counters = mock.counters();
    // Where the script asks for many kills, all of them have to have met a run that was under way.
    assert!(killed >= setting("FLOWRUN_CRASH_LEAST", 1), "{killed} kills");
    assert!(killed > 0 && counters.completed_again <= killed * parallel, "{counters:?} after {killed} kills");
}

#[test]
fn a_file_that_was_read_must_be_the_same() {
    let mock = Mock::start(slow(20.0));
    let sandbox = Sandbox::with_flows().models(&mock);
    kill(started(&sandbox, &[JUSTIFY, "-i", "rows=200", "--parallel", "8"], 12));
    let seed = sandbox.read("flows/data/loan_seed.json");
    sandbox.write("flows/data/loan_seed.json", format!("{seed} "));
    let ran = sandbox.run(["resume"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("`flows/data/loan_seed.json`, which it reads, has changed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--accept-changes"), "{}", ran.stderr);
    sandbox.write("flows/data/loan_seed.json", seed);
    sandbox.must_run(["resume"]);
}

#[test]
fn a_file_that_was_given_must_be_the_same_or_be_accepted() {
    let mock = Mock::start(slow(20.0));
    let sandbox = Sandbox::new().models(&mock);
    let flow = ASK.replace("inputs: { rows: { type: integer, default: 40 } }", "inputs: { rows: table }").replace(
        "{ type: synthesize, rows: { from: inputs.rows }, columns: { id: { sample: sequence } } }",
        "{ type: filter_rows, where: \"id > 0\", with: { table: inputs.rows } }",
    );
    sandbox.write("flow.yaml", flow);
    let ids = |n: u64| {
        (1..=40).map(|id| format!("{{\"id\": {}}}", if id == 40 { n } else { id })).collect::<Vec<_>>().join("\n")
    };
    sandbox.write("rows.jsonl", ids(40));
    kill(started(&sandbox, &["flow.yaml", "-i", "rows=rows.jsonl"], 15));
    sandbox.write("rows.jsonl", ids(41));
    let ran = sandbox.run(["resume"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("`rows.jsonl`, which it reads, has changed"), "{}", ran.stderr);
    sandbox.must_run(["resume", "--accept-changes"]);
    assert_eq!(sandbox.records("out/answers.jsonl")[39]["id"], 41);
    assert!(mock.counters().completed_again <= 4);
}

#[test]
fn a_program_that_the_flow_brings_along_must_be_the_same_or_be_accepted() {
    let sandbox = Sandbox::new();
    let flow = "
flow: told
inputs: { nothing: { type: any, default: null } }
tools:
  count: { type: exec, command: [sh, tools/count.sh], arguments: { text: string }, results: { words: integer } }
steps:
  words: { type: tool, tool: count, with: { text: { value: a b } } }
  stop: { type: template, template: \"{{ nothing }}\" }
";
    let script = |words: u8| {
        format!(
            "while read -r line; do id=${{line#*:}}; id=${{id%%,*}}; echo \"{{\\\"id\\\": $id, \\\"result\\\": {words}}}\"; done\n"
        )
    };
    sandbox.write("flow.yaml", flow);
    sandbox.write("tools/count.sh", script(2));
    assert_eq!(sandbox.run(["flow.yaml"]).code, Some(1));
    sandbox.write("tools/count.sh", script(3));
    let ran = sandbox.run(["resume"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("`tools/count.sh`, which it reads, has changed"), "{}", ran.stderr);
    let ran = sandbox.run(["resume", "--accept-changes"]);
    assert!(ran.stderr.contains("error[template.failed]"), "{}", ran.stderr);
    let ran = sandbox.run(["resume"]);
    assert!(ran.stderr.contains("error[template.failed]"), "it was accepted once and for all: {}", ran.stderr);
}

#[test]
fn a_file_whose_name_a_step_gives_must_be_the_same_or_be_accepted() {
    let sandbox = Sandbox::new();
    let flow = "
flow: reads
inputs: { nothing: { type: any, default: null } }
steps:
  name: { type: template, template: rows.jsonl, output: file }
  rows: { type: read_table, path: { from: name.file } }
  stop: { type: template, template: \"{{ nothing }}\" }
";
    sandbox.write("flow.yaml", flow);
    sandbox.write("rows.jsonl", "{\"id\": 1}\n");
    assert_eq!(sandbox.run(["flow.yaml", "--run-dir", "kept"]).code, Some(1));
    sandbox.write("rows.jsonl", "{\"id\": 2}\n");
    let ran = sandbox.run(["resume", "kept"]);
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stderr.contains("error[table.changed]: `rows.jsonl` has changed since the run began"),
        "{}",
        ran.stderr
    );
    let ran = sandbox.run(["resume", "kept", "--accept-changes"]);
    assert!(ran.stderr.contains("error[template.failed]"), "{}", ran.stderr);
}

#[test]
fn a_picture_that_was_shown_must_be_the_same() {
    let mock = Mock::start(Plan::default());
    let sandbox = Sandbox::new().models(&mock);
    let flow = "
flow: looks
inputs: { nothing: { type: any, default: null } }
models: { seer: { provider: auto, model: gpt-4o-mini } }
steps:
  look: { type: prompt, model: seer, template: What is it?, images: [picture], with: { picture: { value: a.png } } }
  stop: { type: template, template: \"{{ nothing }}\" }
";
    sandbox.write("flow.yaml", flow);
    let picture = |last: u8| [b"\x89PNG\r\n\x1a\n".as_slice(), &[last]].concat();
    sandbox.write("a.png", picture(1));
    assert_eq!(sandbox.run(["flow.yaml"]).code, Some(1));
    sandbox.write("a.png", picture(2));
    let ran = sandbox.run(["resume"]);
    assert!(
        ran.stderr.contains("error[table.changed]: `a.png` has changed since the run began"),
        "{}",
        ran.stderr
    );
    sandbox.write("a.png", picture(1));
    let ran = sandbox.run(["resume"]);
    assert!(ran.stderr.contains("error[template.failed]"), "{}", ran.stderr);
    assert_eq!(mock.counters().requests, 1);
}

#[test]
fn one_process_holds_a_run() {
    let mock = Mock::start(slow(200.0));
    let sandbox = Sandbox::new().models(&mock);
    sandbox.write("flow.yaml", ASK);
    let child = started(&sandbox, &["flow.yaml"], 4);
    let (beside, again) = (sandbox.run(["resume"]), sandbox.run(["flow.yaml"]));
    let pid = child.id().to_string();
    kill(child);
    assert_eq!((beside.code, again.code), (Some(2), Some(2)));
    assert!(beside.stderr.contains(&format!("is held by the process {pid}")), "{}", beside.stderr);
    assert!(again.stderr.contains("the same run goes on at this moment"), "{}", again.stderr);
}

#[test]
fn a_torn_line_is_dropped_and_a_damaged_one_is_told() {
    let mock = Mock::start(slow(20.0));
    let sandbox = killed(&mock);
    let path = run_folder(&sandbox).join("journal.jsonl");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, [bytes.as_slice(), b"{\"effect\":\"each#1[39]/wri"].concat()).unwrap();
    sandbox.must_run(["resume", "--quiet"]);
    let sandbox = killed(&mock);
    let path = run_folder(&sandbox).join("journal.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"attempts\":1", "\"attempts\":2", 1)).unwrap();
    let ran = sandbox.run(["resume"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("is damaged: its checksum does not fit"), "{}", ran.stderr);
    // A number that cannot be counted is not told as 0.
    let listed = sandbox.must_run(["runs"]).stdout;
    assert!(listed.contains("is damaged") && !listed.contains(" of 40"), "{listed}");
    let json: Value = serde_json::from_str(&sandbox.must_run(["runs", "--json"]).stdout).unwrap();
    assert!(json[0]["items"].is_null() && json[0]["problem"].as_str().unwrap().contains("is damaged"), "{json}");
}

#[test]
fn what_is_missing_or_newer_is_told() {
    let mock = Mock::start(slow(20.0));
    let sandbox = killed(&mock);
    let folder = run_folder(&sandbox);
    let run = std::fs::read_to_string(folder.join("run.json")).unwrap();
    std::fs::write(folder.join("run.json"), run.replace("\"format\": 1", "\"format\": 2")).unwrap();
    let newer = sandbox.run(["resume"]);
    assert!(newer.stderr.contains("has the format 2; this program reads up to 1"), "{}", newer.stderr);
    std::fs::write(folder.join("run.json"), run).unwrap();
    std::fs::remove_file(folder.join("journal.jsonl")).unwrap();
    let missing = sandbox.run(["resume"]);
    assert!(missing.stderr.contains("journal.jsonl` is missing from the run's folder"), "{}", missing.stderr);
    assert_eq!((newer.code, missing.code), (Some(2), Some(2)));
    let id = id_of(&sandbox);
    sandbox.must_run(["rm", &id]);
    assert!(!folder.exists());
}
