//! The order of the items, whatever the order in which they end.

use std::collections::BTreeMap;

use flowrun::core::execute::RunOptions;
use flowrun::core::value::Value;

use crate::support::{Engine, registry};

const DAWDLES: &str = "
flow: dawdles
inputs: { numbers: [integer], parallel: { type: integer, default: 1 } }
steps:
  each: { type: map, flow: item, over: { n: inputs.numbers }, parallel: { from: inputs.parallel } }
flows:
  item:
    steps:
      wait: { type: dawdle, most_ms: 4 }
      say: { type: template, template: \"{{ n }}\", output: said }
outputs: { said: each.said }
";

fn numbers(count: i64) -> Value {
    Value::from((0..count).map(Value::Int).collect::<Vec<_>>())
}

#[test]
fn items_come_out_in_the_order_they_went_in() {
    let said: Vec<Value> = (0..200).map(|n| Value::from(n.to_string())).collect();
    for parallel in [2, 7, 64] {
        let engine = Engine::of(DAWDLES, &registry());
        let inputs = [("numbers", numbers(200)), ("parallel", Value::Int(parallel))];
        let outputs = engine.run(inputs.map(|(name, value)| (name.to_owned(), value)).into()).unwrap();
        assert_eq!(outputs.values.get("said"), Some(&Value::from(said.clone())), "parallel {parallel}");
    }
}

/// The reorder window is 64 items for each that runs at once; many more items than that pass through it.
#[test]
fn more_items_than_the_window_holds_pass_through_it() {
    let text = DAWDLES.replace("      wait: { type: dawdle, most_ms: 4 }\n", "");
    let engine = Engine::of(&text, &registry());
    let outputs = engine.run(BTreeMap::from([("numbers".to_owned(), numbers(1_000))])).unwrap();
    let said = outputs.values.get("said").unwrap().as_list().unwrap();
    assert_eq!((said.len(), said.get(999)), (1_000, Some(&Value::from("999"))));
}

#[test]
fn the_error_of_the_lowest_item_is_told_whichever_came_first() {
    let text = "
flow: fails
inputs: { numbers: [integer] }
steps:
  each: { type: map, flow: item, over: { n: inputs.numbers }, parallel: 8 }
flows:
  item:
    inputs: { n: integer }
    steps:
      check: { type: branch, with: { value: inputs.n }, cases: { \"0\": slow }, next: { slow: wait, default: break } }
      wait: { type: dawdle, most_ms: 20 }
      break: { type: fail, \"on\": 1, with: { value: { value: 1 } } }
";
    let engine = Engine::of(text, &registry());
    let error = engine.run(BTreeMap::from([("numbers".to_owned(), numbers(2))])).unwrap_err();
    assert_eq!(error.at.unwrap().to_string(), "each[0] › break");
}

#[test]
fn a_preview_takes_the_first_items_of_the_top_maps() {
    let options = RunOptions { preview: Some(3), ..RunOptions::default() };
    let engine = Engine::of(DAWDLES, &registry()).options(options);
    let outputs = engine.run(BTreeMap::from([("numbers".to_owned(), numbers(50))])).unwrap();
    assert_eq!(outputs.values.get("said").unwrap().as_list().unwrap().len(), 3);
    assert_eq!(engine.maps()[0].asked, 3);
}

#[test]
fn the_seed_of_a_flow_may_be_an_input() {
    let text = "
flow: seeded
seed: inputs.seed
inputs: { seed: { type: integer, default: 7 } }
steps:
  made: { type: synthesize, rows: 1, columns: { id: { sample: sequence } } }
";
    assert_eq!(Engine::of(text, &registry()).compiled.flow.seed_input.as_deref(), Some("seed"));
}
