//! The values at a step's inputs and outputs, by name.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::value::{Value, ValueError, to_value};

mod fields;

/// Named values in a fixed order. Steps whose ports depend on their configuration take and give these.
#[derive(Clone, Debug)]
pub struct Ports {
    names: Arc<[Arc<str>]>,
    values: Vec<Value>,
}

impl Ports {
    /// Values under these names, in the same order.
    ///
    /// # Panics
    /// When there are not as many values as names: that is a bug of the caller.
    pub fn new(names: Arc<[Arc<str>]>, values: Vec<Value>) -> Self {
        assert_eq!(names.len(), values.len(), "every port has one value");
        Self { names, values }
    }

    /// No ports.
    pub fn empty() -> Self {
        Self { names: Arc::from([]), values: Vec::new() }
    }

    /// One port.
    pub fn one(name: &str, value: impl Into<Value>) -> Self {
        Self { names: Arc::from([Arc::from(name)]), values: vec![value.into()] }
    }

    /// The value under `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.names.iter().position(|n| &**n == name).map(|i| &self.values[i])
    }

    /// Takes the value under `name`, leaving null.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.names.iter().position(|n| &**n == name).map(|i| std::mem::take(&mut self.values[i]))
    }

    /// The names, in order.
    pub fn names(&self) -> &Arc<[Arc<str>]> {
        &self.names
    }

    /// The values, in the order of the names.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Value)> {
        self.names.iter().zip(&self.values)
    }

    /// Whether the names are these, in the same order.
    pub(crate) fn are(&self, names: &Arc<[Arc<str>]>) -> bool {
        Arc::ptr_eq(&self.names, names) || self.names == *names
    }

    pub(crate) fn into_values(self) -> Vec<Value> {
        self.values
    }
}

impl<N: Into<Arc<str>>> FromIterator<(N, Value)> for Ports {
    fn from_iter<I: IntoIterator<Item = (N, Value)>>(iter: I) -> Self {
        let (names, values): (Vec<Arc<str>>, Vec<Value>) = iter.into_iter().map(|(n, v)| (n.into(), v)).unzip();
        Self { names: names.into(), values }
    }
}

/// Ports that depend on a configuration have no schema of their own.
impl JsonSchema for Ports {
    fn schema_name() -> Cow<'static, str> {
        "Ports".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object"})
    }
}

/// What a step's inputs turn into: any type that deserialises, or [`Ports`] as they are.
pub trait FromPorts: Sized {
    /// Reads the inputs.
    ///
    /// # Errors
    /// When a value does not have the form that the type wants.
    fn from_ports(ports: Ports) -> Result<Self, ValueError>;
}

/// What a step gives: any type that serialises to an object, or [`Ports`] as they are.
pub trait IntoPorts {
    /// The outputs by name. `names` are those that the step's signature says; where they are the ones that come, in the
    /// same order, no others are made.
    ///
    /// # Errors
    /// When the value has no form that a wire can carry.
    fn into_ports(self, names: &Arc<[Arc<str>]>) -> Result<Ports, ValueError>;
}

impl FromPorts for Ports {
    fn from_ports(ports: Ports) -> Result<Self, ValueError> {
        Ok(ports)
    }
}

impl IntoPorts for Ports {
    fn into_ports(self, _: &Arc<[Arc<str>]>) -> Result<Ports, ValueError> {
        Ok(self)
    }
}

impl<T: DeserializeOwned> FromPorts for T {
    fn from_ports(ports: Ports) -> Result<Self, ValueError> {
        let entries = ports.names.iter().map(|name| &**name).zip(ports.values);
        T::deserialize(serde::de::value::MapDeserializer::new(entries))
    }
}

impl<T: Serialize> IntoPorts for T {
    fn into_ports(self, names: &Arc<[Arc<str>]>) -> Result<Ports, ValueError> {
        if let Some(ports) = fields::ports_of(&self, names)? {
            return Ok(ports);
        }
        match to_value(&self)? {
            Value::Object(object) => Ok(object.iter().map(|(k, v)| (Arc::clone(k), v.clone())).collect()),
            Value::Null => Ok(Ports::empty()),
            other => Err(ValueError::new(format!(
                "a step's output is a struct of its ports, not a {}",
                other.type_name()
            ))),
        }
    }
}
