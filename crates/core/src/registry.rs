//! The registry: the one table of step types. Help, documentation, schema and completion are read off it.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::compile::codes::BAD_TOOL;
use crate::diagnostics::Diagnostics;
use crate::node::{Node, NodeError};
use crate::spec::{RESERVED_STEP_KEYS, RESERVED_TOOL_KEYS};
use crate::step::{AnyStep, DocumentedPorts, Effect, Step};
use crate::tool::{Tool, ToolDefinition, ToolKind, ToolScope};

/// A step type as the registry knows it.
#[derive(Clone)]
pub struct StepType {
    /// Its name in flow files.
    pub name: &'static str,
    /// What a resume does about it.
    pub effect: Effect,
    /// An example in YAML.
    pub example: &'static str,
    /// The JSON schema of its configuration; its description is the type's own doc comment.
    pub schema: Arc<Json>,
    /// Its ports in words.
    pub ports: DocumentedPorts,
    decode: fn(&Node) -> Result<Arc<dyn AnyStep>, NodeError>,
}

impl StepType {
    /// The first paragraph of its doc comment.
    pub fn doc(&self) -> &str {
        self.schema.get("description").and_then(Json::as_str).unwrap_or_default()
    }

    pub(crate) fn decode(&self, config: &Node) -> Result<Arc<dyn AnyStep>, NodeError> {
        (self.decode)(config)
    }
}

type DecodeTool = fn(&Node, &ToolScope<'_>) -> Result<Arc<dyn Tool>, Diagnostics>;

/// A kind of tool as the registry knows it.
#[derive(Clone)]
pub struct ToolType {
    /// Its name in flow files.
    pub name: &'static str,
    /// The JSON schema of its configuration; its description is the type's own doc comment.
    pub schema: Arc<Json>,
    decode: DecodeTool,
}

impl ToolType {
    /// Its doc comment.
    pub fn doc(&self) -> &str {
        self.schema.get("description").and_then(Json::as_str).unwrap_or_default()
    }

    pub(crate) fn decode(&self, config: &Node, scope: &ToolScope<'_>) -> Result<Arc<dyn Tool>, Diagnostics> {
        (self.decode)(config, scope)
    }
}

type DecodeModel = fn(&Node) -> Result<Arc<dyn Any + Send + Sync>, NodeError>;

fn decode<T: DeserializeOwned + Send + Sync + 'static>(
    node: &Node,
) -> Result<Arc<dyn Any + Send + Sync>, NodeError> {
    T::deserialize(node).map(|decoded| Arc::new(decoded) as Arc<dyn Any + Send + Sync>)
}

/// The step types and kinds of tools that a flow may use, and the form of its models.
#[derive(Clone, Default)]
pub struct Registry {
    steps: IndexMap<&'static str, StepType>,
    model: Option<(Arc<Json>, DecodeModel)>,
    datastore: Option<(Arc<Json>, DecodeModel)>,
    tool_kinds: IndexMap<&'static str, ToolType>,
    tools: IndexMap<Arc<str>, Arc<ToolDefinition>>,
    error_codes: BTreeSet<&'static str>,
    problems: Vec<String>,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step type. A configuration that claims a reserved key, or a name that is taken, is a [`Self::problems`].
    #[must_use]
    pub fn with<S: Step>(mut self) -> Self {
        let schema = schemars::schema_for!(S).to_value();
        let keys = schema.get("properties").and_then(Json::as_object);
        for key in keys.into_iter().flat_map(|p| p.keys()).filter(|k| RESERVED_STEP_KEYS.contains(&k.as_str())) {
            self.problems
                .push(format!("the configuration of step type `{}` claims the reserved key `{key}`", S::TYPE));
        }
        let entry = StepType {
            name: S::TYPE,
            effect: S::EFFECT,
            example: S::EXAMPLE,
            schema: Arc::new(schema),
            ports: S::documented_ports(),
            decode: |node| S::deserialize(node).map(|step| Arc::new(step) as Arc<dyn AnyStep>),
        };
        if self.steps.insert(S::TYPE, entry).is_some() {
            self.problems.push(format!("there are two step types named `{}`", S::TYPE));
        }
        self
    }

