//! Nodes that call tools: a `tool` step, and the tool itself.

use flowrun_core::diagnostics::Spanned;
use flowrun_core::node::Node;
use flowrun_core::spec::{InputSpec, ToolSpec};

use super::{Around, Draft, Reading};
use crate::codes;
use crate::component::{Component, TOOLS, unsupported};
use crate::config::Config;
use crate::document::first_line;
use crate::import::Importer;
use crate::property::Property;

/// The one result of a tool that names none.
const RESULT: &str = "tool_output";

impl<'a> Importer<'a> {
    pub(crate) fn tool_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let tool = self.doc.needed(c, "tool", &TOOLS)?;
        let (name, inputs, outputs) = self.tool(tool)?;
        let mut draft = Draft::new("tool", c);
        draft.config.set_at("tool", name, c.span_of("tool"));
        if !self.doc.flag(c, "raise_exceptions", true) {
            draft.config.set_at("raise_errors", false, c.span_of("raise_exceptions"));
        }
        draft.takes_all(&inputs);
        Some(Reading::new(inputs, outputs, draft))
    }

    /// The name of the tool that a component is here, with what it takes and gives.
    pub(crate) fn tool(&self, c: Component<'a>) -> Option<(String, Vec<Property>, Vec<Property>)> {
        if self.doc.flag(c, "requires_confirmation", false) && c.own("confirm").is_none() {
            self.unsupported_value(c, "requires_confirmation", "true");
            return None;
        }
        match c.kind {
            "ServerTool" | "ClientTool" => self.server_tool(c),
            "RemoteTool" => self.remote_tool(c),
            _ => {
                self.doc.report(unsupported(c));
                None
            }
        }
    }

    /// A tool that the program has under that name, or that who runs the flow lends; or one that our own metadata describes.
    fn server_tool(&self, c: Component<'a>) -> Option<(String, Vec<Property>, Vec<Property>)> {
        self.doc.known_fields(c, &["inputs", "outputs", "requires_confirmation"]);
        let inputs = self.doc.properties(c, "inputs").unwrap_or_default();
        let outputs = self
            .doc
            .properties(c, "outputs")
            .unwrap_or_else(|| vec![Property::new(RESULT, crate::castable::Shape::string(), c.span)]);
        let Some(config) = c.own("config").filter(|config| config.entries().is_some()) else {
            if (self.has_tool)(c.name()) {
                return Some((c.name().to_owned(), inputs, outputs));
            }
            let name =
                self.define_tool(c, "host", Config::new(&first_line(c.name_span())), &inputs, Some(&outputs));
            return Some((name, inputs, outputs));
        };
        let kind = config.get("type").and_then(Node::as_str);
        let Some(kind) = kind else {
            self.doc.error(codes::MISSING, "the tool has no `type`", &first_line(&config.span));
            return None;
        };
        let mut rest = Config::new(&first_line(c.name_span()));
        for entry in config.entries().unwrap_or_default().iter().filter(|e| &*e.key != "type") {
            rest.put(&entry.key, self.own_value(&entry.value));
        }
        if let Some(flow) = c.own("flow") {
            let inner =
                self.doc.component(flow, "flow", &crate::component::FLOWS).and_then(|flow| self.flow(flow))?;
            rest.set("flow", inner.name.as_str());
        }
        let name = self.define_tool(c, kind, rest, &inputs, Some(&outputs));
        Some((name, inputs, outputs))
    }

    fn remote_tool(&self, c: Component<'a>) -> Option<(String, Vec<Property>, Vec<Property>)> {
        let own = ["inputs", "outputs", "requires_confirmation"];
        let fields: Vec<&str> = super::http::FIELDS.iter().chain(&own).copied().collect();
        self.doc.known_fields(c, &fields);
        let request = self.api_node(c, &Around { variables: &[] })?;
        let mut inputs = request.inputs;
        let declared = self.doc.properties(c, "inputs").unwrap_or_default();
        for input in &mut inputs {
            if let Some(written) = crate::property::find(&declared, &input.title) {
                *input = written.clone();
            }
        }
        let renamed = request.draft.inputs.iter().any(|taken| taken.step != taken.node);
        if renamed {
            let message = format!("a hole of `{}` has a name that no variable can have", c.name());
            self.doc.error(codes::UNSUPPORTED, message, c.name_span());
            return None;
        }
        let name = self.define_tool(c, "http", request.draft.config, &inputs, None);
        Some((name, inputs, request.outputs))
    }

    fn define_tool(
        &self,
        c: Component<'a>,
        kind: &str,
        config: Config,
        inputs: &[Property],
        outputs: Option<&[Property]>,
    ) -> String {
        let mut tools = self.tools.borrow_mut();
        if let Some(Some(known)) = tools.known.get(&c.identity()) {
            return known.clone();
        }
        let name = tools.names.unique(c.name());
        // Some tools say themselves what they take and give, as our own metadata then tells.
        let unlisted = c.own("unlisted").and_then(Node::items).unwrap_or_default();
        let listed = |what: &str| !unlisted.iter().any(|item| item.as_str() == Some(what));
        tools.known.insert(c.identity(), Some(name.clone()));
        tools.specs.push(ToolSpec {
            name: Spanned::new(name.clone(), first_line(c.name_span())),
            kind: Spanned::new(kind.to_owned(), first_line(c.span)),
            description: c.description(),
            arguments: listed("arguments").then(|| inputs.iter().map(port).collect()),
            results: outputs.filter(|_| listed("results")).map(|outputs| outputs.iter().map(port).collect()),
            idempotent: c.own("idempotent").map(|said| said.to_value().is_truthy()),
            confirm: c.own("confirm").map(|said| said.to_value().is_truthy()),
            config: config.finish(),
            span: first_line(c.name_span()),
        });
        name
    }
}

fn port(property: &Property) -> InputSpec {
    InputSpec {
        name: Spanned::new(property.title.clone(), property.span.clone()),
        value_type: property.shape.to_type(),
        default: property.default.clone(),
        description: property.description.clone(),
        secret: false,
    }
}
