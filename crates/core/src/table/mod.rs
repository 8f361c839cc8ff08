//! [`Table`]: a re-readable recipe for rows, not an array.
//!
//! A handle is cheap: it knows its columns, its length where that is known, and how to be scanned, in Arrow batches,
//! any number of times. A million rows stream through it.

mod column;
mod memory;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};

pub use column::{ColumnBuilder, cell, data_type};
pub use memory::{MemoryTable, MemoryWriter};

use crate::types::{Kind, Type};
use crate::value::{Keys, List, Object, Value};
use crate::words::plural;

/// The hidden column of a map's table: which row of the map's sources each row came from, counted from 0.
pub const SOURCE_ROWS: &str = "source_rows";

/// The batch size that sources aim at, in rows.
pub const BATCH_ROWS: usize = 4096;

const HIDDEN: &str = "flowrun.hidden";
const TYPE: &str = "flowrun.type";

/// A scan: batches in row order, or the error that ended it.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch, TableError>> + Send>;

/// Why rows could not be read or made.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct TableError {
    /// A stable code, such as `table.ragged`.
    pub code: &'static str,
    /// What was wrong and where, a lower-case fragment.
    pub message: String,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

impl TableError {
    /// An error with a code and a message.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Something that can be read as rows, again and again, always with the same answer.
pub trait TableSource: fmt::Debug + Send + Sync {
    /// The columns, made with [`field`] so that their types survive.
    fn schema(&self) -> SchemaRef;

    /// How many rows there are, where that is known without reading them.
    fn len(&self) -> Option<u64>;

    /// Whether there are no rows, as far as is known.
    fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Reads rows `rows.start..rows.end`, or up to the last where there are fewer.
    ///
    /// # Errors
    /// When the scan cannot start; errors in mid-scan are items of the iterator.
    fn scan(&self, rows: Range<u64>) -> Result<Batches, TableError>;

    /// Whether rows past [`TableSource::len`] can be scanned too. Row i never depends on the length.
    fn growable(&self) -> bool {
        false
    }

    /// Whether a scan that begins anywhere costs about what the rows that it gives cost, and some thousands before them.
    /// What has to make all that stand before, such as rows that pass a condition, says no.
    fn seeks(&self) -> bool {
        false
    }
}

/// Says which tables have the same rows in the same order, without reading them.
#[derive(Clone, Debug)]
pub struct RowsId(Arc<()>);

impl RowsId {
    fn new() -> Self {
        Self(Arc::new(()))
    }
}

impl PartialEq for RowsId {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A cheap handle on rows.
#[derive(Clone)]
pub struct Table {
    source: Arc<dyn TableSource>,
    rows: RowsId,
    mapped_from: Arc<[RowsId]>,
}

impl Table {
    /// A table with rows of its own.
    pub fn new(source: impl TableSource + 'static) -> Self {
        Self { source: Arc::new(source), rows: RowsId::new(), mapped_from: Arc::new([]) }
    }

    /// A table that has exactly the rows of `self`, in the same order, with other columns.
    #[must_use]
    pub fn same_rows(&self, source: impl TableSource + 'static) -> Self {
        Self { source: Arc::new(source), rows: self.rows.clone(), mapped_from: Arc::clone(&self.mapped_from) }
    }

    /// A table that has some of the rows of `self`, in order, and still knows what they were mapped from.
    #[must_use]
    pub fn some_rows(&self, source: impl TableSource + 'static) -> Self {
        Self { source: Arc::new(source), rows: RowsId::new(), mapped_from: Arc::clone(&self.mapped_from) }
    }

    /// Says that each row was made from a row of these sources, the one that [`SOURCE_ROWS`] names.
    #[must_use]
    pub fn mapped_from(mut self, sources: &[Self]) -> Self {
        self.mapped_from = sources.iter().map(|t| t.rows.clone()).collect();
        self
    }

    /// Whether the rows of `self` were made from those of `source`, row by row.
    pub fn is_mapped_from(&self, source: &Self) -> bool {
        self.mapped_from.contains(&source.rows)
    }

    /// Whether this is the very same handle.
    pub fn same_handle(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.source, &other.source)
    }

    /// The columns, hidden ones included.
    pub fn schema(&self) -> SchemaRef {
        self.source.schema()
    }

    /// How many rows there are, where that is known without reading them.
    pub fn len(&self) -> Option<u64> {
        self.source.len()
    }

    /// Whether it is known that there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// How many rows there are, read to the end where that is not known.
    ///
    /// # Errors
    /// When reading fails.
    pub fn count(&self) -> Result<u64, TableError> {
        if let Some(len) = self.len() {
            return Ok(len);
        }
        self.scan_all()?.try_fold(0, |n, batch| Ok(n + batch?.num_rows() as u64))
    }

    /// Whether rows past the length can be scanned too.
    pub fn growable(&self) -> bool {
        self.source.growable()
    }

    /// Whether any rows are read as cheaply as the first ones; see [`TableSource::seeks`].
    pub fn seeks(&self) -> bool {
        self.source.seeks()
    }

    /// The columns that people see, with their types.
    pub fn columns(&self) -> Vec<(String, Type)> {
        let schema = self.schema();
        schema.fields().iter().filter(|f| !is_hidden(f)).map(|f| (f.name().clone(), type_of(f))).collect()
    }

    /// Scans some rows.
    ///
    /// # Errors
    /// See [`TableSource::scan`].
    pub fn scan(&self, rows: Range<u64>) -> Result<Batches, TableError> {
        self.source.scan(rows)
    }

