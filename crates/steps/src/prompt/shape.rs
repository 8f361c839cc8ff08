//! Types of structured output as a flow declares them: short hand or JSON schema, and what a model's answer lacks of them.

use std::borrow::Cow;

use flowrun_core::cast;
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::{List, Object, Value};
use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::extract_json::type_of;

/// The keys of a type in its long form.
const KEYS: &[&str] = &[
    "type",
    "description",
    "enum",
    "minimum",
    "maximum",
    "items",
    "properties",
    "required",
    "additionalProperties",
    "anyOf",
    "default",
    "title",
];

/// A type with the JSON schema that the model is shown.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct Shape {
    /// The type.
    pub(super) value_type: Type,
    /// Its JSON schema.
    pub(super) schema: Json,
    /// What it is where the answer leaves it out.
    pub(super) default: Option<Value>,
}

impl From<Type> for Shape {
    fn from(value_type: Type) -> Self {
        let schema = match &value_type.kind {
            Kind::Any => json!({}),
            Kind::Null => json!({ "type": "null" }),
            Kind::Boolean => json!({ "type": "boolean" }),
            Kind::Integer => json!({ "type": "integer" }),
            Kind::Number => json!({ "type": "number" }),
            Kind::String | Kind::Path | Kind::Table => json!({ "type": "string" }),
            Kind::Decimal => json!({ "type": "string", "description": "a decimal number, such as 12.50" }),
            Kind::Date => json!({ "type": "string", "format": "date" }),
            Kind::Timestamp => json!({ "type": "string", "format": "date-time" }),
            Kind::Duration => json!({ "type": "string", "description": "seconds, such as PT90.5S" }),
            Kind::List(item) => json!({ "type": "array", "items": Self::from((**item).clone()).schema }),
            Kind::Object(_) => json!({ "type": "object" }),
            Kind::Union(members) => {
                json!({ "anyOf": members.iter().map(|m| Self::from(m.clone()).schema).collect::<Vec<_>>() })
            }
        };
        Self { value_type, schema, default: None }
    }
}

impl TryFrom<Value> for Shape {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let found = shape_at(&value, "", 0)?;
        match &found.default {
            Some(default) => {
                let mut fit = Fit::default();
                let default = fit.value(default.clone(), &found.value_type, "");
                match fit.problems.first() {
                    Some(reason) => Err(format!("the default does not fit: {reason}")),
                    None => Ok(Self { default: Some(default), ..found }),
                }
            }
            None => Ok(found),
        }
    }
}

/// `at` leads to the type within the one that is declared, as in `address.zip`.
fn shape_at(value: &Value, at: &str, depth: usize) -> Result<Shape, String> {
    const DEEPEST: usize = 16;
    let place = || if at.is_empty() { String::new() } else { format!("`{at}`: ") };
    if depth > DEEPEST {
        return Err(format!("{}types are nested too deeply", place()));
    }
    let found = match value {
        Value::Null => Some(Type::null().into()),
        Value::String(word) => type_of(word).map(Shape::from),
        Value::List(items) => match items.items() {
            [item] => return Ok(list(shape_at(item, at, depth + 1)?)),
            _ => None,
        },
        Value::Object(object) => Some(Long { object, at, depth }.shape()?),
        _ => None,
    };
    match found {
        Some(found) if found.value_type.without_null().kind == Kind::Table => {
            Err(format!("{}a model writes no table; take a list of objects", place()))
        }
        Some(found) => Ok(found),
        None => Err(format!(
            "{}{value} is no type; write a word such as `integer` or `string?`, `[string]` for a list, or `{{ type: …, enum: […] }}`",
            place()
        )),
    }
}

fn list(item: Shape) -> Shape {
    let schema = json!({ "type": "array", "items": item.schema });
    Shape { value_type: Type::list(item.value_type), schema, default: None }
}

fn nullable(shape: Shape) -> Shape {
    if shape.value_type.admits_null() {
        return shape;
    }
    let schema = json!({ "anyOf": [shape.schema, { "type": "null" }] });
    Shape { value_type: shape.value_type.nullable(), schema, default: shape.default }
}

/// An object of these fields and no other.
pub(super) fn closed(fields: &IndexMap<String, Shape>) -> Shape {
    let types = fields.iter().map(|(name, shape)| (name.clone(), shape.value_type.clone())).collect();
    let properties: Map<_, _> = fields.iter().map(|(name, shape)| (name.clone(), shape.schema.clone())).collect();
    let required: Vec<_> = fields.iter().filter(|(_, s)| s.default.is_none()).map(|(name, _)| name).collect();
    let schema = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    Shape { value_type: Kind::Object(types).into(), schema, default: None }
}

