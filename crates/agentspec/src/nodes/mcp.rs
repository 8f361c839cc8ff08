//! Tools of MCP servers, and the toolboxes that list them.

use flowrun_core::diagnostics::Diagnostic;
use flowrun_core::node::{Node, NodeKind};

use super::tool::Known;
use crate::codes;
use crate::component::{Component, TOOL_SPECS, TOOLBOXES, TRANSPORTS, unsupported};
use crate::config::{Config, mapping, text};
use crate::document::first_line;
use crate::import::Importer;

/// What every program is given of the environment, as the clients of other runtimes do.
const USUAL_ENVIRONMENT: &[&str] = &["HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER"];

impl<'a> Importer<'a> {
    pub(super) fn mcp_tool(&self, c: Component<'a>) -> Option<Known> {
        let own = ["client_transport", "inputs", "outputs", "requires_confirmation", "retry_policy"];
        self.doc.known_fields(c, &own);
        self.not_retried(c);
        let ports = self.tool_ports(c);
        let config = self.server(c, c.name(), c)?;
        let name = self.define_tool(c, "mcp", config, &ports, self.confirmed(c))?;
        Some((name, ports.inputs, ports.outputs))
    }

    /// One tool of a toolbox, with ports of its own.
    pub(super) fn tool_from_toolbox(&self, c: Component<'a>) -> Option<Known> {
        self.doc.known_fields(c, &["tool_name", "toolbox", "inputs", "outputs", "requires_confirmation"]);
        let named = self.doc.needed_text(c, "tool_name");
        let toolbox = self.doc.needed(c, "toolbox", &TOOLBOXES)?;
        let named = named?.as_str().unwrap_or_default();
        let ports = self.tool_ports(c);
        let config = self.server(toolbox, named, c)?;
        let confirm = self.confirmed(c) || self.confirmed(toolbox);
        let name = self.define_tool(c, "mcp", config, &ports, confirm)?;
        Some((name, ports.inputs, ports.outputs))
    }

    /// The names of the tools of a toolbox, which has to say what each takes: nothing is asked of a server before a run.
    pub(super) fn toolbox(&self, c: Component<'a>) -> Option<Vec<String>> {
        if c.kind == "PluginToolBox" {
            self.doc.report(unsupported(c));
            return None;
        }
        self.doc.known_fields(c, &["client_transport", "tool_filter", "requires_confirmation", "retry_policy"]);
        self.not_retried(c);
        if c.entry("tool_filter").is_none() {
            let message = format!("`{}` does not say which tools it has", c.name());
            self.unlisted(message, c.name_span());
            return None;
        }
        let every = self.confirmed(c);
        let mut names = Vec::new();
        let mut fine = true;
        for item in self.doc.list(c, "tool_filter") {
            if let Some(name) = item.as_str() {
                self.unlisted(format!("`{}` does not say what its tool `{name}` takes", c.name()), &item.span);
                fine = false;
                continue;
            }
            let defined = self.doc.component(item, "tool_filter", &TOOL_SPECS).and_then(|tool| {
                self.doc.known_fields(tool, &["inputs", "outputs", "requires_confirmation"]);
                let config = self.server(c, tool.name(), tool)?;
                let confirm = every || self.confirmed(tool);
                self.define_tool(tool, "mcp", config, &self.tool_ports(tool), confirm)
            });
            match defined {
                Some(name) => names.push(name),
                None => fine = false,
            }
        }
        fine.then_some(names)
    }

    fn unlisted(&self, message: String, span: &flowrun_core::diagnostics::Span) {
        let wrong = Diagnostic::error(codes::UNSUPPORTED, message, &first_line(span));
        let help = "list each of its tools as an `MCPToolSpec` with its `inputs`; no server is asked for them";
        self.doc.report(wrong.help(help));
    }

    fn not_retried(&self, c: Component<'a>) {
        if c.entry("retry_policy").is_some() {
            let message =
                format!("`retry_policy` of `{}` has no effect: calls of servers are made once", c.name());
            self.doc.warn(codes::NO_EFFECT, message, c.span_of("retry_policy"));
        }
    }

