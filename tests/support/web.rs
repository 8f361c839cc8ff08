//! A web server beside the test, which itself waits for the program.

use std::borrow::Cow;
use std::sync::LazyLock;

use flowrun_mock_llm::WebServer;
use serde_json::Value as Json;
use tokio::runtime::Runtime;

/// A server on threads of its own; it ends with this value.
pub(crate) struct Web {
    server: WebServer,
    // After the server: its tasks run on it.
    _runtime: Runtime,
}

impl Web {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(WebServer::start()).unwrap();
        Self { server, _runtime: runtime }
    }

    /// Its address, `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// The requests in the order of their arrival.
    pub(crate) fn requests(&self) -> Vec<Json> {
        self.server.requests()
    }

    /// The text with `127.0.0.1:PORT` replaced by the address of a server that all who ask share.
    pub(crate) fn addressed(text: &str) -> Cow<'_, str> {
        const PLACE: &str = "127.0.0.1:PORT";
        static SHARED: LazyLock<Web> = LazyLock::new(Web::start);
        if text.contains(PLACE) {
            text.replace(PLACE, &SHARED.server.address().to_string()).into()
        } else {
            text.into()
        }
    }
}
