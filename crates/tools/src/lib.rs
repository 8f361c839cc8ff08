//! Tools that reach outside of flowrun: programs that speak JSON lines, and servers that speak MCP.
//!
//! A tool is defined by its kind's configuration ([`exec`], [`mcp`]), which a flow holds; what it needs while it is
//! called, a [`Pool`] of processes or a connection, is opened by the first call and closed with the run.

pub mod exec;
pub mod host;
pub mod mcp;
mod process;

pub use exec::Exec;
pub use host::HostFunction;
pub use mcp::Mcp;
pub use process::{Call, Description, Pool, Program, Reply, describe};
