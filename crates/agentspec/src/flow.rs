//! A flow of a document: its nodes and edges, and the rules that they keep.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use flowrun_core::diagnostics::{Diagnostic, Span};
use flowrun_core::node::Node;

use crate::castable::{Shape, castable, same};
use crate::codes;
use crate::component::{CONTROL_EDGES, Component, DATA_EDGES, Family};
use crate::document::first_line;
use crate::import::Importer;
use crate::names::Names;
use crate::nodes::{Around, Draft, NEXT, NODE_FIELDS};
use crate::property::{Property, find};
use crate::providers::ProviderHere;

const FLOW_FIELDS: &[&str] =
    &["start_node", "nodes", "control_flow_connections", "data_flow_connections", "inputs", "outputs"];
const EXTENDED_FLOW_FIELDS: &[&str] = &["context_providers", "state"];

/// A flow as the nodes that run it see it.
#[derive(Debug)]
pub(crate) struct Inner {
    /// Its name here.
    pub(crate) name: String,
    pub(crate) inputs: Vec<Property>,
    pub(crate) outputs: Vec<Property>,
    /// The names of its ends, each once.
    pub(crate) branches: Vec<String>,
    /// Those that can be reached.
    pub(crate) live: Vec<String>,
}

/// What a node of a flow is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Start,
    End,
    Step,
}

/// A node of a flow.
pub(crate) struct Member<'a> {
    pub(crate) c: Component<'a>,
    /// The name of its step.
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) inputs: Vec<Property>,
    pub(crate) outputs: Vec<Property>,
    /// Its branches; of an end, its name.
    pub(crate) branches: Vec<String>,
    pub(crate) draft: Option<Draft>,
    /// It has errors, which are reported: nothing is known of its ports.
    pub(crate) broken: bool,
}

/// A control flow edge, by places of nodes.
pub(crate) struct Control {
    pub(crate) from: usize,
    pub(crate) branch: String,
    pub(crate) to: usize,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    Node(usize),
    Provider(usize),
}

/// A data flow edge.
pub(crate) struct Data {
    pub(crate) from: Origin,
    pub(crate) output: String,
    pub(crate) to: usize,
    pub(crate) input: String,
    pub(crate) span: Span,
}

/// A flow whose parts have been read.
pub(crate) struct Draught<'a> {
    pub(crate) c: Component<'a>,
    pub(crate) members: Vec<Member<'a>>,
    pub(crate) providers: Vec<ProviderHere<'a>>,
    pub(crate) variables: Vec<Property>,
    pub(crate) control: Vec<Control>,
    /// None: names wire data.
    pub(crate) data: Option<Vec<Data>>,
    pub(crate) outputs: Vec<Property>,
}

/// The nodes and providers by the components that they are, for edges.
struct Places<'a> {
    by_identity: HashMap<usize, Origin>,
    by_id: HashMap<&'a str, Origin>,
}

impl<'a> Importer<'a> {
    /// Reads the flow that a component is, once.
    pub(crate) fn flow(&self, c: Component<'a>) -> Option<Rc<Inner>> {
        let key = c.identity();
        if let Some(known) = self.flows.borrow().get(&key) {
            return known.clone();
        }
        if self.open.borrow().contains(&key) {
            let message = format!("the flow `{}` runs itself", c.name());
            self.doc.error(codes::CIRCLE, message, &first_line(c.name_span()));
            return None;
        }
        self.open.borrow_mut().push(key);
        let name = self.flow_names.borrow_mut().unique(c.name());
        let inner = self.flow_body(c, name).map(Rc::new);
        self.open.borrow_mut().pop();
        self.flows.borrow_mut().insert(key, inner.clone());
        inner
    }

