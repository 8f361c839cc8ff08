//! Which value reaches which input.
//!
//! An input that is wired by hand reads what its reference names. All others are wired by name: an input takes the
//! value of its name that was produced last on the way to it. Which steps can have produced it is computed as reaching
//! definitions, by walking back from the input to the nearest producers, so only pairs that a path connects are typed.

mod frame;
mod inputs;
mod late;
mod outputs;
mod slots;

use std::collections::HashMap;
use std::sync::Arc;

use super::context::Provided;
use super::control::Graph;
use super::ways::{Producer, Producers, Reached, Ways};
use super::{Decoded, MOST_PROBLEMS, codes, place};
use crate::cast::castable;
use crate::diagnostics::{Diagnostic, Diagnostics, Span};
use crate::flow::{FlowProvider, From, Wiring};
use crate::signature::Port;
use crate::spec::{FlowSpec, Reference, Wire, WireKind, Wiring as Names};
use crate::types::Type;

pub(super) use frame::unknown_variable;
use inputs::FlowInputs;
use late::late_bounds;
use slots::{Key, Slots};

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
    /// For each input the outputs that can reach it.
    pub(super) reached: Vec<Arc<Reached>>,
}

/// Where a value is read, by whom it can have been made, and whether it is there on every path.
struct Source {
    from: From,
    /// The type of what no step produces, and how it is called.
    given: Option<(Type, String)>,
    reached: Arc<Reached>,
    always: bool,
}

