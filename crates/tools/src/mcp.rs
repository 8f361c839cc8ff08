//! `mcp`: a tool of a server that speaks MCP.

mod answer;
mod connection;
mod schemas;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::{RunOptions, ToolCx};
use flowrun_core::signature::Port;
use flowrun_core::tool::{Tool, ToolKind, ToolScope};
use flowrun_core::value::{Object, Value};
use flowrun_net::{Rules, header_name};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::exec::{USUAL_LINE, USUAL_TIMEOUT};
use crate::process::Program;
use connection::{Connection, Remote, Server};

/// A tool of a server that speaks MCP, over HTTP (`url`) or over the pipes of a program that is started for it (`command`).
/// The flow lists the tool's arguments and results, so that it can be checked without the server; the first call finds out
/// whether the server says the same of them, and each call and answer is checked by the server's own schemas. Tools that name the same
/// server in the same way share a connection.
///
/// Where the server gives a structured result, its values are taken by their names; else a text is the result, and what is no
/// text in the flow is read from it as JSON. Programs are started only with `--allow-stdio-mcp`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mcp {
    /// The address of a server that speaks MCP over HTTP; `http://` leads no further than to this machine. Redirects are not
    /// followed.
    url: Option<String>,
    /// A program that speaks MCP on its standard input and output, in place of `url`; no shell reads it, and paths are
    /// relative to the flow's file.
    command: Option<Vec<String>>,
    /// The variables of the environment that the program gets, by name. It gets no others.
    #[serde(default)]
    env: Vec<String>,
    /// Variables that the program gets besides, with their values, which are hidden in errors.
    #[serde(default)]
    set_env: BTreeMap<String, String>,
    /// The folder that the program works in, relative to that of the flow's file, which it is without this.
    cwd: Option<PathBuf>,
    /// The tool's name on the server. Default: its name in the flow.
    tool: Option<String>,
    /// Headers of each request.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Headers that hold secrets, which are hidden in errors.
    #[serde(default)]
    sensitive_headers: BTreeMap<String, String>,
    /// Seconds that connecting may take, and then each answer.
    #[serde(default = "usual_timeout", deserialize_with = "flowrun_net::limits::timeout")]
    #[schemars(with = "f64", range(min = 0.001, max = 86400.0), extend("default" = 60))]
    timeout: Duration,
    /// Most bytes of an answer.
    #[serde(default = "usual_answer")]
    #[schemars(range(min = 1024, max = 1_073_741_824))]
    max_response_bytes: usize,
    /// Allows `http://` to other machines.
    #[serde(default)]
    allow_insecure_http: bool,
    /// Allows servers in private networks, and names that lead to this machine.
    #[serde(default)]
    allow_private_addresses: bool,
}

fn usual_timeout() -> Duration {
    USUAL_TIMEOUT
}

fn usual_answer() -> usize {
    USUAL_LINE
}

impl ToolKind for Mcp {
    const TYPE: &'static str = "mcp";

    fn tool(self, scope: &ToolScope<'_>) -> Result<Arc<dyn Tool>, Diagnostics> {
        let mut wrong = Diagnostics::new();
        let arguments = scope.listed_arguments().unwrap_or_else(|problem| {
            wrong.extend(problem);
            Vec::new()
        });
        let server = match (&self.url, &self.command) {
            (Some(url), None) => self.remote(url, scope, &mut wrong),
            (None, Some(command)) => Some(self.started(command, scope, &mut wrong)),
            _ => {
                let problem = scope.bad(&[], "a tool of an MCP server has either `url` or `command`");
                wrong.push(problem);
                None
            }
        };
        let Some(server) = server.filter(|_| !wrong.has_errors()) else { return Err(wrong) };
        let tool = self.tool.unwrap_or_else(|| scope.scope.step_name().to_owned());
        Ok(Arc::new(McpTool { key: server.key(), server, tool, arguments, results: scope.listed_results() }))
    }
}

