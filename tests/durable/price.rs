//! What runs cost.

use flowrun_mock_llm::{Plan, Rule};
use serde_json::{Value, json};

use super::{ASK, kill, run_folder, slow, started};
use crate::support::{Mock, Sandbox};

/// `ASK` with a price, in dollars for a million tokens.
fn priced(price: &str) -> String {
    ASK.replace("model: gpt-4o-mini,", &format!("model: gpt-4o-mini, price: {price},"))
}

const PRICE: &str = "{ input: 0.15, output: 0.6 }";

/// What a run says of itself as JSON.
fn told(sandbox: &Sandbox, args: &[&str]) -> Value {
    sandbox.must_run([args, &["--json"]].concat()).json()
}

/// What the tokens of a run cost at the price.
fn due(told: &Value) -> f64 {
    let tokens = |kind: &str| told["usage"][kind].as_u64().unwrap();
    let pico = tokens("input_tokens") * 150_000 + tokens("output_tokens") * 600_000;
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let dollars = pico as f64 / 1e12;
    dollars
}

#[test]
fn what_a_run_cost_is_told_everywhere_and_the_same_after_a_kill() {
    let mock = Mock::start(slow(20.0));
    let sandbox = Sandbox::new().models(&mock);
    sandbox.write("flow.yaml", priced(PRICE));
    let whole = told(&sandbox, &["flow.yaml", "--no-journal"]);
    assert_eq!(whole["cost"], json!(due(&whole)));
    assert!(due(&whole) > 0.0 && whole["usage"]["priced"] == 40, "{whole}");
    let manifest: Value = serde_json::from_str(&sandbox.read("out/answers.manifest.json")).unwrap();
    assert_eq!(manifest["cost"], whole["cost"]);

    kill(started(&sandbox, &["flow.yaml"], 12));
    // From now on another price holds; what was paid before was paid at the old one.
    sandbox.write(
        "flow.yaml",
        priced("{ input: 0, output: 0 }").replacen("\nsteps:\n", "\n# cheaper now\nsteps:\n", 1),
    );
    let resumed = told(&sandbox, &["resume"]);
    assert_eq!((&resumed["status"], &resumed["usage"]["priced"]), (&json!("finished"), &json!(40)));
    let cost = resumed["cost"].as_f64().unwrap();
    assert!(cost > 0.0 && cost < due(&whole), "{cost}");

    let sandbox = Sandbox::new().models(&mock);
    sandbox.write("flow.yaml", priced(PRICE));
    kill(started(&sandbox, &["flow.yaml"], 12));
    let ran = sandbox.must_run(["resume"]);
    let shown = format!("cost $0.00{}", &ran.stderr[ran.stderr.find("cost $0.00").unwrap() + 10..].trim());
    let cents = shown.trim_start_matches("cost $").parse::<f64>().unwrap();
    assert!((cents - due(&whole)).abs() < 0.05 * due(&whole), "{shown}, due {}", due(&whole));
    let runs: Value = serde_json::from_str(&sandbox.must_run(["runs", "--json"]).stdout).unwrap();
    assert_eq!(runs[0]["cost"], whole["cost"], "counted again from what was kept");
    let dollars = shown.trim_start_matches("cost ");
    for said in [sandbox.must_run(["runs"]).stdout, sandbox.must_run(["show"]).stdout] {
        assert!(said.contains(&format!(" tokens, {dollars}")), "{said}");
    }
}

#[test]
fn a_sum_that_lacks_a_part_says_so() {
    let mock = Mock::start(Plan::default());
    let sandbox = Sandbox::new().models(&mock);
    let two = "
flow: two
models:
  dear: { provider: auto, model: gpt-4o-mini, price: { input: 2.5, output: 10 } }
  free: { use: dear, price: { input: 0, output: 0 } }
  unknown: { provider: auto, model: other }
steps:
  first: { type: prompt, model: dear, template: Say yes., output: yes }
  second: { type: prompt, model: free, template: Say yes., output: again }
  third: { type: prompt, model: OTHER, template: Say yes., output: more }
";
    sandbox.write("flow.yaml", two.replace("OTHER", "unknown"));
    let run = ["flow.yaml", "--no-journal"];
    let told_of = told(&sandbox, &run);
    assert_eq!((&told_of["cost"], &told_of["usage"]["unpriced"]), (&Value::Null, &json!(1)));
    let said = sandbox.must_run(run).stderr;
    assert!(said.contains("cost at least $0.00"), "{said}");
    sandbox.write("flow.yaml", two.replace("OTHER", "free"));
    let told_of = told(&sandbox, &run);
    assert!(told_of["cost"].as_f64().unwrap() > 0.0, "{told_of}");
    // The price is that of the model that the flow names.
    let other = told(&sandbox, &["flow.yaml", "--no-journal", "--model", "openai:another"]);
    assert_eq!((&other["cost"], &other["usage"]["unpriced"]), (&Value::Null, &json!(3)));
    let same = told(&sandbox, &["flow.yaml", "--no-journal", "--model", "openai:gpt-4o-mini"]);
    assert_eq!(same["cost"], told_of["cost"]);
    let said = sandbox.must_run(["flow.yaml", "--no-journal", "--model", "openai:another"]).stderr;
    assert!(said.contains("cost –"), "{said}");
}

