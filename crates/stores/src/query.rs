//! Questions in SQL, and what they give.

use std::sync::Arc;

use flowrun_core::cast::parse_scalar;
use flowrun_core::value::{Keys, Object, Value};
use serde::{Deserialize, Serialize};

use crate::sql::{Dialect, Piece, pieces};
use crate::{Schema, StoreConfig, StoreError};

/// A question in SQL, with `:name` variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// With numbered variables, in the order of `variables`.
    pub(crate) sql: String,
    variables: Vec<String>,
}

/// What a question gives: columns, and rows of as many values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The columns' names, and what a value that comes as text is.
    pub columns: Vec<(String, Kind)>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
}

/// What a value of a column is that JSON, and so a journal, has no form for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// As it comes.
    Plain,
    /// An exact number.
    Decimal,
    /// A day.
    Date,
    /// A point in time.
    Timestamp,
    /// A span of time.
    Duration,
}

impl Query {
    /// A question to a store of this kind.
    ///
    /// # Errors
    /// A message, when the store takes no SQL, or the text is none as far as that can be said without asking.
    pub fn parse(sql: &str, config: &StoreConfig, schema: &Schema) -> Result<Self, String> {
        let dialect = match config {
            StoreConfig::Memory {} => return Err("a memory store takes no SQL; use `datastore_list`".to_owned()),
            StoreConfig::Sqlite { .. } => Dialect::Sqlite,
            StoreConfig::Postgres { .. } => Dialect::Postgres,
        };
        if sql.contains("{{") || sql.contains("{%") {
            return Err("SQL is no text with holes; write `:name`, which becomes an input of the step".to_owned());
        }
        let sql = sql.trim_end_matches(|c: char| c.is_whitespace() || c == ';');
        let (mut numbered, mut variables) = (String::with_capacity(sql.len()), Vec::<String>::new());
        for piece in pieces(sql, dialect)? {
            match piece {
                Piece::Text(text) => numbered.push_str(text),
                Piece::Variable(name) => {
                    let place = variables.iter().position(|v| v == name).unwrap_or_else(|| {
                        variables.push(name.to_owned());
                        variables.len() - 1
                    });
                    numbered.push_str(if dialect == Dialect::Sqlite { "?" } else { "$" });
                    numbered.push_str(&(place + 1).to_string());
                }
            }
        }
        let query = Self { sql: numbered, variables };
        if dialect == Dialect::Sqlite {
            crate::sqlite::check(&query, schema)?;
        }
        Ok(query)
    }

    /// The variables, each once.
    pub fn variables(&self) -> &[String] {
        &self.variables
    }

    /// The values of the variables in their order, the first one for the first.
    pub(crate) fn in_order<'v>(&self, values: &'v [(String, Value)]) -> Result<Vec<&'v Value>, StoreError> {
        let find = |name: &String| values.iter().find(|(n, _)| n == name).map(|(_, value)| value);
        let missing = |name: &String| StoreError::new("store.query", format!("`:{name}` has no value"));
        self.variables.iter().map(|name| find(name).ok_or_else(|| missing(name))).collect()
    }
}

impl Answer {
    /// The rows as objects.
    ///
    /// # Errors
    /// `store.value` when a value is not of its column's kind.
    pub fn objects(self) -> Result<Vec<Object>, StoreError> {
        let keys = Keys::new(self.columns.iter().map(|(name, _)| name.as_str().into()).collect());
        let kinds: Vec<Kind> = self.columns.iter().map(|(_, kind)| *kind).collect();
        let object = |row: Vec<Value>| {
            if row.len() != kinds.len() {
                return Err(StoreError::new("store.value", "a row has another number of values than columns"));
            }
            let values = row.into_iter().zip(&kinds).map(|(value, kind)| typed(value, *kind));
            Ok(Object::of_shape(Arc::clone(&keys), values.collect::<Result<_, _>>()?))
        };
        self.rows.into_iter().map(object).collect()
    }
}

fn typed(value: Value, kind: Kind) -> Result<Value, StoreError> {
    use flowrun_core::types::Kind as Type;
    let wanted = match kind {
        Kind::Plain => return Ok(value),
        Kind::Decimal => Type::Decimal,
        Kind::Date => Type::Date,
        Kind::Timestamp => Type::Timestamp,
        Kind::Duration => Type::Duration,
    };
    let Value::String(text) = &value else { return Ok(value) };
    let read = parse_scalar(text, &wanted).map_err(|e| StoreError::new("store.value", e.to_string()))?;
    Ok(read.unwrap_or(value))
}

/// Whether no name stands twice: an object has each once.
pub(crate) fn distinct(names: &[String]) -> Result<(), StoreError> {
    match names.iter().enumerate().find(|(n, name)| names[..*n].contains(name)) {
        None => Ok(()),
        Some((_, twice)) => {
            let message = format!("two columns of the answer are named `{twice}`");
            Err(StoreError::new("store.query", message)
                .help("give one another name, as in `count(*) AS how_many`"))
        }
    }
}
