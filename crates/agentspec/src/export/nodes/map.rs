//! `map`: a node that runs a flow for each item.

use flowrun_core::feeds::{Feed, Feeds};
use flowrun_core::flow::Flow;
use flowrun_core::types::{Kind, Type};
use serde_json::{Map, Value as Json, json};

use crate::castable::Shape;
use crate::export::Exporter;
use crate::export::edges::put_own;
use crate::export::node::{NodeOut, StepIn};
use crate::export::properties::{property, shape};
use crate::export::secrets::json_of;
use crate::nodes::{AT_ONCE, ITERATED, is_iterated};

/// What a `WayFlow` node makes of an entry of an object, and what a step has.
const ENTRY: &str = "{\"key\": ._key, \"value\": ._value}";

impl Exporter<'_> {
    pub(super) fn map(&mut self, s: &StepIn<'_>) -> NodeOut {
        let over: Vec<&str> = s.entries("over").iter().map(|entry| &*entry.key).collect();
        let unpacked = !s.entries("unpack").is_empty();
        let object = |name: &str| matches!(comes(s, name).as_ref().map(|of| &of.kind), Some(Kind::Object(_)));
        let objects = matches!(over.as_slice(), [only] if object(only));
        let inner = s.inner("flow").cloned();
        // A node of the core tells by their types what is taken apart.
        let told = over.iter().all(|name| is_told(s, inner.as_deref(), name));
        let untold = over.len() == 1 && !told && s.entries("reduce").is_empty();
        let mut out = if unpacked || objects || untold {
            let mut out = NodeOut::plugin("ExtendedMapNode", s);
            self.inner_field(s, &mut out, "flow");
            extended(s, &mut out, &over, objects);
            out
        } else {
            let at_once = s.whole("parallel");
            let kind = if at_once.is_some_and(|n| n > 1) { "ParallelMapNode" } else { "MapNode" };
            if kind == "ParallelMapNode" {
                self.needs("25.4.2", format!("`{}`, a `ParallelMapNode`,", s.step.name), &s.spec.name.span);
            }
            let mut out = NodeOut::core(kind, s);
            self.inner_field(s, &mut out, "subflow");
            if at_once.is_none_or(|n| n == 1 || n == AT_ONCE) {
                // What comes while the flow runs stands under our own key.
                if s.key("parallel").is_none() || at_once.is_some() {
                    out.says("parallel");
                }
            }
            plain(s, &mut out, inner.as_deref(), &over);
            out
        };
        out.says("over").says("unpack").says("collect").says("reduce");
        out
    }
}

/// Whether what comes to an input is a list of just what the flow takes.
fn is_told(s: &StepIn<'_>, inner: Option<&Flow>, input: &str) -> bool {
    let wanted = inner.and_then(|flow| flow.inputs.iter().find(|port| port.name == input));
    match (wanted, comes(s, input).map(|of| of.kind)) {
        (Some(port), Some(Kind::List(item))) => port.value_type.kind != Kind::Any && *item == port.value_type,
        _ => false,
    }
}

/// The outputs that are collected.
fn collected<'s>(s: &StepIn<'s>) -> Vec<&'s str> {
    let outputs = s.step.signature.outputs.iter();
    // The last output is the table of all of them.
    outputs.map(|port| port.name.as_str()).filter(|name| *name != "table").collect()
}

/// The type of what comes to an input.
fn comes(s: &StepIn<'_>, input: &str) -> Option<Type> {
    let place = s.step.signature.inputs.iter().position(|port| port.name == input)?;
    let feeds = Feeds::new(s.flow).of(s.n, place);
    let mut types = feeds.iter().map(|feed| match feed {
        Feed::Output { step, output } => Some(s.flow.steps[*step].signature.outputs[*output].value_type.clone()),
        Feed::Input(place) => Some(s.flow.inputs[*place].value_type.clone()),
        Feed::Constant(value) => Some(crate::nodes::constant_shape(value).to_type()),
        _ => None,
    });
    let first = types.next()??;
    types.all(|of| of.as_ref() == Some(&first)).then_some(first)
}