/// What is told of the only run while nothing has said how it ended.
fn listed(sandbox: &Sandbox) -> Value {
    let runs: Value = serde_json::from_str(&sandbox.must_run(["runs", "--json"]).stdout).unwrap();
    runs[0].clone()
}

#[test]
fn what_a_run_has_cost_so_far_is_told_without_an_end() {
    let mock = Mock::start(slow(20.0));
    let sandbox = Sandbox::new().models(&mock);
    sandbox.write("flow.yaml", priced(PRICE));
    let child = started(&sandbox, &["flow.yaml"], 12);
    let running = listed(&sandbox);
    kill(child);
    let killed = listed(&sandbox);
    assert_eq!((&running["status"], &killed["status"]), (&json!("running"), &json!("killed")));
    for (told_of, least) in [(&running, 4), (&killed, running["usage"]["calls"].as_u64().unwrap())] {
        let calls = told_of["usage"]["calls"].as_u64().unwrap();
        assert!((least..40).contains(&calls), "{told_of}");
        assert_eq!((&told_of["usage"]["priced"], &told_of["cost"]), (&json!(calls), &json!(due(told_of))));
    }
    for said in [sandbox.must_run(["runs"]).stdout, sandbox.must_run(["show"]).stdout] {
        assert!(
            said.contains(&format!("{} calls, ", killed["usage"]["calls"])) && said.contains(", $0.00"),
            "{said}"
        );
    }
    // Of a call in flight nothing is known, and it is made again: what was told is part of what the whole costs.
    let answered = mock.counters().completed;
    let resumed = told(&sandbox, &["resume"]);
    assert_eq!(resumed["usage"]["calls"], 40);
    assert!(resumed["cost"].as_f64() > killed["cost"].as_f64(), "{killed}");
    assert!(answered - killed["usage"]["calls"].as_u64().unwrap() <= 4, "{answered}: {killed}");
}

/// A text is looked for before anything else and once more in each item, then the item takes its time.
const NEAR: &str = "
flow: near
models:
  e: { provider: openai, model: small, price: { input: 0.02, output: 0 } }
  writer: { provider: auto, model: gpt-4o-mini, price: { input: 0.15, output: 0.6 } }
steps:
  notes: { type: read_table, path: notes.csv }
  first: { type: search, model: e, column: text, k: 1, with: { table: notes.table, query: { value: a green car } } }
  rows: { type: synthesize, rows: 30, columns: { id: { sample: sequence } } }
  each: { type: map, flow: one, over: { row: rows.table }, with: { notes: notes.table }, parallel: 3 }
outputs: { found: first.scores }
flows:
  one:
    inputs: { row: object, notes: table }
    steps:
      ask: { type: template, template: \"house {{ row.id }}\", output: query }
      near: { type: search, model: e, column: text, k: 1, with: { table: inputs.notes } }
      write: { type: prompt, model: writer, template: \"Question {{ row.id }}: {{ scores }}\", output: answer }
    outputs: { answer: write.answer }
";

#[test]
fn vectors_have_their_price_also_after_a_kill() {
    let mock = Mock::start(slow(20.0));
    let sandbox = Sandbox::new().models(&mock);
    sandbox.write("notes.csv", "text\nred house\nblue car\nred car\n");
    sandbox.write("flow.yaml", NEAR);
    let whole = told(&sandbox, &["flow.yaml", "--no-journal"]);
    // The notes, one question at the top and one for each item; and 30 texts.
    let usage = &whole["usage"];
    assert_eq!(
        (&usage["calls"], &usage["priced"], &usage["unpriced"]),
        (&json!(62), &json!(62), &Value::Null),
        "{usage}"
    );
    let asked = mock.counters().completed;

    kill(started(&sandbox, &["flow.yaml"], 40));
    let killed = listed(&sandbox);
    let resumed = told(&sandbox, &["resume"]);
    assert_eq!((&resumed["usage"], &resumed["cost"]), (&whole["usage"], &whole["cost"]));
    assert!(resumed["cost"].as_f64() > killed["cost"].as_f64() && killed["cost"].as_f64() > Some(0.0), "{killed}");
    // Three items ran when it was killed.
    assert!(mock.counters().completed - 2 * asked <= 3);
}

#[test]
fn what_cannot_be_counted_is_no_number_and_says_why() {
    // Long enough for a file of its own.
    let long =
        Rule { when: String::new(), reply: "word ".repeat(60_000), finish_reason: "stop".to_owned(), tool: None };
    let mock = Mock::start(Plan { rules: vec![long], ..slow(20.0) });
    let sandbox = Sandbox::new().models(&mock);
    sandbox.write("flow.yaml", priced(PRICE));
    kill(started(&sandbox, &["flow.yaml"], 12));
    assert!(listed(&sandbox)["cost"].as_f64() > Some(0.0));
    std::fs::remove_dir_all(run_folder(&sandbox).join("values")).unwrap();
    let told_of = listed(&sandbox);
    assert_eq!((&told_of["usage"], &told_of["cost"]), (&Value::Null, &Value::Null));
    assert!(told_of["problem"].as_str().unwrap().contains("is missing from the run's folder"), "{told_of}");
    assert!(sandbox.must_run(["runs"]).stdout.contains(" ? "));
    let shown = sandbox.must_run(["show"]).stdout;
    assert!(
        shown.contains("  used     ? (`") && shown.contains("is missing") && shown.contains("to go on: "),
        "{shown}"
    );
}
