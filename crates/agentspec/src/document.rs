//! The trees of a document and of its files of components as one: versions, references, and all problems.

use std::cell::{Cell, RefCell};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use flowrun_core::diagnostics::{Diagnostic, Diagnostics, Span};
use flowrun_core::node::{Node, NodeKind};
use flowrun_yaml::{Limits, ParseOptions};

use crate::{ImportOptions, codes, json, source};

/// The versions that are known, the first one oldest.
pub(crate) const VERSIONS: &[&str] = &["25.4.1", "25.4.2", "26.1.0", "26.1.2", "26.2.0", "26.3.1"];

pub(crate) const REFERENCE: &str = "$component_ref";
pub(crate) const REFERENCED: &str = "$referenced_components";

/// Problems of one document, at most.
const MOST_PROBLEMS: usize = 500;

/// References that lead to references, at most.
const LONGEST_CHAIN: usize = 32;

/// Reads a text into a tree.
pub(crate) fn tree(name: &str, text: &[u8]) -> Result<(Node, Diagnostics), Diagnostics> {
    let begins = text.iter().find(|b| !b.is_ascii_whitespace());
    if begins == Some(&b'{')
        && let Some(node) = json::read(&source(name, text))
    {
        return Ok((node, Diagnostics::new()));
    }
    let mut options = ParseOptions::new(name, ".").plain();
    options.limits = Limits { text: 64 << 20, depth: 256, nodes: 4_000_000, ..Limits::default() };
    let parsed = flowrun_yaml::parse_node(text, &options)?;
    Ok((parsed.node, parsed.warnings))
}

/// A document with all that it refers to.
pub(crate) struct Document<'a> {
    referenced: HashMap<&'a str, &'a Node>,
    found: RefCell<Diagnostics>,
    room: Cell<usize>,
    env: &'a dyn Fn(&str) -> Option<String>,
    secrets: RefCell<BTreeSet<String>>,
}

/// A reference as written.
struct Written<'a> {
    id: &'a str,
    span: &'a Span,
}

impl<'a> Document<'a> {
    /// The document `root` with its files of components.
    pub(crate) fn new(root: &'a Node, files: &'a [Node], options: &'a ImportOptions<'a>) -> Self {
        let mut document = Self {
            referenced: HashMap::new(),
            found: RefCell::default(),
            room: Cell::new(MOST_PROBLEMS),
            env: options.env,
            secrets: RefCell::default(),
        };
        let mut written = Vec::new();
        for file in files {
            document.check_file(file);
            document.collect(file, &mut written);
        }
        document.collect(root, &mut written);
        document.check_references(&written);
        document
    }

    pub(crate) fn report(&self, problem: Diagnostic) {
        if self.room.get() == 0 {
            return;
        }
        self.room.set(self.room.get() - 1);
        self.found.borrow_mut().push(problem);
    }

    pub(crate) fn error(&self, code: &'static str, message: impl Into<String>, span: &Span) {
        self.report(Diagnostic::error(code, message, span));
    }

    pub(crate) fn warn(&self, code: &'static str, message: impl Into<String>, span: &Span) {
        self.report(Diagnostic::warning(code, message, span));
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.borrow().has_errors()
    }

    /// All problems, and the environment variables that were read.
    pub(crate) fn finish(self) -> (Diagnostics, Vec<String>) {
        (self.found.into_inner().sorted(), self.secrets.into_inner().into_iter().collect())
    }

    fn check_file(&self, file: &Node) {
        for entry in file.entries().unwrap_or_default().iter().filter(|e| &*e.key != REFERENCED) {
            let message = format!("a file of components has no key `{}`", entry.key);
            let wrong = Diagnostic::error(codes::NO_COMPONENTS, message, &entry.key_span);
            self.report(wrong.help("all that it holds stands under `$referenced_components`"));
        }
        if file.get(REFERENCED).and_then(Node::entries).is_none() {
            let message = "a file of components has no `$referenced_components`";
            self.error(codes::NO_COMPONENTS, message, &first_line(&file.span));
        }
    }

    /// Finds all that can be referred to, and all references.
    fn collect(&mut self, root: &'a Node, written: &mut Vec<Written<'a>>) {
        let mut ahead = vec![root];
        while let Some(node) = ahead.pop() {
            match &node.kind {
                NodeKind::List(items) => ahead.extend(items),
                NodeKind::Map(entries) => {
                    for entry in entries {
                        if &*entry.key == REFERENCED {
                            self.define(&entry.value);
                        }
                        if let (REFERENCE, Some(id)) = (&*entry.key, entry.value.as_str()) {
                            written.push(Written { id, span: &entry.value.span });
                        }
                        ahead.push(&entry.value);
                    }
                }
                _ => {}
            }
        }
    }

    fn define(&mut self, components: &'a Node) {
        let Some(entries) = components.entries() else {
            if components.kind != NodeKind::Null {
                let message = "`$referenced_components` is a mapping from ids to components";
                self.error(codes::WRONG_FIELD, message, &first_line(&components.span));
            }
            return;
        };
        for entry in entries {
            match self.referenced.entry(&entry.key) {
                Entry::Vacant(place) => {
                    place.insert(&entry.value);
                }
                Entry::Occupied(_) => {
                    let message = format!("two components are named `{}`", entry.key);
                    self.error(codes::TWICE, message, &entry.key_span);
                }
            }
        }
    }

