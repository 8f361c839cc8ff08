//! The main job, `flows/justify.yaml`: offline, against a server that fails, stopped half way.

use std::collections::BTreeSet;

use flowrun_mock_llm::{FaultKind, Faults, Plan, Verdicts};
use serde_json::{Value, json};

use crate::support::{Mock, Sandbox};

const FLOW: &str = "flows/justify.yaml";
const DATASET: &str = "out/loans.json";
const REJECTED: &str = "out/loans.rejected.jsonl";

/// The flow with quick retries, `tries` in all for a call.
fn with_quick_retries(sandbox: Sandbox, tries: u32) -> Sandbox {
    let flow = sandbox.read(FLOW);
    let quick = format!("max_tokens: 2048, retry: {{ tries: {tries}, initial_delay: 0.001, max_delay: 0.01 }} }}");
    let changed = flow.replace("max_tokens: 2048 }", &quick);
    assert_ne!(flow, changed, "the model of the flow is not as this test knows it");
    sandbox.write(FLOW, changed);
    sandbox
}

/// How the items of the map ended, as `--json` tells it.
fn items(told: &Value) -> Value {
    assert_eq!(told["maps"][0]["step"], "justify");
    told["maps"][0]["items"].clone()
}

fn number(items: &Value, name: &str) -> usize {
    usize::try_from(items[name].as_u64().unwrap()).unwrap()
}

#[test]
fn twenty_rows_are_made_and_accepted_offline() {
    let sandbox = Sandbox::with_flows();
    let told = sandbox.must_run([FLOW, "--json"]).json();
    let items = items(&told);
    assert_eq!((number(&items, "asked"), number(&items, "accepted")), (20, 20));
    assert!(number(&items, "accepted_after_retry") > 0, "the offline judge refuses some first texts");
    let rows = sandbox.records(DATASET);
    assert_eq!(rows.len(), 20);
    assert!(!sandbox.path(REJECTED).exists() && !sandbox.path("out/loans.failures.jsonl").exists());
    for row in &rows {
        assert_eq!(row["is_valid"], true);
        let text = row["justification"].as_str().unwrap();
        assert!(text.contains(row["customer_name"].as_str().unwrap()), "{text}");
        assert!(row.get("source_rows").is_none(), "a hidden column was written");
    }
}

#[test]
fn every_row_agrees_with_the_seed() {
    let sandbox = Sandbox::with_flows();
    sandbox.must_run([FLOW, "-i", "rows=100"]);
    let seed = sandbox.records("flows/data/loan_seed.json");
    for column in ["country", "customer_net_worth", "loan_value", "loan_proposed_interest"] {
        let pair = |row: &Value| (row["region"].to_string(), row[column].to_string());
        let known: BTreeSet<_> = seed.iter().map(pair).collect();
        for row in sandbox.records(DATASET) {
            assert!(known.contains(&pair(&row)), "{column}: {:?} is not in the seed", pair(&row));
        }
    }
}

#[test]
fn more_rows_begin_with_the_same_rows() {
    let sandbox = Sandbox::with_flows();
    let rows = |n: &str| {
        sandbox.must_run([FLOW, "-i", n]);
        sandbox.records(DATASET)
    };
    assert_eq!(rows("rows=20"), rows("rows=60")[..20]);
}

#[test]
fn parallelism_changes_no_byte() {
    let made = |parallel: &str| {
        let sandbox = Sandbox::with_flows();
        sandbox.must_run([FLOW, "--parallel", parallel]);
        sandbox.files("out")
    };
    let one = made("1");
    assert_eq!(one.keys().map(String::as_str).collect::<Vec<_>>(), ["loans.json", "loans.manifest.json"]);
    assert!(one == made("64"), "files differ between --parallel 1 and 64");
}

#[test]
fn another_seed_gives_another_dataset() {
    let made = |seed: &str| {
        let sandbox = Sandbox::with_flows();
        sandbox.must_run([FLOW, "--seed", seed]);
        sandbox.read(DATASET)
    };
    assert_eq!(made("7"), made("7"));
    assert_ne!(made("7"), made("8"));
}

