//! Agents: what the model is told, and what a resume asks again.

use flowrun_mock_llm::{Plan, Rule};
use serde_json::{Value as Json, json};

use crate::support::{Mock, Sandbox};

const FLOW: &str = r#"
flow: agents
models: { m: { provider: auto, model: gpt-4o-mini } }
tools:
  double:
    type: exec
    description: Doubles a number.
    command: [sh, -c, 'n=0; while read -r line; do echo >> calls; echo "{\"id\": $n, \"result\": 14}"; n=$((n + 1)); done']
    arguments: { n: integer }
    results: { twice: integer }
steps:
  work:
    type: agent
    model: m
    system: You count.
    template: "What is twice {{ n }}?"
    tools: [double]
  after: { type: exec_that_is_missing }
inputs: { n: { type: integer, default: 7 } }
outputs: { said: work.output }
"#;

fn plan() -> Plan {
    let replies = vec![
        Rule::new("", r#"{"n": 7}"#).tool("double"),
        Rule::new("", r#"{"n": "x"}"#).tool("double"),
        Rule::new("", "It is 14."),
    ];
    Plan { replies, record: true, ..Plan::default() }
}

#[test]
fn the_model_is_told_what_its_calls_gave() {
    let mock = Mock::start(plan());
    let sandbox = Sandbox::new().models(&mock);
    sandbox.write("flow.yaml", FLOW.replace("  after: { type: exec_that_is_missing }\n", ""));
    let ran = sandbox.must_run(["flow.yaml", "--json"]);
    assert_eq!(ran.json()["outputs"], json!({ "said": "It is 14." }));
    let asked: Vec<Json> = mock.recorded().into_iter().map(|request| request.body).collect();
    assert_eq!(asked.len(), 3);
    let tool = &asked[0]["tools"][0]["function"];
    assert_eq!((&tool["name"], &tool["description"]), (&json!("double"), &json!("Doubles a number.")));
    assert_eq!(tool["parameters"]["properties"]["n"]["type"], "integer");
    let messages = asked[2]["messages"].as_array().unwrap();
    let roles: Vec<_> = messages.iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant", "tool"]);
    assert_eq!(messages[2]["tool_calls"][0]["function"], json!({ "name": "double", "arguments": "{\"n\": 7}" }));
    assert_eq!(messages[3]["tool_call_id"], messages[2]["tool_calls"][0]["id"]);
    assert_eq!(messages[3]["content"], "14");
    assert!(messages[5]["content"].as_str().unwrap().starts_with("Error: the tool `double` takes no such `n`"));
    assert_eq!(sandbox.read("calls").lines().count(), 1);
}

#[test]
fn a_resume_repeats_neither_rounds_nor_calls() {
    let mock = Mock::start(Plan { replies: plan().replies, ..Plan::default() });
    let sandbox = Sandbox::new().models(&mock);
    // The step behind the agent fails until its file is there.
    let read = "after: { type: exec, command: [sh, after.sh] }";
    sandbox.write("flow.yaml", FLOW.replace("after: { type: exec_that_is_missing }", read));
    let program = "while read -r line; do case $line in *describe*) echo '{\"id\": 0, \"result\": {\"arguments\": {}}}';; *) cat answer;; esac; done\n";
    sandbox.write("after.sh", program);
    sandbox.write("answer", "{\"id\": 0, \"error\": \"not yet\"}\n");
    let failed = sandbox.run(["flow.yaml"]);
    assert!(failed.stderr.contains("not yet"), "{}", failed.stderr);
    sandbox.write("answer", "{\"id\": 0, \"result\": \"\"}\n");
    let ran = sandbox.must_run(["resume", "--json"]);
    assert_eq!(ran.json()["outputs"], json!({ "said": "It is 14." }));
    assert_eq!(mock.counters().requests, 3);
    assert_eq!(sandbox.read("calls").lines().count(), 1);
}

#[test]
fn the_model_is_told_what_was_said_before() {
    let replies = vec![Rule::new("", "Hello Ann."), Rule::new("", "It is noon.")];
    let mock = Mock::start(Plan { replies, record: true, ..Plan::default() });
    let sandbox = Sandbox::new().models(&mock);
    let flow = "flow: talk\nmodels: { m: { provider: auto, model: gpt-4o-mini } }\nsteps:\n  say: { type: output_message, template: I am Ann., message_type: system, expose_message_as_output: false }\n  greet: { type: agent, model: m, system: Greet., send_message: true }\n  tell: { type: agent, model: m, system: Tell., conversation: true, template: What time is it? }\noutputs: { said: tell.output }\n";
    sandbox.write("flow.yaml", flow);
    let ran = sandbox.must_run(["flow.yaml", "--json"]);
    assert_eq!(ran.json()["outputs"], json!({ "said": "It is noon." }));
    let said = |n: usize| {
        let messages = mock.recorded()[n].body["messages"].as_array().unwrap().clone();
        messages.iter().map(|m| format!("{} {}", m["role"], m["content"])).collect::<Vec<_>>()
    };
    assert_eq!(said(0), [r#""system" "Greet.""#]);
    let second = [r#""system" "Tell.""#, r#""assistant" "Hello Ann.""#, r#""user" "What time is it?""#];
    assert_eq!(said(1), second);
}