    fn check_references(&self, written: &[Written<'a>]) {
        for reference in written.iter().filter(|r| !self.referenced.contains_key(r.id) && !is_sensitive(r.id)) {
            let message = format!("`{}` is under no `$referenced_components`", reference.id);
            let wrong = Diagnostic::error(codes::UNRESOLVED, message, reference.span);
            let known = self.referenced.keys().copied().filter(|id| !is_uuid(id));
            self.report(wrong.suggest(reference.id, known));
        }
    }

    /// The node itself, or what it refers to; nothing where that is nowhere, which is reported, or is not given.
    pub(crate) fn resolve(&self, node: &'a Node) -> Option<&'a Node> {
        let mut node = node;
        for _ in 0..LONGEST_CHAIN {
            let Some(id) = node.get(REFERENCE) else { return Some(node) };
            node = self.referenced.get(id.as_str()?)?;
        }
        self.error(codes::CIRCLE, "this reference leads back to itself", &first_line(&node.span));
        None
    }

    /// The text of a sensitive field: as it stands, from a file of components, or from the environment. Nothing where it is
    /// null or empty, and where it is not given, with what it is called.
    pub(crate) fn secret(&self, node: &'a Node) -> Result<Option<String>, Secret> {
        let Some(found) = self.resolve(node) else {
            let Some(id) = node.get(REFERENCE).and_then(Node::as_str) else { return Ok(None) };
            let variable = variable_of(id);
            let value = (self.env)(&variable);
            self.secrets.borrow_mut().insert(variable.clone());
            return value.map(Some).ok_or_else(|| Secret { id: id.to_owned(), variable });
        };
        Ok(match &found.kind {
            NodeKind::Null => None,
            NodeKind::String(text) if text.is_empty() => None,
            NodeKind::String(text) => Some(text.to_string()),
            other => serde_json::to_string(&Node::new(other.clone(), Span::none()).to_value().to_json().ok()).ok(),
        })
    }

    /// Reads the version that a document says.
    pub(crate) fn check_version(&self, root: &Node) {
        let Some(entry) = root.entry("agentspec_version").or_else(|| root.entry("air_version")) else {
            let latest = VERSIONS[VERSIONS.len() - 1];
            let message = format!("the document does not say its `agentspec_version`; it is read as {latest}");
            self.warn(codes::UNKNOWN_VERSION, message, &first_line(&root.span));
            return;
        };
        // A version that is not quoted may look like a number.
        let written = entry.value.as_str().map_or_else(|| entry.value.to_value().to_string(), str::to_owned);
        let Some(version) = parts(&written) else {
            let message = format!("`{written}` is no version of Agent Spec");
            let wrong = Diagnostic::error(codes::BAD_VERSION, message, &entry.value.span);
            self.report(wrong.help("a version is year, quarter and patch, such as 26.1.2"));
            return;
        };
        if VERSIONS.contains(&written.as_str()) {
            return;
        }
        let latest = VERSIONS[VERSIONS.len() - 1];
        let message = if Some(version) < parts(VERSIONS[0]) {
            format!("version {written} is older than {}, and is read like it", VERSIONS[0])
        } else {
            format!("version {written} is not known; the document is read like one of {latest}")
        };
        self.warn(codes::UNKNOWN_VERSION, message, &entry.value.span);
    }
}

/// A sensitive value that is not given.
#[derive(Debug)]
pub(crate) struct Secret {
    /// What the document calls it.
    pub(crate) id: String,
    /// The environment variable that would give it.
    pub(crate) variable: String,
}

/// The environment variable that gives what is referred to as `id`.
pub(crate) fn variable_of(id: &str) -> String {
    id.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// The fields that exporters leave out and refer to as `ID.FIELD`.
const SENSITIVE: &[&str] = &[
    "api_key",
    "key_file",
    "cert_file",
    "ca_file",
    "credentials",
    "auth_file_location",
    "sensitive_headers",
    "user",
    "password",
    "dsn",
    "sslkey",
    "wallet_location",
    "wallet_password",
    "client_secret",
];

fn is_sensitive(id: &str) -> bool {
    id.rsplit_once('.').is_some_and(|(_, field)| SENSITIVE.contains(&field) || flowrun_yaml::is_secret_key(field))
}

/// Such ids are too much alike for one to be proposed in another's place.
fn is_uuid(id: &str) -> bool {
    id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

pub(crate) fn parts(version: &str) -> Option<(u32, u32, u32)> {
    let numbers: Vec<u32> = version
        .split(['.', '-'])
        .take(3)
        .map(|part| part.chars().all(|c| c.is_ascii_digit()).then(|| part.parse().ok()).flatten())
        .collect::<Option<_>>()?;
    match numbers.as_slice() {
        [year, quarter, patch] => Some((*year, *quarter, *patch)),
        [year, quarter] => Some((*year, *quarter, 0)),
        _ => None,
    }
}

/// The first line of a place: a mapping is not underlined as a whole.
pub(crate) fn first_line(span: &Span) -> Span {
    let Some(source) = span.source() else { return span.clone() };
    let range = span.range();
    let text = source.text.get(range.clone()).unwrap_or_default();
    let line = text.lines().next().unwrap_or_default().trim_end();
    Span::new(source, range.start..range.start + line.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_three_parts() {
        assert_eq!(parts("26.1.2"), Some((26, 1, 2)));
        assert_eq!(parts("25.4.0.dev0"), Some((25, 4, 0)));
        assert_eq!(parts("25.4"), Some((25, 4, 0)));
        for wrong in ["", "x", "26", "26.x.1", "v26.1.2"] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_sensitive_value_has_a_variable() {
        assert_eq!(variable_of("my-llm.api_key"), "MY_LLM_API_KEY");
        assert!(is_sensitive("a.b.api_key") && !is_sensitive("api_key") && !is_sensitive("a.name"));
    }
}
