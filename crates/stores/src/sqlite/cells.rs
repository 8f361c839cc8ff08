//! Values as SQLite keeps them: text where it has no type of its own, JSON where a column holds more than a scalar.

use flowrun_core::types::Kind;
use flowrun_core::value::Value;
use rusqlite::types::{Value as Cell, ValueRef};

use crate::StoreError;
use crate::collection::{Column, is_json};
use crate::sql::quoted;

/// A column of a new table.
pub(super) fn declared(column: &Column) -> String {
    let sql_type = match column.value_type.without_null().kind {
        Kind::Boolean | Kind::Integer => "INTEGER",
        Kind::Number => "REAL",
        _ => "TEXT",
    };
    let not_null = if column.value_type.admits_null() { "" } else { " NOT NULL" };
    format!("{} {sql_type}{not_null}", quoted(&column.name))
}

/// A value for a column.
pub(super) fn to_cell(value: &Value, column: &Column) -> Result<Cell, StoreError> {
    if is_json(&column.value_type) && !value.is_null() { json(value).map(Cell::Text) } else { of_value(value) }
}

/// A value as it is, without a column that it is for.
pub(super) fn of_value(value: &Value) -> Result<Cell, StoreError> {
    Ok(match value {
        Value::Null => Cell::Null,
        Value::Bool(b) => Cell::Integer((*b).into()),
        Value::Int(i) => Cell::Integer(*i),
        Value::Float(f) => Cell::Real(*f),
        Value::String(text) => Cell::Text(text.to_string()),
        Value::List(_) | Value::Object(_) => Cell::Text(json(value)?),
        Value::Table(_) => return Err(StoreError::new("store.entity", "a table is no value of a cell")),
        // These are text in JSON, in one form only.
        Value::Decimal(_) | Value::Date(_) | Value::Timestamp(_) | Value::Duration(_) => {
            let text = value.to_json().map_err(|e| StoreError::new("store.entity", e.to_string()))?;
            Cell::Text(text.as_str().unwrap_or_default().to_owned())
        }
    })
}

fn json(value: &Value) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|e| StoreError::new("store.entity", format!("it has no form as JSON: {e}")))
}

/// The value of a column; its type is checked by who asks.
pub(super) fn from_cell(cell: ValueRef<'_>, column: &Column) -> Result<Value, StoreError> {
    let value = plain(cell, &column.name)?;
    let broken = |why: String| {
        StoreError::new("store.value", format!("the column `{}` holds what does not fit: {why}", column.name))
    };
    match (&column.value_type.without_null().kind, &value) {
        (_, Value::Null) => Ok(value),
        (Kind::Boolean, Value::Int(bit @ (0 | 1))) => Ok(Value::Bool(*bit == 1)),
        _ if is_json(&column.value_type) => match &value {
            Value::String(text) => serde_json::from_str(text).map_err(|e| broken(format!("no JSON: {e}"))),
            other => Err(broken(format!("{other} is no JSON text"))),
        },
        _ => Ok(value),
    }
}

/// A cell as it is.
pub(super) fn plain(cell: ValueRef<'_>, name: &str) -> Result<Value, StoreError> {
    match cell {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(number) => Ok(Value::Int(number)),
        ValueRef::Real(number) => Ok(Value::Float(number)),
        ValueRef::Text(text) => match std::str::from_utf8(text) {
            Ok(text) => Ok(text.into()),
            Err(_) => {
                Err(StoreError::new("store.value", format!("the column `{name}` holds text that is no UTF-8")))
            }
        },
        ValueRef::Blob(_) => {
            let message = format!("the column `{name}` holds bytes, which have no type here");
            Err(StoreError::new("store.value", message).help("turn it into text, as in `hex(column) AS column`"))
        }
    }
}
