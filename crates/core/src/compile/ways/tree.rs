//! The tree of a flow's steps in which each hangs below the last one that all ways to it go through.

use std::cell::Cell;

use super::count;

/// The steps as a tree (of dominators, as compilers call it), and where the ways that part in it meet again.
pub(super) struct Tree {
    /// The beginning of the flow, from which its first step is entered.
    pub(super) beginning: usize,
    /// The places before each place.
    pub(super) before: Vec<Vec<usize>>,
    /// When a walk around the tree comes to each place, and to the last one below it.
    pub(super) entered: Vec<usize>,
    pub(super) left: Vec<usize>,
    /// For each place the nearest ones that are entered from it, or from below it, and also past it.
    pub(super) meets: Vec<Vec<usize>>,
}

impl Tree {
    /// Of the steps before each step, and those before the end. Behind the steps stand the end, the beginning, and the top
    /// of the tree, from which also such steps are entered to which no way leads from the beginning.
    pub(super) fn new(before: &[Vec<usize>], last: &[usize], looked: &Cell<u64>) -> Self {
        let (end, beginning, top) = (before.len(), before.len() + 1, before.len() + 2);
        let mut before = before.to_vec();
        before.extend([last.to_vec(), vec![top], Vec::new()]);
        if end > 0 {
            before[0].push(beginning);
        }
        let walk = Walk::new(&mut before, beginning, top);
        let above = walk.above(&before, looked);
        let (entered, left) = walk.times(&above);
        let meets = meets(&before, &above, looked);
        Self { beginning, before, entered, left, meets }
    }

    /// Whether `below` is `place` or hangs below it.
    pub(super) fn holds(&self, place: usize, below: usize) -> bool {
        self.entered[place] <= self.entered[below] && self.entered[below] <= self.left[place]
    }
}

/// A walk through all places, each entered once, in depth.
struct Walk {
    /// The places in the order of the walk; what follows is by their numbers in it.
    order: Vec<usize>,
    number: Vec<usize>,
    /// From where each was entered.
    from: Vec<usize>,
}

impl Walk {
    /// Also lets the top lead to all parts of the graph that cannot be reached otherwise.
    fn new(before: &mut [Vec<usize>], beginning: usize, top: usize) -> Self {
        let mut after = vec![Vec::new(); before.len()];
        for (place, before) in before.iter().enumerate() {
            for from in before {
                after[*from].push(place);
            }
        }
        let mut walk = Self { order: vec![top], number: vec![usize::MAX; before.len()], from: vec![0] };
        walk.number[top] = 0;
        walk.enter(beginning, &after);
        let rootless = (0..before.len()).filter(|place| before[*place].is_empty()).collect::<Vec<_>>();
        for place in rootless.into_iter().chain(0..before.len()) {
            if walk.number[place] == usize::MAX {
                before[place].push(top);
                walk.enter(place, &after);
            }
        }
        walk
    }

    fn enter(&mut self, place: usize, after: &[Vec<usize>]) {
        let mut ahead = vec![(place, 0)];
        while let Some((place, from)) = ahead.pop() {
            if self.number[place] != usize::MAX {
                continue;
            }
            let number = self.order.len();
            self.number[place] = number;
            self.order.push(place);
            self.from.push(from);
            ahead.extend(after[place].iter().rev().map(|next| (*next, number)));
        }
    }

    /// The place above each one, by the method of Lengauer and Tarjan.
    fn above(&self, before: &[Vec<usize>], looked: &Cell<u64>) -> Vec<usize> {
        let places = self.order.len();
        let mut forest = Forest::new(places);
        let mut above: Vec<usize> = vec![0; places];
        let mut held: Vec<Vec<usize>> = vec![Vec::new(); places];
        for place in (1..places).rev() {
            for from in &before[self.order[place]] {
                let nearest = forest.best(self.number[*from], looked);
                forest.half[place] = forest.half[place].min(forest.half[nearest]);
            }
            held[forest.half[place]].push(place);
            let from = self.from[place];
            forest.link(from, place);
            for waiting in std::mem::take(&mut held[from]) {
                let nearest = forest.best(waiting, looked);
                above[waiting] = if forest.half[nearest] < forest.half[waiting] { nearest } else { from };
            }
        }
        for place in 1..places {
            if above[place] != forest.half[place] {
                above[place] = above[above[place]];
            }
        }
        let mut by_place = vec![0; places];
        for (number, above) in above.iter().enumerate() {
            by_place[self.order[number]] = self.order[*above];
        }
        by_place
    }

    /// When a walk around the tree comes to each place, and to the last one below it. What is above has a smaller number.
    fn times(&self, above: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let mut size = vec![1; above.len()];
        for place in self.order.iter().skip(1).rev() {
            size[above[*place]] += size[*place];
        }
        let (mut entered, mut next) = (vec![0; above.len()], vec![1; above.len()]);
        for place in self.order.iter().skip(1) {
            let above = above[*place];
            entered[*place] = next[above];
            next[above] += size[*place];
            next[*place] = entered[*place] + 1;
        }
        let left = entered.iter().zip(&size).map(|(entered, size)| entered + size - 1).collect();
        (entered, left)
    }
}

/// The trees that the places behind the one at hand have grown together to, with short ways up.
struct Forest {
    /// The first place from which a place is reached past all that was entered between.
    half: Vec<usize>,
    /// Of those on the short way up, the one whose `half` is the first.
    best: Vec<usize>,
    up: Vec<Option<usize>>,
}

impl Forest {
    fn new(places: usize) -> Self {
        Self { half: (0..places).collect(), best: (0..places).collect(), up: vec![None; places] }
    }

    fn link(&mut self, above: usize, place: usize) {
        self.up[place] = Some(above);
    }

    fn best(&mut self, place: usize, looked: &Cell<u64>) -> usize {
        let mut way = Vec::new();
        let mut at = place;
        while let Some(up) = self.up[at].filter(|up| self.up[*up].is_some()) {
            way.push(at);
            at = up;
        }
        count(looked, way.len() + 1);
        while let Some(at) = way.pop() {
            let Some(up) = self.up[at] else { continue };
            if self.half[self.best[up]] < self.half[self.best[at]] {
                self.best[at] = self.best[up];
            }
            self.up[at] = self.up[up];
        }
        self.best[place]
    }
}

fn meets(before: &[Vec<usize>], above: &[usize], looked: &Cell<u64>) -> Vec<Vec<usize>> {
    let mut meets: Vec<Vec<usize>> = vec![Vec::new(); before.len()];
    for (place, from) in before.iter().enumerate().filter(|(_, from)| from.len() > 1) {
        for from in from {
            let mut at = *from;
            // Where one has it already, all above do.
            while at != above[place] && meets[at].last() != Some(&place) {
                count(looked, 1);
                meets[at].push(place);
                at = above[at];
            }
        }
    }
    meets
}