#[test]
fn failures_that_pass_change_no_byte() {
    let made = |shares: &[(FaultKind, f64)]| {
        // Fewer faults a call than it has tries, so every call gets its answer, whoever meets the faults.
        let faults = Faults { shares: shares.iter().copied().collect(), per_call: Some(3), ..Faults::default() };
        let mock = Mock::start(Plan { faults, ..Plan::default() });
        let sandbox = with_quick_retries(Sandbox::with_flows().models(&mock), 5);
        let told = sandbox.must_run([FLOW, "-i", "rows=60", "--json"]).json();
        assert_eq!(number(&items(&told), "failed"), 0);
        let met: u64 = mock.counters().faults.values().sum();
        (sandbox.read(DATASET), sandbox.files("out").remove("loans.rejected.jsonl"), met > 0)
    };
    let shares = [(FaultKind::Status(429), 0.1), (FaultKind::Status(500), 0.1)];
    let (dataset, rejected, faulty) = made(&shares);
    assert!(faulty, "the server never failed");
    assert_eq!((dataset.clone(), rejected.clone(), true), made(&shares));
    assert_eq!((dataset, rejected, false), made(&[]), "a run without faults makes the same");
}

#[test]
fn every_item_is_accounted_for() {
    let shares = [(FaultKind::Status(429), 0.1), (FaultKind::Status(500), 0.1)].into();
    let mock = Mock::start(Plan {
        faults: Faults { shares, ..Faults::default() },
        verdicts: Verdicts { valid: 0.4, invalid: 0.4 },
        ..Plan::default()
    });
    let sandbox = with_quick_retries(Sandbox::with_flows().models(&mock), 2);
    let told = sandbox.must_run([FLOW, "-i", "rows=120", "--json"]).json();
    let items = items(&told);
    let [accepted, rejected, failed] = ["accepted", "rejected", "failed"].map(|n| number(&items, n));
    assert_eq!(accepted + rejected + failed, 120, "{items}");
    assert!(accepted > 0 && rejected > 0 && failed > 0, "the plan was meant to give some of each: {items}");
    let (dataset, others) = (sandbox.records(DATASET), sandbox.records(REJECTED));
    assert_eq!((dataset.len(), others.len()), (accepted, rejected + failed));
    assert!(dataset.iter().all(|row| row["is_valid"] == true));
    assert_eq!(others.iter().filter(|row| row["is_valid"] == false).count(), rejected);
    assert_eq!(others.iter().filter(|row| row["justification"].is_null()).count(), failed);
    assert_eq!(sandbox.records("out/loans.failures.jsonl").len(), failed);
    assert!(told["counters"]["valid: no verdict"].as_u64().unwrap() > 0, "{}", told["counters"]);
}

#[test]
fn refused_texts_are_kept_where_that_is_asked_for() {
    let mock = Mock::start(Plan { verdicts: Verdicts { valid: 0.0, invalid: 1.0 }, ..Plan::default() });
    let sandbox = Sandbox::with_flows().models(&mock);
    sandbox.must_run([FLOW, "-i", "rows=3"]);
    assert_eq!((sandbox.records(DATASET).len(), sandbox.records(REJECTED).len()), (0, 3));
    sandbox.must_run([FLOW, "-i", "rows=3", "-i", "keep_invalid=true"]);
    let rows = sandbox.records(DATASET);
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| row["is_valid"] == false && row["attempts"] == 3));
    assert!(!sandbox.path(REJECTED).exists(), "the rejected rows of the run before are still there");
}

#[test]
fn a_preview_shows_prompts_and_writes_nothing() {
    let sandbox = Sandbox::with_flows();
    let before = sandbox.files("");
    let ran = sandbox.must_run([FLOW, "--preview", "3"]);
    assert!(sandbox.files("") == before, "a preview wrote something");
    let titles: Vec<_> = ran.stderr.lines().filter(|line| line.contains("(model `")).collect();
    let writes: Vec<_> = titles.iter().filter(|title| title.contains("`writer`")).collect();
    assert!(writes.len() >= 3 && titles.len() == 2 * writes.len(), "{titles:?}");
    assert!(titles[0].starts_with("justify[0] › ") && titles[0].contains("write "), "in the order of the flow");
    assert!(titles[1].starts_with("justify[0] › ") && titles[1].contains("judge "), "in the order of the flow");
    assert!(titles.iter().all(|title| !title.starts_with("justify[3]")));
    assert!(ran.stderr.contains("Write the justification of the record under \"Data\"."));
}

#[test]
fn json_is_one_object_on_standard_output() {
    let sandbox = Sandbox::with_flows();
    let ran = sandbox.must_run([FLOW, "--json"]);
    assert_eq!(ran.stderr, "");
    let told = ran.json();
    assert_eq!(
        (&told["flow"], &told["status"], &told["seed"]),
        (&json!("loan_dataset"), &json!("finished"), &json!(0))
    );
    assert_eq!((&told["files"][0]["path"], &told["files"][0]["rows"]), (&json!(DATASET), &json!(20)));
    assert!(told["usage"]["calls"].as_u64().unwrap() >= 40);
    assert!(told["scores"]["verify"].is_object());
}

