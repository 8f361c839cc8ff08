//! [`Flow`]: the compiled flow. Immutable; every name is an index.

use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostics::{Diagnostics, Span};
use crate::signature::{Port, Signature};
use crate::spec::CollectionSpec;
use crate::step::{AnyStep, Effect};
use crate::tool::ToolDefinition;
use crate::types::Type;
use crate::value::Value;

/// The branch of a step that runs a flow, where the flow has ended without a name.
pub const UNNAMED_END: &str = "next";

/// What compiling a document gives.
#[derive(Debug)]
pub struct Compiled {
    /// The top flow.
    pub flow: Arc<Flow>,
    /// Every model of the document that some step uses, in the order of their definition; steps name them by place.
    pub models: Vec<ModelDefinition>,
    /// Every datastore of the document, in the order of their definition; steps name them by place.
    pub datastores: Vec<Arc<DatastoreDefinition>>,
    /// Every tool of the document, and those of the program that it calls.
    pub tools: Vec<Arc<ToolDefinition>>,
    /// Warnings.
    pub warnings: Diagnostics,
}

impl Compiled {
    /// The tools that some step can come to call, in the order of their definition: not those that are only defined.
    pub fn reachable_tools(&self) -> Vec<&Arc<ToolDefinition>> {
        let mut flows = vec![&self.flow];
        let (mut known, mut tools) = (HashSet::from([Arc::as_ptr(&self.flow)]), HashSet::new());
        let mut next = 0;
        while next < flows.len() {
            let flow = flows[next];
            next += 1;
            for step in &flow.steps {
                let given = step.context.iter().map(|(provider, _)| provider);
                let called = step.tools.values().chain(given.clone().filter_map(|provider| provider.tool()));
                tools.extend(called.map(Arc::as_ptr));
                let inner = step.inner_flows().chain(given.filter_map(|provider| provider.flow()));
                for inner in inner {
                    if known.insert(Arc::as_ptr(inner)) {
                        flows.push(inner);
                    }
                }
            }
        }
        self.tools.iter().filter(|tool| tools.contains(&Arc::as_ptr(tool))).collect()
    }
}

/// A datastore that steps use.
pub struct DatastoreDefinition {
    /// Its name.
    pub name: String,
    /// Its place among all of the document.
    pub place: usize,
    /// The decoded configuration, of the type given to `Registry::with_datastores`.
    pub config: Arc<dyn Any + Send + Sync>,
    /// What it holds.
    pub collections: Vec<CollectionSpec>,
    /// Where it stands.
    pub span: Span,
    /// Where the keys of its configuration stand, by name.
    pub keys: Vec<(String, Span)>,
}

impl fmt::Debug for DatastoreDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatastoreDefinition").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A model that steps use.
#[derive(Clone)]
pub struct ModelDefinition {
    /// Its name.
    pub name: String,
    /// The decoded configuration, `use` resolved; of the type given to `Registry::with_models`.
    pub config: Arc<dyn Any + Send + Sync>,
    /// The names of the definitions that it takes over, nearest first.
    pub uses: Vec<String>,
    /// Whether any step calls it.
    pub called: bool,
    /// Whether all steps that call it can answer by themselves when it is offline.
    pub offline: bool,
    /// Where it stands.
    pub span: Span,
}

impl fmt::Debug for ModelDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelDefinition").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What one visit of a flow may use, everything below it included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many steps it may take; those of flows below it are theirs.
    pub max_steps: u64,
    /// How many calls of models.
    pub max_calls: Option<u64>,
    /// How many tokens, of prompts and replies. Calls in flight are finished.
    pub max_tokens: Option<u64>,
    /// How long it may take. At the top: how long before no more items are taken and no more steps begun.
    pub timeout: Option<Duration>,
    /// How long each of its steps may take.
    pub step_timeout: Option<Duration>,
}

impl Limits {
    /// Whether anything but the number of steps is bounded for the whole visit.
    pub(crate) fn bounds_use(&self) -> bool {
        self.max_calls.is_some() || self.max_tokens.is_some() || self.timeout.is_some()
    }
}

/// A compiled flow.
pub struct Flow {
    /// Its name.
    pub name: Arc<str>,
    /// What it is for.
    pub description: Option<String>,
    /// Its inputs.
    pub inputs: Vec<Port>,
    /// Its outputs: name and type in each port.
    pub outputs: Vec<Port>,
    /// The named ends that can be reached, in the order of their steps.
    pub ends: Vec<String>,
    /// Whether the unnamed end can be reached.
    pub unnamed_end: bool,
    /// Its variables.
    pub variables: Vec<Port>,
    /// What gives values to its steps when they want them.
    pub providers: Vec<Arc<FlowProvider>>,
    /// Its steps in the order written; the first one begins.
    pub steps: Vec<FlowStep>,
    /// What one visit may use.
    pub limits: Limits,
    /// Whether a step in it, at any depth, may wait for a person.
    pub waits: bool,
    /// The input that gives the run's seed.
    pub seed_input: Option<String>,
    pub(crate) output_names: Arc<[Arc<str>]>,
    pub(crate) output_sources: Vec<From>,
    /// How many slots a frame has, and those that each input fills.
    pub(crate) slots: usize,
    pub(crate) input_slots: Vec<Vec<usize>>,
}

impl Flow {
    /// The step of this name.
    pub fn step(&self, name: &str) -> Option<&FlowStep> {
        self.steps.iter().find(|s| &*s.name == name)
    }

