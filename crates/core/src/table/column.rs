//! One column between Arrow and values.

use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Decimal128Builder, DurationMicrosecondBuilder, Float64Builder, Int64Builder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use chrono::{DateTime, NaiveDate, TimeDelta};
use rust_decimal::Decimal;

use super::TableError;
use crate::cast::{cast, parse_scalar};
use crate::types::{Kind, Type};
use crate::value::Value;

/// Digits after the point in a decimal column; all 28 digits of a value's own scale would not compare as one column.
const DECIMAL_SCALE: i8 = 9;
const DECIMAL_DIGITS: u8 = 38;

/// How a type is stored, and whether the field has to carry the type in its metadata because Arrow cannot say it.
pub fn data_type(column: &Type) -> (DataType, bool) {
    match &column.kind {
        Kind::Boolean => (DataType::Boolean, false),
        Kind::Integer => (DataType::Int64, false),
        Kind::Number => (DataType::Float64, false),
        Kind::String => (DataType::Utf8, column.one_of.is_some()),
        Kind::Path => (DataType::Utf8, true),
        Kind::Decimal => (DataType::Decimal128(DECIMAL_DIGITS, DECIMAL_SCALE), false),
        Kind::Date => (DataType::Date32, false),
        Kind::Timestamp => (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Kind::Duration => (DataType::Duration(TimeUnit::Microsecond), false),
        // Any, unions, lists and objects are JSON text, marked so.
        Kind::Any | Kind::Null | Kind::List(_) | Kind::Object(_) | Kind::Union(_) | Kind::Table => {
            (DataType::Utf8, true)
        }
    }
}

/// The type of a column that carries no mark of its own.
pub(super) fn type_of_data(data: &DataType) -> Type {
    match data {
        DataType::Boolean => Type::boolean(),
        DataType::Int64 => Type::integer(),
        DataType::Float64 => Type::number(),
        DataType::Utf8 => Type::string(),
        DataType::Decimal128(..) => Kind::Decimal.into(),
        DataType::Date32 => Kind::Date.into(),
        DataType::Timestamp(..) => Kind::Timestamp.into(),
        DataType::Duration(_) => Kind::Duration.into(),
        _ => Type::any(),
    }
}

/// The value at `row` of a column of type `column`. The column must be stored as [`data_type`] says.
pub fn cell(array: &dyn Array, row: usize, column: &Type) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match &column.without_null().kind {
        Kind::Boolean => Value::Bool(array.as_boolean().value(row)),
        Kind::Integer => Value::Int(array.as_primitive::<Int64Type>().value(row)),
        Kind::Number => Value::Float(array.as_primitive::<Float64Type>().value(row)),
        Kind::String | Kind::Path => Value::from(array.as_string::<i32>().value(row)),
        Kind::Decimal => {
            let units = array.as_primitive::<Decimal128Type>().value(row);
            Value::Decimal(
                Decimal::from_i128_with_scale(units, u32::from(DECIMAL_SCALE.unsigned_abs())).normalize(),
            )
        }
        Kind::Date => {
            let days = array.as_primitive::<Date32Type>().value(row);
            let epoch = NaiveDate::default();
            Value::Date(epoch + TimeDelta::days(days.into()))
        }
        Kind::Timestamp => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            DateTime::from_timestamp_micros(micros).map_or(Value::Null, Value::Timestamp)
        }
        Kind::Duration => {
            Value::Duration(TimeDelta::microseconds(array.as_primitive::<DurationMicrosecondType>().value(row)))
        }
        Kind::Any | Kind::Null | Kind::List(_) | Kind::Object(_) | Kind::Union(_) | Kind::Table => {
            let text = array.as_string::<i32>().value(row);
            // Written by `ColumnBuilder`, so it parses; text that somebody else marked wrongly stays text.
            serde_json::from_str(text).map_or_else(|_| Value::from(text), |value| typed(value, column))
        }
    }
}

