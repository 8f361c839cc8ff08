//! A server that speaks MCP over HTTP, beside the test, which itself waits for the program.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The tools of the server: `shout` gives a text, `divide` numbers, `hang` nothing; `halve` says exactly what it takes and
/// gives, and does not keep to it where the number is odd.
#[derive(Clone)]
struct Tools;

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<ListToolsResult, ErrorData>> + Send + '_ {
        let object = || Arc::new(json!({ "type": "object" }).as_object().unwrap().clone());
        let tools = ["shout", "divide", "hang"].map(|name| Tool::new(name, "A tool of the test.", object()));
        let taken = json!({
            "type": "object", "properties": { "n": { "type": "integer", "minimum": 0 } }, "required": ["n"],
        });
        let given =
            json!({ "type": "object", "properties": { "half": { "type": "integer" } }, "required": ["half"] });
        let halve = Tool::new("halve", "Halves a number.", Arc::new(taken.as_object().unwrap().clone()));
        let halve = halve.with_raw_output_schema(Arc::new(given.as_object().unwrap().clone()));
        let tools = tools.into_iter().chain([halve]).collect();
        std::future::ready(Ok(ListToolsResult::with_all_items(tools)))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = Json::Object(request.arguments.unwrap_or_default());
        let result = match &*request.name {
            "shout" => {
                let text = arguments["text"].as_str().unwrap_or_default().to_uppercase();
                CallToolResult::success(vec![ContentBlock::text(text)])
            }
            "divide" => match (arguments["a"].as_i64(), arguments["b"].as_i64()) {
                (Some(_), Some(0)) => CallToolResult::error(vec![ContentBlock::text("divided by zero")]),
                (Some(a), Some(b)) => CallToolResult::structured(json!({ "quotient": a / b, "rest": a % b })),
                _ => return Err(ErrorData::invalid_params("two numbers are wanted", None)),
            },
            "halve" => match arguments["n"].as_i64() {
                Some(n) if n % 2 == 0 => CallToolResult::structured(json!({ "half": n / 2 })),
                _ => CallToolResult::structured(json!({ "half": "not whole" })),
            },
            _ => std::future::pending().await,
        };
        Ok(result.into())
    }
}

/// The server, on threads of its own; it ends with this value.
pub(crate) struct McpServer {
    address: SocketAddr,
    _runtime: Runtime,
}

impl McpServer {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            let sessions = Arc::new(LocalSessionManager::default());
            let service =
                StreamableHttpService::new(|| Ok(Tools), sessions, StreamableHttpServerConfig::default());
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(service.clone());
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, _runtime: runtime }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}
