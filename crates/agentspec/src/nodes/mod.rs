//! Nodes: what each type takes, gives and ends in, and which step it is here.

mod agent;
mod catch;
mod control;
mod custom;
mod data;
mod http;
mod llm;
mod map;
mod mcp;
mod stores;
mod talk;
mod texts;
mod tool;
mod variables;

use flowrun_core::diagnostics::{Span, Spanned};
use flowrun_core::node::{Node, NodeKind};
use flowrun_core::spec::PortSpec;

use crate::castable::Shape;
use crate::codes;
use crate::component::{Component, unsupported};
use crate::config::Config;
use crate::document::first_line;
use crate::flow::Inner;
use crate::import::Importer;
use crate::property::{Property, find};

pub(crate) use map::{AT_ONCE, ITERATED, Over, is_iterated};
pub(crate) use stores::BOUND;
pub(crate) use talk::{ROLES, SPEAKERS};
pub(crate) use texts::{FLAGS, constant_shape};
pub(crate) use tool::Known;

/// The branch of a node that has no others.
pub(crate) const NEXT: &str = "next";

/// A node with the ports and branches that it has by its nature, and the step that it is here.
pub(crate) struct Reading {
    pub(crate) inputs: Vec<Property>,
    pub(crate) outputs: Vec<Property>,
    pub(crate) branches: Vec<String>,
    pub(crate) draft: Draft,
}

/// A step that is not wired yet.
pub(crate) struct Draft {
    pub(crate) step_type: String,
    pub(crate) config: Config,
    pub(crate) inputs: Vec<Taken>,
    /// Outputs of the step that the node calls otherwise.
    pub(crate) outputs: Vec<Renamed>,
    /// Branches of the step that the node calls otherwise.
    pub(crate) branches: Vec<Renamed>,
    /// Branches of the node that are never taken.
    pub(crate) dead: Vec<String>,
    /// Branches that the step has besides.
    pub(crate) more: Vec<String>,
    /// What a map runs over, which only its wires tell.
    pub(crate) over: Option<Over>,
    /// Inputs of the step that are fields of the one input that the node has.
    pub(crate) fields_of: Option<(String, Vec<String>)>,
}

/// An input of a step.
#[derive(Clone)]
pub(crate) struct Taken {
    /// The step's name for it.
    pub(crate) step: String,
    /// The node's.
    pub(crate) node: String,
    /// Whether the type that the node says counts.
    pub(crate) typed: bool,
}

impl Taken {
    /// What the step's input is where the node says more of it than its type; nothing where it does not.
    pub(crate) fn spec(&self, port: &Property) -> Option<PortSpec> {
        let value_type = (self.typed && !port.shape.is_any()).then(|| port.shape.to_type());
        let name = Spanned::new(self.step.clone(), port.span.clone());
        let says = value_type.is_some() || port.default.is_some();
        says.then(|| PortSpec { name, value_type, default: port.default.clone() })
    }
}

/// A name of the step's and the node's.
pub(crate) struct Renamed {
    pub(crate) step: String,
    pub(crate) node: String,
}

impl Draft {
    pub(crate) fn new(step_type: &str, c: Component<'_>) -> Self {
        Self {
            step_type: step_type.to_owned(),
            config: Config::new(&first_line(c.name_span())),
            inputs: Vec::new(),
            outputs: Vec::new(),
            branches: Vec::new(),
            dead: Vec::new(),
            more: Vec::new(),
            over: None,
            fields_of: None,
        }
    }

    /// An input of which the node's type does not count.
    pub(crate) fn takes(&mut self, step: &str, node: &str) -> &mut Self {
        self.inputs.push(Taken { step: step.to_owned(), node: node.to_owned(), typed: false });
        self
    }

    /// Inputs that the node calls as the step does.
    pub(crate) fn takes_all(&mut self, inputs: &[Property]) {
        for input in inputs {
            self.takes(&input.title, &input.title);
        }
    }

    /// An input that is made one of the node's type.
    pub(crate) fn takes_typed(&mut self, step: &str, node: &str) -> &mut Self {
        self.inputs.push(Taken { step: step.to_owned(), node: node.to_owned(), typed: true });
        self
    }

