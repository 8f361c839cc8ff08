//! [`FlowSpec`]: a flow as it was written, before anything is resolved. Both dialects parse to it, and it can be built
//! in Rust.

mod datastore;
mod reference;
mod tool;

pub use datastore::{CollectionSpec, DatastoreSpec};
pub use reference::Reference;
pub use tool::ToolSpec;

use std::path::PathBuf;

use std::time::Duration;

use crate::diagnostics::{Span, Spanned};
use crate::node::Node;
use crate::types::Type;
use crate::value::Value;

/// The keys of a step that are not its configuration.
pub const RESERVED_STEP_KEYS: &[&str] = &["type", "doc", "with", "next", "output", "outputs", "wiring"];

/// The keys of a tool that are not its configuration.
pub const RESERVED_TOOL_KEYS: &[&str] = &["type", "description", "arguments", "results", "idempotent", "confirm"];

/// Names that no step may have, because references use them.
pub const RESERVED_STEP_NAMES: &[&str] = &["inputs", "variables", "visits", "end"];

/// A flow as written.
#[derive(Clone, Debug, Default)]
pub struct FlowSpec {
    /// Its name.
    pub name: Spanned<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The input that gives the run's seed; only at the top.
    pub seed: Option<Spanned<Reference>>,
    /// The inputs, where they are listed; else they are what the steps want.
    pub inputs: Option<Vec<InputSpec>>,
    /// The outputs, where they are listed; else the names that every path to an end produces.
    pub outputs: Option<Vec<OutputSpec>>,
    /// Variables, which its steps may write; each visit of the flow has its own.
    pub variables: Vec<VariableSpec>,
    /// Providers of values for inputs that nothing else gives.
    pub context: Vec<ContextSpec>,
    /// Models by name; seen by all flows below.
    pub models: Vec<DefinitionSpec>,
    /// Tools by name; seen by all flows below.
    pub tools: Vec<ToolSpec>,
    /// Datastores by name; seen by all flows below.
    pub datastores: Vec<DatastoreSpec>,
    /// What one visit of this flow may use.
    pub limits: LimitsSpec,
    /// Whether names wire data.
    pub wiring: Wiring,
    /// The steps, in the order written.
    pub steps: Vec<StepSpec>,
    /// Subflows by name; seen by all flows below.
    pub flows: Vec<(Spanned<String>, Self)>,
    /// The folder that its paths are relative to; of the top flow.
    pub folder: PathBuf,
    /// Where the flow stands.
    pub span: Span,
}

/// What one visit of a flow may use, as far as the flow says it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LimitsSpec {
    /// How many steps.
    pub max_steps: Option<u64>,
    /// How many calls of models.
    pub max_calls: Option<u64>,
    /// How many tokens.
    pub max_tokens: Option<u64>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// How long each step may take.
    pub step_timeout: Option<Duration>,
}

impl Default for Spanned<String> {
    fn default() -> Self {
        String::new().into()
    }
}

/// An input of a flow.
#[derive(Clone, Debug)]
pub struct InputSpec {
    /// Its name.
    pub name: Spanned<String>,
    /// Its type.
    pub value_type: Type,
    /// What it is where nothing is given.
    pub default: Option<Value>,
    /// What it is for.
    pub description: Option<String>,
    /// Whether its value is kept nowhere and shown to nobody; only inputs of the top flow can be.
    pub secret: bool,
}

/// A variable of a flow.
#[derive(Clone, Debug)]
pub struct VariableSpec {
    /// Its name.
    pub name: Spanned<String>,
    /// Its type.
    pub value_type: Type,
    /// What it is before a step writes it; without one it is nothing until then.
    pub default: Option<Value>,
    /// What it is for.
    pub description: Option<String>,
}

/// Something that gives a value to the inputs of its name.
#[derive(Clone, Debug)]
pub struct ContextSpec {
    /// The name of the value.
    pub name: Spanned<String>,
    /// Where it comes from.
    pub provider: Provider,
}

/// The kinds of a context provider. A new one is decoded beside these, and made ready in `compile/context.rs`.
#[derive(Clone, Debug)]
pub enum Provider {
    /// A constant.
    Value(Value),
    /// A flow, which runs each time that a step wants the value.
    Flow {
        /// Its name.
        flow: Spanned<String>,
        /// Which of its outputs; the only one where nothing is said.
        output: Option<Spanned<String>>,
    },
    /// A tool, which is called each time that a step wants the value.
    Tool {
        /// Its name.
        tool: Spanned<String>,
        /// Which of its results; the only one where nothing is said.
        output: Option<Spanned<String>>,
    },
}

/// An output of a flow.
#[derive(Clone, Debug)]
pub struct OutputSpec {
    /// Its name.
    pub name: Spanned<String>,
    /// Where it comes from.
    pub wire: Wire,
}

/// Something that a flow defines by name for its steps, such as a model.
#[derive(Clone, Debug)]
pub struct DefinitionSpec {
    /// Its name.
    pub name: Spanned<String>,
    /// Its configuration; `use: other` takes over what another definition says.
    pub config: Node,
}

/// Whether names wire data, or `with` alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wiring {
    /// An input takes the value of its name that was produced last.
    #[default]
    ByName,
    /// Only what `with` says.
    Explicit,
}

