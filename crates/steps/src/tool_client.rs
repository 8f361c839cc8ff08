//! The kind of tool `client`: whoever runs the flow answers.

use std::sync::Arc;

use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::ToolCx;
use flowrun_core::signature::Port;
use flowrun_core::tool::{Tool, ToolKind, ToolScope};
use flowrun_core::value::{Object, Value};
use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

/// What whoever runs the flow does: a call makes the run wait, `flowrun reply RUN --result JSON` gives what it gave, and
/// `--error TEXT` says why it gave nothing. A program that runs the flow answers at once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientTool {}

impl ToolKind for ClientTool {
    const TYPE: &'static str = "client";

    fn tool(self, scope: &ToolScope<'_>) -> Result<Arc<dyn Tool>, Diagnostics> {
        Ok(Arc::new(Asked { arguments: scope.listed_arguments()?, results: scope.listed_results() }))
    }
}

struct Asked {
    arguments: Vec<Port>,
    results: Vec<Port>,
}

impl Tool for Asked {
    fn arguments(&self) -> &[Port] {
        &self.arguments
    }

    fn results(&self) -> &[Port] {
        &self.results
    }

    fn keeps_itself(&self) -> bool {
        true
    }

    fn waits(&self) -> bool {
        true
    }

    fn call<'a>(&'a self, cx: &'a ToolCx<'a>, arguments: &'a Object) -> BoxFuture<'a, Result<Value, StepError>> {
        async move {
            let mut answer = cx.ask(arguments).await?;
            if let Some(error) = answer.get("error") {
                return Err(failure(error));
            }
            let result = answer.get_mut("result").map(Json::take).unwrap_or_default();
            Value::try_from(result).map_err(|e| StepError::new("tool.result", e.to_string()))
        }
        .boxed()
    }
}

/// An error that was answered: a text, or `{ type, message }`.
fn failure(error: &Json) -> StepError {
    let text = |key: &str| error.get(key).and_then(Json::as_str);
    let message = error.as_str().or_else(|| text("message")).map_or_else(|| error.to_string(), str::to_owned);
    let failed = StepError::new("tool.failed", message);
    match text("type") {
        Some(class) => failed.detail("type", class),
        None => failed,
    }
}
