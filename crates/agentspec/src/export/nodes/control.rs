//! Steps that branch, and steps that run one flow or several.

use std::sync::Arc;

use flowrun_core::cast::text_of;
use flowrun_core::flow::Flow;
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::Value;
use serde_json::{Map, Value as Json, json};

use crate::castable::same;
use crate::export::Exporter;
use crate::export::node::{NodeOut, StepIn};
use crate::export::properties;
use crate::export::secrets::json_of;
use crate::texts;

pub(crate) const KEY: &str = "branching_mapping_key";

/// Inputs of the flow of a retry that the step itself gives.
const TRIALS: &[&str] = &["previous", "previous_error"];

pub(super) fn branch(s: &StepIn<'_>) -> NodeOut {
    let mut out = NodeOut::core("BranchingNode", s);
    out.same(s, "cases", "mapping").takes("value", KEY);
    // Its values are texts; so is a constant.
    let constant = s.spec.with.iter().find_map(|(name, wire)| match &wire.kind {
        flowrun_core::spec::WireKind::Value(value) if name.value == "value" => Some(value),
        _ => None,
    });
    let text = constant.filter(|value| !value.is_null()).and_then(|value| text_of(value).ok());
    if let Some(text) = text {
        let default = Value::from(text);
        out.property(KEY, properties::property(KEY, &Type::string(), Some(&default), None));
    } else if constant.is_none() {
        out.property(KEY, properties::property(KEY, &Type::string(), None, None));
    }
    out
}

/// A branch by conditions: a node of `WayFlow` makes the text that a node of the core branches by.
pub(super) fn conditions(s: &StepIn<'_>) -> NodeOut {
    let mut out = NodeOut::core("BranchingNode", s);
    let names = s.entries("when").iter();
    let mapping: Map<String, Json> = names.map(|entry| (entry.key.to_string(), json!(&*entry.key))).collect();
    let written = s.entries("when").iter().filter_map(|entry| Some((&*entry.key, entry.value.as_str()?)));
    out.field("mapping", Json::Object(mapping)).takes_all(s);
    out.computed_by = Some(texts::conditions(&written.collect::<Vec<_>>()));
    out
}