fn all_types(s: &StepIn<'_>, input: &str) -> Vec<Shape> {
    let place = s.step.signature.inputs.iter().position(|port| port.name == input);
    let feeds = place.map(|place| Feeds::new(s.flow).of(s.n, place)).unwrap_or_default();
    let types = feeds.iter().filter_map(|feed| match feed {
        Feed::Output { step, output } => Some(&s.flow.steps[*step].signature.outputs[*output].value_type),
        Feed::Input(place) => Some(&s.flow.inputs[*place].value_type),
        _ => None,
    });
    types.map(shape).collect()
}

/// A node of the core: `iterated_` and `collected_` stand before the names.
fn plain(s: &StepIn<'_>, out: &mut NodeOut, inner: Option<&Flow>, over: &[&str]) {
    let Some(inner) = inner else { return };
    let mut told = Vec::new();
    let mut open = Vec::new();
    for port in &inner.inputs {
        let title = format!("iterated_{}", port.name);
        let coming = all_types(s, &port.name);
        let wanted = shape(&port.value_type);
        if coming.iter().any(|of| is_iterated(of, &wanted)) {
            told.push(port.name.as_str());
        }
        if coming.iter().any(Shape::is_any) {
            open.push(port.name.as_str());
        }
        out.takes(&port.name, &title);
        let either = Kind::Union(vec![port.value_type.clone(), Type::list(port.value_type.clone())]);
        out.types.push((title, either.into()));
    }
    if told.is_empty() {
        told = open;
    }
    let mut wanted = over.to_vec();
    wanted.sort_unstable();
    told.sort_unstable();
    if wanted != told {
        // What is taken apart is not told by the types that come.
        out.own.insert("over".into(), json!(over));
    }
    let mut reducers = Map::new();
    let mut others = false;
    for name in collected(s) {
        let word = s.key("reduce").and_then(|reduce| reduce.get(name)).map_or_else(|| json!("append"), json_of);
        let of = inner.outputs.iter().find(|port| port.name == name).map(|port| &port.value_type.kind);
        let numbers = matches!(of, Some(Kind::Integer | Kind::Number));
        let word = if numbers || word == json!("append") {
            word
        } else {
            // Agent Spec reduces numbers alone.
            others = true;
            json!("append")
        };
        let title = format!("collected_{name}");
        reducers.insert(name.to_owned(), word);
        out.gives(name, &title);
    }
    out.field("reducers", Json::Object(reducers));
    if others && let Some(reduce) = s.key("reduce") {
        put_own(&mut out.own, "config", "reduce", json_of(reduce));
    }
}

/// A node of `WayFlow`: one input, `iterated_input`, whose items are taken apart.
fn extended(s: &StepIn<'_>, out: &mut NodeOut, over: &[&str], objects: bool) {
    let mut unpack = Map::new();
    let entry = |query: &str| if objects { format!("{ENTRY} | {query}") } else { query.to_owned() };
    for written in s.entries("unpack") {
        unpack.insert(written.key.to_string(), json!(entry(written.value.as_str().unwrap_or("."))));
    }
    if unpack.is_empty() {
        unpack.extend(over.iter().map(|name| ((*name).to_owned(), json!(entry(".")))));
    }
    out.field("unpack_input", Json::Object(unpack));
    let parallel = s.whole("parallel").filter(|n| *n > 1);
    out.field("parallel_execution", parallel.is_some());
    if let Some(workers) = parallel {
        out.field("max_workers", workers);
    }
    if s.key("parallel").is_none() || s.whole("parallel").is_some() {
        out.says("parallel");
    }
    if let Some(only) = over.first() {
        out.takes(only, ITERATED);
        let of = if objects { Type::object() } else { comes(s, only).unwrap_or_else(Type::any) };
        let of = if matches!(of.kind, Kind::Table) { Type::any() } else { of };
        out.types.push((ITERATED.to_owned(), of));
    }
    for port in s.step.signature.inputs.iter().filter(|port| !over.contains(&port.name.as_str())) {
        out.takes(&port.name, &port.name);
    }
    let reduce = s.key("reduce");
    let reduced = reduce.and_then(flowrun_core::node::Node::entries).is_some_and(|entries| !entries.is_empty());
    if reduced && let Some(reduce) = reduce {
        put_own(&mut out.own, "config", "reduce", json_of(reduce));
    }
    for name in collected(s) {
        out.gives(name, name);
        if let Some(port) = s.step.signature.output(name) {
            out.property(name, property(name, &port.value_type, None, port.doc.as_deref()));
        }
    }
}
