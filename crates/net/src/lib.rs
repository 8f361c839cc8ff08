//! HTTP requests whose addresses come from flows and from data: what steps and tools send goes through here.
//!
//! ```text
//! parts of an address ── url::assemble ─► Url ─┐
//! Rules (allow list, http, private nets) ──────┼─ Client::send(&Request, &Rules) ─► Response | Error
//! Request (method, headers, body, Limits) ─────┘      └─ tries: the exchange with its redirects, waits between them
//! ```
//!
//! [`url::assemble`] puts values into an address so that none of them can change its host or the form of its path.
//! [`Rules`] judge the address that comes out, each redirect, and the network address that is really connected to:
//! a name is looked up once, and the connection goes to what was checked.
//!
//! Every status is a [`Response`]; what a status means is the caller's business. Failures that may pass are tried again
//! in here. The crate knows nothing of flows, steps or journals.
//!
//! Proxies of the environment are not used: behind a proxy nobody could tell which address a name leads to.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that panics here has failed"))]

pub mod address;
mod client;
mod error;
mod exchange;
pub mod limits;
mod request;
mod resolve;
pub mod retry;
mod rules;
pub mod url;

pub use bytes::Bytes;
pub use client::Client;
pub use error::{Error, ErrorKind};
pub use limits::{Limits, RetryPolicy};
pub use request::{Request, Response, header_name};
pub use reqwest::{Method, StatusCode, Url};
pub use rules::{AllowedUrl, Refused, Rules};
