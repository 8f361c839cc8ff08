//! Values as a journal keeps them: JSON, in which what JSON has no type for is marked, so that it comes back as it was.
//!
//! `{"$date": "2026-01-31"}`, and likewise `$decimal`, `$timestamp` and `$duration`; an object of the flow's own that
//! looks like a mark is `{"$object": …}`.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{Object, Value, ValueError, duration_text, timestamp_text};
use crate::cast::parse_text;
use crate::types::{Kind, Type};

/// Marks of one word; an object whose only key begins so is marked itself.
const MARK: char = '$';
const OBJECT: &str = "$object";

/// Serialises a value, or several, as they are kept.
pub struct Kept<'a, T: ?Sized>(pub &'a T);

impl Serialize for Kept<'_, Value> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Decimal(d) => marked(serializer, "$decimal", &d.to_string()),
            Value::Date(d) => marked(serializer, "$date", &d.to_string()),
            Value::Timestamp(t) => marked(serializer, "$timestamp", &timestamp_text(t)),
            Value::Duration(d) => marked(serializer, "$duration", &duration_text(d)),
            Value::List(list) => serializer.collect_seq(list.items().iter().map(Kept)),
            Value::Object(object) if is_marked(object) => marked(serializer, OBJECT, &Fields(object)),
            Value::Object(object) => Fields(object).serialize(serializer),
            Value::Table(_) => Err(serde::ser::Error::custom("a table is a recipe, which no record can hold")),
            plain => plain.serialize(serializer),
        }
    }
}

impl Serialize for Kept<'_, Vec<Value>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Kept))
    }
}

struct Fields<'a>(&'a Object);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (&**name, Kept(value))))
    }
}

fn marked<S: Serializer>(serializer: S, mark: &str, value: &impl Serialize) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(mark, value)?;
    map.end()
}

fn is_marked(object: &Object) -> bool {
    object.len() == 1 && object.iter().all(|(name, _)| name.starts_with(MARK))
}

/// The value that was kept, from what plain JSON made of it.
///
/// # Errors
/// When a mark is unknown, or what it marks is not of its type.
pub fn restore(value: Value) -> Result<Value, ValueError> {
    match value {
        Value::List(list) => {
            let items = list.items().iter().cloned().map(restore).collect::<Result<Vec<_>, _>>()?;
            Ok(Value::List(items.into()))
        }
        Value::Object(object) if is_marked(&object) => {
            let Some((mark, inner)) = object.iter().next() else { return Ok(Value::Object(object)) };
            restore_marked(mark, inner)
        }
        Value::Object(object) => restore_fields(&object),
        plain => Ok(plain),
    }
}

fn restore_fields(object: &Object) -> Result<Value, ValueError> {
    let fields = object.iter().map(|(name, value)| Ok((name.clone(), restore(value.clone())?)));
    Ok(Value::Object(fields.collect::<Result<Vec<_>, ValueError>>()?.into_iter().collect()))
}

fn restore_marked(mark: &str, inner: &Value) -> Result<Value, ValueError> {
    let kind = match (mark, inner) {
        (OBJECT, Value::Object(object)) => return restore_fields(object),
        ("$decimal", _) => Kind::Decimal,
        ("$date", _) => Kind::Date,
        ("$timestamp", _) => Kind::Timestamp,
        ("$duration", _) => Kind::Duration,
        _ => return Err(ValueError::new(format!("a record has the unknown mark `{mark}`"))),
    };
    let text = inner.as_str().ok_or_else(|| ValueError::new(format!("`{mark}` of a record marks no text")))?;
    parse_text(text, &Type::from(kind)).map_err(|e| ValueError::new(e.to_string()))
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveDate, TimeDelta};

    use super::*;

    fn there_and_back(value: &Value) -> Value {
        let text = serde_json::to_string(&Kept(value)).unwrap();
        restore(serde_json::from_str(&text).unwrap()).unwrap()
    }

    #[test]
    fn what_json_has_no_type_for_comes_back_as_it_was() {
        let day = NaiveDate::from_ymd_opt(2026, 1, 31).unwrap();
        let object = |name: &str, value: Value| {
            Value::Object([(std::sync::Arc::from(name), value)].into_iter().collect::<Object>())
        };
        let values = [
            Value::Date(day),
            Value::Timestamp(day.and_hms_micro_opt(1, 2, 3, 4).unwrap().and_utc()),
            Value::Duration(TimeDelta::microseconds(90_000_001)),
            Value::Decimal("12.3400".parse().unwrap()),
            Value::Float(6.0),
            Value::Int(6),
            object("$date", Value::from("not a date")),
            object("$object", object("$decimal", Value::Date(day))),
            object("plain", Value::List(vec![Value::Date(day), Value::Null].into())),
        ];
        for value in values {
            let back = there_and_back(&value);
            assert_eq!((back.type_name(), &back), (value.type_name(), &value));
        }
    }

    #[test]
    fn an_unknown_mark_is_an_error() {
        let read: Value = serde_json::from_str(r#"{"$pickle": "x"}"#).unwrap();
        assert!(restore(read).unwrap_err().to_string().contains("`$pickle`"));
    }
}
