//! A JSON array of records: parsed whole, held in memory as columns.

use std::fmt;
use std::io::Read;
use std::ops::Range;

use arrow_schema::SchemaRef;
use flowrun_core::table::{BATCH_ROWS, Batches, MemoryTable, Table, TableError, TableSource};
use flowrun_core::types::Type;
use indexmap::IndexMap;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use super::file::{Known, Unread};
use super::record::{Columns, Record, Rows, declared_places, huge, huge_integer, unparsed};
use super::{FileTable, ReadLimits, schema};

pub(super) fn open(
    file: Unread,
    declared: &IndexMap<String, Type>,
    limits: ReadLimits,
) -> Result<FileTable, TableError> {
    let name = file.name();
    if file.size > limits.json_bytes {
        let message = format!("{name} has {} bytes, and a JSON array may have {}", file.size, limits.json_bytes);
        return Err(TableError::new("table.too_large", message).with_help("write it as JSONL, which streams"));
    }
    let mut bytes = Vec::new();
    let mut hashing = file.hashing();
    hashing.read_to_end(&mut bytes).map_err(|e| file.failed(&e))?;
    let digest = hashing.finish().map_err(|e| file.failed(&e))?;
    let text = std::str::from_utf8(&bytes).map_err(|e| {
        let line = bytes[..e.valid_up_to()].split(|b| *b == b'\n').count();
        TableError::new("table.not_utf8", format!("{name}, line {line}: the text is not UTF-8"))
            .with_help("save the file as UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);

    let mut columns = Columns::default();
    each_record(&name, text, |record| {
        columns.note(record);
        Ok(())
    })?;
    if let Some((at, number)) = huge_integer(text) {
        let line = text[..at].split('\n').count();
        let column = at - text[..at].rfind('\n').map_or(0, |n| n + 1) + 1;
        return Err(huge(&name, number, line as u64, column));
    }
    let schema = schema(&name, columns.types(&name)?, declared)?;
    let mut rows = Rows::new(&schema, &declared_places(&schema, declared));
    let mut batches = Vec::new();
    let mut number = 0_u64;
    let known = file.known(digest)?;
    each_record(&name, text, |record| {
        number += 1;
        rows.push(record, || format!("{name}, record {number}"), || known.changed())?;
        if rows.builder.rows() >= BATCH_ROWS {
            batches.push(rows.builder.finish()?);
        }
        Ok(())
    })?;
    if rows.builder.rows() > 0 {
        batches.push(rows.builder.finish()?);
    }
    let facts = known.facts.clone();
    let rows = MemoryTable::new(schema, batches);
    Ok(FileTable { table: Table::new(JsonTable { file: known, rows }), facts })
}

/// Reads an array of records, one after the other.
fn each_record(
    file: &str,
    text: &str,
    mut each: impl FnMut(Record) -> Result<(), TableError>,
) -> Result<(), TableError> {
    let mut failed = None;
    let mut parser = serde_json::Deserializer::from_str(text);
    let read = Items { each: &mut each, failed: &mut failed }.deserialize(&mut parser).and_then(|()| parser.end());
    match (failed, read) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(unparsed(file, &error, 1)),
        (None, Ok(())) => Ok(()),
    }
}

struct Items<'a, F> {
    each: &'a mut F,
    failed: &'a mut Option<TableError>,
}

impl<'de, F: FnMut(Record) -> Result<(), TableError>> DeserializeSeed<'de> for Items<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(Record) -> Result<(), TableError>> Visitor<'de> for Items<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(record) = items.next_element()? {
            if let Err(error) = (self.each)(record) {
                *self.failed = Some(error);
                return Err(A::Error::custom("a record was refused"));
            }
        }
        Ok(())
    }
}

#[derive(Debug)]
struct JsonTable {
    file: Known,
    rows: MemoryTable,
}

impl TableSource for JsonTable {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn len(&self) -> Option<u64> {
        self.rows.len()
    }

    fn scan(&self, rows: Range<u64>) -> Result<Batches, TableError> {
        // The rows are at hand; the look at the file keeps the promise that a changed one is an error.
        self.file.reopen().map(drop)?;
        self.rows.scan(rows)
    }

    fn seeks(&self) -> bool {
        true
    }
}
