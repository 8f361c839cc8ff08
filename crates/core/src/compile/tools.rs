//! The tools of a document: found by name from the inside out, decoded when the first step names them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Compiler, Env, Scope, codes};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::registry::ToolType;
use crate::schema;
use crate::signature::Port;
use crate::spec::{InputSpec, Next, StepSpec, ToolSpec};
use crate::tool::{ToolDefinition, ToolScope};
use crate::types::Kind;

/// All definitions so far.
#[derive(Default)]
pub(super) struct Tools {
    all: Vec<Arc<ToolDefinition>>,
    /// By the path of the defining flow and the name.
    states: BTreeMap<(String, String), State>,
}

enum State {
    /// Its flow is being compiled.
    InProgress,
    /// None: it has errors, which are reported.
    Done(Option<Arc<ToolDefinition>>),
}

impl Tools {
    pub(super) fn finish(self) -> Vec<Arc<ToolDefinition>> {
        self.all
    }
}

impl Compiler<'_> {
    /// Decodes the tools that this flow defines, also those that nothing calls.
    pub(super) fn define_tools(&self, env: &Env<'_>) {
        for written in &env.spec.tools {
            let name = &written.name.value;
            if env.parent.is_some_and(|parent| parent.find_tool(name).is_some()) {
                let message = format!("the tool `{name}` hides another tool of that name further out");
                self.report(Diagnostic::warning(codes::SHADOWED, message, &written.name.span));
            }
            let key = (env.path.clone(), name.clone());
            if !self.tools.borrow().states.contains_key(&key) {
                self.define_tool(env, written);
            }
        }
    }

    /// The nearest tool of this name, else the one that the program has.
    pub(super) fn tool(
        &self,
        env: &Env<'_>,
        name: &str,
        wrong: impl Fn(&'static str, String) -> Diagnostic,
    ) -> Result<Arc<ToolDefinition>, Diagnostics> {
        let Some((owner, written)) = env.find_tool(name) else {
            let Some(registered) = self.registry.tool(name) else {
                let unknown = wrong(codes::UNKNOWN_TOOL, format!("there is no tool `{name}`"));
                let known = names(env).chain(self.registry.tools().map(|t| &*t.name));
                return Err(unknown.suggest(name, known).into());
            };
            let mut tools = self.tools.borrow_mut();
            if !tools.all.iter().any(|tool| Arc::ptr_eq(tool, registered)) {
                tools.all.push(Arc::clone(registered));
            }
            return Ok(Arc::clone(registered));
        };
        let key = (owner.path.clone(), name.to_owned());
        let found = match self.tools.borrow().states.get(&key) {
            Some(State::Done(tool)) => Some(tool.clone()),
            Some(State::InProgress) => {
                return Err(wrong(codes::RECURSION, format!("the tool `{name}` calls itself")).into());
            }
            None => None,
        };
        found.unwrap_or_else(|| self.define_tool(owner, written)).ok_or_else(Diagnostics::new)
    }

    fn define_tool(&self, env: &Env<'_>, written: &ToolSpec) -> Option<Arc<ToolDefinition>> {
        let key = (env.path.clone(), written.name.value.clone());
        self.tools.borrow_mut().states.insert(key.clone(), State::InProgress);
        let tool = self.decode_tool(env, written).map(Arc::new);
        let mut tools = self.tools.borrow_mut();
        tools.all.extend(tool.clone());
        tools.states.insert(key, State::Done(tool.clone()));
        tool
    }

    fn decode_tool(&self, env: &Env<'_>, written: &ToolSpec) -> Option<ToolDefinition> {
        let (name, kind) = (&written.name.value, &written.kind);
        let Some(tool_type) = self.registry.tool_kind(&kind.value) else {
            let message = format!("there is no kind of tool `{}`", kind.value);
            let known = self.registry.tool_kinds().map(|k| k.name);
            self.report(
                Diagnostic::error(codes::BAD_TOOL, message, &kind.span).suggest(&kind.value, known.clone()).help(
                    format!("the kinds are {}", super::listed(&known.map(str::to_owned).collect::<Vec<_>>())),
                ),
            );
            return None;
        };
        let wrong = schema::check(&written.config, &tool_type.schema, &format!("tool `{name}`"));
        let failed = wrong.has_errors();
        self.found.borrow_mut().extend(wrong);
        // What is wrong with the form may keep the rest from being read; it is reported already.
        match self.build_tool(env, written, tool_type) {
            Ok(tool) => Some(tool).filter(|_| !failed),
            Err(_) if failed => None,
            Err(wrong) => {
                self.found.borrow_mut().extend(wrong);
                None
            }
        }
    }

    fn build_tool(
        &self,
        env: &Env<'_>,
        written: &ToolSpec,
        tool_type: &ToolType,
    ) -> Result<ToolDefinition, Diagnostics> {
        // A tool sees of the flow what a step sees.
        let place = StepSpec {
            name: written.name.clone(),
            step_type: written.kind.clone(),
            doc: None,
            inputs: Vec::new(),
            with: Vec::new(),
            next: Next::Following,
            output: None,
            outputs: Vec::new(),
            wiring: None,
            config: written.config.clone(),
            span: written.name.span.clone(),
        };
        let scope = Scope::new(self, env, &place).of_tool();
        let (arguments, results) = (ports(written.arguments.as_ref()), ports(written.results.as_ref()));
        let tool_scope = ToolScope {
            scope: &scope,
            description: written.description.as_deref(),
            arguments: arguments.as_deref(),
            results: results.as_deref(),
        };
        let tool = tool_type.decode(&written.config, &tool_scope).map_err(|wrong| as_tool(&wrong))?;
        let mut definition = ToolDefinition::new(written.name.value.as_str(), tool);
        if written.description.is_some() {
            definition.description.clone_from(&written.description);
        }
        if let Some(idempotent) = written.idempotent {
            definition.idempotent = idempotent;
        }
        definition.confirm = written.confirm.unwrap_or(false);
        definition.span = written.name.span.clone();
        no_tables(&definition, &tool_scope).into_result()?;
        Ok(definition)
    }
}

