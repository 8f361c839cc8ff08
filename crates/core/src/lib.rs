//! The engine of flowrun: values, tables, types, steps, the compiled flow and the loop that walks it.
//!
//! The way of a flow: a document is parsed to a [`spec::FlowSpec`] (by another crate, or built in Rust), compiled to a
//! [`flow::Flow`] by [`compile::compile`], given its inputs by [`execute::bind`], and walked by [`execute::execute`].

pub mod address;
pub mod cast;
pub mod compile;
pub mod conversation;
pub mod diagnostics;
pub mod error;
pub mod events;
pub mod execute;
pub mod feeds;
pub mod flow;
pub mod journal;
pub mod late;
pub mod node;
pub mod ports;
pub mod registry;
pub mod schema;
pub mod secrets;
pub mod seed;
pub mod signature;
pub mod spec;
pub mod step;
pub mod table;
pub mod template;
pub mod tool;
pub mod types;
pub mod value;
pub mod variable;
pub mod words;
