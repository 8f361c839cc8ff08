//! `host`: a function that the program around flowrun lends.

use std::sync::Arc;

use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::{RunOptions, ToolCx};
use flowrun_core::signature::Port;
use flowrun_core::tool::{Tool, ToolKind, ToolScope};
use flowrun_core::value::{Object, Value};
use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

/// A program that lends its functions; a run that has one carries it among its resources, as [`Host`].
pub trait Lends: Send + Sync {
    /// What the function of this name gives for these arguments. Many calls may be under way at once.
    ///
    /// # Errors
    /// `tool.failed` where the function failed; `host.gone` and `host.answer` where the program cannot answer.
    fn call<'a>(&'a self, name: &'a str, arguments: &'a Object) -> BoxFuture<'a, Result<Json, StepError>>;
}

/// The program around a run.
pub struct Host(pub Arc<dyn Lends>);

/// A function of the program that runs the flow, which lends it under the tool's name: `flowrun host` calls it there. A
/// flow with such a tool does not run by itself.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostFunction {}

impl ToolKind for HostFunction {
    const TYPE: &'static str = "host";

    fn tool(self, scope: &ToolScope<'_>) -> Result<Arc<dyn Tool>, Diagnostics> {
        Ok(Arc::new(Lent {
            name: scope.scope.step_name().to_owned(),
            arguments: scope.listed_arguments()?,
            results: scope.listed_results(),
        }))
    }
}

struct Lent {
    name: String,
    arguments: Vec<Port>,
    results: Vec<Port>,
}

impl Tool for Lent {
    fn arguments(&self) -> &[Port] {
        &self.arguments
    }

    fn results(&self) -> &[Port] {
        &self.results
    }

    fn refused(&self, options: &RunOptions) -> Option<StepError> {
        (!options.lends.contains(&self.name)).then(|| {
            let message = format!("nobody lends the function `{}`", self.name);
            StepError::new("tool.not_lent", message)
                .help("run the flow by `flowrun host`, from the program that has the function")
                .fatal()
        })
    }

    fn leaves_open(&self, error: &StepError) -> bool {
        error.code.starts_with("host.")
    }

    fn call<'a>(&'a self, cx: &'a ToolCx<'a>, arguments: &'a Object) -> BoxFuture<'a, Result<Value, StepError>> {
        async move {
            let given = cx.resource::<Host>()?.0.call(&self.name, arguments).await?;
            Value::try_from(given).map_err(|e| StepError::new("tool.result", e.to_string()))
        }
        .boxed()
    }
}
