//! The datastores of a run, as steps reach them.

use std::sync::Arc;
use std::time::Duration;

use flowrun_core::diagnostics::Span;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::flow::DatastoreDefinition;
use flowrun_core::value::{Object, Value};
use flowrun_stores::{
    Answer, Change, Changed, Collection, Filter, Memory, Once, Postgres, Query, Row, Schema, Sqlite, Store,
    StoreConfig, StoreError, Update,
};

use crate::Files;

/// The datastores of a document, by their place in it. None is opened before a step uses it.
#[derive(Default)]
pub struct Stores(Vec<OpenStore>);

/// What no other run has, and this one has in all its processes. A run that is not journaled has none.
#[derive(Clone, Debug)]
pub struct RunMark(pub String);

/// A datastore that cannot be used, and the place in the file that says so.
#[derive(Debug)]
pub struct Refused {
    /// Where.
    pub span: Span,
    /// Why.
    pub error: StepError,
}

/// A datastore: where it is, and what it may hold.
pub(crate) struct OpenStore {
    schema: Arc<Schema>,
    backend: Backend,
}

enum Backend {
    /// Kept by the run itself, under this name.
    Memory(String),
    Lasting(Box<dyn Store>),
}

impl Stores {
    /// The datastores of a document; files are where `files` allows them to be written. In a preview, what is in
    /// files and on servers stays as it is.
    ///
    /// # Errors
    /// Every file that may not be written, and every address that is none.
    pub fn bind(
        definitions: &[Arc<DatastoreDefinition>],
        files: &Files,
        preview: bool,
    ) -> Result<Self, Vec<Refused>> {
        let (mut stores, mut refused) = (Vec::with_capacity(definitions.len()), Vec::new());
        for definition in definitions {
            match OpenStore::bind(definition, files, preview) {
                Ok(store) => stores.push(store),
                Err((key, error)) => {
                    let span = definition.keys.iter().find(|(name, _)| name == key).map(|(_, span)| span);
                    refused.push(Refused { span: span.unwrap_or(&definition.span).clone(), error: *error });
                }
            }
        }
        if refused.is_empty() { Ok(Self(stores)) } else { Err(refused) }
    }

    /// The run has finished: what stores remember so that it changes nothing twice goes.
    ///
    /// # Errors
    /// The first store's that cannot do it.
    pub async fn forget(&self, mark: &RunMark) -> Result<(), StepError> {
        for store in &self.0 {
            if let Backend::Lasting(store) = &store.backend {
                store.forget(&mark.0).await?;
            }
        }
        Ok(())
    }
}

/// The datastore of this name, as the step's signature asked for it.
pub(crate) fn store<'a>(cx: &'a StepCx<'_>, name: &str) -> Result<&'a OpenStore, StepError> {
    let stores: &Stores = cx.resource()?;
    cx.datastore(name)
        .and_then(|place| stores.0.get(place))
        .ok_or_else(|| StepError::new("engine.resource", format!("the run has no datastore `{name}`")).fatal())
}

impl OpenStore {
    fn bind(
        definition: &DatastoreDefinition,
        files: &Files,
        preview: bool,
    ) -> Result<Self, (&'static str, Box<StepError>)> {
        let schema = Arc::new(Schema::new(&definition.name, &definition.collections));
        let wrong = || StepError::new("engine.resource", "its configuration is of another program");
        let config: &StoreConfig = definition.config.downcast_ref().ok_or_else(|| ("type", Box::new(wrong())))?;
        let seconds = |n: &u32| Duration::from_secs((*n).into());
        let backend = match config {
            StoreConfig::Memory {} => Backend::Memory(format!("datastore/{}", definition.place)),
            StoreConfig::Sqlite { path, timeout } => {
                let place = files.to_write(path).map_err(|e| ("path", Box::new(e)))?;
                if path.is_empty() || place.is_dir() {
                    let error = StepError::new("store.open", format!("`{path}` is no file"));
                    return Err(("path", Box::new(error)));
                }
                let shown = format!("`{path}`");
                let store = Sqlite::new(place, shown, Arc::clone(&schema), seconds(timeout), preview);
                Backend::Lasting(Box::new(store))
            }
            StoreConfig::Postgres { url, create_tables, timeout } => {
                let store = Postgres::new(url, Arc::clone(&schema), *create_tables, seconds(timeout), preview);
                Backend::Lasting(Box::new(store.map_err(|e| ("url", Box::new(e.into())))?))
            }
        };
        Ok(Self { schema, backend })
    }

