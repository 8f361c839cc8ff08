//! The file formats.

use std::fmt;
use std::path::Path;

use flowrun_core::table::TableError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::nearest;

/// How a table is laid out in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON array of records.
    Json,
    /// One JSON record a line.
    Jsonl,
    /// Comma-separated values with a header line, RFC 4180.
    Csv,
    /// Apache Parquet.
    Parquet,
}

/// Which file name ends in which format.
const EXTENSIONS: &[(&str, Format)] = &[
    ("json", Format::Json),
    ("jsonl", Format::Jsonl),
    ("ndjson", Format::Jsonl),
    ("csv", Format::Csv),
    ("parquet", Format::Parquet),
];

impl Format {
    /// The format that a file's name says: `.json`, `.jsonl`, `.ndjson`, `.csv` or `.parquet`.
    ///
    /// # Errors
    /// `table.unknown_format` when the name ends otherwise.
    pub fn of_path(path: &Path) -> Result<Self, TableError> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        if let Some((_, format)) = EXTENSIONS.iter().find(|(known, _)| *known == extension) {
            return Ok(*format);
        }
        let message = format!("the name `{}` says no table format", path.display());
        let help = match nearest(&extension, EXTENSIONS.iter().map(|(known, _)| *known)) {
            Some(near) => format!("did you mean `.{near}`? else say `format:`"),
            None => "end it in .json, .jsonl, .csv or .parquet, or say `format:`".to_owned(),
        };
        Err(TableError::new("table.unknown_format", message).with_help(help))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::Jsonl => "JSONL",
            Self::Csv => "CSV",
            Self::Parquet => "Parquet",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_says_the_format() {
        assert_eq!(Format::of_path(Path::new("out/a.b.JSONL")).unwrap(), Format::Jsonl);
        let error = Format::of_path(Path::new("a.parqet")).unwrap_err();
        assert_eq!(error.code, "table.unknown_format");
        assert_eq!(error.help.unwrap(), "did you mean `.parquet`? else say `format:`");
        assert!(Format::of_path(Path::new("data")).is_err());
    }
}
