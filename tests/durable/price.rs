//! What runs cost.

use flowrun_mock_llm::Plan;
use serde_json::{Value, json};

use super::{ASK, kill, slow, started};
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