/// A step as written.
#[derive(Clone, Debug)]
pub struct StepSpec {
    /// Its name in the flow.
    pub name: Spanned<String>,
    /// Its type in the registry.
    pub step_type: Spanned<String>,
    /// A note for readers.
    pub doc: Option<String>,
    /// Inputs that are wired by hand.
    pub with: Vec<(Spanned<String>, Wire)>,
    /// Inputs that have another type or default here than the step type gives them.
    pub inputs: Vec<PortSpec>,
    /// Where each branch goes; see [`Next`].
    pub next: Next,
    /// `output: name`: the new name of the only output.
    pub output: Option<Spanned<String>>,
    /// `outputs: { theirs: ours }`.
    pub outputs: Vec<(Spanned<String>, Spanned<String>)>,
    /// Overrides the flow's wiring for this step.
    pub wiring: Option<Wiring>,
    /// All other keys.
    pub config: Node,
    /// Where the step stands.
    pub span: Span,
}

/// An input of a step that is another one than its type says.
#[derive(Clone, Debug)]
pub struct PortSpec {
    /// Its name.
    pub name: Spanned<String>,
    /// The type of its value, where it is another one.
    pub value_type: Option<Type>,
    /// What it is where nothing is given, where that is something else.
    pub default: Option<Value>,
}

/// Where an input's value comes from.
#[derive(Clone, Debug)]
pub struct Wire {
    /// The source.
    pub kind: WireKind,
    /// Where it is written.
    pub span: Span,
}

/// The kinds of a wire.
#[derive(Clone, Debug)]
pub enum WireKind {
    /// One reference.
    Reference(Reference),
    /// The one of these that was produced last.
    Latest(Vec<Spanned<Reference>>),
    /// The one of these that was produced last; where none was, what the context gives under a name. Names wire so by
    /// themselves; this says it of a flow in which they do not.
    LatestOr(Vec<Spanned<Reference>>, String),
    /// A constant.
    Value(Value),
}

/// Where a step's branches go.
#[derive(Clone, Debug, Default)]
pub enum Next {
    /// The branch `next` goes to the following step, or ends the flow after the last one.
    #[default]
    Following,
    /// Every branch goes there.
    To(Target),
    /// Each branch on its own.
    ByBranch(Vec<(Spanned<String>, Target)>),
}

/// What a branch leads to.
#[derive(Clone, Debug)]
pub enum Target {
    /// A step, or `end`.
    Step(Spanned<String>),
    /// A retry edge.
    Retry {
        /// The step that runs again.
        step: Spanned<String>,
        /// How often it runs at most in one visit of the flow.
        max_trials: Spanned<Count>,
        /// Where it goes then.
        otherwise: Box<Self>,
        /// Where the edge stands.
        span: Span,
    },
}

/// A number that may come late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Count {
    /// Known.
    Now(u32),
    /// Read when it is needed.
    From(Reference),
}

impl FlowSpec {
    /// An empty flow, to be built in Rust.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into().into(), ..Self::default() }
    }

    /// Adds an input.
    #[must_use]
    pub fn input(mut self, name: &str, value_type: Type, default: Option<Value>) -> Self {
        let input =
            InputSpec { name: name.to_owned().into(), value_type, default, description: None, secret: false };
        self.inputs.get_or_insert_default().push(input);
        self
    }

    /// Adds an output; `from` is a reference such as `step.output`.
    #[must_use]
    pub fn output(mut self, name: &str, from: &str) -> Self {
        let output = OutputSpec { name: name.to_owned().into(), wire: Wire::reference(from) };
        self.outputs.get_or_insert_default().push(output);
        self
    }

    /// Adds a variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value_type: Type, default: Option<Value>) -> Self {
        self.variables.push(VariableSpec { name: name.to_owned().into(), value_type, default, description: None });
        self
    }

    /// Adds a model.
    #[must_use]
    pub fn model(mut self, name: &str, config: &serde_json::Value) -> Self {
        self.models.push(DefinitionSpec { name: name.to_owned().into(), config: Node::from_json(config) });
        self
    }

    /// Adds a step after the last one.
    #[must_use]
    pub fn step(mut self, step: StepSpec) -> Self {
        self.steps.push(step);
        self
    }

    /// Adds a subflow.
    #[must_use]
    pub fn flow(mut self, flow: Self) -> Self {
        self.flows.push((flow.name.clone(), flow));
        self
    }
}

impl StepSpec {
    /// A step of a registered type with its configuration.
    pub fn new(name: &str, step_type: &str, config: &serde_json::Value) -> Self {
        Self {
            name: name.to_owned().into(),
            step_type: step_type.to_owned().into(),
            doc: None,
            with: Vec::new(),
            inputs: Vec::new(),
            next: Next::Following,
            output: None,
            outputs: Vec::new(),
            wiring: None,
            config: Node::from_json(config),
            span: Span::none(),
        }
    }

    /// Wires an input by hand.
    #[must_use]
    pub fn with(mut self, input: &str, from: &str) -> Self {
        self.with.push((input.to_owned().into(), Wire::reference(from)));
        self
    }

    /// Renames the only output.
    #[must_use]
    pub fn output(mut self, name: &str) -> Self {
        self.output = Some(name.to_owned().into());
        self
    }

    /// Sends a branch to a step, or to `end`.
    #[must_use]
    pub fn branch(mut self, branch: &str, to: &str) -> Self {
        let target = (branch.to_owned().into(), Target::Step(to.to_owned().into()));
        match &mut self.next {
            Next::ByBranch(targets) => targets.push(target),
            other => *other = Next::ByBranch(vec![target]),
        }
        self
    }
}

impl Wire {
    /// A wire from a reference such as `step.output`.
    pub fn reference(text: &str) -> Self {
        Self { kind: WireKind::Reference(Reference::parse(text)), span: Span::none() }
    }
}
