//! The order of the items, whatever the order in which they end.

use std::collections::BTreeMap;
use std::sync::Arc;

use flowrun::core::conversation::answer;
use flowrun::core::execute::{Execution, RunOptions};
use flowrun::core::journal::{Journal, MemoryJournal};
use flowrun::core::value::Value;
use futures::executor::block_on;
use serde_json::json;

use crate::support::{Engine, Turns, registry};

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

/// The first flow beside others comes last, and its items come last item first; two items are maps again.
const TALKS: &str = "
flow: talks
steps:
  begin: { type: output_message, template: begin }
  beside: { type: parallel, flows: [slow, quick] }
  finish: { type: output_message, template: end }
flows:
  slow:
    outputs: {}
    steps:
      turns: { type: constant, values: { turns: [[5, 4], [3, 2]] } }
      each: { type: map, flow: outer, over: { turns: turns.turns }, parallel: 2 }
      say: { type: output_message, template: slow }
  outer:
    inputs: { turns: [integer] }
    outputs: {}
    steps:
      each: { type: map, flow: item, over: { turn: inputs.turns }, parallel: 2 }
      say: { type: output_message, template: \"{{ turns }}\" }
  item:
    inputs: { turn: integer }
    outputs: {}
    steps:
      wait: { type: turn }
      say: { type: output_message, template: \"{{ turn }}\" }
  quick:
    outputs: {}
    steps:
      turn: { type: constant, values: { turn: 0 } }
      wait: { type: turn }
      say: { type: output_message, template: quick }
      second: { type: constant, values: { turn: 1 } }
      hand_on: { type: turn, with: { turn: second.turn } }
";

#[test]
fn a_conversation_is_in_the_order_of_flows_and_items_whichever_was_quicker() {
    let engine = Engine::of(TALKS, &registry()).with(&Arc::new(Turns::default()));
    engine.run(BTreeMap::new()).unwrap();
    let said: Vec<_> = engine.said().into_iter().map(|(_, text)| text).collect();
    assert_eq!(said, ["begin", "5", "4", "[5,4]", "3", "2", "[3,2]", "slow", "quick", "end"]);
}

/// What is left in the middle has been said; what failed has not.
#[test]
fn a_run_that_waits_has_said_what_it_goes_on_from() {
    let text = "
flow: talks
tools: { look: { type: client, arguments: {}, results: { word: string } } }
steps:
  begin: { type: output_message, template: begin }
  numbers: { type: constant, values: { numbers: [0, 1, 2] } }
  each: { type: map, flow: item, over: { n: numbers.numbers }, on_item_error: skip }
  finish: { type: output_message, template: end }
flows:
  item:
    inputs: { n: integer }
    steps:
      before: { type: output_message, template: \"before {{ n }}\" }
      fail: { type: fail, on: 0, with: { value: inputs.n } }
      look: { type: tool, tool: look }
      after: { type: output_message, template: \"after {{ n }}: {{ word }}\" }
";
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let engine = Engine::of(text, &registry()).journal(Arc::clone(&journal));
    let said = || engine.said().into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    let go_on = |word: &str| {
        let Execution::Waiting(questions) = engine.execute(BTreeMap::new()).unwrap() else { panic!("it waits") };
        let said = said();
        block_on(answer(&*journal, &questions[0], &json!({ "result": word }))).unwrap();
        said
    };
    assert_eq!(go_on("a"), ["begin", "before 1"]);
    assert_eq!(go_on("b"), ["begin", "before 1", "after 1: a", "before 2"]);
    engine.run(BTreeMap::new()).unwrap();
    assert_eq!(said(), ["begin", "before 1", "after 1: a", "before 2", "after 2: b", "end"]);
}
