//! The inputs of a flow.

use flowrun_core::diagnostics::Diagnostic;
use flowrun_core::node::{Entry, Node, NodeKind};
use flowrun_core::spec::InputSpec;

use super::{Decoder, Key, get, key, types};
use crate::codes;
use crate::problems::{quoted, written};

/// What the long form of an input or variable has besides the keys of a type.
pub(crate) const DEFAULT: Key = key("default", "What it is where nothing is given.");

/// What the long form of an input has besides.
pub(crate) const SECRET: Key = key(
    "secret",
    "Whether its value is kept nowhere and shown to nobody, as that of a password. It is given again when a run goes on, and its default can only come from the environment.",
);

const INPUT: &str = "input";

impl Decoder<'_> {
    /// The inputs of a flow, in the order written. One whose type is wrong is left out, and a problem says so.
    pub(super) fn inputs(&mut self, entry: &Entry) -> Option<Vec<InputSpec>> {
        let help = "write `inputs: { name: type }`, and `inputs: {}` where there are none";
        let entries = self.entries("inputs", &entry.value, help)?;
        let mut inputs = Vec::with_capacity(entries.len());
        for entry in entries {
            inputs.extend(self.declared(INPUT, entry));
        }
        Some(inputs)
    }

    /// A name with its type, and a default where it has one: an input, or another `what`.
    pub(super) fn declared(&mut self, what: &str, entry: &Entry) -> Option<InputSpec> {
        let name = self.name(what, entry);
        let NodeKind::Map(entries) = &entry.value.kind else {
            let value_type = self.value_type(&entry.key, &entry.value)?;
            return Some(InputSpec { name, value_type, default: None, description: None, secret: false });
        };
        let more: &[Key] = if what == INPUT { &[DEFAULT, SECRET] } else { &[DEFAULT] };
        let known: Vec<Key> = types::TYPE_KEYS.iter().chain(more).map(|k| key(k.name, k.doc)).collect();
        self.known_keys(entries, &known, &format!("{what} {}", quoted(&entry.key)), None);
        let value_type = self.long_type(&entry.key, &entry.value, entries)?;
        let secret = what == INPUT && get(entries, SECRET.name).and_then(|e| self.boolean(e)).unwrap_or_default();
        let default = match get(entries, DEFAULT.name) {
            Some(default) if secret && stands_in_the_file(&default.value) => {
                let message = format!("the default of the secret input {} stands in the file", quoted(&entry.key));
                // Not at the default, whose line would show it.
                let place = get(entries, SECRET.name).map_or(&default.key_span, |e| &e.key_span);
                let wrong = Diagnostic::error(codes::SECRET, message, place);
                self.push(wrong.help("take it from the environment, `default: ${NAME}`"));
                return None;
            }
            Some(default) => {
                Some(self.value_of(&entry.key, "the default", &value_type, &default.value, &entry.value)?)
            }
            None => None,
        };
        let description = get(entries, "description").and_then(|e| e.value.as_str()).map(str::to_owned);
        Some(InputSpec { name, value_type, default, description, secret })
    }
}

/// Whether a secret can be read in the flow's own file: anything but null, a variable of the environment or another file.
fn stands_in_the_file(value: &Node) -> bool {
    if value.kind == NodeKind::Null || value.inlined.is_some() {
        return false;
    }
    let written = written(&value.span).unwrap_or_default().trim().trim_matches(['"', '\'']);
    let Some((_, rest)) = written.split_once("${") else { return true };
    // What stands in for a variable that is not set is a text of the file, too.
    rest.split_once(":-").is_some_and(|(_, instead)| !instead.starts_with('}'))
}