    /// Sets the type that decodes an entry of `models:`.
    #[must_use]
    pub fn with_models<M: DeserializeOwned + JsonSchema + Send + Sync + 'static>(mut self) -> Self {
        self.model = Some((Arc::new(schemars::schema_for!(M).to_value()), decode::<M>));
        self
    }

    /// Sets the type that decodes an entry of `datastores:`, less its `collections`.
    #[must_use]
    pub fn with_datastores<D: DeserializeOwned + JsonSchema + Send + Sync + 'static>(mut self) -> Self {
        self.datastore = Some((Arc::new(schemars::schema_for!(D).to_value()), decode::<D>));
        self
    }

    /// Adds a kind of tool. A configuration that claims a key of every tool, or a name that is taken, is a
    /// [`Self::problems`].
    #[must_use]
    pub fn with_tool_kind<K: ToolKind>(mut self) -> Self {
        let schema = schemars::schema_for!(K).to_value();
        let keys = schema.get("properties").and_then(Json::as_object);
        for key in keys.into_iter().flat_map(|p| p.keys()).filter(|k| RESERVED_TOOL_KEYS.contains(&k.as_str())) {
            self.problems.push(format!(
                "the configuration of the kind of tool `{}` claims the reserved key `{key}`",
                K::TYPE
            ));
        }
        let entry = ToolType {
            name: K::TYPE,
            schema: Arc::new(schema),
            decode: |node, scope| {
                let kind = K::deserialize(node).map_err(|error| error.into_diagnostic(BAD_TOOL))?;
                kind.tool(scope)
            },
        };
        if self.tool_kinds.insert(K::TYPE, entry).is_some() {
            self.problems.push(format!("there are two kinds of tools named `{}`", K::TYPE));
        }
        self
    }

    /// Adds a tool that every flow may call by this name, such as a [`function`](crate::tool::function). A flow's own tool
    /// of that name hides it.
    #[must_use]
    pub fn with_tool(mut self, name: impl Into<Arc<str>>, tool: impl Tool + 'static) -> Self {
        let definition = Arc::new(ToolDefinition::new(name, Arc::new(tool)));
        if let Some(before) = self.tools.insert(Arc::clone(&definition.name), definition) {
            self.problems.push(format!("there are two tools named `{}`", before.name));
        }
        self
    }

    /// Adds the codes of errors that steps may end in. Where a flow names a code that is none of these, `check` warns; so a
    /// program with errors of its own adds their codes.
    #[must_use]
    pub fn with_error_codes(mut self, codes: impl IntoIterator<Item = &'static str>) -> Self {
        self.error_codes.extend(codes);
        self
    }

    /// The step type of this name.
    pub fn get(&self, name: &str) -> Option<&StepType> {
        self.steps.get(name)
    }

    /// All step types in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = &StepType> {
        self.steps.values()
    }

    /// The kind of tool of this name.
    pub fn tool_kind(&self, name: &str) -> Option<&ToolType> {
        self.tool_kinds.get(name)
    }

    /// All kinds of tools in the order they were added.
    pub fn tool_kinds(&self) -> impl Iterator<Item = &ToolType> + Clone {
        self.tool_kinds.values()
    }

    /// The tool of this name.
    pub fn tool(&self, name: &str) -> Option<&Arc<ToolDefinition>> {
        self.tools.get(name)
    }

    /// All tools in the order they were added.
    pub fn tools(&self) -> impl Iterator<Item = &Arc<ToolDefinition>> {
        self.tools.values()
    }

    /// All codes of errors, in the order of the alphabet; none where nothing is known of them.
    pub fn error_codes(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.error_codes.iter().copied()
    }

    /// The schema of an entry of `models:`.
    pub fn model_schema(&self) -> Option<&Json> {
        self.model.as_ref().map(|(schema, _)| &**schema)
    }

    /// The schema of an entry of `datastores:`, less its `collections`.
    pub fn datastore_schema(&self) -> Option<&Json> {
        self.datastore.as_ref().map(|(schema, _)| &**schema)
    }

    pub(crate) fn decode_datastore(&self, node: &Node) -> Option<Result<Arc<dyn Any + Send + Sync>, NodeError>> {
        self.datastore.as_ref().map(|(_, decode)| decode(node))
    }

    pub(crate) fn decode_model(&self, node: &Node) -> Option<Result<Arc<dyn Any + Send + Sync>, NodeError>> {
        self.model.as_ref().map(|(_, decode)| decode(node))
    }

    /// What is wrong with the step types and tools themselves; a program must not start with any.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}