    pub(crate) fn gives(&mut self, step: &str, node: &str) -> &mut Self {
        if step != node {
            self.outputs.push(Renamed { step: step.to_owned(), node: node.to_owned() });
        }
        self
    }

    /// Takes over how an inner flow can end.
    pub(crate) fn ends_of(&mut self, inner: &Inner) {
        self.dead.extend(inner.branches.iter().filter(|b| !inner.live.contains(b)).cloned());
        self.more.extend(inner.live.iter().filter(|b| !inner.branches.contains(b)).cloned());
    }

    pub(crate) fn branch(&mut self, step: &str, node: &str) -> &mut Self {
        if step != node {
            self.branches.push(Renamed { step: step.to_owned(), node: node.to_owned() });
        }
        self
    }
}

impl Reading {
    /// A node with the branch `next`.
    pub(crate) fn new(inputs: Vec<Property>, outputs: Vec<Property>, draft: Draft) -> Self {
        Self { inputs, outputs, branches: vec![NEXT.to_owned()], draft }
    }
}

/// What a node may read of the flow around it.
pub(crate) struct Around<'s> {
    pub(crate) variables: &'s [Property],
}

/// The fields that every node has.
pub(crate) const NODE_FIELDS: &[&str] = &["inputs", "outputs", "branches"];

/// The fields that nodes of `WayFlow` have besides.
const EXTENDED_FIELDS: &[&str] = &["inputs", "outputs", "branches", "input_mapping", "output_mapping"];

/// Agents for which there is nothing here.
pub(crate) const OTHER_AGENTS: &[&str] = &[
    "OciAgent",
    "A2AAgent",
    "Swarm",
    "PluginSwarm",
    "ManagerWorkers",
    "PluginManagerWorkers",
    "SpecializedAgent",
];

/// Whether a type of component is one of Agent Spec or of `WayFlow`.
pub(crate) fn is_known(kind: &str) -> bool {
    use crate::component as c;
    let flows = [c::FLOWS, c::AGENTS, c::CONTROL_EDGES, c::DATA_EDGES, c::PROVIDERS];
    let means = [c::LLMS, c::DATASTORES, c::PROMPTS, c::TOOLS, c::TOOLBOXES, c::TOOL_SPECS, c::TRANSPORTS];
    let mut families = flows.iter().chain(&means);
    families.any(|family| family.kinds.contains(&kind))
        || OTHER_AGENTS.contains(&kind)
        || ["StartNode", "EndNode"].contains(&kind)
        || reader(kind).is_some()
}

type Reader<'a> = fn(&Importer<'a>, Component<'a>, &Around<'_>) -> Option<Reading>;

