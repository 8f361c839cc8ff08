//! The ways through a flow: which producers of a value are met first on the ways back from a step, and whether a way
//! meets none.
//!
//! Walking back from each step would look at every step of a long flow again and again. Instead, as a compiler does with
//! variables, each producer is followed forward once, to the steps in which its ways meet others (`tree`, `marks`).
//! Between these nothing changes, so a question is answered by what holds there.

mod circles;
mod marks;
mod tree;

use std::cell::{Cell, OnceCell};
use std::sync::Arc;

use marks::Marks;
use tree::Tree;

pub(super) use circles::{circles, graph};

/// A step, and a place among its outputs.
pub(super) type Producer = (usize, usize);

/// What is met on the ways back from a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reached {
    /// The producers that are met first, by step.
    pub(super) producers: Vec<Producer>,
    /// Whether a way meets none, back to the beginning of the flow.
    pub(super) open: bool,
}

/// All that produce one value, by step, and what is known of them.
#[derive(Debug, Default)]
pub(super) struct Producers {
    all: Vec<Producer>,
    /// What an only one gives.
    only: OnceCell<Arc<Reached>>,
    marks: OnceCell<Marks>,
}

impl Producers {
    /// Of these.
    pub(super) fn new(mut all: Vec<Producer>) -> Self {
        all.sort_unstable();
        // Where a value is met does not depend on which of a step's outputs it is.
        all.dedup_by_key(|(step, _)| *step);
        Self { all, ..Self::default() }
    }

    /// Adds one that comes after all others.
    pub(super) fn push(&mut self, producer: Producer) {
        if self.all.last().is_none_or(|(step, _)| *step != producer.0) {
            self.all.push(producer);
        }
    }

    /// All of them, by step.
    pub(super) fn all(&self) -> &[Producer] {
        &self.all
    }
}

/// The ways through a flow.
pub(super) struct Ways {
    steps: usize,
    tree: Tree,
    /// How often something was looked at. A test of how that grows reads it.
    looked: Cell<u64>,
}

impl Ways {
    /// Of the steps before each step, and those after which the flow may be over.
    pub(super) fn new(before: &[Vec<usize>], last: &[usize]) -> Self {
        let looked = Cell::new(0);
        Self { steps: before.len(), tree: Tree::new(before, last, &looked), looked }
    }

    /// What is met on the ways back from a step.
    pub(super) fn back_from(&self, step: usize, producers: &Producers) -> Arc<Reached> {
        count(&self.looked, 1);
        if let [only] = producers.all.as_slice()
            && only.0 != step
            && self.tree.holds(only.0, step)
        {
            let reached = || Arc::new(Reached { producers: vec![*only], open: false });
            return Arc::clone(producers.only.get_or_init(reached));
        }
        let marks = producers.marks.get_or_init(|| Marks::new(&self.tree, &producers.all, &self.looked));
        marks.before(step, &self.tree, &self.looked)
    }

    /// What is met on the ways back from the ends of the flow.
    pub(super) fn back_from_end(&self, producers: &Producers) -> Arc<Reached> {
        self.back_from(self.steps, producers)
    }

    /// Whether an end of the flow is reached past these.
    pub(super) fn end_is_open(&self, producers: &Producers) -> bool {
        match producers.all.as_slice() {
            // Where all ways begin at the beginning, one that does not go through the only producer is open.
            [(only, _)] if self.tree.holds(self.tree.beginning, self.steps) => !self.tree.holds(*only, self.steps),
            _ => self.back_from_end(producers).open,
        }
    }
}

fn count(looked: &Cell<u64>, times: usize) {
    looked.set(looked.get() + times as u64);
}

#[cfg(test)]
mod tests;
