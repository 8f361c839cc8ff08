//! Datastores and search, as a run meets them.

use std::collections::BTreeMap;
use std::sync::Arc;

use flowrun::core::journal::MemoryJournal;
use flowrun_mock_llm::Plan;
use serde_json::{Value as Json, json};

use crate::support::{Engine, Mock, Sandbox, registry};

/// Rows of a file and of the memory, put in by a map and before it.
const BOTH: &str = "
flow: both
datastores:
  memory: { type: memory, collections: { rows: { n: integer, day: date? } } }
  file: { type: sqlite, path: rows.sqlite, collections: { rows: { n: integer, day: date? } } }
inputs: { rows: { type: [object], default: [{ n: 1, day: 2026-01-31 }, { n: 2 }, { n: 3 }] } }
steps:
  first: { type: datastore_create, datastore: file, collection_name: rows, with: { entity: { value: { n: 0 } } } }
  each: { type: map, flow: put, over: { entity: inputs.rows }, parallel: 2, collect: [created_entity] }
  changed: { type: datastore_update, datastore: file, collection_name: rows, where: { n: 3 }, with: { update: { value: { n: 4 } } } }
  in_memory: { type: datastore_list, datastore: memory, collection_name: rows }
  in_file: { type: datastore_query, datastore: file, query: SELECT count(*) AS rows FROM rows }
outputs: { in_memory: in_memory.entities, in_file: in_file.result, changed: changed.entities }
flows:
  put:
    inputs: { entity: object }
    steps:
      kept: { type: datastore_create, datastore: memory, collection_name: rows, outputs: { created_entity: kept } }
      written: { type: datastore_create, datastore: file, collection_name: rows }
    outputs: { created_entity: written.created_entity }
";

fn outputs(engine: &Engine) -> Json {
    let outputs = engine.run(BTreeMap::new()).unwrap();
    Json::Object(outputs.values.iter().map(|(name, value)| (name.to_string(), value.to_json().unwrap())).collect())
}

#[test]
fn what_was_written_is_not_written_again_and_the_memory_is_replayed() {
    let journal = Arc::new(MemoryJournal::new());
    let first = outputs(&Engine::of(BOTH, &registry()).journal(journal.clone()));
    assert_eq!(
        first,
        json!({
            "in_memory": [{"n": 1, "day": "2026-01-31"}, {"n": 2, "day": null}, {"n": 3, "day": null}],
            "in_file": [{"rows": 4}],
            "changed": [{"n": 4, "day": null}],
        })
    );
    // In another folder: were the file asked, it would be empty.
    assert_eq!(outputs(&Engine::of(BOTH, &registry()).journal(journal)), first);
}

#[test]
fn a_preview_writes_no_file() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", BOTH);
    let ran = sandbox.must_run(["flow.yaml", "--preview", "2", "--json"]);
    assert_eq!(ran.json()["outputs"]["in_file"], json!([{"rows": 3}]));
    assert!(!sandbox.path("rows.sqlite").exists());
    sandbox.must_run(["flow.yaml"]);
    sandbox.must_run(["flow.yaml", "--preview", "1"]);
    let ran = sandbox.must_run(["flow.yaml", "--json"]);
    assert_eq!(ran.json()["outputs"]["in_file"], json!([{"rows": 8}]), "two runs, and no preview");
}

/// A password that the environment gives stands in no output, whatever goes wrong.
#[test]
fn the_address_of_a_server_is_never_printed() {
    let flow = "
flow: secret
datastores: { s: { type: postgres, url: \"${DATABASE_URL}\", collections: { rows: { n: integer } } } }
steps: { a: { type: datastore_list, datastore: s, collection_name: rows } }
outputs: { a: a.entities }
";
    for url in ["postgres://me:hunter2@127.0.0.1:1/db", "hunter2", "mysql://me:hunter2@host/db"] {
        let sandbox = Sandbox::new().env("DATABASE_URL", url);
        sandbox.write("flow.yaml", flow);
        for arguments in [vec!["flow.yaml"], vec!["check", "flow.yaml"], vec!["flow.yaml", "--json", "-v"]] {
            let ran = sandbox.run(&arguments);
            let mut said = sandbox.files("");
            said.remove("flow.yaml");
            said.insert("output".to_owned(), format!("{}{}", ran.stdout, ran.stderr).into_bytes());
            for (place, bytes) in said {
                assert!(!String::from_utf8_lossy(&bytes).contains("hunter2"), "{arguments:?}: {place}");
            }
        }
    }
}

const SEARCH: &str = "
flow: search
models: { e: { provider: openai, model: small, retry: { tries: 3, initial_delay: 0.01 } } }
datastores: { lib: { type: memory, collections: { notes: { text: string } } } }
inputs:
  notes: { type: [object], default: [{ text: red house }, { text: blue car }, { text: red car }, { text: red house }] }
  questions: { type: [string], default: [red car, blue car, red car, house] }
steps:
  keep: { type: map, flow: keep, over: { entity: inputs.notes } }
  ask: { type: map, flow: ask, over: { query: inputs.questions }, parallel: 4 }
outputs: { found: ask.found }
flows:
  keep:
    inputs: { entity: object }
    steps: { keep: { type: datastore_create, datastore: lib, collection_name: notes } }
    outputs: { kept: keep.created_entity }
  ask:
    inputs: { query: string }
    steps:
      near: { type: search, model: e, datastore: lib, collection_name: notes, column: text, k: 1 }
    outputs: { found: near.retrieved_documents }
";

#[test]
fn a_text_is_embedded_once_in_a_run() {
    let mock = Mock::start(Plan { record: true, ..Plan::default() });
    let sandbox = Sandbox::new().models(&mock);
    sandbox.write("flow.yaml", SEARCH);
    let ran = sandbox.must_run(["flow.yaml", "--json"]);
    let found = ["red car", "blue car", "red car", "red house"].map(|text| json!([{ "text": text }]));
    assert_eq!(ran.json()["outputs"]["found"], json!(found));
    let asked: Vec<Vec<String>> =
        mock.recorded().iter().map(|r| serde_json::from_value(r.body["input"].clone()).unwrap()).collect();
    let documents: Vec<_> = asked.iter().filter(|texts| texts.len() > 1).collect();
    assert_eq!(documents, [&["red house", "blue car", "red car"]], "{asked:?}");
    // Only the one question that is no document: the others have their vectors already.
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(ran.json()["usage"]["calls"], 2);
    assert_eq!(ran.json()["counters"], json!({}));
}

#[test]
fn a_refused_embedding_is_the_models_error() {
    let mock = Mock::start(Plan::always(flowrun_mock_llm::FaultKind::Status(401)));
    let sandbox = Sandbox::new().models(&mock);
    sandbox.write("flow.yaml", SEARCH);
    let ran = sandbox.run(["flow.yaml"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("error[model.unauthorized]") && !ran.stderr.contains(Mock::KEY), "{}", ran.stderr);
}
