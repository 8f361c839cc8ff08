//! Steps that make and take texts and values, and those of variables.

use flowrun_core::flow::Flow;
use serde_json::{Map, Value as Json, json};

use crate::export::node::{NodeOut, StepIn};
use crate::export::properties;
use crate::export::secrets::json_of;
use crate::nodes::FLAGS;

pub(super) fn template(s: &StepIn<'_>) -> NodeOut {
    let mut out = NodeOut::plugin("PluginTemplateNode", s);
    out.same(s, "template", "template").takes_all(s).gives_all(s);
    out
}

pub(super) fn constant(s: &StepIn<'_>) -> NodeOut {
    let mut out = NodeOut::plugin("PluginConstantValuesNode", s);
    out.same(s, "values", "constant_values").gives_all(s);
    out
}

pub(super) fn extract_json(s: &StepIn<'_>) -> NodeOut {
    let mut out = NodeOut::plugin("PluginExtractNode", s);
    out.same(s, "values", "output_values").says("types").says("defaults").takes_all(s).gives_all(s);
    for port in &s.step.signature.outputs {
        let default = s.key("defaults").and_then(|defaults| defaults.get(&port.name));
        let default = default.map(flowrun_core::node::Node::to_value);
        out.property(&port.name, properties::property(&port.name, &port.value_type, default.as_ref(), None));
    }
    out
}

pub(super) fn regex(s: &StepIn<'_>) -> NodeOut {
    let mut out = NodeOut::plugin("PluginRegexNode", s);
    let pattern = s.text("pattern").unwrap_or_default();
    let flags = s.items("flags").iter().filter_map(|flag| flag.as_str());
    let bits: i64 = flags.filter_map(|word| FLAGS.iter().find(|(_, w)| *w == word)).map(|(bit, _)| bit).sum();
    let which = s.text("match");
    if which.is_none() && bits == 0 {
        out.field("regex_pattern", pattern);
    } else {
        let mut map = Map::new();
        map.insert("pattern".into(), json!(pattern));
        map.insert("match".into(), json!(which.unwrap_or("first")));
        if bits != 0 {
            map.insert("flags".into(), json!(bits));
        }
        out.field("regex_pattern", Json::Object(map));
    }
    let all = s.flag("all", false);
    out.field("return_first_match_only", !all).says("pattern").says("flags").says("match").says("all");
    if !all {
        out.empty_default(s);
    }
    out.takes_all(s).gives_all(s);
    out
}

fn variable<'f>(flow: &'f Flow, name: &str) -> Option<&'f flowrun_core::signature::Port> {
    flow.variables.iter().find(|port| port.name == name)
}

fn declared(flow: &Flow, name: &str) -> Json {
    variable(flow, name).map_or_else(|| json!({ "title": name }), |port| properties::port(name, port))
}

pub(super) fn read_variable(s: &StepIn<'_>) -> NodeOut {
    let mut out = NodeOut::plugin("PluginReadVariableNode", s);
    out.field("variable", declared(s.flow, s.text("variable").unwrap_or_default())).says("variable").gives_all(s);
    out
}

pub(super) fn write_variable(s: &StepIn<'_>) -> NodeOut {
    let mut out = NodeOut::plugin("PluginWriteVariableNode", s);
    out.field("variable", declared(s.flow, s.text("variable").unwrap_or_default())).says("variable");
    out.field("operation", s.text("operation").unwrap_or("overwrite")).says("operation").takes_all(s);
    out
}

pub(super) fn variables(s: &StepIn<'_>) -> NodeOut {
    let mut out = NodeOut::plugin("PluginVariableNode", s);
    for key in ["write_variables", "read_variables"] {
        let names = s.items(key).iter().filter_map(|name| name.as_str());
        let all: Vec<Json> = names.map(|name| declared(s.flow, name)).collect();
        out.field(key, all);
    }
    // `WayFlow` wants to know of each how it is written.
    let written = s.items("write_variables").iter().filter_map(|name| name.as_str());
    let operation = |name: &str| {
        let said = s.key("write_operations").and_then(|operations| operations.get(name));
        said.map_or_else(|| json!("overwrite"), json_of)
    };
    let operations: Map<String, Json> = written.map(|name| (name.to_owned(), operation(name))).collect();
    out.field("write_operations", Json::Object(operations));
    out.says("write_variables").says("read_variables").says("write_operations").takes_all(s).gives_all(s);
    out
}
