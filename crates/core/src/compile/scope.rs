//! [`Scope`]: what a step sees of the flow around it while its ports are worked out.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::datastores::Named;
use super::wiring::unknown_variable;
use super::{Compiler, Env, codes};
use crate::diagnostics::{Diagnostic, Diagnostics, Span, nearest};
use crate::flow::{DatastoreDefinition, Flow};
use crate::node::Node;
use crate::signature::Port;
use crate::spec::{StepSpec, VariableSpec};
use crate::tool::ToolDefinition;

/// Gives a step the signatures of the flows and models that its configuration names, and the places for its errors.
pub struct Scope<'a> {
    compiler: &'a Compiler<'a>,
    env: &'a Env<'a>,
    step: &'a StepSpec,
    flows: RefCell<BTreeMap<String, Arc<Flow>>>,
    models: RefCell<BTreeSet<String>>,
    datastores: RefCell<BTreeMap<String, usize>>,
    tools: RefCell<BTreeMap<String, Arc<ToolDefinition>>>,
    /// What the name stands for.
    what: &'static str,
}

/// The ports and ends of a flow that a step runs.
#[derive(Clone, Debug)]
pub struct FlowPorts {
    /// Its inputs.
    pub inputs: Vec<Port>,
    /// Its outputs.
    pub outputs: Vec<Port>,
    /// Its named ends.
    pub ends: Vec<String>,
    /// Whether it can also end without a name.
    pub unnamed_end: bool,
    /// Whether a step in it may wait for a person.
    pub waits: bool,
}

impl FlowPorts {
    /// The branches of a step that runs the flow: its named ends, and `next` for the unnamed one.
    pub fn branches(&self) -> Vec<String> {
        let unnamed = (self.unnamed_end || self.ends.is_empty()).then(|| "next".to_owned());
        unnamed.into_iter().chain(self.ends.iter().cloned()).collect()
    }
}

impl<'a> Scope<'a> {
    pub(super) fn new(compiler: &'a Compiler<'a>, env: &'a Env<'a>, step: &'a StepSpec) -> Self {
        Self {
            compiler,
            env,
            step,
            flows: RefCell::default(),
            models: RefCell::default(),
            datastores: RefCell::default(),
            tools: RefCell::default(),
            what: "step",
        }
    }

    /// The scope of a tool's definition, which stands where a step's would.
    pub(super) fn of_tool(mut self) -> Self {
        self.what = "the tool";
        self
    }

    /// The folder that paths of the flow are relative to.
    pub fn folder(&self) -> &Path {
        self.env.chain().last().map_or(Path::new(""), |top| &top.spec.folder)
    }

    /// The step's name.
    pub fn step_name(&self) -> &str {
        &self.step.name.value
    }

    /// The step's configuration as written.
    pub fn config(&self) -> &Node {
        &self.step.config
    }

    /// The place of a part of the configuration, given by keys and item numbers; as far as the path goes.
    pub fn span(&self, path: &[&str]) -> Span {
        let node = self.step.config.at(path.iter().copied());
        super::place(&node.span, &self.step.span).clone()
    }

    /// An error at a part of the configuration.
    pub fn error(&self, code: &'static str, path: &[&str], message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, message, &self.span(path))
    }

    /// An error of a configuration that makes no sense, at a part of it.
    pub fn bad(&self, path: &[&str], message: impl Into<String>) -> Diagnostic {
        self.error(codes::BAD_CONFIG, path, message)
    }

    /// As [`Scope::bad`], at the key that the path ends with and not at its value.
    pub fn bad_key(&self, path: &[&str], message: impl Into<String>) -> Diagnostic {
        let mut wrong = self.bad(path, message);
        wrong.span = self.key_span(path);
        wrong
    }

    /// The place of the key that a path ends with, where there is one.
    fn key_span(&self, path: &[&str]) -> Span {
        let key = path.split_last().and_then(|(key, above)| self.step.config.at(above.iter().copied()).entry(key));
        let place = self.span(path);
        key.map_or(place.clone(), |key| super::place(&key.key_span, &place).clone())
    }

    /// Reports a warning; it does not stop the flow.
    pub fn warn(&self, code: &'static str, path: &[&str], message: impl Into<String>) {
        self.compiler.report(Diagnostic::warning(code, message, &self.span(path)));
    }

