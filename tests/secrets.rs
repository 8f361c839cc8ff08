//! Secret inputs: their values stand nowhere but where the flow itself puts them.

use flowrun_mock_llm::{Plan, Rule};
use serde_json::json;

use crate::support::{Mock, Ran, Sandbox, Web};

const TOKEN: &str = "tok-\"0123\" /456789";

/// A request whose reply quotes the secret, a model that repeats it, a message, a step that is kept whole, a map, a
/// question about a call with it; at last, where `door` is not open, an error that quotes it.
const FLOW: &str = r#"
flow: secret
inputs:
  rows: { type: integer, default: 2 }
  door: { type: string, default: open }
  token: { type: string, secret: true }
models: { m: { provider: auto, model: m } }
tools:
  spend: { type: client, arguments: { key: string }, results: { paid: boolean }, confirm: true }
steps:
  echo:
    type: http
    url: "URL/echo"
    params: { q: "{{ token }}" }
    sensitive_headers: { Authorization: "Bearer {{ token }}" }
    extract: { seen: .query }
  ask: { type: prompt, model: m, template: "I am {{ token }}, seen {{ seen }}.", output: reply }
  say: { type: output_message, template: "You said {{ reply }} to {{ token }}." }
  each:
    type: map
    flow: one
    over: { n: }
    with: { n: { value: [1, 2] } }
    collect: [text]
    on_item_error: keep
  pay: { type: tool, tool: spend, with: { key: inputs.token } }
  way: { type: branch, with: { value: inputs.door }, cases: { open: open }, next: { open: done, default: shut } }
  shut: { type: http, url: "URL/status/403", params: { q: "{{ token }}" }, extract: { a: .a }, next: end }
  done: { type: constant, values: { fine: true } }
outputs: { paid: pay.paid }
flows:
  one:
    inputs: { n: integer, token: string }
    steps:
      text: { type: template, template: "{{ n }} {{ token }}", output: text }
      bad: { type: template, template: "{% if n == 2 %}{{ token|thousands }}{% endif %}" }
"#;

fn sandbox(web: &Web, mock: &Mock) -> Sandbox {
    let sandbox = Sandbox::new().models(mock).env("RUST_LOG", "trace");
    sandbox.write("flow.yaml", FLOW.replace("URL", &web.url()));
    sandbox
}

/// The forms in which it may stand somewhere.
fn forms() -> [String; 4] {
    let quoted = json!(TOKEN).to_string();
    let percent = "tok-%220123%22%20%2F456789";
    [TOKEN.to_owned(), quoted[1..quoted.len() - 1].to_owned(), percent.to_owned(), percent.replace("%20", "+")]
}

fn is_nowhere(sandbox: &Sandbox, ran: &Ran) {
    let mut places: Vec<(String, String)> = sandbox
        .files("")
        .into_iter()
        .map(|(name, bytes)| (name, String::from_utf8_lossy(&bytes).into_owned()))
        .collect();
    places.push(("standard output".to_owned(), ran.stdout.clone()));
    places.push(("standard error".to_owned(), ran.stderr.clone()));
    for (place, text) in places {
        for form in forms() {
            // The log of the HTTP library may cut lines anywhere, so a half of it counts as well.
            for part in [&form[..], "0123\" /4567"] {
                let at = text.find(part);
                let around = at.map(|at| text.get(at.saturating_sub(200)..(at + 80).min(text.len())));
                assert!(at.is_none(), "the secret stands in {place}: {around:?}");
            }
        }
    }
}

fn id_of(sandbox: &Sandbox) -> String {
    let runs = sandbox.must_run(["runs", "--json"]).json();
    runs[0]["run"].as_str().unwrap().to_owned()
}

