//! What a flow says about the columns to make.

use std::fmt;

use flowrun_core::types::Type;
use flowrun_core::value::Value;
use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::fake::Locale;

/// How one column is made. `sample` names the kind.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(tag = "sample", rename_all = "snake_case")]
pub enum ColumnSpec {
    /// Values as often as the seed has them, or by given weights.
    Categorical(Categorical),
    /// Values that go together with other columns of the row: only pairs that the seed, or a given map, has.
    Mapped(Mapped),
    /// The seed's own values among the rows that agree in other columns, as often as they stand there; nulls are left
    /// out. Where no row of the seed agrees, the whole column is drawn from, and the row is counted as a fallback.
    Joint(Joint),
    /// Made-up text, such as a person's name.
    Fake(Fake),
    /// Made in one way or another, depending on another column.
    When(When),
    /// One of a list, each with the same chance.
    Choice(Choice),
    /// A number between two bounds, each with the same chance.
    Uniform(Uniform),
    /// A number of the normal distribution.
    Normal(Normal),
    /// Numbers in order, one a row.
    Sequence(Sequence),
    /// A random identifier: version 4 of RFC 9562.
    Uuid(Uuid),
    /// Computed from other columns of the row.
    Expression(Computed),
    /// The same value in every row.
    Constant(Constant),
}

/// See [`ColumnSpec::Categorical`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Categorical {
    /// The seed's column, where it has another name.
    pub column: Option<String>,
    /// The values instead of the seed's: a list, or a map from value to weight.
    pub values: Option<Weighted>,
    /// The weights of the values of a list; they need not add up to 1.
    pub weights: Option<Vec<f64>>,
    /// Whether the seed's nulls are values like others.
    #[serde(default)]
    pub nulls: Nulls,
}

/// What becomes of the seed's nulls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Nulls {
    /// They are drawn as often as they stand in the seed.
    #[default]
    Keep,
    /// They are left out.
    Drop,
}

/// See [`ColumnSpec::Mapped`].
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mapped {
    /// The columns of the row that it goes together with.
    #[schemars(length(min = 1))]
    pub by: Vec<String>,
    /// The seed's names of the columns in `by`, in their order, where they are others.
    pub from: Option<Vec<String>>,
    /// The seed's column, where it has another name.
    pub column: Option<String>,
    /// The allowed values instead of the seed's: from the value of the first column in `by`, to that of the second and
    /// so on, to a list.
    pub values: Option<Mapping>,
    /// Whether a value is drawn as often as the seed has it with these others, instead of each with the same chance.
    #[serde(default)]
    pub by_frequency: bool,
}

/// See [`ColumnSpec::Joint`].
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Joint {
    /// The columns of the row that the seed's rows must agree in.
    #[schemars(length(min = 1))]
    pub by: Vec<String>,
    /// The seed's names of the columns in `by`, in their order, where they are others.
    pub from: Option<Vec<String>>,
    /// The seed's column, where it has another name.
    pub column: Option<String>,
}

/// See [`ColumnSpec::Fake`].
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fake {
    /// What is made up: `name`, `company`, `email`, `city`, `sentence` and so on.
    pub kind: String,
    /// The language and country; what it lacks is English.
    #[serde(default)]
    pub locale: Locale,
    /// Whether no value may stand twice. It is settled in row order, so the rows before are made as well; and inside
    /// `when` it counts the rows that take another way too.
    #[serde(default)]
    pub unique: bool,
}

/// See [`ColumnSpec::When`].
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// The column that decides.
    pub column: String,
    /// From its value, as text, to how this column is made.
    pub is: IndexMap<String, ColumnSpec>,
    /// How it is made for any other value; null where this is left out.
    #[serde(rename = "else")]
    pub otherwise: Option<Box<ColumnSpec>>,
}

/// See [`ColumnSpec::Choice`].
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The values; one that stands twice is drawn twice as often.
    #[schemars(with = "Vec<serde_json::Value>", length(min = 1))]
    pub values: Vec<Value>,
}

/// See [`ColumnSpec::Uniform`].
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Uniform {
    /// The least number.
    pub low: f64,
    /// The bound above: never reached by numbers, reached by integers.
    pub high: f64,
    /// Whether whole numbers are drawn.
    #[serde(default)]
    pub integer: bool,
}

/// See [`ColumnSpec::Normal`]. A number beyond `min` or `max` becomes `min` or `max`, so that these two may stand more
/// often than their neighbours.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normal {
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub std: f64,
    /// The least number.
    pub min: Option<f64>,
    /// The largest number.
    pub max: Option<f64>,
    /// Digits after the point, at most 15.
    #[schemars(range(max = 15))]
    pub round: Option<u32>,
}

/// See [`ColumnSpec::Sequence`].
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    /// The number of the first row.
    #[serde(default = "one")]
    pub start: i64,
    /// What each row adds.
    #[serde(default = "one")]
    pub step: i64,
    /// Text before the number; makes the column text.
    pub prefix: Option<String>,
    /// Digits to fill up to with zeros; makes the column text.
    #[schemars(range(max = 40))]
    pub width: Option<usize>,
}

