//! Where a value changes on the ways through a flow: its producers, and the steps in which ways from them meet.

use std::cell::{Cell, OnceCell};
use std::collections::HashSet;
use std::sync::Arc;

use super::tree::Tree;
use super::{Producer, Reached, count};

/// All places at which a value changes. Between them it is that of the nearest one above.
#[derive(Debug)]
pub(super) struct Marks {
    /// In the order in which a walk around the tree comes to them.
    all: Vec<Mark>,
    /// From when on in that walk which of them is the nearest above; none where there is none.
    nearest: Vec<(usize, Option<usize>)>,
}

#[derive(Debug)]
struct Mark {
    place: usize,
    made: Made,
    /// Whether ways with different values meet before it.
    joins: bool,
    /// The nearest one above.
    above: Option<usize>,
    /// What is met on the ways back from it, where it joins.
    before: OnceCell<Arc<Reached>>,
    /// What is met behind it, where it is a producer or the beginning.
    behind: OnceCell<Arc<Reached>>,
}

/// What a place makes of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    /// It is the beginning.
    Beginning,
    By(Producer),
    /// Nothing: the value comes through.
    Through,
}

impl Marks {
    pub(super) fn new(tree: &Tree, producers: &[Producer], looked: &Cell<u64>) -> Self {
        let mut made: Vec<(usize, Made)> = vec![(tree.beginning, Made::Beginning)];
        made.extend(producers.iter().map(|producer| (producer.0, Made::By(*producer))));
        let (mut joins, mut ahead) = (HashSet::new(), made.iter().map(|(place, _)| *place).collect::<Vec<_>>());
        while let Some(place) = ahead.pop() {
            count(looked, 1 + tree.meets[place].len());
            ahead.extend(tree.meets[place].iter().filter(|meets| joins.insert(**meets)));
        }
        let mark = |place, made, joins| Mark {
            place,
            made,
            joins,
            above: None,
            before: OnceCell::new(),
            behind: OnceCell::new(),
        };
        let mut all: Vec<Mark> =
            made.into_iter().map(|(place, made)| mark(place, made, joins.remove(&place))).collect();
        all.extend(joins.into_iter().map(|place| mark(place, Made::Through, true)));
        all.sort_unstable_by_key(|mark| tree.entered[mark.place]);
        let nearest = nest(&mut all, tree);
        Self { all, nearest }
    }

    /// What is met on the ways back from a place.
    pub(super) fn before(&self, place: usize, tree: &Tree, looked: &Cell<u64>) -> Arc<Reached> {
        match self.nearest(place, tree) {
            Some(mark) if self.all[mark].place == place && self.all[mark].joins => self.joined(mark, tree, looked),
            Some(mark) if self.all[mark].place == place => self.behind(self.all[mark].above, tree, looked),
            mark => self.behind(mark, tree, looked),
        }
    }

    /// The nearest mark at or above a place.
    fn nearest(&self, place: usize, tree: &Tree) -> Option<usize> {
        let behind = self.nearest.partition_point(|(from, _)| *from <= tree.entered[place]);
        self.nearest[behind.checked_sub(1)?].1
    }

    fn behind(&self, mark: Option<usize>, tree: &Tree, looked: &Cell<u64>) -> Arc<Reached> {
        let Some(mark) = mark else { return Arc::default() };
        let reached = match self.all[mark].made {
            Made::Through => return self.joined(mark, tree, looked),
            Made::Beginning => Reached { producers: Vec::new(), open: true },
            Made::By(producer) => Reached { producers: vec![producer], open: false },
        };
        Arc::clone(self.all[mark].behind.get_or_init(|| Arc::new(reached)))
    }

    /// All that the ways to a mark bring along.
    fn joined(&self, mark: usize, tree: &Tree, looked: &Cell<u64>) -> Arc<Reached> {
        Arc::clone(self.all[mark].before.get_or_init(|| Arc::new(self.gathered(mark, tree, looked))))
    }

    fn gathered(&self, mark: usize, tree: &Tree, looked: &Cell<u64>) -> Reached {
        let (mut reached, mut seen, mut ahead) = (Reached::default(), HashSet::new(), vec![mark]);
        while let Some(at) = ahead.pop() {
            if let Some(known) = self.all[at].before.get() {
                count(looked, known.producers.len());
                reached.producers.extend(&known.producers);
                reached.open |= known.open;
                continue;
            }
            let before = &tree.before[self.all[at].place];
            count(looked, before.len());
            for from in before {
                let Some(from) = self.nearest(*from, tree) else { continue };
                if !seen.insert(from) {
                    continue;
                }
                match self.all[from].made {
                    Made::Beginning => reached.open = true,
                    Made::By(producer) => reached.producers.push(producer),
                    Made::Through => ahead.push(from),
                }
            }
        }
        reached.producers.sort_unstable();
        reached.producers.dedup();
        reached
    }
}

/// Finds for each mark the nearest one above it, and from when on in a walk around the tree which one is the nearest.
fn nest(all: &mut [Mark], tree: &Tree) -> Vec<(usize, Option<usize>)> {
    let mut nearest = Vec::with_capacity(2 * all.len());
    let mut around: Vec<usize> = Vec::new();
    let left = |all: &[Mark], mark: usize| tree.left[all[mark].place];
    for mark in 0..all.len() {
        let entered = tree.entered[all[mark].place];
        while let Some(done) = around.pop_if(|around| left(all, *around) < entered) {
            nearest.push((left(all, done) + 1, around.last().copied()));
        }
        all[mark].above = around.last().copied();
        around.push(mark);
        nearest.push((entered, Some(mark)));
    }
    while let Some(done) = around.pop() {
        nearest.push((left(all, done) + 1, around.last().copied()));
    }
    nearest
}
