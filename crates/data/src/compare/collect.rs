//! One pass over a table: counts, numbers, tuples.

use flowrun_core::table::{TableError, cell};
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::Value;

/// The number that a value of a numeric column is: dates are days, timestamps and durations microseconds since 1970.
#[expect(
    clippy::cast_precision_loss,
    reason = "a score does not hang on the last digits of a count of microseconds"
)]
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Date(day) => Some(day.signed_duration_since(chrono::NaiveDate::default()).num_days() as f64),
        Value::Timestamp(stamp) => Some(stamp.timestamp_micros() as f64),
        Value::Duration(span) => span.num_microseconds().map(|micros| micros as f64),
        other => other.as_f64(),
    }
}

/// Whether a type's values are numbers, for [`number`].
pub(super) fn is_numeric(column: &Type) -> bool {
    matches!(
        column.without_null().kind,
        Kind::Integer | Kind::Number | Kind::Decimal | Kind::Date | Kind::Timestamp | Kind::Duration
    )
}

/// The error for a column that is to be numeric and is not.
pub(super) fn not_numeric(name: &str, column: &Type, table: &str) -> TableError {
    let message = format!("column `{name}` of the {table} is {column}, and numbers are to be compared");
    TableError::new("compare.not_numeric", message).with_help("compare it as categories")
}

/// The columns of a table that a comparison reads.
pub(super) struct Columns {
    /// Place and type, by the order of the names asked for.
    places: Vec<(usize, Type)>,
}

impl Columns {
    /// The columns of these names; `table` says in a message which table it is.
    pub(super) fn of(schema: &arrow_schema::Schema, names: &[&str], table: &str) -> Result<Self, TableError> {
        use flowrun_core::table::{is_hidden, type_of};
        let visible = || schema.fields().iter().enumerate().filter(|(_, f)| !is_hidden(f));
        let place = |name: &&str| {
            let found = visible().find(|(_, f)| f.name() == name).map(|(place, f)| (place, type_of(f)));
            found.ok_or_else(|| {
                let known: Vec<&str> = visible().map(|(_, f)| f.name().as_str()).collect();
                TableError::new("compare.no_column", format!("the {table} has no column `{name}`"))
                    .with_help(crate::nearest::suggest(name, known))
            })
        };
        Ok(Self { places: names.iter().map(place).collect::<Result<_, _>>()? })
    }

    pub(super) fn column(&self, which: usize) -> &Type {
        &self.places[which].1
    }

    pub(super) fn value(&self, batch: &arrow_array::RecordBatch, row: usize, which: usize) -> Value {
        let (place, column) = &self.places[which];
        cell(batch.column(*place).as_ref(), row, column)
    }
}
