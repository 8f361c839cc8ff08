//! A flow as a component: its nodes, and the edges between them.

use std::collections::HashSet;
use std::sync::Arc;

use flowrun_core::diagnostics::Diagnostic;
use flowrun_core::feeds::{Feed, Feeds};
use flowrun_core::flow::{Bound, Edge, Flow, FlowStep};
use flowrun_core::node::NodeKind;
use flowrun_core::signature::Port;
use flowrun_core::spec::{FlowSpec, LimitsSpec, Provider, Reference, StepSpec, WireKind};
use serde_json::{Map, Value as Json, json};

use super::edges::{Fed, Given, Nodes, Place, input_property, put_own, read_outputs, unfed};
use super::ends::EndNode;
use super::node::{StepIn, component, plugged};
use super::{Env, Exporter, reference};
use crate::codes;
use crate::names::Names;

/// A flow whose nodes are being written.
pub(crate) struct Draft<'f> {
    pub(crate) nodes: Nodes<'f>,
    pub(crate) feeds: Feeds<'f>,
    pub(crate) names: Names,
    /// The components of the flow: the nodes and what is put between them.
    pub(crate) parts: Vec<(String, Json)>,
    /// Where a step is entered, where that is not its own node.
    pub(crate) entries: Vec<Option<String>>,
    pub(crate) ends: Vec<EndNode>,
    /// Outputs of which the document does not say the type.
    pub(crate) open_outputs: HashSet<String>,
}

