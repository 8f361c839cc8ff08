//! JSON records: objects whose names stand once, whose integers fit.

use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use flowrun_core::table::{TableError, type_of};
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use indexmap::IndexMap;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::infer::{Seen, overflow};
use super::text::parse_value;
use crate::batch::RowBuilder;

/// The beginnings of messages that stand for codes of their own; serde carries nothing but text.
const TWICE: &str = "the name `";
const TOO_LARGE: &str = "the integer ";

const AS_TEXT: &str = "write it as text in the file, or with a point if its last digits do not matter";

/// An object of a file, in its order.
pub(super) struct Record(pub(super) Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Record;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
                let mut fields: Vec<(String, Value)> = Vec::with_capacity(map.size_hint().unwrap_or(0));
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if fields.iter().any(|(other, _)| *other == name) {
                        return Err(de::Error::custom(format!("{TWICE}{name}` stands twice in one record")));
                    }
                    fields.push((name, value));
                }
                Ok(Record(fields))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// The error for JSON that could not be read; `line` is what the parser's first line is in the file.
pub(super) fn unparsed(file: &str, error: &serde_json::Error, line: u64) -> TableError {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let what = text.strip_suffix(&place).unwrap_or(&text);
    let line = line + (error.line() as u64).saturating_sub(1);
    let message = format!("{file}, line {line}, column {}: {what}", error.column());
    if what.starts_with(TWICE) {
        TableError::new("table.duplicate_column", message).with_help("rename one of them in the file")
    } else if what.starts_with(TOO_LARGE) {
        overflow(message).with_help(AS_TEXT)
    } else if error.is_data() {
        TableError::new("table.not_a_record", message)
            .with_help("each item must be an object: {\"column\": value, …}")
    } else {
        TableError::new("table.bad_json", message)
    }
}

/// The first integer of a JSON text that has no 64-bit form, which the parser would turn into a float without a word.
pub(super) fn huge_integer(json: &str) -> Option<(usize, &str)> {
    /// The digits of the least integer that may not fit.
    const DIGITS: usize = 19;
    let bytes = json.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let rest = &bytes[at..];
                let length = rest
                    .iter()
                    .position(|b| !matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
                    .unwrap_or(rest.len());
                let text = &json[at..at + length];
                let whole = length >= DIGITS && !text.contains(['.', 'e', 'E']);
                if whole && text.parse::<i64>().is_err() {
                    return Some((at, text));
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    None
}

/// The error for [`huge_integer`], at a line and column counted from 1.
pub(super) fn huge(file: &str, text: &str, line: u64, column: usize) -> TableError {
    let message = format!("{file}, line {line}, column {column}: {TOO_LARGE}{text} does not fit 64 bits");
    overflow(message).with_help(AS_TEXT)
}

/// What all records of a file have in common.
#[derive(Default)]
pub(super) struct Columns {
    seen: IndexMap<String, Seen>,
    pub(super) rows: u64,
}

impl Columns {
    pub(super) fn note(&mut self, record: Record) {
        for (name, value) in record.0 {
            self.seen.entry(name).or_default().note_value(&value);
        }
        self.rows += 1;
    }

    /// The columns and their types, in the order of their first record.
    pub(super) fn types(&self, file: &str) -> Result<Vec<(String, Type)>, TableError> {
        if self.seen.is_empty() && self.rows > 0 {
            return Err(TableError::new("table.no_columns", format!("{file} has only records without any field")));
        }
        Ok(self.seen.iter().map(|(name, seen)| (name.clone(), seen.json_type(self.rows))).collect())
    }
}

/// Puts records into columns.
pub(super) struct Rows {
    pub(super) builder: RowBuilder,
    types: Vec<Type>,
    schema: SchemaRef,
    places: IndexMap<String, usize>,
    declared: Arc<[bool]>,
}

impl Rows {
    /// `declared` are the columns whose text means what the type says.
    pub(super) fn new(schema: &SchemaRef, declared: &Arc<[bool]>) -> Self {
        Self {
            builder: RowBuilder::new(Arc::clone(schema)),
            types: schema.fields().iter().map(|f| type_of(f)).collect(),
            places: schema.fields().iter().enumerate().map(|(i, f)| (f.name().clone(), i)).collect(),
            schema: Arc::clone(schema),
            declared: Arc::clone(declared),
        }
    }

    /// Adds a record; the error says which value does not fit, `changed` that the file has other columns now.
    pub(super) fn push(
        &mut self,
        record: Record,
        at: impl Fn() -> String,
        changed: impl Fn() -> TableError,
    ) -> Result<(), TableError> {
        let mut values = vec![Value::Null; self.types.len()];
        for (name, value) in record.0 {
            values[*self.places.get(&name).ok_or_else(&changed)?] = value;
        }
        for (place, value) in values.into_iter().enumerate() {
            let column = &self.types[place];
            let read = if self.declared[place] { parse_value(value.clone(), column) } else { Some(value.clone()) };
            if read.is_none_or(|read| self.builder.push(place, &read).is_err()) {
                let name = self.schema.field(place).name();
                let message = format!("{}: {value} in column `{name}` is no {column}", at());
                return Err(
                    TableError::new("table.type", message).with_help("correct the value, or declare another type")
                );
            }
        }
        self.builder.end_row();
        Ok(())
    }
}

/// Which columns of a schema are declared.
pub(super) fn declared_places(schema: &SchemaRef, declared: &IndexMap<String, Type>) -> Arc<[bool]> {
    schema.fields().iter().map(|f| declared.contains_key(f.name())).collect()
}
