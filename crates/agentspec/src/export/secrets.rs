//! Sensitive values: they never stand in a document. A reference stands in their place, by whose name they are given again.

use flowrun_core::diagnostics::{Diagnostic, Span};
use flowrun_core::node::{Node, NodeKind};
use serde_json::{Map, Value as Json};

use super::{Exporter, reference};
use crate::codes;
use crate::document::variable_of;

/// Keys whose values are sensitive although their names are no secret's: what a program is given of the environment is
/// named, not given, and stays.
pub(crate) fn is_secret(key: &str) -> bool {
    flowrun_yaml::is_secret_key(key)
}

impl Exporter<'_> {
    /// The reference that stands for a sensitive value of a component.
    pub(crate) fn secret(&mut self, id: &str, field: &str, span: &Span) -> Json {
        let name = format!("{id}.{field}");
        self.secrets.insert(name.clone(), (field.to_owned(), span.clone()));
        reference(&name)
    }

    /// A part of a configuration as JSON, without what is sensitive in it.
    pub(crate) fn without_secrets(&mut self, id: &str, node: &Node) -> Json {
        match &node.kind {
            NodeKind::List(items) => items.iter().map(|item| self.without_secrets(id, item)).collect(),
            NodeKind::Map(entries) => {
                let mut map = Map::new();
                for entry in entries {
                    let empty = matches!(entry.value.kind, NodeKind::Null);
                    let value = if is_secret(&entry.key) && !empty {
                        self.secret(id, &entry.key, &entry.key_span)
                    } else {
                        self.without_secrets(id, &entry.value)
                    };
                    map.insert(entry.key.to_string(), value);
                }
                Json::Object(map)
            }
            _ => json_of(node),
        }
    }

    /// Says which sensitive values were left out, and how they are given again.
    pub(crate) fn tell_secrets(&mut self) {
        for (name, (field, span)) in std::mem::take(&mut self.secrets) {
            let message = format!("`{field}` is sensitive and was left out; the document calls it `{name}`");
            let told = Diagnostic::warning(codes::LEFT_OUT, message, &span);
            let way = format!("give it in a file by `--components`, or set {}", variable_of(&name));
            self.report(told.help(way));
        }
    }
}

/// A node as JSON. One that no JSON can say holds a number that is not finite.
pub(crate) fn json_of(node: &Node) -> Json {
    node.to_value().to_json().unwrap_or_default()
}
