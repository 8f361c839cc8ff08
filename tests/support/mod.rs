//! A folder to run the program in, a model server to run it against, and the engine without the program.

mod engine;
mod mcp;
mod mock;
mod sandbox;
mod steps;
mod web;

pub(crate) use engine::{Engine, compiled};
pub(crate) use mcp::McpServer;
pub(crate) use mock::Mock;
pub(crate) use sandbox::{Ran, Sandbox, copy_folder, repository, yaml_files};
pub(crate) use steps::{Read, Till, Trace, Turns, registry};
pub(crate) use web::Web;
