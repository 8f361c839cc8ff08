//! Tables to files: as a whole or not at all.

mod encode;
mod json;
mod output;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use flowrun_core::table::{Table, TableError, is_hidden};
use serde::Serialize;

use crate::Format;
use crate::batch::arrow;
use encode::Encoder;
use output::Output;

/// Where rows are written.
pub enum Target {
    /// A file. Folders that are missing are made. The rows are written beside it, under the hidden name
    /// `.NAME.partial`, brought to the disk and then renamed, so that the file has all rows or is as it was. What is
    /// there already and is no ordinary file, such as a pipe, is written to as it stands.
    Path(PathBuf),
    /// Something that takes bytes, such as standard output.
    Stream(Box<dyn Write + Send>),
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WriteReport {
    /// How many rows.
    pub rows: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The BLAKE3 digest of the bytes, in hexadecimal.
    pub digest: String,
}

/// Writes batches; nothing stands in the target's place before [`TableWriter::finish`], and nothing is left of it when
/// it is dropped before.
///
/// - JSON: an array, a record a line, compact. JSONL: a record a line. Columns of lists, objects and `any` are real
///   JSON; decimals, dates, timestamps and durations are text, as everywhere. A number that is not finite is an error.
/// - CSV: a header, then RFC 4180 with `\n`. Null is an empty field, and so is the empty text; `6.0` keeps its point;
///   lists and objects are JSON text. A number that is not finite is an error.
/// - Parquet: compressed by zstd. The same rows and batches give the same bytes; the column types survive.
///
/// Hidden columns are never written.
#[derive(Debug)]
pub struct TableWriter {
    encoder: Encoder,
    /// The places of the columns that people see.
    columns: Vec<usize>,
    rows: u64,
}

impl TableWriter {
    /// A writer of batches of this schema.
    ///
    /// # Errors
    /// `write.is_directory`, `write.denied`, `write.disk_full` and `write.failed`.
    pub fn create(target: Target, format: Format, schema: &Schema) -> Result<Self, TableError> {
        let output = match target {
            Target::Path(path) => Output::file(&path)?,
            Target::Stream(stream) => Output::stream(stream),
        };
        Self::over(output, format, schema)
    }

    fn over(output: Output, format: Format, schema: &Schema) -> Result<Self, TableError> {
        let columns: Vec<usize> = (0..schema.fields().len()).filter(|i| !is_hidden(schema.field(*i))).collect();
        let visible = Arc::new(schema.project(&columns).map_err(|e| arrow(&e))?);
        Ok(Self { encoder: Encoder::new(output, format, &visible)?, columns, rows: 0 })
    }

    /// Writes a batch, all columns of the schema.
    ///
    /// # Errors
    /// `write.not_finite` (naming column and row), `write.disk_full`, `write.failed` and, for a stream that nobody
    /// reads any more, `write.closed`.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), TableError> {
        let visible = batch.project(&self.columns).map_err(|e| arrow(&e))?;
        self.encoder.write(&visible, self.rows)?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Ends the file, brings it to the disk and puts it in its place.
    ///
    /// # Errors
    /// As [`TableWriter::write`].
    pub fn finish(self) -> Result<WriteReport, TableError> {
        let (bytes, digest) = self.encoder.finish()?.commit()?;
        Ok(WriteReport { rows: self.rows, bytes, digest: digest.to_hex().to_string() })
    }
}

/// Writes a whole table.
///
/// # Errors
/// As [`TableWriter`], and what reading the table meets.
pub fn write_table(table: &Table, target: Target, format: Format) -> Result<WriteReport, TableError> {
    let mut writer = TableWriter::create(target, format, &table.schema())?;
    for batch in table.scan_all()? {
        writer.write(&batch?)?;
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::path::Path;

    use arrow_array::{ArrayRef, Float64Array, Int64Array};
    use arrow_schema::{DataType, Field};
    use flowrun_core::table::{MemoryTable, source_rows_field};
    use flowrun_core::types::{Kind, Type};
    use flowrun_core::value::Value;

    use super::*;

    fn sample() -> Table {
        let columns = [
            ("name".to_owned(), Type::string().nullable()),
            ("worth".to_owned(), Type::number()),
            ("n".to_owned(), Type::integer()),
            ("tags".to_owned(), Type::any()),
            ("day".to_owned(), Type::from(Kind::Date).nullable()),
        ];
        let tags: Value = serde_json::from_str(r#"{"a":[1,2.0]}"#).unwrap();
        let rows = [
            vec!["a \"b\", é\n".into(), Value::Float(6.0), Value::Int(1), tags, Value::Null],
            vec![
                Value::Null,
                Value::Float(1e21),
                Value::Int(-7),
                Value::Null,
                Value::Date("2026-01-31".parse().unwrap()),
            ],
        ];
        Table::new(MemoryTable::from_rows(&columns, rows).unwrap())
    }

    fn written(table: &Table, format: Format) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/deep/out");
        let report = write_table(table, Target::Path(path.clone()), format).unwrap();
        let text = fs::read(&path).unwrap();
        assert_eq!(report.bytes, text.len() as u64);
        assert_eq!(report.digest, blake3::hash(&text).to_hex().to_string());
        assert_eq!(names(path.parent().unwrap()), ["out"]);
        String::from_utf8_lossy(&text).into_owned()
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_text_formats_look_as_documented() {
        let first = r#"{"name":"a \"b\", é\n","worth":6.0,"n":1,"tags":{"a":[1,2.0]},"day":null}"#;
        let second = r#"{"name":null,"worth":1e+21,"n":-7,"tags":null,"day":"2026-01-31"}"#;
        assert_eq!(written(&sample(), Format::Json), format!("[\n{first},\n{second}\n]\n"));
        assert_eq!(written(&sample(), Format::Jsonl), format!("{first}\n{second}\n"));
        let csv =
            "name,worth,n,tags,day\n\"a \"\"b\"\", é\n\",6.0,1,\"{\"\"a\"\":[1,2.0]}\",\n,1e+21,-7,,2026-01-31\n";
        assert_eq!(written(&sample(), Format::Csv), csv);
        let empty = filter_none();
        assert_eq!(written(&empty, Format::Json), "[]\n");
        assert_eq!(written(&empty, Format::Jsonl), "");
        assert_eq!(written(&empty, Format::Csv), "name,worth,n,tags,day\n");
    }

    fn filter_none() -> Table {
        crate::sources::filter(&sample(), |_| Ok(false))
    }

    #[test]
    fn hidden_columns_are_not_written_and_parquet_is_the_same_each_time() {
        let schema = Arc::new(Schema::new(vec![source_rows_field(), Field::new("n", DataType::Int64, false)]));
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![5, 6])), Arc::new(Int64Array::from(vec![1, 2]))];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let table = Table::new(MemoryTable::new(schema, vec![batch]));
        assert_eq!(written(&table, Format::Jsonl), "{\"n\":1}\n{\"n\":2}\n");
        assert_eq!(written(&sample(), Format::Parquet), written(&sample(), Format::Parquet));
    }

