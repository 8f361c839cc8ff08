//! [`Type`]: what a port carries, in the words of a flow file, with its JSON schema.

use std::fmt;

use indexmap::IndexMap;
use serde_json::{Map, Value as Json, json};

use crate::value::Value;

/// The type of a port, an input, an output or a column.
#[derive(Clone, Debug, PartialEq)]
pub struct Type {
    /// The shape.
    pub kind: Kind,
    /// The only values allowed, where they are listed.
    pub one_of: Option<Vec<Value>>,
    /// The smallest number allowed.
    pub minimum: Option<f64>,
    /// The largest number allowed.
    pub maximum: Option<f64>,
}

/// The shape of a type.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Everything.
    Any,
    /// Null alone.
    Null,
    /// True or false.
    Boolean,
    /// 64-bit whole numbers.
    Integer,
    /// 64-bit floating-point numbers.
    Number,
    /// Exact decimal numbers.
    Decimal,
    /// Days of the calendar.
    Date,
    /// Points in time.
    Timestamp,
    /// Spans of time.
    Duration,
    /// Text.
    String,
    /// The name of a file, as text.
    Path,
    /// Rows.
    Table,
    /// Lists of one item type.
    List(Box<Type>),
    /// Objects: the fields that are known, by name. Other fields are allowed.
    Object(IndexMap<String, Type>),
    /// Any of these.
    Union(Vec<Type>),
}

impl From<Kind> for Type {
    fn from(kind: Kind) -> Self {
        Self { kind, one_of: None, minimum: None, maximum: None }
    }
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),* $(,)?) => {$(
        $(#[$doc])*
        pub fn $name() -> Self {
            Kind::$kind.into()
        }
    )*};
}

impl Type {
    constructors! {
        /// Everything.
        any => Any,
        /// Null alone.
        null => Null,
        /// True or false.
        boolean => Boolean,
        /// 64-bit whole numbers.
        integer => Integer,
        /// 64-bit floating-point numbers.
        number => Number,
        /// Text.
        string => String,
        /// Rows.
        table => Table,
    }

    /// An object whose fields are not known.
    pub fn object() -> Self {
        Kind::Object(IndexMap::new()).into()
    }

    /// A list of `item`.
    pub fn list(item: Self) -> Self {
        Kind::List(Box::new(item)).into()
    }

    /// This type or null: `T?`.
    #[must_use]
    pub fn nullable(self) -> Self {
        if self.admits_null() {
            return self;
        }
        Kind::Union(vec![self, Self::null()]).into()
    }

    /// Whether null is a value of this type.
    pub fn admits_null(&self) -> bool {
        match &self.kind {
            Kind::Any | Kind::Null => true,
            Kind::Union(members) => members.iter().any(Self::admits_null),
            _ => false,
        }
    }

    /// `T` where this is `T?`, else the type itself.
    pub fn without_null(&self) -> &Self {
        match &self.kind {
            Kind::Union(members) => {
                let mut rest = members.iter().filter(|m| m.kind != Kind::Null);
                match (rest.next(), rest.next()) {
                    (Some(only), None) => only,
                    _ => self,
                }
            }
            _ => self,
        }
    }

    /// The type of a scalar word of a flow file: `integer`, `string?`, `path` and so on.
    pub fn from_word(word: &str) -> Option<Self> {
        if let Some(inner) = word.strip_suffix('?') {
            return Self::from_word(inner).map(Self::nullable);
        }
        Some(match word {
            "any" => Self::any(),
            "null" => Self::null(),
            "boolean" => Self::boolean(),
            "integer" => Self::integer(),
            "number" => Self::number(),
            "decimal" => Kind::Decimal.into(),
            "date" => Kind::Date.into(),
            "timestamp" => Kind::Timestamp.into(),
            "duration" => Kind::Duration.into(),
            "string" => Self::string(),
            "path" => Kind::Path.into(),
            "table" => Self::table(),
            "object" => Self::object(),
            "array" => Self::list(Self::any()),
            _ => return None,
        })
    }

    /// All the words that [`Type::from_word`] knows, for messages and completion.
    pub const WORDS: &[&str] = &[
        "any",
        "array",
        "boolean",
        "date",
        "decimal",
        "duration",
        "integer",
        "null",
        "number",
        "object",
        "path",
        "string",
        "table",
        "timestamp",
    ];

    /// Reads a JSON schema, as the ports of a typed step have it. What it says beyond our types is ignored.
    pub fn from_json_schema(schema: &Json) -> Self {
        schema_to_type(schema, schema, 0)
    }

