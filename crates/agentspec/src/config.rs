//! The configuration of a step, put together with places.

use flowrun_core::diagnostics::Span;
use flowrun_core::node::{Entry, Node, NodeKind};
use serde_json::Value as Json;

/// A mapping that is being built.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    entries: Vec<Entry>,
    span: Span,
}

impl Config {
    /// An empty one for what stands at a place.
    pub(crate) fn new(span: &Span) -> Self {
        Self { entries: Vec::new(), span: span.clone() }
    }

    /// Sets a key to plain JSON, which stands where the whole does.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<Json>) -> &mut Self {
        let span = self.span.clone();
        self.set_at(key, value, &span)
    }

    /// Sets a key to plain JSON that stands at a place.
    pub(crate) fn set_at(&mut self, key: &str, value: impl Into<Json>, span: &Span) -> &mut Self {
        self.put(key, placed(Node::from_json(&value.into()), span))
    }

    /// Sets a key.
    pub(crate) fn put(&mut self, key: &str, value: Node) -> &mut Self {
        let key_span = value.span.clone();
        let entry = Entry { key: key.into(), key_span, value };
        match self.entries.iter_mut().find(|e| *e.key == *key) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
        self
    }

    /// Takes a key out.
    pub(crate) fn remove(&mut self, key: &str) {
        self.entries.retain(|entry| *entry.key != *key);
    }

    pub(crate) fn finish(self) -> Node {
        Node::new(NodeKind::Map(self.entries), self.span)
    }
}

/// The node with one place for all of it.
pub(crate) fn placed(mut node: Node, span: &Span) -> Node {
    node.span = span.clone();
    match &mut node.kind {
        NodeKind::List(items) => {
            for item in items.iter_mut() {
                *item = placed(std::mem::replace(item, Node::new(NodeKind::Null, Span::none())), span);
            }
        }
        NodeKind::Map(entries) => {
            for entry in entries.iter_mut() {
                entry.key_span = span.clone();
                let value = std::mem::replace(&mut entry.value, Node::new(NodeKind::Null, Span::none()));
                entry.value = placed(value, span);
            }
        }
        _ => {}
    }
    node
}

/// A text at a place.
pub(crate) fn text(text: impl Into<String>, span: &Span) -> Node {
    Node::new(NodeKind::String(text.into().into()), span.clone())
}

/// A mapping at a place.
pub(crate) fn mapping(entries: impl IntoIterator<Item = (String, Node)>, span: &Span) -> Node {
    let entries = entries
        .into_iter()
        .map(|(key, value)| Entry { key: key.into(), key_span: value.span.clone(), value })
        .collect();
    Node::new(NodeKind::Map(entries), span.clone())
}
