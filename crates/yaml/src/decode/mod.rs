//! A tree to a [`FlowSpec`]: one file for each shape, and beside each decoder the table of its keys, which also
//! describes them to an editor.

pub(crate) mod context;
pub(crate) mod datastore;
pub(crate) mod flow;
pub(crate) mod input;
pub(crate) mod names;
pub(crate) mod next;
pub(crate) mod step;
pub(crate) mod tool;
pub(crate) mod types;
pub(crate) mod wire;

use std::path::Path;

use flowrun_core::diagnostics::{Diagnostic, Span, Spanned};
use flowrun_core::node::{Entry, Node, NodeKind};
use flowrun_core::spec::FlowSpec;

use crate::codes;
use crate::options::{Limits, ParseOptions};
use crate::problems::{Problems, described, first_line, quoted, suggest};

/// A key that a mapping of the format may have, and what it is for.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
}

/// Short for a table of keys.
pub(crate) const fn key(name: &'static str, doc: &'static str) -> Key {
    Key { name, doc }
}

/// Reads a whole file. Where something is wrong, a problem says so and the flow lacks it.
pub(crate) fn flow_file(node: &Node, options: &ParseOptions<'_>, problems: &mut Problems) -> FlowSpec {
    let mut decoder = Decoder { problems, limits: &options.limits };
    let flow = decoder.top(node, &stem(&options.source));
    FlowSpec { folder: options.base_dir.clone(), ..flow }
}

/// The name of a flow that has none: its file's, with what no name may have replaced.
fn stem(source: &str) -> String {
    let stem = Path::new(source).file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String =
        stem.trim_matches(['<', '>']).chars().map(|c| if names::is_allowed(c) { c } else { '_' }).collect();
    if name.is_empty() { "flow".to_owned() } else { name }
}

/// What the decoders share.
pub(crate) struct Decoder<'a> {
    problems: &'a mut Problems,
    limits: &'a Limits,
}

impl Decoder<'_> {
    fn push(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// The entries of what must be a mapping.
    fn entries<'n>(&mut self, key: &str, node: &'n Node, help: &str) -> Option<&'n [Entry]> {
        let entries = node.entries();
        if entries.is_none() {
            let problem = wrong_kind(key, "a mapping", node);
            self.push(problem.help(help));
        }
        entries
    }

    /// Refuses every key that the table lacks. `help` says more than the list of all known keys does.
    fn known_keys(&mut self, entries: &[Entry], known: &[Key], place: &str, help: Option<&str>) {
        for entry in entries {
            if known.iter().any(|k| k.name == &*entry.key) {
                continue;
            }
            let problem = unknown(&entry.key, place, &entry.key_span);
            let problem = suggest(problem, &entry.key, known.iter().map(|k| k.name));
            self.push(match help {
                Some(help) => problem.help(help),
                None => problem,
            });
        }
    }

    /// A text that must be a string.
    fn string(&mut self, entry: &Entry) -> Option<Spanned<String>> {
        let value = &entry.value;
        if let NodeKind::String(text) = &value.kind {
            return Some(Spanned::new(text.to_string(), value.span.clone()));
        }
        let problem = wrong_kind(&entry.key, "a string", value);
        let is_scalar = !matches!(value.kind, NodeKind::List(_) | NodeKind::Map(_) | NodeKind::Null);
        self.push(if is_scalar { problem.help("quote it where text is meant") } else { problem });
        None
    }

    fn missing(&mut self, name: &str, place: &str, span: &Span, help: &str) {
        let message = format!("{place} has no {}", quoted(name));
        self.push(Diagnostic::error(codes::MISSING_KEY, message, &first_line(span)).help(help));
    }
}

/// A value of the wrong kind: what it must be, and what it is.
fn wrong_kind(key: &str, wanted: &str, node: &Node) -> Diagnostic {
    let message = format!("{} must be {wanted}, not {}", quoted(key), described(key, node));
    Diagnostic::error(codes::WRONG_KIND, message, &first_line(&node.span))
}

/// A key that nothing knows.
fn unknown(name: &str, place: &str, span: &Span) -> Diagnostic {
    Diagnostic::error(codes::UNKNOWN_KEY, format!("unknown key {} in {place}", quoted(name)), span)
}

/// The value under a key.
fn get<'n>(entries: &'n [Entry], key: &str) -> Option<&'n Entry> {
    entries.iter().find(|entry| &*entry.key == key)
}
