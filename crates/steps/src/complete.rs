//! `complete`: a named end of a flow.

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::Signature;
use flowrun_core::step::{Effect, Outcome, Step};
use schemars::JsonSchema;
use serde::Deserialize;

/// Ends the flow under the step's own name, which is a branch of the `flow` or `retry` step that runs the flow.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Complete {}

impl Step for Complete {
    const TYPE: &'static str = "complete";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "accepted: { type: complete }";

    type Input = Ports;
    type Output = Ports;

    fn signature(&self, _: &Scope<'_>) -> Result<Signature, Diagnostics> {
        Ok(Signature::new(Vec::new(), Vec::new()).branches(Vec::<String>::new()))
    }

    async fn run(&self, _: &StepCx<'_>, _: Ports) -> Result<Outcome<Ports>, StepError> {
        Ok(Outcome::next(Ports::empty()))
    }
}
