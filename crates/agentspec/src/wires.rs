//! From the nodes and edges of a flow to steps that are wired.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use flowrun_core::diagnostics::{Diagnostic, Span, Spanned};
use flowrun_core::spec::{
    FlowSpec, InputSpec, LimitsSpec, Next, OutputSpec, PortSpec, Reference, StepSpec, Target, VariableSpec, Wire,
    WireKind, Wiring,
};
use flowrun_core::value::Value;
use serde_json::{Map, Value as Json};

use crate::castable::Shape;
use crate::codes;
use crate::component::Component;
use crate::config::Config;
use crate::document::first_line;
use crate::flow::{Data, Draught, Inner, Member, Origin, Role};
use crate::import::{Importer, named};
use crate::names::Names;
use crate::nodes::{Draft, NEXT, Taken};
use crate::own::Dissolved;
use crate::property::{Property, find};
use crate::providers::ProviderHere;

impl<'a> Importer<'a> {
    /// Makes the flow of what was read, adds it to those that are finished, and says how it looks from outside.
    pub(crate) fn build(
        &self,
        draught: Draught<'a>,
        (start, first): (usize, usize),
        inputs: Vec<Property>,
        name: String,
        names: &mut Names,
    ) -> Option<Inner> {
        let mut wirer = Wirer::new(self, draught, start, first, names);
        wirer.finish_maps();
        let steps = wirer.steps();
        let given = wirer.outputs();
        let Wirer { draught, live, .. } = wirer;
        let Draught { c, members, providers, variables, data, outputs, .. } = draught;
        if self.doc.has_errors() {
            return None;
        }
        let top = self.open.borrow().len() == 1;
        let spec = FlowSpec {
            name: named(&name, c),
            description: c.description(),
            inputs: Some(inputs.iter().map(|input| input_spec(input, top)).collect()),
            outputs: Some(given),
            variables: variables.iter().map(variable_spec).collect(),
            context: providers.into_iter().map(ProviderHere::spec).collect(),
            limits: own_limits(c),
            seed: own_seed(c),
            wiring: if data.is_none() { Wiring::ByName } else { Wiring::Explicit },
            steps,
            span: first_line(c.name_span()),
            ..FlowSpec::default()
        };
        self.specs.borrow_mut().push(spec);
        let mut branches = Vec::new();
        for end in members.iter().filter(|m| m.role == Role::End) {
            if !branches.contains(&end.branches[0]) {
                branches.push(end.branches[0].clone());
            }
        }
        Some(Inner { name, inputs, outputs, branches, live })
    }
}

/// What a visit of the flow may use, where our own metadata says so.
fn own_limits(c: Component<'_>) -> LimitsSpec {
    let limits = c.own("limits");
    let number = |key: &str| limits?.get(key)?.to_value().as_i64().and_then(|n| u64::try_from(n).ok());
    let time = |key: &str| Duration::try_from_secs_f64(limits?.get(key)?.to_value().as_f64()?).ok();
    LimitsSpec {
        max_steps: number("max_steps"),
        max_calls: number("max_calls"),
        max_tokens: number("max_tokens"),
        timeout: time("timeout"),
        step_timeout: time("step_timeout"),
    }
}

/// The input that gives the run's seed, where our own metadata names one.
fn own_seed(c: Component<'_>) -> Option<Spanned<Reference>> {
    let node = c.own("seed")?;
    Some(Spanned::new(Reference::parse(node.as_str()?), node.span.clone()))
}

pub(crate) fn input_spec(input: &Property, top: bool) -> InputSpec {
    InputSpec {
        name: Spanned::new(input.title.clone(), input.span.clone()),
        value_type: input.shape.to_type(),
        default: input.default.clone(),
        description: input.description.clone(),
        secret: top && input.secret,
    }
}

/// An output is what the end that was reached gave under its name.
fn output_spec(output: &Property) -> OutputSpec {
    let kind = WireKind::Reference(Reference::Name(output.title.clone()));
    let name = Spanned::new(output.title.clone(), output.span.clone());
    OutputSpec { name, wire: Wire { kind, span: output.span.clone() } }
}

fn variable_spec(variable: &Property) -> VariableSpec {
    VariableSpec {
        name: Spanned::new(variable.title.clone(), variable.span.clone()),
        value_type: variable.shape.to_type(),
        default: variable.default.clone(),
        description: variable.description.clone(),
    }
}

