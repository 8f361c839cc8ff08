//! Agents: an `agent` step. A document that is an agent is a flow around one.

use std::rc::Rc;

use flowrun_core::diagnostics::{Diagnostic, Spanned};
use flowrun_core::node::{Node, NodeKind};
use flowrun_core::spec::{FlowSpec, OutputSpec, Reference, StepSpec, Wire, WireKind, Wiring};
use serde_json::{Map, Value as Json};

use super::llm::form;
use super::{Around, Draft, Reading, hole_ports};
use crate::codes;
use crate::component::{AGENTS, Component, FLOWS, LLMS, TOOLBOXES, TOOLS, unsupported};
use crate::config::{Config, text};
use crate::document::first_line;
use crate::flow::Inner;
use crate::import::{Importer, named};
use crate::property::{Property, find};
use crate::texts::Holes;
use crate::wires::input_spec;

const AGENT_FIELDS: &[&str] =
    &["llm_config", "system_prompt", "tools", "toolboxes", "human_in_the_loop", "transforms", "inputs", "outputs"];

const EXTENDED_AGENT_FIELDS: &[&str] = &[
    "context_providers",
    "can_finish_conversation",
    "raise_exceptions",
    "max_iterations",
    "initial_message",
    "caller_input_mode",
    "strict_output_validation",
    "agents",
    "flows",
    "agent_template",
];

/// Fields of an agent for which there is nothing here unless they are empty.
const EMPTY_ONLY: &[&str] = &["transforms", "context_providers", "agents", "agent_template"];

/// What exporters write for a first message that nobody has set.
const NOT_SET: &str = "N/A";

/// An agent as a step.
struct Agent {
    inputs: Vec<Property>,
    outputs: Vec<Property>,
    draft: Draft,
}

