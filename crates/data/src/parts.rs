//! Rows that are kept, such as those that a map collects: in memory while they are few, in a file of the run's folder when
//! they are many.
//!
//! The file is Arrow's IPC format: batches in the order of the items, and an index by which any of them is read alone.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::FileWriter;
use arrow_schema::SchemaRef;
use flowrun_core::table::{Batches, MemoryTable, MemoryWriter, Table, TableError, TableSource};
use flowrun_core::types::Type;
use flowrun_core::value::Value;

/// Rows of fewer bytes stay in memory: so few that what a run needs hardly grows with its rows.
const IN_MEMORY: usize = 4 << 20;

/// The folder of a run in which rows that are many are kept.
#[derive(Clone, Debug)]
pub struct Parts {
    folder: PathBuf,
    in_memory: usize,
}

impl Parts {
    /// Parts below this folder, which is made when it is needed.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), in_memory: IN_MEMORY }
    }

    /// Sets how many bytes of a table stay in memory.
    #[must_use]
    pub fn in_memory(mut self, bytes: usize) -> Self {
        self.in_memory = bytes;
        self
    }

    fn file_for(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{}.arrow", &blake3::hash(key.as_bytes()).to_hex()[..16]))
    }
}

/// Collects rows of values into a table.
pub struct RowWriter {
    rows: MemoryWriter,
    kept: Kept,
}

/// Whole batches: in memory while they are few, then in a file.
struct Kept {
    schema: SchemaRef,
    held: Vec<RecordBatch>,
    bytes: usize,
    /// Where rows go when they are too many, and how many bytes that is.
    spill: Option<(PathBuf, usize)>,
    file: Option<Spilled>,
}

struct Spilled {
    path: PathBuf,
    beside: PathBuf,
    writer: FileWriter<BufWriter<File>>,
    starts: Vec<u64>,
    rows: u64,
}

impl RowWriter {
    /// A writer for rows of these types; `schema` has one field for each. Where `parts` are given, rows that are many go
    /// to a file of them under `key`.
    pub fn new(schema: SchemaRef, types: impl IntoIterator<Item = Type>, parts: Option<(&Parts, &str)>) -> Self {
        Self { rows: MemoryWriter::new(Arc::clone(&schema), types), kept: Kept::new(schema, parts) }
    }

    /// Adds a row, one value for each column.
    ///
    /// # Errors
    /// `table.type` when a value does not fit its column, `parts.write` when the file cannot be written.
    pub fn push(&mut self, row: &[Value]) -> Result<(), TableError> {
        self.rows.push(row)?;
        self.rows.take_batches().into_iter().try_for_each(|batch| self.kept.add(batch))
    }

    /// The table of all rows.
    ///
    /// # Errors
    /// As for [`RowWriter::push`].
    pub fn finish(mut self) -> Result<Table, TableError> {
        self.rows.flush_rest()?;
        self.rows.take_batches().into_iter().try_for_each(|batch| self.kept.add(batch))?;
        self.kept.finish()
    }
}

/// A table with the rows of `table` of which any can be read as cheaply as the first: itself where that holds, else its
/// rows, read once. They have no growth and are kept as those of a map are, under `key`.
///
/// # Errors
/// What reading the table meets, and `parts.write` when the file cannot be written.
pub fn seekable(table: &Table, parts: Option<(&Parts, &str)>) -> Result<Table, TableError> {
    if table.seeks() && table.len().is_some() {
        return Ok(table.clone());
    }
    let mut kept = Kept::new(table.schema(), parts);
    for batch in table.scan_all()? {
        kept.add(batch?)?;
    }
    kept.finish()
}

impl Kept {
    fn new(schema: SchemaRef, parts: Option<(&Parts, &str)>) -> Self {
        let spill = parts.map(|(parts, key)| (parts.file_for(key), parts.in_memory));
        Self { schema, held: Vec::new(), bytes: 0, spill, file: None }
    }

    fn add(&mut self, batch: RecordBatch) -> Result<(), TableError> {
        if let Some(file) = &mut self.file {
            return file.write(&batch);
        }
        self.bytes += batch.get_array_memory_size();
        self.held.push(batch);
        let Some((path, most)) = &self.spill else { return Ok(()) };
        if self.bytes > *most {
            let mut file = Spilled::create(path, &self.schema)?;
            for batch in self.held.drain(..) {
                file.write(&batch)?;
            }
            self.file = Some(file);
        }
        Ok(())
    }

    fn finish(self) -> Result<Table, TableError> {
        match self.file {
            Some(file) => file.finish(self.schema).map(Table::new),
            None => Ok(Table::new(MemoryTable::new(self.schema, self.held))),
        }
    }
}

