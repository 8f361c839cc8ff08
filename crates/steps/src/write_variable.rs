//! `write_variable`: changes a variable.

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature, VariableUse};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::Type;
use flowrun_core::variable::Operation;
use schemars::JsonSchema;
use serde::Deserialize;

const VALUE: &str = "value";

/// Writes a value to a variable of the flow, in the place of the one before, or into it. Each visit of a flow has its
/// own variables: an inner flow does not see those of the flow around it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteVariable {
    /// The variable, by its name under `variables:`.
    variable: String,
    /// How the value is written. `overwrite` puts it in the place of the one before. `merge` sets the entries of an
    /// object, or puts the items of a list behind those that are there. `insert` puts one item behind those of a list.
    /// Default: `overwrite`.
    #[serde(default)]
    operation: Operation,
}

impl Step for WriteVariable {
    const TYPE: &'static str = "write_variable";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str =
        "remember:\n  type: write_variable\n  variable: seen\n  operation: insert\n  with: { value: write.draft }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![
                Port::new(VALUE, Type::any())
                    .doc("The value: of the variable's type, or with `insert` of its items' type."),
            ],
            outputs: Vec::new(),
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let variable = scope.variable(&self.variable, &["variable"])?;
        let taken = self.operation.takes(&variable.value_type);
        let taken = taken.map_err(|why| {
            scope.bad(&["operation"], format!("`{}` cannot be so written: {why}", self.variable))
        })?;
        let used = VariableUse {
            name: self.variable.clone(),
            reads: self.operation.reads(),
            writes: true,
            path: vec!["variable".to_owned()],
        };
        Ok(Signature { variables: vec![used], ..Signature::new(vec![Port::new(VALUE, taken)], Vec::new()) })
    }

    async fn run(&self, cx: &StepCx<'_>, mut input: Ports) -> Result<Outcome<Ports>, StepError> {
        let value = input.take(VALUE).unwrap_or_default();
        cx.write_variable(&self.variable, self.operation, value)?;
        Ok(Outcome::next(Ports::empty()))
    }
}
