//! `exec`: a program that speaks JSON lines.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flowrun_core::compile::Scope;
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

use crate::process::{Call, Description, Pool, Program, describe};

/// Most bytes of a line, unless said otherwise.
pub const USUAL_LINE: usize = 10 << 20;
/// Seconds that an answer may take, unless said otherwise.
pub const USUAL_TIMEOUT: Duration = Duration::from_secs(60);

/// A program that answers calls on its standard input, one JSON object a line. It is started once and called many times.
///
/// A call is the line `{"id": 1, "call": {"text": "a b"}}`; the answer is `{"id": 1, "result": 2}`, or `"error": "why"` in
/// its place. Without `arguments` the program says itself what it takes and gives, when the flow is checked: to `{"id": 0,
/// "describe": {}}` it answers an object with `description`, `arguments` and `results`, the last two as JSON schemas.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// The program and its arguments; no shell reads them.
    ///
    /// A name is looked for in the folders of `PATH`, a path is relative to the flow's file. The program works in the folder
    /// of the flow's file.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    /// The variables of the environment that the program gets, by name. It gets no others.
    #[serde(default)]
    env: Vec<String>,
    /// How many processes of it answer at once, at most.
    #[serde(default = "one")]
    #[schemars(with = "u16", range(min = 1, max = 256))]
    workers: NonZeroU16,
    /// Seconds that an answer may take; then the program is ended, with all that it has started.
    #[serde(default = "usual_timeout", deserialize_with = "flowrun_net::limits::timeout")]
    #[schemars(with = "f64", range(min = 0.001, max = 86400.0), extend("default" = 60))]
    timeout: Duration,
    /// Most bytes of a line that the program writes.
    #[serde(default = "usual_line")]
    #[schemars(range(min = 2, max = 1_073_741_824))]
    max_line_bytes: usize,
}

fn one() -> NonZeroU16 {
    NonZeroU16::MIN
}

fn usual_timeout() -> Duration {
    USUAL_TIMEOUT
}

fn usual_line() -> usize {
    USUAL_LINE
}

impl Exec {
    /// The program.
    ///
    /// # Errors
    /// All that can be said against it before it is started.
    pub fn program(&self, scope: &Scope<'_>) -> Result<Program, Diagnostics> {
        let program = Program {
            command: self.command.clone(),
            env: self.env.clone(),
            set_env: BTreeMap::new(),
            folder: scope.folder().to_owned(),
            workers: self.workers.get().into(),
            timeout: self.timeout,
            longest_line: self.max_line_bytes,
        };
        let mut wrong = Diagnostics::new();
        for (path, why) in program.problems() {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            wrong.push(scope.bad(&path, why));
        }
        if wrong.has_errors() { Err(wrong) } else { Ok(program) }
    }
}

impl ToolKind for Exec {
    const TYPE: &'static str = "exec";

    fn tool(self, scope: &ToolScope<'_>) -> Result<Arc<dyn Tool>, Diagnostics> {
        let program = self.program(scope.scope)?;
        let described = match (scope.arguments, scope.results) {
            (Some(arguments), _) => Description {
                arguments: arguments.to_vec(),
                results: scope.listed_results(),
                ..Description::default()
            },
            (None, Some(_)) => {
                scope.listed_arguments()?;
                Description::default()
            }
            (None, None) => describe(&program).map_err(|error| {
                let problem = scope.bad(&["command"], error.message);
                problem.help("list `arguments:` and `results:`, or let the program answer `describe`")
            })?,
        };
        Ok(Arc::new(ExecTool { key: program.key(), program, described }))
    }
}

struct ExecTool {
    program: Program,
    key: String,
    described: Description,
}

impl Tool for ExecTool {
    fn description(&self) -> Option<&str> {
        self.described.description.as_deref()
    }

    fn arguments(&self) -> &[Port] {
        &self.described.arguments
    }

    fn results(&self) -> &[Port] {
        &self.described.results
    }

    fn idempotent(&self) -> bool {
        self.described.idempotent.unwrap_or(true)
    }

    fn files(&self) -> Vec<PathBuf> {
        self.program.files()
    }

    fn leaves_open(&self, error: &StepError) -> bool {
        leaves_open(error)
    }

    fn call<'a>(&'a self, cx: &'a ToolCx<'a>, arguments: &'a Object) -> BoxFuture<'a, Result<Value, StepError>> {
        async move {
            let pool = cx.held(&self.key, || Pool::new(self.program.clone()));
            let reply = pool.call(Call::With(arguments)).await?;
            Ok(self.described.value(reply.result))
        }
        .boxed()
    }
}

/// Whether a program may have done what it was asked, although it did not say so.
pub fn leaves_open(error: &StepError) -> bool {
    ["tool.timeout", "tool.died", "tool.protocol"].contains(&error.code.as_ref())
}
