//! The fields of a struct as the values of ports, field by field, without an object between.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::ser::{Error, Impossible, SerializeStruct, Serializer};

use super::Ports;
use crate::value::{Value, ValueError, to_value};

/// The ports of a struct whose fields have exactly these names, in this order; nothing for all else.
///
/// # Errors
/// When a field has no form that a wire can carry.
pub(super) fn ports_of<T: Serialize>(value: &T, names: &Arc<[Arc<str>]>) -> Result<Option<Ports>, ValueError> {
    match value.serialize(Fields { names, values: Vec::new() }) {
        Ok(values) => Ok(Some(Ports::new(Arc::clone(names), values))),
        Err(Stop::Otherwise) => Ok(None),
        Err(Stop::Wrong(error)) => Err(error),
    }
}

/// Why this way does not lead to ports.
#[derive(Debug)]
enum Stop {
    /// It is no struct with these fields.
    Otherwise,
    Wrong(ValueError),
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Otherwise => f.write_str("other fields"),
            Self::Wrong(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Stop {}

impl Error for Stop {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Wrong(ValueError::new(message.to_string()))
    }
}

struct Fields<'n> {
    names: &'n Arc<[Arc<str>]>,
    values: Vec<Value>,
}

impl SerializeStruct for Fields<'_> {
    type Ok = Vec<Value>;
    type Error = Stop;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Stop> {
        match self.names.get(self.values.len()) {
            Some(name) if **name == *key => {
                self.values.push(to_value(&value).map_err(Stop::Wrong)?);
                Ok(())
            }
            _ => Err(Stop::Otherwise),
        }
    }

    fn end(self) -> Result<Vec<Value>, Stop> {
        if self.values.len() == self.names.len() { Ok(self.values) } else { Err(Stop::Otherwise) }
    }
}

macro_rules! otherwise {
    ($($name:ident($($argument:ty),*) -> $ok:ty;)*) => {$(
        fn $name(self, $(_: $argument),*) -> Result<$ok, Stop> {
            Err(Stop::Otherwise)
        }
    )*};
}

type Never = Impossible<Vec<Value>, Stop>;

impl Serializer for Fields<'_> {
    type Ok = Vec<Value>;
    type Error = Stop;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStruct = Self;
    type SerializeStructVariant = Never;

    fn serialize_struct(mut self, _: &'static str, len: usize) -> Result<Self, Stop> {
        if len != self.names.len() {
            return Err(Stop::Otherwise);
        }
        self.values.reserve_exact(len);
        Ok(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Vec<Value>, Stop> {
        Err(Stop::Otherwise)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Result<Vec<Value>, Stop> {
        Err(Stop::Otherwise)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Vec<Value>, Stop> {
        Err(Stop::Otherwise)
    }

    otherwise! {
        serialize_bool(bool) -> Vec<Value>;
        serialize_i8(i8) -> Vec<Value>;
        serialize_i16(i16) -> Vec<Value>;
        serialize_i32(i32) -> Vec<Value>;
        serialize_i64(i64) -> Vec<Value>;
        serialize_i128(i128) -> Vec<Value>;
        serialize_u8(u8) -> Vec<Value>;
        serialize_u16(u16) -> Vec<Value>;
        serialize_u32(u32) -> Vec<Value>;
        serialize_u64(u64) -> Vec<Value>;
        serialize_u128(u128) -> Vec<Value>;
        serialize_f32(f32) -> Vec<Value>;
        serialize_f64(f64) -> Vec<Value>;
        serialize_char(char) -> Vec<Value>;
        serialize_str(&str) -> Vec<Value>;
        serialize_bytes(&[u8]) -> Vec<Value>;
        serialize_none() -> Vec<Value>;
        serialize_unit() -> Vec<Value>;
        serialize_unit_struct(&'static str) -> Vec<Value>;
        serialize_unit_variant(&'static str, u32, &'static str) -> Vec<Value>;
        serialize_seq(Option<usize>) -> Never;
        serialize_tuple(usize) -> Never;
        serialize_tuple_struct(&'static str, usize) -> Never;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Never;
        serialize_map(Option<usize>) -> Never;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Never;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ports::IntoPorts;

    #[derive(Clone, Serialize)]
    struct Out {
        truth: bool,
        texts: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        number: Option<u64>,
    }

    fn names(names: &[&str]) -> Arc<[Arc<str>]> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn fields_in_the_order_of_the_names_need_no_others() {
        let out = Out { truth: true, texts: vec!["a".to_owned()], number: Some(7) };
        let plain: BTreeMap<String, Value> = [
            ("truth".to_owned(), Value::Bool(true)),
            ("texts".to_owned(), Value::from(vec![Value::from("a")])),
            ("number".to_owned(), Value::Int(7)),
        ]
        .into();
        for (wanted, same) in [
            (names(&["truth", "texts", "number"]), true),
            (names(&["texts", "truth", "number"]), false),
            (names(&["truth", "texts"]), false),
            (names(&["truth", "texts", "number", "more"]), false),
        ] {
            let ports = out.clone().into_ports(&wanted).unwrap();
            assert_eq!(Arc::ptr_eq(ports.names(), &wanted), same);
            let given: BTreeMap<String, Value> = ports.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
            assert_eq!(given, plain);
        }
        let without = Out { number: None, ..out.clone() };
        assert_eq!(without.into_ports(&names(&["truth", "texts", "number"])).unwrap().values().len(), 2);
        let error = Out { number: Some(u64::MAX), ..out }.into_ports(&names(&["truth", "texts", "number"]));
        assert_eq!(
            error.unwrap_err().to_string(),
            format!("the integer {} is larger than {}", u64::MAX, i64::MAX)
        );
    }

    #[test]
    fn what_is_no_struct_goes_the_other_way() {
        assert_eq!(BTreeMap::from([("a", 1)]).into_ports(&names(&["a"])).unwrap().get("a"), Some(&Value::Int(1)));
        assert!(().into_ports(&names(&[])).unwrap().values().is_empty());
        let error = "a".into_ports(&names(&["a"])).unwrap_err();
        assert_eq!(error.to_string(), "a step's output is a struct of its ports, not a string");
    }
}