impl Spilled {
    fn create(path: &Path, schema: &SchemaRef) -> Result<Self, TableError> {
        let beside = path.with_extension("partial");
        let create = || -> std::io::Result<File> {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            File::create(&beside)
        };
        let file = create().map_err(|e| not_written(path, &e))?;
        let writer = FileWriter::try_new(BufWriter::new(file), schema).map_err(|e| not_written(path, &e))?;
        Ok(Self { path: path.to_owned(), beside, writer, starts: Vec::new(), rows: 0 })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), TableError> {
        self.writer.write(batch).map_err(|e| not_written(&self.path, &e))?;
        self.starts.push(self.rows);
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn finish(mut self, schema: SchemaRef) -> Result<PartTable, TableError> {
        self.writer.finish().map_err(|e| not_written(&self.path, &e))?;
        drop(self.writer);
        std::fs::rename(&self.beside, &self.path).map_err(|e| not_written(&self.path, &e))?;
        Ok(PartTable { schema, path: self.path, starts: self.starts, rows: self.rows })
    }
}

fn not_written(path: &Path, error: &dyn std::fmt::Display) -> TableError {
    TableError::new(
        "parts.write",
        format!("`{}`, where rows are kept, cannot be written: {error}", path.display()),
    )
}

fn not_read(path: &Path, error: &dyn std::fmt::Display) -> TableError {
    TableError::new("parts.read", format!("`{}`, where rows are kept, cannot be read: {error}", path.display()))
}

/// A table whose batches stand in a file of the run's folder.
#[derive(Debug)]
struct PartTable {
    schema: SchemaRef,
    path: PathBuf,
    /// The first row of each batch.
    starts: Vec<u64>,
    rows: u64,
}

impl TableSource for PartTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn len(&self) -> Option<u64> {
        Some(self.rows)
    }

    fn scan(&self, rows: Range<u64>) -> Result<Batches, TableError> {
        let file = File::open(&self.path).map_err(|e| not_read(&self.path, &e))?;
        let mut reader = FileReader::try_new(BufReader::new(file), None).map_err(|e| not_read(&self.path, &e))?;
        let first = self.starts.partition_point(|start| *start <= rows.start).saturating_sub(1);
        reader.set_index(first.min(self.starts.len().saturating_sub(1))).map_err(|e| not_read(&self.path, &e))?;
        let mut next = self.starts.get(first).copied().unwrap_or(self.rows);
        let (path, rows) = (self.path.clone(), rows.start..rows.end.min(self.rows));
        Ok(Box::new(std::iter::from_fn(move || {
            if next >= rows.end {
                return None;
            }
            let batch = match reader.next()? {
                Ok(batch) => batch,
                Err(error) => return Some(Err(not_read(&path, &error))),
            };
            let start = next;
            next += batch.num_rows() as u64;
            let from =
                usize::try_from(rows.start.saturating_sub(start)).unwrap_or(usize::MAX).min(batch.num_rows());
            let to = usize::try_from(rows.end - start).unwrap_or(usize::MAX).min(batch.num_rows());
            Some(Ok(batch.slice(from, to - from)))
        })))
    }

    fn seeks(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::Schema;
    use flowrun_core::table::field;

    use super::*;

    fn written(count: i64, parts: Option<(&Parts, &str)>) -> Table {
        let schema = Arc::new(Schema::new(vec![field("n", &Type::integer()), field("text", &Type::string())]));
        let mut writer = RowWriter::new(schema, [Type::integer(), Type::string()], parts);
        for n in 0..count {
            writer.push(&[Value::Int(n), Value::from(format!("row {n}"))]).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn many_rows_stand_in_a_file_and_read_as_those_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::new(folder.path().join("parts")).in_memory(1);
        let (in_file, in_memory) = (written(20_000, Some((&parts, "m#1"))), written(20_000, None));
        assert_eq!(std::fs::read_dir(folder.path().join("parts")).unwrap().count(), 1);
        for range in [0..0, 0..1, 4095..4097, 8_000..20_000, 19_999..30_000, 20_000..30_000] {
            let rows = |table: &Table| -> Vec<_> {
                table.objects(range.clone()).unwrap().map(|o| Value::Object(o.unwrap())).collect()
            };
            assert_eq!(rows(&in_file), rows(&in_memory), "{range:?}");
        }
    }

    #[test]
    fn few_rows_make_no_file_and_a_file_that_is_gone_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::new(folder.path().join("parts"));
        written(20_000, Some((&parts, "m#1")));
        assert!(!folder.path().join("parts").exists());
        let table = written(20_000, Some((&parts.in_memory(1), "m#1")));
        std::fs::remove_dir_all(folder.path().join("parts")).unwrap();
        assert_eq!(table.scan(0..1).err().unwrap().code, "parts.read");
    }
}
