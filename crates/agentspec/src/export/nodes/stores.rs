//! Steps that read and write datastores.

use serde_json::{Value as Json, json};

use crate::export::Exporter;
use crate::export::flow::is_late;
use crate::export::node::{NodeOut, StepIn};
use crate::nodes::BOUND;

impl Exporter<'_> {
    fn store_field(&mut self, s: &StepIn<'_>, out: &mut NodeOut) {
        if let Some(store) = s.text("datastore").and_then(|name| self.store(s.env, name)) {
            out.field("datastore", store).says("datastore");
        }
    }

    pub(super) fn datastore(&mut self, s: &StepIn<'_>, kind: &'static str) -> NodeOut {
        let mut out = NodeOut::plugin(kind, s);
        self.store_field(s, &mut out);
        if kind == "PluginDatastoreListNode" {
            // `WayFlow` wants to be told that nothing is said.
            out.field("where", Json::Null)
                .field("limit", Json::Null)
                .field("unpack_single_entity_from_list", false);
        }
        out.same(s, "collection_name", "collection_name").same(s, "where", "where");
        if s.key("limit").is_some_and(|limit| !is_late(limit)) {
            out.same(s, "limit", "limit");
        }
        out.same(s, "unpack_single_entity_from_list", "unpack_single_entity_from_list");
        out.takes_all(s).gives_all(s);
        out
    }

    /// The values of a query are inputs of the step, and fields of the one input that the node has. No node makes an
    /// object of values, so where they come from stands under our own key.
    pub(super) fn datastore_query(&mut self, s: &StepIn<'_>) -> NodeOut {
        let store = s.text("datastore").unwrap_or_default();
        if !s.env.is_relational(store) {
            // A component that stands for a SQLite file is no datastore that is queried.
            return self.custom(s);
        }
        let mut out = NodeOut::plugin("PluginDatastoreQueryNode", s);
        self.store_field(s, &mut out);
        out.same(s, "query", "query").gives_all(s);
        out.field("inputs", json!([{ "title": BOUND, "type": "object", "default": {} }]));
        out
    }
}