/// How a type of node is read, with the fields of its own and whether it may rename its ports.
fn reader<'a>(kind: &str) -> Option<(Reader<'a>, &'static [&'static str], bool)> {
    Some(match kind {
        "LlmNode" => (Importer::llm_node, &["llm_config", "prompt_template"], false),
        "ExtendedLlmNode" => (
            Importer::extended_llm_node,
            &["llm_config", "prompt_template", "prompt_template_object", "send_message"],
            true,
        ),
        "ToolNode" => (Importer::tool_node, &["tool"], false),
        "ExtendedToolNode" => (Importer::tool_node, &["tool", "raise_exceptions"], true),
        "InputMessageNode" => (Importer::input_node, &["message"], false),
        "PluginInputMessageNode" => {
            (Importer::plugin_input_node, &["message_template", "message", "rephrase", "llm_config"], true)
        }
        "OutputMessageNode" => (Importer::output_node, &["message"], false),
        "PluginOutputMessageNode" => (
            Importer::plugin_output_node,
            &["message", "message_template", "message_type", "rephrase", "llm_config", "expose_message_as_output"],
            true,
        ),
        "PluginGetChatHistoryNode" => {
            (Importer::history_node, &["n", "which_messages", "offset", "message_types", "output_template"], true)
        }
        "ApiNode" => (Importer::api_node, http::FIELDS, false),
        "BranchingNode" => (Importer::branching_node, &["mapping"], false),
        "FlowNode" => (Importer::flow_node, &["subflow"], false),
        "AgentNode" => (Importer::agent_node, &["agent"], false),
        "ExtendedAgentNode" => (Importer::agent_node, &["agent", "caller_input_mode"], true),
        "MapNode" | "ParallelMapNode" => (Importer::map_node, &["subflow", "reducers"], false),
        "ExtendedMapNode" => {
            (Importer::extended_map_node, &["flow", "unpack_input", "parallel_execution", "max_workers"], true)
        }
        "ExtendedParallelMapNode" => (Importer::extended_map_node, &["flow", "unpack_input", "max_workers"], true),
        "ParallelFlowNode" => (Importer::parallel_flow_node, &["subflows"], false),
        "ExtendedParallelFlowNode" => (Importer::parallel_flow_node, &["flows", "max_workers"], true),
        "CatchExceptionNode" => (Importer::catch_node, &["subflow"], false),
        "PluginCatchExceptionNode" => {
            (Importer::plugin_catch_node, &["flow", "except_on", "catch_all_exceptions"], true)
        }
        "PluginRetryNode" => (Importer::retry_node, &["flow", "success_condition", "max_num_trials"], true),
        "PluginTemplateNode" => (Importer::template_node, &["template"], true),
        "PluginRegexNode" => (Importer::regex_node, &["regex_pattern", "return_first_match_only"], true),
        "PluginExtractNode" => (Importer::extract_node, &["output_values", "llm_config", "retry"], true),
        "PluginConstantValuesNode" => (Importer::constant_node, &["constant_values"], true),
        "PluginChoiceNode" => {
            (Importer::choice_node, &["llm_config", "next_branches", "prompt_template", "num_tokens"], true)
        }
        "PluginReadVariableNode" => (Importer::read_variable_node, &["variable"], true),
        "PluginWriteVariableNode" => (Importer::write_variable_node, &["variable", "operation"], true),
        "PluginVariableNode" => (
            Importer::variable_node,
            &["write_variables", "read_variables", "write_operations", "operations"],
            true,
        ),
        "PluginDatastoreCreateNode" => (Importer::create_node, stores::FIELDS, true),
        "PluginDatastoreListNode" => (Importer::list_node, stores::FIELDS, true),
        "PluginDatastoreUpdateNode" => (Importer::update_node, stores::FIELDS, true),
        "PluginDatastoreDeleteNode" => (Importer::delete_node, stores::FIELDS, true),
        "PluginDatastoreQueryNode" => (Importer::query_node, stores::FIELDS, true),
        crate::export::CUSTOM_NODE => (Importer::custom_node, custom::FIELDS, false),
        _ => return None,
    })
}

impl<'a> Importer<'a> {
    /// Reads a node that is no start and no end.
    pub(crate) fn node(&self, c: Component<'a>, around: &Around<'_>) -> Option<Reading> {
        let Some((read, own, extended)) = reader(c.kind) else {
            self.doc.report(unsupported(c));
            return None;
        };
        let common = if extended { EXTENDED_FIELDS } else { NODE_FIELDS };
        let fields: Vec<&str> = own.iter().chain(common).copied().collect();
        self.doc.known_fields(c, &fields);
        let mut reading = read(self, c, around)?;
        if extended {
            self.map_ports(c, &mut reading);
        }
        self.declare_ports(c, &mut reading);
        self.check_branches(c, &reading.branches);
        // Outputs of the step whose names can be no titles.
        for entry in c.own("titles").and_then(Node::entries).unwrap_or_default() {
            if let Some(title) = entry.value.as_str() {
                reading.draft.outputs.retain(|renamed| renamed.node != title);
                reading.draft.gives(&entry.key, title);
            }
        }
        self.own_config(c, &mut reading.draft.config);
        Some(reading)
    }

