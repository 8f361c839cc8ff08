//! Objects: names and values, where all rows of a table share one set of names.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::Value;

/// From this many names on, a hash map finds them faster than looking at each.
const INDEXED_FROM: usize = 12;

/// The names of an object, in order, shared by all objects of one shape.
#[derive(Debug)]
pub struct Keys {
    names: Vec<Arc<str>>,
    index: Option<HashMap<Arc<str>, usize>>,
}

impl Keys {
    /// The keys of a shape. Where a name repeats, its last place counts.
    pub fn new(names: Vec<Arc<str>>) -> Arc<Self> {
        let index = (names.len() >= INDEXED_FROM)
            .then(|| names.iter().enumerate().map(|(i, n)| (Arc::clone(n), i)).collect());
        Arc::new(Self { names, index })
    }

    /// The place of `name`.
    pub fn position(&self, name: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(name).copied(),
            None => self.names.iter().rposition(|n| &**n == name),
        }
    }

    /// The names in order.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }
}

/// An ordered map from names to values. Equality ignores the order, as in JSON.
#[derive(Clone)]
pub struct Object(Arc<Inner>);

struct Inner {
    keys: Arc<Keys>,
    values: Box<[Value]>,
}

impl Object {
    /// An object of a known shape; `values` stand in the order of the keys.
    ///
    /// # Panics
    /// When there are not as many values as keys: that is a bug of the caller.
    pub fn of_shape(keys: Arc<Keys>, values: Vec<Value>) -> Self {
        assert_eq!(keys.names.len(), values.len(), "an object has one value for each of its keys");
        Self(Arc::new(Inner { keys, values: values.into_boxed_slice() }))
    }

    /// The value under `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.keys.position(name).map(|i| &self.0.values[i])
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.values.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Value)> {
        self.0.keys.names.iter().zip(self.0.values.iter())
    }

    /// The names in order.
    pub fn keys(&self) -> &Arc<Keys> {
        &self.0.keys
    }

    /// The values in the order of the keys.
    pub fn values(&self) -> &[Value] {
        &self.0.values
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().all(|(k, v)| other.get(k) == Some(v))
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Collects entries into an object; a repeated name replaces the earlier value and keeps its place.
#[derive(Debug, Default)]
pub struct ObjectBuilder {
    entries: indexmap::IndexMap<Arc<str>, Value>,
}

impl ObjectBuilder {
    /// Sets `name`.
    pub fn set(&mut self, name: impl Into<Arc<str>>, value: impl Into<Value>) -> &mut Self {
        self.entries.insert(name.into(), value.into());
        self
    }

    /// The object.
    pub fn finish(self) -> Object {
        self.entries.into_iter().collect()
    }
}

impl FromIterator<(Arc<str>, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Value)>>(iter: I) -> Self {
        let entries: indexmap::IndexMap<Arc<str>, Value> = iter.into_iter().collect();
        let (names, values): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        Self::of_shape(Keys::new(names), values)
    }
}