    /// The JSON schema of this type. `x-flowrun-type` names what JSON has no word for.
    pub fn to_json_schema(&self) -> Json {
        let mut out = Map::new();
        let plain = |out: &mut Map<String, Json>, word: &str| {
            out.insert("type".into(), word.into());
        };
        let marked = |out: &mut Map<String, Json>, json_type: &str, word: &str| {
            out.insert("type".into(), json_type.into());
            out.insert("x-flowrun-type".into(), word.into());
        };
        match &self.kind {
            Kind::Any => {}
            Kind::Null => plain(&mut out, "null"),
            Kind::Boolean => plain(&mut out, "boolean"),
            Kind::Integer => plain(&mut out, "integer"),
            Kind::Number => plain(&mut out, "number"),
            Kind::String => plain(&mut out, "string"),
            Kind::Decimal => marked(&mut out, "string", "decimal"),
            Kind::Date => marked(&mut out, "string", "date"),
            Kind::Timestamp => marked(&mut out, "string", "timestamp"),
            Kind::Duration => marked(&mut out, "string", "duration"),
            Kind::Path => marked(&mut out, "string", "path"),
            Kind::Table => marked(&mut out, "array", "table"),
            Kind::List(item) => {
                plain(&mut out, "array");
                out.insert("items".into(), item.to_json_schema());
            }
            Kind::Object(fields) => {
                plain(&mut out, "object");
                if !fields.is_empty() {
                    let properties = fields.iter().map(|(k, t)| (k.clone(), t.to_json_schema())).collect();
                    out.insert("properties".into(), Json::Object(properties));
                    out.insert("required".into(), json!(fields.keys().collect::<Vec<_>>()));
                }
            }
            Kind::Union(members) => {
                out.insert("anyOf".into(), members.iter().map(Self::to_json_schema).collect());
            }
        }
        if let Some(values) = &self.one_of {
            let values = values.iter().filter_map(|v| v.to_json().ok()).collect();
            out.insert("enum".into(), Json::Array(values));
        }
        for (key, bound) in [("minimum", self.minimum), ("maximum", self.maximum)] {
            if let Some(bound) = bound {
                out.insert(key.into(), json!(bound));
            }
        }
        Json::Object(out)
    }
}

fn schema_to_type(schema: &Json, root: &Json, depth: usize) -> Type {
    const DEEPEST: usize = 32;
    let Some(map) = schema.as_object().filter(|_| depth < DEEPEST) else {
        return Type::any();
    };
    if let Some(target) = map.get("$ref").and_then(Json::as_str) {
        let target = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return target.map_or_else(Type::any, |t| schema_to_type(t, root, depth + 1));
    }
    if let Some(word) = map.get("x-flowrun-type").and_then(Json::as_str) {
        return Type::from_word(word).unwrap_or_else(Type::any);
    }
    let below = |s: &Json| schema_to_type(s, root, depth + 1);
    if let Some(members) = map.get("anyOf").or_else(|| map.get("oneOf")).and_then(Json::as_array) {
        return Kind::Union(members.iter().map(below).collect()).into();
    }
    let mut found: Type = match map.get("type") {
        Some(Json::Array(words)) => {
            let one = |word: &Json| {
                let mut single = map.clone();
                single.insert("type".into(), word.clone());
                below(&Json::Object(single))
            };
            return Kind::Union(words.iter().map(one).collect()).into();
        }
        Some(Json::String(word)) => match word.as_str() {
            "array" => Type::list(map.get("items").map_or_else(Type::any, below)),
            "object" => {
                let fields = map.get("properties").and_then(Json::as_object);
                let fields = fields.into_iter().flatten().map(|(k, s)| (k.clone(), below(s)));
                Kind::Object(fields.collect()).into()
            }
            word => Type::from_word(word).unwrap_or_else(Type::any),
        },
        _ => Type::any(),
    };
    if let Some(values) = map.get("enum").and_then(Json::as_array) {
        found.one_of = Some(values.iter().filter_map(|v| Value::try_from(v.clone()).ok()).collect());
    }
    found.minimum = map.get("minimum").and_then(Json::as_f64);
    found.maximum = map.get("maximum").and_then(Json::as_f64);
    found
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Any => f.write_str("any"),
            Kind::Null => f.write_str("null"),
            Kind::Boolean => f.write_str("boolean"),
            Kind::Integer => f.write_str("integer"),
            Kind::Number => f.write_str("number"),
            Kind::Decimal => f.write_str("decimal"),
            Kind::Date => f.write_str("date"),
            Kind::Timestamp => f.write_str("timestamp"),
            Kind::Duration => f.write_str("duration"),
            Kind::String => f.write_str("string"),
            Kind::Path => f.write_str("path"),
            Kind::Table => f.write_str("table"),
            Kind::List(item) => write!(f, "[{item}]"),
            Kind::Object(_) => f.write_str("object"),
            Kind::Union(members) => match members.as_slice() {
                [one, null] | [null, one] if null.kind == Kind::Null => write!(f, "{one}?"),
                _ => {
                    let words: Vec<_> = members.iter().map(ToString::to_string).collect();
                    f.write_str(&words.join(" or "))
                }
            },
        }?;
        match &self.one_of {
            Some(values) => {
                let values: Vec<_> = values.iter().map(ToString::to_string).collect();
                write!(f, " of {}", values.join(", "))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_schemas_agree() {
        for word in Type::WORDS {
            let found = Type::from_word(word).unwrap();
            assert_eq!(Type::from_json_schema(&found.to_json_schema()), found, "{word}");
        }
        let nullable = Type::from_word("string?").unwrap();
        assert_eq!(nullable.to_string(), "string?");
        assert_eq!(Type::from_json_schema(&nullable.to_json_schema()), nullable);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema =
            json!({"$ref": "#/$defs/A", "$defs": {"A": {"type": "array", "items": {"$ref": "#/$defs/A"}}}});
        assert!(Type::from_json_schema(&schema).to_string().starts_with("[[["));
    }
}