    fn flow_body(&self, c: Component<'a>, name: String) -> Option<Inner> {
        let extended = if c.kind == "ExtendedFlow" { EXTENDED_FLOW_FIELDS } else { &[] };
        let fields: Vec<&str> = FLOW_FIELDS.iter().chain(extended).copied().collect();
        self.doc.known_fields(c, &fields);
        let variables = self.doc.properties(c, "state").unwrap_or_default();
        let mut names = Names::default();
        let members = self.members(c, &variables, &mut names);
        let providers = self.providers(c);
        let places = places(&members, &providers);
        let control = self.control_edges(c, &places, &members);
        let data = self.data_edges(c, &places, &members, &providers);
        // What a wrong edge would lead to is not known.
        let (control, sound) = control;
        let start = self.check_start(c, &members, &control, sound);
        self.check_ends(c, &members, &control, sound);
        let broken = members.iter().any(|m| m.broken);
        let outputs = self.flow_outputs(c, &members);
        let inputs = self.flow_inputs(c, &members, start?);
        if broken || !sound || data.is_none() {
            return None;
        }
        let draught = Draught { c, members, providers, variables, control, data: data?, outputs };
        self.build(draught, start?, inputs, name, &mut names)
    }

    fn members(&self, c: Component<'a>, variables: &[Property], names: &mut Names) -> Vec<Member<'a>> {
        let mut members: Vec<Member<'a>> = Vec::new();
        let mut seen = HashSet::new();
        for item in self.doc.list(c, "nodes") {
            let Some(node) = self.doc.any_component(item, "nodes", "a node") else { continue };
            if !seen.insert(node.identity()) {
                let message = format!("`{}` is twice in `nodes`", node.name());
                self.doc.error(codes::FOREIGN_NODE, message, &first_line(&item.span));
                continue;
            }
            members.push(self.member(node, &Around { variables }, names));
        }
        members
    }

    fn member(&self, c: Component<'a>, around: &Around<'_>, names: &mut Names) -> Member<'a> {
        let role = match c.kind {
            "StartNode" => Role::Start,
            "EndNode" => Role::End,
            _ => Role::Step,
        };
        let name = names.unique(c.name());
        let mut member = Member {
            c,
            name,
            role,
            inputs: Vec::new(),
            outputs: Vec::new(),
            branches: vec![NEXT.to_owned()],
            draft: None,
            broken: false,
        };
        match role {
            Role::Step => match self.node(c, around) {
                Some(reading) => {
                    member.inputs = reading.inputs;
                    member.outputs = reading.outputs;
                    member.branches = reading.branches;
                    member.draft = Some(reading.draft);
                }
                None => member.broken = true,
            },
            Role::Start | Role::End => self.border(c, &mut member),
        }
        member
    }

    /// A start or an end, which gives what it takes.
    fn border(&self, c: Component<'a>, member: &mut Member<'a>) {
        let own: &[&str] = if member.role == Role::End { &["branch_name"] } else { &[] };
        let fields: Vec<&str> = own.iter().chain(NODE_FIELDS).copied().collect();
        self.doc.known_fields(c, &fields);
        let (inputs, outputs) = (self.doc.properties(c, "inputs"), self.doc.properties(c, "outputs"));
        if let (Some(inputs), Some(outputs)) = (&inputs, &outputs) {
            let (field, declared, ports) = match member.role {
                Role::End => ("inputs", inputs, outputs),
                _ => ("outputs", outputs, inputs),
            };
            self.same_titles(c, field, declared, ports);
        }
        let ports = if member.role == Role::End { outputs.or(inputs) } else { inputs.or(outputs) };
        member.inputs = ports.unwrap_or_default();
        member.outputs.clone_from(&member.inputs);
        if member.role == Role::End
            && let Some(name) = self.doc.text(c, "branch_name")
        {
            let name = name.as_str().unwrap_or_default();
            member.branches = vec![if name.is_empty() { NEXT } else { name }.to_owned()];
        }
    }

