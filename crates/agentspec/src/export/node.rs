//! A step as a node: what its fields say, and what is left for its metadata.

use std::collections::HashSet;

use flowrun_core::flow::{Flow, FlowStep};
use flowrun_core::node::{Entry, Node, NodeKind};
use flowrun_core::signature::Port;
use flowrun_core::spec::StepSpec;
use flowrun_core::types::Type;
use serde_json::{Map, Value as Json, json};

use super::secrets::{is_secret, json_of};
use super::{Env, Exporter, PLUGIN};
use crate::property::FORBIDDEN;

/// A step that is being written.
#[derive(Clone, Copy)]
pub(crate) struct StepIn<'s> {
    pub(crate) spec: &'s StepSpec,
    pub(crate) step: &'s FlowStep,
    pub(crate) n: usize,
    pub(crate) flow: &'s Flow,
    pub(crate) env: &'s Env<'s>,
    /// The outputs of steps that are read.
    pub(crate) read: &'s HashSet<(usize, usize)>,
}

/// The keys of a configuration, of a step's or a tool's.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'s>(pub(crate) &'s Node);

impl<'s> Keys<'s> {
    /// A key; none where it is not there or null.
    pub(crate) fn key(self, key: &str) -> Option<&'s Node> {
        self.0.get(key).filter(|node| node.kind != NodeKind::Null)
    }

    pub(crate) fn text(self, key: &str) -> Option<&'s str> {
        self.key(key)?.as_str()
    }

    pub(crate) fn flag(self, key: &str, default: bool) -> bool {
        match self.key(key).map(|node| &node.kind) {
            Some(NodeKind::Bool(flag)) => *flag,
            _ => default,
        }
    }

    pub(crate) fn entries(self, key: &str) -> &'s [Entry] {
        self.key(key).and_then(Node::entries).unwrap_or_default()
    }

    pub(crate) fn items(self, key: &str) -> &'s [Node] {
        self.key(key).and_then(Node::items).unwrap_or_default()
    }
}

impl<'s> StepIn<'s> {
    pub(crate) fn keys(&self) -> Keys<'s> {
        Keys(&self.spec.config)
    }

    /// A key of its configuration; none where it is not there or null.
    pub(crate) fn key(&self, key: &str) -> Option<&'s Node> {
        self.keys().key(key)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&'s str> {
        self.keys().text(key)
    }

    pub(crate) fn flag(&self, key: &str, default: bool) -> bool {
        self.keys().flag(key, default)
    }

    /// A whole number that is known already.
    pub(crate) fn whole(&self, key: &str) -> Option<i64> {
        match self.key(key)?.kind {
            NodeKind::Int(n) => Some(n),
            _ => None,
        }
    }

    pub(crate) fn entries(&self, key: &str) -> &'s [Entry] {
        self.keys().entries(key)
    }

    pub(crate) fn items(&self, key: &str) -> &'s [Node] {
        self.keys().items(key)
    }

    /// The flow that a key names.
    pub(crate) fn inner(&self, key: &str) -> Option<&'s std::sync::Arc<Flow>> {
        self.step.flows.get(self.text(key)?)
    }

    /// Whether somebody reads an output of it.
    pub(crate) fn is_read(&self, output: &str) -> bool {
        let place = self.step.signature.outputs.iter().position(|port| port.name == output);
        place.is_some_and(|place| self.read.contains(&(self.n, place)))
    }
}

/// A port of a step, and what the node calls it.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) step: String,
    pub(crate) node: String,
}

/// A node that is being made.
#[derive(Debug)]
pub(crate) struct NodeOut {
    pub(crate) kind: &'static str,
    plugin: Option<&'static str>,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) fields: Map<String, Json>,
    pub(crate) inputs: Vec<Said>,
    pub(crate) outputs: Vec<Said>,
    /// The branches, the step's names and the node's; those that the node alone has have no name of the step's.
    pub(crate) branches: Vec<Said>,
    /// Properties that are otherwise than the port of the step.
    pub(crate) properties: Vec<(String, Json)>,
    /// Types of inputs that are otherwise than those of the step.
    pub(crate) types: Vec<(String, Type)>,
    /// Inputs that only the node has.
    pub(crate) extra: Vec<Json>,
    /// The text, computed by a node before it, by which the node branches.
    pub(crate) computed_by: Option<String>,
    /// Keys of the configuration that the fields say.
    said: Vec<&'static str>,
    /// Keys that reading the fields would add, and that the step does not have.
    without: Vec<&'static str>,
    /// What else stands under our own key.
    pub(crate) own: Map<String, Json>,
}

impl NodeOut {
    fn new(kind: &'static str, plugin: Option<&'static str>, s: &StepIn<'_>) -> Self {
        let branches = s.step.signature.branches.iter().map(|b| Said { step: b.clone(), node: b.clone() });
        Self {
            kind,
            plugin,
            id: String::new(),
            name: s.step.name.to_string(),
            fields: Map::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            branches: branches.collect(),
            properties: Vec::new(),
            types: Vec::new(),
            extra: Vec::new(),
            computed_by: None,
            said: Vec::new(),
            without: Vec::new(),
            own: Map::new(),
        }
    }

