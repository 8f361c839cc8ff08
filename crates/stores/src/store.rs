//! [`Store`]: a datastore that outlives the run.

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::{Answer, Collection, Filter, Query, Row, StoreError, Update};
use flowrun_core::value::Value;

/// Most rows that one step reads; more would fill the memory without anybody having asked for it.
pub const MOST_ROWS: usize = 100_000;

/// A datastore that outlives the run. What it does is an effect, journaled by who asks for it.
pub trait Store: Send + Sync {
    /// Puts a row in.
    fn create<'a>(
        &'a self,
        collection: &'a Arc<Collection>,
        row: &'a Row,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The rows that the filter finds, the first `limit` of them, in the order that the store documents.
    fn list<'a>(
        &'a self,
        collection: &'a Arc<Collection>,
        filter: &'a Filter,
        limit: Option<u32>,
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>>;

    /// Changes the rows that the filter finds, and gives them as they are then.
    fn update<'a>(
        &'a self,
        collection: &'a Arc<Collection>,
        filter: &'a Filter,
        update: &'a Update,
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>>;

    /// Removes the rows that the filter finds, and says how many those were.
    fn delete<'a>(
        &'a self,
        collection: &'a Arc<Collection>,
        filter: &'a Filter,
    ) -> BoxFuture<'a, Result<u64, StoreError>>;

    /// Asks in SQL, with these values for the variables. Nothing can be changed by it.
    fn query<'a>(
        &'a self,
        query: &'a Query,
        values: &'a [(String, Value)],
    ) -> BoxFuture<'a, Result<Answer, StoreError>>;
}

/// The rows, or why there are too many.
pub(crate) fn not_too_many<T>(rows: Vec<T>) -> Result<Vec<T>, StoreError> {
    if rows.len() > MOST_ROWS {
        let message = format!("more than {MOST_ROWS} rows were found");
        return Err(StoreError::new("store.too_many", message).help("ask for fewer, by `where`, `limit` or SQL"));
    }
    Ok(rows)
}
