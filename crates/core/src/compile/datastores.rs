//! The datastores of a document: found by name from the inside out, decoded once, their columns checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Compiler, Env, codes};
use crate::diagnostics::Diagnostic;
use crate::flow::DatastoreDefinition;
use crate::schema;
use crate::spec::{CollectionSpec, DatastoreSpec};
use crate::types::{Kind, Type};

/// All definitions so far; a step knows a datastore by its place here.
#[derive(Default)]
pub(super) struct Datastores {
    all: Vec<Arc<DatastoreDefinition>>,
    /// Place by the path of the defining flow and the name; none for one with errors.
    places: BTreeMap<(String, String), Option<usize>>,
}

impl Datastores {
    pub(super) fn finish(self) -> Vec<Arc<DatastoreDefinition>> {
        self.all
    }

    pub(super) fn get(&self, place: usize) -> Option<Arc<DatastoreDefinition>> {
        self.all.get(place).cloned()
    }
}

impl Compiler<'_> {
    /// Decodes the datastores that this flow defines.
    pub(super) fn define_datastores(&self, env: &Env<'_>) {
        for definition in &env.spec.datastores {
            let name = &definition.name.value;
            if env.parent.is_some_and(|parent| parent.find_datastore(name).is_some()) {
                let message = format!("the datastore `{name}` hides another datastore of that name further out");
                self.report(Diagnostic::warning(codes::SHADOWED, message, &definition.name.span));
            }
            let place = self.datastores.borrow().all.len();
            let decoded = self.define_datastore(definition, place);
            let mut datastores = self.datastores.borrow_mut();
            let place = decoded.map(|definition| {
                datastores.all.push(Arc::new(definition));
                place
            });
            datastores.places.insert((env.path.clone(), name.clone()), place);
        }
    }

    fn define_datastore(&self, definition: &DatastoreSpec, place: usize) -> Option<DatastoreDefinition> {
        let name = &definition.name.value;
        let Some(datastore_schema) = self.registry.datastore_schema() else {
            let message = "this program has no datastores";
            self.report(Diagnostic::error(codes::UNKNOWN_DATASTORE, message, &definition.name.span));
            return None;
        };
        let mut wrong = schema::check(&definition.config, datastore_schema, &format!("datastore `{name}`"));
        let decoded = self.registry.decode_datastore(&definition.config)?;
        let decoded = match decoded {
            Ok(decoded) => Some(decoded),
            Err(error) => {
                if !wrong.has_errors() {
                    wrong.push(error.into_diagnostic(codes::BAD_CONFIG));
                }
                None
            }
        };
        for problem in definition.collections.iter().flat_map(wrong_columns) {
            wrong.push(problem);
        }
        let failed = wrong.has_errors();
        self.found.borrow_mut().extend(wrong);
        let entries = definition.config.entries().unwrap_or_default().iter();
        Some(DatastoreDefinition {
            name: name.clone(),
            place,
            config: decoded.filter(|_| !failed)?,
            collections: definition.collections.clone(),
            span: definition.name.span.clone(),
            keys: entries.map(|e| (e.key.to_string(), e.value.span.clone())).collect(),
        })
    }

    /// The nearest datastore of this name.
    pub(super) fn datastore_place(&self, env: &Env<'_>, name: &str) -> Named {
        let Some((owner, _)) = env.find_datastore(name) else { return Named::Nowhere };
        let datastores = self.datastores.borrow();
        match datastores.places.get(&(owner.path.clone(), name.to_owned())) {
            Some(Some(place)) => Named::At(*place),
            _ => Named::Wrong,
        }
    }
}

/// What a name of a datastore leads to.
pub(super) enum Named {
    /// A datastore, by its place among those of the document.
    At(usize),
    /// One that has errors, which are reported where it stands.
    Wrong,
    /// None.
    Nowhere,
}

pub(super) fn names<'a>(env: &'a Env<'a>) -> impl Iterator<Item = &'a str> {
    env.chain().flat_map(|e| e.spec.datastores.iter().map(|d| d.name.value.as_str()))
}

/// Columns that hold what no store can, and collections without any.
fn wrong_columns(collection: &CollectionSpec) -> Vec<Diagnostic> {
    let name = &collection.name.value;
    if collection.columns.is_empty() {
        let message = format!("the collection `{name}` has no columns");
        let wrong = Diagnostic::error(codes::BAD_CONFIG, message, &collection.name.span);
        return vec![wrong.help("write `NAME: { COLUMN: type }`")];
    }
    let no_cell = |column_type: &Type| has_table(column_type) || column_type.kind == Kind::Null;
    let wrong = collection.columns.iter().filter(|c| no_cell(&c.value_type));
    wrong
        .map(|column| {
            let message =
                format!("the column `{}` of `{name}` cannot hold {}", column.name.value, column.value_type);
            Diagnostic::error(codes::BAD_CONFIG, message, &column.name.span)
        })
        .collect()
}

fn has_table(found: &Type) -> bool {
    match &found.kind {
        Kind::Table => true,
        Kind::List(item) => has_table(item),
        Kind::Object(fields) => fields.values().any(has_table),
        Kind::Union(members) => members.iter().any(has_table),
        _ => false,
    }
}
