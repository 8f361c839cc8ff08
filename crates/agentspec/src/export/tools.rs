//! Tools as components: a request is a `RemoteTool`, a tool of a server an `MCPTool`, every other one is named, and what it does
//! stands under our own key.

use flowrun_core::diagnostics::Spanned;
use flowrun_core::flow::{Flow, ProviderSource};
use flowrun_core::node::{Node, NodeKind};
use flowrun_core::signature::Port;
use flowrun_core::spec::{ContextSpec, Provider, ToolSpec};
use flowrun_core::tool::ToolDefinition;
use serde_json::{Map, Value as Json, json};

use super::node::{Keys, component};
use super::secrets::{is_secret, json_of};
use super::{Env, Exporter, properties};

/// A tool's component that is being made.
struct Draft {
    map: Map<String, Json>,
    /// Keys of the configuration that its fields say.
    said: Vec<&'static str>,
    /// Keys that are the same where a configuration does not say them, and that reading would set.
    absent: Vec<(&'static str, Json)>,
    /// What stands under our own key.
    beside: Map<String, Json>,
}

impl Exporter<'_> {
    /// A tool, as a step or an agent calls it.
    pub(crate) fn tool(&mut self, env: &Env<'_>, name: &str, definition: &std::sync::Arc<ToolDefinition>) -> Json {
        let owner = env.chain().find(|env| env.spec.tools.iter().any(|tool| tool.name.value == name));
        let spec = owner.and_then(|env| env.spec.tools.iter().find(|tool| tool.name.value == name));
        match (owner, spec) {
            (Some(owner), Some(spec)) => {
                self.defined(spec, name, |me, id| me.tool_component(owner, id, spec, definition))
            }
            // One that the program has.
            _ => self.defined(&**definition, name, |_, id| plain_tool("ServerTool", id, name, definition)),
        }
    }

    fn tool_component(
        &mut self,
        env: &Env<'_>,
        id: &str,
        spec: &ToolSpec,
        definition: &ToolDefinition,
    ) -> Map<String, Json> {
        let kind = spec.kind.value.as_str();
        let mut draft = match kind {
            "http" => self.remote_tool(id, spec, definition),
            "mcp" => self.mcp_tool(id, spec, definition),
            _ => named_tool(id, spec, definition),
        };
        if definition.confirm {
            draft.map.insert("requires_confirmation".into(), json!(true));
            draft.beside.insert("confirm".into(), json!(true));
            let name = &spec.name;
            self.needs("25.4.2", format!("the tool `{}`, which is confirmed,", name.value), &name.span);
        }
        if let Some(flow) = definition.tool.flow()
            && let Some(around) = spec.config.get("flow").and_then(Node::as_str).and_then(|name| env.flow(name))
        {
            draft.beside.insert("flow".into(), self.flow(&around, flow));
        }
        let listed = [("arguments", spec.arguments.is_some()), ("results", spec.results.is_some())];
        let unlisted: Vec<&str> = listed.iter().filter(|(_, is)| !is).map(|(what, _)| *what).collect();
        if !unlisted.is_empty() && !["host", "client"].contains(&kind) {
            // What the tool says itself.
            draft.beside.insert("unlisted".into(), json!(unlisted));
        }
        if !definition.idempotent {
            draft.beside.insert("idempotent".into(), json!(false));
        }
        self.carry_tool(id, spec, &mut draft);
        if !draft.beside.is_empty() {
            draft.map.insert("metadata".into(), json!({ "flowrun": draft.beside }));
        }
        draft.map
    }

    /// Keeps under our own key what no field says.
    fn carry_tool(&mut self, id: &str, spec: &ToolSpec, draft: &mut Draft) {
        let mut own = draft.beside.remove("config").and_then(|own| own.as_object().cloned()).unwrap_or_default();
        for entry in spec.config.entries().unwrap_or_default() {
            if draft.said.contains(&&*entry.key) {
                continue;
            }
            let value = if is_secret(&entry.key) && entry.value.kind != NodeKind::Null {
                self.secret(id, &entry.key, &entry.key_span)
            } else {
                self.without_secrets(id, &entry.value)
            };
            own.insert(entry.key.to_string(), value);
        }
        for (key, value) in &draft.absent {
            if spec.config.get(key).is_none() {
                own.insert((*key).to_owned(), value.clone());
            }
        }
        if !own.is_empty() {
            draft.beside.insert("config".into(), Json::Object(own));
        }
    }