    /// A node of the core.
    pub(crate) fn core(kind: &'static str, s: &StepIn<'_>) -> Self {
        Self::new(kind, None, s)
    }

    /// A node of `WayFlow`.
    pub(crate) fn plugin(kind: &'static str, s: &StepIn<'_>) -> Self {
        Self::new(kind, Some("NodesPlugin"), s)
    }

    /// A node of our own.
    pub(crate) fn custom(kind: &'static str, s: &StepIn<'_>) -> Self {
        Self::new(kind, Some(PLUGIN), s)
    }

    pub(crate) fn field(&mut self, field: &str, value: impl Into<Json>) -> &mut Self {
        self.fields.insert(field.to_owned(), value.into());
        self
    }

    /// Says that a key of the configuration stands in the fields.
    pub(crate) fn says(&mut self, key: &'static str) -> &mut Self {
        self.said.push(key);
        self
    }

    /// The `default` of a step whose node at `WayFlow` gives an empty text where nothing is found.
    pub(crate) fn empty_default(&mut self, s: &StepIn<'_>) -> &mut Self {
        // Null is a default too, which `key` would leave out.
        match s.spec.config.get("default").map(|node| &node.kind) {
            Some(NodeKind::String(text)) if text.is_empty() => self.says("default"),
            Some(_) => self,
            None => self.without("default"),
        }
    }

    /// Says that a key stands in the fields only in part.
    pub(crate) fn unsays(&mut self, key: &str) {
        self.said.retain(|said| *said != key);
    }

    /// A field that is a key of the configuration, where it is there.
    pub(crate) fn same(&mut self, s: &StepIn<'_>, key: &'static str, field: &str) -> &mut Self {
        if let Some(node) = s.key(key) {
            self.field(field, json_of(node)).says(key);
        }
        self
    }

    pub(crate) fn without(&mut self, key: &'static str) -> &mut Self {
        self.without.push(key);
        self
    }

    pub(crate) fn takes(&mut self, step: &str, node: &str) -> &mut Self {
        if !self.inputs.iter().any(|said| said.step == step) {
            self.inputs.push(Said { step: step.to_owned(), node: node.to_owned() });
        }
        self
    }

    pub(crate) fn gives(&mut self, step: &str, node: &str) -> &mut Self {
        self.outputs.push(Said { step: step.to_owned(), node: node.to_owned() });
        self
    }

    /// All inputs of the step, under its names.
    pub(crate) fn takes_all(&mut self, s: &StepIn<'_>) -> &mut Self {
        for port in &s.step.signature.inputs {
            self.takes(&port.name, &port.name);
        }
        self
    }

    /// All outputs of the step, under its names.
    pub(crate) fn gives_all(&mut self, s: &StepIn<'_>) -> &mut Self {
        for port in &s.step.signature.outputs {
            self.gives(&port.name, &port.name);
        }
        self
    }

    /// A branch that the node calls otherwise.
    pub(crate) fn branch(&mut self, step: &str, node: &str) -> &mut Self {
        for said in self.branches.iter_mut().filter(|said| said.step == step) {
            node.clone_into(&mut said.node);
        }
        self
    }

    /// A branch that the step does not have: it is never taken.
    pub(crate) fn dead_branch(&mut self, node: &str) -> &mut Self {
        if !self.branches.iter().any(|said| said.node == node) {
            self.branches.push(Said { step: String::new(), node: node.to_owned() });
        }
        self
    }

    pub(crate) fn property(&mut self, node: &str, property: Json) -> &mut Self {
        self.properties.push((node.to_owned(), property));
        self
    }

    /// What the node calls an input of the step.
    pub(crate) fn input_title(&self, step: &str) -> Option<&str> {
        self.inputs.iter().find(|said| said.step == step).map(|said| said.node.as_str())
    }

    /// What the node calls an output of the step.
    pub(crate) fn output_title(&self, step: &str) -> Option<&str> {
        self.outputs.iter().find(|said| said.step == step).map(|said| said.node.as_str())
    }

    /// Gives outputs whose names can be no titles other ones.
    pub(crate) fn retitle(&mut self) {
        let mut mapping = Map::new();
        let taken: Vec<String> = self.outputs.iter().map(|said| said.node.clone()).collect();
        for said in &mut self.outputs {
            if !said.node.contains(FORBIDDEN) || said.node.is_empty() {
                continue;
            }
            let mut title: String =
                said.node.chars().map(|c| if FORBIDDEN.contains(&c) { '_' } else { c }).collect();
            while taken.contains(&title) || mapping.values().any(|known| *known == json!(title)) {
                title.push('_');
            }
            mapping.insert(said.node.clone(), json!(title));
            for (name, property) in self.properties.iter_mut().filter(|(name, _)| *name == said.node) {
                name.clone_from(&title);
                if let Some(map) = property.as_object_mut() {
                    map.insert("title".into(), json!(title));
                }
            }
            said.node = title;
        }
        if mapping.is_empty() {
            return;
        }
        if self.plugin.is_some() && !["ExtendedLlmNode", super::CUSTOM_NODE].contains(&self.kind) {
            self.field("output_mapping", Json::Object(mapping));
        } else {
            self.own.insert("titles".into(), Json::Object(mapping));
        }
    }