impl Exporter<'_> {
    /// The top flow, as the document that it is.
    pub(crate) fn top(&mut self, env: &Env<'_>, flow: &Arc<Flow>) -> Map<String, Json> {
        let id = self.id(&flow.name);
        self.flows.insert(key(flow), id.clone());
        self.flow_component(env, flow, &id)
    }

    /// The reference to a flow, which is written where that has not been done.
    pub(crate) fn flow(&mut self, env: &Env<'_>, flow: &Arc<Flow>) -> Json {
        if let Some(id) = self.flows.get(&key(flow)) {
            return reference(id);
        }
        let id = self.id(&flow.name);
        self.flows.insert(key(flow), id.clone());
        let made = self.flow_component(env, flow, &id);
        self.shared.insert(id.clone(), Json::Object(made));
        reference(&id)
    }

    fn flow_component(&mut self, env: &Env<'_>, flow: &Arc<Flow>, id: &str) -> Map<String, Json> {
        let spec = env.spec;
        let feeds = Feeds::new(flow);
        let read = read_outputs(&feeds, flow);
        let mut names = Names::default();
        for step in &flow.steps {
            names.unique(&step.name);
        }
        // A step that gives the inputs is the start, unless something leads back to it.
        let begins = flow.steps[0].signature.begins && feeds.before(0).is_empty();
        let start = if begins { flow.steps[0].name.to_string() } else { names.unique("start") };
        let start = Place { id: self.id(&format!("{id}/{start}")), name: start };
        let mut inputs = flow.inputs.clone();
        for port in &mut inputs {
            if let Some(of) = self.input_types.get(&(key(flow), port.name.clone())) {
                port.value_type = of.clone();
            }
        }
        let mut nodes = Nodes {
            flow,
            inputs,
            start,
            steps: Vec::with_capacity(flow.steps.len()),
            providers: Vec::new(),
            begins,
            data: Vec::new(),
            control: Vec::new(),
            id: id.to_owned(),
        };
        let mut parts = Vec::new();
        self.providers(env, flow, &mut nodes, &mut parts);
        for (n, (written, step)) in spec.steps.iter().zip(&flow.steps).enumerate() {
            let s = StepIn { spec: written, step, n, flow, env, read: &read };
            self.path.push(step.name.to_string());
            let node_id = self.id(&format!("{id}/{}", step.name));
            let node = self.step_node(&s, node_id);
            self.path.pop();
            nodes.steps.push(node);
        }
        let entries = vec![None; flow.steps.len()];
        let mut draft =
            Draft { nodes, feeds, names, parts, entries, ends: Vec::new(), open_outputs: HashSet::new() };
        self.find_ends(&mut draft);
        let start = start_node(&draft.nodes, spec);
        draft.parts.insert(0, (draft.nodes.start.id.clone(), start));
        for n in usize::from(begins)..flow.steps.len() {
            let s = StepIn { spec: &spec.steps[n], step: &flow.steps[n], n, flow, env, read: &read };
            self.path.push(s.step.name.to_string());
            self.wire(&s, &mut draft);
            self.path.pop();
        }
        self.wire_ends(&mut draft);
        self.lead(&mut draft);
        for port in flow.inputs.iter().filter(|port| port.secret && port.default.is_some()) {
            let message = format!("the default of `{}` is sensitive and was left out", port.name);
            let told = Diagnostic::warning(codes::LEFT_OUT, message, &spec.name.span);
            self.report(told.help("the input has to be given where the document is run"));
        }
        let inputs = flow.inputs.iter().map(|port| port.name.as_str());
        self.check_titles("an input of the flow", inputs, &spec.name.span);
        let outputs = flow.outputs.iter().map(|port| port.name.as_str());
        self.check_titles("an output of the flow", outputs, &spec.name.span);
        assemble(draft, flow, spec)
    }

    /// Writes the context providers.
    fn providers(&mut self, env: &Env<'_>, flow: &Flow, nodes: &mut Nodes<'_>, parts: &mut Vec<(String, Json)>) {
        for written in &env.spec.context {
            let name = &written.name.value;
            let id = self.id(&format!("{}/{name}", nodes.id));
            let provider = flow.providers.iter().find(|provider| *provider.name == **name);
            let (kind, of, title, fields) = match &written.provider {
                Provider::Value(value) => {
                    let shape = crate::nodes::constant_shape(value);
                    let value = value.to_json().unwrap_or_default();
                    ("PluginConstantContextProvider", shape.to_type(), None, vec![("value", value)])
                }
                Provider::Flow { flow: named, output } => {
                    let inner = provider.and_then(|provider| provider.flow().cloned());
                    let (Some(inner), Some(around)) = (inner, env.flow(&named.value)) else { continue };
                    let wanted = output.as_ref().map(|output| output.value.as_str());
                    let port = inner.outputs.iter().find(|port| wanted.is_none_or(|name| port.name == name));
                    let Some(port) = port else { continue };
                    let fields = vec![("flow", self.flow(&around, &inner)), ("output_names", json!([port.name]))];
                    ("PluginFlowContextProvider", port.value_type.clone(), Some(port.name.clone()), fields)
                }
                Provider::Tool { tool, .. } => {
                    let Some((found, port)) = self.provider_tool(env, flow, written, tool) else { continue };
                    let fields = vec![("tool", found), ("output_name", json!(port.name))];
                    ("PluginToolContextProvider", port.value_type, Some(port.name), fields)
                }
            };
            // A provider calls what it gives as its flow or its tool does; the name here stands beside.
            let title = title.unwrap_or_else(|| name.clone());
            self.check_titles("a name of the context", [title.as_str()], &written.name.span);
            let mut map = component(kind, &id, name, None);
            if title != *name {
                map.insert("metadata".into(), json!({ "flowrun": { "name": name } }));
            }
            map.insert("inputs".into(), json!([]));
            map.insert("outputs".into(), json!([super::properties::property(&title, &of, None, None)]));
            map.extend(fields.into_iter().map(|(field, value)| (field.to_owned(), value)));
            plugged(&mut map, "NodesPlugin");
            nodes.providers.push(Given { name: name.clone(), id: id.clone(), title, of });
            parts.push((id, Json::Object(map)));
        }
    }

    /// Writes the node of a step, and the data edges that lead to it.
    fn wire(&mut self, s: &StepIn<'_>, draft: &mut Draft<'_>) {
        if s.step.is_end() {
            return;
        }
        let mut inputs = Vec::new();
        let computed = self.computing(s, draft);
        let out_id = computed.clone().unwrap_or_else(|| draft.nodes.steps[s.n].id.clone());
        for (place, port) in s.step.signature.inputs.iter().enumerate() {
            let feeds = draft.feeds.of(s.n, place);
            let context = context_of(s.spec, &port.name, s.env.spec);
            let title = draft.nodes.steps[s.n].input_title(&port.name).map(str::to_owned);
            let by_itself = port.wired.is_some() && draft.nodes.steps[s.n].kind == super::CUSTOM_NODE;
            let Some(title) = title else {
                if by_itself {
                    continue;
                }
                if let Some(wire) = self.own_wire(s, draft, &feeds, context) {
                    put_own(&mut draft.nodes.steps[s.n].own, "with", &port.name, wire);
                }
                continue;
            };
            let written = draft.nodes.steps[s.n].properties.iter().find(|(name, _)| *name == title);
            let written = written.map(|(_, property)| property.clone());
            let mut described = port.clone();
            let of = draft.nodes.steps[s.n].types.iter().find(|(name, _)| *name == title);
            if let Some((_, of)) = of {
                described.value_type = of.clone();
            }
            let coming = match draft.nodes.fed(&feeds, context) {
                Fed::Nothing => Vec::new(),
                Fed::Edges(edges) => edges,
                Fed::Constant(value) => {
                    described.default = Some(value);
                    Vec::new()
                }
                Fed::Variable(variable) => self.read_variable(draft, s.n, variable),
                Fed::Own(wire) => {
                    put_own(&mut draft.nodes.steps[s.n].own, "with", &port.name, wire);
                    unfed(&mut draft.nodes.steps[s.n].own, &title, &mut described);
                    Vec::new()
                }
                Fed::Unsaid => {
                    if let Some(wire) = self.own_wire(s, draft, &feeds, context) {
                        put_own(&mut draft.nodes.steps[s.n].own, "with", &port.name, wire);
                        unfed(&mut draft.nodes.steps[s.n].own, &title, &mut described);
                    }
                    Vec::new()
                }
            };
            for (from, output, _) in &coming {
                draft.nodes.data_edge(from, output, &out_id, &title);
            }
            inputs.push(written.unwrap_or_else(|| input_property(&title, &described, &coming)));
        }
        inputs.extend(draft.nodes.steps[s.n].extra.clone());
        let mut inputs = each_once(inputs);
        if let Some(id) = computed {
            inputs = Self::compute(s, draft, &id, inputs);
        }
        let late = self.late(s, draft);
        let mut out = std::mem::replace(&mut draft.nodes.steps[s.n], super::node::NodeOut::core("", s));
        self.carry(s, &mut out, &late);
        let made = self.node(s, &out, inputs);
        draft.parts.push((out.id.clone(), made));
        draft.nodes.steps[s.n] = out;
    }

    /// The id of the node that computes the text by which a step branches, where there is one.
    fn computing(&mut self, s: &StepIn<'_>, draft: &mut Draft<'_>) -> Option<String> {
        draft.nodes.steps[s.n].computed_by.as_ref()?;
        let id = self.id(&format!("{}/{} condition", draft.nodes.id, s.step.name));
        draft.entries[s.n] = Some(id.clone());
        Some(id)
    }

    /// Writes the node that computes the text by which a step branches: it takes what the step does.
    fn compute(s: &StepIn<'_>, draft: &mut Draft<'_>, id: &str, inputs: Vec<Json>) -> Vec<Json> {
        let out = &draft.nodes.steps[s.n];
        let (main, text) = (out.id.clone(), out.computed_by.clone().unwrap_or_default());
        let name = draft.names.unique(&format!("{} condition", s.step.name));
        let mut map = component("PluginTemplateNode", id, &name, None);
        map.insert("metadata".into(), json!({ "flowrun": { "conditions_of": main } }));
        map.insert("inputs".into(), Json::Array(inputs));
        map.insert("outputs".into(), json!([{ "title": "output", "type": "string" }]));
        map.insert("branches".into(), json!(["next"]));
        map.insert("template".into(), json!(text));
        plugged(&mut map, "NodesPlugin");
        draft.parts.push((id.to_owned(), Json::Object(map)));
        draft.nodes.control_edge(id, "next", &main);
        draft.nodes.data_edge(id, "output", &main, super::nodes::KEY);
        vec![json!({ "title": super::nodes::KEY, "type": "string" })]
    }

    /// A wire that stands under our own key; what cannot stand there either is reported.
    fn own_wire(
        &mut self,
        s: &StepIn<'_>,
        draft: &Draft<'_>,
        feeds: &[Feed],
        context: Option<&str>,
    ) -> Option<Json> {
        if feeds.is_empty() {
            return None;
        }
        // What comes from steps, and where none gives it from the context.
        let (provided, produced): (Vec<Feed>, Vec<Feed>) = match feeds {
            [only] => (Vec::new(), vec![only.clone()]),
            several => several.iter().cloned().partition(|f| matches!(f, Feed::Provider(_) | Feed::Constant(_))),
        };
        let wire = draft.nodes.references(&produced, context);
        let otherwise = match provided.as_slice() {
            [] => None,
            [Feed::Provider(name)] => Some(json!(&**name)),
            _ => context.map(|name| json!(name)),
        };
        match (wire, otherwise) {
            (Some(wire), None) => Some(wire),
            (Some(wire), Some(name)) => {
                let latest = if wire.is_array() { wire } else { json!([wire]) };
                Some(json!({ "latest": latest, "otherwise": name }))
            }
            (None, _) => {
                let message = format!("nothing says where `{}` takes its values from", self.place());
                self.unsaid(message, &s.spec.name.span);
                None
            }
        }
    }

    /// The references that a step reads while the flow runs, as written and in the words of the document.
    fn late(&mut self, s: &StepIn<'_>, draft: &Draft<'_>) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for (written, feeds) in draft.feeds.late(s.n) {
            let name = match Reference::parse(written) {
                Reference::Name(name) => Some(name),
                _ => None,
            };
            let context = name.as_deref().filter(|name| s.env.spec.context.iter().any(|c| c.name.value == **name));
            match draft.nodes.references(&feeds, context) {
                Some(Json::String(new)) => all.push((written.to_owned(), new)),
                _ => {
                    let message =
                        format!("`{}` reads `{written}` from several steps: no reference says that", self.place());
                    self.unsaid(message, &s.spec.name.span);
                }
            }
        }
        all
    }

    /// A node before a step, or an end, that reads a variable for it.
    pub(crate) fn read_variable(
        &mut self,
        draft: &mut Draft<'_>,
        n: usize,
        variable: usize,
    ) -> Vec<(String, String, flowrun_core::types::Type)> {
        let before = draft.nodes.steps[n].id.clone();
        let entry = draft.entries[n].take();
        let (id, given) = self.reader(draft, &before, entry.as_deref(), variable);
        draft.entries[n] = Some(id);
        vec![given]
    }

    /// A node that reads a variable and leads on to another node.
    pub(crate) fn reader(
        &mut self,
        draft: &mut Draft<'_>,
        before: &str,
        entry: Option<&str>,
        variable: usize,
    ) -> (String, (String, String, flowrun_core::types::Type)) {
        let port = &draft.nodes.flow.variables[variable];
        let name = draft.names.unique(&format!("read {}", port.name));
        let id = self.id(&format!("{}/{name}", draft.nodes.id));
        let mut map = component("PluginReadVariableNode", &id, &name, None);
        map.insert("metadata".into(), json!({ "flowrun": { "reads_for": before } }));
        map.insert("inputs".into(), json!([]));
        let value = Port { default: None, ..port.clone() };
        map.insert("outputs".into(), json!([super::properties::port("value", &value)]));
        map.insert("branches".into(), json!(["next"]));
        map.insert("variable".into(), super::properties::port(&port.name, port));
        plugged(&mut map, "NodesPlugin");
        draft.parts.push((id.clone(), Json::Object(map)));
        let next = entry.unwrap_or(before).to_owned();
        draft.nodes.control_edge(&id, "next", &next);
        (id.clone(), (id, "value".to_owned(), port.value_type.clone()))
    }

    /// Writes the edges of control.
    fn lead(&mut self, draft: &mut Draft<'_>) {
        let flow = draft.nodes.flow;
        let first = if draft.nodes.begins { &flow.steps[0].edges[0] } else { &Edge::Step(0) };
        let start = draft.nodes.start.id.clone();
        let to = self.target(draft, first, 0);
        draft.nodes.control_edge(&start, "next", &to);
        // A document's flow has an end, also where nothing ever leads to one.
        let mut endless = draft.feeds.last_steps().is_empty() && !flow.steps.iter().any(FlowStep::is_end);
        for n in usize::from(draft.nodes.begins)..flow.steps.len() {
            for (branch, edge) in flow.steps[n].signature.branches.iter().zip(&flow.steps[n].edges) {
                let from = draft.nodes.steps[n].id.clone();
                let branch = draft.nodes.steps[n].branch_name(branch);
                let mut to = self.target(draft, edge, n);
                if std::mem::take(&mut endless) {
                    let end = self.target(draft, &Edge::End, n);
                    to = self.again(draft, n, &json!({ "endless": true }), &to, &end);
                }
                draft.nodes.control_edge(&from, &branch, &to);
            }
            // A branch that only the node has is never taken; it has an edge so that every branch leads somewhere.
            let dead = draft.nodes.steps[n].branches.iter().find(|said| said.step.is_empty());
            if let Some(branch) = dead.map(|said| said.node.clone())
                && let Some(edge) = flow.steps[n].edges.first()
            {
                let from = draft.nodes.steps[n].id.clone();
                let to = self.target(draft, edge, n);
                draft.nodes.control_edge(&from, &branch, &to);
            }
        }
    }

    /// The node that an edge leads to.
    fn target(&mut self, draft: &mut Draft<'_>, edge: &Edge, from: usize) -> String {
        match edge {
            Edge::Step(n) => match &draft.entries[*n] {
                Some(entry) => entry.clone(),
                None => draft.nodes.steps[*n].id.clone(),
            },
            Edge::End => {
                draft.ends.iter().find(|end| end.step.is_none()).map(|e| e.entry.clone()).unwrap_or_default()
            }
            Edge::Retry { step, max_trials, otherwise } => {
                let again = self.target(draft, &Edge::Step(*step), from);
                let otherwise = self.target(draft, otherwise, from);
                self.bound(draft, from, max_trials, &again, &otherwise)
            }
        }
    }

    /// A node that stands for an edge with a bound: where it leads at first, and where in the end.
    fn bound(
        &mut self,
        draft: &mut Draft<'_>,
        from: usize,
        bound: &Bound,
        again: &str,
        otherwise: &str,
    ) -> String {
        let most = match bound {
            Bound::Now(n) => json!(n),
            Bound::Late(reference) => {
                let feeds = draft.feeds.late(from).into_iter().find(|(written, _)| written == reference);
                let new = feeds.and_then(|(written, feeds)| {
                    let name = (!written.contains('.')).then_some(written);
                    draft.nodes.references(&feeds, name)
                });
                json!({ "from": new.unwrap_or_else(|| json!(reference)) })
            }
        };
        self.again(draft, from, &json!({ "max_trials": most }), again, otherwise)
    }

    /// A node that leads back, and in the end elsewhere.
    fn again(&mut self, draft: &mut Draft<'_>, from: usize, own: &Json, again: &str, otherwise: &str) -> String {
        let name = draft.names.unique(&format!("{} again", draft.nodes.steps[from].name));
        let id = self.id(&format!("{}/{name}", draft.nodes.id));
        let mut map = component("BranchingNode", &id, &name, None);
        map.insert("metadata".into(), json!({ "flowrun": own }));
        let asked = json!({ "title": "branching_mapping_key", "type": "string", "default": "again" });
        map.insert("inputs".into(), json!([asked]));
        map.insert("outputs".into(), json!([]));
        map.insert("branches".into(), json!(["again", "default"]));
        map.insert("mapping".into(), json!({ "again": "again" }));
        draft.parts.push((id.clone(), Json::Object(map)));
        draft.nodes.control_edge(&id, "again", again);
        draft.nodes.control_edge(&id, "default", otherwise);
        id
    }
}

