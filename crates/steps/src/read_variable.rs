//! `read_variable`: the value of a variable.

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature, VariableUse};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::Type;
use schemars::JsonSchema;
use serde::Deserialize;

const VALUE: &str = "value";

/// Gives the value that a variable of the flow has now. One that has no default and that nothing has written on the way
/// here is the error `variable.unset`; where no way writes it, `check` says so. `variables.NAME` in `with` reads it too.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadVariable {
    /// The variable, by its name under `variables:`.
    variable: String,
}

impl Step for ReadVariable {
    const TYPE: &'static str = "read_variable";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "so_far:\n  type: read_variable\n  variable: seen\n  output: seen";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: Vec::new(),
            outputs: vec![Port::new(VALUE, Type::any()).doc("The value, of the variable's type.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let variable = scope.variable(&self.variable, &["variable"])?;
        let used = VariableUse {
            name: self.variable.clone(),
            reads: true,
            writes: false,
            path: vec!["variable".to_owned()],
        };
        let outputs = vec![Port::new(VALUE, variable.value_type.clone())];
        Ok(Signature { variables: vec![used], ..Signature::new(Vec::new(), outputs) })
    }

    async fn run(&self, cx: &StepCx<'_>, _: Ports) -> Result<Outcome<Ports>, StepError> {
        Ok(Outcome::next(Ports::one(VALUE, cx.variable(&self.variable)?)))
    }
}
