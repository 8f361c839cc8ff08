//! Nodes that make and take texts: `template`, `regex`, `extract_json` and `choice` steps.

use flowrun_core::node::{Node, NodeKind};
use flowrun_core::value::Value;
use serde_json::{Map, Value as Json, json};

use super::llm::word;
use super::{Around, Draft, Reading};
use crate::castable::Shape;
use crate::codes;
use crate::component::{Component, LLMS};
use crate::config::{mapping, text};
use crate::document::first_line;
use crate::import::Importer;
use crate::property::{Property, find};

const TEXT: &str = "text";
const OUTPUT: &str = "output";
const NEXT_STEPS: &str = "next_steps";

/// Flags of a regular expression: their bits in Python, and their names here.
pub(crate) const FLAGS: &[(i64, &str)] = &[(2, "ignore_case"), (8, "multiline"), (16, "dotall"), (64, "verbose")];
/// Flags that change nothing: texts are Unicode anyway.
const IDLE_FLAGS: i64 = 32;

impl<'a> Importer<'a> {
    pub(crate) fn template_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let template = self.doc.needed_text(c, "template")?;
        let mut draft = Draft::new("template", c);
        let inputs = self.jinja_inputs(template, &mut draft)?;
        draft.config.put("template", template.clone());
        Some(Reading::new(inputs, vec![Property::new(OUTPUT, Shape::string(), c.span)], draft))
    }

    pub(crate) fn regex_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let Some(entry) = c.entry("regex_pattern") else {
            self.doc.missing(c, "regex_pattern");
            return None;
        };
        let written = self.doc.resolve(&entry.value)?;
        let mut draft = Draft::new("regex", c);
        match &written.kind {
            NodeKind::String(_) => {
                draft.config.put("pattern", written.clone());
            }
            NodeKind::Map(_) => self.pattern(written, &mut draft)?,
            _ => {
                self.doc.wrong_field("regex_pattern", "a text, or a mapping with `pattern`", written);
                return None;
            }
        }
        let first = self.doc.flag(c, "return_first_match_only", true);
        let shape = if first {
            draft.config.set("default", "");
            Shape::string()
        } else {
            draft.config.set("all", true);
            Shape::array(Shape::string())
        };
        draft.takes(TEXT, TEXT);
        let inputs = vec![Property::new(TEXT, Shape::string(), c.span)];
        Some(Reading::new(inputs, vec![Property::new(OUTPUT, shape, c.span)], draft))
    }

    fn pattern(&self, written: &'a Node, draft: &mut Draft) -> Option<()> {
        let Some(pattern) = written.get("pattern").filter(|p| p.as_str().is_some()) else {
            let message = "`regex_pattern` has no `pattern`";
            self.doc.error(codes::MISSING, message, &first_line(&written.span));
            return None;
        };
        draft.config.put("pattern", pattern.clone());
        if let Some(which) = written.get("match").filter(|m| m.kind != NodeKind::Null) {
            draft.config.put("match", which.clone());
        }
        let bits = match written.get("flags").map(|flags| &flags.kind) {
            None | Some(NodeKind::Null) => 0,
            Some(NodeKind::Int(bits)) => *bits,
            Some(_) => {
                self.doc.wrong_field("flags", "a whole number", written.get("flags")?);
                return None;
            }
        };
        let known = FLAGS.iter().fold(IDLE_FLAGS, |all, (bit, _)| all | bit);
        if bits & !known != 0 {
            let message = format!("the flags {bits} of a regular expression are not all supported here");
            self.doc.error(codes::UNSUPPORTED, message, &written.get("flags")?.span);
        }
        let words: Vec<&str> = FLAGS.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, word)| *word).collect();
        if !words.is_empty() {
            draft.config.set_at("flags", json!(words), &written.get("flags")?.span);
        }
        Some(())
    }

    pub(crate) fn extract_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        if self.doc.flag(c, "retry", false) {
            let message = "JSON is not corrected by a model here; where nothing is found, that is an error";
            self.doc.warn(codes::NO_EFFECT, message, c.span_of("retry"));
        }
        let queries = self.doc.texts(c, "output_values");
        if queries.is_empty() {
            self.doc.missing(c, "output_values");
            return None;
        }
        let declared = self.doc.properties(c, "outputs").unwrap_or_default();
        let mut draft = Draft::new("extract_json", c);
        let (mut types, mut defaults, mut values) = (Map::new(), Map::new(), Vec::new());
        let mut outputs = Vec::new();
        let renamed = self.doc.texts(c, "output_mapping");
        for (entry, query) in queries {
            values.push((entry.key.to_string(), text(query, &entry.value.span)));
            let outer = renamed.iter().find(|(inner, _)| inner.key == entry.key).map_or(&*entry.key, |(_, o)| *o);
            let mut output = Property::new(&entry.key, Shape::any(), &entry.key_span);
            if let Some(written) = find(&declared, outer) {
                output = Property { title: entry.key.to_string(), ..written.clone() };
                if let Some(word) = word(&written.shape) {
                    types.insert(entry.key.to_string(), word);
                }
                if let Some(default) = written.default.as_ref().and_then(|d| d.to_json().ok()) {
                    defaults.insert(entry.key.to_string(), default);
                }
            }
            outputs.push(output);
        }
        draft.config.put("values", mapping(values, c.span_of("output_values")));
        draft.config.set("types", Json::Object(types)).set("defaults", Json::Object(defaults));
        draft.takes(TEXT, TEXT);
        Some(Reading::new(vec![Property::new(TEXT, Shape::string(), c.span)], outputs, draft))
    }

    pub(crate) fn choice_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let model = self.doc.needed(c, "llm_config", &LLMS).and_then(|llm| self.model(llm));
        let mut draft = Draft::new("choice", c);
        let (mut choices, mut branches, mut next_steps) = (Vec::new(), Vec::new(), Vec::new());
        for item in self.doc.list(c, "next_branches") {
            let words: Vec<&str> = item.items().unwrap_or_default().iter().filter_map(Node::as_str).collect();
            let (name, description, shown) = match words.as_slice() {
                [name, description] => (*name, *description, *name),
                [name, description, shown] => (*name, *description, *shown),
                _ => {
                    let message = "a branch of a choice is a name, a description, and maybe a name that is shown";
                    self.doc.error(codes::WRONG_FIELD, message, &first_line(&item.span));
                    continue;
                }
            };
            choices.push((shown.to_owned(), text(description, &item.span)));
            next_steps
                .push(json!({ "step_name": name, "description": description, "displayed_step_name": shown }));
            draft.branch(shown, name);
            super::control::add(&mut branches, [name.to_owned()]);
        }
        draft.config.put("choices", mapping(choices, c.span_of("next_branches")));
        draft.config.set("otherwise", "default").set("default", "");
        if c.own("without")
            .and_then(Node::items)
            .is_some_and(|keys| keys.iter().any(|k| k.as_str() == Some("otherwise")))
        {
            // A reply without a clear choice is an error.
            draft.dead.push("default".to_owned());
        }
        super::control::add(&mut branches, ["default".to_owned()]);
        let tokens = self.doc.whole(c, "num_tokens", 1, i64::from(u32::MAX)).unwrap_or(7);
        draft.config.set_at("max_tokens", tokens, c.span_of("num_tokens"));
        let mut inputs = vec![Property::new("input", Shape::string(), c.span)];
        if let Some(template) = self.doc.text(c, "prompt_template").filter(|t| t.as_str() != Some("")) {
            inputs = self.jinja_inputs(template, &mut draft)?;
            let written = template.as_str().unwrap_or_default();
            let described = find(&inputs, NEXT_STEPS).map(|_| described(&next_steps));
            draft.config.put("template", text(described.unwrap_or_default() + written, &template.span));
            // The choices are no input of the step.
            inputs.retain(|input| ![NEXT_STEPS, "choices"].contains(&input.title.as_str()));
            draft.inputs.retain(|taken| ![NEXT_STEPS, "choices"].contains(&taken.node.as_str()));
        } else {
            draft.takes_typed("input", "input");
        }
        draft.config.set("model", model?);
        let outputs = vec![
            Property::new("selected_choice", Shape::string(), c.span).or("default"),
            Property::new("llm_output", Shape::string(), c.span),
        ];
        Some(Reading { inputs, outputs, branches, draft })
    }

    pub(crate) fn constant_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let entries = self.doc.map(c, "constant_values");
        if entries.is_empty() {
            self.doc.missing(c, "constant_values");
            return None;
        }
        let mut draft = Draft::new("constant", c);
        let values = entries.iter().map(|entry| (entry.key.to_string(), entry.value.clone()));
        draft.config.put("values", mapping(values, c.span_of("constant_values")));
        let outputs = entries
            .iter()
            .map(|entry| Property::new(&entry.key, constant_shape(&entry.value.to_value()), &entry.key_span));
        let outputs = outputs.collect();
        Some(Reading::new(Vec::new(), outputs, draft))
    }
}

/// What makes a text know the ways of a choice under the name that texts of `WayFlow` have for them.
fn described(next_steps: &[Json]) -> String {
    format!("{{% set {NEXT_STEPS} = {} %}}", Json::from(next_steps))
}

/// The shape of a constant.
pub(crate) fn constant_shape(value: &Value) -> Shape {
    use crate::castable::Form;
    match value {
        Value::Bool(_) => Form::Boolean.into(),
        Value::Int(_) => Form::Integer.into(),
        Value::Float(_) => Form::Number.into(),
        Value::String(_) => Shape::string(),
        Value::Object(_) => Shape::object(),
        Value::List(items) => match items.items() {
            [first, rest @ ..] => {
                let shape = constant_shape(first);
                if rest.iter().all(|one| constant_shape(one) == shape) {
                    Shape::array(shape)
                } else {
                    Shape::array(Shape::any())
                }
            }
            [] => Shape::array(Shape::any()),
        },
        _ => Shape::any(),
    }
}
