//! Runs that wait for somebody: the question, the answer by `flowrun reply`, and what goes on from there.

use flowrun_mock_llm::{Plan, Rule};
use insta::assert_snapshot;

use crate::support::{Mock, Ran, Sandbox};

/// A call that costs something, a question, and a call with the answer.
const TALK: &str = "
flow: talk
models: { m: { provider: auto, model: m } }
steps:
  first: { type: prompt, model: m, template: Suggest a name., output: name }
  ask: { type: input_message, template: \"Is {{ name }} right?\", output: said }
  second: { type: prompt, model: m, template: \"They said {{ said }}.\", output: reply, send_message: true }
  more: { type: input_message, output: last }
outputs: { name: first.name, reply: second.reply, last: more.last }
";

fn mock() -> Mock {
    let replies = ["Ann", "Then it is Eve."].map(|reply| Rule::new("", reply)).to_vec();
    Mock::start(Plan { replies, ..Plan::default() })
}

fn talk(mock: &Mock) -> Sandbox {
    let sandbox = Sandbox::new().models(mock);
    sandbox.write("talk.yaml", TALK);
    sandbox
}

/// The id of the only run.
fn id_of(sandbox: &Sandbox) -> String {
    let runs = std::fs::read_dir(sandbox.path(".flowrun/runs")).unwrap();
    let names: Vec<_> = runs.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    let [id] = &names[..] else { panic!("{names:?}") };
    id.clone()
}

/// What a person reads, without what differs from run to run.
fn said(sandbox: &Sandbox, ran: &Ran) -> String {
    sandbox.scrub(&ran.stderr).replace(&id_of(sandbox), "RUN")
}

#[test]
fn a_run_waits_is_answered_and_goes_on_where_it_was() {
    let mock = mock();
    let sandbox = talk(&mock);
    let ran = sandbox.run(["talk.yaml"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert_snapshot!("waits", said(&sandbox, &ran));
    let id = id_of(&sandbox);
    let ran = sandbox.run(["reply", &id, "no, Eve"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert_snapshot!("waits_again", said(&sandbox, &ran));
    let ran = sandbox.must_run(["reply", &id, "done", "--json"]);
    let told = ran.json();
    assert_eq!(told["status"], "finished");
    assert_eq!(told["outputs"], serde_json::json!({"name": "Ann", "reply": "Then it is Eve.", "last": "done"}));
    let roles: Vec<_> = told["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["agent", "user", "agent", "user"]);
    assert_eq!(mock.counters().requests, 2, "no call was made again");
}

#[test]
fn a_waiting_run_tells_scripts_what_it_waits_for() {
    let mock = mock();
    let sandbox = talk(&mock);
    let ran = sandbox.run(["talk.yaml", "--json"]);
    let told = ran.json();
    assert_eq!((ran.code, &told["status"]), (Some(3), &serde_json::json!("waiting")));
    assert_eq!(told["error"], serde_json::Value::Null);
    assert_eq!(told["questions"][0]["kind"], "message");
    assert_eq!(told["questions"][0]["text"], "Is Ann right?");
    let runs = sandbox.must_run(["runs", "--json"]).json();
    assert_eq!(runs[0]["status"], "waiting");
    let again = sandbox.run(["talk.yaml"]);
    assert_eq!(again.code, Some(2));
    assert_snapshot!("the_same_run_waits", said(&sandbox, &again));
    let resumed = sandbox.run(["resume"]);
    assert_eq!(resumed.code, Some(3), "it still waits: {}", resumed.stderr);
    assert_eq!(mock.counters().requests, 1);
}

#[test]
fn an_answer_that_fits_no_question_is_refused() {
    let mock = mock();
    let sandbox = talk(&mock);
    sandbox.run(["talk.yaml"]);
    let id = id_of(&sandbox);
    for (args, why) in [
        (&["reply", id.as_str(), "--accept"][..], "waits for a message"),
        (&["reply", &id, "--result", "3"], "waits for a message"),
        (&["reply", &id, "yes", "--to", "nobody"], "waits for answers to `ask`"),
        (&["reply", "zzzz", "yes"], "no run `zzzz` is kept here"),
        (&["reply", &id], "required arguments"),
        (&["reply", &id, "yes", "--accept"], "cannot be used with"),
    ] {
        let ran = sandbox.run(args);
        assert_eq!(ran.code, Some(2), "{args:?}");
        assert!(ran.stderr.contains(why), "{args:?}: {}", ran.stderr);
    }
    sandbox.run(["reply", &id, "yes"]);
    sandbox.must_run(["reply", &id, "done"]);
    let ran = sandbox.run(["reply", &id, "more"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("waits for no answer"), "{}", ran.stderr);
}

#[test]
fn nothing_can_be_answered_that_is_not_kept() {
    let mock = mock();
    let sandbox = talk(&mock);
    let ran = sandbox.run(["talk.yaml", "--no-journal"]);
    assert_eq!(ran.code, Some(3));
    assert!(ran.stderr.contains("so it cannot be answered"), "{}", ran.stderr);
}

#[test]
fn a_run_that_paid_for_nothing_is_kept_while_it_waits() {
    let sandbox = Sandbox::new();
    sandbox.write("ask.yaml", "flow: ask\nsteps:\n  ask: { type: input_message, template: Who?, output: who }\n");
    sandbox.run(["ask.yaml"]);
    let ran = sandbox.run(["ask.yaml"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("waits for an answer"), "{}", ran.stderr);
    assert_eq!(sandbox.must_run(["reply", &id_of(&sandbox), "Ann", "--json"]).json()["outputs"]["who"], "Ann");
}

#[test]
fn a_run_whose_time_is_over_has_not_failed_and_can_be_resumed() {
    let sandbox = Sandbox::new();
    let flow = |timeout: &str| {
        format!(
            "flow: circle\nlimits: {{ timeout: {timeout}, max_steps: 1000000000000 }}\nsteps:\n  go: {{ type: constant, values: {{ x: 1 }}, next: on }}\n  on: {{ type: constant, values: {{ y: 1 }}, next: go }}\n"
        )
    };
    sandbox.write("circle.yaml", flow("0.05"));
    let ran = sandbox.run(["circle.yaml", "--json"]);
    let told = ran.json();
    assert_eq!((ran.code, told["status"].as_str()), (Some(1), Some("stopped")));
    assert_eq!(told["error"]["message"], "the flow `circle` was not done after 0.05 seconds");
}

/// The first flow waits for what the second one does after it has spoken.
#[test]
fn scripts_are_told_the_messages_in_the_order_of_the_conversation() {
    let sandbox = Sandbox::new();
    let tool = |act: &str| {
        format!(
            "{{ type: exec, command: [sh, -c, 'read -r line; {act}; echo \"{{\\\"id\\\": 0, \\\"result\\\": 1}}\"; read -r line'], arguments: {{}} }}"
        )
    };
    let wait = tool("until [ -e spoken ]; do sleep 0.01; done");
    let flow = format!(
        "flow: talks\ntools:\n  wait: {wait}\n  tell: {}\nsteps:\n  beside: {{ type: parallel, flows: [first, second] }}\n  finish: {{ type: output_message, template: end }}\nflows:\n  first:\n    outputs: {{}}\n    steps:\n      wait: {{ type: tool, tool: wait }}\n      say: {{ type: output_message, template: first }}\n  second:\n    outputs: {{}}\n    steps:\n      say: {{ type: output_message, template: second }}\n      tell: {{ type: tool, tool: tell }}\n",
        tool("echo > spoken"),
    );
    sandbox.write("talks.yaml", flow);
    let told = sandbox.must_run(["talks.yaml", "--json"]).json();
    let said: Vec<_> =
        told["messages"].as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap()).collect();
    assert_eq!(said, ["first", "second", "end"]);
}
