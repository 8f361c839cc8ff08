//! `start`: the beginning of a flow.

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Rows, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::Type;
use schemars::JsonSchema;
use serde::Deserialize;

/// Gives each input that the flow lists under `inputs:` as an output of that name. It may only be the first step, and no
/// flow needs it: `inputs.NAME` is seen everywhere. It draws the beginning of a flow, and `outputs` renames its inputs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {}

impl Step for Start {
    const TYPE: &'static str = "start";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "begin: { type: start }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: Vec::new(),
            outputs: vec![Port::new("NAME", Type::any()).doc("One for each input that the flow lists.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let listed = scope.listed_inputs();
        // Wired by hand, so that another visit does not take what a later step gives under the name.
        let inputs = listed.iter().map(|p| p.clone().wired(&format!("inputs.{}", p.name), &[]));
        let outputs = listed.iter().map(|p| p.clone().rows(Rows::Same(p.name.clone())));
        Ok(Signature { begins: true, ..Signature::new(inputs.collect(), outputs.collect()) })
    }

    async fn run(&self, _: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        Ok(Outcome::next(input))
    }
}
