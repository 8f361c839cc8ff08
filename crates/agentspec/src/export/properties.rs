//! Ports as properties: JSON schemas with a title.

use flowrun_core::signature::Port;
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::Value;
use serde_json::{Map, Value as Json, json};

use super::Exporter;
use crate::castable::{Form, Others, Shape};
use crate::property::{FORBIDDEN, SECRET};

/// A type as the schema of a property.
pub(crate) fn schema(of: &Type) -> Map<String, Json> {
    let mut map = Map::new();
    match &of.kind {
        Kind::List(item) => {
            map.insert("type".into(), json!("array"));
            map.insert("items".into(), Json::Object(schema(item)));
        }
        Kind::Object(fields) => {
            map.insert("type".into(), json!("object"));
            if fields.is_empty() {
                // Elsewhere an object of which nothing is said is anything.
                map.insert("additionalProperties".into(), json!({}));
            } else {
                let properties = fields.iter().map(|(name, field)| (name.clone(), Json::Object(schema(field))));
                map.insert("properties".into(), Json::Object(properties.collect()));
            }
        }
        Kind::Union(members) => {
            map.insert("anyOf".into(), members.iter().map(|member| Json::Object(schema(member))).collect());
        }
        _ => {
            let plain = Type { kind: of.kind.clone(), one_of: None, minimum: None, maximum: None };
            if let Json::Object(plain) = plain.to_json_schema() {
                map.extend(plain);
            }
        }
    }
    if let Some(values) = &of.one_of {
        map.insert("enum".into(), values.iter().filter_map(|value| value.to_json().ok()).collect());
    }
    for (key, bound) in [("minimum", of.minimum), ("maximum", of.maximum)] {
        if let Some(bound) = bound {
            map.insert(key.into(), number(bound));
        }
    }
    map
}

/// A bound as people write it: whole numbers without a point.
#[expect(clippy::cast_possible_truncation, reason = "only what is whole and small is cast")]
fn number(bound: f64) -> Json {
    if bound.fract() == 0.0 && bound.abs() < 1e15 { json!(bound as i64) } else { json!(bound) }
}

/// A type as the rules of Agent Spec see it.
pub(crate) fn shape(of: &Type) -> Shape {
    let form = match &of.kind {
        Kind::Any => Form::Any,
        Kind::Null => Form::Null,
        Kind::Boolean => Form::Boolean,
        Kind::Integer => Form::Integer,
        Kind::Number => Form::Number,
        Kind::String => Form::String,
        Kind::List(item) => Form::Array(Box::new(shape(item))),
        Kind::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| (name.clone(), shape(field))).collect();
            Form::Object { fields, others: Others::Unsaid }
        }
        Kind::Union(members) => return crate::castable::union(members.iter().map(shape).collect()),
        Kind::Decimal | Kind::Date | Kind::Timestamp | Kind::Duration | Kind::Path | Kind::Table => {
            Form::Own(Type::from(of.kind.clone()))
        }
    };
    Shape { one_of: of.one_of.clone(), minimum: of.minimum, maximum: of.maximum, ..Shape::from(form) }
}

/// A property.
pub(crate) fn property(title: &str, of: &Type, default: Option<&Value>, description: Option<&str>) -> Json {
    let mut map = Map::new();
    map.insert("title".into(), json!(title));
    if let Some(text) = description {
        map.insert("description".into(), json!(text));
    }
    let default = default.and_then(|value| value.to_json().ok());
    // A default of null makes a type one that admits it.
    let nullable = default == Some(Json::Null) && !of.admits_null();
    map.extend(if nullable { schema(&of.clone().nullable()) } else { schema(of) });
    if let Some(default) = default {
        map.insert("default".into(), default);
    }
    Json::Object(map)
}

/// A port as a property under a title.
pub(crate) fn port(title: &str, port: &Port) -> Json {
    // What a secret input is by itself is as secret as what is given for it.
    let default = port.default.as_ref().filter(|_| !port.secret);
    let mut property = property(title, &port.value_type, default, port.doc.as_deref());
    if let (true, Some(map)) = (port.secret, property.as_object_mut()) {
        map.insert(SECRET.into(), json!(true));
    }
    property
}

impl Exporter<'_> {
    /// Reports names that can be no titles.
    pub(crate) fn check_titles<'p>(
        &mut self,
        what: &str,
        names: impl IntoIterator<Item = &'p str>,
        span: &flowrun_core::diagnostics::Span,
    ) {
        let names: Vec<&str> = names.into_iter().filter(|n| n.is_empty() || n.contains(FORBIDDEN)).collect();
        for name in names {
            let message = format!(
                "`{name}`, {what}, can be no title of a property: it holds none of `. , {{ }} ' \"`, no space and no line break"
            );
            self.unsaid(message, span);
        }
    }
}
