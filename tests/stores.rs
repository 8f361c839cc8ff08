//! Datastores and search, as a run meets them.

use std::collections::BTreeMap;
use std::sync::Arc;

use flowrun::core::journal::MemoryJournal;
use flowrun::steps::RunMark;
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

/// Puts a row in, changes it, and removes it from another collection; says what each came to.
const CHANGES: &str = "
flow: changes
datastores:
  shop:
    type: sqlite
    path: shop.sqlite
    collections: { sold: { n: integer }, stock: { n: integer } }
steps:
  begin: { type: datastore_create, datastore: shop, collection_name: stock, with: { entity: { value: { n: 1 } } } }
  sell: { type: datastore_create, datastore: shop, collection_name: sold, with: { entity: { value: { n: 1 } } } }
  change: { type: datastore_update, datastore: shop, collection_name: sold, where: { n: 1 }, with: { update: { value: { n: 2 } } } }
  gone: { type: datastore_delete, datastore: shop, collection_name: stock, where: { n: 1 } }
  all: { type: datastore_list, datastore: shop, collection_name: sold }
  left: { type: datastore_list, datastore: shop, collection_name: stock }
outputs: OUTPUTS
";

/// A process may die between a change and the line of the journal that tells of it.
#[test]
fn a_change_that_was_made_but_not_journaled_is_not_made_again() {
    let given = "{ changed: change.entities, all: all.entities, left: left.entities }";
    let mut engine = Engine::of(&CHANGES.replace("OUTPUTS", given), &registry()).with(&mark("one"));
    let mut ran = Vec::new();
    for _ in 0..2 {
        // Nothing of what the run has done is in its journal.
        engine = engine.journal(Arc::new(MemoryJournal::new()));
        ran.push(outputs(&engine));
    }
    let row = json!([{ "n": 2 }]);
    assert_eq!(ran[0], json!({ "changed": row, "all": row, "left": [] }));
    assert_eq!(ran[1], ran[0], "the second time it is found to be done");
    let other = outputs(&engine.with(&mark("two")).journal(Arc::new(MemoryJournal::new())));
    assert_eq!(other["all"].as_array().unwrap().len(), 2, "another run sells another one");
}

fn mark(run: &str) -> Arc<RunMark> {
    Arc::new(RunMark(run.to_owned()))
}

/// The program marks its changes, and leaves no table of its own behind.
#[test]
fn a_run_that_has_finished_leaves_no_marks() {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", CHANGES.replace("OUTPUTS", "{ all: all.entities }"));
    sandbox.must_run(["flow.yaml"]);
    let file = rusqlite::Connection::open(sandbox.path("shop.sqlite")).unwrap();
    let tables = "SELECT group_concat(name ORDER BY name) FROM sqlite_master";
    assert_eq!(file.query_row(tables, [], |row| row.get::<_, String>(0)).unwrap(), "sold,stock");
}
