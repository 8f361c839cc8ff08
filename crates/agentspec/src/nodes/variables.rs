//! Nodes that read and write variables of an `ExtendedFlow`.

use flowrun_core::diagnostics::Diagnostic;
use serde_json::{Map, Value as Json, json};

use super::{Around, Draft, Reading};
use crate::castable::Shape;
use crate::codes;
use crate::component::Component;
use crate::import::Importer;
use crate::property::{Property, find};

const OPERATIONS: &[&str] = &["overwrite", "merge", "insert"];
const VALUE: &str = "value";

impl<'a> Importer<'a> {
    fn known_variable<'s>(&self, around: &'s Around<'_>, variable: &Property) -> Option<&'s Property> {
        let found = find(around.variables, &variable.title);
        if found.is_none() {
            let message = format!("the `state` of the flow has no variable `{}`", variable.title);
            let wrong = Diagnostic::error(codes::UNKNOWN_VARIABLE, message, &variable.span);
            let known = around.variables.iter().map(|v| v.title.as_str());
            self.doc.report(wrong.suggest(&variable.title, known));
        }
        found
    }

    fn one_variable<'s>(&self, c: Component<'a>, around: &'s Around<'_>) -> Option<&'s Property> {
        let Some(entry) = c.entry("variable") else {
            self.doc.missing(c, "variable");
            return None;
        };
        let written = self.doc.property(self.doc.resolve(&entry.value)?)?;
        self.known_variable(around, &written)
    }

    pub(crate) fn read_variable_node(&self, c: Component<'a>, around: &Around<'_>) -> Option<Reading> {
        let variable = self.one_variable(c, around)?;
        let mut draft = Draft::new("read_variable", c);
        draft.config.set_at("variable", variable.title.as_str(), c.span_of("variable"));
        let output = Property { default: None, ..variable.clone() }.titled(VALUE);
        Some(Reading::new(Vec::new(), vec![output], draft))
    }

    pub(crate) fn write_variable_node(&self, c: Component<'a>, around: &Around<'_>) -> Option<Reading> {
        let variable = self.one_variable(c, around)?;
        let operation = match self.doc.text(c, "operation") {
            None => "overwrite",
            Some(word) => self.operation(word)?,
        };
        let mut draft = Draft::new("write_variable", c);
        draft.config.set_at("variable", variable.title.as_str(), c.span_of("variable"));
        draft.config.set_at("operation", operation, c.span_of("operation"));
        draft.takes(VALUE, VALUE);
        Some(Reading::new(vec![written(variable, operation).titled(VALUE)], Vec::new(), draft))
    }

    pub(crate) fn variable_node(&self, c: Component<'a>, around: &Around<'_>) -> Option<Reading> {
        let mut fine = true;
        let mut named = |field: &str| -> Vec<&Property> {
            let written = self.doc.properties(c, field).unwrap_or_default();
            let found: Vec<_> = written.iter().filter_map(|v| self.known_variable(around, v)).collect();
            fine &= found.len() == written.len();
            found
        };
        let (writes, reads) = (named("write_variables"), named("read_variables"));
        let field = if c.entry("write_operations").is_some() { "write_operations" } else { "operations" };
        let mut operations = Map::new();
        for entry in self.doc.map(c, field) {
            if find_in(&writes, &entry.key) {
                let word = self.doc.resolve(&entry.value).and_then(|word| self.operation(word))?;
                operations.insert(entry.key.to_string(), json!(word));
            } else {
                let message = format!("`{field}` names `{}`, which `{}` does not write", entry.key, c.name());
                self.doc.error(codes::UNKNOWN_VARIABLE, message, &entry.key_span);
            }
        }
        if writes.is_empty() && reads.is_empty() && fine {
            let message = format!("`{}` neither writes nor reads a variable", c.name());
            self.doc.error(codes::BAD_COMPONENT, message, c.name_span());
            return None;
        }
        let names = |all: &[&Property]| Json::from(all.iter().map(|v| v.title.clone()).collect::<Vec<_>>());
        let mut draft = Draft::new("variables", c);
        draft.config.set_at("write_variables", names(&writes), c.span_of("write_variables"));
        draft.config.set_at("read_variables", names(&reads), c.span_of("read_variables"));
        let inputs: Vec<Property> = writes
            .iter()
            .map(|v| written(v, operations.get(&v.title).and_then(Json::as_str).unwrap_or("overwrite")))
            .collect();
        draft.config.set_at("write_operations", Json::Object(operations), c.span_of(field));
        draft.takes_all(&inputs);
        let outputs = reads.into_iter().map(|v| Property { default: None, ..v.clone() }).collect();
        fine.then(|| Reading::new(inputs, outputs, draft))
    }

    fn operation(&self, word: &'a flowrun_core::node::Node) -> Option<&'static str> {
        let found = word.as_str().and_then(|word| OPERATIONS.iter().find(|known| **known == word));
        if found.is_none() {
            let message = "an operation on a variable is overwrite, merge or insert";
            self.doc.error(codes::WRONG_FIELD, message, &word.span);
        }
        found.copied()
    }
}

fn find_in(all: &[&Property], title: &str) -> bool {
    all.iter().any(|property| property.title == title)
}

/// What is written to a variable: `insert` takes one item of a list. Where nothing is, it is the variable's default.
fn written(variable: &Property, operation: &str) -> Property {
    if operation == "insert" {
        let item = variable.shape.item().unwrap_or_else(Shape::any);
        return Property { shape: item, default: None, ..variable.clone() };
    }
    variable.clone()
}
