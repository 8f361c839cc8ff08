//! [`Value`]: what flows along a wire. Cheap to clone, typed, never silently converted.

pub mod kept;
mod list;
mod object;
mod serde_impl;

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use rust_decimal::Decimal;

pub use list::List;
pub use object::{Keys, Object, ObjectBuilder};
pub(crate) use serde_impl::scalar_text;
pub use serde_impl::{ValueError, from_value, to_value};

use crate::table::Table;

/// One value. Strings, lists, objects and tables are reference-counted: a clone never copies their content.
///
/// Integers stay integers and `6.0` stays a float. A null is a value, valid only where a type admits it.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Nothing, said on purpose.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number of 64 bits.
    Int(i64),
    /// A floating-point number of 64 bits.
    Float(f64),
    /// An exact decimal number of up to 28 digits.
    Decimal(Decimal),
    /// A day of the calendar, without a time zone.
    Date(NaiveDate),
    /// A point in time, in UTC, to the microsecond.
    Timestamp(DateTime<Utc>),
    /// A span of time, to the microsecond.
    Duration(TimeDelta),
    /// Text.
    String(Arc<str>),
    /// A list of values.
    List(List),
    /// An ordered map from names to values.
    Object(Object),
    /// A handle on rows that can be read again and again.
    Table(Table),
}

impl Value {
    /// The word for this value's type, as a flow file spells it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Int(_) => "integer",
            Self::Float(_) => "number",
            Self::Decimal(_) => "decimal",
            Self::Date(_) => "date",
            Self::Timestamp(_) => "timestamp",
            Self::Duration(_) => "duration",
            Self::String(_) => "string",
            Self::List(_) => "list",
            Self::Object(_) => "object",
            Self::Table(_) => "table",
        }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Truth as `until`, `accept` and `where` see it: null, false, zero, and empty text, lists, objects and tables are not true.
    pub fn is_truthy(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Bool(b) => *b,
            Self::Int(i) => *i != 0,
            Self::Float(f) => *f != 0.0,
            Self::Decimal(d) => !d.is_zero(),
            Self::Duration(d) => !d.is_zero(),
            Self::Date(_) | Self::Timestamp(_) => true,
            Self::String(s) => !s.is_empty(),
            Self::List(l) => !l.is_empty(),
            Self::Object(o) => !o.is_empty(),
            Self::Table(t) => t.len() != Some(0),
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(s) => Some(s),
            _ => None,
        }
    }

    /// The number as a float, if this is an integer, a float or a decimal.
    #[expect(clippy::cast_precision_loss, reason = "documented: the nearest float")]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(i) => Some(*i as f64),
            Self::Float(f) => Some(*f),
            Self::Decimal(d) => (*d).try_into().ok(),
            _ => None,
        }
    }

    /// The whole number, if this is an integer.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Int(i) => Some(*i),
            _ => None,
        }
    }

    /// The object, if this is one.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(o) => Some(o),
            _ => None,
        }
    }

    /// The list, if this is one.
    pub fn as_list(&self) -> Option<&List> {
        match self {
            Self::List(l) => Some(l),
            _ => None,
        }
    }

    /// The table, if this is one.
    pub fn as_table(&self) -> Option<&Table> {
        match self {
            Self::Table(t) => Some(t),
            _ => None,
        }
    }

    /// The value as plain JSON. Decimals, dates, times and durations become text; a table becomes `{"$table": rows}`.
    ///
    /// # Errors
    /// A number that is not finite has no JSON form.
    pub fn to_json(&self) -> Result<serde_json::Value, ValueError> {
        serde_json::to_value(self).map_err(|e| ValueError::new(e.to_string()))
    }
}

/// The ISO 8601 text of a duration in seconds and fractions, `PT90.5S`.
pub fn duration_text(duration: &TimeDelta) -> String {
    let micros = duration.num_microseconds().unwrap_or(i64::MAX);
    let (sign, abs) = if micros < 0 { ("-", micros.unsigned_abs()) } else { ("", micros.unsigned_abs()) };
    let (secs, frac) = (abs / 1_000_000, abs % 1_000_000);
    if frac == 0 {
        return format!("{sign}PT{secs}S");
    }
    let frac = format!("{frac:06}");
    format!("{sign}PT{secs}.{}S", frac.trim_end_matches('0'))
}

/// The ISO 8601 text of a timestamp, `2026-01-31T12:00:00Z`.
pub fn timestamp_text(timestamp: &DateTime<Utc>) -> String {
    timestamp.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Text of a value for a message to a person: strings quoted, long ones cut.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 80;
        let text = match self {
            Self::Table(t) => return write!(f, "{t}"),
            // What JSON cannot say is still something that a person has to be told of.
            other => serde_json::to_string(other).unwrap_or_else(|_| match other {
                Self::Float(number) => number.to_string(),
                other => format!("({} with a number that is not finite)", other.type_name()),
            }),
        };
        match text.char_indices().nth(LONGEST) {
            Some((cut, _)) => write!(f, "{}…", &text[..cut]),
            None => f.write_str(&text),
        }
    }
}

impl PartialEq for Value {
    /// Same type and same content. `1` and `1.0` differ; tables are equal only to themselves.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Self::Decimal(a), Self::Decimal(b)) => a == b,
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::String(a), Self::String(b)) => a == b,
            (Self::List(a), Self::List(b)) => a.items() == b.items(),
            (Self::Object(a), Self::Object(b)) => a == b,
            (Self::Table(a), Self::Table(b)) => a.same_handle(b),
            _ => false,
        }
    }
}

macro_rules! from {
    ($($source:ty => $make:expr),* $(,)?) => {$(
        impl From<$source> for Value {
            fn from(value: $source) -> Self {
                let make: fn($source) -> Self = $make;
                make(value)
            }
        }
    )*};
}

from! {
    bool => Value::Bool,
    i64 => Value::Int,
    i32 => |v| Value::Int(v.into()),
    u32 => |v| Value::Int(v.into()),
    f64 => Value::Float,
    Decimal => Value::Decimal,
    NaiveDate => Value::Date,
    DateTime<Utc> => Value::Timestamp,
    TimeDelta => Value::Duration,
    &str => |v| Value::String(v.into()),
    String => |v| Value::String(v.into()),
    Arc<str> => Value::String,
    List => Value::List,
    Vec<Value> => |v| Value::List(v.into()),
    Object => Value::Object,
    Table => Value::Table,
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
