//! Nodes that run a flow for each item: a `map` step.

use flowrun_core::value::Value;
use serde_json::{Map, Value as Json, json};

use super::{Around, Draft, Reading};
use crate::castable::{Form, Shape, castable, union};
use crate::codes;
use crate::component::Component;
use crate::import::Importer;
use crate::property::{Property, find};

/// How many items a parallel map runs at once where it does not say.
pub(crate) const AT_ONCE: i64 = 20;

pub(crate) const ITERATED: &str = "iterated_input";
const REDUCERS: &[&str] = &["append", "sum", "average", "max", "min"];

/// What a map runs over, which depends on what is wired to it.
pub(crate) enum Over {
    /// Each input, by the type that comes: a list of what the flow takes is taken apart, all else is the same for every item.
    ByType {
        /// The flow's inputs.
        inner: Vec<Property>,
        /// What the map gives where it runs over nothing.
        nothing: Map<String, Json>,
    },
    /// The one input `iterated_input`, taken apart by queries.
    Unpacked(Vec<(String, String)>),
}

impl<'a> Importer<'a> {
    pub(crate) fn map_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let inner = self.needed_flow(c, "subflow")?;
        let mut draft = Draft::new("map", c);
        let inputs: Vec<Property> = inner
            .inputs
            .iter()
            .map(|input| {
                let title = format!("iterated_{}", input.title);
                draft.takes(&input.title, &title);
                let either = union(vec![input.shape.clone(), Shape::array(input.shape.clone())]);
                Property { title, shape: either, ..input.clone() }
            })
            .collect();
        let reducers = self.reducers(c, &inner.outputs);
        let (mut outputs, mut reduce, mut nothing) = (Vec::new(), Map::new(), Map::new());
        for (output, reducer) in &reducers {
            let title = format!("collected_{}", output.title);
            draft.gives(&output.title, &title);
            let (shape, empty) = match *reducer {
                "append" => (Shape::array(output.shape.clone()), json!([])),
                "sum" => (output.shape.clone(), json!(0)),
                _ => (output.shape.clone(), Json::Null),
            };
            if *reducer != "append" {
                reduce.insert(output.title.clone(), json!(reducer));
            }
            nothing.insert(title.clone(), empty);
            outputs.push(Property { title, shape, default: None, ..output.clone() });
        }
        let collect: Vec<&str> = reducers.iter().map(|(output, _)| output.title.as_str()).collect();
        draft.config.set("flow", inner.name.as_str()).set("collect", json!(collect));
        draft.config.set_at("reduce", Json::Object(reduce), c.span_of("reducers"));
        if c.kind == "ParallelMapNode" {
            draft.config.set("parallel", AT_ONCE);
        }
        match c.own("over").and_then(flowrun_core::node::Node::items) {
            Some(names) => {
                let names = names.iter().filter_map(flowrun_core::node::Node::as_str);
                let over: Map<String, Json> = names.map(|name| (name.to_owned(), Json::Null)).collect();
                draft.config.set("over", Json::Object(over));
            }
            None => draft.over = Some(Over::ByType { inner: inner.inputs.clone(), nothing }),
        }
        Some(Reading::new(inputs, outputs, draft))
    }

    /// The outputs that are collected, each with what is made of its values.
    fn reducers(&self, c: Component<'a>, outputs: &[Property]) -> Vec<(Property, &'static str)> {
        if c.entry("reducers").is_none() {
            return outputs.iter().map(|output| (output.clone(), "append")).collect();
        }
        let mut found = Vec::new();
        for (entry, word) in self.doc.texts(c, "reducers") {
            let Some(output) = find(outputs, &entry.key) else {
                let message =
                    format!("`reducers` of `{}` names `{}`, which its flow does not give", c.name(), entry.key);
                let wrong = flowrun_core::diagnostics::Diagnostic::error(codes::BAD_MAP, message, &entry.key_span);
                self.doc.report(wrong.suggest(&entry.key, outputs.iter().map(|o| o.title.as_str())));
                continue;
            };
            let Some(reducer) = REDUCERS.iter().find(|known| **known == word) else {
                let message = format!("`{word}` is no reducer");
                let wrong =
                    flowrun_core::diagnostics::Diagnostic::error(codes::BAD_MAP, message, &entry.value.span);
                self.doc.report(wrong.suggest(word, REDUCERS.iter().copied()));
                found.push((output.clone(), "append"));
                continue;
            };
            if *reducer != "append" && !matches!(output.shape.form, Form::Integer | Form::Number) {
                let message = format!("`{}` is {}, and `{word}` takes numbers", entry.key, output.shape.to_type());
                self.doc.error(codes::BAD_MAP, message, &entry.value.span);
            }
            found.push((output.clone(), *reducer));
        }
        found
    }

    pub(crate) fn extended_map_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let inner = self.needed_flow(c, "flow")?;
        let queries: Vec<(String, String)> = self
            .doc
            .texts(c, "unpack_input")
            .into_iter()
            .filter_map(|(entry, query)| {
                if find(&inner.inputs, &entry.key).is_some() {
                    return Some((entry.key.to_string(), query.to_owned()));
                }
                let message = format!("the flow of `{}` has no input `{}`", c.name(), entry.key);
                self.doc.error(codes::BAD_MAP, message, &entry.key_span);
                None
            })
            .collect();
        if queries.is_empty() {
            let message =
                format!("`{}` gives its items to no input of its flow, which is not supported here", c.name());
            self.doc.error(codes::UNSUPPORTED, message, c.name_span());
            return None;
        }
        let mut draft = Draft::new("map", c);
        let mut inputs = vec![Self::iterated(c, &inner.inputs, &queries)];
        draft.takes(ITERATED, ITERATED);
        for input in inner.inputs.iter().filter(|i| !queries.iter().any(|(name, _)| *name == i.title)) {
            draft.takes(&input.title, &input.title);
            inputs.push(input.clone());
        }
        let outputs = self.collected(c, &inner.outputs);
        let collect: Vec<&str> = outputs.iter().map(|o| o.title.as_str()).collect();
        draft.config.set("flow", inner.name.as_str()).set("collect", json!(collect));
        let parallel = c.kind == "ExtendedParallelMapNode" || self.doc.flag(c, "parallel_execution", false);
        let workers = self.doc.whole(c, "max_workers", 0, 65_536).filter(|n| *n > 0);
        if parallel {
            draft.config.set_at("parallel", workers.unwrap_or(AT_ONCE), c.span_of("max_workers"));
        }
        draft.over = Some(Over::Unpacked(queries));
        Some(Reading::new(inputs, outputs, draft))
    }

    /// The input whose items are taken apart: a list, or a mapping, by what the node says.
    fn iterated(c: Component<'a>, inner: &[Property], queries: &[(String, String)]) -> Property {
        let item = match queries {
            [(name, query)] if query.trim() == "." => {
                find(inner, name).map_or_else(Shape::any, |input| input.shape.clone())
            }
            _ => Shape::any(),
        };
        Property::new(ITERATED, Shape::array(item), c.span)
    }

    /// The lists that such a node collects: those that it declares.
    fn collected(&self, c: Component<'a>, inner: &[Property]) -> Vec<Property> {
        let renamed = self.doc.texts(c, "output_mapping");
        let mut found = Vec::new();
        for output in self.doc.properties(c, "outputs").unwrap_or_default() {
            let outer = output.title.as_str();
            let name = renamed.iter().find(|(_, to)| *to == outer).map_or(outer, |(entry, _)| &*entry.key);
            if find(inner, name).is_some() {
                found.push(Property { default: None, ..output.clone() }.titled(name));
            } else {
                let message = format!("the flow of `{}` gives no `{name}`", c.name());
                self.doc.error(codes::BAD_MAP, message, &output.span);
            }
        }
        found
    }

    /// Says what a map runs over, now that it is known what comes: the shapes that reach each input.
    pub(crate) fn finish_map(
        &self,
        c: Component<'a>,
        draft: &mut Draft,
        inputs: &[Property],
        coming: &dyn Fn(&str) -> Vec<Shape>,
    ) {
        match draft.over.take() {
            None => {}
            Some(Over::ByType { inner, nothing }) => {
                self.over_by_type(c, draft, inputs, (&inner, nothing), coming);
            }
            Some(Over::Unpacked(queries)) => {
                let node = draft.inputs.iter().find(|t| t.step == ITERATED).map_or(ITERATED, |t| t.node.as_str());
                let objects = coming(node).iter().any(|shape| matches!(shape.form, Form::Object { .. }));
                unpacked(draft, &queries, objects);
            }
        }
    }

    fn over_by_type(
        &self,
        c: Component<'a>,
        draft: &mut Draft,
        inputs: &[Property],
        (inner, nothing): (&[Property], Map<String, Json>),
        coming: &dyn Fn(&str) -> Vec<Shape>,
    ) {
        if inner.is_empty() {
            run_over_nothing(draft, nothing);
            return;
        }
        let mut over = Map::new();
        for taken in &draft.inputs {
            let Some(input) = find(inner, &taken.step) else { continue };
            let sources = coming(&taken.node);
            let default = find(inputs, &taken.node).and_then(|p| p.default.as_ref());
            let iterated = if sources.is_empty() {
                matches!(default, Some(Value::List(_))) && input.shape.item().is_none()
            } else {
                sources.iter().any(|shape| is_iterated(shape, &input.shape))
            };
            if iterated {
                over.insert(taken.step.clone(), Json::Null);
            }
        }
        if over.is_empty() {
            // What may be anything may be a list, where nothing else is one.
            let open = draft.inputs.iter().filter(|taken| coming(&taken.node).iter().any(Shape::is_any));
            over.extend(open.map(|taken| (taken.step.clone(), Json::Null)));
        }
        if over.is_empty() {
            let message = format!("no input of `{}` brings a list to run over", c.name());
            self.doc.error(codes::BAD_MAP, message, c.name_span());
        }
        draft.config.set("over", Json::Object(over));
    }
}

