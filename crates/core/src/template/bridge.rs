//! Between our values and those of the template engine, read in place.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minijinja::value::{Enumerator, Object as JinjaObject, ObjectRepr, Value as Jinja, ValueKind};
use minijinja::{Error, ErrorKind, State};

use super::{TemplateError, Variable};
use crate::seed::Key;
use crate::value::{List, Object, Value, scalar_text};

fn failure(message: String) -> TemplateError {
    TemplateError { message, range: None, line: None }
}

/// The root scope of one rendering.
pub(super) fn scope(
    names: &Arc<[Arc<str>]>,
    variables: &[Variable],
    given: &[Option<Value>],
    picks: Option<Key>,
) -> Result<Jinja, TemplateError> {
    let mut values = Vec::with_capacity(variables.len());
    for (variable, value) in variables.iter().zip(given) {
        values.push(match value {
            Some(Value::Null) if variable.tested_defined => Jinja::UNDEFINED,
            Some(value) => to_jinja(value).map_err(|e| failure(format!("`{}` {e}", variable.name)))?,
            None if variable.tested_defined => Jinja::UNDEFINED,
            None if variable.optional => Jinja::from(()),
            None => return Err(failure(format!("`{}` has no value", variable.name))),
        });
    }
    let pick = picks.map(|key| Jinja::from_object(Pick { key, count: AtomicU64::new(0) }));
    Ok(Jinja::from_object(Scope { names: Arc::clone(names), values, pick }))
}

#[derive(Debug)]
struct Scope {
    names: Arc<[Arc<str>]>,
    values: Vec<Jinja>,
    pick: Option<Jinja>,
}

impl JinjaObject for Scope {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Jinja> {
        match self.names.iter().position(|n| &**n == key) {
            Some(place) => Some(self.values[place].clone()),
            None if key == "pick" => self.pick.clone(),
            None => None,
        }
    }
}

/// The function `pick([…])`: one of the items, drawn by seed; the n-th call draws from its own column.
#[derive(Debug)]
struct Pick {
    key: Key,
    count: AtomicU64,
}

impl JinjaObject for Pick {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, args: &[Jinja]) -> Result<Jinja, Error> {
        let wrong = || Error::new(ErrorKind::InvalidOperation, "`pick` takes one list that is not empty");
        let [list] = args else { return Err(wrong()) };
        let len = list.len().filter(|n| *n > 0).ok_or_else(wrong)?;
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        let place = self.key.column(&format!("pick/{n}")).draws().below(0, len as u64);
        list.get_item_by_index(usize::try_from(place).unwrap_or(0))
    }
}

/// One of our values for the engine; lists and objects are read in place.
pub(super) fn to_jinja(value: &Value) -> Result<Jinja, &'static str> {
    Ok(match value {
        Value::Null => Jinja::from(()),
        Value::Bool(b) => Jinja::from(*b),
        Value::Int(i) => Jinja::from(*i),
        Value::Float(f) => Jinja::from(*f),
        Value::String(s) => Jinja::from(Arc::clone(s)),
        Value::List(l) => Jinja::from_object(ListView(l.clone())),
        Value::Object(o) => Jinja::from_object(ObjectView(o.clone())),
        Value::Table(_) => return Err("is a table, which a text cannot read; map over it"),
        other => Jinja::from(scalar_text(other).unwrap_or_default()),
    })
}

/// Items below the root; a table cannot hide there.
fn inner(value: &Value) -> Jinja {
    to_jinja(value).unwrap_or(Jinja::UNDEFINED)
}

struct ListView(List);

impl fmt::Debug for ListView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JinjaObject for ListView {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        self.0.get(key.as_usize()?).map(inner)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }
}

struct ObjectView(Object);

impl fmt::Debug for ObjectView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JinjaObject for ObjectView {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        self.0.get(key.as_str()?).map(inner)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Jinja> {
        self.0.get(key).map(inner)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().names().iter().map(|k| Jinja::from(Arc::clone(k))).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }
}

/// One of the engine's values as ours.
pub(super) fn from_jinja(value: &Jinja) -> Result<Value, TemplateError> {
    if let Some(view) = value.downcast_object_ref::<ListView>() {
        return Ok(Value::List(view.0.clone()));
    }
    if let Some(view) = value.downcast_object_ref::<ObjectView>() {
        return Ok(Value::Object(view.0.clone()));
    }
    let iterate = || value.try_iter().map_err(TemplateError::from);
    Ok(match value.kind() {
        ValueKind::Undefined => return Err(failure("the expression has no value".into())),
        ValueKind::None => Value::Null,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number if value.is_integer() => {
            Value::Int(value.as_i64().ok_or_else(|| failure(format!("the integer {value} is too large")))?)
        }
        ValueKind::Number => Value::Float(f64::try_from(value.clone()).map_err(TemplateError::from)?),
        ValueKind::String => Value::String(value.to_str().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            Value::List(iterate()?.map(|v| from_jinja(&v)).collect::<Result<Vec<_>, _>>()?.into())
        }
        ValueKind::Map => {
            let mut entries: Vec<(Arc<str>, Value)> = Vec::new();
            for key in iterate()? {
                let name = key.to_str().ok_or_else(|| failure(format!("`{key}` is no name of a field")))?;
                let item = value.get_item(&key).map_err(TemplateError::from)?;
                entries.push((name, from_jinja(&item)?));
            }
            Value::Object(entries.into_iter().collect())
        }
        kind => return Err(failure(format!("an expression cannot give a {kind}"))),
    })
}

/// A list or an object as JSON.
pub(super) fn json_text(value: &Jinja) -> Result<String, Error> {
    let wrong = |message: String| Error::new(ErrorKind::InvalidOperation, message);
    let ours = from_jinja(value).map_err(|e| wrong(e.message))?;
    serde_json::to_string(&ours).map_err(|e| wrong(e.to_string()))
}
