//! Batches to JSON records.

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use flowrun_core::table::{TableError, cell, type_of};
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::Value;

use super::output::Output;
use crate::Format;

/// Compact records, a line each, as an array or one after the other.
#[derive(Debug)]
pub(super) struct JsonEncoder {
    output: Output,
    /// The JSON text before each value: the comma and the key.
    keys: Vec<String>,
    names: Vec<String>,
    types: Vec<Type>,
    array: bool,
    begun: bool,
}

impl JsonEncoder {
    pub(super) fn new(output: Output, schema: &SchemaRef, array: bool) -> Self {
        let names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
        let key = |(place, name): (usize, &String)| {
            let comma = if place == 0 { "" } else { "," };
            format!("{comma}{}:", serde_json::Value::from(name.as_str()))
        };
        let keys = names.iter().enumerate().map(key).collect();
        let types = schema.fields().iter().map(|f| type_of(f)).collect();
        Self { output, keys, names, types, array, begun: false }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch, first: u64) -> Result<(), TableError> {
        let cells: Vec<_> = batch.columns().iter().zip(&self.types).map(|(a, t)| Cells::new(a, t)).collect();
        let mut bytes = Vec::new();
        for row in 0..batch.num_rows() {
            if self.array {
                bytes.extend_from_slice(if self.begun { b",\n" } else { b"[\n" });
            }
            self.begun = true;
            bytes.push(b'{');
            for (place, (key, cells)) in self.keys.iter().zip(&cells).enumerate() {
                bytes.extend_from_slice(key.as_bytes());
                cells.write(row, &mut bytes).map_err(|why| {
                    let format = if self.array { Format::Json } else { Format::Jsonl };
                    not_finite(&self.names[place], first + row as u64, &why, format)
                })?;
            }
            bytes.push(b'}');
            if !self.array {
                bytes.push(b'\n');
            }
        }
        self.output.write_all(&bytes).map_err(|e| self.output.error(&e))
    }

    pub(super) fn finish(mut self) -> Result<Output, TableError> {
        if self.array {
            let end: &[u8] = if self.begun { b"\n]\n" } else { b"[]\n" };
            self.output.write_all(end).map_err(|e| self.output.error(&e))?;
        }
        Ok(self.output)
    }
}

/// A column of a batch, ready to be written cell by cell.
enum Cells<'a> {
    Integers(&'a arrow_array::Int64Array),
    Numbers(&'a arrow_array::Float64Array),
    Texts(&'a arrow_array::StringArray),
    Others(&'a ArrayRef, &'a Type),
}

impl<'a> Cells<'a> {
    fn new(array: &'a ArrayRef, column: &'a Type) -> Self {
        match &column.without_null().kind {
            Kind::Integer => Self::Integers(array.as_primitive::<Int64Type>()),
            Kind::Number => Self::Numbers(array.as_primitive::<Float64Type>()),
            Kind::String | Kind::Path => Self::Texts(array.as_string()),
            _ => Self::Others(array, column),
        }
    }

    fn write(&self, row: usize, bytes: &mut Vec<u8>) -> Result<(), String> {
        let written = match self {
            Self::Integers(a) if a.is_valid(row) => serde_json::to_writer(bytes, &a.value(row)),
            Self::Numbers(a) if a.is_valid(row) => {
                let number = a.value(row);
                if !number.is_finite() {
                    return Err(number.to_string());
                }
                serde_json::to_writer(bytes, &number)
            }
            Self::Texts(a) if a.is_valid(row) => serde_json::to_writer(bytes, a.value(row)),
            Self::Others(array, column) => {
                bytes.extend_from_slice(text(&cell(array.as_ref(), row, column))?.as_bytes());
                return Ok(());
            }
            Self::Integers(_) | Self::Numbers(_) | Self::Texts(_) => {
                bytes.extend_from_slice(b"null");
                return Ok(());
            }
        };
        written.map_err(|e| e.to_string())
    }
}

/// The JSON text of a value; what has none, a number that is not finite, is the error.
pub(super) fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::Float(number) if !number.is_finite() => Err(number.to_string()),
        other => serde_json::to_string(other).map_err(|e| e.to_string()),
    }
}

/// The error for a cell that a text format has no word for.
pub(super) fn not_finite(column: &str, row: u64, what: &str, format: Format) -> TableError {
    let message = format!("column `{column}`, row {row}: {what} has no form in {format}");
    TableError::new("write.not_finite", message).with_help("write Parquet, or keep such numbers out")
}
