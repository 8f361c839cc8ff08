//! Maps that end before their items do: the same rows, however many run at once, and when they go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use flowrun::core::journal::{Journal, MemoryJournal};
use flowrun::core::table::to_list;
use flowrun::core::value::Value;
use serde_json::{Value as Json, json};

use crate::support::{Engine, Till, registry};

/// Each third row is rejected and each seventh fails; items take their time, another one each.
const DRAWS: &str = "
flow: draws
inputs: { parallel: integer, ahead: integer }
steps:
  ids: { type: synthesize, rows: 5, columns: { id: { sample: sequence }, name: { sample: fake, kind: last_name, unique: true } } }
  each:
    type: map
    flow: one
    over: { row: ids.table }
    collect: [text, is_valid]
    on_item_error: skip
    target_accepted: { where: is_valid, rows: 40, ahead: AHEAD }
    parallel: { from: inputs.parallel }
  joined: { type: add_columns, with: { table: ids.table, columns: each.table } }
flows:
  one:
    inputs: { row: any }
    steps:
      wait: { type: dawdle, most_ms: 4 }
      n: { type: template, template: \"{{ row.id % 7 }}\", output: seventh }
      break: { type: fail, \"on\": \"0\", with: { value: seventh } }
      pay: { type: pay, with: { value: { value: 1 } }, output: paid }
      say: { type: template, template: \"{{ 'INVALID' if row.id % 3 == 0 else 'VALID' }}\", output: text }
      read: { type: parse_verdict }
outputs: { rows: joined.table }
";

/// The rows, how the items ended, and how many paid.
fn draw(parallel: i64, ahead: u64, journal: &Arc<MemoryJournal>) -> (Json, Json, u64) {
    let till = Arc::new(Till::default());
    let text = DRAWS.replace("AHEAD", &ahead.to_string());
    let journal: Arc<dyn Journal> = journal.clone();
    let engine = Engine::of(&text, &registry()).with(&till).journal(journal);
    let inputs = [("parallel", Value::Int(parallel)), ("ahead", Value::Int(0))];
    let outputs = engine.run(inputs.map(|(name, value)| (name.to_owned(), value)).into()).unwrap();
    let rows = to_list(outputs.values.get("rows").and_then(Value::as_table).unwrap()).unwrap();
    (rows.to_json().unwrap(), json!(engine.maps()[0]), till.paid())
}

#[test]
fn a_target_gives_the_same_rows_and_counts_however_many_run_at_once() {
    let first = draw(1, 0, &Arc::default());
    let (rows, counts, paid) = &first;
    let rows = rows.as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["id"], &rows[39]["id"]), (40, &json!(1), &json!(68)));
    assert_eq!((&counts["asked"], &counts["overdrawn"], *paid), (&json!(68), &json!(0), 59));
    for parallel in [2, 64] {
        assert_eq!(draw(parallel, 0, &Arc::default()), first, "parallel {parallel}");
    }
}

#[test]
fn what_runs_ahead_is_discarded_and_counted() {
    let (rows, ..) = draw(1, 0, &Arc::default());
    let (same, counts, _) = draw(64, 30, &Arc::default());
    assert_eq!(same, rows);
    let count = |name: &str| counts[name].as_u64().unwrap();
    let ended = count("accepted") + count("rejected") + count("failed") + count("overdrawn");
    assert_eq!((count("accepted"), count("asked"), count("not_run")), (40, ended, 0));
    assert_eq!(count("rejected") + count("failed"), 28, "what is discarded counts as nothing else");
}

#[test]
fn a_target_goes_on_over_what_is_kept() {
    let journal = Arc::new(MemoryJournal::new());
    let (rows, counts, paid) = draw(8, 0, &journal);
    assert_eq!(draw(3, 0, &journal), (rows, counts, 0), "{paid} had paid");
}

/// The first failing item is the slowest, so that the later ones are there before it.
const FAILS: &str = "
flow: fails
inputs: { numbers: [integer], parallel: integer }
steps:
  each:
    type: map
    flow: one
    over: { value: inputs.numbers }
    on_item_error: skip
    stop_after: LIMIT
    parallel: { from: inputs.parallel }
flows:
  one:
    inputs: { value: integer }
    steps:
      wait: { type: dawdle, most_ms: 6 }
      break: { type: fail, \"on\": 1 }
";

#[test]
fn the_failure_that_is_one_too_many_is_the_same_however_many_run_at_once() {
    let numbers: Vec<Value> = (0..200).map(|n| Value::Int(i64::from(n % 3 == 0 || n > 90))).collect();
    for limit in ["{ errors: 50 }", "{ share: 0.9, of_last: 20 }"] {
        let told = [1, 16].map(|parallel| {
            let engine = Engine::of(&FAILS.replace("LIMIT", limit), &registry());
            let inputs = [("numbers", Value::from(numbers.clone())), ("parallel", Value::Int(parallel))];
            let inputs: BTreeMap<String, Value> = inputs.map(|(name, value)| (name.to_owned(), value)).into();
            let error = engine.run(inputs).unwrap_err();
            let counts = &engine.maps()[0];
            assert!(counts.not_run > 50, "{counts:?} were run although it was to end");
            assert_eq!(counts.accepted + counts.rejected + counts.failed + counts.not_run, 200);
            (error.code.to_string(), error.message, error.details)
        });
        assert_eq!(told[0], told[1], "{limit}");
        assert!(told[0].1.ends_with("all with `test.failed`"), "{told:?}");
    }
}
