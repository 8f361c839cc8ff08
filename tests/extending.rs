//! A step type of one's own: what the page says is what the compiler sees, and it runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use flowrun::core::compile::compile;
use flowrun::core::execute::{Resources, Run, RunOptions, bind, execute};
use flowrun::core::registry::Registry;
use flowrun::core::value::Value;
use flowrun::llm::{Binder, Environment, HttpClient, ModelConfig};
use flowrun::prelude::*;
use flowrun::steps::Models;
use flowrun::yaml::{ParseOptions, parse};

use crate::support::repository;

/// The example itself: its step type is the one that is tested here.
#[expect(dead_code, reason = "its `main` is a program's")]
#[path = "../examples/custom_step.rs"]
mod custom_step;
