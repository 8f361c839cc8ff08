//! The inputs of a flow: those that it lists, or those that its steps want.

use indexmap::IndexMap;

use crate::cast::castable;
use crate::compile::codes;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::signature::Port;
use crate::spec::{FlowSpec, InputSpec};
use crate::types::{Kind, Type};
use crate::value::Value;

pub(super) struct FlowInputs {
    /// Whether the list is complete; else it grows with what the steps want.
    closed: bool,
    ports: IndexMap<String, Port>,
}

impl FlowInputs {
    pub(super) fn new(spec: &FlowSpec, top: bool, found: &mut Diagnostics) -> Self {
        let mut ports = IndexMap::new();
        for input in spec.inputs.iter().flatten() {
            if input.secret {
                check_secret(input, top, found);
            }
            let port = Port {
                default: input.default.clone(),
                doc: input.description.clone(),
                secret: input.secret,
                ..Port::new(&input.name.value, input.value_type.clone())
            };
            if ports.insert(input.name.value.clone(), port).is_some() {
                let message = format!("the flow has two inputs `{}`", input.name.value);
                found.push(Diagnostic::error(codes::DUPLICATE, message, &input.name.span));
            }
        }
        Self { closed: top || spec.inputs.is_some(), ports }
    }

    /// The type of the input `name`, which a step wants as `wanted`; `None` where the flow has none.
    pub(super) fn want(&mut self, name: &str, wanted: &Type, default: Option<&Value>) -> Option<Type> {
        if let Some(port) = self.ports.get_mut(name) {
            if !self.closed {
                narrow(&mut port.value_type, wanted);
                if default.is_none() {
                    port.default = None;
                }
            }
            return Some(port.value_type.clone());
        }
        if self.closed {
            return None;
        }
        let port = Port { default: default.cloned(), ..Port::new(name, wanted.clone()) };
        self.ports.insert(name.to_owned(), port);
        Some(wanted.clone())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.ports.keys().map(String::as_str)
    }

    pub(super) fn finish(self) -> Vec<Port> {
        self.ports.into_values().collect()
    }
}

/// A secret is a text that somebody gives to the run.
fn check_secret(input: &InputSpec, top: bool, found: &mut Diagnostics) {
    let name = &input.name.value;
    if !top {
        let message = format!("`{name}` is an input of an inner flow, which cannot be secret");
        let wrong = Diagnostic::error(codes::BAD_SECRET, message, &input.name.span);
        let help = "write `secret: true` at the top flow's input; its value is hidden wherever it goes";
        found.push(wrong.help(help));
    } else if input.value_type.without_null().kind != Kind::String || input.value_type.one_of.is_some() {
        let message = format!("`{name}` is secret, which only a text can be, and any text");
        let wrong = Diagnostic::error(codes::BAD_SECRET, message, &input.name.span);
        found.push(wrong.help("write `type: string`, or `string?` where it need not be given"));
    }
}

/// Several steps want one input: it has the type that fits them all, where there is one.
fn narrow(have: &mut Type, wanted: &Type) {
    let wider = matches!(have.kind, Kind::Any) || (castable(wanted, have) && !castable(have, wanted));
    if wider {
        *have = wanted.clone();
    }
}
