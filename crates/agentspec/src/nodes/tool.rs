//! Nodes that call tools: a `tool` step, and the tool itself.

use flowrun_core::diagnostics::{Diagnostic, Spanned};
use flowrun_core::node::Node;
use flowrun_core::spec::{InputSpec, ToolSpec};
use flowrun_core::types::Type;
use flowrun_core::value::Value;

use super::{Around, Draft, Reading};
use crate::castable::Shape;
use crate::codes;
use crate::component::{Component, TOOLS, unsupported};
use crate::config::Config;
use crate::document::first_line;
use crate::import::Importer;
use crate::property::Property;

/// The one result of a tool that names none.
const RESULT: &str = "tool_output";

/// A tool: its name here, and what it takes and gives.
pub(crate) type Known = (String, Vec<Property>, Vec<Property>);

/// What a tool takes and gives.
pub(super) struct Ports {
    pub(super) inputs: Vec<Property>,
    /// What the component gives.
    pub(super) outputs: Vec<Property>,
    /// What a call gives, which an agent is told even where the component names nothing.
    results: Option<Vec<Property>>,
}

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

    /// The tool that a component is here, read once.
    pub(crate) fn tool(&self, c: Component<'a>) -> Option<Known> {
        let key = c.identity();
        if let Some(known) = self.known_tools.borrow().get(&key) {
            return known.clone();
        }
        let read = match c.kind {
            "ServerTool" | "ClientTool" => self.server_tool(c),
            "RemoteTool" => self.remote_tool(c),
            "MCPTool" | "PluginMCPTool" => self.mcp_tool(c),
            "PluginToolFromToolBox" => self.tool_from_toolbox(c),
            _ => {
                self.doc.report(unsupported(c));
                None
            }
        };
        self.known_tools.borrow_mut().insert(key, read.clone());
        read
    }

    /// Whether somebody has to allow each call.
    pub(super) fn confirmed(&self, c: Component<'a>) -> bool {
        self.doc.flag(c, "requires_confirmation", false)
    }

    /// The ports of a tool that lists them.
    pub(super) fn tool_ports(&self, c: Component<'a>) -> Ports {
        let inputs = self.doc.properties(c, "inputs").unwrap_or_default();
        let result = |shape| vec![Property::new(RESULT, shape, c.span)];
        match self.doc.properties(c, "outputs") {
            None => Ports { inputs, outputs: result(Shape::string()), results: Some(result(Shape::string())) },
            Some(none) if none.is_empty() => Ports { inputs, outputs: none, results: Some(result(Shape::any())) },
            Some(outputs) => Ports { inputs, results: Some(outputs.clone()), outputs },
        }
    }

    /// A tool that the program has under that name, or that who runs the flow lends; or one that our own metadata describes.
    fn server_tool(&self, c: Component<'a>) -> Option<Known> {
        self.doc.known_fields(c, &["inputs", "outputs", "requires_confirmation"]);
        let ports = self.tool_ports(c);
        let confirm = self.confirmed(c);
        let Some(config) = c.own("config").filter(|config| config.entries().is_some()) else {
            if (self.has_tool)(c.name()) {
                if confirm {
                    self.unsupported_value(c, "requires_confirmation", "true");
                    return None;
                }
                return Some((c.name().to_owned(), ports.inputs, ports.outputs));
            }
            let kind = if c.kind == "ClientTool" { "client" } else { "host" };
            let config = Config::new(&first_line(c.name_span()));
            let name = self.define_tool(c, kind, config, &ports, confirm)?;
            return Some((name, ports.inputs, ports.outputs));
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
        let name = self.define_tool(c, kind, rest, &ports, confirm)?;
        Some((name, ports.inputs, ports.outputs))
    }

    fn remote_tool(&self, c: Component<'a>) -> Option<Known> {
        let own = ["inputs", "outputs", "requires_confirmation"];
        let fields: Vec<&str> = super::http::FIELDS.iter().chain(&own).copied().collect();
        self.doc.known_fields(c, &fields);
        let mut request = self.api_node(c, &Around { variables: &[] })?;
        let mut inputs = request.inputs;
        let declared = self.doc.properties(c, "inputs").unwrap_or_default();
        self.own_config(c, &mut request.draft.config);
        if c.own("config").is_some() {
            // Texts there may read more than those of the fields.
            inputs.clone_from(&declared);
        }
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
        let ports = Ports { inputs, outputs: request.outputs, results: None };
        let name = self.define_tool(c, "http", request.draft.config, &ports, self.confirmed(c))?;
        Some((name, ports.inputs, ports.outputs))
    }

    /// The name of a tool that runs a flow.
    pub(super) fn flow_tool(&self, c: Component<'a>) -> Option<String> {
        let inner = self.flow(c)?;
        let mut config = Config::new(&first_line(c.name_span()));
        config.set("flow", inner.name.as_str());
        self.define(c, ToolSpec { arguments: None, results: None, ..spec(c, "flow", config) })
    }

    pub(super) fn define_tool(
        &self,
        c: Component<'a>,
        kind: &str,
        config: Config,
        ports: &Ports,
        confirm: bool,
    ) -> Option<String> {
        // Some tools say themselves what they take and give, as our own metadata then tells.
        let unlisted = c.own("unlisted").and_then(Node::items).unwrap_or_default();
        let listed = |what: &str| !unlisted.iter().any(|item| item.as_str() == Some(what));
        let results = ports.results.as_ref().filter(|_| listed("results"));
        let own = |key: &str| c.own(key).map(|said| said.to_value().is_truthy());
        let tool = ToolSpec {
            arguments: listed("arguments").then(|| ports.inputs.iter().map(port).collect()),
            results: results.map(|results| results.iter().map(port).collect()),
            idempotent: own("idempotent"),
            confirm: own("confirm").or_else(|| confirm.then_some(true)),
            ..spec(c, kind, config)
        };
        self.define(c, tool)
    }

    /// Adds a tool to those of the flow, and gives the name under which it stands there. What is the same stands there once.
    fn define(&self, c: Component<'a>, mut spec: ToolSpec) -> Option<String> {
        let mut tools = self.tools.borrow_mut();
        let wanted = c.own("name").and_then(Node::as_str).unwrap_or(c.name());
        // Whoever lends a function does so by its name.
        let lent = ["host", "client"].contains(&spec.kind.value.as_str());
        let namesakes = tools.namesakes.get(wanted).map(Vec::as_slice).unwrap_or_default();
        if let Some(same) = namesakes.iter().map(|n| &tools.specs[*n]).find(|other| alike(other, &spec)) {
            return Some(same.name.value.clone());
        }
        if lent && !namesakes.is_empty() {
            let message = format!("two tools are named `{wanted}`, and one function is lent by that name");
            let wrong = Diagnostic::error(codes::BAD_COMPONENT, message, c.name_span());
            self.doc.report(wrong.help("let them take and give the same, or give one another name"));
            return None;
        }
        let name = tools.names.unique_by(wanted, "_");
        spec.name = Spanned::new(name.clone(), first_line(c.name_span()));
        let place = tools.specs.len();
        tools.namesakes.entry(wanted.to_owned()).or_default().push(place);
        tools.specs.push(spec);
        Some(name)
    }
}