/// The name of the context that an input reads, where it would be a constant of it.
pub(crate) fn context_of<'s>(step: &'s StepSpec, input: &'s str, spec: &FlowSpec) -> Option<&'s str> {
    let name = match step.with.iter().find(|(name, _)| name.value == input) {
        Some((_, wire)) => match &wire.kind {
            WireKind::Reference(Reference::Name(name)) => name,
            _ => return None,
        },
        None => input,
    };
    spec.context.iter().any(|known| known.name.value == *name).then_some(name)
}

/// Two inputs of a step that the node calls alike are one.
fn each_once(inputs: Vec<Json>) -> Vec<Json> {
    let mut seen = HashSet::new();
    inputs.into_iter().filter(|input| seen.insert(input.get("title").map(ToString::to_string))).collect()
}

fn start_node(nodes: &Nodes<'_>, spec: &FlowSpec) -> Json {
    let described = spec.steps.first().and_then(|step| step.doc.as_deref()).filter(|_| nodes.begins);
    let mut map = component("StartNode", &nodes.start.id, &nodes.start.name, described);
    let ports: Vec<Json> = nodes.inputs.iter().map(|port| super::properties::port(&port.name, port)).collect();
    map.insert("inputs".into(), json!(ports));
    map.insert("outputs".into(), json!(ports));
    map.insert("branches".into(), json!(["next"]));
    Json::Object(map)
}

