//! Comma-separated values with a header line.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use csv::{ByteRecord, Reader, ReaderBuilder};
use flowrun_core::table::{BATCH_ROWS, Batches, Table, TableError, TableSource, type_of};
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::Value;
use indexmap::IndexMap;

use super::file::{Known, Unread};
use super::infer::Seen;
use super::text::parse;
use super::{FileTable, duplicate, schema};
use crate::batch::{RowBuilder, index};

/// Where a row begins.
#[derive(Clone, Copy, Debug)]
struct Place {
    byte: u64,
    line: u64,
}

pub(super) fn open(file: Unread, declared: &IndexMap<String, Type>) -> Result<FileTable, TableError> {
    let name = file.name();
    let mut reader = reader(file.hashing());
    let mut record = ByteRecord::new();
    let failed = |e: csv::Error| unparsed(&name, e, |e| file.failed(e));
    reader.read_byte_record(&mut record).map_err(failed)?;
    let header = header(&name, &record)?;

    let mut seen = vec![Seen::default(); header.len()];
    let mut places = Vec::new();
    let mut rows = 0_u64;
    loop {
        let position = reader.position();
        let place = Place { byte: position.byte(), line: position.line() };
        if !reader.read_byte_record(&mut record).map_err(failed)? {
            break;
        }
        if rows.is_multiple_of(BATCH_ROWS as u64) {
            places.push(place);
        }
        let line = line_of(&record, place.line);
        check_length(&name, &record, header.len(), line)?;
        for ((field, seen), column) in record.iter().zip(&mut seen).zip(&header) {
            seen.note_text(utf8(&name, field, column, line)?, line);
        }
        rows += 1;
    }
    let found = header.iter().zip(&seen).map(|(column, seen)| {
        let known =
            if declared.contains_key(column) { Ok(Type::any()) } else { seen.csv_type(&name, column, rows) };
        known.map(|t| (column.clone(), t))
    });
    let schema = schema(&name, found.collect::<Result<Vec<_>, _>>()?, declared)?;
    let digest = reader.into_inner().finish().map_err(|e| file.failed(&e))?;
    let known = file.known(digest)?;
    let facts = known.facts.clone();
    let source = CsvTable { file: known, schema, places: places.into(), rows };
    let table = Table::new(source);
    if !declared.is_empty() {
        // What was declared is tried now, so that a cell that does not fit is met before anything is paid for.
        table.scan_all()?.try_for_each(|batch| batch.map(drop))?;
    }
    Ok(FileTable { table, facts })
}

fn reader<R: Read>(input: R) -> Reader<R> {
    ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input)
}

fn line_of(record: &ByteRecord, otherwise: u64) -> u64 {
    record.position().map_or(otherwise, csv::Position::line)
}

fn header(name: &str, record: &ByteRecord) -> Result<Vec<String>, TableError> {
    let mut columns: Vec<String> = Vec::with_capacity(record.len());
    let mut seen = HashSet::new();
    for field in record {
        let column = utf8(name, field, "the header", 1)?.to_owned();
        if !seen.insert(column.clone()) {
            return Err(duplicate(name, &column, ", line 1"));
        }
        columns.push(column);
    }
    if columns.is_empty() {
        return Err(TableError::new("table.no_columns", format!("{name} has no header line")));
    }
    Ok(columns)
}

fn check_length(name: &str, record: &ByteRecord, expected: usize, line: u64) -> Result<(), TableError> {
    if record.len() == expected {
        return Ok(());
    }
    let message = format!("{name}, line {line}: {} fields, and the header has {expected}", record.len());
    Err(TableError::new("table.ragged", message).with_help("quote a field that has a comma in it: \"a, b\""))
}

fn utf8<'a>(name: &str, field: &'a [u8], column: &str, line: u64) -> Result<&'a str, TableError> {
    std::str::from_utf8(field).map_err(|_| {
        let message = format!("{name}, line {line}: the text of `{column}` is not UTF-8");
        TableError::new("table.not_utf8", message).with_help("save the file as UTF-8")
    })
}

