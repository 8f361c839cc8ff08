//! The model layer as a run meets it: over HTTP, against a server that misbehaves.

use std::collections::{BTreeMap, BTreeSet};

use flowrun_mock_llm::{FaultKind, Faults, Plan, Rule, Verdicts};
use insta::assert_snapshot;

use crate::support::{Mock, Ran, Sandbox};

/// One question, asked directly.
const ONE: &str = "
flow: one
models:
  writer: { provider: auto, model: gpt-4o-mini, max_tokens: 50, retry: { tries: 2, initial_delay: 0.01 } }
steps:
  write: { type: prompt, model: writer, template: Say yes. }
outputs: { text: write.output }
";

/// Four questions in a map that keeps what fails, written to `out/answers.jsonl`.
const FOUR: &str = "
flow: four
models:
  writer: { provider: auto, model: gpt-4o-mini, retry: { tries: 2, initial_delay: 0.01 } }
steps:
  questions: { type: synthesize, rows: 4, columns: { id: { sample: sequence } } }
  each:
    type: map
    flow: ask
    over: { row: questions.table }
    collect: [answer]
    on_item_error: keep
  joined: { type: add_columns, with: { table: questions.table, columns: each.table } }
  export: { type: write_table, with: { table: joined.table }, path: out/answers.jsonl }
