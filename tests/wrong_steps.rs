//! Each step type once with a configuration that is wrong, and once with a value that is.
//!
//! `wrong/TYPE/config.yaml` and `wrong/TYPE/value.yaml` are flows whose step `it` is of that type; what is said of them stands
//! beside them.

use std::collections::BTreeSet;
use std::path::Path;

use insta::{Settings, assert_snapshot};

use crate::support::{Ran, Sandbox, copy_folder, repository};

/// What takes no value while it runs: `constant` has no inputs, and `start` only gives what its flow was given.
const WITHOUT_VALUES: [&str; 2] = ["constant", "start"];

/// What a message may call the type of a value.
const TYPES: [&str; 10] =
    ["null", "boolean", "integer", "number", "string", "list", "object", "table", "text", "decimal"];

fn run(case: &str) -> Option<Ran> {
    let text = std::fs::read_to_string(repository(case)).ok()?;
    let sandbox = Sandbox::new().env("PATH", std::env::var("PATH").unwrap_or_default());
    sandbox.write("flow.yaml", text);
    copy_folder(&repository("tests/wrong/data"), &sandbox.path("data"));
    let ran = sandbox.run(["flow.yaml"]);
    let mut settings = Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path(Path::new("..").join(case).parent()?);
    settings.set_omit_expression(true);
    settings.bind(|| {
        let stem = Path::new(case).file_stem().unwrap().to_string_lossy();
        assert_snapshot!(&*stem, sandbox.scrub(&ran.stderr));
    });
    Some(ran)
}

/// The numbers of the lines of the step `it`.
fn lines_of_it(text: &str) -> Vec<usize> {
    let from = text.lines().position(|line| line.starts_with("  it:")).expect("a step `it`");
    let more = text.lines().skip(from + 1).take_while(|line| line.starts_with("    ")).count();
    (from + 1..=from + 1 + more).collect()
}

#[test]
fn a_wrong_configuration_of_each_step_type_is_shown_where_it_stands() {
    for step in flowrun::standard().iter() {
        let case = format!("tests/wrong/{}/config.yaml", step.name);
        let ran = run(&case).unwrap_or_else(|| panic!("{case} is missing"));
        assert_eq!(ran.code, Some(2), "{case}: {}", ran.stderr);
        let text = std::fs::read_to_string(repository(&case)).unwrap();
        let lines = lines_of_it(&text);
        assert!(text.contains(&format!("  it: {{ type: {},", step.name)), "`it` is no {}", step.name);
        let place = |line: &str| line.split_once("[flow.yaml:")?.1.split(':').next()?.parse::<usize>().ok();
        let places: Vec<_> = ran.stderr.lines().filter_map(place).collect();
        assert!(!places.is_empty() && places.iter().all(|line| lines.contains(line)), "{case}: {}", ran.stderr);
    }
}

#[test]
fn a_wrong_value_for_each_step_type_is_an_error_with_code_step_and_type() {
    let known = Sandbox::new().must_run(["explain"]).stdout;
    for step in flowrun::standard().iter() {
        let case = format!("tests/wrong/{}/value.yaml", step.name);
        if WITHOUT_VALUES.contains(&step.name) {
            assert!(!repository(&case).exists(), "{case} shows that it takes values");
            continue;
        }
        let ran = run(&case).unwrap_or_else(|| panic!("{case} is missing"));
        assert_eq!(ran.code, Some(1), "{case}: {}", ran.stderr);
        let said = ran.stderr.split_once("error[").unwrap_or_else(|| panic!("{case}: {}", ran.stderr)).1;
        let (code, said) = said.split_once("]: ").unwrap();
        assert!(known.contains(code) && code != "step.panic", "{case}: {code}");
        assert!(said.contains("\n  step     it\n"), "{case}: {said}");
        let message = said.lines().next().unwrap();
        let words: BTreeSet<_> = message.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        assert!(TYPES.iter().any(|name| words.contains(name)), "{case} names no type: {message}");
        let text = std::fs::read_to_string(repository(&case)).unwrap();
        assert!(text.contains(&format!("  it: {{ type: {},", step.name)), "`it` is no {}", step.name);
    }
}