struct Wirer<'i, 'a> {
    importer: &'i Importer<'a>,
    draught: Draught<'a>,
    /// The nodes that can be reached, the first one first.
    order: Vec<usize>,
    /// Where each branch leads.
    leads: HashMap<(usize, String), usize>,
    /// The edges that lead to each input: their places.
    feeds: HashMap<(usize, String), Vec<usize>>,
    /// Where branches without an edge lead, once there is one.
    open_end: Option<String>,
    names: &'i mut Names,
    /// The step through which a node is entered, where it is not its own.
    entries: HashMap<usize, String>,
    live: Vec<String>,
    dissolved: Dissolved,
}

impl<'i, 'a> Wirer<'i, 'a> {
    fn new(
        importer: &'i Importer<'a>,
        draught: Draught<'a>,
        start: usize,
        first: usize,
        names: &'i mut Names,
    ) -> Self {
        let mut order = reached(&draught, first);
        let leads: HashMap<(usize, String), usize> =
            draught.control.iter().map(|e| ((e.from, e.branch.clone()), e.to)).collect();
        let dissolved = Dissolved::find(&draught, &order, &leads);
        // The first node that is a step stands first.
        let first = dissolved.through(first, &leads);
        if let Some(place) = order.iter().position(|n| *n == first) {
            order[..=place].rotate_right(1);
        }
        let known: HashSet<usize> = order.iter().copied().collect();
        for (n, member) in draught.members.iter().enumerate().filter(|(n, _)| *n != start && !known.contains(n)) {
            let message = format!("no way leads to `{}`; it is left out", member.c.name());
            importer.doc.warn(codes::UNREACHED, message, draught.members[n].c.name_span());
        }
        let mut feeds: HashMap<(usize, String), Vec<usize>> = HashMap::new();
        for (place, edge) in draught.data.iter().flatten().enumerate() {
            let comes = match edge.from {
                Origin::Node(n) => n == start || known.contains(&n),
                Origin::Provider(_) => true,
            };
            if comes {
                feeds.entry((edge.to, edge.input.clone())).or_default().push(place);
            }
        }
        let mut entries = HashMap::new();
        for n in &order {
            let member = &draught.members[*n];
            if let Some((_, fields)) = member.draft.as_ref().and_then(|d| d.fields_of.as_ref())
                && !fields.is_empty()
            {
                entries.insert(*n, names.unique(&format!("{} values", member.name)));
            }
        }
        let mut live = Vec::new();
        for end in order.iter().map(|n| &draught.members[*n]).filter(|m| m.role == Role::End) {
            if !live.contains(&end.branches[0]) {
                live.push(end.branches[0].clone());
            }
        }
        Self { importer, draught, order, leads, feeds, open_end: None, names, entries, live, dissolved }
    }

    /// The shapes that reach an input.
    fn coming(&self, n: usize, input: &str) -> Vec<Shape> {
        let Some(data) = &self.draught.data else {
            let members = self.draught.members.iter().flat_map(|m| &m.outputs);
            let all = members.chain(self.draught.providers.iter().map(|p| &p.output));
            return all.filter(|p| p.title == input).map(|p| p.shape.clone()).collect();
        };
        let edges = self.feeds.get(&(n, input.to_owned())).into_iter().flatten();
        edges.filter_map(|place| self.source(&data[*place])).map(|p| p.shape.clone()).collect()
    }

    fn source(&self, edge: &Data) -> Option<&Property> {
        match edge.from {
            Origin::Node(n) => find(&self.draught.members[n].outputs, &edge.output),
            Origin::Provider(n) => Some(&self.draught.providers[n].output),
        }
    }

    fn finish_maps(&mut self) {
        for n in self.order.clone() {
            let Some(mut draft) = self.draught.members[n].draft.take() else { continue };
            let member = &self.draught.members[n];
            self.importer.finish_map(member.c, &mut draft, &member.inputs, &|input| self.coming(n, input));
            self.draught.members[n].draft = Some(draft);
        }
    }

    fn steps(&mut self) -> Vec<StepSpec> {
        let mut steps = Vec::with_capacity(self.order.len() + 1);
        for n in self.order.clone() {
            match self.draught.members[n].role {
                Role::Start => {}
                _ if self.dissolved.is(n) => {}
                Role::End => steps.push(self.end(n)),
                Role::Step => self.step(n, &mut steps),
            }
        }
        if let Some(name) = self.open_end.clone() {
            steps.push(self.made_end(&name));
        }
        steps
    }