/// Whether what comes is taken apart for a flow that takes `wanted`.
pub(crate) fn is_iterated(coming: &Shape, wanted: &Shape) -> bool {
    if let Form::Union(members) = &coming.form {
        return members.iter().any(|member| is_iterated(member, wanted));
    }
    match coming.item() {
        // An array for a flow that takes arrays is one value for all, unless it is an array of such arrays.
        Some(item) => castable(&item, wanted) && depth(coming) > depth(wanted),
        None => coming.is_any() && !wanted.is_any(),
    }
}

/// How many arrays are within each other.
fn depth(shape: &Shape) -> usize {
    match &shape.form {
        Form::Union(members) => members.iter().map(depth).max().unwrap_or_default(),
        _ => shape.item().map_or(0, |item| 1 + depth(&item)),
    }
}

/// A map without inputs has no items.
fn run_over_nothing(draft: &mut Draft, nothing: Map<String, Json>) {
    let span = draft.config.clone().finish().span;
    draft.config = crate::config::Config::new(&span);
    draft.outputs.clear();
    if nothing.is_empty() {
        "template".clone_into(&mut draft.step_type);
        draft.config.set("template", "");
        draft.gives("output", "nothing");
    } else {
        "constant".clone_into(&mut draft.step_type);
        draft.config.set("values", Json::Object(nothing));
    }
}

