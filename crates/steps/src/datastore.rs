//! What the steps of datastores share: the collection that they name, and the values by which they find rows.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use flowrun_core::compile::{Scope, codes};
use flowrun_core::diagnostics::{Diagnostic, Diagnostics};
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Asked, Port};
use flowrun_core::template::{Expression, Extras, Template, Text, Variable};
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::{List, Object, Value};
use flowrun_stores::{Collection, Filter, Row, Schema};
use indexmap::IndexMap;
use schemars::{JsonSchema, Schema as JsonSchemaOf, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use crate::stores::{OpenStore, store};

/// The collection that a step names, as far as it is known before anything runs.
pub(crate) struct Target {
    /// None where the name is a text with holes.
    pub(crate) collection: Option<Arc<Collection>>,
}

impl Target {
    /// The target of the keys `datastore` and `collection_name`.
    pub(crate) fn new(scope: &Scope<'_>, datastore: &str, collection_name: &Text) -> Result<Self, Diagnostics> {
        let definition = scope.datastore(datastore, &["datastore"])?;
        let schema = Schema::new(datastore, &definition.collections);
        let collection = if collection_name.variables().is_empty() {
            let name = literal(collection_name).map_err(|e| scope.bad(&["collection_name"], e.message))?;
            let Ok(collection) = schema.collection(&name) else {
                let message = format!("the datastore `{datastore}` has no collection `{name}`");
                let wrong = scope.error(codes::UNKNOWN_COLLECTION, &["collection_name"], message);
                return Err(wrong.suggest(&name, schema.names()).into());
            };
            Some(Arc::clone(collection))
        } else {
            None
        };
        Ok(Self { collection })
    }

    /// The type of the rows that the step gives.
    pub(crate) fn row_type(&self) -> Type {
        self.collection.as_ref().map_or_else(Type::object, |c| c.row_type())
    }
}

fn literal(text: &Text) -> Result<String, StepError> {
    Ok(text.render(|_| None)?)
}

/// The collection that a step uses now.
pub(crate) fn collection<'a>(
    cx: &'a StepCx<'_>,
    datastore: &str,
    collection_name: &Text,
    input: &Ports,
) -> Result<(&'a OpenStore, &'a Arc<Collection>), StepError> {
    let store = store(cx, datastore)?;
    let name = collection_name.render(|variable| input.get(variable).cloned())?;
    Ok((store, store.collection(&name)?))
}

/// Values that columns must have, all of them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(crate) struct Where(IndexMap<String, Wanted>);

/// A value as written, or computed from inputs of the step.
enum Wanted {
    Value(Value),
    /// A text that is one hole: the value in it, with its type.
    Hole(Arc<Expression>, usize),
    Text(Arc<Template>),
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{value}"),
            Self::Hole(hole, _) => hole.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Self::parse(&text).map_err(de::Error::custom),
            other => Ok(Self::Value(other)),
        }
    }
}

impl JsonSchema for Wanted {
    fn schema_name() -> Cow<'static, str> {
        "Wanted".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> JsonSchemaOf {
        json_schema!({ "type": ["string", "integer", "number", "boolean", "null"], "x-flowrun-template": "text" })
    }
}

impl Wanted {
    fn parse(text: &str) -> Result<Self, flowrun_core::template::TemplateError> {
        if let Some((inner, at)) = only_hole(text) {
            return Expression::parse(inner).map(|hole| Self::Hole(Arc::new(hole), at));
        }
        let template = Template::parse(text, Extras::None)?;
        if template.variables().is_empty() {
            return Ok(Self::Value(template.render(|_| None)?.into()));
        }
        Ok(Self::Text(Arc::new(template)))
    }

    /// The variables, and how far into the text their places are counted from.
    fn variables(&self) -> (&[Variable], usize) {
        match self {
            Self::Value(_) => (&[], 0),
            Self::Hole(hole, at) => (hole.variables(), *at),
            Self::Text(text) => (text.variables(), 0),
        }
    }

    fn get(&self, input: &Ports) -> Result<Value, StepError> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::Hole(hole, _) => Ok(hole.eval(|name| input.get(name).cloned())?),
            Self::Text(text) => Ok(text.render(|name| input.get(name).cloned())?.into()),
        }
    }
}