    fn step(&mut self, n: usize, steps: &mut Vec<StepSpec>) {
        let Some(mut draft) = self.draught.members[n].draft.take() else { return };
        let next = self.next(n, &draft);
        let member = &self.draught.members[n];
        let span = first_line(member.c.name_span());
        let mut spec = StepSpec::new(&member.name, &draft.step_type, &Json::Null);
        spec.name = Spanned::new(member.name.clone(), span.clone());
        spec.step_type = Spanned::new(draft.step_type.clone(), member.c.span.clone());
        spec.doc = member.c.description();
        if let Some((node, fields)) = draft.fields_of.take()
            && let Some(entry) = self.entries.get(&n)
        {
            steps.push(self.fields(n, entry, &node, &fields, &member.name));
            spec.with = fields.iter().map(|name| from_fields(entry, name, &span)).collect();
        }
        // A node that computes which branch is taken has the inputs of the step.
        let computed = self.dissolved.conditions.iter().find(|(_, of)| **of == n).map(|(from, _)| *from);
        let source = computed.unwrap_or(n);
        if let Some(computing) = computed.and_then(|from| self.draught.members[from].draft.as_ref()) {
            draft.inputs = computing.inputs.iter().map(Taken::clone).collect();
            draft.config.remove("cases");
        } else if draft.step_type == "branch" {
            draft.config.remove("when");
        }
        let own = self.importer.own_inputs(&self.draught.members, n);
        for name in own.iter().filter(|name| !draft.inputs.iter().any(|taken| taken.step == **name)) {
            if let Some(wire) = self.importer.own_wire(&self.draught.members, n, name) {
                spec.with.push((Spanned::new((*name).to_owned(), wire.span.clone()), wire));
            }
        }
        let ports = &self.draught.members[source].inputs;
        for taken in &draft.inputs {
            let Some(port) = find(ports, &taken.node) else { continue };
            let wire = if own.contains(&taken.step.as_str()) {
                self.importer.own_wire(&self.draught.members, n, &taken.step)
            } else {
                self.wire(source, &taken.step, port)
            };
            if let Some(wire) = wire {
                spec.with.push((Spanned::new(taken.step.clone(), port.span.clone()), wire));
            }
            spec.inputs.extend(taken.spec(port));
        }
        let renamed = draft.outputs.iter().filter(|r| r.step != r.node);
        spec.outputs = renamed
            .map(|r| (Spanned::new(r.step.clone(), span.clone()), Spanned::new(r.node.clone(), span.clone())))
            .collect();
        spec.next = next;
        spec.config = draft.config.finish();
        spec.span = span;
        steps.push(spec);
    }

    /// The step that takes an input of a node apart, for steps that want its fields one by one.
    fn fields(&self, n: usize, entry: &str, node: &str, fields: &[String], then: &str) -> StepSpec {
        let member = &self.draught.members[n];
        let span = first_line(member.c.name_span());
        let queries: Map<String, Json> =
            fields.iter().map(|name| (name.clone(), format!(".[{}]", Json::from(name.as_str())).into())).collect();
        let nulls: Map<String, Json> = fields.iter().map(|name| (name.clone(), Json::Null)).collect();
        let mut config = Config::new(&span);
        config.set("values", Json::Object(queries)).set("defaults", Json::Object(nulls));
        let mut spec = StepSpec::new(entry, "extract_json", &Json::Null);
        spec.name = Spanned::new(entry.to_owned(), span.clone());
        spec.outputs = fields
            .iter()
            .map(|name| (Spanned::new(name.clone(), span.clone()), Spanned::new(field_name(name), span.clone())))
            .collect();
        if let Some(port) = find(&member.inputs, node).or_else(|| member.inputs.first())
            && let Some(wire) = self.wire(n, "text", port)
        {
            spec.with.push((Spanned::new("text".to_owned(), span.clone()), wire));
        }
        spec.next = Next::To(Target::Step(Spanned::new(then.to_owned(), span.clone())));
        spec.config = config.finish();
        spec.span = span;
        spec
    }

