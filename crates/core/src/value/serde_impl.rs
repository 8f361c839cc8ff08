//! Values to and from serde: JSON text, and the typed inputs and outputs of steps.

use std::fmt;
use std::sync::Arc;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{self, DeserializeOwned, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{self, SerializeMap};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Object, Value, duration_text, timestamp_text};

/// Why a value has no form in the type that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ValueError {
    message: String,
}

impl ValueError {
    /// An error with this message, a lower-case fragment.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl de::Error for ValueError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(got: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::new(format!("{got} where {} belongs", in_words(&wanted.to_string())))
    }

    fn invalid_value(got: de::Unexpected<'_>, wanted: &dyn de::Expected) -> Self {
        Self::invalid_type(got, wanted)
    }
}

/// What a type of Rust is to a person who writes flows.
fn in_words(wanted: &str) -> &str {
    match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" => "an integer from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "an integer",
        "f32" | "f64" => "a number",
        other if other.starts_with("a nonzero u") => "an integer from 1",
        other => other,
    }
}

/// Reads a typed value out of a [`Value`].
///
/// # Errors
/// When the value does not have the form of `T`.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, ValueError> {
    T::deserialize(value)
}

/// Makes a [`Value`] of anything that serialises.
///
/// # Errors
/// When `value` holds what a [`Value`] cannot say: a number above `i64::MAX` or one that is not finite.
pub fn to_value<T: Serialize>(value: &T) -> Result<Value, ValueError> {
    let json = serde_json::to_value(value).map_err(|e| ValueError::new(e.to_string()))?;
    Value::try_from(json)
}

impl TryFrom<serde_json::Value> for Value {
    type Error = ValueError;

    fn try_from(json: serde_json::Value) -> Result<Self, ValueError> {
        use serde_json::Value as Json;
        Ok(match json {
            Json::Null => Self::Null,
            Json::Bool(b) => Self::Bool(b),
            Json::Number(n) => match (n.as_i64(), n.as_f64()) {
                (Some(i), _) => Self::Int(i),
                (None, _) if n.is_u64() => {
                    return Err(ValueError::new(format!("the integer {n} is larger than {}", i64::MAX)));
                }
                (None, Some(f)) => Self::Float(f),
                (None, None) => {
                    return Err(ValueError::new(format!("the number {n} has no 64-bit form")));
                }
            },
            Json::String(s) => Self::String(s.into()),
            Json::Array(items) => {
                Self::List(items.into_iter().map(Self::try_from).collect::<Result<Vec<_>, _>>()?.into())
            }
            Json::Object(map) => Self::Object(
                map.into_iter()
                    .map(|(k, v)| Ok((Arc::from(k), Self::try_from(v)?)))
                    .collect::<Result<Vec<_>, ValueError>>()?
                    .into_iter()
                    .collect(),
            ),
        })
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(b) => serializer.serialize_bool(*b),
            Self::Int(i) => serializer.serialize_i64(*i),
            Self::Float(f) if !f.is_finite() => {
                Err(ser::Error::custom(format!("the number {f} has no JSON form")))
            }
            Self::Float(f) => serializer.serialize_f64(*f),
            Self::Decimal(d) => serializer.collect_str(d),
            Self::Date(d) => serializer.collect_str(d),
            Self::Timestamp(t) => serializer.serialize_str(&timestamp_text(t)),
            Self::Duration(d) => serializer.serialize_str(&duration_text(d)),
            Self::String(s) => serializer.serialize_str(s),
            Self::List(l) => serializer.collect_seq(l.items()),
            Self::Object(o) => o.serialize(serializer),
            Self::Table(t) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("$table", &t.len())?;
                map.end()
            }
        }
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(k, v)| (&**k, v)))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value)
            .map(Value::Int)
            .map_err(|_| E::custom(format!("the integer {value} is larger than {}", i64::MAX)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries: Vec<(Arc<str>, Value)> = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            entries.push((key.into(), value));
        }
        Ok(Value::Object(entries.into_iter().collect()))
    }
}

impl IntoDeserializer<'_, ValueError> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Value {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(b) => visitor.visit_bool(b),
            Self::Int(i) => visitor.visit_i64(i),
            Self::Float(f) => visitor.visit_f64(f),
            Self::String(s) => visitor.visit_str(&s),
            Self::Decimal(_) | Self::Date(_) | Self::Timestamp(_) | Self::Duration(_) => {
                visitor.visit_string(scalar_text(&self).unwrap_or_default())
            }
            Self::List(l) => SeqDeserializer::new(l.items().iter().cloned()).deserialize_any(visitor),
            Self::Object(o) => {
                let entries: Vec<_> = o.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
                MapDeserializer::new(entries.into_iter()).deserialize_any(visitor)
            }
            Self::Table(_) => Err(ValueError::new("a table cannot be read as plain data")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self {
            Self::String(s) => visitor.visit_enum(s.to_string().into_deserializer()),
            other => {
                let json = other.to_json()?;
                json.deserialize_enum(name, variants, visitor).map_err(|e| ValueError::new(e.to_string()))
            }
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The text of a scalar that JSON has no type for.
pub(crate) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::Decimal(d) => Some(d.to_string()),
        Value::Date(d) => Some(d.to_string()),
        Value::Timestamp(t) => Some(timestamp_text(t)),
        Value::Duration(d) => Some(duration_text(d)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_integers_and_floats_apart() {
        let value = Value::try_from(serde_json::json!({"a": 6.0, "b": 6, "c": [null, "x"]})).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), r#"{"a":6.0,"b":6,"c":[null,"x"]}"#);
    }

    #[test]
    fn a_number_without_a_json_form_is_an_error() {
        let error = Value::Float(f64::NAN).to_json().unwrap_err();
        assert_eq!(error.to_string(), "the number NaN has no JSON form");
        assert!(Value::try_from(serde_json::json!(u64::MAX)).is_err());
    }

    #[test]
    fn typed_data_comes_out_of_a_value() {
        #[derive(Deserialize, PartialEq, Debug)]
        struct Row {
            name: String,
            age: Option<u8>,
        }
        let value = Value::try_from(serde_json::json!({"name": "a", "age": null})).unwrap();
        assert_eq!(from_value::<Row>(value).unwrap(), Row { name: "a".into(), age: None });
    }
}
