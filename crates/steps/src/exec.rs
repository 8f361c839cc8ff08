//! `exec`: a program that is a step.

use std::sync::{Arc, OnceLock};

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::{StepCx, ToolCx};
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::tool::{Tool, ToolDefinition};
use flowrun_core::types::Type;
use flowrun_core::value::{Object, ObjectBuilder, Value};
use flowrun_tools::exec::leaves_open;
use flowrun_tools::{Call, Description, Exec, Pool, Program, Reply, describe};
use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

const DOC: &str = "A step that a program does: it says its ports itself when the flow is checked, and answers one line of JSON \
                   for each visit. The messages are those of an `exec` tool; a description may also name `branches`, and \
                   then each answer says which it takes: `{\"id\": 1, \"result\": {…}, \"branch\": \"enough\"}`.";

/// The result under which the branch is kept; no output has such a name.
const BRANCH: &str = "!branch";
/// The key of the step's only call.
const CALL: &str = "call";

/// The program is that of a tool; what it said about itself is found when the flow is compiled.
#[derive(Debug, Deserialize)]
#[serde(from = "Exec")]
pub(crate) struct ExecStep {
    program: Exec,
    tool: OnceLock<ToolDefinition>,
}

impl From<Exec> for ExecStep {
    fn from(program: Exec) -> Self {
        Self { program, tool: OnceLock::new() }
    }
}

impl JsonSchema for ExecStep {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ExecStep".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Exec::json_schema(generator);
        schema.insert("description".to_owned(), DOC.into());
        schema
    }
}

/// A program whose results are outputs, and the branch that it takes.
struct StepProgram {
    program: Program,
    key: String,
    described: Description,
    results: Vec<Port>,
}

impl StepProgram {
    fn new(program: Program, described: Description) -> Self {
        let branch = Port::new(BRANCH, Type::string().nullable());
        let results = described.results.iter().cloned().chain([branch]).collect();
        Self { key: program.key(), program, described, results }
    }

    /// The outputs and the branch as one value.
    fn value(&self, reply: Reply) -> Result<Value, StepError> {
        let branch = reply.branch.map_or(Value::Null, Value::from);
        let mut results = ObjectBuilder::default();
        match (self.described.results.as_slice(), reply.result) {
            ([], _) => return Ok(branch),
            ([only], value) if !self.described.several => {
                results.set(only.name.as_str(), value);
            }
            (_, Value::Object(object)) => {
                for (name, value) in object.iter() {
                    results.set(Arc::clone(name), value.clone());
                }
            }
            (_, other) => {
                let message = format!("the program gave {other}, where an object with its outputs is wanted");
                return Err(StepError::new("tool.result", message));
            }
        }
        results.set(BRANCH, branch);
        Ok(Value::Object(results.finish()))
    }
}

impl Tool for StepProgram {
    fn arguments(&self) -> &[Port] {
        &self.described.arguments
    }

    fn results(&self) -> &[Port] {
        &self.results
    }

    fn idempotent(&self) -> bool {
        self.described.idempotent.unwrap_or(true)
    }

    fn leaves_open(&self, error: &StepError) -> bool {
        leaves_open(error)
    }

    fn call<'a>(&'a self, cx: &'a ToolCx<'a>, arguments: &'a Object) -> BoxFuture<'a, Result<Value, StepError>> {
        async move {
            let pool = cx.held(&self.key, || Pool::new(self.program.clone()));
            self.value(pool.call(Call::With(arguments)).await?)
        }
        .boxed()
    }
}

impl Step for ExecStep {
    const TYPE: &'static str = "exec";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "length:\n  type: exec\n  command: [python3, length.py]\n  with: { text: write.draft }\n  next: { enough: end, too_short: write_more }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("NAME", Type::any()).doc("One for each argument that the program describes.")],
            outputs: vec![Port::new("NAME", Type::any()).doc("One for each result that it describes.")],
            branches: vec!["next".into(), "BRANCH: each that it describes, in place of `next`".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let program = self.program.program(scope)?;
        let described = describe(&program).map_err(|error| {
            let wrong = scope.bad(&["command"], error.message);
            wrong.help("the program of a step answers `describe`; see `docs/tools.md`")
        })?;
        let ports = (described.arguments.clone(), described.results.clone());
        let signature = Signature { programs: program.files(), ..Signature::new(ports.0, ports.1) };
        let signature = match described.branches.as_slice() {
            [] => signature,
            branches => signature.branches(branches),
        };
        let name = scope.step_name();
        self.tool.get_or_init(|| ToolDefinition::new(name, Arc::new(StepProgram::new(program, described))));
        Ok(signature)
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let tool = self.tool.get().ok_or_else(|| {
            StepError::new("engine.tool", "the program of the step has not said what it takes and gives")
        })?;
        let arguments = input.iter().map(|(name, value)| (Arc::clone(name), value.clone()));
        let mut results = cx.call_tool(tool, CALL, arguments.collect::<Vec<_>>()).await?;
        let branch = results.pop().and_then(|branch| branch.as_str().map(str::to_owned));
        let outputs = cx.outputs(results);
        Ok(match branch {
            Some(branch) => Outcome::branch(branch, outputs),
            None => Outcome::next(outputs),
        })
    }
}
