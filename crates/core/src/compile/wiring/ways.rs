//! The ways back through a flow, without a look at each step of a long one.

/// Steps that have but one step before them hang below it as in a tree; from the others and the first, several ways or none
/// lead back. So on the way from a step to the root of its tree nothing has to be decided.
pub(super) struct Ways {
    /// The only step before each; none of a root.
    above: Vec<Option<usize>>,
    /// The root of each one's tree.
    root: Vec<usize>,
    /// When a walk around the trees comes to each, and leaves it: all below it are entered between.
    entered: Vec<usize>,
    left: Vec<usize>,
}

/// Steps that are looked at one by one, before all producers are.
const NEAR: usize = 16;

impl Ways {
    /// Of the steps before each step.
    pub(super) fn new(before: &[Vec<usize>]) -> Self {
        let mut below = vec![Vec::new(); before.len()];
        let mut above = vec![None; before.len()];
        for (step, before) in before.iter().enumerate() {
            if let ([only], true) = (before.as_slice(), step != 0) {
                above[step] = Some(*only);
                below[*only].push(step);
            }
        }
        let mut root: Vec<usize> = (0..before.len()).collect();
        let (mut entered, mut left) = (vec![0; before.len()], vec![0; before.len()]);
        let mut seen = vec![false; before.len()];
        let mut now = 0;
        for top in (0..before.len()).filter(|step| above[*step].is_none()) {
            let mut ahead = vec![(top, false)];
            while let Some((step, done)) = ahead.pop() {
                now += 1;
                if done {
                    left[step] = now;
                    continue;
                }
                seen[step] = true;
                (root[step], entered[step]) = (top, now);
                ahead.push((step, true));
                ahead.extend(below[step].iter().map(|step| (*step, false)));
            }
        }
        // A circle that nothing leads into has no root; its steps are their own.
        for (above, _) in above.iter_mut().zip(&seen).filter(|(_, seen)| !**seen) {
            *above = None;
        }
        Self { above, root, entered, left }
    }

    /// On the way from a step to the root of its tree, the nearest of these, else the root; none where the step is one.
    /// They are sorted by their steps.
    pub(super) fn back(&self, step: usize, producers: &[(usize, usize)]) -> Option<usize> {
        let mut at = self.above[step]?;
        for _ in 0..NEAR {
            match self.above[at] {
                Some(above) if find(producers, at).is_none() => at = above,
                _ => return Some(at),
            }
        }
        let holds = |above: usize| self.entered[above] <= self.entered[at] && self.left[above] >= self.left[at];
        let met = producers.iter().map(|(producer, _)| *producer).filter(|producer| holds(*producer));
        // The one that was entered last is the nearest of those that hold the step.
        Some(met.max_by_key(|producer| self.entered[*producer]).unwrap_or(self.root[at]))
    }
}

/// What a step produces of these, which are sorted by their steps.
pub(super) fn find(producers: &[(usize, usize)], step: usize) -> Option<(usize, usize)> {
    producers.binary_search_by_key(&step, |(producer, _)| *producer).ok().map(|place| producers[place])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// All steps of `producers` that are met first, and whether the first step is reached past them.
    fn met(
        from: usize,
        producers: &[(usize, usize)],
        mut back: impl FnMut(usize) -> Vec<usize>,
    ) -> (BTreeSet<usize>, bool) {
        let (mut seen, mut found, mut open) = (BTreeSet::new(), BTreeSet::new(), false);
        let mut ahead = back(from);
        while let Some(step) = ahead.pop() {
            if !seen.insert(step) {
                continue;
            }
            if find(producers, step).is_some() {
                found.insert(step);
            } else {
                open |= step == 0;
                ahead.extend(back(step));
            }
        }
        (found, open)
    }

    proptest! {
        #[test]
        fn no_producer_is_passed(
            // Mostly lines, so that trees are deep.
            before in prop::collection::vec(prop_oneof![
                8 => Just(None),
                2 => prop::collection::vec(0_usize..80, 0..3).prop_map(Some),
            ], 1..80),
            made in prop::collection::btree_set(0_usize..80, 0..6),
            from in 0_usize..80,
        ) {
            let length = before.len();
            let before: Vec<Vec<usize>> = before
                .into_iter()
                .enumerate()
                .map(|(n, some)| match some {
                    None => n.checked_sub(1).into_iter().collect(),
                    Some(some) => {
                        let some: BTreeSet<_> = some.into_iter().map(|step| step % length).collect();
                        some.into_iter().collect()
                    }
                })
                .collect();
            let producers: Vec<_> = made.into_iter().filter(|step| *step < length).map(|step| (step, 0)).collect();
            let (ways, from) = (Ways::new(&before), from % length);
            let slowly = met(from, &producers, |step| before[step].clone());
            let quickly = met(from, &producers, |step| match ways.back(step, &producers) {
                Some(step) => vec![step],
                None => before[step].clone(),
            });
            prop_assert_eq!(quickly, slowly);
        }
    }
}
