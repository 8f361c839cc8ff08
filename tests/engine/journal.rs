//! What is done once stays done.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use flowrun::core::address::Address;
use flowrun::core::error::StepError;
use flowrun::core::events::Usage;
use flowrun::core::execute::{Execution, Interrupt, Resources, Run, RunOptions, bind, execute};
use flowrun::core::journal::{ItemRecord, Journal, MemoryJournal};
use flowrun::llm::{BaseUrl, Environment};
use flowrun_mock_llm::{Plan, Rule};
use serde_json::Value as Json;

use crate::support::{Engine, Mock, Till, compiled, registry, repository};

const PAYS: &str = "
flow: pays
inputs: { numbers: { type: [integer], default: [1, 2, 3, 4] } }
steps:
  first: { type: pay, with: { value: { value: 7 } }, output: first }
  each: { type: map, flow: item, over: { value: inputs.numbers }, parallel: 2 }
flows:
  item:
    inputs: { value: integer }
    steps:
      once: { type: pay, output: ten }
      again: { type: pay, with: { value: once.ten }, output: hundred }
    outputs: { hundred: again.hundred }
outputs: { first: first.first, hundreds: each.hundred }
";

/// Runs the flow over a journal, and gives what came out and how often was paid.
fn pay(journal: Arc<dyn Journal>) -> (Json, u64) {
    let till = Arc::new(Till::default());
    let engine = Engine::of(PAYS, &registry()).with(&till).journal(journal);
    let outputs = engine.run(BTreeMap::new()).unwrap();
    let outputs = outputs.values.iter().map(|(name, value)| (name.to_string(), value.to_json().unwrap()));
    (Json::Object(outputs.collect()), till.paid())
}

#[test]
fn a_run_over_a_full_journal_does_nothing_twice() {
    let journal = Arc::new(MemoryJournal::new());
    let (first, paid) = pay(journal.clone());
    assert_eq!(paid, 9, "once, and twice for each of four items");
    assert_eq!(journal.items(), 4);
    assert_eq!(pay(journal), (first, 0));
}

/// A journal that remembers effects but no items, as one that was cut off before any item had ended.
#[derive(Default)]
struct EffectsOnly(MemoryJournal);

impl Journal for EffectsOnly {
    fn effect(&self, key: &str) -> Result<Option<String>, StepError> {
        self.0.effect(key)
    }

    fn keep_effect(&self, key: String, outcome: String) -> Result<(), StepError> {
        self.0.keep_effect(key, outcome)
    }

    fn item(&self, _: &str, _: u64) -> Result<Option<ItemRecord>, StepError> {
        Ok(None)
    }

    fn keep_item(&self, _: &str, _: &ItemRecord) -> Result<(), StepError> {
        Ok(())
    }
}

#[test]
fn an_item_that_begins_again_finds_what_it_has_done() {
    let journal = Arc::new(EffectsOnly::default());
    let (first, paid) = pay(journal.clone());
    assert_eq!(paid, 9);
    assert_eq!(pay(journal), (first, 0));
}

/// Pays, and remembers in variables what it paid.
const REMEMBERS: &str = "
flow: remembers
variables: { paid: { type: [integer], default: [] }, last: integer }
steps:
  pay: { type: pay, with: { value: visits.pay }, output: paid }
  note: { type: variables, write_variables: [paid, last], write_operations: { paid: insert }, with: { last: pay.paid, paid: pay.paid } }
  again: { type: branch, with: { value: last }, cases: { never: end }, next: { end: end, default: { retry: pay, max_trials: 3, else: end } } }
outputs: { paid: variables.paid, last: variables.last }
";

#[test]
fn variables_are_written_again_from_what_was_kept() {
    let run = |journal: Arc<dyn Journal>| {
        let till = Arc::new(Till::default());
        let text = REMEMBERS.replace("value: last", "value: variables.last");
        let outputs = Engine::of(&text, &registry()).with(&till).journal(journal).run(BTreeMap::new()).unwrap();
        let given = outputs.values.iter().map(|(name, value)| (name.to_string(), value.to_json().unwrap()));
        (Json::Object(given.collect()), till.paid())
    };
    let journal = Arc::new(MemoryJournal::new());
    let wanted = serde_json::json!({ "paid": [10, 20, 30], "last": 30 });
    assert_eq!(run(journal.clone()), (wanted.clone(), 3));
    assert_eq!(run(journal), (wanted, 0));
}

