//! Everything that needs the whole program, in one binary. Each room has one subject.

#![allow(clippy::unwrap_used, reason = "a test that panics here has failed")]

/// What rooms share: a folder to run in, a model server, the engine by itself, step types to try it with.
mod support;

/// Agents: what the model is told, and what a resume asks again.
mod agent;
/// Documents of Agent Spec: read, run, refused.
mod agentspec;
/// What a person reads who has made a mistake.
mod bad_input;
/// Runs that wait for a person.
mod conversation;
/// Runs that are killed, torn and damaged.
mod crash;
/// Runs that are kept on disk: stopped, changed, resumed.
mod durable;
/// The engine by itself: its rules, its journal, its order.
mod engine;
/// Flows that become documents of Agent Spec, and come back.
mod export;
/// Step types of one's own.
mod extending;
/// Flows run for a program in another language.
mod host;
/// The rules of the house that no lint knows.
mod house;
/// Requests that steps send themselves.
mod http;
/// The main job.
mod justify;
/// Tools of servers that speak MCP.
mod mcp;
/// Models over HTTP that refuse, fail and cut short.
mod models;
/// Datastores on a Postgres server, where there is one.
mod postgres;
/// What is secret stands nowhere.
mod secrets;
/// Datastores and search.
mod stores;
/// The program at a terminal.
#[cfg(unix)]
mod terminal;
/// Tools: what is called, kept, killed and asked about.
mod tools;
/// Each step type with what is wrong.
mod wrong_steps;
