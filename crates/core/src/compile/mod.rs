//! From a document to a checked graph: steps decoded, names resolved to indices, wires and types checked. All problems
//! are found in one go.

pub mod codes;
mod context;
mod control;
mod datastores;
mod lints;
mod models;
mod names;
mod rows;
mod scope;
mod tools;
mod ways;
mod wiring;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use indexmap::IndexSet;
use serde_json::Value as Json;

use crate::diagnostics::{Diagnostic, Diagnostics, Span, Spanned};
use crate::error::StepError;
use crate::execute::StepCx;
use crate::flow::{Compiled, Flow, FlowStep, Limits, UNNAMED_END};
use crate::late::MARK;
use crate::node::{Node, NodeKind};
use crate::ports::Ports;
use crate::registry::{Registry, StepType};
use crate::schema;
use crate::signature::Signature;
use crate::spec::{FlowSpec, Next, StepSpec};
use crate::step::{AnyStep, Effect, Outcome};
use crate::tool::ToolDefinition;

use names::Env;
pub use scope::{FlowPorts, Scope};

/// Steps that one visit of a flow may take, where the flow does not say.
pub const DEFAULT_MAX_STEPS: u64 = 10_000;

/// Problems that are listed.
const MOST_PROBLEMS: usize = 500;

/// Flows inside flows inside flows, at most.
const DEEPEST: usize = 64;

/// Compiles a document.
///
/// # Errors
/// All errors of the document at once, with the warnings among them.
pub fn compile(spec: &FlowSpec, registry: &Registry) -> Result<Compiled, Diagnostics> {
    let compiler = Compiler {
        registry,
        found: RefCell::default(),
        models: RefCell::default(),
        datastores: RefCell::default(),
        tools: RefCell::default(),
        flows: RefCell::default(),
        depth: Cell::new(0),
    };
    let env = Env::new(None, spec, String::new());
    let flow = compiler.flow(&env);
    let found = listed_problems(compiler.found.into_inner());
    match flow {
        Some(flow) if !found.has_errors() => Ok(Compiled {
            flow,
            models: compiler.models.into_inner().finish(),
            datastores: compiler.datastores.into_inner().finish(),
            tools: compiler.tools.into_inner().finish(),
            warnings: found,
        }),
        _ => Err(found),
    }
}

/// The problems in the order of their places, not more than people can be shown.
fn listed_problems(found: Diagnostics) -> Diagnostics {
    let sorted = found.sorted();
    if sorted.errors() <= MOST_PROBLEMS {
        return sorted;
    }
    let mut listed = Diagnostics::new();
    for problem in sorted.iter().take(MOST_PROBLEMS) {
        listed.push(problem.clone());
    }
    if let Some(last) = sorted.iter().take(MOST_PROBLEMS).last() {
        listed.push(Diagnostic::error(codes::MANY, "there may be more problems than are listed", &last.span));
    }
    listed
}

enum FlowState {
    InProgress,
    Done(Option<Arc<Flow>>),
}

struct Compiler<'a> {
    registry: &'a Registry,
    found: RefCell<Diagnostics>,
    models: RefCell<models::Models>,
    datastores: RefCell<datastores::Datastores>,
    tools: RefCell<tools::Tools>,
    flows: RefCell<BTreeMap<String, FlowState>>,
    depth: Cell<usize>,
}

/// A step that has been decoded, before it is wired.
struct Decoded<'a> {
    spec: &'a StepSpec,
    type_name: &'static str,
    effect: Effect,
    step: Arc<dyn AnyStep>,
    signature: Signature,
    /// Output names after renaming, in the order of the signature.
    outputs: Vec<String>,
    /// References of `{ from: … }`, with their places.
    late: Vec<Spanned<String>>,
    flows: BTreeMap<String, Arc<Flow>>,
    models: BTreeMap<String, usize>,
    datastores: BTreeMap<String, usize>,
    tools: BTreeMap<String, Arc<ToolDefinition>>,
    /// The step has errors, which are reported: it may give anything and end in anything, so that what stands around
    /// it is checked all the same.
    broken: bool,
}

