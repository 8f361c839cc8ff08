//! Runs every `conformance/RULE.yaml`: a flow, `---`, and what it must come to. `127.0.0.1:PORT` in it is a web server.

use std::collections::BTreeMap;

use flowrun::core::diagnostics::Diagnostics;
use flowrun::core::error::StepError;
use flowrun::core::events::ItemCounts;
use flowrun::core::execute::Execution;
use flowrun::core::flow::Compiled;
use flowrun::core::table::to_list;
use flowrun::core::value::Value;
use flowrun::llm::{BaseUrl, Environment};
use flowrun::yaml::{ParseOptions, parse_node};
use flowrun_mock_llm::{Plan, Rule};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::support::{Engine, Mock, Web, compiled, registry, repository, yaml_files};

/// What a case says beneath its flow. What it does not say must not be: no warning, no error, no named end.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Expected {
    inputs: BTreeMap<String, Json>,
    /// What a model says to the first call, the second, and so on: a text, or a rule of the model server. Without any,
    /// models are offline.
    replies: Vec<Json>,
    /// Codes of what is wrong with the file.
    pub(crate) errors: Vec<String>,
    /// Codes of its warnings.
    pub(crate) warnings: Vec<String>,
    /// The code of the error that ends the run, and the address of the step.
    error: Option<String>,
    at: Option<String>,
    end: Option<String>,
    outputs: Option<Json>,
    /// How many calls the model got; nothing said, as many as there are replies.
    calls: Option<u64>,
    /// What the person says to the first question, the second, and so on; or what a tool gives. Where these are all, the
    /// flow is run a second time with each answer given to a run that waits, and has to come to the same.
    answers: Vec<Json>,
    /// The steps that ask something to which there is no answer.
    waiting: Vec<String>,
    /// What is said, each as `[role, text]`.
    messages: Option<Vec<(String, String)>>,
    /// For each map that ran, the counts that are not 0.
    items: Option<Vec<Map<String, Json>>>,
}

impl Expected {
    pub(crate) fn read(text: &str) -> Self {
        let node = parse_node(text, &ParseOptions::new("expected", ".")).unwrap().node;
        serde_json::from_value(node.to_value().to_json().unwrap()).unwrap()
    }
}

pub(crate) fn codes(found: &Diagnostics) -> Vec<String> {
    found.iter().map(|d| d.code.to_owned()).collect()
}

/// A value as JSON, a table with its rows.
fn shown(value: &Value) -> Json {
    match value {
        Value::Table(table) => to_list(table).unwrap().to_json().unwrap(),
        other => other.to_json().unwrap(),
    }
}

fn counted(counts: &ItemCounts) -> Map<String, Json> {
    let Json::Object(counts) = serde_json::to_value(counts).unwrap() else { unreachable!("counts are an object") };
    counts.into_iter().filter(|(_, n)| *n != json!(0)).collect()
}

fn scripted(replies: &[Json]) -> Plan {
    let rule = |reply: &Json| match reply {
        Json::String(text) => Rule::new("", text.as_str()),
        rule => serde_json::from_value(rule.clone()).unwrap(),
    };
    Plan { replies: replies.iter().map(rule).collect(), record: true, ..Plan::default() }
}

fn check(text: &str) {
    let text = &Web::addressed(text);
    let (flow, expected) = text.split_once("\n---\n").expect("a flow, `---`, and what it comes to");
    let expected = Expected::read(expected);
    let compiled = match compiled(flow, &registry()) {
        Ok(compiled) => compiled,
        Err(found) => {
            let said: Vec<_> = found.iter().map(|d| d.message.as_str()).collect();
            assert_eq!(codes(&found), expected.errors, "{said:?}");
            return;
        }
    };
    assert_eq!(expected.errors, Vec::<String>::new(), "the flow was accepted");
    assert_eq!(codes(&compiled.warnings), expected.warnings);
    runs_to(&|| self::compiled(flow, &registry()).unwrap(), expected);
}

/// Runs a flow and compares what it comes to; `compiled` makes it, once for each run.
pub(crate) fn runs_to(compiled: &dyn Fn() -> Compiled, expected: Expected) {
    let folder = repository("tests/conformance");
    let mock = (!expected.replies.is_empty()).then(|| Mock::start(scripted(&expected.replies)));
    let base_url = mock.as_ref().map(|mock| BaseUrl::new(mock.base_url()));
    let environment = Environment { openai_base_url: base_url, ..Environment::default() };
    let engine = Engine::asking(compiled(), &folder, &environment).answers(expected.answers.clone());
    let inputs =
        expected.inputs.iter().map(|(name, value)| (name.clone(), Value::try_from(value.clone()).unwrap()));
    let inputs: BTreeMap<String, Value> = inputs.collect();
    let ended = engine.execute(inputs.clone());
    if let Some(messages) = &expected.messages {
        assert_eq!(&engine.said(), messages);
    }
    if !expected.answers.is_empty() && expected.replies.is_empty() {
        let waited = Engine::asking(compiled(), &folder, &environment).by_waiting(inputs, &expected.answers);
        assert_eq!(shown_end(&waited), shown_end(&ended), "answered while it ran, and while it waited");
    }
    match ended {
        Ok(Execution::Waiting(questions)) => {
            let at: Vec<_> = questions.iter().map(|q| q.at.clone()).collect();
            assert_eq!(at, expected.waiting);
        }
        Ok(Execution::Interrupted(error)) => assert_eq!(Some(error.code.to_string()), expected.error, "{error}"),
        Ok(Execution::Finished(outputs)) => {
            assert_eq!(expected.waiting, Vec::<String>::new(), "it ended");
            assert_eq!(expected.error, None, "it ended well");
            assert_eq!(outputs.end.as_deref(), expected.end.as_deref());
            let given: Map<_, _> = outputs.values.iter().map(|(name, v)| (name.to_string(), shown(v))).collect();
            assert_eq!(Json::Object(given), expected.outputs.expect("a case says its outputs"));
        }
        Err(error) => {
            assert_eq!(Some(error.code.to_string()), expected.error, "{error}");
            let at = error.at.as_ref().map(ToString::to_string);
            assert!(expected.at.is_none() || at == expected.at, "at {at:?}, not {:?}", expected.at);
        }
    }
    if let Some(mock) = mock {
        assert_eq!(mock.counters().requests, expected.calls.unwrap_or(expected.replies.len() as u64));
    }
    if let Some(items) = expected.items {
        assert_eq!(engine.maps().iter().map(counted).collect::<Vec<_>>(), items);
    }
}

/// How a run ended, to be compared.
fn shown_end(ended: &Result<Execution, StepError>) -> Json {
    match ended {
        Ok(Execution::Finished(outputs)) => {
            outputs.values.iter().map(|(name, v)| (name.to_string(), shown(v))).collect()
        }
        Ok(Execution::Waiting(questions)) => json!(questions.iter().map(|q| &q.id).collect::<Vec<_>>()),
        Ok(Execution::Interrupted(error)) | Err(error) => json!(error.code),
    }
}

#[test]
fn every_rule_holds() {
    let mut broken = Vec::new();
    for path in yaml_files("tests/conformance") {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# "), "{} does not say its rule", path.display());
        // Caught, so that one broken rule does not hide the next.
        if std::panic::catch_unwind(|| check(&text)).is_err() {
            broken.push(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
    }
    assert!(broken.is_empty(), "the rules above are those of {broken:#?}");
}
