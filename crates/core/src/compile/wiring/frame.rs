//! What a frame holds beside the outputs of its steps: variables, and the values of context providers.

use std::collections::HashMap;

use std::sync::Arc;

use super::slots::Key;
use super::{Source, Wirer};
use crate::cast::cast;
use crate::compile::codes;
use crate::compile::context::{Provided, ProvidedKind};
use crate::compile::{Decoded, place};
use crate::diagnostics::{Diagnostic, Diagnostics, Span, Spanned};
use crate::flow::From;
use crate::signature::Port;
use crate::spec::{FlowSpec, Reference, VariableSpec};
use crate::types::Type;
use crate::value::Value;

/// The variables of a flow as ports, each name once and each default of its type.
pub(super) fn variables(spec: &FlowSpec, found: &mut Diagnostics) -> Vec<Port> {
    let mut ports: Vec<Port> = Vec::with_capacity(spec.variables.len());
    for VariableSpec { name, value_type, default, description } in &spec.variables {
        if ports.iter().any(|port| port.name == name.value) {
            let message = format!("the flow has two variables `{}`", name.value);
            found.push(Diagnostic::error(codes::DUPLICATE, message, &name.span));
        }
        let default = default.clone().and_then(|value| match cast(value, value_type) {
            Ok(value) => Some(value),
            Err(error) => {
                let message = format!("the default of the variable `{}` does not fit: {error}", name.value);
                found.push(Diagnostic::error(codes::TYPE_CLASH, message, &name.span));
                None
            }
        });
        ports.push(Port { default, doc: description.clone(), ..Port::new(&name.value, value_type.clone()) });
    }
    ports
}

/// That a reference names a variable which the flow does not have.
pub(in crate::compile) fn unknown_variable(spec: &FlowSpec, name: &str, span: &Span) -> Diagnostic {
    let known = spec.variables.iter().map(|variable| variable.name.value.as_str());
    let wrong = Diagnostic::error(codes::DANGLING, format!("the flow has no variable `{name}`"), span);
    if spec.variables.is_empty() {
        return wrong.help(format!(
            "write `variables: {{ {name}: TYPE }}` at the flow; those of a flow around it are not its own"
        ));
    }
    wrong.suggest(name, known)
}

/// Whether some step writes a variable on the way, and whether on every way.
struct Written {
    ever: bool,
    always: bool,
}