/// Stands in for a step with errors; a flow that has one never runs.
struct Broken;

impl AnyStep for Broken {
    fn signature(&self, _: &Scope<'_>) -> Result<Signature, Diagnostics> {
        Ok(Signature::default())
    }

    fn run<'a>(&'a self, _: &'a StepCx<'a>, _: Ports) -> BoxFuture<'a, Result<Outcome<Ports>, StepError>> {
        async { Err(StepError::new("engine.broken", "a step with errors was run")) }.boxed()
    }
}

impl<'a> Compiler<'a> {
    fn report(&self, diagnostic: Diagnostic) {
        self.found.borrow_mut().push(diagnostic);
    }

    /// Compiles the flow of `env` once; `None` where it has errors, which are reported.
    fn flow(&self, env: &Env<'_>) -> Option<Arc<Flow>> {
        if let Some(FlowState::Done(flow)) = self.flows.borrow().get(&env.path) {
            return flow.clone();
        }
        self.flows.borrow_mut().insert(env.path.clone(), FlowState::InProgress);
        self.depth.set(self.depth.get() + 1);
        let flow = if self.depth.get() > DEEPEST {
            let message = format!("flows are nested more than {DEEPEST} deep");
            self.report(Diagnostic::error(codes::RECURSION, message, &env.spec.span));
            None
        } else {
            self.flow_body(env).map(Arc::new)
        };
        self.depth.set(self.depth.get() - 1);
        self.flows.borrow_mut().insert(env.path.clone(), FlowState::Done(flow.clone()));
        flow
    }

    fn in_progress(&self, path: &str) -> bool {
        matches!(self.flows.borrow().get(path), Some(FlowState::InProgress))
    }

    fn flow_body(&self, env: &Env<'_>) -> Option<Flow> {
        self.define_models(env);
        self.define_datastores(env);
        self.define_tools(env);
        self.warn_of_shadows(env);
        let spec = env.spec;
        if !self.check_names(spec) {
            return None;
        }
        let too_many = || self.found.borrow().errors() > MOST_PROBLEMS;
        let decode = |step| {
            let decoded = if too_many() { None } else { self.decode(env, step) };
            decoded.unwrap_or_else(|| broken(step))
        };
        let steps: Vec<Decoded<'_>> = spec.steps.iter().map(decode).collect();
        let graph = control::build(spec, &steps, &mut self.found.borrow_mut());
        control::check_beginning(&steps, &mut self.found.borrow_mut());
        let providers = self.providers(env);
        // Flows that nothing runs are checked all the same.
        for (name, _) in &spec.flows {
            if let Some(inner) = env.find_flow(&name.value)
                && !self.in_progress(&inner.path)
            {
                self.flow(&inner);
            }
        }
        let found = &mut self.found.borrow_mut();
        let wired = wiring::wire(env.spec, env.is_top(), &steps, &graph, &providers, found)?;
        let lacking = providers.iter().any(|p| matches!(p.kind, context::ProvidedKind::Broken));
        if graph.broken || lacking || steps.iter().any(|s| s.broken) {
            return None;
        }
        rows::check(&steps, &wired, found);
        rows::check_growth(&steps, &wired, found);
        lints::check(&steps, &graph, &wired, found);
        Some(assemble(spec, steps, graph, wired, providers))
    }