/// A table is a recipe: it cannot be told to what is outside of the engine, and no record can hold it.
fn no_tables(tool: &ToolDefinition, scope: &ToolScope<'_>) -> Diagnostics {
    let mut wrong = Diagnostics::new();
    let ports = tool.arguments.iter().chain(&tool.results);
    for port in ports.filter(|port| tool.tool.flow().is_none() && port.value_type.kind == Kind::Table) {
        let problem = scope.bad(&[], format!("`{}` of the tool `{}` cannot be a table", port.name, tool.name));
        wrong.push(problem.help("take rows as `[object]`"));
    }
    wrong
}

/// What a step would call a wrong configuration is one of a tool here.
fn as_tool(wrong: &Diagnostics) -> Diagnostics {
    let mut renamed = Diagnostics::new();
    for diagnostic in wrong.iter() {
        let mut diagnostic = diagnostic.clone();
        if diagnostic.code == codes::BAD_CONFIG {
            diagnostic.code = codes::BAD_TOOL;
        }
        renamed.push(diagnostic);
    }
    renamed
}

fn ports(listed: Option<&Vec<InputSpec>>) -> Option<Vec<Port>> {
    let port = |spec: &InputSpec| Port {
        default: spec.default.clone(),
        doc: spec.description.clone(),
        ..Port::new(&spec.name.value, spec.value_type.clone())
    };
    listed.map(|specs| specs.iter().map(port).collect())
}

fn names<'a>(env: &'a Env<'a>) -> impl Iterator<Item = &'a str> {
    env.chain().flat_map(|e| e.spec.tools.iter().map(|t| t.name.value.as_str()))
}
