//! How much a made-up table resembles its seed.
//!
//! The seed is held in memory; of the result, the numeric columns and the counts of values are. Scores run from 0 to
//! 1. A score that cannot be computed is absent and has a reason; it is never a NaN.

mod collect;
mod metrics;
mod report;
mod score;

use flowrun_core::table::{Table, TableError};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use metrics::{five_numbers, ks_complement, tv_complement};

/// How each column is compared; what is not named goes by its type: text and booleans as categories, numbers, dates,
/// timestamps and durations as numbers, everything else not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ComparePlan {
    /// By the column's name.
    pub columns: IndexMap<String, How>,
}

/// How a column is compared.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(tag = "as", rename_all = "snake_case", deny_unknown_fields)]
pub enum How {
    /// By the shares of its values: [`tv_complement`].
    Categorical,
    /// By its distribution: [`ks_complement`].
    Numeric,
    /// By its distribution within the rows that agree in other columns: the mean of [`ks_complement`] over these
    /// groups, weighted by the rows of the result. Rows whose group the seed lacks, or has no number in, take no part
    /// in the mean and are counted apart.
    Joint {
        /// The other columns.
        by: Vec<String>,
    },
    /// By the share of its rows whose value goes together with those of other columns as some row of the seed has it.
    Coherent {
        /// The other columns.
        by: Vec<String>,
    },
    /// Not.
    Skip,
}

/// A comparison of two tables.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Rows of the seed.
    pub seed_rows: u64,
    /// Rows of the result.
    pub rows: u64,
    /// The columns, in the order of the result.
    pub columns: Vec<ColumnComparison>,
    /// Rows that are coherent in every column that was compared so; absent where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coherent: Option<Coherent>,
}

/// How many rows are coherent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Coherent {
    /// The coherent ones.
    pub rows: u64,
    /// All of them.
    pub of: u64,
}

/// One column beside the seed's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnComparison {
    /// Its name.
    pub column: String,
    /// Its score, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was compared, by the way it was.
    pub details: Details,
}

/// What was compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Details {
    /// Values and how often they stand on each side.
    Categorical {
        /// The most frequent ones, by the seed's count, then the result's, then the text.
        values: Vec<Share>,
        /// All others together, where there are any.
        #[serde(skip_serializing_if = "Option::is_none")]
        other: Option<Share>,
        /// Nulls, which the score leaves out.
        nulls: Sides<u64>,
    },
    /// Minimum, quartiles and maximum on each side; dates are days, timestamps and durations microseconds.
    Numeric {
        /// Absent where a side has no number.
        five_numbers: Sides<Option<[f64; 5]>>,
        /// Nulls, which the score leaves out.
        nulls: Sides<u64>,
    },
    /// The groups of rows that agree in other columns.
    Joint {
        /// The other columns.
        by: Vec<String>,
        /// The groups of the result that the seed has too, in the order of the seed.
        groups: Vec<Group>,
        /// Rows of the result whose group has no number in the seed: they take no part in the score.
        rows_without_seed: u64,
    },
    /// Coherent rows.
    Coherent {
        /// The other columns.
        by: Vec<String>,
        /// How many rows.
        coherent: Coherent,
        /// Some of the combinations that the seed lacks, in the order of their first row, as text.
        examples: Vec<String>,
    },
    /// Nothing was: the reason says why.
    Skipped,
}

/// A value and how often it stands on each side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Share {
    /// The value as text; `other` for all that are not listed.
    pub value: String,
    /// How often it stands.
    pub counts: Sides<u64>,
    /// Its share of all values that are not null.
    pub shares: Sides<f64>,
}

/// A group of rows that agree in other columns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// The values that they agree in, as text.
    pub values: Vec<String>,
    /// The rows that have a number, on each side.
    pub rows: Sides<u64>,
    /// [`ks_complement`] within the group.
    pub score: f64,
}

/// Something on both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sides<T> {
    /// In the seed.
    pub seed: T,
    /// In the result.
    pub result: T,
}

/// Compares a result with its seed. Both are read once, whole; columns that the plan skips are listed without a score.
///
/// # Errors
/// `compare.no_column` when the plan names a column that a table lacks, `compare.not_numeric` when one that is to be
/// compared as numbers has none, and what reading the tables meets.
pub fn compare(seed: &Table, result: &Table, plan: &ComparePlan) -> Result<Comparison, TableError> {
    score::compare(seed, result, plan)
}

#[cfg(test)]
mod tests;
