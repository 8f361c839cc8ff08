//! What a map runs over: a table's rows, a list's items, or an object's entries.

use std::sync::Arc;

use flowrun_core::error::StepError;
use flowrun_core::table::Table;
use flowrun_core::value::{Keys, List, Object, Value};

/// A source of items.
pub(super) enum Source {
    Rows(Table),
    Items(List),
    Entries(Object),
}

type Items = Box<dyn Iterator<Item = Result<Value, StepError>> + Send>;

impl Source {
    /// The value of the source `name`.
    pub(super) fn new(name: &str, value: Value) -> Result<Self, StepError> {
        match value {
            Value::Table(table) => Ok(Self::Rows(table)),
            Value::List(list) => Ok(Self::Items(list)),
            Value::Object(object) => Ok(Self::Entries(object)),
            other => {
                let message = format!("`{name}` is mapped over, and is {other} ({})", other.type_name());
                Err(StepError::new("map.source", message).help("map over a list, an object or a table"))
            }
        }
    }

    pub(super) fn table(&self) -> Option<&Table> {
        match self {
            Self::Rows(table) => Some(table),
            Self::Items(_) | Self::Entries(_) => None,
        }
    }

    fn len(&self) -> Result<u64, StepError> {
        match self {
            Self::Rows(table) => Ok(table.count()?),
            Self::Items(list) => Ok(list.len() as u64),
            Self::Entries(object) => Ok(object.len() as u64),
        }
    }

    /// The items in order, pulled one by one.
    pub(super) fn into_items(self) -> Result<Items, StepError> {
        Ok(match self {
            Self::Rows(table) => {
                let rows = table.objects(0..table.len().unwrap_or(u64::MAX))?;
                Box::new(rows.map(|row| row.map(Value::Object).map_err(StepError::from)))
            }
            Self::Items(list) => {
                let mut next = 0;
                Box::new(std::iter::from_fn(move || {
                    next += 1;
                    list.get(next - 1).cloned().map(Ok)
                }))
            }
            Self::Entries(object) => {
                let keys = Keys::new(vec!["key".into(), "value".into()]);
                let mut next = 0;
                Box::new(std::iter::from_fn(move || {
                    let (key, value) = (object.keys().names().get(next)?, object.values().get(next)?);
                    next += 1;
                    let entry = vec![Value::String(Arc::clone(key)), value.clone()];
                    Some(Ok(Object::of_shape(Arc::clone(&keys), entry).into()))
                }))
            }
        })
    }
}

/// The one length of all sources.
pub(super) fn common_length(sources: &[(Arc<str>, Source)]) -> Result<u64, StepError> {
    let mut lengths = Vec::with_capacity(sources.len());
    for (name, source) in sources {
        lengths.push((name, source.len()?));
    }
    let Some((first, length)) = lengths.first() else { return Ok(0) };
    match lengths.iter().find(|(_, other)| other != length) {
        Some((name, other)) => {
            let message = format!("`{first}` has {length} items and `{name}` has {other}");
            Err(StepError::new("map.lengths", message).help("sources that are zipped must be of one length"))
        }
        None => Ok(*length),
    }
}
