//! From all values of a column to its type.

use flowrun_core::table::TableError;
use flowrun_core::types::Type;
use flowrun_core::value::Value;

use super::text::{Number, number};

/// Above this, a float cannot tell an integer from its neighbours: 2^53.
const EXACT: u64 = 1 << 53;

/// What was seen in a column so far.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a set of kinds; each is one bit of what was seen")]
pub(super) struct Seen {
    boolean: bool,
    integer: bool,
    number: bool,
    text: bool,
    nested: bool,
    /// An integer that a float would round.
    wide: bool,
    /// The first integer that has no 64-bit form, and its line.
    overflow: Option<(String, u64)>,
    /// How many values were there that are not null.
    values: u64,
}

impl Seen {
    /// Notes a field of a CSV file.
    pub(super) fn note_text(&mut self, field: &str, line: u64) {
        if field.is_empty() {
            return;
        }
        self.values += 1;
        // Text takes everything in, so nothing more has to be known.
        if self.text {
            return;
        }
        match number(field) {
            Some(Number::Integer(n)) => self.note_integer(n),
            Some(Number::Float(_)) => self.number = true,
            Some(Number::TooLarge) => {
                self.integer = true;
                self.overflow.get_or_insert_with(|| (field.to_owned(), line));
            }
            None if matches!(field, "true" | "false") => self.boolean = true,
            None => self.text = true,
        }
    }

    /// Notes a value of a JSON record.
    pub(super) fn note_value(&mut self, value: &Value) {
        self.values += u64::from(!value.is_null());
        match value {
            Value::Null => {}
            Value::Bool(_) => self.boolean = true,
            Value::Int(n) => self.note_integer(*n),
            Value::Float(_) => self.number = true,
            Value::String(_) => self.text = true,
            _ => self.nested = true,
        }
    }

    fn note_integer(&mut self, n: i64) {
        self.integer = true;
        self.wide |= n.unsigned_abs() > EXACT;
    }

    /// The type of the only kind that was seen; `otherwise` for several kinds, and for none.
    fn single_or(&self, otherwise: Type) -> Type {
        let numeric = self.integer || self.number;
        match (self.boolean, numeric, self.text, self.nested) {
            (true, false, false, false) => Type::boolean(),
            (false, true, false, false) if !self.number => Type::integer(),
            (false, true, false, false) if !(self.integer && self.wide) => Type::number(),
            (false, false, true, false) => Type::string(),
            _ => otherwise,
        }
    }

    fn nullable(&self, column: Type, rows: u64) -> Type {
        if self.values < rows { column.nullable() } else { column }
    }

    /// The type of a CSV column of that many rows.
    pub(super) fn csv_type(&self, file: &str, name: &str, rows: u64) -> Result<Type, TableError> {
        let column = self.single_or(Type::string());
        match &self.overflow {
            Some((text, line)) if column != Type::string() => {
                let message =
                    format!("{file}, line {line}: the integer {text} in column `{name}` does not fit 64 bits");
                let help = format!("declare the column: `columns: {{ {name}: string }}`");
                Err(overflow(message).with_help(help))
            }
            _ => Ok(self.nullable(column, rows)),
        }
    }

    /// The type of a JSON column of that many rows, in some of which it may be absent.
    pub(super) fn json_type(&self, rows: u64) -> Type {
        self.nullable(self.single_or(Type::any()), rows)
    }
}

/// The error for an integer that has no 64-bit form.
pub(super) fn overflow(message: String) -> TableError {
    TableError::new("table.integer_overflow", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(fields: &[&str]) -> String {
        let mut seen = Seen::default();
        for field in fields {
            seen.note_text(field, 1);
        }
        seen.csv_type("`f`", "c", fields.len() as u64).map_or_else(|e| e.code.to_owned(), |t| t.to_string())
    }

    #[test]
    fn every_value_counts() {
        assert_eq!(csv(&["1", "-2"]), "integer");
        assert_eq!(csv(&["1", "6.0", ""]), "number?");
        assert_eq!(csv(&["true", "false"]), "boolean");
        assert_eq!(csv(&["007", "1"]), "string");
        assert_eq!(csv(&["2026-01-31"]), "string");
        assert_eq!(csv(&["true", "1"]), "string");
        assert_eq!(csv(&["", ""]), "string?");
        assert_eq!(csv(&["9007199254740993", "0.5"]), "string");
        assert_eq!(csv(&["99999999999999999999"]), "table.integer_overflow");
        assert_eq!(csv(&["99999999999999999999", "a"]), "string");
        assert_eq!(csv(&["nan", "inf"]), "string");
    }

    #[test]
    fn json_of_several_kinds_is_any() {
        let of = |values: &[Value]| {
            let mut seen = Seen::default();
            for value in values {
                seen.note_value(value);
            }
            seen.json_type(values.len() as u64).to_string()
        };
        assert_eq!(of(&[Value::Int(1), Value::Float(0.5)]), "number");
        assert_eq!(of(&[Value::Int(i64::MAX), Value::Float(0.5)]), "any");
        assert_eq!(of(&[Value::Int(1), "a".into()]), "any");
        assert_eq!(of(&["a".into(), Value::Null]), "string?");
        assert_eq!(of(&[Value::Null]), "any");
    }
}