    /// Scans all rows: up to the length, or to the end where it is not known.
    ///
    /// # Errors
    /// See [`TableSource::scan`].
    pub fn scan_all(&self) -> Result<Batches, TableError> {
        self.scan(0..self.len().unwrap_or(u64::MAX))
    }

    /// Reads rows as objects that share their keys; hidden columns are left out.
    ///
    /// # Errors
    /// See [`TableSource::scan`].
    pub fn objects(
        &self,
        rows: Range<u64>,
    ) -> Result<impl Iterator<Item = Result<Object, TableError>> + Send + use<>, TableError> {
        let reader = RowReader::new(&self.schema());
        let mut batches = self.scan(rows)?;
        let mut current: Option<(RecordBatch, usize)> = None;
        // Row by row: the objects of a whole batch would be many megabytes that nobody looks at yet.
        Ok(std::iter::from_fn(move || {
            loop {
                if let Some((batch, next)) = &mut current
                    && *next < batch.num_rows()
                {
                    *next += 1;
                    return Some(Ok(reader.object(batch, *next - 1)));
                }
                match batches.next()? {
                    Ok(batch) => current = Some((batch, 0)),
                    Err(error) => return Some(Err(error)),
                }
            }
        }))
    }
}

/// What it is for a person: `150 rows × 8 columns`.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = plural(self.columns().len() as u64, "column");
        match self.len() {
            Some(rows) => write!(f, "{} × {columns}", plural(rows, "row")),
            None => f.write_str(&columns),
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({self})")
    }
}

/// Turns batches of one schema into objects.
#[derive(Debug)]
pub struct RowReader {
    keys: Arc<Keys>,
    columns: Vec<(usize, Type)>,
}

impl RowReader {
    /// A reader for batches of `schema`.
    pub fn new(schema: &Schema) -> Self {
        let visible = || schema.fields().iter().enumerate().filter(|(_, f)| !is_hidden(f));
        Self {
            keys: Keys::new(visible().map(|(_, f)| Arc::from(f.name().as_str())).collect()),
            columns: visible().map(|(i, f)| (i, type_of(f))).collect(),
        }
    }

    /// The names of the columns that are read, in order.
    pub fn keys(&self) -> &Arc<Keys> {
        &self.keys
    }

    /// Row `row` of `batch`.
    pub fn object(&self, batch: &RecordBatch, row: usize) -> Object {
        let values = self.columns.iter().map(|(i, t)| cell(batch.column(*i).as_ref(), row, t)).collect();
        Object::of_shape(Arc::clone(&self.keys), values)
    }

    /// All rows of `batch`.
    pub fn objects<'a>(&'a self, batch: &'a RecordBatch) -> impl Iterator<Item = Object> + 'a {
        (0..batch.num_rows()).map(|row| self.object(batch, row))
    }
}

/// An Arrow field for a column; its metadata keeps what Arrow has no type for.
pub fn field(name: &str, column: &Type) -> Field {
    let (data_type, marked) = data_type(column.without_null());
    let field = Field::new(name, data_type, column.admits_null());
    if !marked {
        return field;
    }
    let schema = column.without_null().to_json_schema().to_string();
    field.with_metadata(HashMap::from([(TYPE.to_owned(), schema)]))
}

/// The hidden field that carries [`SOURCE_ROWS`].
pub fn source_rows_field() -> Field {
    Field::new(SOURCE_ROWS, DataType::Int64, false)
        .with_metadata(HashMap::from([(HIDDEN.to_owned(), "true".to_owned())]))
}

/// Whether a field is hidden from templates and writers.
pub fn is_hidden(field: &Field) -> bool {
    field.metadata().contains_key(HIDDEN)
}

/// The type of a column, from its field.
pub fn type_of(field: &Field) -> Type {
    let marked = field.metadata().get(TYPE).and_then(|text| serde_json::from_str(text).ok());
    let found = match marked {
        Some(schema) => Type::from_json_schema(&schema),
        None => column::type_of_data(field.data_type()),
    };
    if field.is_nullable() && !matches!(found.kind, Kind::Any) { found.nullable() } else { found }
}

/// One column of a table as a list, which is built when somebody first reads it. A list has no way to say that it cannot
/// be read: where the table stands in a file that is gone, the step that reads it breaks down with the reason.
pub fn column_view(table: &Table, column: usize, column_type: Type) -> List {
    let len = usize::try_from(table.len().unwrap_or(0)).unwrap_or(usize::MAX);
    let table = table.clone();
    List::view(len, column_type.clone(), move || {
        let unread = |e: TableError| -> ! { panic!("the rows of a map cannot be read: {e}") };
        let batches = table.scan_all().unwrap_or_else(|e| unread(e));
        batches
            .map(|batch| batch.unwrap_or_else(|e| unread(e)))
            .flat_map(|batch| {
                let array = Arc::clone(batch.column(column));
                let values: Vec<Value> =
                    (0..batch.num_rows()).map(|row| cell(array.as_ref(), row, &column_type)).collect();
                values
            })
            .collect()
    })
}

/// The rows of a table as a list value, for steps that want a list.
///
/// # Errors
/// When reading fails.
pub fn to_list(table: &Table) -> Result<Value, TableError> {
    let rows = table.objects(0..table.len().unwrap_or(u64::MAX))?;
    Ok(Value::List(rows.map(|r| r.map(Value::Object)).collect::<Result<Vec<_>, _>>()?.into()))
}