/// A type in its long form.
struct Long<'a> {
    object: &'a Object,
    at: &'a str,
    depth: usize,
}

impl Long<'_> {
    fn wrong(&self, message: impl std::fmt::Display) -> String {
        if self.at.is_empty() { message.to_string() } else { format!("`{}`: {message}", self.at) }
    }

    fn below(&self, value: &Value, name: &str) -> Result<Shape, String> {
        let at = if self.at.is_empty() || name.is_empty() {
            format!("{}{name}", self.at)
        } else {
            format!("{}.{name}", self.at)
        };
        shape_at(value, &at, self.depth + 1)
    }

    fn shape(&self) -> Result<Shape, String> {
        if let Some((key, _)) = self.object.iter().find(|(key, _)| !KEYS.contains(&&***key)) {
            return Err(self.wrong(format!("a type has no key `{key}`; it may have {}", KEYS.join(", "))));
        }
        let get = |key: &str| self.object.get(key);
        let mut shape = match get("anyOf") {
            Some(members) => self.any_of(members)?,
            None => self.typed()?,
        };
        if let Some(description) = get("description") {
            let text = description.as_str().ok_or_else(|| self.wrong("`description` is a text"))?;
            shape.set("description", json!(text));
        }
        self.bounds(&mut shape)?;
        if let Some(listed) = get("enum") {
            let listed = listed.as_list().map(List::items).filter(|items| !items.is_empty());
            self.list_values(&mut shape, listed.ok_or_else(|| self.wrong("`enum` is a list of values"))?)?;
        }
        shape.default = get("default").cloned();
        if shape.default.is_some() && self.depth > 0 {
            return Err(self.wrong("`default` stands only at a field of its own, not within a type"));
        }
        Ok(shape)
    }

    fn any_of(&self, members: &Value) -> Result<Shape, String> {
        let beside = ["type", "items", "properties", "required"].iter().find(|k| self.object.get(k).is_some());
        let members = members.as_list().map(List::items).filter(|m| m.len() > 1 && beside.is_none());
        let Some(members) = members else {
            return Err(self.wrong("`anyOf` is a list of at least two types, without a `type` beside it"));
        };
        let shapes: Vec<Shape> = members.iter().map(|m| self.below(m, "")).collect::<Result<_, _>>()?;
        Ok(union(shapes))
    }

    /// What `type`, `items`, `properties` and `required` say.
    fn typed(&self) -> Result<Shape, String> {
        let get = |key: &str| self.object.get(key);
        let implied = if get("properties").is_some() {
            Some("object")
        } else if get("items").is_some() {
            Some("array")
        } else if let Some(Value::List(values)) = get("enum") {
            let texts = values.items().iter().all(|v| v.as_str().is_some());
            Some(if texts { "string" } else { "any" })
        } else {
            None
        };
        let shape = match (get("type"), implied) {
            (Some(Value::List(words)), _) if words.items().len() > 1 => {
                union(words.items().iter().map(|w| self.below(w, "")).collect::<Result<_, _>>()?)
            }
            (Some(written), _) => self.below(written, "")?,
            (None, Some(implied)) => self.below(&implied.into(), "")?,
            (None, None) => return Err(self.wrong("a type in its long form has a `type`")),
        };
        let admits_null = shape.value_type.admits_null() && shape.value_type.kind != Kind::Any;
        let kind = &shape.value_type.without_null().kind;
        let built = match (kind, get("items"), get("properties")) {
            (Kind::List(_), Some(items), None) => list(self.below(items, "[]")?),
            (Kind::Object(_), None, Some(properties)) => self.properties(properties)?,
            (_, None, None) => {
                if get("required").is_some() {
                    return Err(self.wrong("`required` goes with `properties`"));
                }
                return Ok(shape);
            }
            _ => {
                let message = "`items` goes with the type `array` alone, `properties` with `object` alone";
                return Err(self.wrong(message));
            }
        };
        Ok(if admits_null { nullable(built) } else { built })
    }

    fn properties(&self, properties: &Value) -> Result<Shape, String> {
        let Some(properties) = properties.as_object().filter(|p| !p.is_empty()) else {
            return Err(self.wrong("`properties` is a mapping of at least one field to its type"));
        };
        if !matches!(self.object.get("additionalProperties"), None | Some(Value::Bool(false))) {
            let message = "an object with `properties` has no others: leave `additionalProperties` out";
            return Err(self.wrong(message));
        }
        let required: Option<Vec<&str>> = match self.object.get("required") {
            None => None,
            Some(listed) => {
                let words = listed.as_list().map(|l| l.items().iter().map(Value::as_str).collect());
                let words: Option<Option<Vec<&str>>> = words;
                Some(words.flatten().ok_or_else(|| self.wrong("`required` is a list of names"))?)
            }
        };
        if let Some(unknown) = required.iter().flatten().find(|name| properties.get(name).is_none()) {
            return Err(self.wrong(format!("`required` names `{unknown}`, which is no field")));
        }
        let mut fields = IndexMap::with_capacity(properties.len());
        for (name, declared) in properties.iter() {
            let field = self.below(declared, name)?;
            let optional = required.as_ref().is_some_and(|all| !all.contains(&&**name));
            fields.insert(name.to_string(), if optional { nullable(field) } else { field });
        }
        Ok(closed(&fields))
    }

    fn bounds(&self, shape: &mut Shape) -> Result<(), String> {
        for key in ["minimum", "maximum"] {
            let Some(bound) = self.object.get(key) else { continue };
            let kind = &shape.value_type.without_null().kind;
            let Some(number) = bound.as_f64().filter(|_| matches!(kind, Kind::Integer | Kind::Number)) else {
                return Err(self.wrong(format!("`{key}` is a number, of a type `integer` or `number`")));
            };
            let slot =
                if key == "minimum" { &mut shape.value_type.minimum } else { &mut shape.value_type.maximum };
            *slot = Some(number);
            shape.set(key, bound.to_json().map_err(|e| self.wrong(e))?);
        }
        match (shape.value_type.minimum, shape.value_type.maximum) {
            (Some(low), Some(high)) if low > high => {
                Err(self.wrong("`maximum` is less than `minimum`, so no number is allowed"))
            }
            _ => Ok(()),
        }
    }

    fn list_values(&self, shape: &mut Shape, values: &[Value]) -> Result<(), String> {
        let mut fit = Fit::default();
        let fitted = values.iter().map(|v| fit.value(v.clone(), &shape.value_type, "")).collect();
        if let Some(reason) = fit.problems.first() {
            return Err(self.wrong(format!("a value of `enum` does not fit: {reason}")));
        }
        let shown: Vec<Json> = values.iter().filter_map(|v| v.to_json().ok()).collect();
        shape.value_type.one_of = Some(fitted);
        shape.set("enum", Json::Array(shown));
        Ok(())
    }
}