    /// The configuration of a tool of the server that `owner` names; `tool` may say more in our own metadata.
    fn server(&self, owner: Component<'a>, name: &str, tool: Component<'a>) -> Option<Config> {
        let transport = self.doc.needed(owner, "client_transport", &TRANSPORTS)?;
        let mut config = Config::new(&first_line(tool.name_span()));
        config.set("tool", name);
        match transport.kind {
            "StdioTransport" | "PluginStdioTransport" => self.program(transport, &mut config)?,
            "StreamableHTTPTransport" | "PluginStreamableHTTPTransport" => self.remote(transport, &mut config)?,
            kind => {
                let wrong = unsupported(transport);
                let wrong = if kind.contains("SSE") {
                    wrong
                        .help("most servers speak streamable HTTP too: `StreamableHTTPTransport`, often at `/mcp`")
                } else {
                    wrong
                };
                self.doc.report(wrong);
                return None;
            }
        }
        if let Some(session) = self.doc.get(transport, "session_parameters")
            && let Some(seconds) = session.get("read_timeout_seconds")
        {
            config.put("timeout", seconds.clone());
        }
        for more in [transport, tool] {
            self.own_config(more, &mut config);
        }
        Some(config)
    }

    /// A program that speaks MCP.
    fn program(&self, c: Component<'a>, config: &mut Config) -> Option<()> {
        let plugin = ["encoding", "encoding_error_handler"];
        let own = ["command", "args", "env", "cwd", "session_parameters"];
        let fields: Vec<&str> =
            if c.kind == "StdioTransport" { own.to_vec() } else { own.into_iter().chain(plugin).collect() };
        self.doc.known_fields(c, &fields);
        if let Some(encoding) = self.doc.text(c, "encoding").and_then(Node::as_str)
            && !["utf-8", "utf8"].contains(&encoding.to_ascii_lowercase().as_str())
        {
            self.unsupported_value(c, "encoding", encoding);
        }
        let command = self.doc.needed_text(c, "command")?;
        let mut words = vec![command.clone()];
        for item in self.doc.list(c, "args") {
            match self.doc.resolve(item) {
                Some(word) if word.as_str().is_some() => words.push(word.clone()),
                _ => self.doc.wrong_field("args", "a list of texts", item),
            }
        }
        config.put("command", Node::new(NodeKind::List(words), command.span.clone()));
        let set: Vec<(String, Node)> = self
            .doc
            .texts(c, "env")
            .into_iter()
            .map(|(e, value)| (e.key.to_string(), text(value, &e.key_span)))
            .collect();
        let usual = USUAL_ENVIRONMENT.iter().filter(|name| self.doc.is_set(name));
        let usual = usual.filter(|name| set.iter().all(|(given, _)| given != *name));
        let usual = usual.map(|name| text(*name, c.span)).collect();
        config.put("env", Node::new(NodeKind::List(usual), c.span.clone()));
        if !set.is_empty() {
            config.put("set_env", mapping(set, &first_line(c.span_of("env"))));
        }
        if let Some(folder) = self.doc.text(c, "cwd") {
            config.put("cwd", folder.clone());
        }
        Some(())
    }

    /// A server over HTTP.
    fn remote(&self, c: Component<'a>, config: &mut Config) -> Option<()> {
        let own = ["url", "auth", "headers", "sensitive_headers", "retry_policy", "session_parameters"];
        let plugin = ["timeout", "sse_read_timeout"];
        let fields: Vec<&str> =
            if c.kind.starts_with("Plugin") { own.into_iter().chain(plugin).collect() } else { own.to_vec() };
        self.doc.known_fields(c, &fields);
        self.not_retried(c);
        let url = self.doc.needed_text(c, "url")?;
        config.put("url", url.clone());
        if let Some(auth) = c.entry("auth") {
            let auth = self.doc.any_component(&auth.value, "auth", "how a client says who it is")?;
            self.doc.report(unsupported(auth).help("a token may stand in `sensitive_headers`"));
            return None;
        }
        let texts = self.doc.texts(c, "headers");
        if !texts.is_empty() {
            let each = texts.into_iter().map(|(e, value)| (e.key.to_string(), text(value, &e.value.span)));
            config.put("headers", mapping(each, c.span_of("headers")));
        }
        if let Some((at, secret)) = self.sensitive_headers(c) {
            let each = secret.entries().unwrap_or_default().iter().map(|e| (e.key.to_string(), e.value.clone()));
            config.put("sensitive_headers", mapping(each, &at.key_span));
        }
        if let Some(seconds) = self.doc.get(c, "timeout").filter(|_| c.kind.starts_with("Plugin")) {
            config.put("timeout", seconds.clone());
        }
        Some(())
    }
}