/// Who writes each variable, by step.
pub(super) fn writers(steps: &[Decoded<'_>]) -> HashMap<String, Vec<(usize, usize)>> {
    let mut writers: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
    for (n, step) in steps.iter().enumerate() {
        for used in step.signature.variables.iter().filter(|used| used.writes) {
            let of = writers.entry(used.name.clone()).or_default();
            if of.last() != Some(&(n, 0)) {
                of.push((n, 0));
            }
        }
    }
    writers
}

impl Wirer<'_> {
    fn written(&self, ahead: Vec<usize>, from_start: bool, variable: &str) -> Written {
        let writers = self.writers.get(variable).map_or(&[][..], Vec::as_slice);
        let (found, open) = self.walk_back(ahead, writers);
        let open = open || from_start;
        Written { ever: self.unsure || !found.is_empty(), always: !open }
    }

    fn variable_place(&mut self, name: &str, span: &Span) -> Option<usize> {
        let place = self.variables.iter().position(|port| port.name == name);
        if place.is_none() {
            self.found.push(unknown_variable(self.spec, name, span));
        }
        place
    }

    /// `variables.NAME`, read by step `n`.
    pub(super) fn variable(&mut self, n: usize, name: &str, span: &Span) -> Option<Source> {
        let place = self.variable_place(name, span)?;
        let port = &self.variables[place];
        let written = self.written(self.graph.before[n].clone(), n == 0, name);
        if port.default.is_none() && !written.ever {
            self.unwritten(n, name, span);
            return None;
        }
        let always = port.default.is_some() || written.always;
        let types = vec![(port.value_type.clone(), format!("variables.{name}"))];
        Some(Source { from: From::Variable(place), types, producers: Vec::new(), always })
    }

    /// The places of the variables that step `n` uses by itself.
    pub(super) fn used_variables(&mut self, n: usize) -> Vec<usize> {
        let step = &self.steps[n];
        let mut places = Vec::with_capacity(step.signature.variables.len());
        for used in &step.signature.variables {
            let node = step.spec.config.at(used.path.iter().map(String::as_str));
            let span = place(&node.span, &step.spec.span).clone();
            let Some(place) = self.variable_place(&used.name, &span) else { continue };
            places.push(place);
            let written = self.written(self.graph.before[n].clone(), n == 0, &used.name);
            if used.reads && self.variables[place].default.is_none() && !written.ever {
                self.unwritten(n, &used.name, &span);
            }
        }
        places
    }

    fn unwritten(&mut self, n: usize, name: &str, span: &Span) {
        let step = &self.steps[n].spec.name.value;
        let message = format!("`{step}` reads the variable `{name}`, and nothing on the way to it writes one");
        let wrong = Diagnostic::error(codes::UNFED, message, span);
        self.found.push(wrong.help("give the variable a default, or write it before"));
    }

    /// `variables.NAME` as an output of the flow.
    pub(super) fn variable_output(
        &mut self,
        last: &[usize],
        output: &str,
        name: &str,
        span: &Span,
    ) -> Option<(Port, From)> {
        let place = self.variable_place(name, span)?;
        let port = &self.variables[place];
        if port.default.is_none() && !self.written(last.to_vec(), false, name).always {
            let message =
                format!("the output `{output}` is `variables.{name}`, which some path to an end does not write");
            let wrong = Diagnostic::error(codes::PARTIAL_OUTPUT, message, span);
            self.found.push(wrong.help("give the variable a default, or write it on that path too"));
        }
        Some((Port::new(output, self.variables[place].value_type.clone()), From::Variable(place)))
    }

    /// What a context provider gives under a name, as a value that step `n` reads through `port`; its type where that is
    /// not checked here. `None`: the flow has no such provider.
    pub(super) fn provided(&mut self, name: &str, port: &Port, span: &Span) -> Option<(From, Option<Type>)> {
        let providers: &[Provided] = self.providers;
        let provided = providers.iter().find(|provided| provided.name == name)?;
        Some(match &provided.kind {
            ProvidedKind::Broken => (From::Nothing, None),
            ProvidedKind::Value(value) => match cast(value.clone(), &port.value_type) {
                Ok(value) => (From::Constant(value), None),
                Err(error) => {
                    let message =
                        format!("the context gives `{name}`, and `{}` cannot be that: {error}", port.name);
                    self.found.push(Diagnostic::error(codes::TYPE_CLASH, message, span));
                    (From::Nothing, None)
                }
            },
            ProvidedKind::Flow(provider, value_type) => {
                let slot = self.slots.slot(Key::Context(name.to_owned()));
                if !self.context.iter().any(|(_, used)| *used == slot) {
                    self.context.push((Arc::clone(provider), slot));
                }
                (From::Slot(slot), Some(value_type.clone()))
            }
        })
    }

    /// What was produced last of these, else what the context gives.
    pub(super) fn latest_or(
        &mut self,
        n: usize,
        all: &[Spanned<Reference>],
        name: &str,
        port: &Port,
        span: &Span,
    ) -> Option<Source> {
        let Some((otherwise, value_type)) = self.provided(name, port, span) else {
            let message = format!("the flow has no context provider `{name}`");
            self.found.push(Diagnostic::error(codes::DANGLING, message, span));
            return None;
        };
        // Where nothing was produced, the context stands in: that is as good as a default.
        let filled = Port { default: Some(Value::Null), ..port.clone() };
        let Source { from, producers, .. } = self.latest(n, all, &filled, span)?;
        let types = value_type.map(|of| (of, format!("context {name}"))).into_iter().collect();
        let from = From::Either(Box::new(from), Box::new(otherwise));
        let source = Source { from, types, producers, always: true };
        self.check_types(n, &source, port, span);
        Some(source)
    }

    /// A list of references takes what was produced last, so all of them have to be produced.
    pub(super) fn is_produced_value(&mut self, reference: &Reference, span: &Span) -> bool {
        let why = match reference {
            Reference::Variable(_) => "is a variable",
            Reference::Visits(_) => "is a counter",
            Reference::Name(name) if self.providers.iter().any(|provided| provided.name == *name) => {
                "comes from a context provider"
            }
            _ => return true,
        };
        let message =
            format!("`{reference}` {why}, and no step's output; of a list, the one produced last counts");
        self.found.push(Diagnostic::error(codes::DANGLING, message, span));
        false
    }
}
