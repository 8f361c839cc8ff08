//! What a frame holds beside the outputs of its steps: variables, and the values of context providers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::slots::Key;
use super::{Source, Wirer};
use crate::cast::cast;
use crate::compile::codes;
use crate::compile::context::ProvidedKind;
use crate::compile::ways::{Producers, Reached};
use crate::compile::{Decoded, place};
use crate::diagnostics::{Diagnostic, Diagnostics, Span, Spanned};
use crate::flow::From;
use crate::signature::Port;
use crate::spec::{FlowSpec, Reference, VariableSpec};
use crate::types::Type;
use crate::value::Value;

/// The variables of a flow as ports, each name once and each default of its type.
pub(super) fn variables(spec: &FlowSpec, found: &mut Diagnostics) -> Vec<Port> {
    let (mut ports, mut seen) = (Vec::with_capacity(spec.variables.len()), HashSet::new());
    for VariableSpec { name, value_type, default, description } in &spec.variables {
        if !seen.insert(name.value.as_str()) {
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

/// The places of variables by their names; the first one counts.
pub(super) fn variable_places(spec: &FlowSpec) -> HashMap<&str, usize> {
    spec.variables
        .iter()
        .enumerate()
        .rev()
        .map(|(place, variable)| (variable.name.value.as_str(), place))
        .collect()
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

/// Who writes each variable.
pub(super) fn writers<'a>(steps: &'a [Decoded<'_>]) -> HashMap<&'a str, Producers> {
    let mut writers: HashMap<&str, Producers> = HashMap::new();
    for (n, step) in steps.iter().enumerate() {
        for used in step.signature.variables.iter().filter(|used| used.writes) {
            writers.entry(used.name.as_str()).or_default().push((n, 0));
        }
    }
    writers
}

impl Wirer<'_> {
    /// Who writes a variable last before step `n`, or before the end.
    fn written(&self, n: Option<usize>, variable: &str) -> Arc<Reached> {
        let none = Producers::default();
        let writers = self.writers.get(variable).unwrap_or(&none);
        n.map_or_else(|| self.at_end(writers), |n| self.nearest(n, writers))
    }

    /// Whether nothing writes a variable on the ways to step `n`.
    fn never_written(&self, reached: &Reached) -> bool {
        reached.producers.is_empty() && self.broken.is_empty()
    }

    fn variable_place(&mut self, name: &str, span: &Span) -> Option<usize> {
        let place = self.variable_places.get(name).copied();
        if place.is_none() {
            self.found.push(unknown_variable(self.spec, name, span));
        }
        place
    }

    /// `variables.NAME`, read by step `n`.
    pub(super) fn variable(&mut self, n: usize, name: &str, span: &Span) -> Option<Source> {
        let place = self.variable_place(name, span)?;
        let port = &self.variables[place];
        let written = self.written(Some(n), name);
        if port.default.is_none() && self.never_written(&written) {
            self.unwritten(n, name, span);
            return None;
        }
        let always = port.default.is_some() || !written.open;
        let given = Source::given(From::Variable(place), port.value_type.clone(), format!("variables.{name}"));
        Some(Source { always, ..given })
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
            if used.reads
                && self.variables[place].default.is_none()
                && self.never_written(&self.written(Some(n), &used.name))
            {
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
    pub(super) fn variable_output(&mut self, output: &str, name: &str, span: &Span) -> Option<(Port, From)> {
        let place = self.variable_place(name, span)?;
        let port = &self.variables[place];
        if port.default.is_none() && self.written(None, name).open {
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
        let provided = *self.provided.get(name)?;
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
        let latest = self.latest(n, all, &filled, span)?;
        if let Some(value_type) = value_type {
            self.check_type(n, &value_type, || format!("context {name}"), port, span);
        }
        let from = From::Either(Box::new(latest.from), Box::new(otherwise));
        Some(Source { from, always: true, ..latest })
    }

    /// A list of references takes what was produced last, so all of them have to be produced.
    pub(super) fn is_produced_value(&mut self, reference: &Reference, span: &Span) -> bool {
        let why = match reference {
            Reference::Variable(_) => "is a variable",
            Reference::Visits(_) => "is a counter",
            Reference::Name(name) if self.provided.contains_key(name.as_str()) => "comes from a context provider",
            _ => return true,
        };
        let message =
            format!("`{reference}` {why}, and no step's output; of a list, the one produced last counts");
        self.found.push(Diagnostic::error(codes::DANGLING, message, span));
        false
    }
}