fn union(shapes: Vec<Shape>) -> Shape {
    let (types, schemas): (Vec<_>, Vec<_>) = shapes.into_iter().map(|s| (s.value_type, s.schema)).unzip();
    Shape { value_type: Kind::Union(types).into(), schema: json!({ "anyOf": schemas }), default: None }
}

impl Shape {
    fn set(&mut self, key: &str, value: Json) {
        if let Some(schema) = self.schema.as_object_mut() {
            schema.insert(key.to_owned(), value);
        }
    }
}

impl JsonSchema for Shape {
    fn schema_name() -> Cow<'static, str> {
        "Shape".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": "string"},
            {"type": "array", "minItems": 1},
            {"type": "null"},
            {
                "type": "object",
                "description": "A type in its long form, which is also how JSON schema writes it.",
                "properties": {
                    "type": {"description": "The type: a word such as `integer` or `string?`, or `[string]` for a list."},
                    "description": {"type": "string", "description": "What it is, for the model."},
                    "enum": {"type": "array", "minItems": 1, "description": "The only values allowed."},
                    "minimum": {"type": "number", "description": "The smallest number allowed."},
                    "maximum": {"type": "number", "description": "The largest number allowed."},
                    "items": {"description": "The type of a list's items."},
                    "properties": {"type": "object", "description": "The types of an object's fields; it has no others."},
                    "required": {"type": "array", "items": {"type": "string"}, "description": "The fields that must be there; the others are null where they are not. Default: all."},
                    "additionalProperties": {"type": "boolean", "description": "May say `false`, as JSON schema does."},
                    "anyOf": {"type": "array", "description": "Types, one of which it has, in place of `type`."},
                    "default": {"description": "What a field is where the model leaves it out; without one that is a mistake."},
                    "title": {"type": "string", "description": "Taken, and not used."},
                },
                "additionalProperties": false,
            },
        ]})
    }
}

