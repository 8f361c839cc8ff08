//! Which value reaches which input.
//!
//! An input that is wired by hand reads what its reference names. All others are wired by name: an input takes the
//! value of its name that was produced last on the way to it. Which steps can have produced it is computed as reaching
//! definitions, by walking back from the input to the nearest producers, so only pairs that a path connects are typed.

mod frame;
mod inputs;
mod late;
mod slots;
mod ways;

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexSet;

use super::context::Provided;
use super::control::Graph;
use super::{Decoded, MOST_PROBLEMS, codes, place};
use crate::cast::castable;
use crate::diagnostics::{Diagnostic, Diagnostics, Span};
use crate::flow::{FlowProvider, From, Wiring};
use crate::signature::Port;
use crate::spec::{FlowSpec, Reference, Wire, WireKind, Wiring as Names};
use crate::types::{Kind, Type};

pub(super) use frame::unknown_variable;
use inputs::FlowInputs;
use late::late_bounds;
use slots::{Key, Slots};
use ways::{Ways, find};

/// The wires of a flow.
pub(super) struct Wired {
    pub(super) steps: Vec<StepWires>,
    pub(super) flow_inputs: Vec<Port>,
    pub(super) variables: Vec<Port>,
    pub(super) outputs: Vec<Port>,
    pub(super) output_sources: Vec<From>,
    pub(super) slots: usize,
    pub(super) input_slots: Vec<Vec<usize>>,
    pub(super) seed_input: Option<String>,
}

/// The wires of a step.
pub(super) struct StepWires {
    pub(super) inputs: Vec<Wiring>,
    pub(super) output_slots: Vec<Vec<usize>>,
    pub(super) late: Vec<(String, From)>,
    pub(super) flow_inputs: Vec<(String, From)>,
    pub(super) context: Vec<(Arc<FlowProvider>, usize)>,
    pub(super) variables: Vec<usize>,
    /// For each input the outputs that can reach it, as steps and places among their outputs.
    pub(super) producers: Vec<Vec<(usize, usize)>>,
}

/// Where a value is read, by whom it can have been made, and whether it is there on every path.
struct Source {
    from: From,
    types: Vec<(Type, String)>,
    producers: Vec<(usize, usize)>,
    always: bool,
}

/// Wires a flow; `None` where something is wrong, which is reported.
pub(super) fn wire(
    spec: &FlowSpec,
    top: bool,
    steps: &[Decoded<'_>],
    graph: &Graph,
    providers: &[Provided],
    found: &mut Diagnostics,
) -> Option<Wired> {
    let before = found.has_errors();
    let mut wirer = Wirer {
        spec,
        steps,
        graph,
        providers,
        inputs: FlowInputs::new(spec, top, found),
        variables: frame::variables(spec, found),
        slots: Slots::new(steps),
        ways: Ways::new(&graph.before),
        writers: frame::writers(steps),
        unsure: steps.iter().any(|step| step.broken),
        context: Vec::new(),
        found,
    };
    let mut wires = Vec::with_capacity(steps.len());
    for n in 0..steps.len() {
        if wirer.found.errors() > MOST_PROBLEMS {
            return None;
        }
        wires.push(wirer.step(n));
    }
    let seed_input = wirer.seed_input();
    let (outputs, output_sources) = wirer.outputs();
    let Wirer { inputs, variables, slots, found, .. } = wirer;
    if found.has_errors() && !before {
        return None;
    }
    let flow_inputs = inputs.finish();
    let filled = slots.finish(&flow_inputs);
    let wires = wires.into_iter().zip(filled.by_output).map(|(w, output_slots)| StepWires { output_slots, ..w });
    Some(Wired {
        steps: wires.collect(),
        flow_inputs,
        variables,
        outputs,
        output_sources,
        slots: filled.slots,
        input_slots: filled.by_input,
        seed_input,
    })
}

struct Wirer<'a> {
    spec: &'a FlowSpec,
    steps: &'a [Decoded<'a>],
    graph: &'a Graph,
    providers: &'a [Provided],
    inputs: FlowInputs,
    variables: Vec<Port>,
    slots: Slots,
    ways: Ways,
    /// Who writes each variable, by step.
    writers: HashMap<String, Vec<(usize, usize)>>,
    /// Whether a step is broken, which may give and write anything.
    unsure: bool,
    /// The providers that the step which is being wired reads, each with its slot.
    context: Vec<(Arc<FlowProvider>, usize)>,
    found: &'a mut Diagnostics,
}

