//! What a flow holds for its steps: variables, and context providers.

use flowrun_core::diagnostics::{Diagnostic, Spanned};
use flowrun_core::node::{Entry, Node};
use flowrun_core::spec::{ContextSpec, InputSpec, Provider, VariableSpec};

use super::{Decoder, Key, get, key, wrong_kind};
use crate::codes;
use crate::problems::{first_line, quoted};

/// The keys of a context provider.
pub(crate) const CONTEXT_KEYS: &[Key] = &[
    key("value", "The constant that it gives, of any kind."),
    key("flow", "The flow that gives it, run each time that a step wants the value."),
    key("tool", "The tool that gives it, called each time that a step wants the value."),
    key("output", "Which output of the flow, or result of the tool, where it has several."),
];

const FORMS: &str = "write `name: { value: … }` for a constant, `name: { flow: … }`, or `name: { tool: … }`";

impl Decoder<'_> {
    /// The variables of a flow, in the order written.
    pub(super) fn variables(&mut self, entry: &Entry) -> Vec<VariableSpec> {
        let help = "write `variables: { name: type }`, or `name: { type: …, default: … }`";
        let entries = self.entries("variables", &entry.value, help).unwrap_or_default();
        let declared = entries.iter().filter_map(|entry| self.declared("variable", entry));
        declared
            .map(|InputSpec { name, value_type, default, description, secret: _ }| VariableSpec {
                name,
                value_type,
                default,
                description,
            })
            .collect()
    }

    /// The context providers of a flow, in the order written.
    pub(super) fn context(&mut self, entry: &Entry) -> Vec<ContextSpec> {
        let entries = self.entries("context", &entry.value, FORMS).unwrap_or_default();
        entries.iter().filter_map(|entry| self.context_provider(entry)).collect()
    }

    fn context_provider(&mut self, entry: &Entry) -> Option<ContextSpec> {
        let name = self.name("context provider", entry);
        let entries = self.entries(&entry.key, &entry.value, FORMS)?;
        let place = format!("context provider {}", quoted(&entry.key));
        self.known_keys(entries, CONTEXT_KEYS, &place, Some(FORMS));
        let mut kinds = ["value", "flow", "tool"].into_iter().filter_map(|kind| get(entries, kind));
        let (first, second) = (kinds.next(), kinds.next());
        let Some(given) = first else {
            self.missing("value", &place, &first_line(&entry.key_span), FORMS);
            return None;
        };
        if let Some(second) = second {
            let message = format!("{place} has both `{}` and `{}`", given.key, second.key);
            self.push(Diagnostic::error(codes::WRONG_KIND, message, &second.key_span).help(FORMS));
            return None;
        }
        let provider = if &*given.key == "value" {
            Provider::Value(given.value.to_value())
        } else {
            let named = self.named(&given.key, &format!("the name of a {}", given.key), &given.value)?;
            let output = match get(entries, "output") {
                Some(output) => Some(self.output_of(&given.key, &output.value)?),
                None => None,
            };
            match &*given.key {
                "flow" => Provider::Flow { flow: named, output },
                _ => Provider::Tool { tool: named, output },
            }
        };
        if let (Provider::Value(_), Some(output)) = (&provider, get(entries, "output")) {
            let message = "`output` goes with `flow` or `tool`";
            self.push(Diagnostic::error(codes::WRONG_KIND, message, &output.key_span));
        }
        Some(ContextSpec { name, provider })
    }

    fn output_of(&mut self, what: &str, node: &Node) -> Option<Spanned<String>> {
        let name = node.as_str().filter(|name| node.inlined.is_none() && !name.is_empty());
        if name.is_none() {
            let problem = wrong_kind("output", &format!("the name of an output of the {what}"), node);
            self.push(problem);
        }
        name.map(|name| Spanned::new(name.to_owned(), node.span.clone()))
    }
}