    /// The collection of this name.
    pub(crate) fn collection(&self, name: &str) -> Result<&Arc<Collection>, StepError> {
        Ok(self.schema.collection(name)?)
    }

    fn begin(&self) -> impl FnOnce() -> Memory {
        let schema = Arc::clone(&self.schema);
        move || Memory::new(schema)
    }

    /// Puts a row in.
    pub(crate) async fn create(
        &self,
        cx: &StepCx<'_>,
        collection: &Arc<Collection>,
        row: &Row,
    ) -> Result<(), StepError> {
        match &self.backend {
            Backend::Memory(name) => cx.change(name, self.begin(), Memory::adding(collection, row)),
            Backend::Lasting(store) => {
                self.write(cx, &**store, collection, Change::Create(Arc::clone(row))).await.map(drop)
            }
        }
    }

    /// The rows that the filter finds, the first `limit` of them.
    pub(crate) async fn list(
        &self,
        cx: &StepCx<'_>,
        collection: &Arc<Collection>,
        filter: &Filter,
        limit: Option<u32>,
    ) -> Result<Vec<Row>, StepError> {
        match &self.backend {
            Backend::Memory(name) => {
                let list = |memory: &Memory| memory.list(collection, filter, limit);
                Ok(cx.look(name, self.begin(), list)??)
            }
            Backend::Lasting(store) => {
                let read = || async { Ok(plain(store.list(collection, filter, limit).await?)) };
                typed(collection, cx.effect("read", read).await?)
            }
        }
    }

    /// Changes the rows that the filter finds, and gives them as they are then.
    pub(crate) async fn update(
        &self,
        cx: &StepCx<'_>,
        collection: &Arc<Collection>,
        filter: &Filter,
        update: &Update,
    ) -> Result<Vec<Row>, StepError> {
        match &self.backend {
            Backend::Memory(name) => {
                let list = |memory: &Memory| memory.list(collection, filter, None);
                let before = cx.look(name, self.begin(), list)??;
                cx.change(name, self.begin(), Memory::updating(collection, filter, update))?;
                Ok(before.iter().map(|row| update.of(row)).collect())
            }
            Backend::Lasting(store) => {
                let change = Change::Update(filter.clone(), update.clone());
                typed(collection, self.write(cx, &**store, collection, change).await?.rows)
            }
        }
    }

    /// Removes the rows that the filter finds, and says how many those were.
    pub(crate) async fn delete(
        &self,
        cx: &StepCx<'_>,
        collection: &Arc<Collection>,
        filter: &Filter,
    ) -> Result<u64, StepError> {
        match &self.backend {
            Backend::Memory(name) => {
                let count = |memory: &Memory| memory.count(collection, filter);
                let gone = cx.look(name, self.begin(), count)?;
                cx.change(name, self.begin(), Memory::deleting(collection, filter))?;
                Ok(gone)
            }
            Backend::Lasting(store) => {
                let change = Change::Delete(filter.clone());
                Ok(self.write(cx, &**store, collection, change).await?.removed)
            }
        }
    }

    /// Makes a change once: where the process dies after the change and before it is journaled, the store knows its mark.
    async fn write(
        &self,
        cx: &StepCx<'_>,
        store: &dyn Store,
        collection: &Arc<Collection>,
        change: Change,
    ) -> Result<Changed, StepError> {
        let once = cx.optional::<RunMark>().map(|mark| Once::new(&mark.0, &cx.address().key()));
        cx.effect("write", || async { Ok(store.change(collection, &change, once.as_ref()).await?) }).await
    }

    /// Asks in SQL.
    pub(crate) async fn query(
        &self,
        cx: &StepCx<'_>,
        query: &Query,
        values: &[(String, Value)],
    ) -> Result<Vec<Object>, StepError> {
        let Backend::Lasting(store) = &self.backend else {
            return Err(StoreError::new("store.query", "a memory store takes no SQL").into());
        };
        let answer: Answer = cx.effect("read", || async { Ok(store.query(query, values).await?) }).await?;
        Ok(answer.objects()?)
    }
}

/// Rows as a journal keeps them.
fn plain(rows: Vec<Row>) -> Vec<Vec<Value>> {
    rows.into_iter().map(|row| row.to_vec()).collect()
}

/// Rows with their types, which a journal does not keep.
fn typed(collection: &Collection, rows: Vec<Vec<Value>>) -> Result<Vec<Row>, StepError> {
    rows.into_iter().map(|row| Ok(collection.read(row)?)).collect()
}
