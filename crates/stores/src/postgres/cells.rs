//! Values as Postgres takes and gives them here: as text, which it reads by the type of the column.

use flowrun_core::cast::parse_scalar;
use flowrun_core::types::Kind as Type;
use flowrun_core::value::Value;
use tokio_postgres::Row;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{Format, IsNull, ToSql, Type as SqlType, to_sql_checked};

use crate::StoreError;
use crate::collection::{Column, is_json};
use crate::query::Kind;
use crate::sql::quoted;

/// A value as text, for a variable of any type.
#[derive(Debug)]
pub(super) struct Text(Option<String>);

impl Text {
    /// `json`: the variable holds JSON, so a text is written with its quotes.
    pub(super) fn of(value: &Value, json: bool) -> Result<Self, StoreError> {
        let wrong = |e: String| StoreError::new("store.entity", format!("{value} has no form as text: {e}"));
        let text = match value {
            Value::Null => None,
            Value::Table(_) => return Err(StoreError::new("store.entity", "a table is no value of a cell")),
            Value::String(text) if !json => Some(text.to_string()),
            value => match value.to_json().map_err(|e| wrong(e.to_string()))? {
                serde_json::Value::String(text) if !json => Some(text),
                other => Some(other.to_string()),
            },
        };
        Ok(Self(text))
    }
}

impl ToSql for Text {
    fn to_sql(&self, _: &SqlType, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(text) = &self.0 else { return Ok(IsNull::Yes) };
        out.extend_from_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &SqlType) -> bool {
        true
    }

    fn encode_format(&self, _: &SqlType) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// Variables as the client wants them.
pub(super) fn parameters(values: &[Text]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// A column of a new table.
pub(super) fn declared(column: &Column) -> String {
    let sql_type = match column.value_type.without_null().kind {
        Type::Boolean => "boolean",
        Type::Integer => "bigint",
        Type::Number => "double precision",
        Type::Decimal => "numeric",
        Type::Date => "date",
        Type::Timestamp => "timestamptz",
        Type::Duration => "interval",
        Type::String | Type::Path => "text",
        _ => "jsonb",
    };
    let not_null = if column.value_type.admits_null() { "" } else { " NOT NULL" };
    format!("{} {sql_type}{not_null}", quoted(&column.name))
}

/// Whether a column of a table that is there, of this type, holds what the flow declares.
pub(super) fn holds(sql_type: &str, column: &Column) -> bool {
    let fitting: &[&str] = match column.value_type.without_null().kind {
        Type::Boolean => &["bool"],
        Type::Integer => &["int2", "int4", "int8"],
        Type::Number => &["float4", "float8"],
        Type::Decimal => &["numeric"],
        Type::Date => &["date"],
        Type::Timestamp => &["timestamptz", "timestamp"],
        Type::Duration => &["interval"],
        Type::String | Type::Path => &["text", "varchar", "bpchar", "name", "uuid", "citext", "enum"],
        _ => &["json", "jsonb"],
    };
    fitting.contains(&sql_type)
}

fn seconds(name: &str) -> String {
    format!("extract(epoch FROM {name})::text")
}

fn microseconds(name: &str) -> String {
    format!("(extract(epoch FROM {name}) * 1000000)::bigint::text")
}

/// A column as text, to be read by [`from_text`].
pub(super) fn read(column: &Column) -> String {
    let name = quoted(&column.name);
    match column.value_type.without_null().kind {
        Type::Timestamp => microseconds(&name),
        Type::Duration => seconds(&name),
        _ => format!("{name}::text"),
    }
}

fn text_of(row: &Row, n: usize) -> Result<Option<&str>, StoreError> {
    row.try_get(n).map_err(|e| StoreError::new("store.value", format!("the server sent what cannot be read: {e}")))
}

fn broken(name: &str, text: &str) -> StoreError {
    StoreError::new("store.value", format!("the column `{name}` holds `{text}`, which does not fit"))
}

fn timestamp(text: &str) -> Option<Value> {
    chrono::DateTime::from_timestamp_micros(text.parse().ok()?).map(Value::Timestamp)
}

/// The value of a column; its type is checked by who asks.
pub(super) fn from_text(row: &Row, n: usize, column: &Column) -> Result<Value, StoreError> {
    let Some(text) = text_of(row, n)? else { return Ok(Value::Null) };
    let kind = &column.value_type.without_null().kind;
    let value = match kind {
        _ if is_json(&column.value_type) => serde_json::from_str(text).ok(),
        Type::Boolean => Some(Value::Bool(text == "true")),
        Type::Integer => text.parse().ok().map(Value::Int),
        Type::Number => text.parse().ok().map(Value::Float),
        Type::Timestamp => timestamp(text),
        Type::Decimal | Type::Date | Type::Duration => parse_scalar(text, kind).ok().flatten(),
        _ => Some(text.into()),
    };
    value.ok_or_else(|| broken(&column.name, text))
}

/// A column of an answer.
pub(super) struct Asked {
    name: String,
    pub(super) kind: Kind,
    sql_type: SqlType,
}

impl Asked {
    pub(super) fn new(name: &str, sql_type: &SqlType) -> Self {
        let kind = match *sql_type {
            SqlType::NUMERIC => Kind::Decimal,
            SqlType::DATE => Kind::Date,
            SqlType::TIMESTAMP | SqlType::TIMESTAMPTZ => Kind::Timestamp,
            SqlType::INTERVAL => Kind::Duration,
            _ => Kind::Plain,
        };
        Self { name: name.to_owned(), kind, sql_type: sql_type.clone() }
    }

    /// The column as text, to be read by [`Asked::value`].
    pub(super) fn read(&self) -> String {
        let name = format!("question.{}", quoted(&self.name));
        match self.kind {
            Kind::Timestamp => microseconds(&name),
            Kind::Duration => seconds(&name),
            _ => format!("{name}::text"),
        }
    }

    pub(super) fn value(&self, row: &Row, n: usize) -> Result<Value, StoreError> {
        let Some(text) = text_of(row, n)? else { return Ok(Value::Null) };
        let value = match self.sql_type {
            SqlType::BOOL => Some(Value::Bool(text == "true")),
            SqlType::INT2 | SqlType::INT4 | SqlType::INT8 => text.parse().ok().map(Value::Int),
            // What is no number, `NaN`, is none here either.
            SqlType::FLOAT4 | SqlType::FLOAT8 => {
                text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float)
            }
            SqlType::JSON | SqlType::JSONB => serde_json::from_str(text).ok(),
            _ => match self.kind {
                Kind::Timestamp => timestamp(text),
                Kind::Decimal => parse_scalar(text, &Type::Decimal).ok().flatten(),
                Kind::Date => parse_scalar(text, &Type::Date).ok().flatten(),
                Kind::Duration => parse_scalar(text, &Type::Duration).ok().flatten(),
                Kind::Plain => Some(text.into()),
            },
        };
        value.ok_or_else(|| broken(&self.name, text))
    }
}
