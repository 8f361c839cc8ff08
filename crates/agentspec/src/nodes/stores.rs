//! Nodes that read and write datastores.

use super::{Around, Draft, Reading, strings};
use crate::castable::Shape;
use crate::codes;
use crate::component::{Component, DATASTORES};
use crate::import::Importer;
use crate::property::Property;

pub(super) const FIELDS: &[&str] = &[
    "datastore",
    "collection_name",
    "where",
    "limit",
    "unpack_single_entity_from_list",
    "query",
    // Names of ports, which the exporter writes and nobody may change.
    "ENTITY",
    "ENTITIES",
    "CREATED_ENTITY",
    "UPDATE",
    "RESULT",
];

pub(crate) const BOUND: &str = "bind_variables";

impl<'a> Importer<'a> {
    /// The datastore, the collection and the condition of a node, and the inputs that their texts read.
    fn collection(&self, c: Component<'a>, draft: &mut Draft) -> Option<Vec<Property>> {
        let store = self.doc.needed(c, "datastore", &DATASTORES).and_then(|store| self.datastore(store));
        let collection = self.doc.needed_text(c, "collection_name");
        draft.config.set_at("datastore", store?, c.span_of("datastore"));
        let collection = collection?;
        let mut inputs = self.jinja_inputs(collection, draft)?;
        draft.config.put("collection_name", collection.clone());
        if let Some(condition) = self.doc.get(c, "where") {
            let mut texts = Vec::new();
            strings(condition, &mut texts);
            for text in texts {
                for input in self.jinja_inputs(text, draft)? {
                    if crate::property::find(&inputs, &input.title).is_none() {
                        inputs.push(input);
                    }
                }
            }
            draft.config.put("where", condition.clone());
        }
        // A column gets the value as it comes, whatever a text would make of it.
        for taken in &mut draft.inputs {
            taken.typed = false;
        }
        Some(inputs)
    }

    pub(crate) fn create_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let mut draft = Draft::new("datastore_create", c);
        let mut inputs = self.collection(c, &mut draft)?;
        draft.takes("entity", "entity");
        inputs.push(Property::new("entity", Shape::object(), c.span));
        Some(Reading::new(inputs, vec![Property::new("created_entity", Shape::object(), c.span)], draft))
    }

    pub(crate) fn list_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let mut draft = Draft::new("datastore_list", c);
        let inputs = self.collection(c, &mut draft)?;
        if let Some(limit) = self.doc.whole(c, "limit", 1, i64::MAX) {
            draft.config.set_at("limit", limit, c.span_of("limit"));
        }
        let alone = self.doc.flag(c, "unpack_single_entity_from_list", false);
        if alone {
            draft.config.set_at(
                "unpack_single_entity_from_list",
                true,
                c.span_of("unpack_single_entity_from_list"),
            );
        }
        let shape = if alone { Shape::object() } else { Shape::array(Shape::object()) };
        Some(Reading::new(inputs, vec![Property::new("entities", shape, c.span)], draft))
    }

    pub(crate) fn update_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let mut draft = Draft::new("datastore_update", c);
        let mut inputs = self.collection(c, &mut draft)?;
        draft.takes("update", "update");
        inputs.push(Property::new("update", Shape::object(), c.span));
        let outputs = vec![Property::new("entities", Shape::array(Shape::object()), c.span)];
        Some(Reading::new(inputs, outputs, draft))
    }

    pub(crate) fn delete_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let mut draft = Draft::new("datastore_delete", c);
        let inputs = self.collection(c, &mut draft)?;
        Some(Reading::new(inputs, Vec::new(), draft))
    }

    pub(crate) fn query_node(&self, c: Component<'a>, _: &Around<'_>) -> Option<Reading> {
        let store = self.doc.needed(c, "datastore", &DATASTORES).and_then(|store| self.datastore(store));
        let query = self.doc.needed_text(c, "query");
        let (store, query) = (store?, query?);
        let written = query.as_str().unwrap_or_default();
        if written.contains("{{") || written.contains("{%") {
            let message = "a query has no holes: values come in as `:name`, from `bind_variables`";
            self.doc.error(codes::WRONG_FIELD, message, &crate::document::first_line(&query.span));
        }
        let mut draft = Draft::new("datastore_query", c);
        draft.config.set_at("datastore", store, c.span_of("datastore"));
        draft.config.put("query", query.clone());
        // Where our own metadata says what each value is, there is no object to take apart.
        if c.own("with").is_none() {
            draft.fields_of = Some((BOUND.to_owned(), bound_names(written)));
        }
        let inputs = vec![Property::new(BOUND, Shape::object(), c.span)];
        let outputs = vec![Property::new("result", Shape::array(Shape::object()), c.span)];
        Some(Reading::new(inputs, outputs, draft))
    }
}

/// The names of the values of a query, in the order of their first use: `:name`, but in no text and no comment.
pub(crate) fn bound_names(query: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut rest = query;
    while let Some(at) = rest.find([':', '\'', '"', '-', '/']) {
        let (mark, after) = rest[at..].split_at(1);
        rest = match mark {
            "'" | "\"" => after.split_once(mark).map_or("", |(_, rest)| rest),
            "-" if after.starts_with('-') => after.split_once('\n').map_or("", |(_, rest)| rest),
            "/" if after.starts_with('*') => after.split_once("*/").map_or("", |(_, rest)| rest),
            // `::` is a cast.
            ":" if after.starts_with(':') => &after[1..],
            ":" => {
                let end = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
                let name = &after[..end];
                let begins = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
                if begins && !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
                &after[end..]
            }
            _ => after,
        };
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_query_are_found() {
        for (query, expected) in [
            ("select * from t where a = :a and b > :b_1 or c = :a", vec!["a", "b_1"]),
            ("select ':no', \":no\" from t -- :no\n where x = :yes", vec!["yes"]),
            ("select a::text /* :no */ from t", vec![]),
            ("select 1 - 2, 3 / 4, '12:30'", vec![]),
        ] {
            assert_eq!(bound_names(query), expected, "{query}");
        }
    }
}