flows:
  ask:
    steps:
      write: { type: prompt, model: writer, template: \"Question {{ row.id }}.\", output: answer }
";

fn run(flow: &str, mock: &Mock) -> (Sandbox, Ran) {
    let sandbox = Sandbox::new().models(mock);
    sandbox.write("flow.yaml", flow);
    let ran = sandbox.run(["flow.yaml"]);
    no_key_in(&sandbox, &ran);
    (sandbox, ran)
}

/// The key stands in the requests and nowhere else.
fn no_key_in(sandbox: &Sandbox, ran: &Ran) {
    let mut said = sandbox.files("");
    said.insert("standard output".to_owned(), ran.stdout.clone().into_bytes());
    said.insert("standard error".to_owned(), ran.stderr.clone().into_bytes());
    for (place, bytes) in said {
        assert!(!String::from_utf8_lossy(&bytes).contains(Mock::KEY), "the key stands in {place}");
    }
}

/// What a run says that ends in an error.
fn failing(plan: Plan) -> String {
    let mock = Mock::start(plan);
    let (sandbox, ran) = run(ONE, &mock);
    let said = format!("{}tries: {}, exit code: {}", ran.stderr, mock.counters().requests, ran.code.unwrap());
    sandbox.scrub(&said)
}

#[test]
fn a_refused_key_ends_the_run_at_once() {
    assert_snapshot!(failing(Plan::always(FaultKind::Status(401))));
}

#[test]
fn an_unknown_model_ends_the_run_at_once() {
    assert_snapshot!(failing(Plan::always(FaultKind::Status(404))));
}

#[test]
fn a_used_up_quota_is_not_tried_again() {
    assert_snapshot!(failing(Plan::always(FaultKind::Quota)));
}

#[test]
fn too_many_requests_are_tried_as_often_as_the_flow_says() {
    assert_snapshot!(failing(Plan::always(FaultKind::Status(429))));
}

#[test]
fn a_body_that_is_no_json_is_told_as_it_came() {
    assert_snapshot!(failing(Plan::always(FaultKind::Malformed)));
}

#[test]
fn an_empty_reply_is_an_error() {
    assert_snapshot!(failing(Plan::always(FaultKind::Empty)));
}

#[test]
fn a_refused_request_is_not_tried_again() {
    assert_snapshot!(failing(Plan::always(FaultKind::Status(400))));
}

#[test]
fn a_reply_that_was_cut_short_is_an_error() {
    let cut = Rule::new("Say yes", "Yes, and").finish("length");
    assert_snapshot!(failing(Plan { rules: vec![cut], ..Plan::default() }));
}

/// What is sent for structured output in a mode, and what the run gave.
fn structured(mode: &str) -> (serde_json::Value, serde_json::Value) {
    let mock = Mock::start(Plan { record: true, ..Plan::default() });
    let sandbox = Sandbox::new().models(&mock);
    let fields = "{ legs: { type: integer, minimum: 4, maximum: 4 }, kind: { enum: [cat] } }";
    let flow = ONE.replace("template: Say yes.", &format!("template: Say., fields: {fields}, mode: {mode}"));
    sandbox.write("flow.yaml", flow.replace("{ text: write.output }", "{ legs: write.legs, kind: write.kind }"));
    let ran = sandbox.must_run(["flow.yaml", "--json"]);
    no_key_in(&sandbox, &ran);
    let [request] = mock.recorded().try_into().unwrap();
    let said: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    (request.body, said["outputs"].clone())
}

#[test]
fn structured_output_is_asked_for_in_the_servers_own_ways() {
    let schema = serde_json::json!({
        "type": "object",
        "properties": {
            "legs": { "type": "integer", "minimum": 4, "maximum": 4 }, "kind": { "type": "string", "enum": ["cat"] },
        },
        "required": ["legs", "kind"],
        "additionalProperties": false,
    });
    let given = serde_json::json!({ "legs": 4, "kind": "cat" });
    let (sent, outputs) = structured("json_schema");
    let format = serde_json::json!({ "name": "answer", "schema": schema, "strict": true });
    assert_eq!(sent["response_format"], serde_json::json!({ "type": "json_schema", "json_schema": format }));
    assert_eq!((&sent["messages"][0]["content"], outputs), (&"Say.".into(), given.clone()));

    let (sent, outputs) = structured("tool");
    assert_eq!(sent["tools"][0]["function"]["parameters"], schema);
    assert_eq!(sent["tool_choice"]["function"]["name"], "answer");
    assert_eq!((sent.get("response_format"), outputs), (None, given));
}

#[test]
fn a_repair_is_a_call_of_its_own_and_shows_the_reply() {
    let replies = vec![Rule::new("", "four"), Rule::new("", "{\"legs\": 4}")];
    let mock = Mock::start(Plan { replies, record: true, ..Plan::default() });
    let flow = ONE.replace("template: Say yes.", "template: Say., fields: { legs: integer }");
    let (_, ran) = run(&flow.replace("write.output", "write.legs"), &mock);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("model calls 2"), "{}", ran.stderr);
    let [first, second] = mock.recorded().try_into().unwrap();
    assert_ne!(first.identity, second.identity);
    let roles = second.body["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap());
    assert_eq!(roles.collect::<Vec<_>>(), ["user", "assistant", "user"]);
    assert_eq!(second.body["messages"][0], first.body["messages"][0]);
    assert_eq!(second.body["messages"][1]["content"], "four");
}

#[test]
fn a_reply_without_its_form_is_kept_in_the_error() {
    let replies = vec![Rule::new("", "No idea."), Rule::new("", "{\"legs\": \"many\"}")];
    let mock = Mock::start(Plan { replies, ..Plan::default() });
    let flow = ONE.replace("template: Say yes.", "template: Say., fields: { legs: integer, kind: string }");
    let (sandbox, ran) = run(&flow.replace("write.output", "write.legs"), &mock);
    assert_snapshot!(sandbox.scrub(&ran.stderr));
}

#[test]
fn what_a_step_sets_is_merged_over_its_model() {
    let mock = Mock::start(Plan { record: true, ..Plan::default() });
    let flow = ONE.replace("max_tokens: 50", "max_tokens: 50, temperature: 0.5, extra: { user: a, store: false }");
    let flow = flow.replace(
        "template: Say yes.",
        "template: Say yes., temperature: 0, frequency_penalty: 1, top_logprobs: 2, extra: { user: b }",
    );
    let (_, ran) = run(&flow, &mock);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let sent = &mock.recorded()[0].body;
    let keys = ["max_tokens", "temperature", "frequency_penalty", "user", "store", "logprobs", "top_logprobs"];
    let said = serde_json::json!([50, 0.0, 1.0, "b", false, true, 2]);
    assert_eq!(keys.map(|key| sent[key].clone()).as_slice(), said.as_array().unwrap());
}

#[test]
fn a_picture_and_a_conversation_are_sent_in_their_places() {
    let mock = Mock::start(Plan { record: true, ..Plan::default() });
    let flow = "
flow: look
models: { m: {} }
steps:
  give:
    type: constant
    values: { picture: dot.gif, chat_history: [{ role: user, content: Hi. }, { role: assistant, content: Hello. }] }
  ask: { type: prompt, model: m, system: Be brief., template: What is it?, images: [picture], chat_history: true }
outputs: { text: ask.output }
";
    let sandbox = Sandbox::new().models(&mock);
    sandbox.write("dot.gif", "GIF89a");
    sandbox.write("flow.yaml", flow);
    sandbox.must_run(["flow.yaml"]);
    let image =
        serde_json::json!({ "type": "image_url", "image_url": { "url": "data:image/gif;base64,R0lGODlh" } });
    assert_eq!(
        mock.recorded()[0].body["messages"],
        serde_json::json!([
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": "Hi." },
            { "role": "assistant", "content": "Hello." },
            { "role": "user", "content": [{ "type": "text", "text": "What is it?" }, image] },
        ])
    );
}

#[test]
fn nobody_at_the_address_is_told_as_such() {
    // Nobody listens at port 1, and free ports are not taken from so low.
    let sandbox = Sandbox::new().env("OPENAI_BASE_URL", "http://127.0.0.1:1/v1").env("OPENAI_API_KEY", Mock::KEY);
    sandbox.write("flow.yaml", ONE);
    let ran = sandbox.run(["flow.yaml"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("error[model.connection]"), "{}", ran.stderr);
    no_key_in(&sandbox, &ran);
}

#[test]
fn failures_of_the_server_pass() {
    let mock = Mock::start(Plan::failing([FaultKind::Status(500), FaultKind::Drop]));
    let flow = ONE.replace("tries: 2", "tries: 3");
    let (_, ran) = run(&flow, &mock);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("model calls 1 (+2 tries)"), "{}", ran.stderr);
    let identities: BTreeSet<_> = mock.recorded().into_iter().map(|r| r.identity.unwrap()).collect();
    assert_eq!((mock.counters().requests, identities.len()), (3, 1), "every try has the call's identity");
}

#[test]
fn the_request_is_what_the_flow_says() {
    let mock = Mock::start(Plan { record: true, ..Plan::default() });
    let (_, ran) = run(ONE, &mock);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let [request] = mock.recorded().try_into().unwrap();
    assert_eq!(request.authorization, Some(format!("Bearer {}", Mock::KEY)));
    assert_eq!(request.body["model"], "gpt-4o-mini");
    assert_eq!(request.body["max_tokens"], 50);
    assert_eq!(request.body["messages"], serde_json::json!([{"role": "user", "content": "Say yes."}]));
}

#[test]
fn an_item_that_fails_is_kept_and_listed() {
    let faults = Faults { script: vec![Some(FaultKind::Status(503)); 2], ..Faults::default() };
    let mock = Mock::start(Plan { faults, ..Plan::default() });
    let (sandbox, ran) = run(FOUR, &mock);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let answers = sandbox.records("out/answers.jsonl");
    let answered: Vec<_> = answers.iter().map(|a| a["answer"].is_string()).collect();
    assert_eq!(answered, [false, true, true, true]);
    assert_snapshot!(sandbox.scrub(&sandbox.read("out/answers.failures.jsonl")));
}

#[test]
fn a_run_whose_items_all_fail_fails() {
    let mock = Mock::start(Plan::always(FaultKind::Status(503)));
    let (sandbox, ran) = run(FOUR, &mock);
    assert_eq!(ran.code, Some(1));
    assert!(!sandbox.path("out/answers.jsonl").exists(), "nothing was made");
    assert_eq!(sandbox.records("out/answers.failures.jsonl").len(), 4);
    assert_snapshot!(sandbox.scrub(&ran.stderr));
}

#[test]
fn a_refused_key_ends_a_map_that_keeps_what_fails() {
    let mock = Mock::start(Plan::always(FaultKind::Status(403)));
    let (_, ran) = run(FOUR, &mock);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("error[model.unauthorized]"), "{}", ran.stderr);
    assert_eq!(mock.counters().requests, 1, "no further item was begun");
}

