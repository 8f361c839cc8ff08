//! The memory store: rows for the length of a run, shared by all frames, forked for each item of a map.

use std::collections::BTreeMap;
use std::sync::Arc;

use flowrun_core::error::StepError;
use flowrun_core::execute::Kept;
use flowrun_core::value::{Object, ObjectBuilder, Value};

use crate::store::not_too_many;
use crate::{Collection, Filter, Row, Schema, StoreError, Update};

const ADD: &str = "add";
const WHERE: &str = "where";
const SET: &str = "set";
const FROM: &str = "collection";

/// The rows of a memory store. A clone is cheap; the first change of a collection copies the handles of its rows.
#[derive(Clone, Debug)]
pub struct Memory {
    schema: Arc<Schema>,
    rows: BTreeMap<String, Arc<Vec<Row>>>,
}

impl Memory {
    /// A store without any rows.
    pub fn new(schema: Arc<Schema>) -> Self {
        Self { schema, rows: BTreeMap::new() }
    }

    /// The rows that the filter finds, the first `limit` of them, in the order in which they were put in.
    ///
    /// # Errors
    /// `store.too_many`.
    pub fn list(
        &self,
        collection: &Collection,
        filter: &Filter,
        limit: Option<u32>,
    ) -> Result<Vec<Row>, StoreError> {
        let limit = limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let rows = self.rows.get(&collection.name).into_iter().flat_map(|rows| rows.iter());
        not_too_many(rows.filter(|row| filter.holds(row)).take(limit).cloned().collect())
    }

    /// How many rows the filter finds.
    pub fn count(&self, collection: &Collection, filter: &Filter) -> u64 {
        let rows = self.rows.get(&collection.name).into_iter().flat_map(|rows| rows.iter());
        rows.filter(|row| filter.holds(row)).count() as u64
    }

    /// The change that puts a row in.
    pub fn adding(collection: &Collection, row: &Row) -> Value {
        change(collection, &[(ADD, collection.object(row))])
    }

    /// The change that changes rows.
    pub fn updating(collection: &Collection, filter: &Filter, update: &Update) -> Value {
        let (filter, update) = (collection.named(&filter.0), collection.named(&update.0));
        change(collection, &[(WHERE, filter), (SET, update)])
    }

    /// The change that removes rows.
    pub fn deleting(collection: &Collection, filter: &Filter) -> Value {
        change(collection, &[(WHERE, collection.named(&filter.0))])
    }

    fn make(&mut self, change: &Object) -> Result<(), StoreError> {
        let unknown = || StoreError::new("store.change", "a kept change of a memory store cannot be read");
        let part = |name: &str| change.get(name).and_then(Value::as_object);
        let name = change.get(FROM).and_then(Value::as_str).ok_or_else(unknown)?;
        let collection = Arc::clone(self.schema.collection(name)?);
        let rows = Arc::make_mut(self.rows.entry(name.to_owned()).or_default());
        if let Some(row) = part(ADD) {
            rows.push(collection.row(row)?);
            return Ok(());
        }
        let filter = part(WHERE).ok_or_else(unknown)?;
        let filter = collection.filter(filter.iter().map(|(name, value)| (&**name, value.clone())))?;
        match part(SET) {
            Some(update) => {
                let update = collection.update(update)?;
                for row in rows.iter_mut().filter(|row| filter.holds(row)) {
                    *row = update.of(row);
                }
            }
            None => rows.retain(|row| !filter.holds(row)),
        }
        Ok(())
    }
}

impl Collection {
    fn named(&self, values: &[(usize, Value)]) -> Object {
        values
            .iter()
            .map(|(place, value)| (Arc::from(self.columns[*place].name.as_str()), value.clone()))
            .collect()
    }
}

fn change(collection: &Collection, parts: &[(&str, Object)]) -> Value {
    let mut change = ObjectBuilder::default();
    change.set(FROM, collection.name.as_str());
    for (name, part) in parts {
        change.set(*name, part.clone());
    }
    change.finish().into()
}

impl Kept for Memory {
    fn apply(&mut self, change: &Value) -> Result<(), StepError> {
        let change = change.as_object().ok_or_else(|| StepError::new("store.change", "a change is an object"))?;
        Ok(self.make(change)?)
    }

    fn fork(&self) -> Box<dyn Kept> {
        Box::new(self.clone())
    }
}
