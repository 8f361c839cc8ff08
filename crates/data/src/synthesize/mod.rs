//! Made-up tables: columns drawn by the frequencies of a seed, coherent with each other, or invented.
//!
//! [`Synthesis`] is what a flow says, [`Plan`] what it comes to with a seed and a key, and the plan's table is made
//! batch by batch, again at each scan. Row i of a column depends on the key, the column's name and the seed, never on
//! how many rows are asked for nor on where a scan begins.

mod check;
mod compose;
mod draw;
mod fake;
mod lookup;
mod normal;
mod numbers;
mod plan;
mod resolve;
mod sampler;
mod seed_columns;
mod spec;
mod text;

use flowrun_core::seed::Key;
use flowrun_core::table::{Table, TableError};
use flowrun_core::types::Type;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

pub use check::Problem;
pub use fake::{KINDS, Locale};
pub use plan::Plan;
pub use spec::{
    Categorical, Choice, ColumnSpec, Computed, Constant, Fake, Joint, Mapped, Mapping, Normal, Nulls, Sequence,
    Uniform, Uuid, Weighted, When,
};

use crate::compare::{ComparePlan, How};

/// The columns of a table to make, in the order of the table.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Synthesis {
    columns: IndexMap<String, ColumnSpec>,
}

impl Synthesis {
    /// A synthesis of these columns.
    pub fn new(columns: IndexMap<String, ColumnSpec>) -> Self {
        Self { columns }
    }

    /// The columns, in order.
    pub fn columns(&self) -> &IndexMap<String, ColumnSpec> {
        &self.columns
    }

    /// Whether a column draws from the seed, so that one is needed.
    pub fn needs_seed(&self) -> bool {
        self.columns.values().any(ColumnSpec::needs_seed)
    }

    /// The columns and their types as far as they are known without the seed: `any` where they come from it.
    pub fn static_columns(&self) -> Vec<(String, Type)> {
        self.columns.iter().map(|(name, spec)| (name.clone(), spec.static_type())).collect()
    }

    /// Everything that is wrong whatever the seed: all of it at once, each with its place below `columns:`.
    pub fn problems(&self) -> Vec<Problem> {
        check::problems(&self.columns)
    }

    /// What it comes to with a seed, which is read whole and held in memory, and a key, from which each column draws
    /// by its own name.
    ///
    /// # Errors
    /// `synthesize.config` for what [`Synthesis::problems`] finds, `synthesize.no_seed`, `synthesize.empty_seed`,
    /// `synthesize.no_column` (the seed lacks a column), `synthesize.no_values` (it has nothing but nulls), and what
    /// reading the seed meets.
    pub fn plan(&self, seed: Option<&Table>, key: &Key) -> Result<Plan, TableError> {
        if let Some(problem) = self.problems().into_iter().next() {
            let error = TableError::new("synthesize.config", problem.to_string());
            return Err(match problem.help {
                Some(help) => error.with_help(help),
                None => error,
            });
        }
        Plan::new(&self.columns, seed, key)
    }

    /// The table of this many rows, which is growable. Short for [`Synthesis::plan`] and [`Plan::table`].
    ///
    /// # Errors
    /// As [`Synthesis::plan`] and [`Plan::table`]. A scan ends with `synthesize.no_group` where a row's parents have no
    /// value that goes with them, `synthesize.unique` where no new value is found, `synthesize.expression` and `synthesize.overflow`.
    pub fn table(&self, seed: Option<&Table>, rows: u64, key: &Key) -> Result<Table, TableError> {
        self.plan(seed, key)?.table(rows)
    }

    /// How each column compares with the seed: categories by their shares, joint columns within their groups, mapped
    /// ones by their coherency; what does not come from the seed is left out.
    pub fn compare_plan(&self) -> ComparePlan {
        let how = |(name, spec): (&String, &ColumnSpec)| {
            let how = match spec {
                ColumnSpec::Categorical(_) => How::Categorical,
                ColumnSpec::Mapped(m) => How::Coherent { by: m.by.clone() },
                ColumnSpec::Joint(j) => How::Joint { by: j.by.clone() },
                _ => How::Skip,
            };
            (name.clone(), how)
        };
        ComparePlan { columns: self.columns.iter().map(how).collect() }
    }
}

#[cfg(test)]
mod tests;