#[test]
fn the_value_stands_nowhere_whatever_becomes_of_the_run() {
    let web = Web::start();
    let replies = vec![Rule::new("", format!("Hello {TOKEN}."))];
    let mock = Mock::start(Plan { replies, ..Plan::default() });
    let sandbox = sandbox(&web, &mock);
    let typed = format!("token={TOKEN}");
    let ran = sandbox.run(["flow.yaml", "-vv", "-i", &typed, "-i", "door=shut"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    is_nowhere(&sandbox, &ran);
    assert!(ran.stderr.contains("You said Hello ***. to ***."), "{}", ran.stderr);
    let id = id_of(&sandbox);
    assert!(
        ran.stderr.contains(&format!("flowrun reply {id} --accept, or --reject REASON -i token=…")),
        "{}",
        ran.stderr
    );
    assert_eq!(web.requests()[0]["headers"]["authorization"], format!("Bearer {TOKEN}"));

    // Without it the run does not go on, and the answer is not taken.
    let ran = sandbox.run(["reply", &id, "--accept"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("secrets are not kept, so the run cannot go on without `token`"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains(&format!("flowrun reply {id} -i token=…")), "{}", ran.stderr);

    let ran = sandbox.run(["reply", &id, "--accept", "-i", &typed, "--json"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    is_nowhere(&sandbox, &ran);
    assert_eq!(ran.json()["questions"][0]["arguments"], json!({"key": "***"}));
    let ran = sandbox.run(["reply", &id, "--result", "true", "-i", &typed]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    is_nowhere(&sandbox, &ran);
    assert!(ran.stderr.contains("error[http.status]") && ran.stderr.contains("***"), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("flowrun resume {id} -i token=…")), "{}", ran.stderr);
    assert_eq!((web.requests().len(), mock.counters().requests), (2, 1), "nothing was done twice");

    for args in [&["show"][..], &["show", "--failures"], &["runs"]] {
        let ran = sandbox.must_run(args);
        is_nowhere(&sandbox, &ran);
    }
    assert!(sandbox.must_run(["show"]).stdout.contains("input    token: secret, and not kept"));
    // Another value: what was asked with the first one is not asked again.
    let ran = sandbox.run(["resume", &id, "-i", "token=another one"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_eq!((web.requests().len(), mock.counters().requests), (3, 1));
    let ran = sandbox.run(["fork", &id, "--from", "way", "-i", &typed, "-i", "door=open"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    is_nowhere(&sandbox, &ran);
    let manifest: serde_json::Value = serde_json::from_str(&sandbox.read("secret.manifest.json")).unwrap();
    assert_eq!((&manifest["secret_inputs"], &manifest["inputs"]["rows"]), (&json!(["token"]), &json!(2)));
}

#[test]
fn a_preview_shows_no_secret() {
    let (web, mock) = (Web::start(), Mock::start(Plan::default()));
    let sandbox = sandbox(&web, &mock);
    let ran = sandbox.run(["flow.yaml", "--preview", "1", "-i", &format!("token={TOKEN}")]);
    is_nowhere(&sandbox, &ran);
    assert!(ran.stderr.contains("I am ***, seen "), "{}", ran.stderr);
}

#[test]
fn a_default_comes_from_the_environment_and_is_not_kept() {
    let (web, mock) = (Web::start(), Mock::start(Plan::default()));
    let sandbox = sandbox(&web, &mock).env("TOKEN", TOKEN);
    let flow = FLOW
        .replace("secret: true", "secret: true, default: \"${TOKEN}\"")
        .replace("confirm: true", "confirm: false");
    sandbox.write("flow.yaml", flow.replace("URL", &web.url()));
    let ran = sandbox.run(["flow.yaml"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    is_nowhere(&sandbox, &ran);
    let ran = sandbox.must_run(["reply", &id_of(&sandbox), "--result", "true"]);
    is_nowhere(&sandbox, &ran);
}

/// So it stands in no history of a shell, and is read again when the run goes on.
#[test]
fn a_file_of_inputs_takes_it_from_the_environment() {
    let (web, mock) = (Web::start(), Mock::start(Plan::default()));
    let sandbox = sandbox(&web, &mock).env("TOKEN", TOKEN);
    sandbox.write("inputs.yaml", "token: \"${TOKEN}\"\n");
    let ran = sandbox.run(["flow.yaml", "--inputs", "inputs.yaml"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    is_nowhere(&sandbox, &ran);
    let ran = sandbox.run(["reply", &id_of(&sandbox), "--accept"]);
    is_nowhere(&sandbox, &ran);
    assert!(ran.stderr.contains("`pay` waits for"), "{}", ran.stderr);
}

#[test]
fn two_runs_that_differ_in_a_secret_alone_are_the_same_run() {
    let (web, mock) = (Web::start(), Mock::start(Plan::default()));
    let sandbox = sandbox(&web, &mock);
    sandbox.run(["flow.yaml", "-i", &format!("token={TOKEN}")]);
    let ran = sandbox.run(["flow.yaml", "-i", "token=quite another"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("the same run is kept") && ran.stderr.contains("TEXT -i token=…"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_cache_keeps_nothing_of_a_secret() {
    let mock = Mock::start(Plan::default());
    let sandbox = Sandbox::new().models(&mock);
    sandbox.write(
        "flow.yaml",
        "flow: f\ninputs: { token: { type: string, secret: true } }\nmodels: { m: { provider: auto, model: m, temperature: 0 } }\nsteps:\n  ask: { type: prompt, model: m, template: \"I am {{ token }}.\" }\n  other: { type: prompt, model: m, template: \"Nothing.\", output: other }\n",
    );
    for _ in 0..2 {
        let ran = sandbox.must_run(["flow.yaml", "--cache", "-i", &format!("token={TOKEN}")]);
        is_nowhere(&sandbox, &ran);
    }
    assert_eq!(mock.counters().requests, 3, "one of four calls came from the cache");
}

#[test]
fn what_is_wrong_with_a_secret_is_told_without_it() {
    let sandbox = Sandbox::new();
    let flow = "flow: f\ninputs: { token: { type: string, secret: true }, n: { type: integer, default: 1 } }\nsteps:\n  a: { type: constant, values: { x: 1 } }\n";
    sandbox.write("flow.yaml", flow);
    sandbox.write("null.json", "{\"token\": null, \"n\": 4567}");
    sandbox.write("broken.yaml", "token: tok-4567\n  - x: y: z\n");
    for (args, why) in [
        (&["flow.yaml", "--inputs", "null.json"][..], "input `token`: it is no string"),
        (&["flow.yaml", "--inputs", "broken.yaml"], "the inputs cannot be read; see broken.yaml:2:"),
        (&["flow.yaml", "-i", "tok-4567"], "`-i …` is not of the form NAME=VALUE"),
        (&["flow.yaml", "-i", "tokn=tok-4567"], "the flow has no input `tokn`"),
        (&["flow.yaml"], "the flow wants an input `token` (string)"),
    ] {
        let ran = sandbox.run(args);
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(why), "{args:?}: {}", ran.stderr);
        assert!(!ran.stderr.contains("4567"), "{args:?}: {}", ran.stderr);
    }
}