fn one() -> i64 {
    1
}

/// See [`ColumnSpec::Uuid`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Uuid {}

/// See [`ColumnSpec::Expression`].
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Computed {
    /// A Jinja expression over other columns, such as `loan_value / customer_net_worth`.
    pub value: String,
    /// The column's type, such as `integer` or `string?`; `any` where this is left out.
    #[serde(rename = "type")]
    pub column: Option<String>,
}

/// See [`ColumnSpec::Constant`].
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// The value.
    #[schemars(with = "serde_json::Value")]
    pub value: Value,
}

/// Values to draw from: a list, or a map from value to weight.
#[derive(Clone, Debug)]
pub enum Weighted {
    /// Values as they stand.
    List(Vec<Value>),
    /// Texts with weights.
    Map(IndexMap<String, f64>),
}

/// From the values of parent columns to lists of allowed values.
#[derive(Clone, Debug)]
pub enum Mapping {
    /// The allowed values.
    Values(Vec<Value>),
    /// By the next column's value, as text.
    By(IndexMap<String, Self>),
}

macro_rules! list_or_map {
    ($name:ident, $list:ident, $map:ident, $expecting:literal) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Read;
                impl<'de> Visitor<'de> for Read {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }

                    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<$name, A::Error> {
                        Deserialize::deserialize(de::value::SeqAccessDeserializer::new(seq)).map($name::$list)
                    }

                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$name, A::Error> {
                        Deserialize::deserialize(de::value::MapAccessDeserializer::new(map)).map($name::$map)
                    }
                }
                deserializer.deserialize_any(Read)
            }
        }
    };
}

list_or_map!(Weighted, List, Map, "a list of values or a map from value to weight");
list_or_map!(Mapping, Values, By, "a list of allowed values or a map to such lists");

impl JsonSchema for Weighted {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Weighted".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A list of values, or a map from value to weight.",
            "oneOf": [
                { "type": "array", "minItems": 1 },
                { "type": "object", "minProperties": 1, "additionalProperties": { "type": "number", "minimum": 0 } },
            ],
        })
    }
}

impl JsonSchema for Mapping {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Mapping".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let deeper = generator.subschema_for::<Self>();
        json_schema!({
            "description": "A list of allowed values, or a map from a column's value to such a list.",
            "oneOf": [
                { "type": "array", "minItems": 1 },
                { "type": "object", "minProperties": 1, "additionalProperties": deeper },
            ],
        })
    }
}

impl ColumnSpec {
    /// Whether it draws from the seed.
    pub(super) fn needs_seed(&self) -> bool {
        match self {
            Self::Categorical(c) => c.values.is_none(),
            Self::Mapped(m) => m.values.is_none(),
            Self::Joint(_) => true,
            Self::When(w) => w.is.values().chain(w.otherwise.as_deref()).any(Self::needs_seed),
            _ => false,
        }
    }

    /// The type that is known without a seed, `any` where it depends on one.
    pub(super) fn static_type(&self) -> Type {
        use crate::batch::{type_of_values, unify};
        match self {
            Self::Categorical(Categorical { values: Some(Weighted::List(values)), .. }) => type_of_values(values),
            Self::Categorical(Categorical { values: Some(Weighted::Map(_)), .. }) | Self::Uuid(_) => {
                Type::string()
            }
            Self::Mapped(Mapped { values: Some(mapping), .. }) => type_of_values(mapping.leaves()),
            Self::Categorical(_) | Self::Mapped(_) | Self::Joint(_) => Type::any(),
            Self::Fake(f) => super::fake::type_of_kind(&f.kind),
            Self::When(w) => {
                let mut all = w.is.values().chain(w.otherwise.as_deref()).map(Self::static_type);
                let first = all.next().unwrap_or_else(Type::null);
                let joined = all.fold(first, |a, b| unify(&a, &b));
                if w.otherwise.is_some() { joined } else { unify(&joined, &Type::null()) }
            }
            Self::Choice(c) => type_of_values(&c.values),
            Self::Uniform(u) if u.integer => Type::integer(),
            Self::Uniform(_) | Self::Normal(_) => Type::number(),
            Self::Sequence(s) if s.prefix.is_none() && s.width.is_none() => Type::integer(),
            Self::Sequence(_) => Type::string(),
            Self::Expression(e) => e.column.as_deref().and_then(Type::from_word).unwrap_or_else(Type::any),
            Self::Constant(c) => type_of_values([&c.value]),
        }
    }
}

impl Mapping {
    /// All values at the ends, in the order written.
    pub(super) fn leaves(&self) -> Vec<&Value> {
        match self {
            Self::Values(values) => values.iter().collect(),
            Self::By(map) => map.values().flat_map(Self::leaves).collect(),
        }
    }
}
