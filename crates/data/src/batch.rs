//! Rows of values into Arrow batches.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, SchemaRef};
use flowrun_core::table::{ColumnBuilder, TableError, type_of};
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::Value;

/// Collects cells, column by column, into batches of one schema.
pub(crate) struct RowBuilder {
    schema: SchemaRef,
    builders: Vec<ColumnBuilder>,
    rows: usize,
}

impl RowBuilder {
    pub(crate) fn new(schema: SchemaRef) -> Self {
        let builders = schema.fields().iter().map(|f| ColumnBuilder::new(&type_of(f))).collect();
        Self { schema, builders, rows: 0 }
    }

    /// Adds a cell to a column; every column needs one before [`RowBuilder::end_row`].
    pub(crate) fn push(&mut self, column: usize, value: &Value) -> Result<(), TableError> {
        self.builders[column].push(value)
    }

    pub(crate) fn end_row(&mut self) {
        self.rows += 1;
    }

    /// How many rows wait to become a batch.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The batch of all rows since the last one.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, TableError> {
        let arrays = self.builders.iter_mut().map(ColumnBuilder::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options).map_err(|e| arrow(&e))
    }
}

/// An Arrow error that no file or column can be named for: columns too large for one batch, above all.
pub(crate) fn arrow(error: &ArrowError) -> TableError {
    TableError::new("table.arrow", format!("rows could not be put into columns: {error}"))
}

/// A row or byte count as an index; more than the address space holds is refused long before.
pub(crate) fn index(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// A value as a person writes it as the key of a mapping: text as it stands, `null`, `true`, `1`, `6.0`.
pub(crate) fn key_text(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => text.to_string(),
        Value::Float(number) => format!("{number:?}"),
        other => match serde_json::to_value(other) {
            Ok(serde_json::Value::String(text)) => text,
            Ok(json) => json.to_string(),
            // Only a number that is not finite, deep inside: its debug text is as good a key as any.
            Err(_) => format!("{other:?}"),
        },
    }
}

/// A key under which two values are equal if and only if they are the same value; text and null stay apart.
pub(crate) fn cell_key(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{text}"),
        other => key_text(other),
    }
}

/// The narrowest type that admits all of these values: integers among numbers widen, all else that differs is `any`.
pub(crate) fn type_of_values<'a>(values: impl IntoIterator<Item = &'a Value>) -> Type {
    let mut types = values.into_iter().map(|value| match value {
        Value::Null => Type::null(),
        Value::Bool(_) => Type::boolean(),
        Value::Int(_) => Type::integer(),
        Value::Float(_) => Type::number(),
        Value::Decimal(_) => Kind::Decimal.into(),
        Value::Date(_) => Kind::Date.into(),
        Value::Timestamp(_) => Kind::Timestamp.into(),
        Value::Duration(_) => Kind::Duration.into(),
        Value::String(_) => Type::string(),
        Value::List(_) | Value::Object(_) | Value::Table(_) => Type::any(),
    });
    types.next().map_or_else(Type::any, |first| types.fold(first, |all, next| unify(&all, &next)))
}

/// The narrowest type that admits the values of both.
pub(crate) fn unify(a: &Type, b: &Type) -> Type {
    let nullable = a.admits_null() || b.admits_null();
    let joined = match (&a.without_null().kind, &b.without_null().kind) {
        (Kind::Any, _) | (_, Kind::Any) => return Type::any(),
        (Kind::Null, _) => b.without_null().clone(),
        (_, Kind::Null) => a.without_null().clone(),
        (Kind::Integer, Kind::Number) | (Kind::Number, Kind::Integer) => Type::number(),
        (left, right) if left == right => {
            if a.without_null() == b.without_null() {
                a.without_null().clone()
            } else {
                left.clone().into()
            }
        }
        _ => return Type::any(),
    };
    if matches!(joined.kind, Kind::Null) || !nullable { joined } else { joined.nullable() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_narrowest_type() {
        let word = |values: &[Value]| type_of_values(values).to_string();
        assert_eq!(word(&["a".into(), "b".into()]), "string");
        assert_eq!(word(&[Value::Int(1), Value::Float(0.5)]), "number");
        assert_eq!(word(&[Value::Null, Value::Int(1)]), "integer?");
        assert_eq!(word(&[Value::Int(1), "b".into()]), "any");
        assert_eq!(word(&[]), "any");
    }

    #[test]
    fn keys_keep_text_and_null_apart() {
        assert_ne!(cell_key(&Value::Null), cell_key(&"null".into()));
        assert_eq!(key_text(&Value::Float(6.0)), "6.0");
        assert_eq!(key_text(&Value::Bool(true)), "true");
    }
}
