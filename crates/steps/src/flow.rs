//! `flow`: runs a flow as one step.

use flowrun_core::address::FrameKind;
use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::Type;
use schemars::JsonSchema;
use serde::Deserialize;

/// Runs a flow in a frame of its own. Its inputs and outputs are the step's, its `complete` steps are branches.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunFlow {
    /// The flow, by its name under `flows:`.
    flow: String,
}

impl Step for RunFlow {
    const TYPE: &'static str = "flow";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "write:\n  type: flow\n  flow: write_and_judge";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("NAME", Type::any()).doc("One for each input of the flow.")],
            outputs: vec![Port::new("NAME", Type::any()).doc("One for each output of the flow.")],
            branches: vec!["next".into(), "END: each `complete` step of the flow".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let inner = scope.flow(&self.flow, &["flow"])?;
        let branches = inner.branches();
        Ok(Signature::new(inner.inputs, inner.outputs).branches(branches))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let kind = FrameKind::Flow(self.flow.as_str().into());
        let end = cx.run_flow(&self.flow, kind, |name| input.get(name).cloned()).await?;
        Ok(match end.name {
            Some(name) => Outcome::branch(&*name, end.outputs),
            None => Outcome::next(end.outputs),
        })
    }
}