    /// Where an input's value comes from; nothing where its name says it.
    fn wire(&self, n: usize, step_input: &str, port: &Property) -> Option<Wire> {
        let doc = &self.importer.doc;
        let member = &self.draught.members[n];
        let Some(data) = &self.draught.data else {
            let kind = WireKind::Reference(Reference::Name(port.title.clone()));
            return (step_input != port.title).then(|| Wire { kind, span: port.span.clone() });
        };
        let places = self.feeds.get(&(n, port.title.clone())).map(Vec::as_slice).unwrap_or_default();
        let edges: Vec<&Data> = places.iter().map(|place| &data[*place]).collect();
        let provided = edges.iter().any(|edge| matches!(edge.from, Origin::Provider(_)));
        if provided && edges.len() > 1 {
            let message = format!(
                "a context provider feeds `{}` of `{}`, and so does something else",
                port.title,
                member.c.name()
            );
            doc.error(codes::BAD_COMPONENT, message, &edges[1].span);
            return None;
        }
        let kind = match edges.as_slice() {
            [] => match &port.default {
                Some(default) => WireKind::Value(default.clone()),
                None => {
                    let message = format!("nothing gives `{}` to `{}`", port.title, member.c.name());
                    let wrong = Diagnostic::error(codes::UNFED, message, member.c.name_span());
                    doc.report(wrong.help("add a data flow edge, or give the input a default"));
                    return None;
                }
            },
            [only] => WireKind::Reference(self.reference(only)),
            several => WireKind::Latest(
                several.iter().map(|edge| Spanned::new(self.reference(edge), edge.span.clone())).collect(),
            ),
        };
        let span = edges.first().map_or(&port.span, |edge| &edge.span).clone();
        Some(Wire { kind, span })
    }

    fn reference(&self, edge: &Data) -> Reference {
        match edge.from {
            Origin::Provider(n) => Reference::Name(self.draught.providers[n].name().to_owned()),
            Origin::Node(n) if self.draught.members[n].role == Role::Start => {
                Reference::Input(edge.output.clone())
            }
            Origin::Node(n) if let Some(variable) = self.dissolved.reads.get(&n) => {
                Reference::Variable(variable.clone())
            }
            Origin::Node(n) => {
                Reference::Output { step: self.draught.members[n].name.clone(), name: edge.output.clone() }
            }
        }
    }

    /// Where the branches of a step lead.
    fn next(&mut self, n: usize, draft: &Draft) -> Next {
        let member = &self.draught.members[n];
        let span = first_line(member.c.name_span());
        let taken = member.branches.iter().filter(|b| !draft.dead.contains(b) || draft.more.contains(b));
        let mut all: Vec<String> = taken.cloned().collect();
        all.extend(draft.more.iter().filter(|b| !all.contains(b)).cloned().collect::<Vec<_>>());
        let mut targets = Vec::with_capacity(all.len());
        for branch in all {
            let name = |n: usize| self.entries.get(&n).unwrap_or(&self.draught.members[n].name).clone();
            let target = match self.leads.get(&(n, branch.clone())) {
                Some(to) => self.dissolved.target(*to, &self.leads, &span, &name),
                None => Target::Step(Spanned::new(self.open_branch(n, &branch), span.clone())),
            };
            let step =
                draft.branches.iter().find(|r| r.node == branch).map_or(branch.as_str(), |r| r.step.as_str());
            targets.push((Spanned::new(step.to_owned(), span.clone()), target));
        }
        match targets.as_slice() {
            [(branch, target)] if branch.value == NEXT => Next::To(target.clone()),
            _ => Next::ByBranch(targets),
        }
    }

    /// The end of the flow for a branch that no edge leads on from.
    fn open_branch(&mut self, n: usize, branch: &str) -> String {
        let member = &self.draught.members[n];
        let doc = &self.importer.doc;
        let lacking: Vec<String> = self
            .draught
            .outputs
            .iter()
            .filter(|o| o.default.is_none())
            .map(|o| format!("`{}`", o.title))
            .collect();
        let message = format!("no edge leads on from the branch `{branch}` of `{}`", member.c.name());
        if lacking.is_empty() {
            let warning = Diagnostic::warning(codes::OPEN_BRANCH, message, member.c.name_span());
            doc.report(warning.help("the flow ends there, without a name"));
        } else {
            let wrong = Diagnostic::error(codes::PARTIAL_OUTPUT, message, member.c.name_span());
            doc.report(wrong.help(format!("the flow would end there without {}", lacking.join(", "))));
        }
        if !self.live.iter().any(|b| b == NEXT) {
            self.live.push(NEXT.to_owned());
        }
        self.open_end.get_or_insert_with(|| self.names.unique(crate::OPEN_END)).clone()
    }

