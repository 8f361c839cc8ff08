//! [`Store`]: a datastore that outlives the run.

use std::sync::Arc;

use flowrun_core::value::Value;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::{Answer, Collection, Filter, Query, Row, StoreError, Update};

/// Most rows that one step reads; more would fill the memory without anybody having asked for it.
pub const MOST_ROWS: usize = 100_000;

/// A change of a collection.
#[derive(Clone, Debug)]
pub enum Change {
    /// Puts a row in.
    Create(Row),
    /// Changes the rows that the filter finds.
    Update(Filter, Update),
    /// Removes the rows that the filter finds.
    Delete(Filter),
}

/// What a change came to, as a store keeps it beside the change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// Rows that were changed, as they are then.
    pub rows: Vec<Vec<Value>>,
    /// How many were removed.
    pub removed: u64,
}

/// The mark of a change that must be made once and no more, also if the process dies between the change and the journal.
///
/// A store keeps it in the transaction of the change, in a table of its own, and makes no change whose mark it has. The
/// marks of a run go when it has finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    run: String,
    key: String,
}

impl Once {
    /// The mark of an effect of a run; both are said so that no other run and no other effect has the same.
    pub fn new(run: &str, effect: &str) -> Self {
        Self { run: run.to_owned(), key: format!("{run}/{effect}") }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Where the marks of a run begin and end, in the order of bytes.
    pub(crate) fn range(run: &str) -> (String, String) {
        (format!("{run}/"), format!("{run}0"))
    }
}

/// The table in which marks are kept.
pub(crate) const MARKS: &str = "flowrun_effects";

/// A datastore that outlives the run. What it does is an effect, journaled by who asks for it.
pub trait Store: Send + Sync {
    /// Makes a change; with a mark, once.
    fn change<'a>(
        &'a self,
        collection: &'a Arc<Collection>,
        change: &'a Change,
        once: Option<&'a Once>,
    ) -> BoxFuture<'a, Result<Changed, StoreError>>;

    /// The run has finished: its marks are not needed any more.
    fn forget<'a>(&'a self, run: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The rows that the filter finds, the first `limit` of them, in the order that the store documents.
    fn list<'a>(
        &'a self,
        collection: &'a Arc<Collection>,
        filter: &'a Filter,
        limit: Option<u32>,
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>>;

    /// Puts a row in.
    fn create<'a>(
        &'a self,
        collection: &'a Arc<Collection>,
        row: &'a Row,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move { self.change(collection, &Change::Create(Arc::clone(row)), None).await.map(drop) }.boxed()
    }

    /// Changes the rows that the filter finds, and gives them as they are then.
    fn update<'a>(
        &'a self,
        collection: &'a Arc<Collection>,
        filter: &'a Filter,
        update: &'a Update,
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        async move {
            let change = Change::Update(filter.clone(), update.clone());
            let changed = self.change(collection, &change, None).await?;
            changed.rows.into_iter().map(|row| collection.read(row)).collect()
        }
        .boxed()
    }

    /// Removes the rows that the filter finds, and says how many those were.
    fn delete<'a>(
        &'a self,
        collection: &'a Arc<Collection>,
        filter: &'a Filter,
    ) -> BoxFuture<'a, Result<u64, StoreError>> {
        async move {
            self.change(collection, &Change::Delete(filter.clone()), None).await.map(|changed| changed.removed)
        }
        .boxed()
    }

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
