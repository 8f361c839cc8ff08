//! `complete`: a named end of a flow.

use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::step::{Effect, Outcome, Step};
use schemars::JsonSchema;
use serde::Deserialize;

/// Ends the flow under the step's own name, which is a branch of the `flow`, `retry` or `catch` step that runs
/// the flow.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Complete {}

impl Step for Complete {
    const TYPE: &'static str = "complete";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "accepted: { type: complete }";

    const BRANCHES: &'static [&'static str] = &[];

    type Input = Ports;
    type Output = Ports;

    async fn run(&self, _: &StepCx<'_>, _: Ports) -> Result<Outcome<Ports>, StepError> {
        Ok(Outcome::next(Ports::empty()))
    }
}