/// What stands in `{{ … }}` where a text is nothing else, and where in it that begins.
fn only_hole(text: &str) -> Option<(&str, usize)> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    if inner.starts_with('-') || inner.ends_with('-') || ["{{", "}}", "{%", "{#"].iter().any(|m| inner.contains(m))
    {
        return None;
    }
    Some((inner, text.find("{{")? + 2))
}

impl Where {
    /// Columns that the collection lacks, and values that they can never have.
    pub(crate) fn check(&self, scope: &Scope<'_>, target: &Target) -> Diagnostics {
        let mut wrong = Diagnostics::new();
        let Some(collection) = &target.collection else { return wrong };
        for (column, wanted) in &self.0 {
            let path = ["where", column.as_str()];
            if collection.column_type(column).is_none() {
                wrong.push(unknown_column(scope, &path, collection, column));
                continue;
            }
            let value = match wanted {
                Wanted::Value(value) => value.clone(),
                // Whether it can be looked for at all is known already.
                _ if !Collection::can_filter(collection.column_type(column).unwrap_or(&Type::any())) => {
                    Value::Null
                }
                _ => continue,
            };
            if let Err(error) = collection.filter([(column.as_str(), value)]) {
                wrong.push(scope.bad(&path, error.message));
            }
        }
        wrong
    }

    /// The filter that the inputs of the step make of it.
    pub(crate) fn filter(&self, collection: &Collection, input: &Ports) -> Result<Filter, StepError> {
        let values = self.0.iter().map(|(column, wanted)| Ok((column.as_str(), wanted.get(input)?)));
        Ok(collection.filter(values.collect::<Result<Vec<_>, StepError>>()?)?)
    }
}

/// A column that a collection does not have.
pub(crate) fn unknown_column(
    scope: &Scope<'_>,
    path: &[&str],
    collection: &Collection,
    column: &str,
) -> Diagnostic {
    let mut wrong = scope.bad_key(path, format!("the collection `{}` has no column `{column}`", collection.name));
    wrong.code = codes::UNKNOWN_COLUMN;
    wrong.suggest(column, collection.column_names())
}

/// The inputs that the name of a collection and a filter read; `own` are the step's own names.
pub(crate) fn inputs(
    scope: &Scope<'_>,
    collection_name: Option<&Text>,
    filter: Option<&Where>,
    collection: Option<&Collection>,
    own: Vec<Port>,
) -> Result<Vec<Port>, Diagnostics> {
    let (taken, mut ports, mut wrong) = (own.len(), own, Diagnostics::new());
    let mut add = |variable: &Variable, path: Vec<String>, offset: usize, value_type: Type| {
        let range = variable.range.start + offset..variable.range.end + offset;
        let default = variable.optional.then_some(Value::Null);
        match ports.iter_mut().position(|p| p.name == variable.name) {
            Some(place) if place < taken => {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                let message =
                    format!("`{}` is an input of the step's own; name the value otherwise", variable.name);
                wrong.push(scope.bad(&path, message));
            }
            Some(place) => {
                let port = &mut ports[place];
                if default.is_none() {
                    port.default = None;
                }
                if port.value_type != value_type {
                    port.value_type = Type::any();
                }
            }
            None => {
                let asked = Some(Asked { path, range });
                ports.push(Port { default, asked, ..Port::new(&variable.name, value_type) });
            }
        }
    };
    for variable in collection_name.iter().flat_map(|text| text.variables()) {
        add(variable, vec!["collection_name".to_owned()], 0, Type::any());
    }
    for (column, wanted) in filter.iter().flat_map(|f| &f.0) {
        let (variables, offset) = wanted.variables();
        for variable in variables {
            let value_type = match (wanted, collection.and_then(|c| c.column_type(column))) {
                (Wanted::Hole(hole, _), Some(column_type)) if is_only(hole, variable) => known(column_type),
                _ => Type::any(),
            };
            add(variable, vec!["where".to_owned(), column.clone()], offset, value_type);
        }
    }
    wrong.into_result()?;
    Ok(ports)
}

/// Whether an expression may be nothing but this variable.
fn is_only(hole: &Expression, variable: &Variable) -> bool {
    hole.variables().len() == 1 && variable.bare && variable.fields.is_empty() && !variable.optional && {
        // An expression of one variable gives back what it is given only where it is the variable itself.
        let mark = Value::from("a value that no expression makes");
        hole.eval(|_| Some(mark.clone())).is_ok_and(|value| value == mark)
    }
}