    fn remote_tool(&mut self, id: &str, spec: &ToolSpec, definition: &ToolDefinition) -> Draft {
        let request = self.request(Keys(&spec.config), id, &spec.name);
        let mut map = plain_tool("RemoteTool", id, &spec.name.value, definition);
        map.extend(request.fields);
        let mut beside = Map::new();
        if !request.without.is_empty() {
            beside.insert("without".into(), json!(request.without));
        }
        Draft { map, said: request.said, absent: Vec::new(), beside }
    }

    fn mcp_tool(&mut self, id: &str, spec: &ToolSpec, definition: &ToolDefinition) -> Draft {
        let keys = Keys(&spec.config);
        let name = &spec.name.value;
        let on_server = keys.text("tool").unwrap_or(name);
        let mut map = plain_tool("MCPTool", id, on_server, definition);
        let mut beside = Map::new();
        if on_server != name {
            beside.insert("name".into(), json!(name));
        }
        let transport_id = self.id(&format!("{id} transport"));
        let transport_name = format!("{name} transport");
        let mut said = vec!["tool"];
        let mut absent = Vec::new();
        let mut transport = if let Some(url) = keys.text("url") {
            let mut map = component("StreamableHTTPTransport", &transport_id, &transport_name, None);
            map.insert("url".into(), json!(url));
            said.push("url");
            if let Some(headers) = keys.key("headers") {
                map.insert("headers".into(), json_of(headers));
                said.push("headers");
            }
            if let Some(headers) = keys.key("sensitive_headers") {
                let found = self.secret(&transport_id, "sensitive_headers", &headers.span);
                map.insert("sensitive_headers".into(), found);
                said.push("sensitive_headers");
                self.needs("25.4.2", format!("`{name}`, with sensitive headers,"), &spec.name.span);
            }
            map
        } else {
            let mut map = component("StdioTransport", &transport_id, &transport_name, None);
            let mut words = keys.items("command").iter().map(json_of);
            map.insert("command".into(), words.next().unwrap_or_default());
            map.insert("args".into(), words.collect());
            said.push("command");
            if let Some(folder) = keys.text("cwd") {
                map.insert("cwd".into(), json!(folder));
                said.push("cwd");
            }
            // A program is given nothing of the environment here that is not named.
            absent.push(("env", json!([])));
            map
        };
        if let Some(seconds) = keys.key("timeout") {
            transport.insert("session_parameters".into(), json!({ "read_timeout_seconds": json_of(seconds) }));
            said.push("timeout");
        }
        map.insert("client_transport".into(), Json::Object(transport));
        Draft { map, said, absent, beside }
    }

    /// The tool of a context provider, and what it gives.
    pub(crate) fn provider_tool(
        &mut self,
        env: &Env<'_>,
        flow: &Flow,
        written: &ContextSpec,
        tool: &Spanned<String>,
    ) -> Option<(Json, Port)> {
        let provider = flow.providers.iter().find(|provider| *provider.name == *written.name.value)?;
        let ProviderSource::Tool(definition) = &provider.source else { return None };
        let wanted = match &written.provider {
            Provider::Tool { output, .. } => output.as_ref().map(|output| output.value.as_str()),
            _ => None,
        };
        let port = definition.results.iter().find(|port| wanted.is_none_or(|name| port.name == name))?;
        let port = port.clone();
        Some((self.tool(env, &tool.value, definition), port))
    }
}

/// A tool whose component says nothing of what it does.
fn named_tool(id: &str, spec: &ToolSpec, definition: &ToolDefinition) -> Draft {
    let kind = spec.kind.value.as_str();
    let map =
        plain_tool(if kind == "client" { "ClientTool" } else { "ServerTool" }, id, &spec.name.value, definition);
    let mut beside = Map::new();
    if kind != "host" {
        beside.insert("config".into(), json!({ "type": kind }));
    }
    Draft { map, said: Vec::new(), absent: Vec::new(), beside }
}

fn plain_tool(kind: &str, id: &str, name: &str, definition: &ToolDefinition) -> Map<String, Json> {
    let mut map = component(kind, id, name, definition.description.as_deref());
    let ports = |ports: &[Port]| -> Json { ports.iter().map(|port| properties::port(&port.name, port)).collect() };
    map.insert("inputs".into(), ports(&definition.arguments));
    map.insert("outputs".into(), ports(&definition.results));
    map
}