    /// What the flow gives: what the end that was reached gave under a name, or what is there at the last edges.
    fn outputs(&self) -> Vec<OutputSpec> {
        let Some(end) = self.dissolved.end else {
            return self.draught.outputs.iter().map(output_spec).collect();
        };
        let mut all = Vec::with_capacity(self.draught.outputs.len());
        for output in &self.draught.outputs {
            let own = find(&self.draught.members[end].inputs, &output.title).unwrap_or(output);
            let default = own.default.clone().or_else(|| output.default.clone());
            let port = Property { default, ..own.clone() };
            let by_itself = self.importer.own_wire(&self.draught.members, end, &output.title);
            match by_itself.or_else(|| self.wire(end, &output.title, &port)) {
                Some(wire) => {
                    all.push(OutputSpec { name: Spanned::new(output.title.clone(), output.span.clone()), wire });
                }
                None => all.push(output_spec(output)),
            }
        }
        all
    }

    /// A step that ends the flow and gives its outputs.
    fn end(&self, n: usize) -> StepSpec {
        let member = &self.draught.members[n];
        let mut spec = self.complete(&member.name, &member.branches[0], &member.c.name_span().clone());
        spec.doc = member.c.description();
        spec.step_type.span = member.c.span.clone();
        for output in &self.draught.outputs {
            let own = find(&member.inputs, &output.title);
            let default = own.and_then(|p| p.default.clone()).or_else(|| output.default.clone());
            let port = Property { default: default.clone(), ..own.unwrap_or(output).clone() };
            let name = Spanned::new(output.title.clone(), port.span.clone());
            let by_itself = self.importer.own_wire(&self.draught.members, n, &output.title);
            let wire = match (own, &default) {
                _ if by_itself.is_some() => by_itself,
                (Some(_), _) => self.wire(n, &output.title, &port),
                (None, Some(default)) => Some(constant(default, &port.span)),
                (None, None) => None,
            };
            if let Some(wire) = wire {
                spec.with.push((name.clone(), wire));
            }
            if default.is_some() {
                spec.inputs.push(PortSpec { name, value_type: None, default });
            }
        }
        spec
    }

    /// The end that nothing in the document is, with the defaults of all outputs.
    fn made_end(&self, name: &str) -> StepSpec {
        let span = first_line(self.draught.c.name_span());
        let mut spec = self.complete(name, NEXT, &span);
        for output in &self.draught.outputs {
            if let Some(default) = &output.default {
                let name = Spanned::new(output.title.clone(), output.span.clone());
                spec.with.push((name, constant(default, &output.span)));
            }
        }
        spec
    }

    fn complete(&self, name: &str, branch: &str, span: &Span) -> StepSpec {
        let span = first_line(span);
        let mut gives = Map::new();
        for output in &self.draught.outputs {
            gives.insert(output.title.clone(), output.shape.to_type().to_json_schema());
        }
        let mut config = Config::new(&span);
        config.set("branch", branch).set("gives", Json::Object(gives));
        let mut spec = StepSpec::new(name, "complete", &Json::Null);
        spec.name = Spanned::new(name.to_owned(), span.clone());
        spec.config = config.finish();
        spec.span = span;
        spec
    }
}

/// The name under which a field that was taken out goes: no other output has it.
fn field_name(name: &str) -> String {
    format!("field {name}")
}

fn from_fields(entry: &str, name: &str, span: &Span) -> (Spanned<String>, Wire) {
    let reference = Reference::Output { step: entry.to_owned(), name: field_name(name) };
    let wire = Wire { kind: WireKind::Reference(reference), span: span.clone() };
    (Spanned::new(name.to_owned(), span.clone()), wire)
}

fn constant(value: &Value, span: &Span) -> Wire {
    Wire { kind: WireKind::Value(value.clone()), span: span.clone() }
}

/// The nodes that can be reached, in the order of the document but for the first one.
fn reached(draught: &Draught<'_>, first: usize) -> Vec<usize> {
    let mut leads: HashMap<usize, Vec<(&str, usize)>> = HashMap::new();
    for edge in &draught.control {
        leads.entry(edge.from).or_default().push((&edge.branch, edge.to));
    }
    let is_dead = |member: &Member<'_>, branch: &str| {
        member
            .draft
            .as_ref()
            .is_some_and(|d| d.dead.iter().any(|b| b == branch) && !d.more.iter().any(|b| b == branch))
    };
    let mut seen = vec![false; draught.members.len()];
    let mut ahead = vec![first];
    while let Some(n) = ahead.pop() {
        if !std::mem::replace(&mut seen[n], true) {
            let member = &draught.members[n];
            let on = leads.get(&n).into_iter().flatten();
            ahead.extend(on.filter(|(branch, _)| !is_dead(member, branch)).map(|(_, to)| *to));
        }
    }
    let others = (0..draught.members.len()).filter(|n| seen[*n] && *n != first);
    std::iter::once(first).chain(others).collect()
}
