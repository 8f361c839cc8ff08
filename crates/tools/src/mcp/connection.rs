//! [`Connection`]: a server that was connected to, kept for further calls.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use flowrun_core::error::StepError;
use flowrun_core::execute::ToolCx;
use flowrun_core::value::{Object, Value};
use flowrun_net::{Client, Rules, Url};
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue};
use rmcp::model::{CallToolRequestParams, CallToolResult};
use rmcp::service::{ClientInitializeError, RunningService, ServiceError};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{RoleClient, serve_client};
use tokio::sync::Mutex;

use super::McpTool;
use super::schemas::Listed;
use crate::process::{Program, Started};

/// What is shorter would be found everywhere.
const SHORTEST_SECRET: usize = 4;
/// As much as is told of what a server or a library says of a failure.
const LONGEST_REASON: usize = 300;

/// Where a server is.
#[derive(Clone)]
pub(super) enum Server {
    Remote(Remote),
    Started(Program),
}

/// A server over HTTP.
#[derive(Clone)]
pub(super) struct Remote {
    pub(super) url: Url,
    pub(super) rules: Rules,
    pub(super) headers: HashMap<HeaderName, HeaderValue>,
    /// Values of headers that must not be told.
    pub(super) secrets: Vec<String>,
    pub(super) timeout: Duration,
    pub(super) largest: usize,
}

impl Server {
    /// All that a connection depends on, without its secrets.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Remote(remote) => {
                let mut headers: Vec<_> =
                    remote.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
                headers.sort_unstable();
                format!("{} {headers:?} {:?} {}", remote.url, remote.timeout, remote.largest)
            }
            Self::Started(program) => program.key(),
        }
    }

    fn timeout(&self) -> Duration {
        match self {
            Self::Remote(remote) => remote.timeout,
            Self::Started(program) => program.timeout,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Remote(remote) => flowrun_net::url::shown(&remote.url),
            Self::Started(program) => program.name().to_owned(),
        }
    }

    /// A text without secrets.
    pub(super) fn redact(&self, text: String) -> String {
        match self {
            Self::Remote(remote) => {
                remote.secrets.iter().filter(|s| s.len() >= SHORTEST_SECRET).fold(text, |text, s| hidden(text, s))
            }
            Self::Started(program) => program.redact(text),
        }
    }

    fn reason(&self, reason: &str) -> String {
        let reason = self.redact(reason.to_owned());
        match reason.char_indices().nth(LONGEST_REASON) {
            Some((end, _)) => format!("{}…", &reason[..end]),
            None => reason,
        }
    }

    fn late(&self) -> StepError {
        let message = format!("the server `{}` did not answer in {} s", self.name(), self.timeout().as_secs_f64());
        StepError::new("tool.timeout", message).help("raise `timeout:`, or ask for less at once")
    }

    fn unreachable(&self, why: &str) -> StepError {
        let message = format!("the server `{}` cannot be spoken to by MCP: {}", self.name(), self.reason(why));
        StepError::new("tool.unreachable", message)
    }
}

fn hidden(text: String, secret: &str) -> String {
    // `Bearer KEY` is as secret as `KEY`.
    let words = secret.split_whitespace().filter(|word| word.len() > "Bearer".len());
    words.chain([secret]).fold(text, |text, word| text.replace(word, "***"))
}

/// A connection that is made by the first call, and again after it broke.
pub(super) struct Connection {
    server: Server,
    open: Mutex<Option<Arc<Open>>>,
}

struct Open {
    service: RunningService<RoleClient, ()>,
    /// The tools that the server has, by name.
    tools: BTreeMap<String, Listed>,
    /// Ends with the connection.
    process: Option<Mutex<Started>>,
}

impl Connection {
    pub(super) fn new(server: Server) -> Self {
        Self { server, open: Mutex::default() }
    }

