//! What the requests of a host may say.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::wire::RpcError;

/// Reads parameters; what is unknown or of a wrong type is told.
pub(super) fn read<T: DeserializeOwned>(params: Value) -> Result<T, RpcError> {
    serde_json::from_value(params).map_err(|e| RpcError::params("params", e.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Load {
    /// The document.
    pub(super) text: String,
    #[serde(default)]
    pub(super) format: Option<Format>,
    /// What its paths are relative to; the working folder where nothing is said.
    #[serde(default)]
    pub(super) base_dir: Option<PathBuf>,
    /// The functions that the host lends.
    #[serde(default)]
    pub(super) tools: Vec<String>,
    #[serde(default)]
    pub(super) components: Map<String, Value>,
    #[serde(default)]
    pub(super) options: LoadOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    Native,
    Agentspec,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LoadOptions {
    /// Says nothing here: no server of MCP is refused because nobody says who asks.
    pub(super) allow_unauthenticated_mcp: bool,
    pub(super) allow_stdio_mcp: bool,
    pub(super) allow_private_addresses: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    pub(super) flow: Value,
    #[serde(default)]
    pub(super) inputs: Map<String, Value>,
    #[serde(default)]
    pub(super) options: StartOptions,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StartOptions {
    pub(super) seed: Option<u64>,
    pub(super) parallel: Option<usize>,
    /// The folder that keeps the run; without one nothing outlives the process.
    pub(super) run_dir: Option<PathBuf>,
    /// Who answers for a model, by its name: `openai:NAME`, `openai` or `offline`.
    pub(super) models: BTreeMap<String, String>,
    pub(super) events: bool,
}

/// A request about a run alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfRun {
    pub(super) run: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reply {
    pub(super) run: Value,
    pub(super) message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolResult {
    pub(super) run: Value,
    pub(super) id: String,
    #[serde(default, deserialize_with = "present")]
    pub(super) value: Option<Value>,
    #[serde(default)]
    pub(super) error: Option<Failure>,
}

/// Why a tool gave nothing.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Failure {
    Text(String),
    Class {
        #[serde(rename = "type")]
        class: String,
        message: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirm {
    pub(super) run: Value,
    pub(super) id: String,
    pub(super) accept: bool,
    #[serde(default)]
    pub(super) arguments: Option<Map<String, Value>>,
    #[serde(default)]
    pub(super) reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Close {
    #[serde(default)]
    pub(super) run: Option<Value>,
    #[serde(default)]
    pub(super) flow: Option<Value>,
}

/// A null is a value.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