    /// The outputs as properties.
    pub(crate) fn outputs_of(&self, s: &StepIn<'_>) -> Json {
        let each = self.outputs.iter().map(|said| {
            let declared = self.properties.iter().find(|(title, _)| *title == said.node);
            declared.map_or_else(|| output(s, said), |(_, property)| property.clone())
        });
        each.collect()
    }

    pub(crate) fn branch_name(&self, step: &str) -> String {
        self.branches.iter().find(|said| said.step == step).map_or(step, |said| said.node.as_str()).to_owned()
    }

    /// The keys of the configuration that no field says.
    pub(crate) fn left<'s>(&self, s: &StepIn<'s>) -> Vec<&'s Entry> {
        let entries = s.spec.config.entries().unwrap_or_default();
        entries.iter().filter(|entry| !self.said.contains(&&*entry.key)).collect()
    }
}

/// What stands at a node under our own key.
impl Exporter<'_> {
    /// Fills in what stands under our own key: keys of the configuration that no field says.
    pub(crate) fn carry(&mut self, s: &StepIn<'_>, out: &mut NodeOut, late: &[(String, String)]) {
        let mut config = Map::new();
        for entry in out.left(s) {
            let value = if is_secret(&entry.key) && entry.value.kind != NodeKind::Null {
                self.secret(&out.id.clone(), &entry.key, &entry.key_span)
            } else {
                with_references(self.without_secrets(&out.id.clone(), &entry.value), late)
            };
            config.insert(entry.key.to_string(), value);
        }
        for (key, value) in config {
            super::edges::put_own(&mut out.own, "config", &key, value);
        }
        if !out.without.is_empty() {
            out.own.insert("without".into(), json!(out.without));
        }
    }

    /// The node as a component, its inputs with the properties that the edges to it leave them.
    pub(crate) fn node(&mut self, s: &StepIn<'_>, out: &NodeOut, inputs: Vec<Json>) -> Json {
        let mut map = component(out.kind, &out.id, &out.name, s.step.doc.as_deref());
        if !out.own.is_empty() {
            map.insert("metadata".into(), json!({ "flowrun": out.own }));
        }
        let titles = out.inputs.iter().chain(&out.outputs).map(|said| said.node.as_str());
        self.check_titles("a port", titles, &s.spec.name.span);
        map.insert("inputs".into(), Json::Array(inputs));
        map.insert("outputs".into(), out.outputs_of(s));
        map.insert("branches".into(), out.branches.iter().map(|said| said.node.as_str()).collect());
        map.extend(out.fields.clone());
        if let Some(plugin) = out.plugin {
            plugged(&mut map, plugin);
        }
        Json::Object(map)
    }
}

fn output(s: &StepIn<'_>, said: &Said) -> Json {
    match s.step.signature.output(&said.step) {
        Some(port) => super::properties::port(&said.node, &Port { default: None, ..port.clone() }),
        None => json!({ "title": said.node }),
    }
}

/// The fields that every component begins with.
pub(crate) fn component(kind: &str, id: &str, name: &str, description: Option<&str>) -> Map<String, Json> {
    let mut map = Map::new();
    map.insert("component_type".into(), json!(kind));
    map.insert("id".into(), json!(id));
    map.insert("name".into(), json!(name));
    if let Some(text) = description {
        map.insert("description".into(), json!(text));
    }
    map
}

/// Marks a component as that of a plugin.
pub(crate) fn plugged(map: &mut Map<String, Json>, plugin: &str) {
    let version = if plugin == PLUGIN { env!("CARGO_PKG_VERSION") } else { "26.3.1" };
    map.insert("component_plugin_name".into(), json!(plugin));
    map.insert("component_plugin_version".into(), json!(version));
}

/// A value with the references that are read while the flow runs in the words of the document.
fn with_references(value: Json, late: &[(String, String)]) -> Json {
    match value {
        Json::Array(items) => items.into_iter().map(|item| with_references(item, late)).collect(),
        Json::Object(map) => {
            let from = map.get("from").and_then(Json::as_str).filter(|_| map.len() == 1);
            if let Some((_, new)) = from.and_then(|from| late.iter().find(|(old, _)| old == from)) {
                return json!({ "from": new });
            }
            Json::Object(map.into_iter().map(|(key, value)| (key, with_references(value, late))).collect())
        }
        other => other,
    }
}
