//! The kind of tool `flow`: a flow as a tool.

use std::sync::Arc;

use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::ToolCx;
use flowrun_core::flow::Flow;
use flowrun_core::signature::Port;
use flowrun_core::tool::{Tool, ToolKind, ToolScope};
use flowrun_core::value::{Object, ObjectBuilder, Value};
use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;

/// A flow: its inputs are the arguments, its outputs are the results. What it calls is kept like what other steps call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlowTool {
    /// The flow, one under `flows:`.
    flow: String,
}

impl ToolKind for FlowTool {
    const TYPE: &'static str = "flow";

    fn tool(self, scope: &ToolScope<'_>) -> Result<Arc<dyn Tool>, Diagnostics> {
        scope.no_ports("those of its flow")?;
        let ports = scope.scope.flow(&self.flow, &["flow"])?;
        let flow = scope.scope.compiled_flow(&self.flow).ok_or_else(Diagnostics::new)?;
        Ok(Arc::new(RunsFlow { flow, arguments: ports.inputs, results: ports.outputs }))
    }
}

struct RunsFlow {
    flow: Arc<Flow>,
    arguments: Vec<Port>,
    results: Vec<Port>,
}

impl Tool for RunsFlow {
    fn description(&self) -> Option<&str> {
        self.flow.description.as_deref()
    }

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
        self.flow.waits
    }

    fn flow(&self) -> Option<&Arc<Flow>> {
        Some(&self.flow)
    }

    fn call<'a>(&'a self, cx: &'a ToolCx<'a>, arguments: &'a Object) -> BoxFuture<'a, Result<Value, StepError>> {
        async move {
            let outputs = cx.run_flow(&self.flow, arguments).await?.outputs;
            if let [only] = outputs.values() {
                return Ok(only.clone());
            }
            let mut results = ObjectBuilder::default();
            for (name, value) in outputs.iter() {
                results.set(Arc::clone(name), value.clone());
            }
            Ok(Value::Object(results.finish()))
        }
        .boxed()
    }
}
