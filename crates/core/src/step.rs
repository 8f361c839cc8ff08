//! [`Step`]: what an author of a step type writes, and its erased twin that the engine runs.

use std::future::Future;

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::compile::Scope;
use crate::diagnostics::Diagnostics;
use crate::error::StepError;
use crate::execute::StepCx;
use crate::ports::{FromPorts, IntoPorts, Ports};
use crate::signature::{Port, Signature};

/// What a resume does about a step that has run before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// Its outcome is journaled and used again.
    #[default]
    Whole,
    /// It costs nothing and is run again.
    Pure,
    /// It journals its own effects through [`StepCx::effect`].
    Inner,
}

/// A type of step. The implementing type is its configuration, decoded from the flow file.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a step type",
    note = "a step type is a config struct that derives `Deserialize` and `JsonSchema` and implements `Step`"
)]
pub trait Step: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Its name in flow files.
    const TYPE: &'static str;
    /// What a resume does about it.
    const EFFECT: Effect = Effect::Whole;
    /// A step in YAML that shows it, for `flowrun steps`.
    const EXAMPLE: &'static str = "";
    /// The branches that it can take, for the usual [`Step::signature`].
    const BRANCHES: &'static [&'static str] = &["next"];

    /// Its inputs: a struct whose fields are the ports, or [`Ports`] where they depend on the configuration.
    type Input: FromPorts + JsonSchema + Send;
    /// Its outputs, likewise.
    type Output: IntoPorts + JsonSchema + Send;

    /// Its ports and branches: the fields of [`Step::Input`] and [`Step::Output`], and [`Step::BRANCHES`]. A step whose
    /// ports depend on its configuration computes them.
    ///
    /// # Errors
    /// All that is wrong with the configuration beyond its types.
    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let _ = scope;
        Ok(Signature::of::<Self::Input, Self::Output>().branches(Self::BRANCHES.iter().copied()))
    }

    /// Its ports as the documentation shows them; to be said by hand where they depend on the configuration.
    fn documented_ports() -> DocumentedPorts {
        let Signature { inputs, outputs, .. } = Signature::of::<Self::Input, Self::Output>();
        let branches = Self::BRANCHES.iter().map(|b| (*b).to_owned()).collect();
        DocumentedPorts { inputs, outputs, branches }
    }

    /// Does it.
    fn run(
        &self,
        cx: &StepCx<'_>,
        input: Self::Input,
    ) -> impl Future<Output = Result<Outcome<Self::Output>, StepError>> + Send;
}

/// Ports in words, for steps whose ports depend on their configuration.
#[derive(Clone, Debug, Default)]
pub struct DocumentedPorts {
    /// Inputs.
    pub inputs: Vec<Port>,
    /// Outputs.
    pub outputs: Vec<Port>,
    /// Branches.
    pub branches: Vec<String>,
}

/// What a step gives, and the branch it takes.
#[derive(Debug)]
pub struct Outcome<T> {
    /// The outputs.
    pub outputs: T,
    /// The branch; none is `next`.
    pub branch: Option<String>,
    /// What it made, in a few words for the run's report.
    pub note: Option<String>,
}

impl<T> Outcome<T> {
    /// Outputs, and the branch `next`.
    pub fn next(outputs: T) -> Self {
        Self { outputs, branch: None, note: None }
    }

    /// Outputs and a branch.
    pub fn branch(branch: impl Into<String>, outputs: T) -> Self {
        Self { outputs, branch: Some(branch.into()), note: None }
    }

    /// Says what it made.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }
}

/// A step as the engine runs it.
pub trait AnyStep: Send + Sync {
    /// See [`Step::signature`].
    ///
    /// # Errors
    /// See [`Step::signature`].
    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics>;

    /// See [`Step::run`].
    fn run<'a>(&'a self, cx: &'a StepCx<'a>, input: Ports) -> BoxFuture<'a, Result<Outcome<Ports>, StepError>>;
}

impl<S: Step> AnyStep for S {
    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        Step::signature(self, scope)
    }

    fn run<'a>(&'a self, cx: &'a StepCx<'a>, input: Ports) -> BoxFuture<'a, Result<Outcome<Ports>, StepError>> {
        // The room first, and the future made in it. One that is made first and then boxed is moved as a whole, kilobytes of
        // which it has not used a hundredth yet.
        let room = Box::new_uninit();
        let run = Box::write(room, async move {
            let input = S::Input::from_ports(input).map_err(|e| {
                StepError::new("step.type", format!("the inputs do not have the form it wants: {e}"))
            })?;
            let outcome = Step::run(self, cx, input).await?;
            let outputs = outcome
                .outputs
                .into_ports(cx.output_names())
                .map_err(|e| StepError::new("step.type", format!("its outputs cannot be carried: {e}")))?;
            Ok(Outcome { outputs, branch: outcome.branch, note: outcome.note })
        });
        Box::into_pin(run)
    }
}
