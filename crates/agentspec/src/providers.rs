//! Context providers of a flow.

use flowrun_core::diagnostics::Spanned;
use flowrun_core::node::Node;
use flowrun_core::spec::{ContextSpec, Provider};
use flowrun_core::value::Value;

use crate::codes;
use crate::component::{Component, PROVIDERS, TOOLS};
use crate::document::first_line;
use crate::import::Importer;
use crate::property::{Property, find};

/// A context provider of a flow.
pub(crate) struct ProviderHere<'a> {
    pub(crate) c: Component<'a>,
    /// The one value that it gives.
    pub(crate) output: Property,
    provider: Provider,
}

impl ProviderHere<'_> {
    /// What the flow calls the value: a flow that was exported says it beside, every other one calls it as the provider does.
    pub(crate) fn name(&self) -> &str {
        self.c.own("name").and_then(Node::as_str).unwrap_or(&self.output.title)
    }

    /// What it is in a flow.
    pub(crate) fn spec(self) -> ContextSpec {
        ContextSpec {
            name: Spanned::new(self.name().to_owned(), self.output.span.clone()),
            provider: self.provider,
        }
    }
}

impl<'a> Importer<'a> {
    pub(crate) fn providers(&self, c: Component<'a>) -> Vec<ProviderHere<'a>> {
        let items = self.doc.list(c, "context_providers").iter();
        let found =
            items.filter_map(|item| self.provider(self.doc.component(item, "context_providers", &PROVIDERS)?));
        found.collect()
    }

    fn provider(&self, c: Component<'a>) -> Option<ProviderHere<'a>> {
        let declared = self.doc.properties(c, "outputs").unwrap_or_default();
        let [output] = declared.as_slice() else {
            let message = format!("`{}` gives one value, and names it under `outputs`", c.name());
            self.doc.error(codes::BAD_COMPONENT, message, c.name_span());
            return None;
        };
        let provider = match c.kind {
            "PluginConstantContextProvider" => {
                self.doc.known_fields(c, &["inputs", "outputs", "branches", "value"]);
                Provider::Value(self.doc.get(c, "value").map_or(Value::Null, Node::to_value))
            }
            "PluginFlowContextProvider" => {
                self.doc.known_fields(c, &["inputs", "outputs", "branches", "flow", "output_names"]);
                let inner = self.needed_flow(c, "flow")?;
                let name = match self.doc.list(c, "output_names") {
                    [] => output.title.as_str(),
                    [name] => name.as_str().unwrap_or_default(),
                    _ => {
                        let message = format!("`{}` gives one value", c.name());
                        self.doc.error(codes::BAD_COMPONENT, message, c.span_of("output_names"));
                        return None;
                    }
                };
                if find(&inner.outputs, name).is_none() {
                    let message = format!("the flow of `{}` gives no `{name}`", c.name());
                    self.doc.error(codes::BAD_COMPONENT, message, c.name_span());
                    return None;
                }
                Provider::Flow {
                    flow: Spanned::new(inner.name.clone(), first_line(c.span_of("flow"))),
                    output: Some(Spanned::new(name.to_owned(), first_line(c.span_of("output_names")))),
                }
            }
            _ => {
                self.doc.known_fields(c, &["inputs", "outputs", "branches", "tool", "output_name"]);
                let tool = self.doc.needed(c, "tool", &TOOLS)?;
                let (name, _, results) = self.tool(tool)?;
                let several = (results.len() > 1).then_some(&output.title);
                Provider::Tool {
                    tool: Spanned::new(name, first_line(c.span_of("tool"))),
                    output: several.map(|name| Spanned::new(name.clone(), first_line(c.span_of("output_name")))),
                }
            }
        };
        Some(ProviderHere { c, output: output.clone(), provider })
    }
}