    /// Warns where no error has a code, `model.timeout`, or is of a kind, `model.*`; the path leads to where it stands, as a
    /// value or as a key.
    pub fn warn_of_unknown_code(&self, path: &[&str], code: &str) {
        let known = self.compiler.registry.error_codes();
        let kind = code.strip_suffix('*');
        if known.clone().next().is_none()
            || known.clone().any(|k| kind.map_or(k == code, |kind| k.starts_with(kind)))
        {
            return;
        }
        let kinds: BTreeSet<String> =
            known.clone().filter_map(|k| Some(format!("{}.*", k.split_once('.')?.0))).collect();
        let near = match kind {
            Some(_) => nearest(code, kinds.iter().map(String::as_str)),
            None => nearest(code, known),
        };
        let what = if kind.is_some() { "of the kind" } else { "with the code" };
        let message = format!("there is no error {what} `{code}`");
        let warning = Diagnostic::warning(codes::UNKNOWN_ERROR, message, &self.key_span(path));
        self.compiler.report(match near {
            Some(near) => warning.label(format!("did you mean `{near}`?")),
            None => warning.help("`flowrun explain` lists the codes"),
        });
    }

    /// The inputs that the flow around the step lists; none where it lists none and has what its steps want.
    pub fn listed_inputs(&self) -> Vec<Port> {
        let mut seen = BTreeSet::new();
        let inputs = self.env.spec.inputs.iter().flatten();
        // A name that stands twice is reported where the flow is wired.
        let once = inputs.filter(|input| seen.insert(input.name.value.as_str()));
        once.map(|input| Port::new(&input.name.value, input.value_type.clone())).collect()
    }

    /// The ports of a flow that the step runs; `path` leads to its name in the configuration.
    ///
    /// # Errors
    /// When there is none of that name, it runs itself, or it has errors of its own (which are reported there).
    pub fn flow(&self, name: &str, path: &[&str]) -> Result<FlowPorts, Diagnostics> {
        let Some(inner) = self.env.find_flow(name) else {
            let wrong = self.error(codes::UNKNOWN_FLOW, path, format!("there is no flow `{name}`"));
            return Err(wrong.suggest(name, self.env.flow_names()).into());
        };
        if self.compiler.in_progress(&inner.path) {
            let message = format!("the flow `{name}` runs itself through {} `{}`", self.what, self.step_name());
            return Err(self.error(codes::RECURSION, path, message).into());
        }
        let flow = self.compiler.flow(&inner).ok_or_else(Diagnostics::new)?;
        let ports = FlowPorts {
            inputs: flow.inputs.clone(),
            outputs: flow.outputs.clone(),
            ends: flow.ends.clone(),
            unnamed_end: flow.unnamed_end,
            waits: flow.waits,
        };
        self.flows.borrow_mut().insert(name.to_owned(), flow);
        Ok(ports)
    }

    /// The variable of the flow that the step reads or writes; `path` leads to its name in the configuration. How it is
    /// used goes into [`Signature::variables`](crate::signature::Signature::variables).
    ///
    /// # Errors
    /// When the flow has none of that name.
    pub fn variable(&self, name: &str, path: &[&str]) -> Result<&VariableSpec, Diagnostics> {
        let found = self.env.variable(name);
        found.ok_or_else(|| unknown_variable(self.env.spec, name, &self.span(path)).into())
    }

    /// The datastore that the step uses; `path` leads to its name in the configuration.
    ///
    /// # Errors
    /// When there is none of that name, or it has errors of its own (which are reported there).
    pub fn datastore(&self, name: &str, path: &[&str]) -> Result<Arc<DatastoreDefinition>, Diagnostics> {
        let found = match self.compiler.datastore_place(self.env, name) {
            Named::At(place) => self.compiler.datastores.borrow().get(place),
            Named::Wrong => None,
            Named::Nowhere => {
                let wrong = self.error(codes::UNKNOWN_DATASTORE, path, format!("there is no datastore `{name}`"));
                return Err(wrong.suggest(name, super::datastores::names(self.env)).into());
            }
        };
        let found = found.ok_or_else(Diagnostics::new)?;
        self.datastores.borrow_mut().insert(name.to_owned(), found.place);
        Ok(found)
    }

    /// The tool that the step calls; `path` leads to its name in the configuration.
    ///
    /// # Errors
    /// When there is none of that name, it calls itself, or it has errors of its own (which are reported there).
    pub fn tool(&self, name: &str, path: &[&str]) -> Result<Arc<ToolDefinition>, Diagnostics> {
        let found = self.compiler.tool(self.env, name, |code, message| self.error(code, path, message))?;
        self.tools.borrow_mut().insert(name.to_owned(), Arc::clone(&found));
        Ok(found)
    }

    /// A flow that the definition of a tool runs; [`Scope::flow`] has found it.
    pub fn compiled_flow(&self, name: &str) -> Option<Arc<Flow>> {
        self.flows.borrow().get(name).cloned()
    }

    pub(super) fn used_tools(&self) -> BTreeMap<String, Arc<ToolDefinition>> {
        self.tools.take()
    }

    pub(super) fn used_datastores(&self) -> BTreeMap<String, usize> {
        self.datastores.take()
    }

    pub(super) fn used(&self) -> (BTreeMap<String, Arc<Flow>>, BTreeSet<String>) {
        (self.flows.take(), self.models.take())
    }
}