#[test]
fn failures_of_an_earlier_run_do_not_stay() {
    let faults = Faults { script: vec![Some(FaultKind::Status(503)); 2], ..Faults::default() };
    let mock = Mock::start(Plan { faults, ..Plan::default() });
    let (sandbox, _) = run(FOUR, &mock);
    assert!(sandbox.path("out/answers.failures.jsonl").exists());
    sandbox.must_run(["flow.yaml"]);
    assert!(!sandbox.path("out/answers.failures.jsonl").exists());
}

/// A judge that refuses everything makes each item use up its trials; each trial asks anew, under a name of its own,
/// and a second run asks under the same names.
#[test]
fn identities_differ_by_trial_and_agree_by_run() {
    let requests = || {
        let verdicts = Verdicts { valid: 0.0, invalid: 1.0 };
        let mock = Mock::start(Plan { verdicts, record: true, ..Plan::default() });
        let sandbox = Sandbox::with_flows().models(&mock);
        let ran = sandbox.must_run(["flows/justify.yaml", "-i", "rows=3", "--parallel", "3"]);
        assert!(ran.stderr.contains("0 accepted, 3 rejected"), "{}", ran.stderr);
        let requests = mock.recorded().into_iter().map(|r| (r.identity.unwrap(), r.body.to_string()));
        requests.collect::<BTreeMap<_, _>>()
    };
    let first = requests();
    assert_eq!(first.len(), 3 * 3 * 2, "three items, three trials, a writer and a judge");
    assert_eq!(first, requests());
}

#[test]
fn a_key_in_the_flow_is_as_secret_as_one_in_the_environment() {
    let mock = Mock::start(Plan::failing([FaultKind::Status(401)]));
    let keyed = format!("provider: openai, base_url: \"{}\", api_key: {}", mock.base_url(), Mock::KEY);
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", ONE.replace("provider: auto", &keyed));
    let ran = sandbox.run(["flow.yaml", "-vv"]);
    assert_eq!(ran.code, Some(1));
    assert!(!ran.stderr.contains(Mock::KEY), "{}", ran.stderr);
    assert_eq!(mock.recorded()[0].authorization, Some(format!("Bearer {}", Mock::KEY)));
}
