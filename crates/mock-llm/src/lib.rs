//! A model server for tests and benches: OpenAI-compatible, on loopback, fast, and repeatable.
//!
//! It answers `POST /v1/chat/completions` (whole or as server-sent events) and `GET /v1/models`, and tells
//! what it saw at `GET /counters`; `POST /reset` starts the counting anew.
//!
//! [`WebServer`] stands beside it, for steps and tools that send requests of their own.
//!
//! Two things are kept apart, because a run that is killed and resumed must be comparable with one that is not:
//!
//! * **What it answers** depends on the request alone: its body and its `X-Client-Request-Id`. The same call
//!   gets the same text, a row that is tried again under a new identity can get another one.
//! * **How it misbehaves** (latency, faults) depends on the [`Plan`] and on the number under which a request
//!   arrives, never on what it says.
//!
//! ```no_run
//! # async fn example() -> Result<(), flowrun_mock_llm::StartError> {
//! use flowrun_mock_llm::{FaultKind, MockServer, Plan};
//!
//! let server = MockServer::start(Plan::failing([FaultKind::Status(503)])).await?;
//! let address = server.base_url(); // http://127.0.0.1:PORT/v1
//! assert_eq!(server.counters().requests, 0);
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that panics here has failed"))]

mod counters;
mod draw;
mod embed;
mod exchange;
mod instance;
mod plan;
mod replies;
mod server;
mod web;

pub use counters::{Counters, Recorded};
pub use plan::{FaultKind, FaultKindError, Faults, Latency, Plan, Rule, Verdicts};
pub use server::{MockServer, StartError};
pub use web::WebServer;