fn unparsed(name: &str, error: csv::Error, io: impl Fn(&std::io::Error) -> TableError) -> TableError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => io(&error),
        other => TableError::new("table.bad_csv", format!("{name} is no CSV: {other:?}")),
    }
}

#[derive(Debug)]
struct CsvTable {
    file: Known,
    schema: SchemaRef,
    /// Where rows 0, [`BATCH_ROWS`], twice that and so on begin.
    places: Arc<[Place]>,
    rows: u64,
}

impl TableSource for CsvTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn len(&self) -> Option<u64> {
        Some(self.rows)
    }

    fn scan(&self, rows: Range<u64>) -> Result<Batches, TableError> {
        let mut file = self.file.reopen()?;
        let end = rows.end.min(self.rows);
        let block = rows.start / BATCH_ROWS as u64;
        let Some(place) = self.places.get(index(block)).filter(|_| rows.start < end) else {
            return Ok(Box::new(std::iter::empty()));
        };
        file.seek(SeekFrom::Start(place.byte)).map_err(|e| self.file.failed(&e))?;
        let types = self.schema.fields().iter().map(|f| type_of(f)).collect();
        Ok(Box::new(Scan {
            reader: reader(file),
            file: self.file.clone(),
            first_line: place.line,
            schema: Arc::clone(&self.schema),
            types,
            row: block * BATCH_ROWS as u64,
            rows: rows.start..end,
        }))
    }

    fn seeks(&self) -> bool {
        true
    }
}

struct Scan {
    reader: Reader<File>,
    file: Known,
    /// The line of the file that the reader takes for line 1.
    first_line: u64,
    schema: SchemaRef,
    types: Vec<Type>,
    /// The row that is read next.
    row: u64,
    /// The rows that are still wanted; empty after an error.
    rows: Range<u64>,
}

impl Scan {
    fn batch(&mut self) -> Result<RecordBatch, TableError> {
        let mut rows = RowBuilder::new(Arc::clone(&self.schema));
        let mut record = ByteRecord::new();
        while self.row < self.rows.end && rows.rows() < BATCH_ROWS {
            let read = self.reader.read_byte_record(&mut record);
            if !read.map_err(|e| unparsed(&self.file.name(), e, |e| self.file.failed(e)))? {
                return Err(self.file.changed());
            }
            self.row += 1;
            if self.row > self.rows.start {
                self.push(&mut rows, &record)?;
            }
        }
        rows.finish()
    }

    fn push(&self, rows: &mut RowBuilder, record: &ByteRecord) -> Result<(), TableError> {
        let name = self.file.name();
        let line = line_of(record, 1) + self.first_line - 1;
        check_length(&name, record, self.types.len(), line)?;
        for (place, (field, column)) in record.iter().zip(&self.types).enumerate() {
            let header = self.schema.field(place).name();
            let text = utf8(&name, field, header, line)?;
            let value =
                if text.is_empty() && column.admits_null() { Some(Value::Null) } else { cell(text, column) };
            let fit = value.is_some_and(|value| rows.push(place, &value).is_ok());
            if !fit {
                let what = if text.is_empty() { "an empty field".to_owned() } else { format!("`{text}`") };
                let message = format!("{name}, line {line}: {what} in column `{header}` is no {column}");
                return Err(
                    TableError::new("table.type", message).with_help("correct the cell, or declare another type")
                );
            }
        }
        rows.end_row();
        Ok(())
    }
}

fn cell(text: &str, column: &Type) -> Option<Value> {
    // An empty field is null; only a column declared as text that is never null takes it as text.
    if text.is_empty() && !matches!(column.kind, Kind::String | Kind::Path) { None } else { parse(text, column) }
}

impl Iterator for Scan {
    type Item = Result<RecordBatch, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.row >= self.rows.end {
            return None;
        }
        let batch = self.batch();
        if batch.is_err() {
            self.row = self.rows.end;
        }
        Some(batch)
    }
}
