//! flowrun runs flows: graphs of steps, declared in YAML, that make datasets with samplers and language models.
//!
//! This library is what a program of one's own is made of: [`standard`] gives the registry of all step types,
//! [`core::registry::Registry::with`] adds one's own, and [`main`] is the whole command line around it.
//!
//! ```no_run
//! use flowrun::prelude::*;
//!
//! fn main() -> ExitCode {
//!     flowrun::main(flowrun::standard())
//! }
//! ```

mod args;
mod commands;
mod host;
mod load;
mod render;
mod report;

pub use flowrun_agentspec as agentspec;
pub use flowrun_core as core;
pub use flowrun_data as data;
pub use flowrun_llm as llm;
pub use flowrun_net as net;
pub use flowrun_steps as steps;
pub use flowrun_stores as stores;
pub use flowrun_tools as tools;
pub use flowrun_yaml as yaml;

use std::ffi::OsString;
use std::process::ExitCode;

use flowrun_core::registry::Registry;

/// What a file with a step type of one's own imports.
pub mod prelude {
    pub use std::process::ExitCode;

    pub use flowrun_core::compile::Scope;
    pub use flowrun_core::diagnostics::Diagnostics;
    pub use flowrun_core::error::StepError;
    pub use flowrun_core::execute::StepCx;
    pub use flowrun_core::late::Late;
    pub use flowrun_core::ports::Ports;
    pub use flowrun_core::registry::Registry;
    pub use flowrun_core::signature::{Port, Signature};
    pub use flowrun_core::step::{Effect, Outcome, Step};
    pub use flowrun_core::tool::{Tool, ToolKind, ToolScope, function};
    pub use flowrun_core::types::Type;
    pub use flowrun_core::value::Value;
    pub use schemars::{self, JsonSchema};
    pub use serde::{self, Deserialize, Serialize};
}

/// The registry of all step types of flowrun.
pub fn standard() -> Registry {
    flowrun_steps::registry().with_error_codes(commands::errors::run_codes())
}

/// The command line around a registry: reads the process's arguments, does what they say and gives the exit code.
#[expect(clippy::needless_pass_by_value, reason = "a program hands its registry over and ends with it")]
pub fn main(registry: Registry) -> ExitCode {
    tell_panics_once();
    main_with(&registry, std::env::args_os())
}

/// A step that panics is told as the error of its run. This keeps Rust's own report of it from standing beside that, unless
/// `RUST_BACKTRACE` asks for it. It sets the panic hook of the process, so it is for programs alone; [`main`] does it.
pub fn tell_panics_once() {
    let asked = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Asked first, because it notes the place.
        if !flowrun_core::execute::panics::is_of_a_step(panic) || asked {
            before(panic);
        }
    }));
}

/// As [`main`], with these arguments; the first one is the program's name. The panic hook stays as it is.
pub fn main_with(registry: &Registry, args: impl IntoIterator<Item = OsString>) -> ExitCode {
    commands::dispatch(registry, args.into_iter().collect())
}
