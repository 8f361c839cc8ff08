//! Open Agent Specification: documents in YAML or JSON to a [`FlowSpec`] whose every part knows its place, and back.
//!
//! Reading goes in stages. `document` makes one tree of all files and resolves references; `property` reads ports and
//! knows which types fit which; each node type in `nodes` says what it takes and gives and which step it is here; `flow`
//! checks the rules of a flow and wires it. What is compiled in the end is the same as from a native file.

mod castable;
pub mod codes;
mod component;
mod config;
mod datastore;
mod document;
mod export;
mod flow;
mod import;
mod json;
mod model;
mod names;
mod nodes;
mod own;
mod property;
mod providers;
mod texts;
mod wires;

use std::fmt;

use flowrun_core::diagnostics::{Diagnostics, Source};
use flowrun_core::spec::FlowSpec;

pub use codes::CODES;
pub use export::{ExportOptions, Exported, export, to_json, to_yaml};

/// The end of a flow where a branch leads nowhere, which no `EndNode` is.
pub const OPEN_END: &str = "end of the flow";

/// How a document is read.
#[derive(Clone)]
pub struct ImportOptions<'a> {
    /// The file as the person named it; diagnostics show it.
    pub source: String,
    /// Files of components beside the document: their names and texts.
    pub components: Vec<(String, Vec<u8>)>,
    /// Whether the program has a tool of this name; others are lent by who runs the flow.
    pub has_tool: &'a dyn Fn(&str) -> bool,
    /// Looks up an environment variable, for sensitive values that no file gives.
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

impl ImportOptions<'_> {
    /// Options for a document of this name, with nothing beside it and an empty environment.
    pub fn new(source: impl Into<String>) -> Self {
        Self { source: source.into(), components: Vec::new(), has_tool: &|_| false, env: &|_| None }
    }
}

/// Without the environment, which may hold secrets.
impl fmt::Debug for ImportOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.components.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("ImportOptions")
            .field("source", &self.source)
            .field("components", &names)
            .finish_non_exhaustive()
    }
}

/// A document that was read.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The flow.
    pub spec: FlowSpec,
    /// What is allowed but was probably meant otherwise.
    pub warnings: Diagnostics,
    /// The environment variables that sensitive values came from.
    pub secrets: Vec<String>,
}

/// Reads a document.
///
/// # Errors
/// All problems of the document, in the order of their places.
pub fn import(text: impl AsRef<[u8]>, options: &ImportOptions<'_>) -> Result<Imported, Diagnostics> {
    import::import(text.as_ref(), options)
}

/// Whether a text is an Agent Spec document, by the keys at its top.
pub fn is_agent_spec(text: &[u8]) -> bool {
    const MARKS: &[&str] = &["component_type", "agentspec_version", "air_version", "$component_ref"];
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('{') {
        return json::top_keys(text).iter().any(|key| MARKS.contains(key));
    }
    text.lines().any(|line| {
        let quote = |c| c == '"' || c == '\'';
        let key = line.strip_prefix(quote).unwrap_or(line);
        MARKS.iter().any(|mark| {
            key.strip_prefix(mark).is_some_and(|rest| rest.strip_prefix(quote).unwrap_or(rest).starts_with(':'))
        })
    })
}

/// The text of a document as a source of diagnostics.
pub(crate) fn source(name: &str, text: &[u8]) -> std::sync::Arc<Source> {
    Source::new(name, String::from_utf8_lossy(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_at_the_top_tell_the_dialect() {
        for (text, is) in [
            ("component_type: Flow\n", true),
            ("# a note\nagentspec_version: 25.4.1\nname: x\n", true),
            ("\"component_type\": Flow\n", true),
            ("{\"name\": \"x\", \"component_type\": \"Flow\"}", true),
            (" {\n \"$component_ref\": \"x\"}", true),
            ("flow: x\nsteps:\n  a: { type: constant, values: { component_type: Flow } }\n", false),
            ("{\"flow\": \"x\", \"steps\": {\"a\": {\"component_type\": 1}}}", false),
            ("{\"text\": \"\\\"component_type\\\": 1\"}", false),
            ("{flow: x}", false),
            ("", false),
        ] {
            assert_eq!(is_agent_spec(text.as_bytes()), is, "{text}");
        }
    }
}
