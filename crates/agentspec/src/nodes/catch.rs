//! Nodes that catch errors: a `catch` step.

use flowrun_core::types::{Kind, Type};
use flowrun_core::value::{Object, Value};
use serde_json::{Map, Value as Json};

use super::control::add;
use super::{Around, Draft, Reading};
use crate::castable::{Form, Shape};
use crate::codes;
use crate::component::Component;
use crate::config::{mapping, text};
use crate::import::Importer;
use crate::property::{Property, find};

const INFO: &str = "caught_exception_info";
const CAUGHT: &str = "caught_exception_branch";
const NAME: &str = "exception_name";
const PAYLOAD: &str = "exception_payload_name";
/// The branch of an error that nothing names, here and in `WayFlow`.
const REST: &str = "default_exception_branch";

impl<'a> Importer<'a> {
    pub(crate) fn catch_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let inner = self.needed_flow(c, "subflow")?;
        let declared = self.doc.properties(c, "outputs").unwrap_or_default();
        let mut draft = Draft::new("catch", c);
        draft.config.set("flow", inner.name.as_str()).set("catch_all", true);
        let mut defaults = Map::new();
        for output in &inner.outputs {
            let default = find(&declared, &output.title).and_then(|p| p.default.clone());
            match default.or_else(|| output.default.clone()) {
                Some(default) => {
                    defaults.insert(output.title.clone(), default.to_json().unwrap_or_default());
                }
                None => {
                    let message = format!("`{}` gives `{}`, which has no default", c.name(), output.title);
                    let span = find(&declared, &output.title).map_or(c.name_span(), |p| &p.span);
                    self.doc.error(codes::NO_DEFAULT, message, span);
                }
            }
        }
        draft.config.set("defaults", Json::Object(defaults));
        draft.takes_all(&inner.inputs);
        draft.gives(PAYLOAD, INFO).branch(REST, CAUGHT);
        draft.ends_of(&inner);
        let mut outputs = inner.outputs.clone();
        outputs.push(Property::new(INFO, Shape::string().or_null(), c.span).or(Value::Null));
        let mut branches = inner.branches.clone();
        add(&mut branches, [CAUGHT.to_owned()]);
        Some(Reading { inputs: inner.inputs.clone(), outputs, branches, draft })
    }

    pub(crate) fn plugin_catch_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let inner = self.needed_flow(c, "flow")?;
        let every = self.doc.flag(c, "catch_all_exceptions", false);
        let declared = self.doc.properties(c, "outputs").unwrap_or_default();
        let mut draft = Draft::new("catch", c);
        draft.config.set("flow", inner.name.as_str()).set("catch_all", every).set("class_names", true);
        let mut branches = inner.branches.clone();
        let mut caught = Vec::new();
        for (entry, branch) in self.doc.texts(c, "except_on") {
            add(&mut branches, [branch.to_owned()]);
            if names_an_error(&entry.key) {
                caught.push((entry.key.to_string(), text(branch, &entry.value.span)));
            } else {
                let message =
                    format!("nothing here raises `{}`, so the branch `{branch}` is never taken", entry.key);
                self.doc.warn(codes::NO_SUCH_EXCEPTION, message, &entry.key_span);
                draft.dead.push(branch.to_owned());
            }
        }
        let taken: Vec<String> =
            caught.iter().filter_map(|(_, branch)| branch.as_str().map(str::to_owned)).collect();
        draft.dead.retain(|branch| !taken.contains(branch));
        if every {
            add(&mut branches, [REST.to_owned()]);
        }
        let span = c.span_of("except_on").clone();
        draft.config.put("except_on", mapping(caught, &span));
        let mut defaults = Map::new();
        for output in &inner.outputs {
            let default = find(&declared, &output.title).and_then(|p| p.default.clone());
            let default =
                default.or_else(|| output.default.clone()).unwrap_or_else(|| type_default(&output.shape));
            defaults.insert(output.title.clone(), default.to_json().unwrap_or_default());
        }
        for own in [NAME, PAYLOAD] {
            let default = find(&declared, own).and_then(|p| p.default.as_ref()?.to_json().ok());
            defaults.insert(own.to_owned(), default.unwrap_or_else(|| "".into()));
        }
        draft.config.set("defaults", Json::Object(defaults));
        if !every && taken.is_empty() {
            self.doc.error(
                codes::UNSUPPORTED,
                format!("`{}` catches no error that there is here", c.name()),
                c.name_span(),
            );
            return None;
        }
        draft.takes_all(&inner.inputs);
        draft.ends_of(&inner);
        let mut outputs = inner.outputs.clone();
        outputs.extend([NAME, PAYLOAD].map(|name| Property::new(name, Shape::string(), c.span).or("")));
        Some(Reading { inputs: inner.inputs.clone(), outputs, branches, draft })
    }
}

/// Whether a key of `except_on` is a code, a kind, a status, or the class of an error that a tool says.
fn names_an_error(key: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let status = key.len() == 3 && key.starts_with(|c: char| c.is_ascii_digit());
    let code = key.contains('.')
        && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._*".contains(c));
    let class = key.starts_with(|c: char| c.is_ascii_uppercase()) && key.chars().all(word);
    status || code || class
}

/// What `WayFlow` takes for a value of a type that has no default.
fn type_default(shape: &Shape) -> Value {
    match &shape.form {
        Form::Any | Form::Null => Value::Null,
        Form::String => "".into(),
        Form::Boolean => Value::Bool(false),
        Form::Integer => Value::Int(0),
        Form::Number => Value::Float(0.0),
        Form::Array(_) => Vec::<Value>::new().into(),
        Form::Object { fields, .. } => {
            let fields = fields.iter().map(|(name, shape)| (name.as_str().into(), type_default(shape)));
            Value::Object(fields.collect::<Object>())
        }
        Form::Union(members) => members.first().map_or(Value::Null, type_default),
        Form::Own(own) => own_default(own),
    }
}

fn own_default(own: &Type) -> Value {
    if own.kind == Kind::Path { "".into() } else { Value::Null }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_from_classes() {
        for (key, is) in [
            ("model.truncated", true),
            ("model.*", true),
            ("429", true),
            ("5xx", true),
            ("ValueError", true),
            ("json.JSONDecodeError", false),
        ] {
            assert_eq!(names_an_error(key), is, "{key}");
        }
    }
}