impl Source {
    /// Of a value that no step produces and that is always there.
    fn given(from: From, value_type: Type, name: String) -> Self {
        Self { from, given: Some((value_type, name)), reached: Arc::default(), always: true }
    }
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
        // The first one of each name comes last.
        provided: providers.iter().rev().map(|provided| (provided.name.as_str(), provided)).collect(),
        inputs: FlowInputs::new(spec, top, found),
        variables: frame::variables(spec, found),
        variable_places: frame::variable_places(spec),
        slots: Slots::new(steps),
        ways: Ways::new(&graph.before, &last_steps(steps, graph)),
        writers: frame::writers(steps),
        broken: (0..steps.len()).filter(|n| steps[*n].broken).collect(),
        distinct: HashMap::new(),
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
    /// The context providers, by their names.
    provided: HashMap<&'a str, &'a Provided>,
    inputs: FlowInputs,
    variables: Vec<Port>,
    variable_places: HashMap<&'a str, usize>,
    slots: Slots<'a>,
    ways: Ways,
    /// Who writes each variable.
    writers: HashMap<&'a str, Producers>,
    /// The steps that are broken, which may give and write anything.
    broken: Vec<usize>,
    /// Of what several steps give, one producer of each type.
    distinct: HashMap<*const Reached, (Arc<Reached>, Vec<Producer>)>,
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
            reached: Vec::with_capacity(step.signature.inputs.len()),
        };
        for port in &step.signature.inputs {
            let (from, reached) = self.input(n, port);
            wires.inputs.push(Wiring { from, value_type: port.value_type.clone(), default: port.default.clone() });
            wires.reached.push(reached);
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

    fn input(&mut self, n: usize, port: &Port) -> (From, Arc<Reached>) {
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
        source.map_or((From::Nothing, Arc::default()), |s| (s.from, s.reached))
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
                Some(Source { from, given: None, reached: Arc::default(), always: true })
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
            producers.extend(&source.reached.producers);
            keys.push(self.slots.key_of(&reference.value));
        }
        if !always {
            producers.sort_unstable();
            producers.dedup();
            always = !self.nearest(n, &Producers::new(producers.clone())).open;
        }
        if !always && port.default.is_none() {
            self.unfed(n, &port.name, span, true);
            return None;
        }
        let from = From::Slot(self.slots.slot(Key::Latest(keys.into_iter().flatten().collect())));
        let reached = Arc::new(Reached { producers, open: !always });
        Some(Source { from, given: None, reached, always })
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
                let reached = self.nearest(n, self.slots.only((step, output)));
                if reached.producers.is_empty() {
                    let message = format!("`{reference}` is given only after `{}`", self.steps[n].spec.name.value);
                    self.found.push(Diagnostic::error(codes::UNFED, message, span));
                    return None;
                }
                let from = From::Slot(self.slots.slot(Key::Output(step, output)));
                Some(Source { from, given: None, always: !reached.open, reached })
            }
            Reference::Input(name) => {
                let Some(value_type) = self.inputs.want(name, wanted, None) else {
                    let message = format!("the flow has no input `{name}`");
                    let wrong = Diagnostic::error(codes::DANGLING, message, span);
                    self.found.push(wrong.suggest(name, self.inputs.names()));
                    return None;
                };
                let from = From::Slot(self.slots.slot(Key::Input(name.clone())));
                Some(Source::given(from, value_type, reference.to_string()))
            }
            Reference::Visits(step) => {
                let Some(place) = self.slots.step(step) else {
                    self.dangling(step, "", span);
                    return None;
                };
                Some(Source::given(From::Visits(place), Type::integer(), reference.to_string()))
            }
            Reference::Variable(name) => self.variable(n, name, span),
            Reference::Name(name) => {
                let reached = self.nearest(n, self.slots.producers(name));
                let from = From::Slot(self.slots.slot(Key::Name(name.clone())));
                let given = reached.open && self.inputs.want(name, wanted, None).is_some();
                Some(Source { from, given: None, always: !reached.open || given, reached })
            }
        }
    }

    fn by_name(&mut self, n: usize, name: &str, port: &Port, span: &Span) -> Option<Source> {
        let step = &self.steps[n];
        let names_wire = step.spec.wiring.unwrap_or(self.spec.wiring) == Names::ByName;
        let reached = if names_wire {
            self.nearest(n, self.slots.producers(name))
        } else {
            Arc::new(Reached { producers: Vec::new(), open: true })
        };
        let (mut given, mut otherwise) = (None, None);
        if reached.open
            && let Some((from, value_type)) = self.provided(name, port, span)
        {
            given = value_type.map(|t| (t, format!("context {name}")));
            otherwise = Some(from);
        } else if reached.open {
            match self.inputs.want(name, &port.value_type, port.default.as_ref()) {
                Some(value_type) => given = Some((value_type, format!("inputs.{name}"))),
                None if port.default.is_some() => {}
                None => {
                    self.unfed(n, name, span, !reached.producers.is_empty());
                    return None;
                }
            }
        }
        let from = match otherwise {
            Some(from) if reached.producers.is_empty() => from,
            otherwise => {
                let key = if names_wire { Key::Name(name.to_owned()) } else { Key::Input(name.to_owned()) };
                let slot = From::Slot(self.slots.slot(key));
                otherwise.map_or(slot.clone(), |from| From::Either(Box::new(slot), Box::new(from)))
            }
        };
        let source = Source { from, given, reached, always: true };
        self.check_types(n, &source, port, span);
        Some(source)
    }

    fn check_types(&mut self, n: usize, source: &Source, port: &Port, span: &Span) {
        if !self.all_fit(&source.reached, &port.value_type) {
            for (step, output) in &source.reached.producers {
                let given = &self.steps[*step];
                let by = || format!("{}.{}", given.spec.name.value, given.outputs[*output]);
                self.check_type(n, &given.signature.outputs[*output].value_type, by, port, span);
            }
        }
        if let Some((given, by)) = &source.given {
            self.check_type(n, given, || by.clone(), port, span);
        }
    }

    fn check_type(&mut self, n: usize, given: &Type, by: impl FnOnce() -> String, port: &Port, span: &Span) {
        let wanted = &port.value_type;
        if castable(given, wanted) {
            return;
        }
        let (step, by) = (&self.steps[n].spec.name.value, by());
        let message = format!("`{by}` gives {given}, and `{step}` wants {wanted} for `{}`", port.name);
        self.found.push(Diagnostic::error(codes::TYPE_CLASH, message, span));
    }

    /// Whether all that is met gives what is wanted. What many steps give and many read is looked through once.
    fn all_fit(&mut self, reached: &Arc<Reached>, wanted: &Type) -> bool {
        const FEW: usize = 4;
        let fits = |(step, output): &Producer| castable(output_type(self.steps, *step, *output), wanted);
        if reached.producers.len() <= FEW {
            return reached.producers.iter().all(fits);
        }
        let (_, distinct) = self.distinct.entry(Arc::as_ptr(reached)).or_insert_with(|| {
            let mut distinct: Vec<Producer> = Vec::new();
            let is_new = |all: &[Producer], (step, output): &Producer| {
                let new = output_type(self.steps, *step, *output);
                !all.iter().any(|(step, output)| output_type(self.steps, *step, *output) == new)
            };
            for producer in &reached.producers {
                if is_new(&distinct, producer) {
                    distinct.push(*producer);
                }
            }
            // Held, so that its address stays its own.
            (Arc::clone(reached), distinct)
        });
        distinct.iter().all(fits)
    }

    fn is_broken(&self, name: &str) -> bool {
        self.slots.step(name).is_some_and(|step| self.steps[step].broken)
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

    /// What is met first on the ways back from step `n`.
    fn nearest(&self, n: usize, producers: &Producers) -> Arc<Reached> {
        let reached = self.ways.back_from(n, producers);
        self.unless_broken(reached, producers, |with_broken| self.ways.back_from(n, with_broken))
    }

    /// What is met first on the ways back from the ends.
    fn at_end(&self, producers: &Producers) -> Arc<Reached> {
        let reached = self.ways.back_from_end(producers);
        self.unless_broken(reached, producers, |with_broken| self.ways.back_from_end(with_broken))
    }

    /// A broken step may give anything, so no way is open on which there is one.
    fn unless_broken(
        &self,
        reached: Arc<Reached>,
        producers: &Producers,
        again: impl FnOnce(&Producers) -> Arc<Reached>,
    ) -> Arc<Reached> {
        if !reached.open || self.broken.is_empty() {
            return reached;
        }
        let broken = self.broken.iter().map(|step| (*step, 0));
        let met = again(&Producers::new(producers.all().iter().copied().chain(broken).collect()));
        if met.producers.iter().any(|(step, _)| self.steps[*step].broken) {
            return Arc::new(Reached { open: false, ..Reached::clone(&reached) });
        }
        reached
    }
}

/// The steps after which the flow may be over.
fn last_steps(steps: &[Decoded<'_>], graph: &Graph) -> Vec<usize> {
    let ends = |n: &usize| graph.ends_here[*n] || steps[*n].signature.branches.is_empty();
    (0..steps.len()).filter(ends).collect()
}

fn output_type<'a>(steps: &'a [Decoded<'_>], step: usize, output: usize) -> &'a Type {
    &steps[step].signature.outputs[output].value_type
}