    /// What a parser refuses already, but a flow that was built in Rust may still be: empty, or with a name used twice.
    fn check_names(&self, spec: &FlowSpec) -> bool {
        let mut seen = BTreeSet::new();
        let twice = spec.steps.iter().filter(|s| !seen.insert(s.name.value.as_str()));
        let mut wrong: Vec<Diagnostic> = twice
            .map(|s| {
                let message = format!("the flow `{}` has two steps `{}`", spec.name.value, s.name.value);
                Diagnostic::error(codes::DUPLICATE, message, &s.name.span)
            })
            .collect();
        if spec.steps.is_empty() {
            let message = format!("the flow `{}` has no steps", spec.name.value);
            wrong.push(Diagnostic::error(codes::BAD_CONFIG, message, &spec.span));
        }
        let fine = wrong.is_empty();
        for diagnostic in wrong {
            self.report(diagnostic);
        }
        fine
    }

    fn warn_of_shadows(&self, env: &Env<'_>) {
        let Some(parent) = env.parent else { return };
        for (name, _) in &env.spec.flows {
            if parent.find_flow(&name.value).is_some() {
                let message = format!("the flow `{}` hides another flow of that name further out", name.value);
                self.report(Diagnostic::warning(codes::SHADOWED, message, &name.span));
            }
        }
    }

    fn decode(&self, env: &Env<'_>, spec: &'a StepSpec) -> Option<Decoded<'a>>
    where
        Self: 'a,
    {
        let type_name = &spec.step_type;
        let Some(step_type) = self.registry.get(&type_name.value) else {
            let message = format!("there is no step type `{}`", type_name.value);
            let known = self.registry.iter().map(|s| s.name);
            let wrong = Diagnostic::error(codes::UNKNOWN_STEP_TYPE, message, &type_name.span);
            self.report(wrong.suggest(&type_name.value, known).help("`flowrun steps` lists them all"));
            return None;
        };
        let what = format!("step `{}`", spec.name.value);
        let wrong = schema::check(&spec.config, &step_type.schema, &what);
        for diagnostic in wrong.clone() {
            self.report(diagnostic);
        }
        // Without the keys that are unknown, the rest may still be read and checked.
        let step = match step_type.decode(&known_keys(&spec.config, step_type)) {
            Ok(step) => step,
            Err(error) => {
                // The schema found it already, with a better place, unless it cannot say it.
                if !wrong.has_errors() {
                    self.report(error.into_diagnostic(codes::BAD_CONFIG));
                }
                return None;
            }
        };
        let scope = Scope::new(self, env, spec);
        let signature = match step.signature(&scope) {
            Ok(signature) => self.with_inputs(spec, signature)?,
            Err(wrong) => {
                self.found.borrow_mut().extend(wrong);
                return None;
            }
        };
        let (datastores, tools) = (scope.used_datastores(), scope.used_tools());
        let (flows, models) = scope.used();
        let models = self.resolve_models(env, &scope, &signature, models)?;
        let outputs = self.rename_outputs(spec, &signature)?;
        let late = late_references(spec, step_type);
        let broken = wrong.has_errors();
        let (type_name, effect) = (step_type.name, step_type.effect);
        Some(Decoded {
            spec,
            type_name,
            effect,
            step,
            signature,
            outputs,
            late,
            flows,
            models,
            datastores,
            tools,
            broken,
        })
    }

    /// The signature with the types and defaults that the step has here.
    fn with_inputs(&self, spec: &StepSpec, mut signature: Signature) -> Option<Signature> {
        let mut fine = true;
        for input in &spec.inputs {
            let Some(port) = signature.inputs.iter_mut().find(|port| port.name == input.name.value) else {
                let message = format!("`{}` has no input `{}`", spec.name.value, input.name.value);
                let known = signature.inputs.iter().map(|port| port.name.as_str());
                let wrong = Diagnostic::error(codes::UNKNOWN_INPUT, message, &input.name.span);
                self.report(wrong.suggest(&input.name.value, known));
                fine = false;
                continue;
            };
            if let Some(value_type) = &input.value_type {
                port.value_type.clone_from(value_type);
            }
            if input.default.is_some() {
                port.default.clone_from(&input.default);
            }
        }
        fine.then_some(signature)
    }

