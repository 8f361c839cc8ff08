//! What stands under our own key, and the node that is a step of our own.

use flowrun_core::node::{Entry, Node, NodeKind};

use super::{Around, Draft, Reading};
use crate::codes;
use crate::component::{Component, DATASTORES, FLOWS, LLMS, TOOLS};
use crate::config::{Config, text};
use crate::document::REFERENCE;
use crate::import::Importer;

pub(super) const FIELDS: &[&str] = &["step_type", "models", "datastores", "tools", "flows"];

/// Keys of a step that name what the flow defines.
const NAMES: &[&str] = &["model", "rephrase", "datastore", "tool", "tools", "flow", "flows"];

impl<'a> Importer<'a> {
    /// Sets what no field of a component can say and is kept beside them, and takes out what a field says too much.
    pub(super) fn own_config(&self, c: Component<'a>, config: &mut Config) {
        for entry in c.own("config").and_then(Node::entries).unwrap_or_default() {
            config.put(&entry.key, self.own_value(&entry.value));
        }
        for key in c.own("without").and_then(Node::items).unwrap_or_default().iter().filter_map(Node::as_str) {
            config.remove(key);
        }
    }

    /// A value under our own key. What is sensitive in it is referred to, and comes from where such values come from.
    pub(crate) fn own_value(&self, node: &'a Node) -> Node {
        let kind = match &node.kind {
            NodeKind::List(items) => NodeKind::List(items.iter().map(|item| self.own_value(item)).collect()),
            NodeKind::Map(entries) if node.get(REFERENCE).is_some() && entries.len() == 1 => {
                return match self.doc.secret(node) {
                    Ok(Some(given)) => match serde_json::from_str(&given) {
                        Ok(json @ serde_json::Value::Object(_)) => {
                            crate::config::placed(Node::from_json(&json), &node.span)
                        }
                        _ => text(given, &node.span),
                    },
                    Ok(None) => Node::new(NodeKind::Null, node.span.clone()),
                    Err(secret) => {
                        self.not_given(&secret, node);
                        Node::new(NodeKind::Null, node.span.clone())
                    }
                };
            }
            NodeKind::Map(entries) => NodeKind::Map(
                entries.iter().map(|e| Entry { value: self.own_value(&e.value), ..e.clone() }).collect(),
            ),
            other => other.clone(),
        };
        Node::new(kind, node.span.clone())
    }

    /// A step that neither Agent Spec nor `WayFlow` has.
    pub(crate) fn custom_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let kind = self.doc.needed_text(c, "step_type")?;
        let mut draft = Draft::new(kind.as_str().unwrap_or_default(), c);
        let mut renamed: Vec<(String, String)> = Vec::new();
        let mut fine = true;
        for field in ["models", "datastores", "tools", "flows"] {
            for entry in self.doc.map(c, field) {
                let found = match field {
                    "models" => self.doc.component(&entry.value, field, &LLMS).and_then(|c| self.model(c)),
                    "datastores" => {
                        self.doc.component(&entry.value, field, &DATASTORES).and_then(|c| self.datastore(c))
                    }
                    "tools" => self.doc.component(&entry.value, field, &TOOLS).and_then(|c| Some(self.tool(c)?.0)),
                    _ => self
                        .doc
                        .component(&entry.value, field, &FLOWS)
                        .and_then(|c| Some(self.flow(c)?.name.clone())),
                };
                match found {
                    Some(name) => renamed.push((entry.key.to_string(), name)),
                    None => fine = false,
                }
            }
        }
        for entry in c.own("config").and_then(Node::entries).unwrap_or_default() {
            if NAMES.contains(&&*entry.key) && has_other_name(&entry.value, &renamed) {
                let message = format!(
                    "`{}` of `{}` names something that has another name in this document",
                    entry.key,
                    c.name()
                );
                self.doc.error(codes::BAD_COMPONENT, message, &entry.key_span);
            }
        }
        let (inputs, outputs) = (self.doc.properties(c, "inputs"), self.doc.properties(c, "outputs"));
        let inputs = inputs.unwrap_or_default();
        draft.takes_all(&inputs);
        let branches: Vec<String> =
            self.doc.list(c, "branches").iter().filter_map(|b| b.as_str().map(str::to_owned)).collect();
        fine.then(|| Reading { inputs, outputs: outputs.unwrap_or_default(), branches, draft })
    }
}

/// Whether what is named became something of another name.
fn has_other_name(node: &Node, renamed: &[(String, String)]) -> bool {
    let other = |name: &str| renamed.iter().any(|(old, new)| old == name && old != new);
    match &node.kind {
        NodeKind::String(name) => other(name),
        NodeKind::List(items) => items.iter().any(|item| item.as_str().is_some_and(other)),
        _ => false,
    }
}
