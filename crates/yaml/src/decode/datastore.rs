//! Datastores: what kind each is, and the columns of its collections.

use flowrun_core::node::{Entry, Node, NodeKind};
use flowrun_core::spec::{CollectionSpec, DatastoreSpec};

use super::{Decoder, Key, get, key};

/// The key of a datastore that is not its kind's own.
pub(crate) const COLLECTIONS: Key =
    key("collections", "The collections by name, each with its columns: a name and a type for each.");

const FORM: &str = "write `datastores: { name: { type: memory, collections: { rows: { id: integer } } } }`";

impl Decoder<'_> {
    /// The datastores of a flow, in the order written.
    pub(super) fn datastores(&mut self, entry: &Entry) -> Vec<DatastoreSpec> {
        let Some(entries) = self.entries("datastores", &entry.value, FORM) else { return Vec::new() };
        let mut datastores = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = self.name("datastore", entry);
            let Some(keys) = self.entries(&entry.key, &entry.value, FORM) else { continue };
            let collections = match get(keys, COLLECTIONS.name) {
                Some(found) => self.collections(found),
                None => {
                    self.missing(COLLECTIONS.name, &format!("datastore `{}`", entry.key), &entry.key_span, FORM);
                    Vec::new()
                }
            };
            let own = keys.iter().filter(|e| &*e.key != COLLECTIONS.name).cloned().collect();
            let config = Node { kind: NodeKind::Map(own), ..entry.value.clone() };
            datastores.push(DatastoreSpec { name, config, collections });
        }
        datastores
    }

    fn collections(&mut self, entry: &Entry) -> Vec<CollectionSpec> {
        let help = "write `collections: { name: { column: type } }`";
        let Some(entries) = self.entries(COLLECTIONS.name, &entry.value, help) else { return Vec::new() };
        let mut collections = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = self.name("collection", entry);
            let Some(columns) = self.entries(&entry.key, &entry.value, help) else { continue };
            let columns = columns.iter().filter_map(|column| self.declared("column", column)).collect();
            collections.push(CollectionSpec { name, columns });
        }
        collections
    }
}