enum Builder {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Decimal(Decimal128Builder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Duration(DurationMicrosecondBuilder),
    Text(StringBuilder),
    Json(StringBuilder),
}

/// Collects values of one type into an Arrow array.
pub struct ColumnBuilder {
    column: Type,
    builder: Builder,
}

impl ColumnBuilder {
    /// A builder for a column of this type.
    pub fn new(column: &Type) -> Self {
        let builder = match &column.without_null().kind {
            Kind::Boolean => Builder::Bool(BooleanBuilder::new()),
            Kind::Integer => Builder::Int(Int64Builder::new()),
            Kind::Number => Builder::Float(Float64Builder::new()),
            Kind::Decimal => Builder::Decimal(
                Decimal128Builder::new().with_data_type(DataType::Decimal128(DECIMAL_DIGITS, DECIMAL_SCALE)),
            ),
            Kind::Date => Builder::Date(Date32Builder::new()),
            Kind::Timestamp => Builder::Timestamp(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
            Kind::Duration => Builder::Duration(DurationMicrosecondBuilder::new()),
            Kind::String | Kind::Path => Builder::Text(StringBuilder::new()),
            _ => Builder::Json(StringBuilder::new()),
        };
        Self { column: column.clone(), builder }
    }

    /// How many values were pushed.
    pub fn len(&self) -> usize {
        use arrow_array::builder::ArrayBuilder;
        match &self.builder {
            Builder::Bool(b) => b.len(),
            Builder::Int(b) => b.len(),
            Builder::Float(b) => b.len(),
            Builder::Decimal(b) => b.len(),
            Builder::Date(b) => b.len(),
            Builder::Timestamp(b) => b.len(),
            Builder::Duration(b) => b.len(),
            Builder::Text(b) | Builder::Json(b) => b.len(),
        }
    }

    /// How many bytes of text were pushed.
    pub fn text_len(&self) -> usize {
        match &self.builder {
            Builder::Text(b) | Builder::Json(b) => b.values_slice().len(),
            _ => 0,
        }
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a value, cast to the column's type.
    ///
    /// # Errors
    /// `table.type` when the value is not of the type, or a decimal or date lies outside what a column holds.
    pub fn push(&mut self, value: &Value) -> Result<(), TableError> {
        if value.is_null() && !matches!(self.column.kind, Kind::Any) {
            if !self.column.admits_null() {
                let message = format!("null in a column of type {}", self.column);
                return Err(TableError::new("table.type", message));
            }
            self.push_null();
            return Ok(());
        }
        if self.append(value)? {
            return Ok(());
        }
        let converted =
            cast(value.clone(), &self.column).map_err(|e| TableError::new("table.type", e.to_string()))?;
        if self.append(&converted)? {
            return Ok(());
        }
        let message = format!("{value} ({}) in a column of type {}", value.type_name(), self.column);
        Err(TableError::new("table.type", message))
    }

    fn push_null(&mut self) {
        match &mut self.builder {
            Builder::Bool(b) => b.append_null(),
            Builder::Int(b) => b.append_null(),
            Builder::Float(b) => b.append_null(),
            Builder::Decimal(b) => b.append_null(),
            Builder::Date(b) => b.append_null(),
            Builder::Timestamp(b) => b.append_null(),
            Builder::Duration(b) => b.append_null(),
            Builder::Text(b) | Builder::Json(b) => b.append_null(),
        }
    }

    /// Appends a value that already has the stored form; says whether it had.
    fn append(&mut self, value: &Value) -> Result<bool, TableError> {
        match (&mut self.builder, value) {
            (Builder::Bool(b), Value::Bool(v)) => b.append_value(*v),
            (Builder::Int(b), Value::Int(v)) => b.append_value(*v),
            (Builder::Float(b), Value::Float(v)) => b.append_value(*v),
            (Builder::Text(b), Value::String(v)) => b.append_value(v),
            (Builder::Decimal(b), Value::Decimal(v)) => b.append_value(decimal_units(v)?),
            (Builder::Date(b), Value::Date(v)) => {
                let days = v.signed_duration_since(NaiveDate::default()).num_days();
                let days = i32::try_from(days).map_err(|_| {
                    TableError::new("table.type", format!("the date {v} lies outside a column's range"))
                })?;
                b.append_value(days);
            }
            (Builder::Timestamp(b), Value::Timestamp(v)) => b.append_value(v.timestamp_micros()),
            (Builder::Duration(b), Value::Duration(v)) => {
                let micros = v
                    .num_microseconds()
                    .ok_or_else(|| TableError::new("table.type", "a duration lies outside a column's range"))?;
                b.append_value(micros);
            }
            (Builder::Json(b), v) => {
                let text = serde_json::to_string(v).map_err(|e| TableError::new("table.type", e.to_string()))?;
                b.append_value(text);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The array of all values pushed since the last call.
    pub fn finish(&mut self) -> ArrayRef {
        match &mut self.builder {
            Builder::Bool(b) => Arc::new(b.finish()),
            Builder::Int(b) => Arc::new(b.finish()),
            Builder::Float(b) => Arc::new(b.finish()),
            Builder::Decimal(b) => Arc::new(b.finish()),
            Builder::Date(b) => Arc::new(b.finish()),
            Builder::Timestamp(b) => Arc::new(b.finish()),
            Builder::Duration(b) => Arc::new(b.finish()),
            Builder::Text(b) | Builder::Json(b) => Arc::new(b.finish()),
        }
    }
}

/// What was read from JSON, where dates and the like are text, as the type says it was.
fn typed(value: Value, wanted: &Type) -> Value {
    match (&wanted.without_null().kind, value) {
        (kind @ (Kind::Decimal | Kind::Date | Kind::Timestamp | Kind::Duration), Value::String(text)) => {
            parse_scalar(&text, kind).ok().flatten().unwrap_or(Value::String(text))
        }
        (Kind::List(item), Value::List(list)) if item.kind != Kind::Any => {
            Value::List(list.items().iter().map(|value| typed(value.clone(), item)).collect())
        }
        (Kind::Object(fields), Value::Object(object)) if !fields.is_empty() => {
            let entry = |(name, value): (&Arc<str>, &Value)| {
                let value = value.clone();
                (Arc::clone(name), fields.get(&**name).map_or_else(|| value.clone(), |t| typed(value.clone(), t)))
            };
            Value::Object(object.iter().map(entry).collect())
        }
        (_, value) => value,
    }
}

fn decimal_units(value: &Decimal) -> Result<i128, TableError> {
    let mut scaled = *value;
    let scale = u32::from(DECIMAL_SCALE.unsigned_abs());
    if scaled.normalize().scale() > scale {
        let message = format!("the decimal {value} has more than {scale} digits after the point");
        return Err(TableError::new("table.type", message));
    }
    scaled.rescale(scale);
    if scaled.scale() != scale {
        return Err(TableError::new("table.type", format!("the decimal {value} is too large for a column")));
    }
    Ok(scaled.mantissa())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scalar_survives_a_column() {
        let day: NaiveDate = "2026-01-31".parse().unwrap();
        let dated: Type =
            Kind::Object([("day".to_owned(), Type::from(Kind::Date).nullable())].into_iter().collect()).into();
        let values = [
            (Type::boolean(), Value::Bool(true)),
            (Type::integer(), Value::Int(i64::MAX)),
            (Type::number(), Value::Float(6.0)),
            (Kind::Decimal.into(), Value::Decimal("12.5".parse().unwrap())),
            (Kind::Date.into(), Value::Date(day)),
            (Kind::Timestamp.into(), Value::Timestamp(day.and_hms_opt(1, 2, 3).unwrap().and_utc())),
            (Kind::Duration.into(), Value::Duration(TimeDelta::milliseconds(1500))),
            (Type::string(), Value::from("é")),
            (Type::any(), serde_json::from_str(r#"{"a":[1,2.0,null]}"#).unwrap()),
            (Type::any(), Value::Null),
            (dated.clone(), serde_json::from_str(r#"{"x":1}"#).unwrap()),
            (
                Type::list(dated),
                Value::from(vec![Value::Object([("day".into(), Value::Date(day))].into_iter().collect())]),
            ),
            (Type::list(Type::integer()), Value::from(vec![Value::Int(1)])),
        ];
        for (column, value) in values {
            let mut builder = ColumnBuilder::new(&column);
            builder.push(&value).unwrap();
            let array = builder.finish();
            assert_eq!(array.data_type(), &data_type(&column).0);
            assert_eq!(cell(array.as_ref(), 0, &column), value, "{column}");
            assert_eq!(super::super::type_of(&super::super::field("c", &column)), column, "{column}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_refused_by_name() {
        let mut builder = ColumnBuilder::new(&Type::integer());
        let error = builder.push(&Value::from("x")).unwrap_err();
        assert_eq!(error.to_string(), "\"x\" (string) is no integer");
        assert!(builder.push(&Value::Null).is_err());
    }
}