/// A tool that is not named yet.
fn spec(c: Component<'_>, kind: &str, config: Config) -> ToolSpec {
    ToolSpec {
        name: Spanned::new(String::new(), first_line(c.name_span())),
        kind: Spanned::new(kind.to_owned(), first_line(c.span)),
        description: c.description(),
        arguments: None,
        results: None,
        idempotent: None,
        confirm: None,
        config: config.finish(),
        span: first_line(c.name_span()),
    }
}

/// Whether two tools of one name are the same, wherever they stand. What is lent is one function, however it is described.
fn alike(one: &ToolSpec, other: &ToolSpec) -> bool {
    fn ports(ports: Option<&Vec<InputSpec>>) -> Option<Vec<(&str, &Type, Option<&Value>)>> {
        Some(ports?.iter().map(|p| (p.name.value.as_str(), &p.value_type, p.default.as_ref())).collect())
    }
    let lent = ["host", "client"].contains(&one.kind.value.as_str());
    one.kind.value == other.kind.value
        && (lent || one.description == other.description)
        && one.confirm == other.confirm
        && ports(one.arguments.as_ref()) == ports(other.arguments.as_ref())
        && ports(one.results.as_ref()) == ports(other.results.as_ref())
        && one.config.to_value() == other.config.to_value()
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
