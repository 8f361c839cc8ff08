//! What a flow gives: the outputs that it lists, or what every way to an end gives.

use indexmap::IndexSet;

use super::slots::Key;
use super::{Wirer, output_type};
use crate::compile::ways::{Producer, Reached};
use crate::compile::{codes, place};
use crate::diagnostics::{Diagnostic, Span};
use crate::flow::From;
use crate::signature::Port;
use crate::spec::{OutputSpec, Reference, WireKind};
use crate::types::{Kind, Type};

impl Wirer<'_> {
    pub(super) fn outputs(&mut self) -> (Vec<Port>, Vec<From>) {
        match &self.spec.outputs {
            Some(declared) => declared.iter().filter_map(|o| self.declared_output(o)).unzip(),
            None => self.inferred_outputs(),
        }
    }

    fn declared_output(&mut self, output: &OutputSpec) -> Option<(Port, From)> {
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
            && let Some(place) = self.slots.step(step)
        {
            return Some((Port::new(name, Type::integer()), From::Visits(place)));
        }
        if let Reference::Variable(variable) = &reference {
            return self.variable_output(name, variable, &span);
        }
        let partial = |me: &mut Self| {
            let message = format!("the output `{name}` is `{reference}`, which some path to an end does not give");
            me.found.push(Diagnostic::error(codes::PARTIAL_OUTPUT, message, &span));
        };
        match self.slots.key_of(&reference) {
            Some(Key::Output(step, output)) => {
                if self.at_end(self.slots.only((step, output))).open {
                    partial(self);
                }
                let port = Port::new(name, output_type(self.steps, step, output).clone());
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
                let reached = self.at_end(self.slots.producers(&by_name));
                if reached.producers.is_empty() {
                    self.unknown_output(&reference, &span);
                    return None;
                }
                if reached.open {
                    partial(self);
                }
                let port = Port::new(name, self.joined_type(&reached.producers));
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

    fn inferred_outputs(&mut self) -> (Vec<Port>, Vec<From>) {
        let names: IndexSet<&str> = self.steps.iter().flat_map(|s| s.outputs.iter().map(String::as_str)).collect();
        let mut given = Vec::new();
        for name in names {
            let all = self.slots.producers(name);
            if self.broken.is_empty() && self.ways.end_is_open(all) {
                continue;
            }
            let Reached { producers, open } = &*self.at_end(all);
            let only_begins = producers.iter().all(|(s, _)| self.steps[*s].signature.begins);
            if !open && !only_begins {
                let port = Port::new(name, self.joined_type(producers));
                given.push((port, From::Slot(self.slots.slot(Key::Name(name.to_owned())))));
            }
        }
        given.into_iter().unzip()
    }

    fn joined_type(&self, producers: &[Producer]) -> Type {
        let mut types: Vec<Type> = Vec::new();
        for (step, output) in producers {
            let value_type = output_type(self.steps, *step, *output);
            if !types.contains(value_type) {
                types.push(value_type.clone());
            }
        }
        if types.len() == 1 { types.remove(0) } else { Kind::Union(types).into() }
    }
}