/// Two steps of a loop want what a flow of the context pays for.
const PROVIDED: &str = "
flow: provided
context: { price: { flow: price } }
steps:
  one: { type: template, template: \"{{ price }}\", output: one }
  two: { type: template, template: \"{{ price }} {{ price + 1 }}\", output: two }
  none: { type: template, template: x, output: none }
  again: { type: branch, with: { value: two.two }, cases: { never: end }, next: { end: end, default: { retry: one, max_trials: 2, else: end } } }
outputs: { one: one.one, two: two.two }
flows:
  price:
    steps: { pay: { type: pay, with: { value: { value: 4 } }, output: price } }
";

#[test]
fn the_context_pays_once_for_each_visit_of_a_step_that_wants_it() {
    let journal = Arc::new(Noting::default());
    let run = || {
        let till = Arc::new(Till::default());
        let engine = Engine::of(PROVIDED, &registry()).with(&till).journal(journal.clone());
        let outputs = engine.run(BTreeMap::new()).unwrap();
        (outputs.values.get("two").cloned(), till.paid())
    };
    assert_eq!(run(), (Some("40 41".into()), 4));
    let kept: Vec<String> = journal.kept.lock().unwrap().keys().cloned().collect();
    let places = ["one#1", "one#2", "two#1", "two#2"].map(|step| format!("{step}@price/pay#1!pay"));
    assert_eq!(kept, places);
    assert_eq!(run(), (Some("40 41".into()), 0), "what was paid is paid");
}

/// A journal that notes what it keeps, and breaks at one key.
#[derive(Default)]
struct Noting {
    inner: MemoryJournal,
    kept: Mutex<BTreeMap<String, String>>,
    breaks_at: Option<&'static str>,
}

impl Journal for Noting {
    fn effect(&self, key: &str) -> Result<Option<String>, StepError> {
        self.inner.effect(key)
    }

    fn keep_effect(&self, key: String, outcome: String) -> Result<(), StepError> {
        if self.breaks_at == Some(key.as_str()) {
            return Err(StepError::new("journal.broken", "the disk is full").fatal());
        }
        self.kept.lock().unwrap().insert(key.clone(), outcome.clone());
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
fn effects_are_kept_under_the_address_of_their_visit() {
    let journal = Arc::new(Noting::default());
    pay(journal.clone());
    let kept: Vec<String> = journal.kept.lock().unwrap().keys().cloned().collect();
    assert_eq!(kept[..3], ["each#1[0]/again#1!pay", "each#1[0]/once#1!pay", "each#1[1]/again#1!pay"]);
    assert_eq!(kept.last().map(String::as_str), Some("first#1!pay"));
    assert_eq!(kept.len(), 9);
}

#[test]
fn a_journal_that_breaks_ends_the_run_and_the_rest_goes_on_from_there() {
    let journal = Arc::new(Noting { breaks_at: Some("each#1[2]/once#1!pay"), ..Noting::default() });
    let till = Arc::new(Till::default());
    let engine = Engine::of(PAYS, &registry()).with(&till).journal(journal.clone());
    let error = engine.run(BTreeMap::new()).unwrap_err();
    assert_eq!(error.code, "journal.broken");
    let kept = journal.kept.lock().unwrap();
    let mended = Arc::new(EffectsOnly::default());
    for (key, outcome) in kept.iter() {
        mended.keep_effect(key.clone(), outcome.clone()).unwrap();
    }
    assert_eq!(pay(mended).1, 9 - kept.len() as u64, "only what was not kept is paid again");
}

const FAILS: &str = "
flow: fails
inputs: { numbers: { type: [integer], default: [0, 1, 2] } }
steps:
  each: { type: map, flow: item, over: { value: inputs.numbers }, on_item_error: POLICY }
flows:
  item:
    inputs: { value: integer }
    steps:
      pay: { type: pay, output: paid }
      break: { type: fail, \"on\": 1, FATAL with: { value: inputs.value } }
    outputs: { paid: pay.paid }
outputs: { paid: each.paid }
";

/// Runs a flow whose middle item fails; gives how many items the journal then holds.
fn items_kept(policy: &str, fatal: &str) -> usize {
    let journal = Arc::new(MemoryJournal::new());
    let flow = FAILS.replace("POLICY", policy).replace("FATAL", fatal);
    let engine = Engine::of(&flow, &registry()).with(&Arc::new(Till::default())).journal(journal.clone());
    // How it ends is not what is asked here.
    let _ended = engine.run(BTreeMap::new());
    journal.items()
}

#[test]
fn a_failed_item_is_kept_only_where_the_map_goes_on() {
    assert_eq!(items_kept("keep", ""), 3, "the failure is part of the result");
    assert_eq!(items_kept("skip", ""), 3, "the failure is part of the result");
    assert_eq!(items_kept("fail", ""), 1, "item 1 runs again when the run goes on, and item 2 never began");
    assert_eq!(items_kept("keep", "fatal: true,"), 1, "item 1 runs again when the run goes on");
}

#[test]
fn the_record_of_an_item_holds_what_the_map_collects_and_no_more() {
    const COLLECTS: &str = "
flow: collects
inputs: { numbers: { type: [integer], default: [5, 6] } }
steps:
  each: { type: map, flow: item, over: { n: inputs.numbers }, collect: [last, first] }
flows:
  item:
    inputs: { n: integer }
    steps:
      one: { type: template, template: \"{{ n }}a\", output: first }
      two: { type: template, template: \"{{ n }}b\", output: draft }
      three: { type: template, template: \"{{ n }}c\", output: last }
outputs: { first: each.first, last: each.last }
";
    let journal = Arc::new(MemoryJournal::new());
    let engine = Engine::of(COLLECTS, &registry()).journal(journal.clone());
    let outputs = engine.run(BTreeMap::new()).unwrap();
    assert_eq!(outputs.values.get("first").unwrap().to_json().unwrap(), serde_json::json!(["5a", "6a"]));
    assert_eq!(outputs.values.get("last").unwrap().to_json().unwrap(), serde_json::json!(["5c", "6c"]));
    let record = journal.item("each#1", 1).unwrap().unwrap();
    assert_eq!(record.result.unwrap(), ["6c".into(), "6a".into()], "in the order that the map collects them");
}

/// A reply that did not have its form, and the one that mended it, are two effects; neither is asked for again.
#[test]
fn a_repair_is_kept_beside_the_reply() {
    const ASKS: &str = "
flow: asks
models: { m: {} }
steps: { ask: { type: prompt, model: m, template: How many legs?, fields: { legs: integer } } }
outputs: { legs: ask.legs }
";
    let mock = Mock::start(Plan {
        replies: vec![Rule::new("", "four"), Rule::new("", "{\"legs\": 4}")],
        ..Plan::default()
    });
    let journal = Arc::new(Noting::default());
    let environment =
        Environment { openai_base_url: Some(BaseUrl::new(mock.base_url())), ..Environment::default() };
    for calls in [2, 2] {
        let compiled = compiled(ASKS, &registry()).unwrap();
        let engine = Engine::asking(compiled, &repository("tests"), &environment).journal(journal.clone());
        let outputs = engine.run(BTreeMap::new()).unwrap();
        assert_eq!(outputs.values.get("legs").unwrap().as_i64(), Some(4));
        assert_eq!(mock.counters().requests, calls);
    }
    let keys: Vec<_> = journal.kept.lock().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["ask#1!repair", "ask#1!reply"]);
}

/// Stops a run once it has come to a place.
struct StopsAt(&'static str);

impl Interrupt for StopsAt {
    fn stops(&self, at: &Address, _: &Usage) -> Option<String> {
        at.to_string().starts_with(self.0).then(|| format!("it has come to {}", self.0))
    }
}

#[test]
fn an_interrupt_of_ones_own_stops_a_run_at_any_depth_and_it_goes_on_later() {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let till = Arc::new(Till::default());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let go = |interrupt: Option<StopsAt>| {
        let flow = compiled(PAYS, &registry()).unwrap().flow;
        let mut run = Run::new(RunOptions { parallel: Some(1), ..RunOptions::default() })
            .resources(Resources::new().with(Arc::clone(&till)))
            .journal(Arc::clone(&journal));
        if let Some(interrupt) = interrupt {
            run = run.interrupt(Arc::new(interrupt));
        }
        let inputs = bind(&flow, BTreeMap::new()).unwrap();
        runtime.block_on(execute(&flow, inputs, &Arc::new(run))).unwrap()
    };
    let Execution::Interrupted(error) = go(Some(StopsAt("each[1] › again"))) else {
        panic!("it was not stopped")
    };
    assert_eq!(error.message, "it has come to each[1] › again");
    let paid = till.paid();
    let Execution::Finished(outputs) = go(None) else { panic!("it did not go on") };
    assert_eq!(
        outputs.values.get("hundreds").unwrap().to_json().unwrap(),
        serde_json::json!([100, 200, 300, 400])
    );
    // All that was paid for before is not paid for again: one for `first`, two for each of four items.
    assert!(paid < 9 && till.paid() == 9, "{paid}, then {}", till.paid());
}