impl Wirer<'_> {
    fn step(&mut self, n: usize) -> StepWires {
        let step = &self.steps[n];
        self.check_with(n);
        let mut wires = StepWires {
            inputs: Vec::new(),
            output_slots: Vec::new(),
            late: Vec::new(),
            flow_inputs: Vec::new(),
            context: Vec::new(),
            variables: self.used_variables(n),
            producers: Vec::new(),
        };
        for port in &step.signature.inputs {
            let (from, producers) = self.input(n, port);
            wires.inputs.push(Wiring { from, value_type: port.value_type.clone(), default: port.default.clone() });
            wires.producers.push(producers);
        }
        for late in &step.late {
            let reference = Reference::parse(&late.value);
            let source = self.reference(n, &reference, &Port::new(&late.value, Type::any()), &late.span);
            wires.late.push((late.value.clone(), source.map_or(From::Nothing, |s| s.from)));
        }
        for bound in late_bounds(&self.graph.edges[n]) {
            let most = Port::new("max_trials", Type::integer());
            let source = self.reference(n, &Reference::parse(&bound), &most, &step.spec.span);
            wires.late.push((bound, source.map_or(From::Nothing, |s| s.from)));
        }
        for name in &step.signature.flow_inputs {
            let span = place(&step.spec.name.span, &step.spec.span).clone();
            let wanted = Port::new(name, Type::any());
            let source = self.reference(n, &Reference::Input(name.clone()), &wanted, &span);
            wires.flow_inputs.push((name.clone(), source.map_or(From::Nothing, |s| s.from)));
        }
        wires.context = std::mem::take(&mut self.context);
        wires
    }

    /// `with` names inputs that exist, each once, and none that the configuration wires.
    fn check_with(&mut self, n: usize) {
        let step = &self.steps[n];
        if step.broken {
            return; // its inputs are not known
        }
        for (name, _) in &step.spec.with {
            let ports = &step.signature.inputs;
            match ports.iter().find(|p| p.name == name.value) {
                None => {
                    let message = format!("`{}` has no input `{}`", step.spec.name.value, name.value);
                    let wrong = Diagnostic::error(codes::UNKNOWN_INPUT, message, &name.span);
                    self.found.push(wrong.suggest(&name.value, ports.iter().map(|p| p.name.as_str())));
                }
                Some(port) if port.wired.is_some() => {
                    let message = format!("`{}` is wired twice, here and in the step's own keys", name.value);
                    self.found.push(Diagnostic::error(codes::UNKNOWN_INPUT, message, &name.span));
                }
                Some(_) => {}
            }
        }
    }

    fn input(&mut self, n: usize, port: &Port) -> (From, Vec<(usize, usize)>) {
        let step = &self.steps[n];
        let source = if let Some(wired) = &port.wired {
            let node = step.spec.config.at(wired.path.iter().map(String::as_str));
            let span = place(&node.span, &step.spec.span).clone();
            let reference = Reference::parse(&wired.reference);
            self.reference(n, &reference, port, &span)
        } else if let Some((_, wire)) = step.spec.with.iter().find(|(name, _)| name.value == port.name) {
            let span = place(&wire.span, &step.spec.span).clone();
            self.wire(n, wire, port, &span)
        } else {
            let asked = port.asked.as_ref().map(|asked| {
                let text = step.spec.config.at(asked.path.iter().map(String::as_str));
                text.span_within(Some(asked.range.clone()))
            });
            let whole = place(&step.spec.name.span, &step.spec.span);
            let span = asked.as_ref().map_or(whole, |asked| place(asked, whole)).clone();
            self.by_name(n, &port.name, port, &span)
        };
        source.map_or((From::Nothing, Vec::new()), |s| (s.from, s.producers))
    }

    fn wire(&mut self, n: usize, wire: &Wire, port: &Port, span: &Span) -> Option<Source> {
        match &wire.kind {
            WireKind::Reference(r) => self.reference(n, r, port, span),
            WireKind::Latest(all) => self.latest(n, all, port, span),
            WireKind::LatestOr(all, name) => self.latest_or(n, all, name, port, span),
            WireKind::Value(value) => {
                let from = match crate::cast::cast(value.clone(), &port.value_type) {
                    Ok(value) => From::Constant(value),
                    Err(error) => {
                        let message = format!("`{}` cannot be that: {error}", port.name);
                        self.found.push(Diagnostic::error(codes::TYPE_CLASH, message, span));
                        From::Nothing
                    }
                };
                Some(Source { from, types: Vec::new(), producers: Vec::new(), always: true })
            }
        }
    }

    pub(super) fn latest(
        &mut self,
        n: usize,
        all: &[crate::diagnostics::Spanned<Reference>],
        port: &Port,
        span: &Span,
    ) -> Option<Source> {
        let mut keys = Vec::new();
        let mut producers = Vec::new();
        let mut always = false;
        for reference in all {
            let place = place(&reference.span, span).clone();
            if !self.is_produced_value(&reference.value, &place) {
                return None;
            }
            // Each may be absent as long as one is there; that is checked below.
            let source = self.resolve(n, &reference.value, &port.value_type, &place)?;
            self.check_types(n, &source, port, &place);
            always |= source.always;
            producers.extend(source.producers);
            keys.push(self.slots.key_of(&reference.value));
        }
        if !always {
            producers.sort_unstable();
            producers.dedup();
            let (_, open) = self.nearest(n, &producers);
            always = !open;
        }
        if !always && port.default.is_none() {
            self.unfed(n, &port.name, span, true);
            return None;
        }
        let from = From::Slot(self.slots.slot(Key::Latest(keys.into_iter().flatten().collect())));
        Some(Source { from, types: Vec::new(), producers, always })
    }

    /// Resolves a reference and checks that it is always there and of the type that the port wants.
    fn reference(&mut self, n: usize, reference: &Reference, port: &Port, span: &Span) -> Option<Source> {
        if let Reference::Name(name) = reference {
            return self.by_name(n, name, port, span);
        }
        let source = self.resolve(n, reference, &port.value_type, span)?;
        self.check_types(n, &source, port, span);
        if !source.always && port.default.is_none() {
            let message =
                format!("on some path to `{}`, `{reference}` is never given", self.steps[n].spec.name.value);
            self.found.push(Diagnostic::error(codes::UNFED, message, span));
            return None;
        }
        Some(source)
    }

    fn resolve(&mut self, n: usize, reference: &Reference, wanted: &Type, span: &Span) -> Option<Source> {
        let key = self.slots.key_of(reference);
        match reference {
            Reference::Output { step, .. } if self.is_broken(step) => None,
            Reference::Output { step, name } => {
                let Some(Key::Output(step, output)) = key else {
                    self.dangling(step, name, span);
                    return None;
                };
                let (producers, open) = self.nearest(n, &[(step, output)]);
                if producers.is_empty() {
                    let message = format!("`{reference}` is given only after `{}`", self.steps[n].spec.name.value);
                    self.found.push(Diagnostic::error(codes::UNFED, message, span));
                    return None;
                }
                let types = vec![(self.output_type(step, output).clone(), reference.to_string())];
                let from = From::Slot(self.slots.slot(Key::Output(step, output)));
                Some(Source { from, types, producers, always: !open })
            }
            Reference::Input(name) => {
                let Some(value_type) = self.inputs.want(name, wanted, None) else {
                    let message = format!("the flow has no input `{name}`");
                    let wrong = Diagnostic::error(codes::DANGLING, message, span);
                    self.found.push(wrong.suggest(name, self.inputs.names()));
                    return None;
                };
                let from = From::Slot(self.slots.slot(Key::Input(name.clone())));
                let types = vec![(value_type, reference.to_string())];
                Some(Source { from, types, producers: Vec::new(), always: true })
            }
            Reference::Visits(step) => {
                let Some(place) = self.steps.iter().position(|s| s.spec.name.value == *step) else {
                    self.dangling(step, "", span);
                    return None;
                };
                let types = vec![(Type::integer(), reference.to_string())];
                Some(Source { from: From::Visits(place), types, producers: Vec::new(), always: true })
            }
            Reference::Variable(name) => self.variable(n, name, span),
            Reference::Name(name) => {
                let (producers, open) = self.nearest_named(n, name);
                let types = producers.iter().map(|(s, o)| self.described(*s, *o)).collect();
                let from = From::Slot(self.slots.slot(Key::Name(name.clone())));
                let given = open && self.inputs.want(name, wanted, None).is_some();
                Some(Source { from, types, always: !open || given, producers })
            }
        }
    }

    fn by_name(&mut self, n: usize, name: &str, port: &Port, span: &Span) -> Option<Source> {
        let step = &self.steps[n];
        let names_wire = step.spec.wiring.unwrap_or(self.spec.wiring) == Names::ByName;
        let (producers, open) = if names_wire { self.nearest_named(n, name) } else { (Vec::new(), true) };
        let mut types: Vec<_> = producers.iter().map(|(s, o)| self.described(*s, *o)).collect();
        let mut otherwise = None;
        if open && let Some((from, value_type)) = self.provided(name, port, span) {
            types.extend(value_type.map(|t| (t, format!("context {name}"))));
            otherwise = Some(from);
        } else if open {
            match self.inputs.want(name, &port.value_type, port.default.as_ref()) {
                Some(value_type) => types.push((value_type, format!("inputs.{name}"))),
                None if port.default.is_some() => {}
                None => {
                    self.unfed(n, name, span, !producers.is_empty());
                    return None;
                }
            }
        }
        let from = match otherwise {
            Some(from) if producers.is_empty() => from,
            otherwise => {
                let key = if names_wire { Key::Name(name.to_owned()) } else { Key::Input(name.to_owned()) };
                let slot = From::Slot(self.slots.slot(key));
                otherwise.map_or(slot.clone(), |from| From::Either(Box::new(slot), Box::new(from)))
            }
        };
        let source = Source { from, types, producers, always: true };
        self.check_types(n, &source, port, span);
        Some(source)
    }

    pub(super) fn check_types(&mut self, n: usize, source: &Source, port: &Port, span: &Span) {
        let wanted = &port.value_type;
        for (given, by) in &source.types {
            if !castable(given, wanted) {
                let step = &self.steps[n].spec.name.value;
                let message = format!("`{by}` gives {given}, and `{step}` wants {wanted} for `{}`", port.name);
                self.found.push(Diagnostic::error(codes::TYPE_CLASH, message, span));
            }
        }
    }

    fn is_broken(&self, name: &str) -> bool {
        self.steps.iter().any(|s| s.broken && s.spec.name.value == name)
    }

    fn unfed(&mut self, n: usize, name: &str, span: &Span, sometimes: bool) {
        let step = &self.steps[n].spec.name.value;
        let message = if sometimes {
            format!("`{step}` wants `{name}`, and on some path to it nothing gives one")
        } else {
            format!("`{step}` wants `{name}`, and nothing on the way to it gives one")
        };
        let mut wrong = Diagnostic::error(codes::UNFED, message, span);
        let all = self.steps.iter().flat_map(|s| s.outputs.iter().map(move |o| (s, o)));
        let named: Vec<String> =
            all.filter(|(_, o)| *o == name).map(|(s, o)| format!("`{}.{o}`", s.spec.name.value)).collect();
        if !named.is_empty() {
            wrong = wrong.help(format!("{} gives that name, but not on every path to here", named.join(" or ")));
        } else if let Some(near) = self.near_name(name) {
            wrong = wrong.label(format!("did you mean `{near}`?"));
        } else {
            wrong = wrong
                .help(format!("wire it: `with: {{ {name}: STEP.OUTPUT }}`, or give the flow an input `{name}`"));
        }
        self.found.push(wrong);
    }

    fn near_name(&self, name: &str) -> Option<String> {
        let outputs = self.steps.iter().flat_map(|s| s.outputs.iter().map(String::as_str));
        crate::diagnostics::nearest(name, outputs.chain(self.inputs.names())).map(str::to_owned)
    }

    fn dangling(&mut self, step: &str, name: &str, span: &Span) {
        let wrong = if let Some(known) = self.steps.iter().find(|s| s.spec.name.value == step) {
            let message = format!("`{step}` has no output `{name}`");
            let outputs = known.outputs.iter().map(String::as_str);
            Diagnostic::error(codes::DANGLING, message, span).suggest(name, outputs)
        } else {
            let known = self.steps.iter().map(|s| s.spec.name.value.as_str()).chain(["inputs", "variables"]);
            Diagnostic::error(codes::DANGLING, format!("there is no step `{step}`"), span).suggest(step, known)
        };
        self.found.push(wrong);
    }

    fn output_type(&self, step: usize, output: usize) -> &Type {
        &self.steps[step].signature.outputs[output].value_type
    }

    fn described(&self, step: usize, output: usize) -> (Type, String) {
        let name = format!("{}.{}", self.steps[step].spec.name.value, self.steps[step].outputs[output]);
        (self.output_type(step, output).clone(), name)
    }

    fn nearest_named(&self, n: usize, name: &str) -> (Vec<(usize, usize)>, bool) {
        let producers = self.slots.producers(name);
        if producers.is_empty() && !self.unsure {
            return (Vec::new(), true);
        }
        self.nearest(n, producers)
    }

    /// The producers that are met first on the ways back from step `n`, and whether a way meets none. They are sorted by
    /// their steps.
    fn nearest(&self, n: usize, producers: &[(usize, usize)]) -> (Vec<(usize, usize)>, bool) {
        let (found, open) = self.walk_back(self.graph.before[n].clone(), producers);
        (found, open || n == 0)
    }

    fn walk_back(&self, mut ahead: Vec<usize>, producers: &[(usize, usize)]) -> (Vec<(usize, usize)>, bool) {
        let mut seen = vec![false; self.steps.len()];
        let (mut found, mut open, mut unsure) = (Vec::new(), false, false);
        while let Some(step) = ahead.pop() {
            if std::mem::replace(&mut seen[step], true) {
                continue;
            }
            unsure |= self.steps[step].broken; // it may give anything
            if let Some(producer) = find(producers, step) {
                found.push(producer);
                continue;
            }
            open |= step == 0;
            match self.ways.back(step, producers).filter(|_| !self.unsure) {
                Some(back) => ahead.push(back),
                None => ahead.extend(&self.graph.before[step]),
            }
        }
        found.sort_unstable();
        (found, open && !unsure)
    }

    /// The steps after which the flow may be over.
    fn last_steps(&self) -> Vec<usize> {
        let ends = |n: &usize| self.graph.ends_here[*n] || self.steps[*n].signature.branches.is_empty();
        (0..self.steps.len()).filter(ends).collect()
    }

    fn outputs(&mut self) -> (Vec<Port>, Vec<From>) {
        let last = self.last_steps();
        match &self.spec.outputs {
            Some(declared) => declared.iter().filter_map(|o| self.declared_output(&last, o)).unzip(),
            None => self.inferred_outputs(&last),
        }
    }

    fn declared_output(&mut self, last: &[usize], output: &crate::spec::OutputSpec) -> Option<(Port, From)> {
        let name = &output.name.value;
        let span = place(&output.wire.span, &output.name.span).clone();
        let reference = match &output.wire.kind {
            WireKind::Reference(reference) => reference.clone(),
            WireKind::Value(value) => {
                return Some((Port::new(name, Type::any()), From::Constant(value.clone())));
            }
            WireKind::Latest(all) | WireKind::LatestOr(all, _) => {
                let mut keys = Vec::new();
                for reference in all {
                    if !self.is_produced_value(&reference.value, &reference.span) {
                        return None;
                    }
                    let Some(key) = self.slots.key_of(&reference.value) else {
                        self.unknown_output(&reference.value, &reference.span);
                        return None;
                    };
                    keys.push(key);
                }
                let from = From::Slot(self.slots.slot(Key::Latest(keys)));
                return Some((Port::new(name, Type::any()), from));
            }
        };
        if let Reference::Visits(step) = &reference
            && let Some(place) = self.steps.iter().position(|s| s.spec.name.value == *step)
        {
            return Some((Port::new(name, Type::integer()), From::Visits(place)));
        }
        if let Reference::Variable(variable) = &reference {
            return self.variable_output(last, name, variable, &span);
        }
        let partial = |me: &mut Self| {
            let message = format!("the output `{name}` is `{reference}`, which some path to an end does not give");
            me.found.push(Diagnostic::error(codes::PARTIAL_OUTPUT, message, &span));
        };
        match self.slots.key_of(&reference) {
            Some(Key::Output(step, output)) => {
                let (_, open) = self.walk_back(last.to_vec(), &[(step, output)]);
                if open {
                    partial(self);
                }
                let port = Port::new(name, self.output_type(step, output).clone());
                Some((port, From::Slot(self.slots.slot(Key::Output(step, output)))))
            }
            Some(Key::Input(input)) => {
                let value_type = self.inputs.want(&input, &Type::any(), None);
                if value_type.is_none() {
                    self.unknown_output(&reference, &span);
                }
                Some((Port::new(name, value_type?), From::Slot(self.slots.slot(Key::Input(input)))))
            }
            Some(Key::Name(by_name)) => {
                let (producers, open) = self.walk_back(last.to_vec(), self.slots.producers(&by_name));
                if producers.is_empty() {
                    self.unknown_output(&reference, &span);
                    return None;
                }
                if open {
                    partial(self);
                }
                let port = Port::new(name, self.joined_type(&producers));
                Some((port, From::Slot(self.slots.slot(Key::Name(by_name)))))
            }
            Some(Key::Latest(_) | Key::Context(_)) | None => {
                self.unknown_output(&reference, &span);
                None
            }
        }
    }

    fn unknown_output(&mut self, reference: &Reference, span: &Span) {
        match reference {
            Reference::Output { step, name } => self.dangling(step, name, span),
            other => {
                let message = format!("`{other}` names nothing that the flow gives");
                let wrong = Diagnostic::error(codes::DANGLING, message, span);
                let input = format!("inputs.{other}");
                let inputs: Vec<_> = self.inputs.names().map(|name| format!("inputs.{name}")).collect();
                self.found.push(if inputs.contains(&input) {
                    wrong.label(format!("write `{input}`"))
                } else {
                    wrong.suggest(&other.to_string(), inputs.iter().map(String::as_str))
                });
            }
        }
    }

    fn inferred_outputs(&mut self, last: &[usize]) -> (Vec<Port>, Vec<From>) {
        let names: IndexSet<&str> = self.steps.iter().flat_map(|s| s.outputs.iter().map(String::as_str)).collect();
        let mut given = Vec::new();
        for name in names {
            let (producers, open) = self.walk_back(last.to_vec(), self.slots.producers(name));
            let only_begins = producers.iter().all(|(s, _)| self.steps[*s].signature.begins);
            if !open && !only_begins {
                let port = Port::new(name, self.joined_type(&producers));
                given.push((port, From::Slot(self.slots.slot(Key::Name(name.to_owned())))));
            }
        }
        given.into_iter().unzip()
    }

    fn joined_type(&self, producers: &[(usize, usize)]) -> Type {
        let mut types: Vec<Type> = Vec::new();
        for (step, output) in producers {
            let value_type = self.output_type(*step, *output);
            if !types.contains(value_type) {
                types.push(value_type.clone());
            }
        }
        if types.len() == 1 { types.remove(0) } else { Kind::Union(types).into() }
    }
}
