//! Batches to the bytes of a format.

use std::io::Write;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use flowrun_core::table::{TableError, cell, type_of};
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::json::{JsonEncoder, not_finite, text};
use super::output::Output;
use crate::Format;

/// An encoder of one format over its output.
#[derive(Debug)]
pub(super) enum Encoder {
    Json(JsonEncoder),
    Csv(CsvEncoder),
    Parquet(Box<ParquetEncoder>),
}

impl Encoder {
    pub(super) fn new(output: Output, format: Format, schema: &SchemaRef) -> Result<Self, TableError> {
        Ok(match format {
            Format::Json => Self::Json(JsonEncoder::new(output, schema, true)),
            Format::Jsonl => Self::Json(JsonEncoder::new(output, schema, false)),
            Format::Csv => Self::Csv(CsvEncoder::new(output, schema)?),
            Format::Parquet => Self::Parquet(Box::new(ParquetEncoder::new(output, schema)?)),
        })
    }

    /// Writes a batch whose first row is row `first` of the table.
    pub(super) fn write(&mut self, batch: &RecordBatch, first: u64) -> Result<(), TableError> {
        match self {
            Self::Json(encoder) => encoder.write(batch, first),
            Self::Csv(encoder) => encoder.write(batch, first),
            Self::Parquet(encoder) => encoder.write(batch),
        }
    }

    /// Ends the format; gives the output back.
    pub(super) fn finish(self) -> Result<Output, TableError> {
        match self {
            Self::Json(encoder) => encoder.finish(),
            Self::Csv(encoder) => Ok(encoder.output),
            Self::Parquet(encoder) => encoder.finish(),
        }
    }
}

/// Row groups, compressed in memory and passed on as they end.
pub(super) struct ParquetEncoder {
    output: Output,
    writer: ArrowWriter<Vec<u8>>,
}

impl ParquetEncoder {
    fn new(output: Output, schema: &SchemaRef) -> Result<Self, TableError> {
        // The maker's name without a version: the bytes depend on the rows alone.
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by("flowrun".to_owned())
            .build();
        let writer = ArrowWriter::try_new(Vec::new(), SchemaRef::clone(schema), Some(properties));
        Ok(Self { output, writer: writer.map_err(|e| parquet_error(&e))? })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), TableError> {
        self.writer.write(batch).map_err(|e| parquet_error(&e))?;
        let bytes = std::mem::take(self.writer.inner_mut());
        self.output.write_all(&bytes).map_err(|e| self.output.error(&e))
    }

    fn finish(mut self) -> Result<Output, TableError> {
        let rest = self.writer.into_inner().map_err(|e| parquet_error(&e))?;
        self.output.write_all(&rest).map_err(|e| self.output.error(&e))?;
        Ok(self.output)
    }
}

impl std::fmt::Debug for ParquetEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetEncoder").field("output", &self.output).finish_non_exhaustive()
    }
}

fn parquet_error(error: &parquet::errors::ParquetError) -> TableError {
    TableError::new("write.failed", format!("the Parquet file could not be made: {error}"))
}

/// A header, then a record a row; a batch is put together in memory, then written.
#[derive(Debug)]
pub(super) struct CsvEncoder {
    output: Output,
    names: Vec<String>,
    types: Vec<Type>,
}

impl CsvEncoder {
    fn new(output: Output, schema: &SchemaRef) -> Result<Self, TableError> {
        let names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
        let types = schema.fields().iter().map(|f| type_of(f)).collect();
        let mut encoder = Self { output, types, names: names.clone() };
        encoder.records(|records| records.write_record(&names).map_err(|e| csv_error(&e)))?;
        Ok(encoder)
    }

    fn write(&mut self, batch: &RecordBatch, first: u64) -> Result<(), TableError> {
        let (names, types) = (self.names.clone(), self.types.clone());
        self.records(|records| {
            let mut record = csv::StringRecord::new();
            for row in 0..batch.num_rows() {
                record.clear();
                for (place, column) in types.iter().enumerate() {
                    let text = csv_text(&cell(batch.column(place).as_ref(), row, column));
                    let row = first + row as u64;
                    record.push_field(&text.map_err(|why| not_finite(&names[place], row, &why, Format::Csv))?);
                }
                records.write_record(&record).map_err(|e| csv_error(&e))?;
            }
            Ok(())
        })
    }

    fn records(
        &mut self,
        write: impl FnOnce(&mut csv::Writer<Vec<u8>>) -> Result<(), TableError>,
    ) -> Result<(), TableError> {
        let mut records = csv::Writer::from_writer(Vec::new());
        write(&mut records)?;
        let bytes = records.into_inner().map_err(|e| csv_error(&e.into_error().into()))?;
        self.output.write_all(&bytes).map_err(|e| self.output.error(&e))
    }
}

fn csv_error(error: &csv::Error) -> TableError {
    TableError::new("write.failed", format!("a CSV record could not be made: {error}"))
}

/// The text of a cell; a number that is not finite is the error.
fn csv_text(value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.to_string()),
        Value::Float(_) => text(value),
        other => match other.to_json() {
            Ok(serde_json::Value::String(text)) => Ok(text),
            Ok(json) => Ok(json.to_string()),
            Err(error) => Err(error.to_string()),
        },
    }
}
