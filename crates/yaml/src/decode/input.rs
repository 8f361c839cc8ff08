//! The inputs of a flow.

use flowrun_core::node::{Entry, NodeKind};
use flowrun_core::spec::InputSpec;

use super::{Decoder, Key, get, key, types};
use crate::problems::quoted;

/// What the long form of an input has besides the keys of a type.
pub(crate) const DEFAULT: Key = key("default", "What the input is where nothing is given.");

impl Decoder<'_> {
    /// The inputs of a flow, in the order written. One whose type is wrong is left out, and a problem says so.
    pub(super) fn inputs(&mut self, entry: &Entry) -> Option<Vec<InputSpec>> {
        let help = "write `inputs: { name: type }`, and `inputs: {}` where there are none";
        let entries = self.entries("inputs", &entry.value, help)?;
        let mut inputs = Vec::with_capacity(entries.len());
        for entry in entries {
            inputs.extend(self.typed("input", entry));
        }
        Some(inputs)
    }

    /// A name with a type, of a `what`: in short hand, or with a default.
    pub(super) fn typed(&mut self, what: &str, entry: &Entry) -> Option<InputSpec> {
        let name = self.name(what, entry);
        let NodeKind::Map(entries) = &entry.value.kind else {
            let value_type = self.value_type(&entry.key, &entry.value)?;
            return Some(InputSpec { name, value_type, default: None, description: None });
        };
        let known: Vec<Key> = types::TYPE_KEYS.iter().chain([&DEFAULT]).map(|k| key(k.name, k.doc)).collect();
        self.known_keys(entries, &known, &format!("{what} {}", quoted(&entry.key)), None);
        let value_type = self.long_type(&entry.key, &entry.value, entries)?;
        let default = match get(entries, "default") {
            Some(default) => {
                Some(self.value_of(&entry.key, "the default", &value_type, &default.value, &entry.value)?)
            }
            None => None,
        };
        let description = get(entries, "description").and_then(|e| e.value.as_str()).map(str::to_owned);
        Some(InputSpec { name, value_type, default, description })
    }
}