    /// Calls a tool of the server.
    pub(super) async fn call(
        &self,
        cx: &ToolCx<'_>,
        McpTool { tool, arguments: listed_arguments, results, .. }: &McpTool,
        arguments: &Object,
    ) -> Result<CallToolResult, StepError> {
        let open = self.opened(cx).await?;
        let Some(listed) = open.tools.get(tool) else {
            let near = flowrun_core::diagnostics::nearest(tool, open.tools.keys().map(String::as_str));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            let message = format!("the server `{}` has no tool `{tool}`{near}", self.server.name());
            return Err(StepError::new("tool.unknown", message).help("`tool:` names it as the server does"));
        };
        listed.check_ports(listed_arguments, results).map_err(|error| self.otherwise(tool, &error))?;
        let arguments = Value::Object(arguments.clone()).to_json();
        let arguments = arguments.map_err(|e| StepError::new("tool.arguments", e.to_string()))?;
        listed.check_arguments(&arguments).map_err(|error| self.told(error))?;
        let serde_json::Value::Object(arguments) = arguments else {
            return Err(StepError::new("tool.arguments", "the arguments cannot be sent"));
        };
        let asked =
            open.service.peer().call_tool(CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments));
        match tokio::time::timeout(self.server.timeout(), asked).await {
            Ok(Ok(answer)) => {
                let failed = answer.is_error == Some(true);
                if let Some(given) = answer.structured_content.as_ref().filter(|_| !failed) {
                    listed.check_results(given).map_err(|error| self.told(error))?;
                }
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.failed(&open, error).await),
            Err(_) => {
                // What comes late must not be waited for by the next call.
                *self.open.lock().await = None;
                Err(self.server.late())
            }
        }
    }

    /// The server says otherwise of a tool than the flow does.
    fn otherwise(&self, tool: &str, error: &StepError) -> StepError {
        let why = self.server.reason(&error.message);
        let message = format!("the server `{}` says otherwise of its tool `{tool}`: {why}", self.server.name());
        StepError::new("tool.schema", message).help("list under `arguments:` and `results:` what the server does")
    }

    /// The error without secrets, and cut.
    fn told(&self, error: StepError) -> StepError {
        StepError { message: self.server.reason(&error.message), ..error }
    }

    async fn failed(&self, open: &Open, error: ServiceError) -> StepError {
        match error {
            ServiceError::McpError(said) => StepError::new("tool.failed", self.server.reason(&said.message)),
            ServiceError::Timeout { .. } => self.server.late(),
            ServiceError::UnexpectedResponse => {
                let message = format!("the server `{}` did not answer the call", self.server.name());
                StepError::new("tool.protocol", message)
            }
            other => {
                *self.open.lock().await = None;
                let error = self.server.unreachable(&other.to_string());
                self.blamed(open, error).await
            }
        }
    }

    /// The error with what the program of the server wrote to its standard error.
    async fn blamed(&self, open: &Open, error: StepError) -> StepError {
        match (&open.process, &self.server) {
            (Some(process), Server::Started(program)) => process.lock().await.blamed(program, error).await,
            _ => error,
        }
    }

    async fn opened(&self, cx: &ToolCx<'_>) -> Result<Arc<Open>, StepError> {
        let mut open = self.open.lock().await;
        if let Some(open) = open.as_ref().filter(|open| !open.service.is_closed()) {
            return Ok(Arc::clone(open));
        }
        let connected = Arc::new(self.connect(cx).await?);
        *open = Some(Arc::clone(&connected));
        Ok(connected)
    }

    async fn connect(&self, cx: &ToolCx<'_>) -> Result<Open, StepError> {
        match &self.server {
            Server::Remote(remote) => {
                let client = cx.resource::<Client>()?.connections(&remote.url, &remote.rules);
                let client = client.map_err(|e| StepError::new(e.kind.code(), e.message).help(e.help))?;
                let mut config = StreamableHttpClientTransportConfig::with_uri(remote.url.as_str());
                config.custom_headers.clone_from(&remote.headers);
                config.max_sse_event_size = remote.largest;
                config.max_json_response_size = remote.largest;
                let transport = StreamableHttpClientTransport::with_client(client, config);
                self.greeted(Box::pin(serve_client((), transport))).await.map(|(service, tools)| Open {
                    service,
                    tools,
                    process: None,
                })
            }
            Server::Started(program) => {
                let (mut process, stdin, stdout) = Started::start(program)?;
                let transport =
                    AsyncRwTransport::new_client(stdout, stdin).with_max_line_length(program.longest_line);
                match self.greeted(Box::pin(serve_client((), transport))).await {
                    Ok((service, tools)) => Ok(Open { service, tools, process: Some(Mutex::new(process)) }),
                    Err(error) => Err(process.blamed(program, error).await),
                }
            }
        }
    }

    /// The handshake, and the list of tools.
    async fn greeted(
        &self,
        serve: BoxFuture<'_, Result<RunningService<RoleClient, ()>, ClientInitializeError>>,
    ) -> Result<(RunningService<RoleClient, ()>, BTreeMap<String, Listed>), StepError> {
        let greet = Box::pin(async {
            let service = serve.await.map_err(|e| self.server.unreachable(&e.to_string()))?;
            let tools =
                service.peer().list_all_tools().await.map_err(|e| self.server.unreachable(&e.to_string()))?;
            Ok((
                service,
                tools.into_iter().map(|tool| (tool.name.clone().into_owned(), Listed::new(&tool))).collect(),
            ))
        });
        match tokio::time::timeout(self.server.timeout(), greet).await {
            Ok(greeted) => greeted,
            Err(_) => Err(self.server.late()),
        }
    }
}