    /// Gives ports the names that `input_mapping` and `output_mapping` say.
    fn map_ports(&self, c: Component<'a>, reading: &mut Reading) {
        for (field, is_input) in [("input_mapping", true), ("output_mapping", false)] {
            let mapping = self.doc.texts(c, field);
            let ports = if is_input { &mut reading.inputs } else { &mut reading.outputs };
            let inner: Vec<String> = ports.iter().map(|p| p.title.clone()).collect();
            for (entry, outer) in mapping {
                let Some(place) = inner.iter().position(|name| **name == *entry.key) else {
                    let message =
                        format!("`{}` has no port `{}` that `{field}` could rename", c.name(), entry.key);
                    self.doc.error(codes::BAD_MAPPING, message, &entry.key_span);
                    continue;
                };
                outer.clone_into(&mut ports[place].title);
                if is_input {
                    for taken in reading.draft.inputs.iter_mut().filter(|t| t.node == inner[place]) {
                        outer.clone_into(&mut taken.node);
                    }
                } else {
                    rename_output(&mut reading.draft, &inner[place], outer);
                }
            }
            // Two inputs of one name are one; the last one says what it is.
            let all = std::mem::take(ports);
            for port in all {
                match ports.iter_mut().find(|p| p.title == port.title) {
                    Some(old) if is_input => *old = port,
                    _ => ports.push(port),
                }
            }
        }
    }

    /// Takes over what the node itself says of its ports, whose names must be those that it has.
    fn declare_ports(&self, c: Component<'a>, reading: &mut Reading) {
        for (field, ports) in [("inputs", &mut reading.inputs), ("outputs", &mut reading.outputs)] {
            let Some(declared) = self.doc.properties(c, field) else { continue };
            self.same_titles(c, field, &declared, ports);
            for port in ports.iter_mut() {
                if let Some(written) = find(&declared, &port.title) {
                    let default = written.default.clone().or_else(|| port.default.take());
                    *port = Property { default, ..written.clone() };
                }
            }
        }
    }

    /// Whether a component declares just the ports that it has.
    pub(crate) fn same_titles(&self, c: Component<'a>, field: &str, declared: &[Property], ports: &[Property]) {
        let what = field.trim_end_matches('s');
        for unknown in declared.iter().filter(|p| find(ports, &p.title).is_none()) {
            let message = format!("`{}` has no {what} `{}`", c.name(), unknown.title);
            let wrong = flowrun_core::diagnostics::Diagnostic::error(codes::OTHER_PORTS, message, &unknown.span);
            self.doc.report(wrong.suggest(&unknown.title, ports.iter().map(|p| p.title.as_str())));
        }
        for missing in ports.iter().filter(|p| find(declared, &p.title).is_none()) {
            let message = format!("`{field}` of `{}` leaves out its {what} `{}`", c.name(), missing.title);
            self.doc.error(codes::OTHER_PORTS, message, c.span_of(field));
        }
    }

    fn check_branches(&self, c: Component<'a>, branches: &[String]) {
        let Some(written) = self.doc.get(c, "branches") else { return };
        let words: Option<Vec<&str>> =
            written.items().map(|items| items.iter().filter_map(Node::as_str).collect());
        let Some(words) = words else {
            self.doc.wrong_field("branches", "a list of names", written);
            return;
        };
        let same = words.iter().all(|w| branches.iter().any(|b| b == w))
            && branches.iter().all(|b| words.contains(&b.as_str()));
        if !same {
            let known: Vec<String> = branches.iter().map(|b| format!("`{b}`")).collect();
            let message = format!("the branches of `{}` are {}", c.name(), known.join(", "));
            self.doc.error(codes::OTHER_BRANCHES, message, c.span_of("branches"));
        }
    }
}

/// The node's new name of an output.
fn rename_output(draft: &mut Draft, inner: &str, outer: &str) {
    match draft.outputs.iter_mut().find(|renamed| renamed.node == inner) {
        Some(renamed) => outer.clone_into(&mut renamed.node),
        None => draft.outputs.push(Renamed { step: inner.to_owned(), node: outer.to_owned() }),
    }
}

/// Ports for the holes of texts, each a text unless said otherwise.
pub(crate) fn hole_ports(holes: &crate::texts::Holes, span: &Span) -> Vec<Property> {
    holes.found.iter().map(|hole| Property::new(&hole.name, Shape::string(), span)).collect()
}

/// Whether a node holds a text somewhere.
pub(crate) fn strings<'n>(node: &'n Node, found: &mut Vec<&'n Node>) {
    match &node.kind {
        NodeKind::String(_) => found.push(node),
        NodeKind::List(items) => items.iter().for_each(|item| strings(item, found)),
        NodeKind::Map(entries) => entries.iter().for_each(|entry| strings(&entry.value, found)),
        _ => {}
    }
}
