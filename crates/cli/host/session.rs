//! The flows and runs of a host, by their handles.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flowrun_core::compile::codes;
use flowrun_core::diagnostics::{Diagnostic, Diagnostics, Severity};
use flowrun_core::execute::RunOptions;
use flowrun_core::registry::Registry;
use flowrun_core::signature::Port;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::outgoing::Outgoing;
use super::params::{self, Close, Confirm, Format, Load, LoadOptions, OfRun, Reply, Start, ToolResult};
use super::run::HostRun;
use super::wire::RpcError;
use crate::commands::Stop;
use crate::load::{Around, Loaded, load_text};
use crate::render::Hidden;

/// A document that was loaded.
pub(super) struct HostFlow {
    pub(super) loaded: Loaded,
    pub(super) lends: Vec<String>,
    pub(super) options: LoadOptions,
    /// Whether it is a document of Agent Spec, whose ends go by the names of their nodes.
    pub(super) agent_spec: bool,
}

/// Everything that handles stand for.
pub(super) struct Session {
    outgoing: Arc<Outgoing>,
    flows: Mutex<HashMap<String, Arc<HostFlow>>>,
    runs: Mutex<HashMap<String, Arc<HostRun>>>,
    next: AtomicU64,
    /// What the log of the process does not show.
    hidden: Hidden,
    /// Tables that are too long for a message, until the session ends.
    folder: TempDir,
}

/// A request that was understood. What has to be in the order of the lines is done by then.
pub(super) enum Begun {
    Done(Value),
    Run(Arc<HostRun>),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    pub(super) fn new(outgoing: Arc<Outgoing>, hidden: Hidden) -> Result<Self, String> {
        let folder = TempDir::new().map_err(|e| format!("there is no place for temporary files: {e}"))?;
        let (flows, runs) = (Mutex::default(), Mutex::default());
        Ok(Self { outgoing, flows, runs, next: AtomicU64::new(1), hidden, folder })
    }