    /// The control edges, and whether all are right.
    fn control_edges(
        &self,
        c: Component<'a>,
        places: &Places<'a>,
        members: &[Member<'a>],
    ) -> (Vec<Control>, bool) {
        let mut edges: Vec<Control> = Vec::new();
        let mut seen = HashSet::new();
        let mut sound = true;
        for item in self.doc.list(c, "control_flow_connections") {
            match self.control_edge(item, places, members) {
                Some(edge) if !seen.insert((edge.from, edge.branch.clone())) => {
                    let from = members[edge.from].c.name();
                    let message = format!("two edges lead on from the branch `{}` of `{from}`", edge.branch);
                    self.doc.error(codes::BAD_BRANCH, message, &first_line(&item.span));
                    sound = false;
                }
                Some(edge) => edges.push(edge),
                None => sound = false,
            }
        }
        (edges, sound)
    }

    fn control_edge(&self, item: &'a Node, places: &Places<'a>, members: &[Member<'a>]) -> Option<Control> {
        let own = ["from_node", "from_branch", "to_node"];
        let edge = self.edge(item, "control_flow_connections", &CONTROL_EDGES, &own)?;
        let from = self.place(edge, "from_node", places);
        let to = self.place(edge, "to_node", places);
        let branch = self.doc.text(edge, "from_branch").and_then(Node::as_str).unwrap_or(NEXT);
        let (Origin::Node(from), Origin::Node(to)) = (from?, to?) else {
            self.doc.error(codes::FOREIGN_NODE, "a context provider is no step of a flow", edge.span);
            return None;
        };
        let source = &members[from];
        if source.role != Role::End && !source.broken && !source.branches.iter().any(|b| b == branch) {
            let message = format!("`{}` has no branch `{branch}`", source.c.name());
            let wrong = Diagnostic::error(codes::BAD_BRANCH, message, edge.span_of("from_branch"));
            self.doc.report(wrong.suggest(branch, source.branches.iter().map(String::as_str)));
            return None;
        }
        Some(Control { from, branch: branch.to_owned(), to })
    }

    fn edge(&self, item: &'a Node, field: &str, family: &Family, own: &[&str]) -> Option<Component<'a>> {
        let edge = self.doc.component(item, field, family)?;
        let fields: Vec<&str> = own.to_vec();
        self.doc.known_fields(edge, &fields);
        Some(edge)
    }

    /// The node of the flow that an end of an edge names.
    fn place(&self, edge: Component<'a>, field: &str, places: &Places<'a>) -> Option<Origin> {
        let Some(entry) = edge.entry(field) else {
            self.doc.missing(edge, field);
            return None;
        };
        let node = self.doc.any_component(&entry.value, field, "a node")?;
        let found = places.by_identity.get(&node.identity());
        let found = found.or_else(|| node.id().and_then(|id| places.by_id.get(id))).copied();
        if found.is_none() {
            let message = format!("`{}` is no node of this flow", node.name());
            let wrong = Diagnostic::error(codes::FOREIGN_NODE, message, &first_line(&entry.value.span));
            self.doc.report(wrong.help("list it under `nodes`"));
        }
        found
    }

    /// The data edges; `Some(None)` where names wire data, nothing where an edge is wrong.
    #[expect(clippy::option_option, reason = "an error is something else than a flow without edges")]
    fn data_edges(
        &self,
        c: Component<'a>,
        places: &Places<'a>,
        members: &[Member<'a>],
        providers: &[ProviderHere<'a>],
    ) -> Option<Option<Vec<Data>>> {
        let Some(node) = self.doc.get(c, "data_flow_connections") else { return Some(None) };
        let Some(items) = node.items() else {
            self.doc.wrong_field("data_flow_connections", "a list of edges, or null", node);
            return None;
        };
        let mut seen = HashSet::new();
        let mut edges: Vec<Data> = Vec::with_capacity(items.len());
        let mut fine = true;
        for item in items {
            match self.data_edge(item, places, members, providers) {
                Some(Some(edge)) => {
                    if seen.insert((edge.from, edge.output.clone(), edge.to, edge.input.clone())) {
                        edges.push(edge);
                    }
                }
                Some(None) => {}
                None => fine = false,
            }
        }
        fine.then_some(Some(edges))
    }

    /// An edge; `Some(None)` for one that is right and means nothing.
    #[expect(clippy::option_option, reason = "an error is something else than an edge that means nothing")]
    fn data_edge(
        &self,
        item: &'a Node,
        places: &Places<'a>,
        members: &[Member<'a>],
        providers: &[ProviderHere<'a>],
    ) -> Option<Option<Data>> {
        let own = ["source_node", "source_output", "destination_node", "destination_input"];
        let edge = self.edge(item, "data_flow_connections", &DATA_EDGES, &own)?;
        let from = self.place(edge, "source_node", places);
        let to = self.place(edge, "destination_node", places);
        let output = self.doc.needed_text(edge, "source_output");
        let input = self.doc.needed_text(edge, "destination_input");
        let (from, to, output, input) = (from?, to?, output?, input?);
        let Origin::Node(to) = to else {
            let message = "a context provider takes nothing";
            self.doc.error(codes::UNKNOWN_PORT, message, edge.span_of("destination_node"));
            return None;
        };
        let (owner, ports, broken) = match from {
            Origin::Node(n) => (members[n].c, members[n].outputs.as_slice(), members[n].broken),
            Origin::Provider(n) => (providers[n].c, std::slice::from_ref(&providers[n].output), false),
        };
        let given = self.port(owner, ports, "output", output, broken);
        let target = &members[to];
        let wanted = self.port(target.c, &target.inputs, "input", input, target.broken);
        if broken || target.broken {
            return Some(None);
        }
        let (given, wanted) = (given?, wanted?);
        if !castable(&given.shape, &wanted.shape) {
            let message = format!(
                "`{}` of `{}` is {}, and `{}` of `{}` takes {}",
                given.title,
                owner.name(),
                given.shape.to_type(),
                wanted.title,
                target.c.name(),
                wanted.shape.to_type()
            );
            self.doc.error(codes::NOT_CASTABLE, message, &output.span);
            return None;
        }
        if target.role == Role::Start {
            // Exporters wire a start to itself; nothing else can feed it.
            if from == Origin::Node(to) {
                return Some(None);
            }
            let message = format!("`{}` takes its values from who runs the flow", target.c.name());
            self.doc.error(codes::UNKNOWN_PORT, message, edge.span_of("destination_node"));
            return None;
        }
        let span = first_line(&output.span);
        Some(Some(Data { from, output: given.title.clone(), to, input: wanted.title.clone(), span }))
    }

    fn port<'p>(
        &self,
        owner: Component<'a>,
        ports: &'p [Property],
        what: &str,
        name: &'a Node,
        broken: bool,
    ) -> Option<&'p Property> {
        let title = name.as_str().unwrap_or_default();
        let found = find(ports, title);
        if found.is_none() && !broken {
            let message = format!("`{}` has no {what} `{title}`", owner.name());
            let wrong = Diagnostic::error(codes::UNKNOWN_PORT, message, &name.span);
            self.doc.report(wrong.suggest(title, ports.iter().map(|p| p.title.as_str())));
        }
        found
    }

    /// The place of the start, and of the node that it leads to.
    fn check_start(
        &self,
        c: Component<'a>,
        members: &[Member<'a>],
        control: &[Control],
        sound: bool,
    ) -> Option<(usize, usize)> {
        let wrong = |message: String, span: &Span| {
            self.doc.error(codes::BAD_START, message, &first_line(span));
            None
        };
        let starts: Vec<usize> = (0..members.len()).filter(|n| members[*n].role == Role::Start).collect();
        let start = match starts.as_slice() {
            [start] => *start,
            [] => return wrong(format!("`{}` has no `StartNode` in `nodes`", c.name()), c.name_span()),
            [_, second, ..] => {
                return wrong(format!("`{}` has two `StartNode`s", c.name()), members[*second].c.name_span());
            }
        };
        match c.entry("start_node") {
            None => {
                self.doc.missing(c, "start_node");
                return None;
            }
            Some(entry) => {
                let named = self.doc.any_component(&entry.value, "start_node", "a `StartNode`")?;
                let same = named.identity() == members[start].c.identity()
                    || (named.id().is_some() && named.id() == members[start].c.id());
                if !same {
                    return wrong(
                        format!("`{}` is not the `StartNode` of the flow", named.name()),
                        &entry.value.span,
                    );
                }
            }
        }
        let span = members[start].c.name_span();
        if control.iter().any(|edge| edge.to == start) {
            return wrong(format!("an edge leads to `{}`, which is the start", members[start].c.name()), span);
        }
        let mut out = control.iter().filter(|edge| edge.from == start);
        match out.next() {
            Some(edge) => Some((start, edge.to)),
            None if !sound => None,
            None => wrong(format!("no edge leads on from `{}`", members[start].c.name()), span),
        }
    }

    fn check_ends(&self, c: Component<'a>, members: &[Member<'a>], control: &[Control], sound: bool) {
        let mut ends = (0..members.len()).filter(|n| members[*n].role == Role::End).peekable();
        if ends.peek().is_none() {
            let message = format!("`{}` has no `EndNode`", c.name());
            self.doc.error(codes::BAD_END, message, &first_line(c.name_span()));
        }
        let from: HashSet<usize> = control.iter().map(|edge| edge.from).collect();
        let to: HashSet<usize> = control.iter().map(|edge| edge.to).collect();
        for end in ends {
            let member = &members[end];
            if from.contains(&end) {
                let message = format!("an edge leads on from `{}`, which is an end", member.c.name());
                self.doc.error(codes::BAD_END, message, member.c.name_span());
            }
            if sound && !to.contains(&end) {
                let message = format!("no edge leads to `{}`", member.c.name());
                self.doc.error(codes::BAD_END, message, member.c.name_span());
            }
        }
    }

    fn flow_inputs(&self, c: Component<'a>, members: &[Member<'a>], start: (usize, usize)) -> Vec<Property> {
        let mut inputs = members[start.0].inputs.clone();
        if let Some(declared) = self.doc.properties(c, "inputs") {
            self.same_titles(c, "inputs", &declared, &inputs);
            for input in &mut inputs {
                if let Some(written) = find(&declared, &input.title) {
                    input.default = input.default.take().or_else(|| written.default.clone());
                }
            }
        }
        inputs
    }

    /// What the flow gives: what it declares, or what all its ends give.
    fn flow_outputs(&self, c: Component<'a>, members: &[Member<'a>]) -> Vec<Property> {
        let ends: Vec<&Member<'a>> = members.iter().filter(|m| m.role == Role::End).collect();
        let mut first: HashMap<&str, (&Shape, &Member<'a>)> = HashMap::new();
        for end in &ends {
            for output in &end.outputs {
                match first.get(output.title.as_str()) {
                    Some((shape, other)) if !same(shape, &output.shape) => {
                        let message = format!(
                            "`{}` is {} at `{}` and {} at `{}`",
                            output.title,
                            shape.to_type(),
                            other.c.name(),
                            output.shape.to_type(),
                            end.c.name()
                        );
                        self.doc.error(codes::PARTIAL_OUTPUT, message, &output.span);
                    }
                    Some(_) => {}
                    None => {
                        first.insert(&output.title, (&output.shape, end));
                    }
                }
            }
        }
        match self.doc.properties(c, "outputs") {
            Some(declared) => {
                for output in declared.iter().filter(|o| o.default.is_none()) {
                    self.check_given(output, &ends);
                }
                declared
            }
            None => {
                let common = |o: &&Property| ends.iter().all(|end| find(&end.outputs, &o.title).is_some());
                ends.first().map(|end| end.outputs.iter().filter(common).cloned().collect()).unwrap_or_default()
            }
        }
    }

    fn check_given(&self, output: &Property, ends: &[&Member<'a>]) {
        for end in ends {
            let given = find(&end.outputs, &output.title);
            if given.is_some_and(|g| same(&g.shape, &output.shape)) {
                continue;
            }
            let message = match given {
                None => format!("`{}` does not give `{}`, which has no default", end.c.name(), output.title),
                Some(other) => format!(
                    "`{}` gives `{}` as {}, and the flow as {}",
                    end.c.name(),
                    output.title,
                    other.shape.to_type(),
                    output.shape.to_type()
                ),
            };
            self.doc.error(codes::PARTIAL_OUTPUT, message, &output.span);
        }
    }
}

fn places<'a>(members: &[Member<'a>], providers: &[ProviderHere<'a>]) -> Places<'a> {
    let all = members.iter().enumerate().map(|(n, m)| (m.c, Origin::Node(n)));
    let all: Vec<_> = all.chain(providers.iter().enumerate().map(|(n, p)| (p.c, Origin::Provider(n)))).collect();
    Places {
        by_identity: all.iter().map(|(c, origin)| (c.identity(), *origin)).collect(),
        by_id: all.iter().filter_map(|(c, origin)| Some((c.id()?, *origin))).collect(),
    }
}
