//! Datastores in a run that is killed: no row is doubled, none is lost.

use serde_json::Value;

use super::setting;
use crate::durable::{journaled, kill, started};
use crate::support::Sandbox;

/// Each item puts a row into a file and one into the memory.
const PUTS: &str = "
flow: puts
datastores:
  file: { type: sqlite, path: out/rows.sqlite, collections: { rows: { n: integer } } }
  memory: { type: memory, collections: { rows: { n: integer } } }
inputs: { rows: { type: integer, default: 400 } }
steps:
  ids: { type: synthesize, rows: { from: inputs.rows }, columns: { n: { sample: sequence } } }
  each: { type: map, flow: put, over: { entity: ids.table }, parallel: 8, collect: [] }
  in_file: { type: datastore_query, datastore: file, query: SELECT count(*) AS rows_there FROM rows }
  distinct: { type: datastore_query, datastore: file, query: SELECT count(DISTINCT n) AS numbers FROM rows }
  in_memory: { type: datastore_list, datastore: memory, collection_name: rows }
outputs: { in_file: in_file.result, distinct: distinct.result, in_memory: in_memory.entities }
flows:
  put:
    inputs: { entity: object }
    steps:
      file: { type: datastore_create, datastore: file, collection_name: rows }
      memory: { type: datastore_create, datastore: memory, collection_name: rows }
    outputs: { n: file.created_entity }
";

#[test]
fn no_row_is_doubled_and_none_is_lost() {
    let (rows, kills) = (setting("FLOWRUN_CRASH_STORE_ROWS", 400), setting("FLOWRUN_CRASH_STORE_KILLS", 5));
    let input = format!("rows={rows}");
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", PUTS);
    let mut command = vec!["flow.yaml", "-i", &input];
    for _ in 0..kills {
        // A little further each time; what is in flight at the kill may be in the file and not in the journal.
        let lines = journaled(&sandbox) + 40;
        kill(started(&sandbox, &command, lines));
        command = vec!["resume"];
    }
    let told = sandbox.must_run(["resume", "--json"]).json();
    let outputs = &told["outputs"];
    assert_eq!(outputs["in_file"][0]["rows_there"], rows, "{outputs}");
    assert_eq!(outputs["distinct"][0]["numbers"], rows);
    let memory: Vec<u64> =
        outputs["in_memory"].as_array().unwrap().iter().map(|row| row["n"].as_u64().unwrap()).collect();
    assert!(memory == (1..=rows).collect::<Vec<_>>(), "the memory store is made in the order of the items");
    assert_eq!(told["maps"][0]["items"]["accepted"], Value::from(rows));
}
