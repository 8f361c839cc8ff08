//! What every kind of column boils down to: rows in, one column out.

use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, UInt32Array};
use arrow_select::take::take;
use flowrun_core::table::{ColumnBuilder, TableError, cell};
use flowrun_core::types::Type;
use flowrun_core::value::Value;

use crate::batch::arrow;

/// A code that stands for nothing.
pub(super) const NONE: u32 = u32::MAX;

/// Makes one column of a batch. The same rows always give the same values, whatever was made before.
pub(super) trait Sampler: Send + Sync {
    /// The column's type.
    fn column(&self) -> &Type;

    /// The values that it draws from, where all of them are known before.
    fn dictionary(&self) -> Option<&Arc<Dictionary>> {
        None
    }

    /// The values of these rows, in their order.
    fn sample(&self, rows: &Rows<'_>) -> Result<Drawn, TableError>;

    /// For how many of these rows the seed had no row that agrees.
    fn fallbacks(&self, rows: &Rows<'_>) -> Result<u64, TableError> {
        let _ = rows;
        Ok(0)
    }
}

impl fmt::Debug for dyn Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sampler({})", self.column())
    }
}

/// Some rows of a batch, and what was made for the whole batch so far.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// The row that offset 0 stands for.
    pub(super) first: u64,
    /// The rows meant, as offsets, ascending.
    pub(super) offsets: &'a [u32],
    /// The columns made so far, by their place in the plan.
    pub(super) columns: &'a [Option<Drawn>],
}

impl Rows<'_> {
    /// The numbers of the rows.
    pub(super) fn numbers(&self) -> impl ExactSizeIterator<Item = u64> {
        self.offsets.iter().map(|offset| self.first + u64::from(*offset))
    }

    /// A column that was made before; dependency order sees to it that it was.
    pub(super) fn column(&self, place: usize, name: &str) -> Result<&Drawn, TableError> {
        self.columns.get(place).and_then(Option::as_ref).ok_or_else(|| {
            TableError::new("synthesize.order", format!("column `{name}` was read before it was made"))
        })
    }
}

/// Values that codes stand for.
#[derive(Debug)]
pub(super) struct Dictionary {
    /// The values, one a code.
    pub(super) values: ArrayRef,
    /// Their type.
    pub(super) column: Type,
}

impl Dictionary {
    /// A dictionary of these values.
    pub(super) fn of_values<'a>(
        column: &Type,
        values: impl IntoIterator<Item = &'a Value>,
    ) -> Result<Arc<Self>, TableError> {
        let mut builder = ColumnBuilder::new(column);
        values.into_iter().try_for_each(|value| builder.push(value))?;
        Ok(Arc::new(Self { values: builder.finish(), column: column.clone() }))
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn value(&self, code: u32) -> Value {
        cell(self.values.as_ref(), code as usize, &self.column)
    }
}

/// A column of a batch.
#[derive(Debug)]
pub(super) enum Drawn {
    /// Codes into a dictionary; becomes an array where it leaves.
    Coded(Vec<u32>, Arc<Dictionary>),
    /// Values, with their type.
    Array(ArrayRef, Type),
}

impl Drawn {
    /// The value at an offset.
    pub(super) fn value(&self, offset: u32) -> Value {
        match self {
            Self::Coded(codes, dictionary) => dictionary.value(codes[offset as usize]),
            Self::Array(array, column) => cell(array.as_ref(), offset as usize, column),
        }
    }

    /// The values as an array.
    pub(super) fn into_array(self) -> Result<ArrayRef, TableError> {
        match self {
            Self::Coded(codes, dictionary) => {
                take(dictionary.values.as_ref(), &UInt32Array::from(codes), None).map_err(|e| arrow(&e))
            }
            Self::Array(array, _) => Ok(array),
        }
    }
}

/// A number of rows or values as a code; a seed of 2^32 rows does not fit a batch.
pub(super) fn code(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(NONE)
}