    fn rename_outputs(&self, spec: &StepSpec, signature: &Signature) -> Option<Vec<String>> {
        let mut names: Vec<String> = signature.outputs.iter().map(|p| p.name.clone()).collect();
        let mut fine = true;
        if let Some(new) = &spec.output {
            if let [only] = names.as_mut_slice() {
                only.clone_from(&new.value);
            } else {
                let message =
                    format!("`output` renames an only output, and `{}` has {}", spec.name.value, names.len());
                let wrong = Diagnostic::error(codes::UNKNOWN_OUTPUT, message, &new.span);
                self.report(wrong.help(format!("write `outputs: {{ theirs: ours }}`; it has {}", listed(&names))));
                fine = false;
            }
        }
        for (theirs, ours) in &spec.outputs {
            if let Some(place) = signature.outputs.iter().position(|p| p.name == theirs.value) {
                names[place].clone_from(&ours.value);
            } else {
                let message = format!("`{}` has no output `{}`", spec.name.value, theirs.value);
                let known = signature.outputs.iter().map(|p| p.name.as_str());
                let wrong = Diagnostic::error(codes::UNKNOWN_OUTPUT, message, &theirs.span);
                self.report(wrong.suggest(&theirs.value, known));
                fine = false;
            }
        }
        let mut seen = HashSet::with_capacity(names.len());
        for name in &names {
            if !seen.insert(name.as_str()) {
                let message = format!("two outputs of `{}` are named `{name}`", spec.name.value);
                self.report(Diagnostic::error(codes::UNKNOWN_OUTPUT, message, &spec.name.span));
                fine = false;
            }
        }
        fine.then_some(names)
    }
}

/// What is left of a step with errors: the branches that its `next` names, and none of its ports.
fn broken(spec: &StepSpec) -> Decoded<'_> {
    let named: Vec<String> = match &spec.next {
        Next::ByBranch(targets) => targets.iter().map(|(branch, _)| branch.value.clone()).collect(),
        _ => Vec::new(),
    };
    let rest = (!named.iter().any(|b| b == "next")).then(|| "next".to_owned());
    Decoded {
        spec,
        type_name: "",
        effect: Effect::Pure,
        step: Arc::new(Broken),
        signature: Signature::default().branches(named.into_iter().chain(rest)),
        outputs: Vec::new(),
        late: Vec::new(),
        flows: BTreeMap::new(),
        models: BTreeMap::new(),
        datastores: BTreeMap::new(),
        tools: BTreeMap::new(),
        broken: true,
    }
}

/// A configuration without the keys that its step type does not have.
fn known_keys(config: &Node, step_type: &StepType) -> Node {
    let mut config = config.clone();
    let closed = step_type.schema.get("additionalProperties") == Some(&Json::Bool(false));
    if let (NodeKind::Map(entries), true) = (&mut config.kind, closed) {
        let known = step_type.schema.get("properties").and_then(Json::as_object);
        entries.retain(|e| known.is_some_and(|k| k.contains_key(&*e.key)));
    }
    config
}

fn late_references(spec: &StepSpec, step_type: &StepType) -> Vec<Spanned<String>> {
    let mut found = Vec::new();
    late_below(&spec.config, &step_type.schema, &step_type.schema, &mut found);
    found
}

/// The references of the keys below a node that may come late, as its schema says.
fn late_below(node: &Node, schema: &Json, root: &Json, found: &mut Vec<Spanned<String>>) {
    let variants = schema.get("anyOf").and_then(Json::as_array);
    for variant in variants.into_iter().flatten().filter(|_| !marks_late(schema)) {
        late_below(node, variant, root, found);
    }
    if let Some(definition) = schema.get("$ref").and_then(Json::as_str).and_then(|r| r.strip_prefix('#')) {
        // A definition is not entered again from within itself: its nodes lie one deeper each time.
        if let Some(definition) = root.pointer(definition) {
            late_below(node, definition, root, found);
        }
    }
    let properties = schema.get("properties").and_then(Json::as_object);
    for entry in node.entries().unwrap_or_default() {
        let Some(schema) = properties.and_then(|p| p.get(&*entry.key)) else { continue };
        if !marks_late(schema) {
            late_below(&entry.value, schema, root, found);
        } else if let Some(from) = entry.value.get("from")
            && let Some(text) = from.as_str()
        {
            found.push(Spanned::new(text.to_owned(), from.span.clone()));
        }
    }
}

