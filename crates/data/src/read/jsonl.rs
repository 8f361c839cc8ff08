//! A JSON record a line.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use flowrun_core::table::{BATCH_ROWS, Batches, Table, TableError, TableSource};
use flowrun_core::types::Type;
use indexmap::IndexMap;

use super::file::{Known, Unread};
use super::record::{Columns, Record, Rows, declared_places, huge, huge_integer, unparsed};
use super::{FileTable, schema};
use crate::batch::index;

/// Lines with something in them, with their numbers.
struct Lines<R> {
    reader: R,
    bytes: Vec<u8>,
    /// Lines read so far, in the file.
    line: u64,
    /// Bytes read so far, in the file.
    byte: u64,
}

impl<R: BufRead> Lines<R> {
    fn new(reader: R, line: u64, byte: u64) -> Self {
        Self { reader, bytes: Vec::new(), line, byte }
    }

    /// The next line that is not blank, where it begins, and none at the end.
    fn next(
        &mut self,
        file: &str,
        io: impl Fn(&std::io::Error) -> TableError,
    ) -> Result<Option<(u64, &str)>, TableError> {
        loop {
            self.bytes.clear();
            let start = self.byte;
            let read = self.reader.read_until(b'\n', &mut self.bytes).map_err(|e| io(&e))?;
            if read == 0 {
                return Ok(None);
            }
            self.byte += read as u64;
            self.line += 1;
            let mut bytes = self.bytes.as_slice();
            if start == 0 {
                bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
            }
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let skipped = self.bytes.len() - bytes.len();
            let text = std::str::from_utf8(&self.bytes[skipped..]).map_err(|_| {
                TableError::new("table.not_utf8", format!("{file}, line {}: the text is not UTF-8", self.line))
                    .with_help("save the file as UTF-8")
            })?;
            return Ok(Some((start, text)));
        }
    }
}

pub(super) fn open(file: Unread, declared: &IndexMap<String, Type>) -> Result<FileTable, TableError> {
    let name = file.name();
    let mut lines = Lines::new(BufReader::new(file.hashing()), 0, 0);
    let mut columns = Columns::default();
    let mut places = Vec::new();
    while let Some((start, text)) = lines.next(&name, |e| file.failed(e))? {
        let parsed = serde_json::from_str::<Record>(text);
        let number = huge_integer(text).map(|(at, number)| (at, number.to_owned()));
        let line = lines.line;
        if columns.rows.is_multiple_of(BATCH_ROWS as u64) {
            places.push((start, line - 1));
        }
        columns.note(parsed.map_err(|e| unparsed(&name, &e, line))?);
        if let Some((at, number)) = number {
            return Err(huge(&name, &number, line, at + 1));
        }
    }
    let schema = schema(&name, columns.types(&name)?, declared)?;
    let digest = lines.reader.into_inner().finish().map_err(|e| file.failed(&e))?;
    let known = file.known(digest)?;
    let facts = known.facts.clone();
    let declared_columns = declared_places(&schema, declared);
    let table = Table::new(JsonlTable {
        file: known,
        schema,
        declared: declared_columns,
        places: places.into(),
        rows: columns.rows,
    });
    if !declared.is_empty() {
        // What was declared is tried now, so that a value that does not fit is met before anything is paid for.
        table.scan_all()?.try_for_each(|batch| batch.map(drop))?;
    }
    Ok(FileTable { table, facts })
}

#[derive(Debug)]
struct JsonlTable {
    file: Known,
    schema: SchemaRef,
    declared: Arc<[bool]>,
    /// The byte where rows 0, [`BATCH_ROWS`], twice that and so on begin, and the lines before.
    places: Arc<[(u64, u64)]>,
    rows: u64,
}

impl TableSource for JsonlTable {
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
        let Some((byte, line)) = self.places.get(index(block)).filter(|_| rows.start < end) else {
            return Ok(Box::new(std::iter::empty()));
        };
        file.seek(SeekFrom::Start(*byte)).map_err(|e| self.file.failed(&e))?;
        Ok(Box::new(Scan {
            lines: Lines::new(BufReader::new(file), *line, *byte),
            file: self.file.clone(),
            columns: Rows::new(&self.schema, &self.declared),
            row: block * BATCH_ROWS as u64,
            rows: rows.start..end,
        }))
    }

    fn seeks(&self) -> bool {
        true
    }
}

struct Scan {
    lines: Lines<BufReader<File>>,
    file: Known,
    columns: Rows,
    /// The row that is read next.
    row: u64,
    rows: Range<u64>,
}

impl Scan {
    fn batch(&mut self) -> Result<RecordBatch, TableError> {
        let name = self.file.name();
        while self.row < self.rows.end && self.columns.builder.rows() < BATCH_ROWS {
            let Some((_, text)) = self.lines.next(&name, |e| self.file.failed(e))? else {
                return Err(self.file.changed());
            };
            self.row += 1;
            if self.row <= self.rows.start {
                continue;
            }
            let record = serde_json::from_str::<Record>(text);
            let line = self.lines.line;
            let record = record.map_err(|e| unparsed(&name, &e, line))?;
            self.columns.push(record, || format!("{name}, line {line}"), || self.file.changed())?;
        }
        self.columns.builder.finish()
    }
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