impl<'a> Importer<'a> {
    /// A node around an agent, or around a flow, which runs like any other.
    pub(crate) fn agent_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let Some(entry) = c.entry("agent") else {
            self.doc.missing(c, "agent");
            return None;
        };
        let agent = self.doc.any_component(&entry.value, "agent", "an agent or a flow")?;
        if FLOWS.kinds.contains(&agent.kind) {
            let inner = self.flow(agent)?;
            return Some(Self::run_flow(c, &inner));
        }
        if !AGENTS.kinds.contains(&agent.kind) {
            self.doc.report(unsupported(agent));
            return None;
        }
        let asks = match self.doc.text(c, "caller_input_mode").and_then(Node::as_str) {
            None => None,
            Some(mode) if mode.eq_ignore_ascii_case("always") => Some(true),
            Some(mode) if mode.eq_ignore_ascii_case("never") => Some(false),
            Some(other) => {
                self.unsupported_value(c, "caller_input_mode", other);
                return None;
            }
        };
        if first_message(agent).is_some() {
            let message = format!("the first message of `{}` is not said where it runs in a flow", agent.name());
            self.doc.warn(codes::NO_EFFECT, message, agent.span_of("initial_message"));
        }
        let gives = if c.kind == "ExtendedAgentNode" { self.inner_outputs(c) } else { None };
        let Agent { inputs, outputs, draft } = self.agent(agent, c, asks, gives)?;
        Some(Reading::new(inputs, outputs, draft))
    }

    /// What a node says that it gives, by the names that these have before `output_mapping` gives them others.
    pub(super) fn inner_outputs(&self, c: Component<'a>) -> Option<Vec<Property>> {
        let mapping = self.doc.texts(c, "output_mapping");
        let inner = |output: Property| match mapping.iter().find(|(_, outer)| *outer == output.title) {
            Some((entry, _)) => output.titled(&*entry.key),
            None => output,
        };
        self.doc.properties(c, "outputs").map(|outputs| outputs.into_iter().map(inner).collect())
    }

    /// The step that an agent is for the component `at`. `asks` and `gives` stand in place of what the agent says of itself.
    fn agent(
        &self,
        c: Component<'a>,
        at: Component<'a>,
        asks: Option<bool>,
        gives: Option<Vec<Property>>,
    ) -> Option<Agent> {
        let extended = if c.kind == "ExtendedAgent" { EXTENDED_AGENT_FIELDS } else { &[] };
        let fields: Vec<&str> = AGENT_FIELDS.iter().chain(extended).copied().collect();
        self.doc.known_fields(c, &fields);
        let mut draft = Draft::new("agent", at);
        let model = self.doc.needed(c, "llm_config", &LLMS).and_then(|llm| self.model(llm));
        let inputs = self.instructions(c, &mut draft);
        let tools = self.agent_tools(c);
        let served = self.only_what_is_there(c);
        let (model, mut inputs, tools) = (model?, inputs?, tools?);
        served?;
        draft.config.set("model", model).set("conversation", true);
        if !tools.is_empty() {
            draft.config.put("tools", Node::new(NodeKind::List(tools), first_line(c.span_of("tools"))));
        }
        let asks = asks.unwrap_or_else(|| self.doc.flag(c, "human_in_the_loop", true));
        draft.config.set_at("ask_user", asks, c.span_of("human_in_the_loop"));
        if let Some(rounds) = self.doc.whole(c, "max_iterations", 1, 1000) {
            draft.config.set_at("max_iterations", rounds, c.span_of("max_iterations"));
        }
        if let Some(declared) = self.doc.properties(c, "inputs") {
            self.same_titles(c, "inputs", &declared, &inputs);
            for input in &mut inputs {
                if let Some(written) = find(&declared, &input.title) {
                    let default = written.default.clone().or_else(|| input.default.take());
                    *input = Property { default, ..written.clone() };
                }
            }
        }
        let own = self.doc.properties(c, "outputs").unwrap_or_default();
        let outputs = gives.unwrap_or(own);
        if outputs.is_empty() {
            draft.config.set("send_message", true);
        } else {
            let forms: Map<String, Json> = outputs.iter().map(|o| (o.title.clone(), form(o))).collect();
            draft.config.set_at("fields", Json::Object(forms), &first_line(c.span_of("outputs")));
        }
        self.own_config(c, &mut draft.config);
        Some(Agent { inputs, outputs, draft })
    }

    /// Sets the instructions, and gives the inputs that they have.
    fn instructions(&self, c: Component<'a>, draft: &mut Draft) -> Option<Vec<Property>> {
        let prompt = self.doc.needed_text(c, "system_prompt")?;
        let written = prompt.as_str().unwrap_or_default();
        if c.kind == "ExtendedAgent" {
            let inputs = self.jinja_inputs(prompt, draft)?;
            draft.config.put("system", prompt.clone());
            return Some(inputs);
        }
        if written.contains("{%") {
            let message =
                "`{% … %}` stands for itself in a prompt; only holes of the form `{{ name }}` are filled";
            self.doc.warn(codes::NO_EFFECT, message, &first_line(&prompt.span));
        }
        let mut holes = Holes::default();
        draft.config.put("system", text(holes.jinja(written), &prompt.span));
        for hole in &holes.found {
            draft.takes_typed(&hole.variable, &hole.name);
        }
        Some(hole_ports(&holes, &prompt.span))
    }

    /// The names of the tools that an agent may call: its own, those of its toolboxes, and the flows that it may run.
    fn agent_tools(&self, c: Component<'a>) -> Option<Vec<Node>> {
        let mut names: Vec<Node> = Vec::new();
        let mut fine = true;
        let mut add = |name: String, at: &Node| {
            // One tool may be given twice, by itself and in a toolbox.
            if names.iter().all(|known| known.as_str() != Some(&name)) {
                names.push(text(name, &first_line(&at.span)));
            }
        };
        for item in self.doc.list(c, "tools") {
            match self.doc.component(item, "tools", &TOOLS).and_then(|tool| self.tool(tool)) {
                Some((name, _, _)) => add(name, item),
                None => fine = false,
            }
        }
        for item in self.doc.list(c, "toolboxes") {
            match self.doc.component(item, "toolboxes", &TOOLBOXES).and_then(|toolbox| self.toolbox(toolbox)) {
                Some(tools) => tools.into_iter().for_each(|name| add(name, item)),
                None => fine = false,
            }
        }
        for item in self.doc.list(c, "flows") {
            match self.doc.component(item, "flows", &FLOWS).and_then(|flow| self.flow_tool(flow)) {
                Some(name) => add(name, item),
                None => fine = false,
            }
        }
        fine.then_some(names)
    }

    /// Refuses what an agent asks for and nothing here does.
    fn only_what_is_there(&self, c: Component<'a>) -> Option<()> {
        let mut fine = Some(());
        for field in EMPTY_ONLY {
            let Some(node) = self.doc.get(c, field) else { continue };
            if node.items().is_none_or(|items| !items.is_empty()) {
                let message = format!("`{field}` of `{}` is not supported here", c.name());
                self.doc.error(codes::UNSUPPORTED, message, c.span_of(field));
                fine = None;
            }
        }
        if self.doc.flag(c, "raise_exceptions", false) {
            let message = format!("`raise_exceptions: true` of `{}` is not supported here", c.name());
            let wrong = Diagnostic::error(codes::UNSUPPORTED, message, c.span_of("raise_exceptions"));
            self.doc.report(wrong.help("an agent is told what fails in its tools, and goes on"));
            fine = None;
        }
        fine
    }

    /// The flow of a document that is an agent: where it may ask the person, the person begins; then the agent.
    pub(crate) fn agent_flow(&self, c: Component<'a>) -> Option<Rc<Inner>> {
        let Agent { inputs, outputs, draft } = self.agent(c, c, None, None)?;
        if self.doc.has_errors() {
            return None;
        }
        let name = self.flow_names.borrow_mut().unique(c.name());
        let span = first_line(c.name_span());
        let spanned = |text: &str| Spanned::new(text.to_owned(), span.clone());
        let step = |name: &str, kind: &str, config: Config| {
            let mut spec = StepSpec::new(name, kind, &Json::Null);
            spec.name = spanned(name);
            spec.step_type = Spanned::new(kind.to_owned(), c.span.clone());
            spec.config = config.finish();
            spec.span = span.clone();
            spec
        };
        let mut steps = Vec::new();
        if self.doc.flag(c, "human_in_the_loop", true) {
            let mut config = Config::new(&span);
            if let Some(first) = first_message(c) {
                config
                    .put("template", text(crate::texts::escaped(first.as_str().unwrap_or_default()), &first.span));
            }
            steps.push(step("message", "input_message", config));
        }
        let mut agent = step("agent", "agent", draft.config);
        for taken in &draft.inputs {
            let Some(port) = find(&inputs, &taken.node) else { continue };
            let kind = WireKind::Reference(Reference::Input(port.title.clone()));
            agent.with.push((spanned(&taken.step), Wire { kind, span: port.span.clone() }));
            agent.inputs.extend(taken.spec(port));
        }
        steps.push(agent);
        let gives = outputs.iter().map(|output| {
            let reference = Reference::Output { step: "agent".to_owned(), name: output.title.clone() };
            let wire = Wire { kind: WireKind::Reference(reference), span: output.span.clone() };
            OutputSpec { name: Spanned::new(output.title.clone(), output.span.clone()), wire }
        });
        let spec = FlowSpec {
            name: named(&name, c),
            description: c.description(),
            inputs: Some(inputs.iter().map(|input| input_spec(input, true)).collect()),
            outputs: Some(gives.collect()),
            wiring: Wiring::Explicit,
            steps,
            span: span.clone(),
            ..FlowSpec::default()
        };
        self.specs.borrow_mut().push(spec);
        let ends = vec![super::NEXT.to_owned()];
        Some(Rc::new(Inner { name, inputs, outputs, branches: ends.clone(), live: ends }))
    }
}

/// What an agent says before the person has said anything.
fn first_message(c: Component<'_>) -> Option<&Node> {
    let message = &c.entry("initial_message")?.value;
    message.as_str().filter(|text| !text.is_empty() && *text != NOT_SET).map(|_| message)
}
