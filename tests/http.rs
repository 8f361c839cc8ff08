//! Requests that steps send themselves, as a run meets them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use flowrun::core::error::StepError;
use flowrun::core::journal::{ItemRecord, Journal, MemoryJournal};
use flowrun::core::value::Value;
use insta::assert_snapshot;

use crate::support::{Engine, Sandbox, Web, registry};

const TOKEN: &str = "tok-0123456789";

/// Keeps what it is given, to be read.
#[derive(Default)]
struct Noting {
    inner: MemoryJournal,
    kept: Mutex<Vec<String>>,
}

impl Journal for Noting {
    fn effect(&self, key: &str) -> Result<Option<String>, StepError> {
        self.inner.effect(key)
    }

    fn keep_effect(&self, key: String, outcome: String) -> Result<(), StepError> {
        self.kept.lock().unwrap().push(format!("{key} {outcome}"));
        self.inner.keep_effect(key, outcome)
    }

    fn item(&self, map: &str, index: u64) -> Result<Option<ItemRecord>, StepError> {
        self.inner.item(map, index)
    }

    fn keep_item(&self, map: &str, record: &ItemRecord) -> Result<(), StepError> {
        self.inner.keep_item(map, record)
    }
}

#[test]
fn a_request_is_sent_once_and_its_reply_kept() {
    let web = Web::start();
    let flow = format!(
        "
flow: asks
inputs: {{ token: string }}
steps:
  ask:
    type: http
    url: {}/echo
    method: POST
    sensitive_headers: {{ Authorization: 'Bearer {{{{ token }}}}' }}
    cookies: {{ session: '{{{{ token }}}}' }}
    extract: {{ at: .path, id: '.headers[\"x-client-request-id\"]' }}
outputs: {{ at: ask.at, id: ask.id, status: ask.http_status_code }}
",
        web.url()
    );
    let journal = Arc::new(Noting::default());
    let run = || {
        let engine = Engine::of(&flow, &registry()).journal(journal.clone());
        let outputs = engine.run(BTreeMap::from([("token".to_owned(), Value::from(TOKEN))])).unwrap();
        outputs.values.iter().map(|(_, value)| value.to_string()).collect::<Vec<_>>()
    };
    let first = run();
    assert_eq!((&*first[0], &*first[2]), ("\"/echo\"", "200"));
    assert_eq!(run(), first);
    let sent = web.requests();
    assert_eq!(sent.len(), 1, "the second run asked again");
    assert_eq!(sent[0]["headers"]["authorization"], format!("Bearer {TOKEN}"));
    assert_eq!(sent[0]["headers"]["x-client-request-id"].to_string(), first[1]);
    let kept = journal.kept.lock().unwrap();
    assert_eq!(kept.len(), 1);
    assert!(!kept[0].contains(TOKEN), "{kept:?}");
}

#[test]
fn an_error_hides_the_secrets_that_a_server_quotes() {
    let web = Web::start();
    let sandbox = Sandbox::new().env("TOKEN", TOKEN);
    let flow = "
flow: asks
steps:
  ask:
    type: http
    url: URL/status/403?key=hidden
    sensitive_headers: { X-Secret: \"${TOKEN}\", Authorization: \"Bearer ${TOKEN}\" }
    cookies: { session: \"${TOKEN}\" }
    extract: { a: .a }
outputs: { a: ask.a }
";
    sandbox.write("flow.yaml", flow.replace("URL", &web.url()));
    let ran = sandbox.run(["flow.yaml"]);
    assert_eq!(web.requests()[0]["headers"]["x-secret"], TOKEN);
    for (place, bytes) in sandbox.files("") {
        assert!(!String::from_utf8_lossy(&bytes).contains(TOKEN), "the secret stands in {place}");
    }
    assert!(!ran.stderr.contains(TOKEN) && !ran.stdout.contains(TOKEN), "{}", ran.stderr);
    let identity = regex::Regex::new("[0-9a-f]{32}").unwrap();
    assert_snapshot!(identity.replace(&sandbox.scrub(&ran.stderr), "IDENTITY"));
}

#[test]
fn a_text_of_a_secret_that_fails_says_nothing_of_it() {
    let sandbox = Sandbox::new();
    let flow = "
flow: asks
inputs: { token: string }
steps:
  ask: { type: http, url: \"http://127.0.0.1:9/\", sensitive_headers: { X-Secret: \"{{ token|thousands }}\" } }
outputs: { status: ask.http_status_code }
";
    sandbox.write("flow.yaml", flow);
    let ran = sandbox.run(["flow.yaml", "-i", &format!("token={TOKEN}")]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("template.failed") && !ran.stderr.contains(TOKEN), "{}", ran.stderr);
}

#[test]
fn the_tour_has_an_answer_with_a_server_and_without() {
    let web = Web::start();
    let sandbox = Sandbox::with_flows();
    let answer = |args: &[&str]| {
        let all = [&["flows/tour/http.yaml", "--json"], args].concat();
        sandbox.must_run(all).json()["outputs"]["answer"].as_str().unwrap().to_owned()
    };
    let server = format!("server={}", web.url());
    assert_eq!(answer(&["-i", &server, "-i", "city=New York"]), "New York: /echo/cities/New%20York");
    assert_eq!(web.requests()[0]["headers"]["authorization"], "Bearer none");
    assert!(answer(&[]).starts_with("Zürich: no report. there is no connection to `http://127.0.0.1:9/"));
}
