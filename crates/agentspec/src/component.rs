//! A component and its fields, read with places.

use flowrun_core::diagnostics::{Diagnostic, Span};
use flowrun_core::node::{Entry, Node, NodeKind};

use crate::codes;
use crate::document::{Document, REFERENCE, REFERENCED, first_line};

/// Fields that every component has.
const BASE: &[&str] = &[
    "component_type",
    "id",
    "name",
    "description",
    "metadata",
    "agentspec_version",
    "air_version",
    "component_plugin_name",
    "component_plugin_version",
    REFERENCED,
    REFERENCE,
];

/// Kinds of components that a field takes.
pub(crate) struct Family {
    /// What they are, with an article.
    pub(crate) what: &'static str,
    /// Their types.
    pub(crate) kinds: &'static [&'static str],
}

pub(crate) const FLOWS: Family = Family { what: "a flow", kinds: &["Flow", "ExtendedFlow"] };

pub(crate) const LLMS: Family = Family {
    what: "an LLM configuration",
    kinds: &[
        "LlmConfig",
        "OpenAiCompatibleConfig",
        "VllmConfig",
        "OllamaConfig",
        "OpenAiConfig",
        "OciGenAiConfig",
        "GeminiConfig",
        "DbmsVectorChainLlmConfig",
    ],
};

pub(crate) const DATASTORES: Family = Family {
    what: "a datastore",
    kinds: &[
        "InMemoryCollectionDatastore",
        "PluginInMemoryDatastore",
        "PostgresDatabaseDatastore",
        "OracleDatabaseDatastore",
        "PluginOracleDatabaseDatastore",
        "PluginPostgresDatabaseDatastore",
    ],
};

pub(crate) const CONTROL_EDGES: Family = Family { what: "a control flow edge", kinds: &["ControlFlowEdge"] };
pub(crate) const DATA_EDGES: Family = Family { what: "a data flow edge", kinds: &["DataFlowEdge"] };

pub(crate) const PROVIDERS: Family = Family {
    what: "a context provider",
    kinds: &["PluginConstantContextProvider", "PluginToolContextProvider", "PluginFlowContextProvider"],
};

pub(crate) const PROMPTS: Family = Family { what: "a prompt template", kinds: &["PluginPromptTemplate"] };

pub(crate) const TOOLS: Family = Family {
    what: "a tool",
    kinds: &[
        "ServerTool",
        "ClientTool",
        "RemoteTool",
        "MCPTool",
        "PluginMCPTool",
        "BuiltinTool",
        "PluginToolFromToolBox",
    ],
};

pub(crate) const AGENTS: Family = Family { what: "an agent", kinds: &["Agent", "ExtendedAgent"] };

pub(crate) const TOOLBOXES: Family =
    Family { what: "a toolbox", kinds: &["MCPToolBox", "PluginMCPToolBox", "PluginToolBox"] };

pub(crate) const TOOL_SPECS: Family =
    Family { what: "a tool of a toolbox", kinds: &["MCPToolSpec", "PluginMCPToolSpec"] };

pub(crate) const TRANSPORTS: Family = Family {
    what: "a transport",
    kinds: &[
        "StdioTransport",
        "PluginStdioTransport",
        "StreamableHTTPTransport",
        "PluginStreamableHTTPTransport",
        "StreamableHTTPmTLSTransport",
        "PluginStreamableHTTPmTLSTransport",
        "SSETransport",
        "PluginSSETransport",
        "SSEmTLSTransport",
        "PluginSSEmTLSTransport",
    ],
};

pub(crate) const CONNECTIONS: Family =
    Family { what: "a connection", kinds: &["TlsPostgresDatabaseConnectionConfig"] };

/// A component of a document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Component<'a> {
    /// Its mapping.
    pub(crate) node: &'a Node,
    /// Its type.
    pub(crate) kind: &'a str,
    /// Where its type stands.
    pub(crate) span: &'a Span,
}

