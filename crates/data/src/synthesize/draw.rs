//! Drawing from known values: whole columns, weights, and groups.

use std::sync::Arc;

use flowrun_core::seed::Key;
use flowrun_core::table::TableError;
use flowrun_core::types::Type;

use super::lookup::Tuples;
use super::sampler::{Dictionary, Drawn, NONE, Rows, Sampler};

/// One of some codes, each with the same chance; a single one takes no draw.
pub(super) struct Pick {
    pub(super) key: Key,
    pub(super) dictionary: Arc<Dictionary>,
    /// Never empty.
    pub(super) items: Vec<u32>,
}

impl Sampler for Pick {
    fn column(&self) -> &Type {
        &self.dictionary.column
    }

    fn dictionary(&self) -> Option<&Arc<Dictionary>> {
        Some(&self.dictionary)
    }

    fn sample(&self, rows: &Rows<'_>) -> Result<Drawn, TableError> {
        let codes = match self.items.as_slice() {
            [only] => vec![*only; rows.offsets.len()],
            items => {
                let mut draws = self.key.draws();
                rows.numbers().map(|row| items[below(&mut draws, row, items.len())]).collect()
            }
        };
        Ok(Drawn::Coded(codes, Arc::clone(&self.dictionary)))
    }
}

/// One of the dictionary's values by weight: the inverse of the distribution function.
pub(super) struct PickWeighted {
    pub(super) key: Key,
    pub(super) dictionary: Arc<Dictionary>,
    /// The sums of the weights up to each code, ascending; the last one is positive.
    pub(super) sums: Vec<f64>,
}

impl Sampler for PickWeighted {
    fn column(&self) -> &Type {
        &self.dictionary.column
    }

    fn dictionary(&self) -> Option<&Arc<Dictionary>> {
        Some(&self.dictionary)
    }

    fn sample(&self, rows: &Rows<'_>) -> Result<Drawn, TableError> {
        let mut draws = self.key.draws();
        let total = self.sums.last().copied().unwrap_or_default();
        // Rounding may reach the total itself; then the last value that has a weight is meant.
        let last = self.sums.partition_point(|sum| *sum < total);
        let codes = rows.numbers().map(|row| {
            let point = draws.unit(row) * total;
            super::sampler::code(self.sums.partition_point(|sum| *sum <= point).min(last))
        });
        Ok(Drawn::Coded(codes.collect(), Arc::clone(&self.dictionary)))
    }
}

/// One of the codes of the row's group, each with the same chance.
pub(super) struct PickGrouped {
    pub(super) key: Key,
    pub(super) name: String,
    pub(super) tuples: Tuples,
    pub(super) groups: Groups,
    pub(super) dictionary: Arc<Dictionary>,
    /// What a row without a group draws from; where there is nothing, it is an error.
    pub(super) otherwise: Option<Vec<u32>>,
}

/// Lists of codes, one after the other in one vector.
pub(super) struct Groups {
    starts: Vec<usize>,
    items: Vec<u32>,
}

impl Groups {
    /// The lists, each in the order of its pushes.
    pub(super) fn new(lists: Vec<Vec<u32>>) -> Self {
        let mut starts = vec![0];
        let mut items = Vec::new();
        for list in lists {
            items.extend(list);
            starts.push(items.len());
        }
        Self { starts, items }
    }

    /// The list of a group; empty for a group that is not known.
    pub(super) fn of(&self, group: u32) -> &[u32] {
        if group == NONE {
            return &[];
        }
        let group = group as usize;
        &self.items[self.starts[group]..self.starts[group + 1]]
    }
}

impl PickGrouped {
    fn refuse(&self, rows: &Rows<'_>, position: usize) -> Result<TableError, TableError> {
        let offset = rows.offsets[position];
        let tuple = self.tuples.describe(rows, offset)?;
        let row = rows.first + u64::from(offset);
        let message = format!("column `{}`, row {row}: there is no value that goes with {tuple}", self.name);
        Ok(TableError::new("synthesize.no_group", message)
            .with_help("add rows with these values to the seed, or list them under `values:`"))
    }
}

impl Sampler for PickGrouped {
    fn column(&self) -> &Type {
        &self.dictionary.column
    }

    fn dictionary(&self) -> Option<&Arc<Dictionary>> {
        Some(&self.dictionary)
    }

    fn sample(&self, rows: &Rows<'_>) -> Result<Drawn, TableError> {
        let mut draws = self.key.draws();
        let mut codes = Vec::with_capacity(rows.offsets.len());
        for (position, (row, group)) in rows.numbers().zip(self.tuples.groups(rows)?).enumerate() {
            let items = match (self.groups.of(group), &self.otherwise) {
                ([], Some(all)) => all,
                ([], None) => return Err(self.refuse(rows, position)?),
                (items, _) => items,
            };
            codes.push(items[below(&mut draws, row, items.len())]);
        }
        Ok(Drawn::Coded(codes, Arc::clone(&self.dictionary)))
    }

    fn fallbacks(&self, rows: &Rows<'_>) -> Result<u64, TableError> {
        let groups = self.tuples.groups(rows)?;
        Ok(groups.into_iter().filter(|group| self.groups.of(*group).is_empty()).count() as u64)
    }
}

/// An index below `n`, which is not 0.
fn below(draws: &mut flowrun_core::seed::Draws, row: u64, n: usize) -> usize {
    crate::batch::index(draws.below(row, n as u64))
}