impl Exporter<'_> {
    /// The flow that a key names, as a component.
    fn inner(&mut self, s: &StepIn<'_>, name: &str) -> Option<(Json, Arc<Flow>)> {
        let flow = s.step.flows.get(name)?;
        let around = s.env.flow(name)?;
        Some((self.flow(&around, flow), Arc::clone(flow)))
    }

    pub(super) fn inner_field(&mut self, s: &StepIn<'_>, out: &mut NodeOut, field: &str) -> Option<Arc<Flow>> {
        let (found, flow) = self.inner(s, s.text("flow")?)?;
        out.field(field, found).says("flow");
        Some(flow)
    }

    pub(super) fn flow_step(&mut self, s: &StepIn<'_>) -> NodeOut {
        let mut out = NodeOut::core("FlowNode", s);
        self.inner_field(s, &mut out, "subflow");
        out.takes_all(s).gives_all(s);
        out
    }

    pub(super) fn catch(&mut self, s: &StepIn<'_>) -> NodeOut {
        let mut out = NodeOut::plugin("PluginCatchExceptionNode", s);
        self.inner_field(s, &mut out, "flow");
        out.field("except_on", s.key("except_on").map_or_else(|| json!({}), json_of)).says("except_on");
        out.field("catch_all_exceptions", s.flag("catch_all", false)).says("catch_all").says("defaults");
        if s.flag("class_names", false) {
            out.says("class_names");
        } else {
            out.without("class_names");
        }
        out.takes_all(s).gives_all(s);
        // What is given where an error is caught is the default of the output.
        for port in &s.step.signature.outputs {
            let written = s.key("defaults").and_then(|defaults| defaults.get(&port.name));
            let default = written.map_or(Value::Null, flowrun_core::node::Node::to_value);
            let property = properties::property(&port.name, &port.value_type, Some(&default), port.doc.as_deref());
            out.property(&port.name, property);
        }
        out
    }

    pub(super) fn retry(&mut self, s: &StepIn<'_>) -> NodeOut {
        let mut out = NodeOut::plugin("PluginRetryNode", s);
        let inner = self.inner_field(s, &mut out, "flow");
        out.same(s, "until", "success_condition");
        match s.whole("max_trials") {
            Some(most @ 1..=20) => {
                out.field("max_num_trials", most).says("max_trials");
            }
            None if s.key("max_trials").is_none() => {
                out.field("max_num_trials", 5);
            }
            // More than `WayFlow` makes, or not known yet.
            _ => {
                out.field("max_num_trials", 20);
            }
        }
        out.takes_all(s).gives_all(s);
        // The flow takes them, so the node has them; the step gives them by itself.
        let given = inner.iter().flat_map(|flow| &flow.inputs).filter(|port| TRIALS.contains(&port.name.as_str()));
        let given: Vec<_> = given.collect();
        if given.is_empty() {
            return out;
        }
        if !s.flag("hands_on", true) {
            out.says("hands_on");
            return out;
        }
        for port in given {
            let property =
                properties::property(&port.name, &port.value_type, Some(&Value::Null), port.doc.as_deref());
            out.extra.push(property);
        }
        out.own.insert("gives_trials".into(), json!(true));
        out
    }

    pub(super) fn parallel(&mut self, s: &StepIn<'_>) -> NodeOut {
        let workers = s.whole("max_parallel");
        let (mut out, field) = match workers {
            Some(workers) => {
                let mut out = NodeOut::plugin("ExtendedParallelFlowNode", s);
                out.field("max_workers", workers).says("max_parallel");
                (out, "flows")
            }
            None => {
                self.needs("25.4.2", format!("`{}`, a `ParallelFlowNode`,", s.step.name), &s.spec.name.span);
                (NodeOut::core("ParallelFlowNode", s), "subflows")
            }
        };
        self.share_types(s);
        let mut flows = Vec::new();
        let mut names = Vec::new();
        for name in s.items("flows").iter().filter_map(|name| name.as_str()) {
            if let Some((found, flow)) = self.inner(s, name) {
                names.extend(flow.outputs.iter().map(|port| port.name.clone()));
                flows.push(found);
            }
        }
        out.field(field, flows).says("flows").takes_all(s);
        for name in &names {
            out.gives(name, name);
        }
        out
    }

    /// Inputs that the flows of a step share are of one type in a document: where one of them takes anything, it takes what
    /// the others do.
    fn share_types(&mut self, s: &StepIn<'_>) {
        let flows: Vec<&Arc<Flow>> =
            s.items("flows").iter().filter_map(|name| s.step.flows.get(name.as_str()?)).collect();
        let all = flows.iter().flat_map(|flow| flow.inputs.iter().map(move |port| (*flow, port)));
        for (flow, port) in all.clone() {
            let others = all.clone().filter(|(_, other)| other.name == port.name);
            let Some((_, wanted)) = others.clone().find(|(_, other)| other.value_type.kind != Kind::Any) else {
                continue;
            };
            if port.value_type.kind == Kind::Any {
                let of = wanted.value_type.clone();
                self.input_types.insert((crate::export::flow::key(flow), port.name.clone()), of);
            } else if !same(&properties::shape(&port.value_type), &properties::shape(&wanted.value_type)) {
                let message = format!(
                    "`{}` runs flows that take `{}` as {} and as {}, which is one type in a document",
                    self.place(),
                    port.name,
                    wanted.value_type,
                    port.value_type
                );
                self.unsaid(message, &s.spec.name.span);
            }
        }
    }

    pub(super) fn tool_step(&mut self, s: &StepIn<'_>) -> NodeOut {
        let raises = s.flag("raise_errors", true);
        let mut out = if raises { NodeOut::core("ToolNode", s) } else { NodeOut::plugin("ExtendedToolNode", s) };
        if !raises {
            out.field("raise_exceptions", false);
        }
        out.says("raise_errors");
        let definition =
            s.text("tool").and_then(|name| s.step.tool_definitions().find(|(known, _)| *known == name));
        if let Some((name, definition)) = definition {
            let tool = self.tool(s.env, name, definition);
            out.field("tool", tool).says("tool");
        }
        out.takes_all(s).gives_all(s);
        out
    }
}
