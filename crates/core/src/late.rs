//! [`Late`]: a scalar of a step's configuration that may come while the flow runs, `{ from: inputs.rows }`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{
    BoolDeserializer, F64Deserializer, I64Deserializer, MapAccessDeserializer, StrDeserializer,
};
use serde::de::{self, DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::StepError;
use crate::execute::StepCx;
use crate::value::from_value;

/// The word by which a schema says that a key may come late.
pub(crate) const MARK: &str = "x-flowrun-late";

/// A scalar that stands in the file, or a reference to where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Late<T> {
    /// As written.
    Now(T),
    /// `{ from: REFERENCE }`.
    From(String),
}

impl<T: DeserializeOwned + Clone> Late<T> {
    /// The value, looked up now where it comes late.
    ///
    /// # Errors
    /// `step.late` when the value that came does not have the type.
    pub fn get(&self, cx: &StepCx<'_>) -> Result<T, StepError> {
        match self {
            Self::Now(value) => Ok(value.clone()),
            Self::From(reference) => {
                let value = cx.late(reference)?;
                from_value(value.clone()).map_err(|e| {
                    let (type_name, why) = (value.type_name(), e.to_string());
                    // What stands before says of the value in another way what is said already.
                    let why =
                        why.split_once(" where ").map_or(format!(": {why}"), |(_, why)| format!(", where {why}"));
                    StepError::new("step.late", format!("`{reference}` gave {value} ({type_name}){why}"))
                })
            }
        }
    }
}

impl<T> From<T> for Late<T> {
    fn from(value: T) -> Self {
        Self::Now(value)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromKey {
    from: String,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Late<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LateVisitor(PhantomData))
    }
}

struct LateVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for LateVisitor<T> {
    type Value = Late<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, or `{ from: REFERENCE }`")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Late<T>, A::Error> {
        FromKey::deserialize(MapAccessDeserializer::new(map)).map(|key| Late::From(key.from))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Late<T>, E> {
        T::deserialize(BoolDeserializer::new(value)).map(Late::Now)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Late<T>, E> {
        T::deserialize(I64Deserializer::new(value)).map(Late::Now)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Late<T>, E> {
        self.visit_i64(i64::try_from(value).map_err(E::custom)?)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Late<T>, E> {
        T::deserialize(F64Deserializer::new(value)).map(Late::Now)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Late<T>, E> {
        T::deserialize(StrDeserializer::new(value)).map(Late::Now)
    }
}

impl<T: JsonSchema> JsonSchema for Late<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Late_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let now = generator.subschema_for::<T>();
        json_schema!({
            MARK: true,
            "anyOf": [now, {
                "type": "object",
                "properties": {"from": {"type": "string", "description": "A reference such as `inputs.rows`."}},
                "required": ["from"],
                "additionalProperties": false,
            }],
        })
    }
}
