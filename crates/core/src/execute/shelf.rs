//! What steps keep in memory for later steps of the run, such as the rows of a memory datastore.
//!
//! It is never journaled by itself: the steps that change it run again on a resume. An item of a map works on a fork:
//! it sees what was there when the map began and what it has changed itself, and its record carries the changes, which
//! are made in the parent in the order of the items. So nothing depends on which item was quicker.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::StepCx;
use crate::error::StepError;
use crate::value::Value;

/// Something that steps keep in memory. A clone must be cheap: every item of a map makes one.
pub trait Kept: Any + Send + Sync {
    /// Makes a change. It is plain data, because the record of a map's item carries it; dates and the like may come
    /// back as text.
    ///
    /// # Errors
    /// When the change is none of its own.
    fn apply(&mut self, change: &Value) -> Result<(), StepError>;

    /// A copy that changes apart from this one.
    fn fork(&self) -> Box<dyn Kept>;
}

/// Changes by the name of what they change.
pub type Changes = Vec<(Arc<str>, Value)>;

/// All that is kept for the frames of a run, or of one item of a map.
#[derive(Default)]
pub(super) struct Shelf(Mutex<Held>);

#[derive(Default)]
struct Held {
    kept: BTreeMap<Arc<str>, Slot>,
    /// What a parent has to be told; none at the top, which has no parent.
    changes: Option<Changes>,
}

enum Slot {
    There(Box<dyn Kept>),
    /// Changed by items before any step of this frame looked at it.
    Waiting(Vec<Value>),
}

impl Shelf {
    /// A copy that notes its changes.
    pub(super) fn fork(&self) -> Self {
        let held = self.held();
        let kept = held.kept.iter().map(|(name, slot)| {
            let slot = match slot {
                Slot::There(kept) => Slot::There(kept.fork()),
                Slot::Waiting(changes) => Slot::Waiting(changes.clone()),
            };
            (Arc::clone(name), slot)
        });
        Self(Mutex::new(Held { kept: kept.collect(), changes: Some(Changes::new()) }))
    }

    /// The changes since the fork.
    pub(super) fn take_changes(&self) -> Changes {
        self.held().changes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Makes the changes of a fork here.
    pub(super) fn add(&self, changes: Changes) -> Result<(), StepError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut held = self.held();
        for (name, change) in changes {
            match held.kept.get_mut(&name) {
                Some(Slot::There(kept)) => kept.apply(&change)?,
                Some(Slot::Waiting(waiting)) => waiting.push(change.clone()),
                None => {
                    held.kept.insert(Arc::clone(&name), Slot::Waiting(vec![change.clone()]));
                }
            }
            if let Some(noted) = &mut held.changes {
                noted.push((name, change));
            }
        }
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn with<S: Kept, T>(
        &self,
        name: &str,
        begin: impl FnOnce() -> S,
        act: impl FnOnce(&mut S) -> Result<(T, Option<Value>), StepError>,
    ) -> Result<T, StepError> {
        let mut held = self.held();
        let waiting = match held.kept.get_mut(name) {
            Some(Slot::There(_)) => None,
            Some(Slot::Waiting(changes)) => Some(std::mem::take(changes)),
            None => Some(Vec::new()),
        };
        if let Some(waiting) = waiting {
            let mut fresh = begin();
            for change in &waiting {
                fresh.apply(change)?;
            }
            held.kept.insert(name.into(), Slot::There(Box::new(fresh)));
        }
        let kept = match held.kept.get_mut(name) {
            Some(Slot::There(kept)) => (&mut **kept as &mut dyn Any).downcast_mut::<S>(),
            _ => None,
        };
        let kept = kept.ok_or_else(|| {
            StepError::new("engine.kept", format!("two kinds of things are kept under the name `{name}`"))
        })?;
        let (done, change) = act(kept)?;
        if let (Some(noted), Some(change)) = (&mut held.changes, change) {
            noted.push((name.into(), change));
        }
        Ok(done)
    }
}

/// A fork of what is kept in memory, for a flow that runs beside others.
pub struct Fork(pub(super) Arc<Shelf>);

impl StepCx<'_> {
    /// Looks at what is kept under a name; `begin` makes it where nothing is there yet.
    ///
    /// # Errors
    /// `engine.kept` when something of another type is there.
    pub fn look<S: Kept, T>(
        &self,
        name: &str,
        begin: impl FnOnce() -> S,
        look: impl FnOnce(&S) -> T,
    ) -> Result<T, StepError> {
        self.frame.shelf.with(name, begin, |kept| Ok((look(kept), None)))
    }

    /// Changes what is kept under a name; `begin` makes it where nothing is there yet.
    ///
    /// # Errors
    /// As [`StepCx::look`], and what [`Kept::apply`] says.
    pub fn change<S: Kept>(&self, name: &str, begin: impl FnOnce() -> S, change: Value) -> Result<(), StepError> {
        self.frame.shelf.with(name, begin, |kept: &mut S| {
            kept.apply(&change)?;
            Ok(((), Some(change)))
        })
    }

    /// A fork for each flow that this step runs beside others, made before the first of them begins.
    pub fn fork(&self) -> Fork {
        Fork(Arc::new(self.frame.shelf.fork()))
    }

    /// Makes the changes of a fork here, in the order in which forks are joined.
    ///
    /// # Errors
    /// What [`Kept::apply`] says.
    pub fn join(&self, fork: &Fork) -> Result<(), StepError> {
        self.frame.shelf.add(fork.0.take_changes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Sum(Vec<i64>);

    impl Kept for Sum {
        fn apply(&mut self, change: &Value) -> Result<(), StepError> {
            self.0.push(change.as_i64().ok_or_else(|| StepError::new("test.change", "no number"))?);
            Ok(())
        }

        fn fork(&self) -> Box<dyn Kept> {
            Box::new(self.clone())
        }
    }

    fn push(shelf: &Shelf, number: i64) {
        let act = |sum: &mut Sum| {
            sum.apply(&Value::Int(number))?;
            Ok(((), Some(Value::Int(number))))
        };
        shelf.with("sum", Sum::default, act).unwrap();
    }

    fn seen(shelf: &Shelf) -> Vec<i64> {
        shelf.with("sum", Sum::default, |sum: &mut Sum| Ok((sum.0.clone(), None))).unwrap()
    }

    #[test]
    fn forks_see_their_own_changes_and_the_parent_sees_them_in_the_order_of_the_joins() {
        let root = Shelf::default();
        push(&root, 1);
        let (a, b) = (root.fork(), root.fork());
        push(&b, 3);
        push(&a, 2);
        let inner = a.fork();
        push(&inner, 4);
        assert_eq!(
            (seen(&root), seen(&a), seen(&b), seen(&inner)),
            (vec![1], vec![1, 2], vec![1, 3], vec![1, 2, 4])
        );
        a.add(inner.take_changes()).unwrap();
        root.add(a.take_changes()).unwrap();
        root.add(b.take_changes()).unwrap();
        assert_eq!(seen(&root), [1, 2, 4, 3]);
    }

    #[test]
    fn changes_wait_for_what_nobody_has_begun() {
        let root = Shelf::default();
        root.add(vec![("sum".into(), Value::Int(1))]).unwrap();
        let fork = root.fork();
        push(&fork, 2);
        root.add(fork.take_changes()).unwrap();
        assert_eq!(seen(&root), [1, 2]);
        assert!(root.take_changes().is_empty(), "the top has nobody to tell");
        assert!(root.add(vec![("sum".into(), Value::Null)]).is_err());
    }
}