    /// The flow's input of this name.
    pub fn input(&self, name: &str) -> Option<&Port> {
        self.inputs.iter().find(|p| p.name == name)
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").field("name", &self.name).field("steps", &self.steps.len()).finish_non_exhaustive()
    }
}

/// A context provider that does something for each step that wants its value.
#[derive(Debug)]
pub struct FlowProvider {
    /// The name of the value that it gives.
    pub name: Arc<str>,
    /// What it does.
    pub source: ProviderSource,
    /// The place of the value among the flow's outputs, or the tool's results.
    pub(crate) output: usize,
}

/// What a context provider does for a value.
#[derive(Debug)]
pub enum ProviderSource {
    /// Runs a flow, all of whose inputs have defaults.
    Flow(Arc<Flow>),
    /// Calls a tool, all of whose arguments have defaults.
    Tool(Arc<ToolDefinition>),
}

impl FlowProvider {
    /// The flow that it runs, if it does.
    pub fn flow(&self) -> Option<&Arc<Flow>> {
        match &self.source {
            ProviderSource::Flow(flow) => Some(flow),
            ProviderSource::Tool(tool) => tool.tool.flow(),
        }
    }

    /// The tool that it calls, if it does.
    pub fn tool(&self) -> Option<&Arc<ToolDefinition>> {
        match &self.source {
            ProviderSource::Flow(_) => None,
            ProviderSource::Tool(tool) => Some(tool),
        }
    }
}

/// A step of a compiled flow.
pub struct FlowStep {
    /// Its name.
    pub name: Arc<str>,
    /// Its type.
    pub step_type: &'static str,
    /// A note for readers.
    pub doc: Option<String>,
    /// What it takes and gives, under its own names.
    pub signature: Signature,
    /// Where each branch leads, in the order of the signature's branches.
    pub edges: Vec<Edge>,
    /// The flows that it runs, by the name it knows them under.
    pub flows: BTreeMap<String, Arc<Flow>>,
    /// Where it stands.
    pub span: Span,
    pub(crate) effect: Effect,
    pub(crate) step: Arc<dyn AnyStep>,
    pub(crate) input_names: Arc<[Arc<str>]>,
    pub(crate) inputs: Vec<Wiring>,
    pub(crate) output_names: Arc<[Arc<str>]>,
    /// For each output the slots that it fills.
    pub(crate) output_slots: Vec<Vec<usize>>,
    pub(crate) late: Vec<(String, From)>,
    pub(crate) flow_inputs: Vec<(String, From)>,
    /// The providers that run before it does, each with the slot that it fills.
    pub(crate) context: Vec<(Arc<FlowProvider>, usize)>,
    /// The places of the variables that it uses by itself.
    pub(crate) variables: Vec<usize>,
    pub(crate) models: BTreeMap<String, usize>,
    pub(crate) datastores: BTreeMap<String, usize>,
    pub(crate) tools: BTreeMap<String, Arc<ToolDefinition>>,
}

impl FlowStep {
    /// All flows that it runs, by itself and as tools.
    pub fn inner_flows(&self) -> impl Iterator<Item = &Arc<Flow>> {
        self.flows.values().chain(self.tools.values().filter_map(|tool| tool.tool.flow()))
    }

    /// The references from which parts of its configuration come while the flow runs, `inputs.rows`.
    pub fn late_references(&self) -> impl Iterator<Item = &str> {
        self.late.iter().map(|(reference, _)| reference.as_str())
    }

    /// Whether it, or a step of a flow that it runs, may wait for a person.
    pub fn waits(&self) -> bool {
        self.signature.waits || self.flows.values().any(|flow| flow.waits)
    }

    /// Whether it ends the flow.
    pub fn is_end(&self) -> bool {
        self.signature.branches.is_empty()
    }

    /// The name of the end that it is; none where it ends the flow without one.
    pub fn end_name(&self) -> Option<Arc<str>> {
        match self.signature.end.as_deref() {
            _ if !self.is_end() => None,
            None => Some(Arc::clone(&self.name)),
            Some(UNNAMED_END) => None,
            Some(name) => Some(name.into()),
        }
    }
}

/// Where an input's value is read.
#[derive(Clone, Debug)]
pub(crate) struct Wiring {
    pub(crate) from: From,
    pub(crate) value_type: Type,
    pub(crate) default: Option<Value>,
}

/// A place that holds a value while a flow runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum From {
    /// A slot of the frame.
    Slot(usize),
    /// A constant.
    Constant(Value),
    /// How often a step has run in this visit of the flow.
    Visits(usize),
    /// A variable of the flow.
    Variable(usize),
    /// The first of these that holds something.
    Either(Box<Self>, Box<Self>),
    /// Nothing; the default applies.
    Nothing,
}

/// Where a branch leads.
#[derive(Clone, Debug, PartialEq)]
pub enum Edge {
    /// To a step, by place.
    Step(usize),
    /// To the unnamed end.
    End,
    /// Back to a step, at most so often a visit of the flow, then elsewhere.
    Retry {
        /// The step that runs again.
        step: usize,
        /// The bound.
        max_trials: Bound,
        /// Where it goes then.
        otherwise: Box<Self>,
    },
}

/// The bound of a retry edge.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// Known.
    Now(u32),
    /// Read from a place under this reference.
    Late(String),
}