/// An optional late key is an `anyOf` of the marked schema and null.
fn marks_late(schema: &Json) -> bool {
    schema.get(MARK).is_some()
        || schema
            .get("anyOf")
            .and_then(Json::as_array)
            .is_some_and(|all| all.iter().any(|s| s.get(MARK).is_some()))
}

/// The names under which a flow can end, each once, and whether it can end without one.
fn ends(steps: &[Decoded<'_>], unnamed: bool) -> (Vec<String>, bool) {
    let (mut names, mut unnamed): (IndexSet<&String>, bool) = (IndexSet::new(), unnamed);
    for step in steps.iter().filter(|s| s.signature.branches.is_empty()) {
        match step.signature.end.as_ref().unwrap_or(&step.spec.name.value) {
            name if step.signature.end.is_some() && name == UNNAMED_END => unnamed = true,
            name => {
                names.insert(name);
            }
        }
    }
    (names.into_iter().cloned().collect(), unnamed)
}

fn assemble(
    spec: &FlowSpec,
    steps: Vec<Decoded<'_>>,
    graph: control::Graph,
    wired: wiring::Wired,
    providers: Vec<context::Provided>,
) -> Flow {
    let (ends, unnamed_end) = ends(&steps, graph.unnamed_end);
    let output_names = wired.outputs.iter().map(|p| p.name.as_str().into()).collect();
    let steps: Vec<FlowStep> = steps
        .into_iter()
        .zip(graph.edges)
        .zip(wired.steps)
        .map(|((step, edges), wires)| FlowStep {
            name: step.spec.name.value.as_str().into(),
            step_type: step.type_name,
            doc: step.spec.doc.clone(),
            edges,
            flows: step.flows,
            span: step.spec.span.clone(),
            effect: step.effect,
            step: step.step,
            input_names: step.signature.inputs.iter().map(|p| p.name.as_str().into()).collect(),
            inputs: wires.inputs,
            output_names: step.signature.outputs.iter().map(|p| p.name.as_str().into()).collect(),
            output_slots: wires.output_slots,
            late: wires.late,
            flow_inputs: wires.flow_inputs,
            context: wires.context,
            variables: wires.variables,
            models: step.models,
            datastores: step.datastores,
            tools: step.tools,
            signature: step.signature,
        })
        .collect();
    let waits = steps.iter().any(FlowStep::waits);
    Flow {
        name: spec.name.value.as_str().into(),
        description: spec.description.clone(),
        inputs: wired.flow_inputs,
        outputs: wired.outputs,
        ends,
        unnamed_end,
        variables: wired.variables,
        providers: providers.into_iter().filter_map(context::Provided::into_provider).collect(),
        steps,
        limits: Limits {
            max_steps: spec.limits.max_steps.unwrap_or(DEFAULT_MAX_STEPS),
            max_calls: spec.limits.max_calls,
            max_tokens: spec.limits.max_tokens,
            timeout: spec.limits.timeout,
            step_timeout: spec.limits.step_timeout,
        },
        waits,
        seed_input: wired.seed_input,
        output_names,
        output_sources: wired.output_sources,
        slots: wired.slots,
        input_slots: wired.input_slots,
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<_> = names.iter().map(|n| format!("`{n}`")).collect();
    names.join(", ")
}

/// The place of a name, or of the whole where it stands nowhere.
fn place<'s>(name: &'s Span, whole: &'s Span) -> &'s Span {
    if name.source().is_some() { name } else { whole }
}
