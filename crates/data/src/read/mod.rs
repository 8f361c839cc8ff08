//! Tables from files.
//!
//! Opening reads a file once, to the end: that settles the types, counts the rows, takes the digest, and meets
//! everything that is wrong with the file before anything else is done. Each scan reads the file again, in batches; a
//! file that has changed since is an error, never other rows.
//!
//! Types are never guessed from the first rows. Integers stay integers; a column with integers and other numbers is
//! `number`, unless an integer is so large (beyond 2^53) that it would lose digits. Absent and null make a column
//! nullable. JSON columns of lists, objects or several types are `any`; CSV columns of several types are `string`, and
//! so are dates, and digits with a leading zero; an empty CSV field is null. What is declared in
//! [`ReadOptions::columns`] is read as that.

mod csv;
mod file;
mod infer;
mod json;
mod jsonl;
mod nested;
mod parquet;
mod record;
mod text;

use std::path::Path;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use flowrun_core::table::{SOURCE_ROWS, Table, TableError, field};
use flowrun_core::types::Type;
use indexmap::IndexMap;

use crate::Format;
use crate::nearest::suggest;
use file::Unread;

pub use file::FileFacts;

/// How a file is read.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// The format; by the file's name where it is not said.
    pub format: Option<Format>,
    /// Types of columns that are not to be inferred. Not for Parquet, which has types.
    pub columns: IndexMap<String, Type>,
    /// How large things may be.
    pub limits: ReadLimits,
}

/// How large things may be.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// The largest JSON array, in bytes: it is parsed whole and held in memory. The other formats stream.
    pub json_bytes: u64,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self { json_bytes: 512 << 20 }
    }
}

/// A file as a table.
#[derive(Clone, Debug)]
pub struct FileTable {
    /// Its rows.
    pub table: Table,
    /// What identifies its content.
    pub facts: FileFacts,
}

/// Opens a file as a table.
///
/// # Errors
/// - the file: `table.missing_file`, `table.not_a_file`, `table.unreadable`, `table.empty_file`,
///   `table.unknown_format`, `table.too_large` (a JSON array), `table.changed` (while it was read; also at any scan);
/// - its text: `table.not_utf8` (line), `table.ragged` (line, fields found and expected), `table.bad_csv`,
///   `table.bad_json` (line, column), `table.not_a_record`, `table.bad_parquet`;
/// - its columns: `table.duplicate_column`, `table.reserved_column`, `table.no_columns`, `table.no_column` (declared,
///   but absent), `table.declared` (declared for Parquet), `table.unsupported` (a Parquet type);
/// - its cells: `table.integer_overflow`, `table.type` (not of the declared type).
pub fn open(path: &Path, options: &ReadOptions) -> Result<FileTable, TableError> {
    let format = options.format.map_or_else(|| Format::of_path(path), Ok)?;
    let file = Unread::open(path)?;
    match format {
        Format::Csv => csv::open(file, &options.columns),
        Format::Json => json::open(file, &options.columns, options.limits),
        Format::Jsonl => jsonl::open(file, &options.columns),
        Format::Parquet => parquet::open(file, &options.columns),
    }
}

/// The schema of these columns, with what was declared in place of what was found.
fn schema(
    file: &str,
    found: impl IntoIterator<Item = (String, Type)>,
    declared: &IndexMap<String, Type>,
) -> Result<SchemaRef, TableError> {
    let mut columns: IndexMap<String, Type> = IndexMap::new();
    for (name, column) in found {
        let column = declared.get(&name).cloned().unwrap_or(column);
        columns.insert(name, column);
    }
    let names = columns.keys().map(String::as_str);
    if let Some(absent) = declared.keys().find(|name| !columns.contains_key(name.as_str())) {
        let message = format!("{file} has no column `{absent}`, whose type is declared");
        return Err(TableError::new("table.no_column", message).with_help(suggest(absent, names)));
    }
    check_name(file, names)?;
    Ok(Arc::new(Schema::new(columns.iter().map(|(name, t)| field(name, t)).collect::<Vec<_>>())))
}

fn check_name<'a>(file: &str, mut names: impl Iterator<Item = &'a str>) -> Result<(), TableError> {
    if names.any(|name| name == SOURCE_ROWS) {
        let message = format!("{file} has a column `{SOURCE_ROWS}`, a name that a hidden column has");
        return Err(TableError::new("table.reserved_column", message).with_help("rename the column in the file"));
    }
    Ok(())
}

fn duplicate(file: &str, name: &str, place: &str) -> TableError {
    TableError::new("table.duplicate_column", format!("{file}{place}: the column `{name}` stands twice"))
        .with_help("rename one of them in the file")
}

#[cfg(test)]
mod tests;
