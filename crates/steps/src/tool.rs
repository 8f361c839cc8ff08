//! `tool`: calls a tool.

use std::sync::Arc;

use flowrun_core::cast::castable;
use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::{StepCx, ToolAnswer};
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use schemars::JsonSchema;
use serde::Deserialize;

/// Calls a tool of the flow, or one that the program has: its arguments are the inputs, its results are the outputs. What
/// it gives is kept: a run that goes on later does not call again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolStep {
    /// The tool, one under `tools:`.
    tool: String,
    /// Whether an error of the tool is the step's. With `false` its message is the output, which has to be the only one
    /// and may be a text.
    #[serde(default = "yes")]
    raise_errors: bool,
}

fn yes() -> bool {
    true
}

/// The key of the step's only call.
const CALL: &str = "call";

impl Step for ToolStep {
    const TYPE: &'static str = "tool";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str =
        "score:\n  type: tool\n  tool: score          # defined under `tools:`\n  with: { text: write.draft }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("NAME", Type::any()).doc("One for each argument of the tool.")],
            outputs: vec![Port::new("NAME", Type::any()).doc("One for each result of the tool.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let tool = scope.tool(&self.tool, &["tool"])?;
        let holds_text = match tool.results.as_slice() {
            [only] => castable(&Type::string(), &only.value_type),
            _ => false,
        };
        if !self.raise_errors && !holds_text {
            let message = format!("the message of an error cannot be what the tool `{}` gives", self.tool);
            let wrong = scope.bad(&["raise_errors"], message);
            return Err(wrong
                .help("`raise_errors: false` wants a tool with one result, a text; a `catch` step gives errors a branch of their own")
                .into());
        }
        Ok(Signature { waits: tool.waits(), ..Signature::new(tool.arguments.clone(), tool.results.clone()) })
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let tool = cx.tool(&self.tool)?;
        let arguments: Vec<(Arc<str>, Value)> =
            input.iter().map(|(name, value)| (Arc::clone(name), value.clone())).collect();
        let results = if self.raise_errors {
            cx.call_tool(tool, CALL, arguments).await?
        } else {
            match cx.ask_tool(tool, CALL, arguments).await? {
                ToolAnswer::Results(results) => results,
                ToolAnswer::Error(error) => vec![Value::from(error.message)],
            }
        };
        Ok(Outcome::next(cx.outputs(results)))
    }
}
