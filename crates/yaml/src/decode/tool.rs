//! Tools: what kind each is, and what it takes and gives.

use flowrun_core::diagnostics::Spanned;
use flowrun_core::node::{Entry, Node, NodeKind};
use flowrun_core::spec::{InputSpec, RESERVED_TOOL_KEYS, ToolSpec};

use super::{Decoder, Key, get, key, wrong_kind};
use crate::problems::{first_line, quoted};

/// The keys of a tool that are not its kind's own.
pub(crate) const TOOL_KEYS: &[Key] = &[
    key("type", "What kind of tool it is."),
    key("description", "What it does, for who decides whether to call it."),
    key("arguments", "What it takes: a name and a type for each argument."),
    key("results", "What it gives: a name and a type for each result. Without it, a text `tool_output`."),
    key(
        "idempotent",
        "Whether a call may be made twice without harm. With `false`, its beginning is written down first, and a resume asks what to do about a call of which nobody knows how it ended.",
    ),
    key("confirm", "Whether somebody has to allow each call, and may change its arguments."),
];

const FORM: &str = "write `tools: { name: { type: …, arguments: { text: string } } }`";

impl Decoder<'_> {
    /// The tools of a flow, in the order written.
    pub(super) fn tools(&mut self, entry: &Entry) -> Vec<ToolSpec> {
        let entries = self.entries("tools", &entry.value, FORM).unwrap_or_default();
        entries.iter().filter_map(|entry| self.tool(entry)).collect()
    }

    fn tool(&mut self, entry: &Entry) -> Option<ToolSpec> {
        let name = self.name("tool", entry);
        let entries = self.entries(&entry.key, &entry.value, FORM)?;
        let kind = match get(entries, "type") {
            Some(found) => self.string(found),
            None => {
                self.missing("type", &format!("tool {}", quoted(&entry.key)), &entry.key_span, FORM);
                None
            }
        };
        let config = entries.iter().filter(|e| !RESERVED_TOOL_KEYS.contains(&&*e.key)).cloned().collect();
        let span = first_line(&entry.value.span);
        let spec = ToolSpec {
            name,
            kind: Spanned::default(),
            description: get(entries, "description").and_then(|e| self.string(e)).map(|text| text.value),
            arguments: get(entries, "arguments").and_then(|e| self.tool_ports("argument", e)),
            results: get(entries, "results").and_then(|e| self.tool_ports("result", e)),
            idempotent: get(entries, "idempotent").and_then(|e| self.boolean(e)),
            confirm: get(entries, "confirm").and_then(|e| self.boolean(e)),
            config: Node::new(NodeKind::Map(config), span.clone()),
            span,
        };
        Some(ToolSpec { kind: kind?, ..spec })
    }

    fn tool_ports(&mut self, what: &str, entry: &Entry) -> Option<Vec<InputSpec>> {
        let help =
            format!("write `{}: {{ name: type }}`, and `{}: {{}}` where there are none", entry.key, entry.key);
        let entries = self.entries(&entry.key, &entry.value, &help)?;
        Some(entries.iter().filter_map(|entry| self.declared(what, entry)).collect())
    }

    pub(super) fn boolean(&mut self, entry: &Entry) -> Option<bool> {
        if let NodeKind::Bool(found) = entry.value.kind {
            return Some(found);
        }
        let problem = wrong_kind(&entry.key, "true or false", &entry.value);
        self.push(problem);
        None
    }
}
