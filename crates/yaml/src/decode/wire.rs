//! Wires and references.

use flowrun_core::diagnostics::{Diagnostic, Spanned};
use flowrun_core::node::{Entry, Node, NodeKind};
use flowrun_core::spec::{Reference, Wire, WireKind};

use super::{Decoder, Key, get, key, names, wrong_kind};
use crate::codes;
use crate::problems::{described, first_line, quoted};

/// The keys of a constant.
pub(crate) const CONSTANT_KEYS: &[Key] = &[key("value", "The constant itself, of any kind.")];

/// The key of a number that comes late.
pub(crate) const FROM_KEYS: &[Key] = &[key("from", "The reference that gives the number when it is needed.")];

const FORMS: &str = "write a reference (`step.output`, `inputs.name`, or a bare name), a constant \
                     (`{ value: … }`), or a list of references, of which the one produced last counts";

impl Decoder<'_> {
    /// Where the input or output `name` comes from.
    pub(super) fn wire(&mut self, name: &str, node: &Node) -> Option<Wire> {
        let kind = match &node.kind {
            NodeKind::String(_) => WireKind::Reference(self.reference(name, node, FORMS)?),
            NodeKind::List(items) => WireKind::Latest(self.latest(name, node, items)?),
            NodeKind::Map(entries) if !entries.is_empty() => {
                let place = format!("the constant for {}", quoted(name));
                self.known_keys(entries, CONSTANT_KEYS, &place, Some(FORMS));
                WireKind::Value(get(entries, "value")?.value.to_value())
            }
            _ => {
                let problem = wrong_kind(name, "a reference or a constant", node);
                self.push(problem.help(FORMS));
                return None;
            }
        };
        Some(Wire { kind, span: node.span.clone() })
    }

    /// A mapping of wires, in the order written.
    pub(super) fn wires(&mut self, what: &str, entry: &Entry) -> Option<Vec<(Spanned<String>, Wire)>> {
        let help = format!("write `{}: {{ name: step.output }}`", entry.key);
        let entries = self.entries(&entry.key, &entry.value, &help)?;
        let mut found = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = self.port(what, entry);
            if let Some(wire) = self.wire(&entry.key, &entry.value) {
                found.push((name, wire));
            }
        }
        Some(found)
    }

    fn latest(&mut self, name: &str, node: &Node, items: &[Node]) -> Option<Vec<Spanned<Reference>>> {
        if items.is_empty() {
            let message = format!("the list for {} names nothing", quoted(name));
            self.push(Diagnostic::error(codes::WRONG_KIND, message, &node.span).help(FORMS));
            return None;
        }
        let mut found = Vec::with_capacity(items.len());
        for item in items {
            found.push(self.reference(name, item, FORMS).map(|r| Spanned::new(r, item.span.clone())));
        }
        found.into_iter().collect()
    }

    /// A reference, written as a string.
    pub(super) fn reference(&mut self, name: &str, node: &Node, help: &str) -> Option<Reference> {
        let text = node.as_str().filter(|text| node.inlined.is_none() && is_reference(text));
        if text.is_none() {
            let message = format!("{} is wired to {}, which is no reference", quoted(name), described(name, node));
            self.push(Diagnostic::error(codes::WRONG_KIND, message, &first_line(&node.span)).help(help));
        }
        text.map(Reference::parse)
    }

    /// `{ from: REFERENCE }`.
    pub(super) fn from(&mut self, name: &str, node: &Node, help: &str) -> Option<Reference> {
        let entries = node.entries()?;
        self.known_keys(entries, FROM_KEYS, &quoted(name), None);
        let from = get(entries, "from");
        if from.is_none() {
            self.missing("from", &quoted(name), &node.span, help);
        }
        self.reference(name, &from?.value, help)
    }

    /// A name in the place of a value, such as a step in `next`.
    pub(super) fn named(&mut self, key: &str, wanted: &str, node: &Node) -> Option<Spanned<String>> {
        let name = node.as_str().filter(|text| node.inlined.is_none() && names::is_name(text));
        if name.is_none() {
            let problem = wrong_kind(key, wanted, node);
            self.push(problem.help("a name is made of letters, digits, `_` and `-`"));
        }
        name.map(|name| Spanned::new(name.to_owned(), node.span.clone()))
    }
}

/// Whether a text can be a reference: a name, or a name, a dot and what it has.
fn is_reference(text: &str) -> bool {
    match text.split_once('.') {
        Some((owner, name)) => names::is_name(owner) && !name.trim().is_empty() && !name.contains(['{', '}']),
        None => names::is_name(text),
    }
}
