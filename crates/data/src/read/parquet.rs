//! Parquet files, whose types become ours.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use flowrun_core::table::{
    BATCH_ROWS, Batches, ColumnBuilder, Table, TableError, TableSource, field, is_hidden, type_of,
};
use flowrun_core::types::{Kind, Type};
use indexmap::IndexMap;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::file::{Known, Unread};
use super::{FileTable, check_name, duplicate, nested};
use crate::batch::{arrow, index};

pub(super) fn open(file: Unread, declared: &IndexMap<String, Type>) -> Result<FileTable, TableError> {
    let name = file.name();
    if let Some(column) = declared.keys().next() {
        let message =
            format!("{name} is Parquet and has types; the declared one of `{column}` has no place there");
        return Err(TableError::new("table.declared", message).with_help("leave `columns:` out"));
    }
    let digest = file.hashing().finish().map_err(|e| file.failed(&e))?;
    let known = file.known(digest)?;
    let builder = reader(&known)?;
    let stored = Arc::clone(builder.schema());
    check_name(&name, stored.fields().iter().map(|f| f.name().as_str()))?;
    let mut columns = Vec::with_capacity(stored.fields().len());
    for (place, stored_field) in stored.fields().iter().enumerate() {
        if stored.fields()[..place].iter().any(|other| other.name() == stored_field.name()) {
            return Err(duplicate(&name, stored_field.name(), ""));
        }
        let how = how(&name, stored_field)?;
        columns.push((our_field(stored_field, &how), how));
    }
    if columns.is_empty() {
        return Err(TableError::new("table.no_columns", format!("{name} has no columns")));
    }
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let (fields, hows): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let facts = known.facts.clone();
    let source = ParquetTable { file: known, schema: Arc::new(Schema::new(fields)), hows: hows.into(), rows };
    Ok(FileTable { table: Table::new(source), facts })
}

/// How a stored column becomes one of ours.
#[derive(Clone, Debug)]
enum How {
    /// It is one.
    AsIs,
    /// A scalar of another width or unit.
    Cast(Type),
    /// Lists and objects: JSON text.
    Json,
}

fn reader(file: &Known) -> Result<ParquetRecordBatchReaderBuilder<std::fs::File>, TableError> {
    ParquetRecordBatchReaderBuilder::try_new(file.reopen()?).map_err(|e| {
        TableError::new("table.bad_parquet", format!("{} is no Parquet file that can be read: {e}", file.name()))
    })
}

/// The type that a stored scalar becomes. Times of a day become text, as JSON has no word for them.
pub(super) fn scalar(data: &DataType) -> Option<Type> {
    Some(match data {
        DataType::Boolean => Type::boolean(),
        data if data.is_integer() => Type::integer(),
        data if data.is_floating() => Type::number(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Time32(_) | DataType::Time64(_) => {
            Type::string()
        }
        DataType::Date32 | DataType::Date64 => Kind::Date.into(),
        DataType::Timestamp(..) => Kind::Timestamp.into(),
        DataType::Duration(_) => Kind::Duration.into(),
        // More than nine digits after the point would be cut off.
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale)
            if *scale <= 9 =>
        {
            Kind::Decimal.into()
        }
        DataType::Null => Type::null(),
        DataType::Dictionary(_, values) => scalar(values)?,
        _ => return None,
    })
}

fn how(file: &str, stored: &Field) -> Result<How, TableError> {
    let kept = type_of(stored);
    if flowrun_core::table::data_type(kept.without_null()).0 == *stored.data_type() {
        return Ok(How::AsIs);
    }
    match stored.data_type() {
        data if data.is_nested() && !matches!(data, DataType::Dictionary(..)) => Ok(How::Json),
        DataType::Null => Ok(How::Json),
        data => scalar(data).map(How::Cast).ok_or_else(|| {
            let message =
                format!("{file}: column `{}` has the type {data}, which has no place here", stored.name());
            TableError::new("table.unsupported", message).with_help("write the column as text or a number")
        }),
    }
}

fn our_field(stored: &Field, how: &How) -> Field {
    match how {
        How::AsIs if is_hidden(stored) => {
            Field::new(stored.name(), stored.data_type().clone(), stored.is_nullable())
        }
        How::AsIs => stored.clone(),
        How::Cast(column) if stored.is_nullable() => field(stored.name(), &column.clone().nullable()),
        How::Cast(column) => field(stored.name(), column),
        How::Json => field(stored.name(), &Type::any()),
    }
}

/// A column as one of a type of ours.
///
/// # Errors
/// Where a value does not fit: an unsigned integer above the signed ones, above all.
pub(super) fn convert(array: &ArrayRef, column: &Type) -> Result<ArrayRef, TableError> {
    let (data, _) = flowrun_core::table::data_type(column.without_null());
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    if matches!(array.data_type(), DataType::Timestamp(..)) {
        // What is stored counts from 1970 in UTC, whatever the zone is called; without one it is taken to be UTC.
        let plain = DataType::Timestamp(TimeUnit::Microsecond, None);
        let micros = cast_with_options(array, &plain, &strict).map_err(|e| arrow(&e))?;
        let micros = micros.as_primitive::<TimestampMicrosecondType>().clone();
        return Ok(Arc::new(micros.with_timezone("UTC")));
    }
    cast_with_options(array, &data, &strict).map_err(|e| arrow(&e))
}

#[derive(Debug)]
struct ParquetTable {
    file: Known,
    schema: SchemaRef,
    hows: Arc<[How]>,
    rows: u64,
}

impl TableSource for ParquetTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn len(&self) -> Option<u64> {
        Some(self.rows)
    }

    fn scan(&self, rows: Range<u64>) -> Result<Batches, TableError> {
        let end = rows.end.min(self.rows);
        let (file, schema, hows) = (self.file.clone(), Arc::clone(&self.schema), Arc::clone(&self.hows));
        let builder = reader(&file)?;
        if rows.start >= end {
            return Ok(Box::new(std::iter::empty()));
        }
        let unread = move |e: &dyn std::fmt::Display| {
            TableError::new("table.bad_parquet", format!("{} could not be read on: {e}", file.name()))
        };
        let batches = builder
            .with_batch_size(BATCH_ROWS)
            .with_offset(index(rows.start))
            .with_limit(index(end - rows.start))
            .build()
            .map_err(|e| unread(&e))?;
        let mut failed = false;
        Ok(Box::new(batches.map_while(move |batch| {
            if failed {
                return None;
            }
            let ours = batch.map_err(|e| unread(&e)).and_then(|batch| to_ours(&batch, &schema, &hows));
            failed = ours.is_err();
            Some(ours)
        })))
    }

    fn seeks(&self) -> bool {
        true
    }
}

fn to_ours(batch: &RecordBatch, schema: &SchemaRef, hows: &[How]) -> Result<RecordBatch, TableError> {
    let column = |(place, how): (usize, &How)| {
        let array = batch.column(place);
        let named = |e: TableError| TableError {
            message: format!("column `{}`: {}", schema.field(place).name(), e.message),
            ..e
        };
        match how {
            How::AsIs => Ok(Arc::clone(array)),
            How::Cast(column) => convert(array, column).map_err(named),
            How::Json => {
                let mut builder = ColumnBuilder::new(&Type::any());
                let values = nested::values(array).map_err(named)?;
                values.iter().try_for_each(|value| builder.push(value)).map_err(named)?;
                Ok(builder.finish())
            }
        }
    };
    let arrays = hows.iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(Arc::clone(schema), arrays).map_err(|e| arrow(&e))
}