    #[test]
    fn a_number_that_is_not_finite_is_named_by_column_and_row() {
        let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Float64, false)]));
        let good: ArrayRef = Arc::new(Float64Array::from(vec![1.0; 3]));
        let bad: ArrayRef = Arc::new(Float64Array::from(vec![1.0, f64::NAN]));
        for format in [Format::Json, Format::Jsonl, Format::Csv] {
            let mut writer = TableWriter::create(Target::Stream(Box::new(io::sink())), format, &schema).unwrap();
            writer.write(&RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(&good)]).unwrap()).unwrap();
            let error = writer
                .write(&RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(&bad)]).unwrap())
                .unwrap_err();
            assert_eq!(error.code, "write.not_finite");
            assert!(error.message.starts_with("column `x`, row 4: NaN has no form in"), "{}", error.message);
        }
    }

    /// A disk that has room for some bytes.
    struct SmallDisk {
        room: usize,
    }

    impl Write for SmallDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = bytes.len().min(self.room);
            self.room -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_leaves_the_old_file_and_nothing_else() {
        for format in [Format::Json, Format::Jsonl, Format::Csv, Format::Parquet] {
            for room in [0, 1, 20, 60] {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("out");
                fs::write(&path, "old").unwrap();
                let output = Output::file(&path).unwrap().through(Box::new(SmallDisk { room }));
                let table = sample();
                let run = || {
                    let mut writer = TableWriter::over(output, format, &table.schema())?;
                    for batch in table.scan_all()? {
                        writer.write(&batch?)?;
                    }
                    writer.finish()
                };
                let error = run().unwrap_err();
                assert_eq!(error.code, "write.disk_full", "{format} {room}: {error}");
                assert!(error.message.contains("the file is as it was"), "{error}");
                assert_eq!(names(folder.path()), ["out"], "{format} {room}");
                assert_eq!(fs::read_to_string(&path).unwrap(), "old");
            }
        }
    }

    #[test]
    fn a_writer_that_is_dropped_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let writer = TableWriter::create(Target::Path(path.clone()), Format::Jsonl, &sample().schema()).unwrap();
        let second = TableWriter::create(Target::Path(path), Format::Jsonl, &sample().schema()).unwrap();
        assert_eq!(names(folder.path()), [".out.jsonl.2.partial", ".out.jsonl.partial"]);
        drop((writer, second));
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_target_that_cannot_be_a_file_is_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let create = |path: PathBuf| TableWriter::create(Target::Path(path), Format::Csv, &sample().schema());
        assert_eq!(create(folder.path().to_owned()).unwrap_err().code, "write.is_directory");
        fs::write(folder.path().join("file"), "").unwrap();
        let error = create(folder.path().join("file/out.csv")).unwrap_err();
        assert_eq!(error.code, "write.failed", "{error}");
        assert_eq!(create(PathBuf::from("..")).unwrap_err().code, "write.is_directory");
        assert_eq!(create(PathBuf::new()).unwrap_err().code, "write.failed");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link_and_a_device_a_device() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.csv"), folder.path().join("link.csv"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write_table(&sample(), Target::Path(link.clone()), Format::Csv).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read_to_string(&real).unwrap().starts_with("name,"));
        write_table(&sample(), Target::Path("/dev/null".into()), Format::Csv).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