#[test]
fn rows_go_to_standard_output_where_that_is_asked_for() {
    let sandbox = Sandbox::with_flows();
    let ran = sandbox.must_run([FLOW, "-o", "-"]);
    let rows: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 20);
    let beside: Vec<_> = sandbox
        .files("")
        .into_keys()
        .filter(|name| !name.starts_with("flows") && !name.starts_with(".flowrun"))
        .collect();
    assert_eq!(beside, ["loan_dataset.manifest.json"]);
    sandbox.must_run([FLOW]);
    assert_eq!(rows, sandbox.records(DATASET));
}

#[test]
fn quiet_says_nothing() {
    let sandbox = Sandbox::with_flows();
    let ran = sandbox.must_run([FLOW, "--quiet"]);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    assert_eq!(sandbox.records(DATASET).len(), 20);
}

#[test]
fn offline_is_a_choice_even_where_a_server_is_at_hand() {
    let mock = Mock::start(Plan::default());
    let sandbox = Sandbox::with_flows().models(&mock);
    sandbox.must_run([FLOW, "--model", "offline"]);
    assert_eq!(mock.counters().requests, 0);
    // One by name: `judge` uses `writer`, and answers as itself.
    let ran = sandbox.must_run([FLOW, "-i", "rows=2", "--model", "judge=offline", "--json"]);
    let told = ran.json();
    assert!(told["models"]["judge"].as_str().unwrap().starts_with("offline"), "{}", told["models"]);
    assert!(told["models"]["writer"].as_str().unwrap().starts_with("openai"), "{}", told["models"]);
    assert!(mock.counters().requests > 0);
}

#[cfg(unix)]
mod signals {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use flowrun_mock_llm::{Latency, Plan};

    use super::FLOW;
    use crate::support::{Mock, Ran, Sandbox};

    fn send(signal: &str, to: &Child) {
        let sent = Command::new("kill").args([signal, &to.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Begins a run of many items, waits until some have been asked for, and sends it a signal.
    fn stopped_by(signal: &str) -> (Sandbox, Ran) {
        let mock = Mock::start(Plan { latency: Latency::Fixed { ms: 50.0 }, ..Plan::default() });
        let sandbox = Sandbox::with_flows().models(&mock);
        let mut command = sandbox.command([FLOW, "-i", "rows=2000", "--parallel", "4"]);
        let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Four at once, so that by the thirtieth request some item has ended and many more wait.
        while mock.counters().requests < 30 {
            assert!(run.try_wait().unwrap().is_none(), "the run ended by itself");
            std::thread::sleep(Duration::from_millis(5));
        }
        send(signal, &run);
        (sandbox, Ran::of(&run.wait_with_output().unwrap()))
    }

    #[test]
    fn ctrl_c_lets_what_is_in_flight_end_and_says_what_was_done() {
        let (sandbox, ran) = stopped_by("-INT");
        assert_eq!(ran.code, Some(130), "{}", ran.stderr);
        for said in [
            "stopping: what is in flight is finished",
            "2,000 items",
            " not run",
            "error[run.interrupted]",
            "nothing was lost: ",
            "flowrun resume ",
        ] {
            assert!(ran.stderr.contains(said), "{said} is missing: {}", ran.stderr);
        }
        assert!(sandbox.files("out").is_empty(), "half a dataset was written");
    }

    /// No call ends in this test: where the second signal did not stop the run, it would wait for some, and count them.
    #[test]
    fn a_second_signal_leaves_what_is_in_flight() {
        let mock = Mock::start(Plan { latency: Latency::Fixed { ms: 60_000.0 }, ..Plan::default() });
        let sandbox = Sandbox::with_flows().models(&mock);
        let mut command = sandbox.command([FLOW, "-i", "rows=20", "--parallel", "4"]);
        let mut run = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        while mock.counters().requests < 4 {
            assert!(run.try_wait().unwrap().is_none(), "the run ended by itself");
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut said = BufReader::new(run.stderr.take().unwrap()).lines().map(Result::unwrap);
        send("-INT", &run);
        assert!(said.any(|line| line.starts_with("stopping: what is in flight is finished; once more")));
        send("-INT", &run);
        assert!(said.any(|line| line.starts_with("error[run.interrupted]")));
        assert_eq!((run.wait().unwrap().code(), mock.counters().completed), (Some(130), 0));
    }

    #[test]
    fn sigterm_does_the_same_with_its_own_exit_code() {
        let (_, ran) = stopped_by("-TERM");
        assert_eq!(ran.code, Some(143), "{}", ran.stderr);
        assert!(ran.stderr.contains("error[run.interrupted]"), "{}", ran.stderr);
    }
}