fn assemble(draft: Draft<'_>, flow: &Flow, spec: &FlowSpec) -> Map<String, Json> {
    let extended = !flow.variables.is_empty() || !draft.nodes.providers.is_empty();
    let kind = if extended { "ExtendedFlow" } else { "Flow" };
    let mut map = component(kind, &draft.nodes.id, &flow.name, flow.description.as_deref());
    let own = own_of(spec);
    if !own.is_empty() {
        map.insert("metadata".into(), json!({ "flowrun": own }));
    }
    let ports =
        |ports: &[Port]| -> Json { ports.iter().map(|port| super::properties::port(&port.name, port)).collect() };
    map.insert("inputs".into(), ports(&draft.nodes.inputs));
    let output = |port: &Port| {
        if draft.open_outputs.contains(&port.name) {
            super::ends::opened(port)
        } else {
            super::properties::port(&port.name, port)
        }
    };
    map.insert("outputs".into(), flow.outputs.iter().map(output).collect());
    map.insert("start_node".into(), reference(&draft.nodes.start.id));
    let provider = |id: &str| draft.nodes.providers.iter().any(|given| given.id == id);
    let nodes = draft.parts.iter().filter(|(id, _)| !provider(id)).map(|(id, _)| reference(id));
    map.insert("nodes".into(), nodes.collect());
    map.insert("control_flow_connections".into(), Json::Array(draft.nodes.control.clone()));
    map.insert("data_flow_connections".into(), Json::Array(draft.nodes.data.clone()));
    if extended {
        let providers = draft.nodes.providers.iter().map(|given| reference(&given.id));
        map.insert("context_providers".into(), providers.collect());
        map.insert("state".into(), ports(&flow.variables));
        plugged(&mut map, "FlowPlugin");
    }
    map.insert("$referenced_components".into(), Json::Object(draft.parts.into_iter().collect()));
    map
}