    fn handle(&self, letter: char) -> String {
        format!("{letter}{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn run(&self, handle: &Value) -> Result<Arc<HostRun>, RpcError> {
        let found = handle.as_str().and_then(|handle| locked(&self.runs).get(handle).cloned());
        found.ok_or_else(|| RpcError::handle(handle))
    }

    /// Reads, compiles and keeps a document.
    pub(super) fn load(&self, registry: &Registry, params: Value) -> Result<Value, RpcError> {
        let Load { text, format, base_dir, tools, components, options } = params::read(params)?;
        let is_agent_spec = flowrun_agentspec::is_agent_spec(text.as_bytes());
        if format.is_some_and(|format| (format == Format::Agentspec) != is_agent_spec) {
            let is = if is_agent_spec { "a document of Agent Spec" } else { "a native flow" };
            return Err(RpcError::params("format", format!("the text is {is}")));
        }
        let given = json!({ "$referenced_components": components }).to_string();
        let base = base_dir.as_deref().unwrap_or(Path::new("."));
        let around = Around {
            base_dir: Some(base),
            given: (!components.is_empty()).then_some(("<components>", given.as_bytes())),
            private_addresses: options.allow_private_addresses,
            ..Around::default()
        };
        let loaded = load_text(registry, Path::new("-"), "<document>", text.as_bytes(), around);
        let loaded = loaded.map_err(|stop| match stop {
            Stop::Diagnostics(wrong) => does_not_load(&wrong),
            Stop::Usage(message, help) => {
                let told = json!({ "code": "document", "message": message, "help": help });
                RpcError::new(-32001, "the document does not load").data(json!({ "diagnostics": [told] }))
            }
            Stop::Code(_) => RpcError::new(-32001, "the document does not load"),
        })?;
        not_lent(&loaded, &tools)?;
        let flow = &loaded.compiled.flow;
        let answer = json!({
            "inputs": flow.inputs.iter().map(property).collect::<Vec<_>>(),
            "outputs": flow.outputs.iter().map(property).collect::<Vec<_>>(),
            "warnings": loaded.warnings.iter().map(told).collect::<Vec<_>>(),
        });
        let handle = self.handle('f');
        locked(&self.flows).insert(
            handle.clone(),
            Arc::new(HostFlow { loaded, lends: tools, options, agent_spec: is_agent_spec }),
        );
        let Value::Object(mut answer) = answer else { return Ok(answer) };
        answer.insert("flow".to_owned(), handle.into());
        Ok(answer.into())
    }

    /// Does what a request asks for, but for what takes time.
    pub(super) fn begin(&self, method: &str, params: Value) -> Result<Begun, RpcError> {
        let done = |()| Begun::Done(json!({}));
        match method {
            "start" => self.start(params::read(params)?).map(Begun::Done),
            "run" => {
                let OfRun { run } = params::read(params)?;
                let run = self.run(&run)?;
                run.enter()?;
                Ok(Begun::Run(run))
            }
            "reply" => {
                let Reply { run, message } = params::read(params)?;
                self.run(&run)?.reply(message).map(done)
            }
            "tool_result" => {
                let ToolResult { run, id, value, error } = params::read(params)?;
                self.run(&run)?.tool_result(&id, value, error).map(done)
            }
            "confirm" => {
                let Confirm { run, id, accept, arguments, reason } = params::read(params)?;
                self.run(&run)?.confirm(&id, accept, arguments, reason).map(done)
            }
            "cancel" => {
                let OfRun { run } = params::read(params)?;
                self.run(&run)?.cancel();
                Ok(done(()))
            }
            "close" => self.close(params::read(params)?).map(done),
            other => Err(RpcError::method(other)),
        }
    }

    /// Does the rest of it.
    pub(super) async fn finish(&self, begun: Begun) -> Result<Value, RpcError> {
        match begun {
            Begun::Done(answer) => Ok(answer),
            Begun::Run(run) => run.go_on(&self.outgoing, self.folder.path()).await,
        }
    }

    fn start(&self, start: Start) -> Result<Value, RpcError> {
        let flow = start.flow.as_str().and_then(|handle| locked(&self.flows).get(handle).cloned());
        let flow = flow.ok_or_else(|| RpcError::handle(&start.flow))?;
        let handle = self.handle('r');
        let run = HostRun::start(handle.clone(), flow, start.inputs, start.options, self.folder.path())?;
        self.hidden.add(run.secrets());
        locked(&self.runs).insert(handle.clone(), Arc::new(run));
        Ok(json!({ "run": handle }))
    }

    fn close(&self, Close { run, flow }: Close) -> Result<(), RpcError> {
        let (held, handle) = match (run, flow) {
            (Some(run), None) => {
                let closed = run.as_str().and_then(|handle| locked(&self.runs).remove(handle));
                (closed.map(|run| run.cancel()).is_some(), run)
            }
            (None, Some(flow)) => {
                (flow.as_str().is_some_and(|handle| locked(&self.flows).remove(handle).is_some()), flow)
            }
            _ => return Err(RpcError::params("params", "`close` wants a `run` or a `flow`")),
        };
        if held { Ok(()) } else { Err(RpcError::handle(&handle)) }
    }

    /// Ends what is under way.
    pub(super) async fn end(&self) {
        let runs: Vec<_> = locked(&self.runs).drain().map(|(_, run)| run).collect();
        for run in runs {
            run.cancel();
            run.left().await;
        }
    }
}

/// A port as a property of a JSON schema, with its name as the `title`.
fn property(port: &Port) -> Value {
    let mut schema = crate::commands::schema::property(port);
    schema["title"] = port.name.as_str().into();
    schema
}

fn told(diagnostic: &Diagnostic) -> Value {
    let place = diagnostic.span.line_column();
    json!({
        "code": diagnostic.code,
        "message": diagnostic.message,
        "line": place.map(|(line, _)| line),
        "column": place.map(|(_, column)| column),
        "help": diagnostic.help,
    })
}

fn does_not_load(wrong: &Diagnostics) -> RpcError {
    let errors: Vec<_> = wrong.iter().filter(|d| d.severity == Severity::Error).map(told).collect();
    RpcError::new(-32001, "the document does not load").data(json!({ "diagnostics": errors }))
}

/// Whether steps call functions that the host does not lend. One that is only defined stops nothing.
fn not_lent(loaded: &Loaded, lends: &[String]) -> Result<(), RpcError> {
    let options = RunOptions { lends: lends.to_vec(), allow_stdio_mcp: true, ..RunOptions::default() };
    let mut wrong = Diagnostics::new();
    for tool in loaded.compiled.reachable_tools() {
        if let Some(refused) = tool.tool.refused(&options) {
            let problem = Diagnostic::error(codes::NOT_LENT, refused.message, &tool.span);
            wrong.push(problem.help(format!("name `{}` among the `tools` of `load`", tool.name)));
        }
    }
    if wrong.has_errors() { Err(does_not_load(&wrong)) } else { Ok(()) }
}
