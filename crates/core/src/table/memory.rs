//! A table whose batches are held in memory.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema, SchemaRef};

use super::{BATCH_ROWS, Batches, ColumnBuilder, TableError, TableSource, field};
use crate::types::Type;
use crate::value::Value;

/// Batches of one schema, in memory.
#[derive(Clone, Debug)]
pub struct MemoryTable {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    rows: u64,
}

impl MemoryTable {
    /// A table of these batches; each must have the schema.
    pub fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Self {
        let rows = batches.iter().map(|b| b.num_rows() as u64).sum();
        Self { schema, batches, rows }
    }

    /// A table of rows given as values, in the order of `columns`.
    ///
    /// # Errors
    /// `table.type` when a value does not fit its column.
    pub fn from_rows(
        columns: &[(String, Type)],
        rows: impl IntoIterator<Item = Vec<Value>>,
    ) -> Result<Self, TableError> {
        let fields: Vec<Field> = columns.iter().map(|(name, t)| field(name, t)).collect();
        let mut writer = MemoryWriter::new(Arc::new(Schema::new(fields)), columns.iter().map(|(_, t)| t.clone()));
        for row in rows {
            writer.push(&row)?;
        }
        writer.finish()
    }
}

impl TableSource for MemoryTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn len(&self) -> Option<u64> {
        Some(self.rows)
    }

    fn scan(&self, rows: Range<u64>) -> Result<Batches, TableError> {
        let mut first = 0_u64;
        let mut parts = Vec::new();
        for batch in &self.batches {
            let last = first + batch.num_rows() as u64;
            let (from, to) = (rows.start.max(first), rows.end.min(last));
            if from < to {
                let offset = usize::try_from(from - first).unwrap_or(usize::MAX);
                let length = usize::try_from(to - from).unwrap_or(usize::MAX);
                parts.push(Ok(batch.slice(offset, length)));
            }
            first = last;
        }
        Ok(Box::new(parts.into_iter()))
    }

    fn seeks(&self) -> bool {
        true
    }
}

/// A batch ends with this many bytes of text too: rows of long texts would be hundreds of megabytes, and a text that
/// grows from buffer to buffer takes fresh memory each time.
const BATCH_TEXT: usize = 256 << 10;

/// Collects rows of values into a [`MemoryTable`], a batch at a time.
pub struct MemoryWriter {
    schema: SchemaRef,
    builders: Vec<ColumnBuilder>,
    batches: Vec<RecordBatch>,
}

impl MemoryWriter {
    /// A writer for rows of these types; `schema` has one field for each.
    pub fn new(schema: SchemaRef, types: impl IntoIterator<Item = Type>) -> Self {
        Self { schema, builders: types.into_iter().map(|t| ColumnBuilder::new(&t)).collect(), batches: Vec::new() }
    }

    /// Adds a row, one value for each column.
    ///
    /// # Errors
    /// `table.type` when a value does not fit its column.
    pub fn push(&mut self, row: &[Value]) -> Result<(), TableError> {
        for ((builder, value), field) in self.builders.iter_mut().zip(row).zip(self.schema.fields()) {
            builder
                .push(value)
                .map_err(|e| TableError { message: format!("column `{}`: {}", field.name(), e.message), ..e })?;
        }
        let text = || self.builders.iter().map(ColumnBuilder::text_len).sum::<usize>();
        if self.builders.first().is_some_and(|b| b.len() >= BATCH_ROWS) || text() >= BATCH_TEXT {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TableError> {
        let arrays: Vec<ArrayRef> = self.builders.iter_mut().map(ColumnBuilder::finish).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays)
            .map_err(|e| TableError::new("table.type", e.to_string()))?;
        self.batches.push(batch);
        Ok(())
    }

    /// The whole batches so far; they are the caller's then, and no part of the table.
    pub fn take_batches(&mut self) -> Vec<RecordBatch> {
        std::mem::take(&mut self.batches)
    }

    /// Makes a batch of the rows that are not in one yet.
    ///
    /// # Errors
    /// `table.type` when the columns do not make a batch of the schema.
    pub fn flush_rest(&mut self) -> Result<(), TableError> {
        if self.builders.first().is_some_and(|b| !b.is_empty()) { self.flush() } else { Ok(()) }
    }

    /// The table of all rows.
    ///
    /// # Errors
    /// `table.type` when the columns do not make a batch of the schema.
    pub fn finish(mut self) -> Result<MemoryTable, TableError> {
        self.flush_rest()?;
        Ok(MemoryTable::new(self.schema, self.batches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;

    #[test]
    fn long_texts_make_short_batches() {
        let columns = [("text".to_owned(), Type::string())];
        let text = Value::from("x".repeat(BATCH_TEXT / 4));
        let table = MemoryTable::from_rows(&columns, (0..10).map(|_| vec![text.clone()])).unwrap();
        assert_eq!(table.batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [4, 4, 2]);
        let table = Table::new(table);
        assert_eq!(
            table.objects(3..9).unwrap().filter(|row| row.as_ref().unwrap().values()[0] == text).count(),
            6
        );
    }

    #[test]
    fn any_range_reads_the_rows_of_that_range() {
        let columns = [("n".to_owned(), Type::integer())];
        let rows = (0..10_000).map(|n| vec![Value::Int(n)]);
        let table = Table::new(MemoryTable::from_rows(&columns, rows).unwrap());
        assert_eq!(table.to_string(), "10,000 rows × 1 column");
        for range in [0..0, 0..10, 4090..4100, 9_999..20_000] {
            let read: Vec<_> =
                table.objects(range.clone()).unwrap().map(|o| o.unwrap().values()[0].clone()).collect();
            let expected: Vec<_> =
                (range.start..range.end.min(10_000)).map(|n| Value::Int(i64::try_from(n).unwrap())).collect();
            assert_eq!(read, expected);
        }
    }
}