/// The type of an input that a column is compared with. Everything turns into text on a wire, so a text is left open:
/// what is none is refused when it comes.
fn known(column_type: &Type) -> Type {
    if matches!(column_type.without_null().kind, Kind::String | Kind::Path) {
        Type::any()
    } else {
        column_type.clone()
    }
}

/// An object input of a step.
pub(crate) fn object<'i>(input: &'i Ports, name: &str) -> Result<&'i Object, StepError> {
    input
        .get(name)
        .and_then(Value::as_object)
        .ok_or_else(|| StepError::new("step.type", format!("input `{name}` is no object")))
}

/// Rows as a list of objects.
pub(crate) fn listed(collection: &Collection, rows: &[Row]) -> Value {
    Value::List(rows.iter().map(|row| Value::Object(collection.object(row))).collect::<List>())
}

/// Objects without some of their fields.
pub(crate) fn without(object: &Object, excluded: &[String]) -> Object {
    let kept = object.iter().filter(|(name, _)| !excluded.iter().any(|e| **e == ***name));
    kept.map(|(name, value)| (Arc::clone(name), value.clone())).collect()
}

/// A type of objects without some of their fields.
pub(crate) fn type_without(row: Type, excluded: &[String]) -> Type {
    match row.kind {
        Kind::Object(fields) => {
            Kind::Object(fields.into_iter().filter(|(name, _)| !excluded.contains(name)).collect()).into()
        }
        _ => row,
    }
}

/// Columns to leave out that are not there, or all that there are.
pub(crate) fn check_excluded(
    scope: &Scope<'_>,
    collection: Option<&Collection>,
    excluded: &[String],
) -> Diagnostics {
    let mut wrong = Diagnostics::new();
    let Some(collection) = collection else { return wrong };
    for (n, column) in excluded.iter().enumerate().filter(|(_, c)| collection.column_type(c).is_none()) {
        let message = format!("the collection `{}` has no column `{column}`", collection.name);
        let wrong_one = scope.error(codes::UNKNOWN_COLUMN, &["columns_to_exclude", &n.to_string()], message);
        wrong.push(wrong_one.suggest(column, collection.column_names()));
    }
    if collection.column_names().all(|name| excluded.iter().any(|e| e == name)) {
        wrong.push(scope.bad(&["columns_to_exclude"], "no column would be left"));
    }
    wrong
}

/// The inputs of texts, for the documentation.
pub(crate) fn documented_variables() -> Port {
    Port::new("VARIABLE", Type::any()).doc("One for each variable of `collection_name` and `where`.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(json: serde_json::Value, name: &str, value: Value) -> Result<Value, StepError> {
        let wanted: Wanted = serde_json::from_value(json).unwrap();
        wanted.get(&Ports::one(name, value))
    }

    #[test]
    fn one_hole_keeps_its_type_and_a_text_is_text() {
        let get = |text: &str| wanted(text.into(), "n", Value::Int(5)).unwrap();
        assert_eq!(get("{{ n }}"), Value::Int(5));
        assert_eq!(get(" {{n + 1}} "), Value::Int(6));
        assert_eq!(get("{{ n }}{{ n }}"), Value::from("55"));
        assert_eq!(get("no {{ n }}"), Value::from("no 5"));
        assert_eq!(get("plain"), Value::from("plain"));
        assert_eq!(wanted("{{ x }}".into(), "x", Value::Null).unwrap(), Value::Null);
        assert_eq!(wanted(3.into(), "x", Value::Null).unwrap(), Value::Int(3));
        assert!(wanted("{{ y }}".into(), "x", Value::Null).is_err());
    }

    #[test]
    fn only_the_bare_variable_takes_the_type_of_the_column() {
        for (text, is) in
            [("{{ n }}", true), ("{{ n + 1 }}", false), ("{{ n|upper }}", false), ("{{ n.a }}", false)]
        {
            let Wanted::Hole(hole, _) = Wanted::parse(text).unwrap() else { panic!("{text}") };
            assert_eq!(is_only(&hole, &hole.variables()[0]), is, "{text}");
        }
    }
}
