//! Datastores as they are written: collections of rows, each with the types of its columns.

use super::InputSpec;
use crate::diagnostics::Spanned;
use crate::node::Node;

/// A datastore as written.
#[derive(Clone, Debug)]
pub struct DatastoreSpec {
    /// Its name.
    pub name: Spanned<String>,
    /// Its kind and where it is: all keys but `collections`.
    pub config: Node,
    /// What it holds.
    pub collections: Vec<CollectionSpec>,
}

/// A collection of rows.
#[derive(Clone, Debug)]
pub struct CollectionSpec {
    /// Its name.
    pub name: Spanned<String>,
    /// Its columns: what each may hold, and what it holds where a new row says nothing.
    pub columns: Vec<InputSpec>,
}
