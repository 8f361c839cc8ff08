//! A step type of one's own: the page shows what the compiler sees, and the flow beside it runs.

use std::collections::BTreeMap;

use flowrun::core::value::Value;
use flowrun::prelude::*;

use crate::support::{Engine, repository};

/// As in `examples/custom_step.rs`, whose own one is its program's alone.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WordCount {
    min: usize,
}

#[derive(Deserialize, JsonSchema)]
struct In {
    text: String,
}

#[derive(Serialize, JsonSchema)]
struct Out {
    words: usize,
}

impl Step for WordCount {
    const TYPE: &'static str = "word_count";
    const BRANCHES: &'static [&'static str] = &["enough", "too_short"];
    type Input = In;
    type Output = Out;

    async fn run(&self, _: &StepCx<'_>, input: In) -> Result<Outcome<Out>, StepError> {
        let words = input.text.split_whitespace().count();
        Ok(Outcome::branch(if words >= self.min { "enough" } else { "too_short" }, Out { words }))
    }
}

fn registry() -> Registry {
    flowrun::standard().with::<WordCount>()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap()
}

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let shown = format!("```rust\n{}```\n", read("examples/custom_step.rs"));
    assert!(read("README.md").contains(&shown), "README.md does not hold the text of examples/custom_step.rs");
}

#[test]
fn the_flow_of_the_example_runs() {
    let engine = Engine::of(&read("examples/custom_step.yaml"), &registry());
    let outputs = engine.run(BTreeMap::new()).unwrap();
    let text = outputs.values.get("text").and_then(Value::as_str).unwrap();
    let words = outputs.values.get("words").and_then(Value::as_i64).unwrap();
    assert_eq!(text.split_whitespace().count(), usize::try_from(words).unwrap());
    assert!(words >= 8, "the first text was too short, and the retry edge was not taken: {text}");
}

#[test]
fn a_step_type_is_known_by_its_types() {
    let registry = registry();
    assert_eq!(registry.problems(), &[] as &[String]);
    let known = registry.get("word_count").unwrap();
    let names = |ports: &[Port]| ports.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&known.ports.inputs), ["text"]);
    assert_eq!(names(&known.ports.outputs), ["words"]);
    assert_eq!(known.ports.branches, ["enough", "too_short"]);
    assert!(known.doc().starts_with("As in"), "{}", known.doc());
    assert_eq!(known.schema["properties"]["min"]["type"], "integer");
}

/// A configuration with a key that belongs to every step.
#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only its form is asked for")]
struct Greedy {
    next: String,
}

impl Step for Greedy {
    const TYPE: &'static str = "greedy";
    type Input = In;
    type Output = Out;

    async fn run(&self, _: &StepCx<'_>, input: In) -> Result<Outcome<Out>, StepError> {
        Ok(Outcome::next(Out { words: input.text.len() }))
    }
}

#[test]
fn a_step_type_that_takes_a_reserved_key_or_name_is_refused() {
    let greedy = flowrun::standard().with::<Greedy>();
    assert_eq!(greedy.problems(), ["the configuration of step type `greedy` claims the reserved key `next`"]);
    let twice = registry().with::<WordCount>();
    assert_eq!(twice.problems(), ["there are two step types named `word_count`"]);
}

/// A step type with a mistake.
#[derive(Deserialize, JsonSchema)]
struct Breaks {}

impl Step for Breaks {
    const TYPE: &'static str = "breaks";
    type Input = Ports;
    type Output = Ports;

    async fn run(&self, _: &StepCx<'_>, _: Ports) -> Result<Outcome<Ports>, StepError> {
        panic!("nobody thought of this")
    }
}

/// What the program of a step type with a mistake says: this very test, once more.
#[test]
fn a_step_that_panics_is_told_once() {
    const AS_PROGRAM: &str = "FLOWRUN_TEST_AS_PROGRAM";
    if std::env::var_os(AS_PROGRAM).is_some() {
        flowrun::tell_panics_once();
        let registry = flowrun::standard().with::<Breaks>();
        flowrun::main_with(&registry, ["flowrun", "flow.yaml", "--no-journal"].map(Into::into));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("flow.yaml"), "flow: f\nsteps:\n  a: { type: breaks }\n").unwrap();
    let said = |backtrace: &str| {
        let mut program = std::process::Command::new(std::env::current_exe().unwrap());
        program.args(["--exact", "extending::a_step_that_panics_is_told_once", "--nocapture"]);
        program.current_dir(folder.path()).env(AS_PROGRAM, "1").env("RUST_BACKTRACE", backtrace);
        String::from_utf8(program.output().unwrap().stderr).unwrap()
    };
    let quiet = said("0");
    assert!(
        quiet.contains("error[step.panic]: the step broke down: nobody thought of this\n  step     a\n"),
        "{quiet}"
    );
    assert!(quiet.contains("\n  source   tests/extending.rs:"), "{quiet}");
    assert!(!quiet.contains("panicked at"), "{quiet}");
    let asked = said("1");
    assert!(asked.contains("panicked at tests/extending.rs:") && asked.contains("stack backtrace"), "{asked}");
}
