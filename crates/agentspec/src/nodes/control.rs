//! Nodes that branch, and nodes that run one flow or several.

use flowrun_core::node::{Node, NodeKind};
use serde_json::Value as Json;

use super::{Around, Draft, Reading};
use crate::castable::{Shape, same};
use crate::codes;
use crate::component::{Component, FLOWS};
use crate::config::{mapping, text};
use crate::document::first_line;
use crate::flow::Inner;
use crate::import::Importer;
use crate::property::{Property, find};

/// The input of a branching node that has no name of its own.
const KEY: &str = "branching_mapping_key";
const DEFAULT: &str = "default";

/// Whether a `retry` step gives its flow an input of this name by itself.
fn is_of_trials(name: &str) -> bool {
    ["previous", "previous_error"].contains(&name)
}

/// Adds names that are not there yet.
pub(super) fn add(all: &mut Vec<String>, more: impl IntoIterator<Item = String>) {
    for name in more {
        if !all.contains(&name) {
            all.push(name);
        }
    }
}

impl<'a> Importer<'a> {
    pub(crate) fn branching_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let Some(entry) = c.entry("mapping") else {
            self.doc.missing(c, "mapping");
            return None;
        };
        let Some(entries) = self.doc.resolve(&entry.value)?.entries() else {
            let message = "`mapping` is a mapping from texts to names of branches";
            self.doc.error(codes::BAD_MAPPING, message, &first_line(&entry.value.span));
            return None;
        };
        let (mut cases, mut branches) = (Vec::new(), Vec::new());
        for case in entries {
            match case.value.as_str() {
                Some(branch) => {
                    add(&mut branches, [branch.to_owned()]);
                    cases.push((case.key.to_string(), text(branch, &case.value.span)));
                }
                None => {
                    let message =
                        format!("the branch of `{}` is a {}, not a name", case.key, case.value.type_name());
                    self.doc.error(codes::BAD_MAPPING, message, &first_line(&case.value.span));
                }
            }
        }
        if cases.is_empty() {
            let message = format!("`mapping` of `{}` names no branch", c.name());
            self.doc.error(codes::BAD_MAPPING, message, &first_line(&entry.value.span));
            return None;
        }
        add(&mut branches, [DEFAULT.to_owned()]);
        let declared = self.doc.properties(c, "inputs").unwrap_or_default();
        let name = match declared.as_slice() {
            [only] => only.title.as_str(),
            _ => KEY,
        };
        let mut draft = Draft::new("branch", c);
        draft.config.put("cases", mapping(cases, &entry.value.span));
        draft.takes("value", name);
        let inputs = vec![Property::new(name, Shape::string(), c.span)];
        Some(Reading { inputs, outputs: Vec::new(), branches, draft })
    }

    pub(crate) fn flow_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let inner = self.needed_flow(c, "subflow")?;
        Some(Self::run_flow(c, &inner))
    }

    pub(super) fn run_flow(c: Component<'a>, inner: &Inner) -> Reading {
        let mut draft = Draft::new("flow", c);
        draft.config.set("flow", inner.name.as_str());
        draft.takes_all(&inner.inputs);
        draft.ends_of(inner);
        Reading {
            inputs: inner.inputs.clone(),
            outputs: inner.outputs.clone(),
            branches: inner.branches.clone(),
            draft,
        }
    }

    /// The flow in a field that has to be there.
    pub(crate) fn needed_flow(&self, c: Component<'a>, field: &str) -> Option<std::rc::Rc<Inner>> {
        self.flow(self.doc.needed(c, field, &FLOWS)?)
    }

    pub(crate) fn parallel_flow_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let field = if c.kind == "ParallelFlowNode" { "subflows" } else { "flows" };
        let items = self.doc.list(c, field);
        if items.is_empty() {
            self.doc.missing(c, field);
            return None;
        }
        let mut fine = true;
        let (mut names, mut inputs, mut outputs) = (Vec::new(), Vec::<Property>::new(), Vec::<Property>::new());
        for item in items {
            let Some(inner) = self.doc.component(item, field, &FLOWS).and_then(|flow| self.flow(flow)) else {
                fine = false;
                continue;
            };
            let span = first_line(&item.span);
            for input in &inner.inputs {
                match find(&inputs, &input.title) {
                    Some(other) if !same(&other.shape, &input.shape) => {
                        let message = format!(
                            "flows of `{}` take `{}` as {} and as {}",
                            c.name(),
                            input.title,
                            other.shape.to_type(),
                            input.shape.to_type()
                        );
                        self.doc.error(codes::CLASH, message, &span);
                    }
                    Some(_) => {}
                    None => inputs.push(input.clone()),
                }
            }
            for output in &inner.outputs {
                if find(&outputs, &output.title).is_some() {
                    let message = format!("two flows of `{}` give `{}`", c.name(), output.title);
                    self.doc.error(codes::CLASH, message, &span);
                } else {
                    outputs.push(output.clone());
                }
            }
            names.push(text(inner.name.as_str(), &span));
        }
        let mut draft = Draft::new("parallel", c);
        draft.config.put("flows", Node::new(NodeKind::List(names), c.span_of(field).clone()));
        if let Some(workers) = self.doc.whole(c, "max_workers", 1, 65_536) {
            draft.config.set_at("max_parallel", workers, c.span_of("max_workers"));
        }
        draft.takes_all(&inputs);
        fine.then(|| Reading::new(inputs, outputs, draft))
    }

    pub(crate) fn retry_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let inner = self.needed_flow(c, "flow");
        let until = self.doc.needed_text(c, "success_condition");
        let trials = self.doc.whole(c, "max_num_trials", 0, 20).unwrap_or(5).max(1);
        let (inner, until) = (inner?, until?);
        let condition = until.as_str().unwrap_or_default();
        if find(&inner.outputs, condition).is_none() {
            let message = format!("the flow of `{}` gives no `{condition}`", c.name());
            let wrong = flowrun_core::diagnostics::Diagnostic::error(codes::BAD_COMPONENT, message, &until.span);
            self.doc.report(wrong.suggest(condition, inner.outputs.iter().map(|o| o.title.as_str())));
            return None;
        }
        let mut draft = Draft::new("retry", c);
        draft.config.set("flow", inner.name.as_str());
        draft.config.put("until", text(condition, &until.span));
        draft.config.set_at("max_trials", Json::from(trials), c.span_of("max_num_trials"));
        // What tells a trial of the one before comes from the step itself, where our own metadata says so.
        let by_itself = c.own("gives_trials").is_some();
        let given = |input: &&Property| by_itself && is_of_trials(&input.title);
        let taken: Vec<Property> = inner.inputs.iter().filter(|input| !given(input)).cloned().collect();
        draft.takes_all(&taken);
        if !by_itself && inner.inputs.iter().any(|input| is_of_trials(&input.title)) {
            draft.config.set("hands_on", false);
        }
        draft.ends_of(&inner);
        let mut outputs: Vec<Property> = inner.outputs.iter().filter(|o| o.title != condition).cloned().collect();
        outputs.push(Property::new("retry_step_num_retries", crate::castable::Form::Integer.into(), c.span));
        outputs.push(Property::new("retry_step_success", crate::castable::Form::Boolean.into(), c.span));
        let mut branches = inner.branches.clone();
        add(&mut branches, ["failure".to_owned()]);
        Some(Reading { inputs: inner.inputs.clone(), outputs, branches, draft })
    }
}