/// What no field of a flow says.
fn own_of(spec: &FlowSpec) -> Map<String, Json> {
    let mut own = Map::new();
    let LimitsSpec { max_steps, max_calls, max_tokens, timeout, step_timeout } = spec.limits;
    let mut limits = Map::new();
    for (key, most) in [("max_steps", max_steps), ("max_calls", max_calls), ("max_tokens", max_tokens)] {
        limits.extend(most.map(|most| (key.to_owned(), json!(most))));
    }
    for (key, most) in [("timeout", timeout), ("step_timeout", step_timeout)] {
        limits.extend(most.map(|most| (key.to_owned(), json!(most.as_secs_f64()))));
    }
    if !limits.is_empty() {
        own.insert("limits".into(), Json::Object(limits));
    }
    if let Some(seed) = &spec.seed {
        own.insert("seed".into(), json!(seed.value.to_string()));
    }
    own
}

/// Which compiled flow it is.
pub(crate) fn key(flow: &Arc<Flow>) -> usize {
    Arc::as_ptr(flow).addr()
}

/// Whether a node of a configuration comes while the flow runs.
pub(crate) fn is_late(node: &flowrun_core::node::Node) -> bool {
    matches!(&node.kind, NodeKind::Map(entries) if entries.len() == 1 && &*entries[0].key == "from")
}
