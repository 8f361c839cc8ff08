//! A model server beside the test, which itself waits for the program.

use flowrun_mock_llm::{Counters, MockServer, Plan, Recorded};
use tokio::runtime::Runtime;

/// A server on threads of its own; it ends with this value.
pub(crate) struct Mock {
    server: MockServer,
    // After the server: its tasks run on it.
    _runtime: Runtime,
}

impl Mock {
    /// The key that the program is given. It must turn up nowhere but in the requests.
    pub(crate) const KEY: &str = "sk-test-0123456789abcdef";

    pub(crate) fn start(plan: Plan) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(MockServer::start(plan)).unwrap();
        Self { server, _runtime: runtime }
    }

    pub(crate) fn base_url(&self) -> String {
        self.server.base_url()
    }

    pub(crate) fn counters(&self) -> Counters {
        self.server.counters()
    }

    /// The requests in the order of their arrival.
    pub(crate) fn recorded(&self) -> Vec<Recorded> {
        self.server.recorded()
    }
}
