//! When a map ends before its source does: too many of its items fail, or enough of them are accepted.
//!
//! Both are settled in the order of the items, so that what comes of them depends on the items alone, not on which of
//! them was done first. What can be known sooner only stops the taking of further items.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::error::StepError;

/// Ends a map whose items fail one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopAfter {
    /// So many failed items end it.
    pub errors: u64,
    /// Among so many items in a row; among all where nothing is said.
    pub of_last: Option<u64>,
}

/// Items are taken until so many are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// How many.
    pub accepted: u64,
    /// Items that may run beyond those that are missing if all of them are accepted. With 0 no item ever runs in vain.
    pub ahead: u64,
}

/// The code of a map that [`StopAfter`] ended.
const TOO_MANY: &str = "map.too_many_errors";

/// Watches the failures of a map.
pub(super) struct Breaker {
    limit: StopAfter,
    /// Failed items, whether it was their turn or not, as far back as still matters.
    failed: BTreeSet<u64>,
    /// The last failures among the items whose turn has come.
    recent: VecDeque<Failed>,
}

struct Failed {
    index: u64,
    code: String,
    told: String,
}

impl Breaker {
    pub(super) fn new(limit: StopAfter) -> Self {
        Self { limit, failed: BTreeSet::new(), recent: VecDeque::new() }
    }

    fn wanted(&self) -> usize {
        usize::try_from(self.limit.errors.max(1)).unwrap_or(usize::MAX)
    }

    /// Whether failures that lie from `first` to `last` count together.
    fn together(&self, first: u64, last: u64) -> bool {
        self.limit.of_last.is_none_or(|among| last - first < among)
    }

    /// An item failed, whose turn may be far. Says whether it is certain by now that the map ends, whatever the items
    /// before it come to.
    pub(super) fn failed(&mut self, index: u64) -> bool {
        self.failed.insert(index);
        let wanted = self.wanted();
        if self.limit.of_last.is_none() {
            return self.failed.len() >= wanted;
        }
        let mut near: Vec<u64> = self.failed.range(..index).rev().take(wanted - 1).copied().collect();
        near.reverse();
        near.extend(self.failed.range(index..).take(wanted));
        near.windows(wanted).any(|run| self.together(run[0], run[wanted - 1]))
    }

    /// The turn of a failed item has come. Gives the error that ends the map, if this one is too much.
    pub(super) fn in_turn(&mut self, index: u64, error: &StepError) -> Option<StepError> {
        let at = error.at.as_ref().map_or_else(|| format!("item {index}"), ToString::to_string);
        self.recent.push_back(Failed { index, code: error.code.to_string(), told: format!("{at}: {error}") });
        let wanted = self.wanted();
        if self.recent.len() > wanted {
            self.recent.pop_front();
        }
        if let Some(among) = self.limit.of_last {
            self.failed = self.failed.split_off(&(index + 1).saturating_sub(among));
        }
        let first = self.recent.front()?.index;
        (self.recent.len() >= wanted && self.together(first, index)).then(|| self.error())
    }

    /// What they have in common comes first: a run that fails the same way over and over has one cause.
    fn error(&self) -> StepError {
        let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
        for failed in &self.recent {
            *codes.entry(&failed.code).or_default() += 1;
        }
        let all = self.recent.len() as u64;
        let most = codes.values().max().copied().unwrap_or(0);
        let cause = self.recent.iter().find(|failed| codes[&*failed.code] == most);
        let (code, told) = cause.map_or(("", ""), |failed| (&failed.code, &failed.told));
        let among = self.limit.of_last.map(|among| format!(" of {among} in a row")).unwrap_or_default();
        let with = if most == all { "all".to_owned() } else { format!("{most} of them") };
        StepError::new(TOO_MANY, format!("{all} items{among} failed, {with} with `{code}`"))
            .detail("first", told)
            .help("mend the cause; `flowrun retry` then runs the items that failed once more")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The item at which the map ends, and after how many arrivals that was certain, when items arrive in this order.
    fn ends(limit: StopAfter, fails: &[bool], order: &[usize]) -> (Option<u64>, Option<usize>) {
        let mut breaker = Breaker::new(limit);
        let mut certain = None;
        for (n, item) in order.iter().enumerate() {
            if fails[*item] && breaker.failed(*item as u64) {
                certain.get_or_insert(n);
            }
        }
        let error = StepError::new("a.b", "no");
        let mut turns = (0_u64..).zip(fails).filter(|(_, failed)| **failed);
        (turns.find(|(index, _)| breaker.in_turn(*index, &error).is_some()).map(|(index, _)| index), certain)
    }

    /// The same, by counting.
    fn counted(limit: StopAfter, fails: &[bool]) -> Option<u64> {
        let among = usize::try_from(limit.of_last.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let failures = |end: usize| fails[(end + 1).saturating_sub(among)..=end].iter().filter(|f| **f).count();
        (0..fails.len()).find(|end| failures(*end) as u64 >= limit.errors).map(|end| end as u64)
    }

    proptest! {
        #[test]
        fn it_ends_at_the_item_that_is_too_much_whatever_the_order(
            fails in prop::collection::vec(prop::bool::weighted(0.3), 1..60),
            errors in 1_u64..6, of_last in prop::option::of(1_u64..20), seed in any::<u64>(),
        ) {
            let limit = StopAfter { errors, of_last };
            let mut order: Vec<usize> = (0..fails.len()).collect();
            order.sort_by_key(|item| blake3::hash(&[seed.to_le_bytes(), (*item as u64).to_le_bytes()].concat()).to_hex());
            let (end, certain) = ends(limit, &fails, &order);
            prop_assert_eq!(end, counted(limit, &fails));
            // It is never said to be certain where it does not come.
            prop_assert_eq!(certain.is_some(), end.is_some());
        }
    }

    #[test]
    fn what_most_failures_have_in_common_is_told() {
        let mut breaker = Breaker::new(StopAfter { errors: 3, of_last: Some(100) });
        assert!(breaker.in_turn(1, &StepError::new("a.b", "once")).is_none());
        assert!(breaker.in_turn(4, &StepError::new("c.d", "again")).is_none());
        let error = breaker.in_turn(5, &StepError::new("c.d", "and again")).unwrap();
        assert_eq!(error.message, "3 items of 100 in a row failed, 2 of them with `c.d`");
        assert_eq!(error.details[0].1, "item 4: again");
    }
}
