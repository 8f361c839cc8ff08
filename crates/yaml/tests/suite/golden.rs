//! Golden files: add a case by adding a file.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use flowrun_core::spec::{Count, FlowSpec, Next, Provider, Target, Wire, WireKind};
use flowrun_yaml::{ParseOptions, Parsed, parse};

use super::render;

/// What the test files find in their environment. The value of `SECRET` must never show.
fn environment(name: &str) -> Option<String> {
    match name {
        "MODEL" => Some("gpt-4o-mini".to_owned()),
        "COUNT" => Some("7".to_owned()),
        "SECRET" => Some("hunter2".to_owned()),
        _ => None,
    }
}

fn parse_file(path: &Path) -> Result<Parsed, flowrun_core::diagnostics::Diagnostics> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let options = ParseOptions::new(name, path.parent().unwrap()).env(&environment);
    parse(std::fs::read(path).unwrap(), &options)
}

#[test]
fn every_mistake_is_reported() {
    insta::glob!("..", "bad/*.yaml", |path| {
        let problems = parse_file(path).unwrap_err();
        for problem in problems.iter() {
            let words = format!("{} {:?} {:?}", problem.message, problem.label, problem.help);
            assert!(!words.contains("hunter2"), "a secret shows: {words}");
        }
        insta::assert_snapshot!(render(&problems));
    });
}

#[test]
fn every_code_has_a_mistake_that_shows_it() {
    let mut seen = BTreeSet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for file in
        std::fs::read_dir(folder.join("bad")).unwrap().chain(std::fs::read_dir(folder.join("good")).unwrap())
    {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            let problems = parse_file(&path).map_or_else(|bad| bad, |good| good.warnings);
            seen.extend(problems.iter().map(|p| p.code));
        }
    }
    let codes: BTreeSet<_> = flowrun_yaml::CODES.iter().map(|(code, ..)| *code).collect();
    assert_eq!(seen, codes);
}

#[test]
fn good_files_are_understood() {
    insta::glob!("..", "good/*.yaml", |path| {
        let parsed = parse_file(path).unwrap_or_else(|problems| panic!("{}", render(&problems)));
        let mut out = String::new();
        flow(&mut out, "", &parsed.spec);
        for file in &parsed.files {
            writeln!(out, "file {}", file.source.name).unwrap();
        }
        write!(out, "{}", render(&parsed.warnings)).unwrap();
        insta::assert_snapshot!(out);
    });
}

/// A flow, a line for each thing that it has.
fn flow(out: &mut String, indent: &str, spec: &FlowSpec) {
    let name = &spec.name;
    writeln!(out, "{indent}flow {} at {} {:?}", name.value, name.span, spec.wiring).unwrap();
    let mut line = |text: String| writeln!(out, "{indent}  {text}").unwrap();
    if let Some(description) = &spec.description {
        line(format!("description {description:?}"));
    }
    if let Some(seed) = &spec.seed {
        line(format!("seed {} at {}", seed.value, seed.span));
    }
    if spec.limits != flowrun_core::spec::LimitsSpec::default() {
        line(format!("limits {:?}", spec.limits));
    }
    match &spec.inputs {
        None => line("inputs are what the steps want".to_owned()),
        Some(inputs) => {
            for input in inputs {
                let schema = input.value_type.to_json_schema();
                let default = input.default.as_ref().map(|d| format!(" = {d}")).unwrap_or_default();
                let about = input.description.as_deref().map(|d| format!(" {d:?}")).unwrap_or_default();
                line(format!("input {}: {} {schema}{default}{about}", input.name.value, input.value_type));
            }
        }
    }
    for output in spec.outputs.iter().flatten() {
        line(format!("output {} <- {}", output.name.value, wire(&output.wire)));
    }
    for variable in &spec.variables {
        let default = variable.default.as_ref().map(|d| format!(" = {d}")).unwrap_or_default();
        let about = variable.description.as_deref().map(|d| format!(" {d:?}")).unwrap_or_default();
        line(format!("variable {}: {}{default}{about}", variable.name.value, variable.value_type));
    }
    for provider in &spec.context {
        line(format!("context {}: {}", provider.name.value, given(&provider.provider)));
    }
    for model in &spec.models {
        line(format!("model {} {}", model.name.value, model.config.to_value().to_json().unwrap()));
    }
    for tool in &spec.tools {
        let config = tool.config.to_value().to_json().unwrap();
        line(format!("tool {}: {} at {} {config}", tool.name.value, tool.kind.value, tool.span));
        line(format!("  {:?} idempotent {:?} confirm {:?}", tool.description, tool.idempotent, tool.confirm));
        for (what, ports) in [("argument", &tool.arguments), ("result", &tool.results)] {
            for port in ports.iter().flatten() {
                line(format!("  {what} {}: {} = {:?}", port.name.value, port.value_type, port.default));
            }
        }
    }
    for step in &spec.steps {
        line(format!("step {}: {} at {}", step.name.value, step.step_type.value, step.span));
        if let Some(doc) = &step.doc {
            line(format!("  doc {doc:?}"));
        }
        for (input, from) in &step.with {
            line(format!("  {} <- {}", input.value, wire(from)));
        }
        for (theirs, ours) in &step.outputs {
            line(format!("  {} as {}", theirs.value, ours.value));
        }
        if let Some(output) = &step.output {
            line(format!("  output {}", output.value));
        }
        if let Some(wiring) = step.wiring {
            line(format!("  wiring {wiring:?}"));
        }
        match &step.next {
            Next::Following => {}
            Next::To(to) => line(format!("  next {}", target(to))),
            Next::ByBranch(branches) => {
                for (branch, to) in branches {
                    line(format!("  on {} {}", branch.value, target(to)));
                }
            }
        }
        for entry in step.config.entries().unwrap() {
            let inlined = entry.value.inlined.as_ref().map(|s| format!(" from {}", s.name)).unwrap_or_default();
            let value = entry.value.to_value().to_json().unwrap();
            line(format!("  {}: {value}{inlined} at {}", entry.key, entry.value.span));
        }
    }
    for (name, below) in &spec.flows {
        assert_eq!(name, &below.name);
        flow(out, &format!("{indent}  "), below);
    }
}

fn given(provider: &Provider) -> String {
    match provider {
        Provider::Value(value) => format!("value {value}"),
        Provider::Flow { flow, output: Some(output) } => format!("{} of flow {}", output.value, flow.value),
        Provider::Flow { flow, output: None } => format!("flow {}", flow.value),
        Provider::Tool { tool, output: Some(output) } => format!("{} of tool {}", output.value, tool.value),
        Provider::Tool { tool, output: None } => format!("tool {}", tool.value),
    }
}

fn wire(wire: &Wire) -> String {
    match &wire.kind {
        WireKind::Reference(reference) => format!("{reference} ({reference:?})"),
        WireKind::Latest(references) => {
            let names: Vec<_> = references.iter().map(|r| r.value.to_string()).collect();
            format!("latest of {}", names.join(", "))
        }
        WireKind::LatestOr(..) => unreachable!("no file says that"),
        WireKind::Value(value) => format!("value {value}"),
    }
}

fn target(to: &Target) -> String {
    match to {
        Target::Step(name) => format!("-> {}", name.value),
        Target::Retry { step, max_trials, otherwise, span } => {
            let trials = match &max_trials.value {
                Count::Now(number) => number.to_string(),
                Count::From(reference) => format!("{{{reference}}}"),
            };
            format!("-> retry {} x{trials} at {span}, else {}", step.value, target(otherwise))
        }
    }
}