impl Mcp {
    fn remote(&self, url: &str, scope: &ToolScope<'_>, wrong: &mut Diagnostics) -> Option<Server> {
        let given =
            [("env", !self.env.is_empty()), ("set_env", !self.set_env.is_empty()), ("cwd", self.cwd.is_some())];
        for (key, _) in given.iter().filter(|(_, given)| *given) {
            wrong.push(scope.bad(&[key], format!("`{key}` goes with `command`")));
        }
        let rules = Rules {
            allow_insecure_http: self.allow_insecure_http,
            allow_private_addresses: self.allow_private_addresses,
            ..Rules::default()
        };
        let url = match flowrun_net::url::parse(url) {
            Ok(url) => url,
            Err(error) => {
                wrong.push(scope.bad(&["url"], error.to_string()));
                return None;
            }
        };
        if let Err(refused) = rules.check(&url) {
            wrong.push(scope.bad(&["url"], refused.message).help(refused.help));
        }
        let headers = self.all_headers(scope, wrong);
        let secrets = self.sensitive_headers.values().cloned().collect();
        Some(Server::Remote(Remote {
            url,
            rules,
            headers,
            secrets,
            timeout: self.timeout,
            largest: self.max_response_bytes,
        }))
    }

    fn all_headers(&self, scope: &ToolScope<'_>, wrong: &mut Diagnostics) -> HashMap<HeaderName, HeaderValue> {
        let mut headers = HashMap::new();
        for (key, named) in [("headers", &self.headers), ("sensitive_headers", &self.sensitive_headers)] {
            for (written, value) in named {
                let name = match header_name(written) {
                    Ok(name) => name,
                    Err(message) => {
                        wrong.push(scope.scope.bad_key(&[key, written], message));
                        continue;
                    }
                };
                let Ok(mut value) = HeaderValue::from_str(value) else {
                    let message = format!("the value of the header `{name}` holds what no header may hold");
                    wrong.push(scope.bad(&[key, written], message));
                    continue;
                };
                value.set_sensitive(key == "sensitive_headers");
                if headers.insert(name.clone(), value).is_some() {
                    let message = format!("the header `{name}` is given twice");
                    wrong.push(scope.scope.bad_key(&[key, written], message));
                }
            }
        }
        headers
    }

    fn started(&self, command: &[String], scope: &ToolScope<'_>, wrong: &mut Diagnostics) -> Server {
        for (key, named) in [("headers", &self.headers), ("sensitive_headers", &self.sensitive_headers)] {
            if !named.is_empty() {
                wrong.push(scope.bad(&[key], format!("`{key}` goes with `url`")));
            }
        }
        let folder = scope.scope.folder();
        if let Some(cwd) = self.cwd.as_ref().filter(|cwd| !folder.join(cwd).is_dir()) {
            wrong.push(scope.bad(&["cwd"], format!("there is no folder `{}`", cwd.display())));
        }
        let program = Program {
            command: command.to_vec(),
            env: self.env.clone(),
            set_env: self.set_env.clone(),
            folder: self.cwd.as_ref().map_or_else(|| folder.to_owned(), |cwd| folder.join(cwd)),
            workers: 1,
            timeout: self.timeout,
            longest_line: self.max_response_bytes,
        };
        for (path, why) in program.problems() {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            wrong.push(scope.bad(&path, why));
        }
        Server::Started(program)
    }
}

struct McpTool {
    server: Server,
    key: String,
    /// The name on the server.
    tool: String,
    arguments: Vec<Port>,
    results: Vec<Port>,
}

impl Tool for McpTool {
    fn arguments(&self) -> &[Port] {
        &self.arguments
    }

    fn results(&self) -> &[Port] {
        &self.results
    }

    fn refused(&self, options: &RunOptions) -> Option<StepError> {
        let Server::Started(program) = &self.server else { return None };
        if options.allow_stdio_mcp {
            return None;
        }
        let message = format!("the tool `{}` starts `{}`, a program that speaks MCP", self.tool, program.name());
        let error = StepError::new("tool.refused", message);
        Some(error.help("look at what the flow starts; `--allow-stdio-mcp` allows it"))
    }

    fn files(&self) -> Vec<PathBuf> {
        match &self.server {
            Server::Started(program) => program.files(),
            Server::Remote(_) => Vec::new(),
        }
    }

    fn leaves_open(&self, error: &StepError) -> bool {
        ["tool.timeout", "tool.unreachable", "tool.protocol"].contains(&error.code.as_ref())
    }

    fn call<'a>(&'a self, cx: &'a ToolCx<'a>, arguments: &'a Object) -> BoxFuture<'a, Result<Value, StepError>> {
        async move {
            let connection = cx.held(&self.key, || Connection::new(self.server.clone()));
            let answer = connection.call(cx, self, arguments).await?;
            answer::value(answer, &self.results).map_err(|mut error| {
                error.message = self.server.redact(error.message);
                error
            })
        }
        .boxed()
    }
}
