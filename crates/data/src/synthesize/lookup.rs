//! From the values of parent columns to a group, without touching values where codes will do.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use flowrun_core::cast::cast;
use flowrun_core::table::TableError;
use flowrun_core::types::Type;

use super::sampler::{Dictionary, Drawn, NONE, Rows, code};
use crate::batch::{cell_key, key_text};

/// A parent column, and how its values become codes of another domain: the seed's, or a given map's.
pub(super) struct Parent {
    /// The parent's place in the plan.
    pub(super) place: usize,
    /// The parent's name.
    pub(super) name: String,
    domain: Domain,
    /// Our code to the domain's, where the parent is drawn from a dictionary.
    remap: Option<Vec<u32>>,
}

/// The values that a lookup knows.
pub(super) struct Domain {
    codes: HashMap<String, u32>,
    /// The seed's type, whose values are compared as values; without it, keys of a map are compared as text.
    column: Option<Type>,
}

impl Domain {
    /// The values of a seed's column.
    pub(super) fn of_seed(codes: HashMap<String, u32>, column: Type) -> Self {
        Self { codes, column: Some(column) }
    }

    /// The keys of a map, coded by their order.
    pub(super) fn of_keys<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        let mut codes = HashMap::new();
        for key in keys {
            let next = code(codes.len());
            codes.entry(key.to_owned()).or_insert(next);
        }
        Self { codes, column: None }
    }

    /// The code of a value, or [`NONE`].
    fn code(&self, value: &flowrun_core::value::Value) -> u32 {
        let key = match &self.column {
            // A parent of another type than the seed's, such as 1 beside 1.0, means the same value if it becomes one.
            Some(column) => cast(value.clone(), column).map_or_else(|_| cell_key(value), |same| cell_key(&same)),
            None => key_text(value),
        };
        self.codes.get(&key).copied().unwrap_or(NONE)
    }

    /// The code of a key, as it stands.
    pub(super) fn of_key(&self, key: &str) -> u32 {
        self.codes.get(key).copied().unwrap_or(NONE)
    }

    fn len(&self) -> usize {
        self.codes.len()
    }
}

impl Parent {
    /// A parent that is looked up in a domain; `dictionary` is what it draws from, where that is known.
    pub(super) fn new(place: usize, name: &str, dictionary: Option<&Dictionary>, domain: Domain) -> Self {
        let remap = dictionary.map(|d| (0..code(d.len())).map(|own| domain.code(&d.value(own))).collect());
        Self { place, name: name.to_owned(), domain, remap }
    }

    /// The domain's code of each row, in order.
    pub(super) fn codes<'a>(
        &'a self,
        rows: &'a Rows<'a>,
    ) -> Result<Box<dyn Iterator<Item = u32> + 'a>, TableError> {
        let drawn = rows.column(self.place, &self.name)?;
        let offsets = rows.offsets.iter();
        Ok(match (drawn, &self.remap) {
            (Drawn::Coded(codes, _), Some(remap)) => {
                Box::new(offsets.map(move |offset| remap[codes[*offset as usize] as usize]))
            }
            _ => Box::new(offsets.map(move |offset| self.domain.code(&drawn.value(*offset)))),
        })
    }
}

/// Several parents, and the group that each combination of their codes belongs to.
#[derive(Default)]
pub(super) struct Tuples {
    levels: Vec<(Parent, Level)>,
}

/// One step from the group of the parents so far and the next parent's code to a group.
struct Level {
    size: usize,
    known: HashMap<(u32, u32), u32>,
    /// The same as a table, where it is small.
    dense: Vec<u32>,
}

impl Level {
    /// The largest table that a level may be.
    const LARGEST: usize = 1 << 20;

    fn new(domain: usize) -> Self {
        Self { size: domain, known: HashMap::new(), dense: Vec::new() }
    }

    fn intern(&mut self, group: u32, next: u32) -> u32 {
        let fresh = code(self.known.len());
        match self.known.entry((group, next)) {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(place) => *place.insert(fresh),
        }
    }

    fn settle(&mut self, groups: usize) {
        let cells = self.size.saturating_mul(groups);
        if cells <= Self::LARGEST {
            self.dense = vec![NONE; cells];
            for ((group, next), to) in &self.known {
                self.dense[*group as usize * self.size + *next as usize] = *to;
            }
        }
    }

    fn find(&self, group: u32, next: u32) -> u32 {
        if group == NONE || next == NONE {
            return NONE;
        }
        if self.dense.is_empty() {
            return self.known.get(&(group, next)).copied().unwrap_or(NONE);
        }
        self.dense[group as usize * self.size + next as usize]
    }
}

impl Tuples {
    /// Tuples of these parents; none is known yet.
    pub(super) fn new(parents: Vec<Parent>) -> Self {
        let level = |parent: Parent| {
            let size = parent.domain.len();
            (parent, Level::new(size))
        };
        Self { levels: parents.into_iter().map(level).collect() }
    }

    /// The domain's code of a key at a level.
    pub(super) fn code_of_key(&self, level: usize, key: &str) -> u32 {
        self.levels[level].0.domain.of_key(key)
    }

    /// The group of a tuple of codes, a new one where the tuple is new. Groups are numbered from 0 in order.
    pub(super) fn intern(&mut self, codes: &[u32]) -> u32 {
        self.levels.iter_mut().zip(codes).fold(0, |group, ((_, level), next)| level.intern(group, *next))
    }

    /// Ends the interning; makes finding fast.
    pub(super) fn settle(&mut self) {
        let mut groups = 1;
        for (_, level) in &mut self.levels {
            level.settle(groups);
            groups = level.known.len();
        }
    }

    /// The group of each row, [`NONE`] where its tuple is not known.
    pub(super) fn groups(&self, rows: &Rows<'_>) -> Result<Vec<u32>, TableError> {
        let mut groups = vec![0; rows.offsets.len()];
        for (parent, level) in &self.levels {
            for (group, next) in groups.iter_mut().zip(parent.codes(rows)?) {
                *group = level.find(*group, next);
            }
        }
        Ok(groups)
    }

    /// The parents' values at an offset, for a message: ``region `EMEA`, segment `a` ``.
    pub(super) fn describe(&self, rows: &Rows<'_>, offset: u32) -> Result<String, TableError> {
        let mut parts = Vec::new();
        for (parent, _) in &self.levels {
            let value = rows.column(parent.place, &parent.name)?.value(offset);
            parts.push(format!("{} `{}`", parent.name, key_text(&value)));
        }
        Ok(parts.join(", "))
    }
}
