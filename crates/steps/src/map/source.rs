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

    /// The items in order, pulled one by one. With `draw` rows of a growable table, so many at most.
    pub(super) fn into_items(self, draw: Option<u64>) -> Result<Items, StepError> {
        Ok(match self {
            Self::Rows(table) if draw.is_some() => Box::new(Drawn::new(table, draw.unwrap_or(0))),
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

/// Rows that are read past the length of a table.
///
/// Not many more than are wanted: a column may have no further value, and that is an error only of a row that somebody
/// takes.
struct Drawn {
    table: Table,
    batch: Items,
    next: u64,
    most: u64,
    at_once: u64,
    /// Whether the batch was read and has given no row yet.
    fresh: bool,
}

/// Rows past the length that are read at once.
const DRAWN_AT_ONCE: u64 = 64;

impl Drawn {
    fn new(table: Table, most: u64) -> Self {
        Self { table, batch: Box::new(std::iter::empty()), next: 0, most, at_once: DRAWN_AT_ONCE, fresh: false }
    }

    fn read(&mut self) -> Result<(), StepError> {
        let known = self.table.len().unwrap_or(0);
        let end = if self.next < known { known } else { self.next.saturating_add(self.at_once) };
        let rows = self.table.objects(self.next..end.min(self.most))?;
        self.batch = Box::new(rows.map(|row| row.map(Value::Object).map_err(StepError::from)));
        self.fresh = true;
        Ok(())
    }
}

impl Iterator for Drawn {
    type Item = Result<Value, StepError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.batch.next() {
                Some(Ok(row)) => {
                    (self.next, self.fresh) = (self.next + 1, false);
                    return Some(Ok(row));
                }
                // It may be the error of a later row: one by one from here.
                Some(Err(_)) if self.at_once > 1 => self.at_once = 1,
                Some(Err(error)) => return Some(Err(error)),
                None if self.fresh || self.next >= self.most => return None,
                None => {}
            }
            if let Err(error) = self.read() {
                return Some(Err(error));
            }
        }
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