fn unpacked(draft: &mut Draft, queries: &[(String, String)], objects: bool) {
    if let ([(name, query)], false) = (queries, objects)
        && query.trim() == "."
    {
        // The item as it is, whatever its type.
        for taken in draft.inputs.iter_mut().filter(|t| t.step == ITERATED) {
            name.clone_into(&mut taken.step);
        }
        draft.config.set("over", json!({ name: null }));
        return;
    }
    // Entries of a mapping have other names in `WayFlow`.
    let entry = if objects { "{\"_key\": .key, \"_value\": .value} | " } else { "" };
    let unpack: Map<String, Json> =
        queries.iter().map(|(name, query)| (name.clone(), json!(format!("{entry}{query}")))).collect();
    draft.config.set("over", json!({ ITERATED: null })).set("unpack", Json::Object(unpack));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_taken_apart_where_their_items_are_wanted() {
        let string = Shape::string;
        let list = Shape::array;
        for (coming, wanted, iterated) in [
            (list(string()), string(), true),
            (string(), string(), false),
            (list(list(string())), list(string()), true),
            (list(string()), list(string()), false),
            (list(string()), Shape::any(), true),
            (Shape::any(), string(), true),
            (Shape::any(), Shape::any(), false),
            (union(vec![string(), list(string())]), string(), true),
            (list(Form::Integer.into()), string(), true),
            (list(string()), Form::Integer.into(), false),
        ] {
            assert_eq!(is_iterated(&coming, &wanted), iterated, "{} for {}", coming.to_type(), wanted.to_type());
        }
    }
}
