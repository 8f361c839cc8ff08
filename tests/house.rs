//! The rules of the house that no lint knows.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::support::{Sandbox, repository, yaml_files};

const LONGEST_FILE: usize = 600;

/// What each crate may depend on among the others, and what of the world it must not know.
const LAYERS: &[(&str, &[&str], &[&str])] = &[
    (
        "core",
        &[],
        &["serde-saphyr", "reqwest", "async-openai", "hyper", "clap", "console", "indicatif", "parquet"],
    ),
    ("yaml", &["core"], &["reqwest", "async-openai", "tokio", "clap", "console"]),
    (
        "agentspec",
        &["core", "yaml"],
        &["serde-saphyr", "reqwest", "async-openai", "tokio", "clap", "console", "minijinja"],
    ),
    ("net", &[], &["serde-saphyr", "async-openai", "minijinja", "arrow-array", "clap", "console"]),
    ("llm", &["net"], &["serde-saphyr", "minijinja", "arrow-array", "clap", "console"]),
    ("data", &["core"], &["reqwest", "async-openai", "tokio", "clap", "console", "minijinja"]),
    (
        "stores",
        &["core"],
        &["serde-saphyr", "reqwest", "async-openai", "clap", "console", "minijinja", "arrow-array"],
    ),
    ("tools", &["core", "net"], &["serde-saphyr", "async-openai", "clap", "console", "minijinja", "arrow-array"]),
    ("steps", &["core", "llm", "data", "net", "stores", "tools"], &["serde-saphyr", "reqwest", "clap", "console"]),
    ("journal", &["core"], &["serde-saphyr", "reqwest", "async-openai", "arrow-array", "clap", "console"]),
    ("mock-llm", &[], &["arrow-array", "minijinja", "reqwest"]),
];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name() != Some(OsStr::new("target")) {
            rust_files(&path, found);
        } else if path.extension() == Some(OsStr::new("rs")) {
            found.push(path);
        }
    }
}

#[test]
fn no_source_file_is_longer_than_it_may_be() {
    let mut files = Vec::new();
    for folder in ["crates", "tests", "examples"] {
        rust_files(&repository(folder), &mut files);
    }
    assert!(files.len() > 100, "the sources were not found");
    let lines = |path: &PathBuf| std::fs::read_to_string(path).unwrap().lines().count();
    let long: Vec<_> = files.iter().map(|path| (path, lines(path))).filter(|(_, n)| *n > LONGEST_FILE).collect();
    assert!(long.is_empty(), "more than {LONGEST_FILE} lines: {long:?}");
}

/// The tables of dependencies of a crate, by what they are for, each with the names in it.
fn dependencies(manifest: &Path) -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(manifest).unwrap();
    let name = Regex::new(r#"^"?([A-Za-z0-9_-]+)"?\s*[.=]"#).unwrap();
    let (mut tables, mut table) = (BTreeMap::<String, Vec<String>>::new(), "");
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[') {
            table = header.trim_end_matches(']');
        } else if table.ends_with("dependencies")
            && let Some(found) = name.captures(line)
        {
            tables.entry(table.to_owned()).or_default().push(found[1].to_owned());
        }
    }
    tables
}

#[test]
fn every_dependency_points_down() {
    let folders = std::fs::read_dir(repository("crates")).unwrap().map(|f| f.unwrap().path());
    let with_manifest = folders.filter(|folder| folder.join("Cargo.toml").exists()).count();
    assert_eq!(with_manifest, LAYERS.len(), "a crate has no place in the layers yet");
    for (name, below, foreign) in LAYERS {
        let tables = dependencies(&repository("crates").join(name).join("Cargo.toml"));
        let used = &tables["dependencies"];
        for dependency in used {
            let inner = dependency.strip_prefix("flowrun-");
            assert!(inner.is_none_or(|inner| below.contains(&inner)), "{name} must not depend on {dependency}");
            assert!(!foreign.contains(&dependency.as_str()), "{name} must not know {dependency}");
        }
    }
}

/// All flows that the repository offers, from its root.
fn flows() -> Vec<PathBuf> {
    let named = |folder: &'static str| {
        yaml_files(folder).into_iter().map(move |path| Path::new(folder).join(path.file_name().unwrap()))
    };
    named("flows").chain(named("flows/tour")).collect()
}

#[test]
fn every_flow_fits_the_schema() {
    let schema = Sandbox::new().must_run(["schema"]).stdout;
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for path in flows().iter().map(|flow| repository(flow.to_str().unwrap())) {
        let text = std::fs::read_to_string(&path).unwrap();
        let options = flowrun_yaml::ParseOptions::new("flow.yaml", path.parent().unwrap());
        let document = flowrun_yaml::parse_node(&text, &options).unwrap().node.to_value().to_json().unwrap();
        let wrong: Vec<_> =
            validator.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", path.display());
    }
}

#[test]
fn the_schema_knows_wrong_from_right() {
    let schema = Sandbox::new().must_run(["schema"]).stdout;
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let flow = |step: serde_json::Value| serde_json::json!({ "flow": "x", "steps": { "a": step } });
    assert!(validator.is_valid(&flow(serde_json::json!({ "type": "constant", "values": { "x": 1 } }))));
    for wrong in [
        serde_json::json!({ "type": "constnat", "values": { "x": 1 } }),
        serde_json::json!({ "type": "constant", "valeus": { "x": 1 } }),
        serde_json::json!({ "type": "constant", "values": { "x": 1 }, "nxet": "end" }),
        serde_json::json!({ "values": { "x": 1 } }),
    ] {
        assert!(!validator.is_valid(&flow(wrong.clone())), "{wrong}");
    }
}

#[test]
fn every_flow_passes_the_check() {
    for name in flows() {
        let sandbox = Sandbox::with_flows();
        let ran = sandbox.must_run([OsStr::new("check"), name.as_os_str()]);
        assert!(ran.stderr.contains(": fine (") && !ran.stderr.contains("warning"), "{}", ran.stderr);
    }
}

#[test]
fn every_flow_runs_offline_and_makes_the_same_again() {
    for path in yaml_files("flows") {
        let name = Path::new("flows").join(path.file_name().unwrap());
        let made = || {
            let sandbox = Sandbox::with_flows();
            sandbox.must_run([name.as_os_str()]);
            sandbox.files("out")
        };
        let first = made();
        assert!(!first.is_empty(), "{} wrote nothing", name.display());
        assert!(first == made(), "{} made something else the second time", name.display());
    }
}

#[test]
fn every_step_type_is_on_the_tour() {
    let texts: String =
        yaml_files("flows/tour").iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let named: BTreeSet<&str> = texts
        .split("type: ")
        .skip(1)
        .map(|rest| rest.split(|c: char| c != '_' && !c.is_ascii_lowercase()).next().unwrap())
        .collect();
    let missing: Vec<_> =
        flowrun::standard().iter().map(|step| step.name).filter(|name| !named.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_flow_of_the_tour_gives_something() {
    for name in flows().iter().filter(|flow| flow.starts_with("flows/tour")) {
        let sandbox = Sandbox::with_flows();
        let mut said = sandbox.run([name.as_os_str(), OsStr::new("--json")]).json();
        while said["status"] == "waiting" {
            said = sandbox.run(["reply", said["run"].as_str().unwrap(), "south", "--json"]).json();
        }
        assert_eq!(said["status"], "finished", "{}: {said}", name.display());
        let outputs = said["outputs"].as_object().unwrap();
        assert!(!outputs.is_empty(), "{} gave nothing", name.display());
    }
}
