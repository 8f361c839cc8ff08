//! Runs every document of `agentspec/`: its first line says the rule, lines that begin with `#: ` what it comes to. Of a
//! document that is refused these are the codes of its errors, each with its line.

use std::path::{Path, PathBuf};

use flowrun::agentspec::{ImportOptions, Imported, import, is_agent_spec};
use flowrun::core::compile::compile;
use flowrun::core::diagnostics::{Diagnostics, Severity};
use flowrun::core::flow::Compiled;

use crate::engine::conformance::{Expected, codes, runs_to};
use crate::support::{Web, registry, repository};

/// The documents, each with what it comes to: JSON has that in a file beside it.
pub(crate) fn documents() -> Vec<(PathBuf, String, String)> {
    let folder = std::fs::read_dir(repository("tests/agentspec")).unwrap();
    let mut paths: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut documents = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let is_document = path.extension().is_some_and(|e| e == "yaml" || e == "json");
        if !is_document || name.contains(".components.") {
            continue;
        }
        let text = Web::addressed(&std::fs::read_to_string(&path).unwrap()).into_owned();
        let beside = path.with_extension("expected");
        let said = if beside.exists() { std::fs::read_to_string(beside).unwrap() } else { text.clone() };
        assert!(said.starts_with("# "), "{name} does not say its rule");
        let expected: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("#: ")).collect();
        documents.push((path, text, expected.join("\n")));
    }
    documents
}

/// The file of components beside a document.
fn components(path: &Path) -> Vec<(String, Vec<u8>)> {
    let beside = path.with_extension("components.yaml");
    if beside.exists() { vec![("components.yaml".to_owned(), std::fs::read(beside).unwrap())] } else { Vec::new() }
}

fn environment(name: &str) -> Option<String> {
    (name == "GIVEN_API_KEY").then(|| "from the environment".to_owned())
}

pub(crate) fn read(path: &Path, text: &str) -> Result<Imported, Diagnostics> {
    assert!(is_agent_spec(text.as_bytes()), "the dialect is not told");
    let options = ImportOptions {
        source: path.file_name().unwrap().to_string_lossy().into_owned(),
        components: components(path),
        has_tool: &|_| false,
        env: &environment,
    };
    import(text, &options)
}

pub(crate) fn compiled(path: &Path, text: &str) -> Result<Compiled, Diagnostics> {
    let imported = read(path, text)?;
    let mut compiled = compile(&imported.spec, &registry())?;
    compiled.warnings.extend(imported.warnings);
    Ok(compiled)
}

/// Codes with the lines of their places.
fn placed(found: &Diagnostics) -> Vec<String> {
    let errors = found.iter().filter(|d| d.severity == Severity::Error);
    errors.map(|d| format!("{}:{}", d.code, d.span.line_column().map_or(0, |(line, _)| line))).collect()
}

fn check(path: &Path, text: &str, expected: &str) {
    let expected = Expected::read(expected);
    match compiled(path, text) {
        Ok(first) => {
            assert_eq!(expected.errors, Vec::<String>::new(), "the document was accepted");
            assert_eq!(codes(&first.warnings), expected.warnings, "{}", first.warnings);
            runs_to(&|| compiled(path, text).unwrap(), expected);
        }
        Err(found) => assert_eq!(placed(&found), expected.errors, "{found}"),
    }
}

#[test]
fn every_document_comes_to_what_it_says() {
    let documents = documents();
    assert!(documents.len() >= 80, "there are {} documents", documents.len());
    let mut broken = Vec::new();
    for (path, text, expected) in documents {
        if std::panic::catch_unwind(|| check(&path, &text, &expected)).is_err() {
            broken.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    assert!(broken.is_empty(), "the documents above are {broken:#?}");
}