impl<'a> Component<'a> {
    /// Its name, or its type where it has none.
    pub(crate) fn name(&self) -> &'a str {
        self.node.get("name").and_then(Node::as_str).filter(|name| !name.trim().is_empty()).unwrap_or(self.kind)
    }

    /// Where its name stands, else its type.
    pub(crate) fn name_span(&self) -> &'a Span {
        self.node.get("name").map_or(self.span, |name| &name.span)
    }

    pub(crate) fn id(&self) -> Option<&'a str> {
        self.node.get("id").and_then(Node::as_str)
    }

    pub(crate) fn description(&self) -> Option<String> {
        let text = self.node.get("description").and_then(Node::as_str)?;
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Which component it is: there is one for each mapping of the document.
    pub(crate) fn identity(&self) -> usize {
        std::ptr::from_ref(self.node).addr()
    }

    /// Where a field stands, else the component.
    pub(crate) fn span_of(&self, field: &str) -> &'a Span {
        self.node.entry(field).map_or(self.span, |entry| &entry.key_span)
    }

    /// A field's entry; nothing where it is missing or null.
    pub(crate) fn entry(&self, field: &str) -> Option<&'a Entry> {
        self.node.entry(field).filter(|entry| entry.value.kind != NodeKind::Null)
    }

    /// What stands under our own key of its metadata.
    pub(crate) fn own(&self, key: &str) -> Option<&'a Node> {
        self.node.get("metadata")?.get("flowrun")?.get(key)
    }
}

