//! Context providers: values for the inputs that nothing else gives.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Compiler, Env, codes, listed};
use crate::diagnostics::{Diagnostic, Spanned};
use crate::flow::{Flow, FlowProvider, ProviderSource};
use crate::signature::Port;
use crate::spec::{ContextSpec, Provider};
use crate::tool::ToolDefinition;
use crate::types::Type;
use crate::value::Value;

/// A provider, ready to be wired.
pub(super) struct Provided {
    pub(super) name: String,
    pub(super) kind: ProvidedKind,
}

pub(super) enum ProvidedKind {
    /// A constant.
    Value(Value),
    /// Something that is done for each step that wants it.
    Flow(Arc<FlowProvider>, Type),
    /// It has errors, which are reported: it may give anything.
    Broken,
}

impl Provided {
    /// The provider that does something, if it is one.
    pub(super) fn into_provider(self) -> Option<Arc<FlowProvider>> {
        match self.kind {
            ProvidedKind::Flow(provider, _) => Some(provider),
            _ => None,
        }
    }
}

impl Compiler<'_> {
    /// The providers of a flow.
    pub(super) fn providers(&self, env: &Env<'_>) -> Vec<Provided> {
        let mut seen = BTreeSet::new();
        let inputs = env.spec.inputs.iter().flatten();
        let inputs: BTreeSet<&str> = inputs.map(|input| input.name.value.as_str()).collect();
        let mut all = Vec::with_capacity(env.spec.context.len());
        for written in &env.spec.context {
            let name = &written.name.value;
            if !seen.insert(name.as_str()) {
                let message = format!("the flow has two context providers `{name}`");
                self.report(Diagnostic::error(codes::DUPLICATE, message, &written.name.span));
            }
            if inputs.contains(name.as_str()) {
                let message = format!("`{name}` is an input of the flow and a context provider of it");
                let wrong = Diagnostic::error(codes::DUPLICATE, message, &written.name.span);
                self.report(wrong.help("a provider is for what nothing else gives; take one of the two out"));
            }
            let kind = self.provider(env, written).unwrap_or(ProvidedKind::Broken);
            all.push(Provided { name: name.clone(), kind });
        }
        all
    }

    fn provider(&self, env: &Env<'_>, written: &ContextSpec) -> Option<ProvidedKind> {
        let name = &written.name.value;
        match &written.provider {
            Provider::Value(value) => Some(ProvidedKind::Value(value.clone())),
            Provider::Flow { flow, output } => {
                let compiled = self.provider_flow(env, name, flow)?;
                let what = format!("the flow `{}`", flow.value);
                let place = self.provider_output(&what, &compiled.outputs, flow, output.as_ref())?;
                let value_type = compiled.outputs[place].value_type.clone();
                let source = ProviderSource::Flow(compiled);
                let provider = FlowProvider { name: name.as_str().into(), source, output: place };
                Some(ProvidedKind::Flow(Arc::new(provider), value_type))
            }
            Provider::Tool { tool, output } => {
                let found = self.provider_tool(env, tool)?;
                let what = format!("the tool `{}`", tool.value);
                let place = self.provider_output(&what, &found.results, tool, output.as_ref())?;
                let value_type = found.results[place].value_type.clone();
                let source = ProviderSource::Tool(found);
                let provider = FlowProvider { name: name.as_str().into(), source, output: place };
                Some(ProvidedKind::Flow(Arc::new(provider), value_type))
            }
        }
    }

    fn provider_flow(&self, env: &Env<'_>, provider: &str, named: &Spanned<String>) -> Option<Arc<Flow>> {
        let name = &named.value;
        let Some(inner) = env.find_flow(name) else {
            let wrong = Diagnostic::error(codes::UNKNOWN_FLOW, format!("there is no flow `{name}`"), &named.span);
            self.report(wrong.suggest(name, env.flow_names()));
            return None;
        };
        if self.in_progress(&inner.path) {
            let message = format!("the flow `{name}` runs itself through the context provider `{provider}`");
            self.report(Diagnostic::error(codes::RECURSION, message, &named.span));
            return None;
        }
        let flow = self.flow(&inner)?;
        if flow.waits {
            let message = format!("the flow `{name}` may wait for somebody, and a context provider asks nobody");
            let wrong = Diagnostic::error(codes::BAD_CONFIG, message, &named.span);
            self.report(wrong.help("run the flow as a step"));
            return None;
        }
        let (what, way_out) =
            (format!("the flow `{name}`"), "give the input a default, or run the flow as a step");
        self.wants_nothing(&what, &flow.inputs, named, way_out).then_some(flow)
    }

    fn provider_tool(&self, env: &Env<'_>, named: &Spanned<String>) -> Option<Arc<ToolDefinition>> {
        let name = &named.value;
        let wrong = |code, message: String| Diagnostic::error(code, message, &named.span);
        let tool = match self.tool(env, name, wrong) {
            Ok(tool) => tool,
            Err(wrong) => {
                self.found.borrow_mut().extend(wrong);
                return None;
            }
        };
        if tool.waits() {
            let message = format!("the tool `{name}` waits for somebody, and a context provider asks nobody");
            self.report(wrong(codes::BAD_TOOL, message).help("call the tool in a step"));
            return None;
        }
        let (what, way_out) =
            (format!("the tool `{name}`"), "give the argument a default, or call the tool in a step");
        self.wants_nothing(&what, &tool.arguments, named, way_out).then_some(tool)
    }

    /// Whether all of these have defaults, as what a provider gives nothing has to.
    fn wants_nothing(&self, what: &str, ports: &[Port], named: &Spanned<String>, way_out: &str) -> bool {
        let Some(port) = ports.iter().find(|port| port.default.is_none()) else { return true };
        let message = format!("{what} wants `{}`, and a context provider gives it nothing", port.name);
        self.report(Diagnostic::error(codes::UNFED, message, &named.span).help(way_out));
        false
    }

    fn provider_output(
        &self,
        what: &str,
        outputs: &[Port],
        named: &Spanned<String>,
        output: Option<&Spanned<String>>,
    ) -> Option<usize> {
        let names: Vec<String> = outputs.iter().map(|port| port.name.clone()).collect();
        match output {
            None if names.len() == 1 => Some(0),
            None => {
                let message = format!("{what} has {} outputs, and a provider gives one", names.len());
                let wrong = Diagnostic::error(codes::UNKNOWN_OUTPUT, message, &named.span);
                self.report(wrong.help(format!("say which with `output:`; it has {}", listed(&names))));
                None
            }
            Some(wanted) => {
                let place = names.iter().position(|name| *name == wanted.value);
                if place.is_none() {
                    let message = format!("{what} has no output `{}`", wanted.value);
                    let wrong = Diagnostic::error(codes::UNKNOWN_OUTPUT, message, &wanted.span);
                    self.report(wrong.suggest(&wanted.value, names.iter().map(String::as_str)));
                }
                place
            }
        }
    }
}
