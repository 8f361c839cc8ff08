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
    key("output", "Which output of the flow, where it has several."),
];

/// A kind of provider that the format has and this version does not.
const UNAVAILABLE: &str = "tool";

const FORMS: &str = "write `name: { value: … }` for a constant, or `name: { flow: … }`";

impl Decoder<'_> {
    /// The variables of a flow, in the order written.
    pub(super) fn variables(&mut self, entry: &Entry) -> Vec<VariableSpec> {
        let help = "write `variables: { name: type }`, or `name: { type: …, default: … }`";
        let entries = self.entries("variables", &entry.value, help).unwrap_or_default();
        let declared = entries.iter().filter_map(|entry| self.declared("variable", entry));
        declared
            .map(|InputSpec { name, value_type, default, description }| VariableSpec {
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
        if let Some(tool) = get(entries, UNAVAILABLE) {
            let message = format!("{} is not available in this version", quoted(UNAVAILABLE));
            self.push(Diagnostic::error(codes::NOT_AVAILABLE, message, &tool.key_span).help(FORMS));
            return None;
        }
        self.known_keys(entries, CONTEXT_KEYS, &place, Some(FORMS));
        let provider = match (get(entries, "value"), get(entries, "flow")) {
            (Some(value), None) => Provider::Value(value.value.to_value()),
            (None, Some(flow)) => Provider::Flow {
                flow: self.named("flow", "the name of a flow", &flow.value)?,
                output: match get(entries, "output") {
                    Some(output) => Some(self.output_of_flow(&output.value)?),
                    None => None,
                },
            },
            (None, None) => {
                self.missing("value", &place, &first_line(&entry.key_span), FORMS);
                return None;
            }
            (Some(_), Some(flow)) => {
                let message = format!("{place} has both `value` and `flow`");
                self.push(Diagnostic::error(codes::WRONG_KIND, message, &flow.key_span).help(FORMS));
                return None;
            }
        };
        if let (Provider::Value(_), Some(output)) = (&provider, get(entries, "output")) {
            let message = "`output` goes with `flow` alone";
            self.push(Diagnostic::error(codes::WRONG_KIND, message, &output.key_span));
        }
        Some(ContextSpec { name, provider })
    }

    fn output_of_flow(&mut self, node: &Node) -> Option<Spanned<String>> {
        let name = node.as_str().filter(|name| node.inlined.is_none() && !name.is_empty());
        if name.is_none() {
            let problem = wrong_kind("output", "the name of an output of the flow", node);
            self.push(problem);
        }
        name.map(|name| Spanned::new(name.to_owned(), node.span.clone()))
    }
}