/// Whether a server can guarantee the type: every object in it says its fields.
pub(super) fn is_strict(value_type: &Type) -> bool {
    match &value_type.kind {
        Kind::Any => false,
        Kind::Object(fields) => !fields.is_empty() && fields.values().all(is_strict),
        Kind::List(item) => is_strict(item),
        Kind::Union(members) => members.iter().all(is_strict),
        _ => true,
    }
}

/// Checks JSON against a type, as strictly as JSON schema does: a text is no number and a number no text.
#[derive(Default)]
pub(super) struct Fit {
    /// What is wrong, for the model and for a person.
    pub(super) problems: Vec<String>,
}

impl Fit {
    /// What one answer is told is enough to see what is wrong.
    const MOST: usize = 20;

    pub(super) fn problem(&mut self, at: &str, message: impl std::fmt::Display) {
        if self.problems.len() < Self::MOST {
            self.problems.push(if at.is_empty() { message.to_string() } else { format!("`{at}`: {message}") });
        }
    }

    /// The value as one of the type; null, and a problem more, where it is none.
    pub(super) fn value(&mut self, value: Value, to: &Type, at: &str) -> Value {
        let before = self.problems.len();
        let found = match (&to.kind, value) {
            (Kind::Union(_), Value::Null) if to.admits_null() => return Value::Null,
            (Kind::Union(members), value) => self.union(value, members, to, at),
            (Kind::List(item), Value::List(items)) => {
                let items = items.items().iter().enumerate();
                let items: Vec<_> =
                    items.map(|(n, v)| self.value(v.clone(), item, &format!("{at}[{n}]"))).collect();
                items.into()
            }
            (Kind::Object(fields), Value::Object(object)) if !fields.is_empty() => {
                let fields =
                    fields.iter().map(|(name, t)| (name.as_str().into(), self.field(&object, name, t, at)));
                Value::Object(fields.collect())
            }
            (_, value) => match scalar(value, to) {
                Ok(value) => value,
                Err(message) => {
                    self.problem(at, message);
                    Value::Null
                }
            },
        };
        let limited = to.one_of.is_some() || to.minimum.is_some() || to.maximum.is_some();
        if limited && self.problems.len() == before {
            return cast::cast(found, to).unwrap_or_else(|reason| {
                self.problem(at, reason);
                Value::Null
            });
        }
        found
    }

    fn field(&mut self, object: &Object, name: &str, to: &Type, at: &str) -> Value {
        let at = if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
        match object.get(name) {
            Some(value) => self.value(value.clone(), to, &at),
            None if to.admits_null() => Value::Null,
            None => {
                self.problem(&at, "is missing");
                Value::Null
            }
        }
    }

    fn union(&mut self, value: Value, members: &[Type], to: &Type, at: &str) -> Value {
        let mut others = members.iter().filter(|m| m.kind != Kind::Null);
        if let (Some(only), None) = (others.next(), others.next()) {
            return self.value(value, only, at);
        }
        for member in members {
            let mut fit = Self::default();
            let found = fit.value(value.clone(), member, at);
            if fit.problems.is_empty() {
                return found;
            }
        }
        self.problem(at, refusal(&value, to));
        Value::Null
    }
}

fn refusal(value: &Value, to: &Type) -> String {
    let to = Type::from(to.kind.clone());
    match value {
        Value::Null => format!("null is no {to}"),
        other => format!("{other} ({}) is no {to}", other.type_name()),
    }
}

fn scalar(value: Value, to: &Type) -> Result<Value, String> {
    let fits = match (&to.kind, &value) {
        (Kind::Decimal | Kind::Date | Kind::Timestamp | Kind::Duration, Value::String(text)) => {
            let read = cast::parse_scalar(text, &to.kind).map_err(|reason| reason.to_string())?;
            return read.ok_or_else(|| refusal(&value, to));
        }
        (Kind::Any, _) | (Kind::Null, Value::Null) | (Kind::Boolean, Value::Bool(_)) => true,
        (Kind::Integer | Kind::Number | Kind::Decimal, Value::Int(_) | Value::Float(_)) => true,
        (Kind::String | Kind::Path, Value::String(_)) => true,
        (Kind::Object(_), Value::Object(_)) => true,
        // Values of an `enum` are read before.
        (kind, value) => Type::from(kind.clone()).to_string() == value.type_name(),
    };
    let plain = Type::from(to.kind.clone());
    if fits { cast::cast(value, &plain).map_err(|reason| reason.to_string()) } else { Err(refusal(&value, to)) }
}

#[cfg(test)]
mod tests;
