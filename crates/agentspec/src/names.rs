//! Names that a flow can have here, made from those of a document.

use std::collections::{HashMap, HashSet};

use flowrun_core::spec::RESERVED_STEP_NAMES;

/// The names of one kind, each used once.
#[derive(Debug, Default)]
pub(crate) struct Names {
    used: HashSet<String>,
    /// The last number that was put behind a name.
    counts: HashMap<String, usize>,
}

impl Names {
    /// A name of its own for what the document calls `wanted`. Addresses and references are made of names, so that what
    /// they are put together with stands in none.
    pub(crate) fn unique(&mut self, wanted: &str) -> String {
        self.unique_by(wanted, " ")
    }

    /// Likewise; `between` stands before the number of what has a name already.
    pub(crate) fn unique_by(&mut self, wanted: &str, between: &str) -> String {
        let clean: String =
            wanted.trim().chars().map(|c| if c.is_control() || "./#[]{}".contains(c) { '_' } else { c }).collect();
        let clean = match clean.as_str() {
            "" => "unnamed".to_owned(),
            name if RESERVED_STEP_NAMES.contains(&name) => format!("{name}_"),
            _ => clean,
        };
        if self.used.insert(clean.clone()) {
            return clean;
        }
        let count = self.counts.entry(clean.clone()).or_insert(1);
        let mut name = clean.clone();
        while !self.used.insert(name.clone()) {
            *count += 1;
            name = format!("{clean}{between}{count}");
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_can_be_referred_to() {
        let mut names = Names::default();
        let made: Vec<String> =
            ["a", "a", "a.b", "end", "", "None End node"].iter().map(|n| names.unique(n)).collect();
        assert_eq!(made, ["a", "a 2", "a_b", "end_", "unnamed", "None End node"]);
    }
}