impl<'a> Document<'a> {
    /// The component at a node, which must be of a family.
    pub(crate) fn component(&self, node: &'a Node, field: &str, family: &Family) -> Option<Component<'a>> {
        let found = self.any_component(node, field, family.what)?;
        if family.kinds.contains(&found.kind) {
            return Some(found);
        }
        let at = first_line(&node.span);
        let wrong = if crate::nodes::is_known(found.kind) {
            let message =
                format!("`{field}` is {} `{}`, where {} belongs", article(found.kind), found.kind, family.what);
            Diagnostic::error(codes::WRONG_COMPONENT, message, &at)
        } else {
            unsupported(found)
        };
        self.report(wrong);
        None
    }

    /// The component at a node, of whatever type.
    pub(crate) fn any_component(&self, node: &'a Node, field: &str, what: &str) -> Option<Component<'a>> {
        let resolved = self.resolve(node)?;
        let kind = resolved.get("component_type");
        match kind.and_then(Node::as_str) {
            Some(word) => {
                Some(Component { node: resolved, kind: word, span: kind.map_or(&node.span, |k| &k.span) })
            }
            None => {
                let message = format!("`{field}` has no `component_type`, where {what} belongs");
                self.error(codes::WRONG_COMPONENT, message, &first_line(&node.span));
                None
            }
        }
    }

    /// Warns of fields that a component does not have, and refuses one without a name.
    pub(crate) fn known_fields(&self, c: Component<'a>, own: &[&str]) {
        for entry in c.node.entries().unwrap_or_default() {
            if !BASE.contains(&&*entry.key) && !own.contains(&&*entry.key) {
                let message = format!("{} `{}` has no field `{}`", article(c.kind), c.kind, entry.key);
                let known = own.iter().chain(BASE).copied();
                let warning = Diagnostic::warning(codes::UNKNOWN_FIELD, message, &entry.key_span);
                self.report(warning.suggest(&entry.key, known));
            }
        }
        // Exporters write an empty name where somebody gave none.
        if c.node.get("name").and_then(Node::as_str).is_none() {
            let message = format!("this `{}` has no `name`", c.kind);
            self.error(codes::MISSING, message, c.span);
        }
    }

    /// A field's value, references resolved; nothing where it is missing or null.
    pub(crate) fn get(&self, c: Component<'a>, field: &str) -> Option<&'a Node> {
        let node = self.resolve(&c.entry(field)?.value)?;
        (node.kind != NodeKind::Null).then_some(node)
    }

    pub(crate) fn missing(&self, c: Component<'a>, field: &str) {
        let message = format!("`{}` has no `{field}`, which {} `{}` needs", c.name(), article(c.kind), c.kind);
        self.error(codes::MISSING, message, c.name_span());
    }

    pub(crate) fn wrong_field(&self, field: &str, wanted: &str, node: &Node) {
        let message = format!("`{field}` is {wanted}, not a {}", node.type_name());
        self.error(codes::WRONG_FIELD, message, &first_line(&node.span));
    }

    /// A text; nothing where there is none.
    pub(crate) fn text(&self, c: Component<'a>, field: &str) -> Option<&'a Node> {
        let node = self.get(c, field)?;
        if node.as_str().is_none() {
            self.wrong_field(field, "a text", node);
            return None;
        }
        Some(node)
    }

    /// A text that has to be there.
    pub(crate) fn needed_text(&self, c: Component<'a>, field: &str) -> Option<&'a Node> {
        if c.entry(field).is_none() {
            self.missing(c, field);
            return None;
        }
        self.text(c, field)
    }

    pub(crate) fn flag(&self, c: Component<'a>, field: &str, default: bool) -> bool {
        match self.get(c, field) {
            None => default,
            Some(Node { kind: NodeKind::Bool(flag), .. }) => *flag,
            Some(node) => {
                self.wrong_field(field, "true or false", node);
                default
            }
        }
    }

    /// A whole number within bounds.
    pub(crate) fn whole(&self, c: Component<'a>, field: &str, least: i64, most: i64) -> Option<i64> {
        let node = self.get(c, field)?;
        match node.kind {
            NodeKind::Int(n) if (least..=most).contains(&n) => Some(n),
            NodeKind::Int(n) => {
                let message = format!("`{field}` is {n}, and must be from {least} to {most}");
                self.error(codes::WRONG_FIELD, message, &node.span);
                None
            }
            _ => {
                self.wrong_field(field, "a whole number", node);
                None
            }
        }
    }

    /// The items of a list; none where it is missing.
    pub(crate) fn list(&self, c: Component<'a>, field: &str) -> &'a [Node] {
        match self.get(c, field) {
            None => &[],
            Some(node) => node.items().unwrap_or_else(|| {
                self.wrong_field(field, "a list", node);
                &[]
            }),
        }
    }

    /// The entries of a mapping; none where it is missing.
    pub(crate) fn map(&self, c: Component<'a>, field: &str) -> &'a [Entry] {
        match self.get(c, field) {
            None => &[],
            Some(node) => node.entries().unwrap_or_else(|| {
                self.wrong_field(field, "a mapping", node);
                &[]
            }),
        }
    }

    /// The entries of a mapping whose values are texts.
    pub(crate) fn texts(&self, c: Component<'a>, field: &str) -> Vec<(&'a Entry, &'a str)> {
        let mut texts = Vec::new();
        for entry in self.map(c, field) {
            match self.resolve(&entry.value).and_then(Node::as_str) {
                Some(text) => texts.push((entry, text)),
                None => self.wrong_field(&entry.key, "a text", &entry.value),
            }
        }
        texts
    }

    /// The component in a field that has to be there.
    pub(crate) fn needed(&self, c: Component<'a>, field: &str, family: &Family) -> Option<Component<'a>> {
        match c.entry(field) {
            Some(entry) => self.component(&entry.value, field, family),
            None => {
                self.missing(c, field);
                None
            }
        }
    }
}

/// That a component has no counterpart here.
pub(crate) fn unsupported(c: Component<'_>) -> Diagnostic {
    let message = format!("`{}` is {} `{}`, which is not supported here", c.name(), article(c.kind), c.kind);
    Diagnostic::error(codes::UNSUPPORTED, message, c.span)
}

/// `a` or `an`.
pub(crate) fn article(word: &str) -> &'static str {
    if word.starts_with(['A', 'E', 'I', 'O', 'a', 'e', 'i', 'o']) { "an" } else { "a" }
}
