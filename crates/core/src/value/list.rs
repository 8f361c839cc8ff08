//! Lists, among them views that are built only when somebody reads them.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::Value;
use crate::types::Type;

/// A list of values, shared. A view knows its length from the start and builds its items on the first read.
#[derive(Clone)]
pub struct List(Arc<Repr>);

enum Repr {
    Items(Vec<Value>),
    View { len: usize, of: Type, build: Box<dyn Fn() -> Vec<Value> + Send + Sync>, items: OnceLock<Vec<Value>> },
}

impl List {
    /// A list of `len` items of a type that `build` makes when they are first read.
    pub fn view(len: usize, of: Type, build: impl Fn() -> Vec<Value> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Repr::View { len, of, build: Box::new(build), items: OnceLock::new() }))
    }

    /// Whether all items are known to be of this type without a look at them.
    pub fn is_view_of(&self, item: &Type) -> bool {
        matches!(&*self.0, Repr::View { of, .. } if of == item)
    }

    /// How many items there are; never builds a view.
    pub fn len(&self) -> usize {
        match &*self.0 {
            Repr::Items(items) => items.len(),
            Repr::View { len, .. } => *len,
        }
    }

    /// Whether there are no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items.
    pub fn items(&self) -> &[Value] {
        match &*self.0 {
            Repr::Items(items) => items,
            Repr::View { build, items, .. } => items.get_or_init(build),
        }
    }

    /// This list with more items behind; its own are copied only where somebody else holds them too.
    #[must_use]
    pub fn extended(mut self, more: impl IntoIterator<Item = Value>) -> Self {
        if let Some(Repr::Items(items)) = Arc::get_mut(&mut self.0) {
            items.extend(more);
            return self;
        }
        self.items().iter().cloned().chain(more).collect()
    }

    /// The item at `index`, counted from 0.
    pub fn get(&self, index: usize) -> Option<&Value> {
        self.items().get(index)
    }
}

impl From<Vec<Value>> for List {
    fn from(items: Vec<Value>) -> Self {
        Self(Arc::new(Repr::Items(items)))
    }
}

impl FromIterator<Value> for List {
    fn from_iter<I: IntoIterator<Item = Value>>(iter: I) -> Self {
        iter.into_iter().collect::<Vec<_>>().into()
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.items()).finish()
    }
}
