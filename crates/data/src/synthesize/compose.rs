//! Columns made of other columns: one way or another, or computed.

use arrow_array::{Array, ArrayRef};
use arrow_select::interleave::interleave;
use flowrun_core::table::{ColumnBuilder, TableError, cell, data_type};
use flowrun_core::template::Expression;
use flowrun_core::types::Type;

use super::lookup::Parent;
use super::sampler::{Drawn, NONE, Rows, Sampler};
use crate::batch::arrow;

/// Made by the branch that the value of another column chooses.
pub(super) struct OneOrAnother {
    pub(super) column: Type,
    pub(super) chooser: Parent,
    /// One for each of the chooser's codes, then the one for all else.
    pub(super) branches: Vec<Box<dyn Sampler>>,
}

/// Rows by branch.
struct Split {
    /// The offsets that each branch makes.
    parts: Vec<Vec<u32>>,
    /// For each row its branch and its place therein.
    places: Vec<(usize, usize)>,
}

impl OneOrAnother {
    fn split(&self, rows: &Rows<'_>) -> Result<Split, TableError> {
        let mut parts = vec![Vec::new(); self.branches.len()];
        let mut places = Vec::with_capacity(rows.offsets.len());
        for (offset, code) in rows.offsets.iter().zip(self.chooser.codes(rows)?) {
            let branch = if code == NONE { self.branches.len() - 1 } else { code as usize };
            places.push((branch, parts[branch].len()));
            parts[branch].push(*offset);
        }
        Ok(Split { parts, places })
    }

    /// The array as one of the whole column's type.
    fn convert(&self, array: ArrayRef, from: &Type) -> Result<ArrayRef, TableError> {
        if data_type(from.without_null()) == data_type(self.column.without_null()) {
            return Ok(array);
        }
        let mut builder = ColumnBuilder::new(&self.column);
        (0..array.len()).try_for_each(|row| builder.push(&cell(array.as_ref(), row, from)))?;
        Ok(builder.finish())
    }
}

impl Sampler for OneOrAnother {
    fn column(&self) -> &Type {
        &self.column
    }

    fn sample(&self, rows: &Rows<'_>) -> Result<Drawn, TableError> {
        let Split { parts, places } = self.split(rows)?;
        let mut arrays = Vec::with_capacity(parts.len());
        for (branch, offsets) in self.branches.iter().zip(&parts) {
            let array = branch.sample(&Rows { offsets, ..*rows })?.into_array()?;
            arrays.push(self.convert(array, branch.column())?);
        }
        let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        let joined = interleave(&arrays, &places).map_err(|e| arrow(&e))?;
        Ok(Drawn::Array(joined, self.column.clone()))
    }

    fn fallbacks(&self, rows: &Rows<'_>) -> Result<u64, TableError> {
        let parts = self.split(rows)?.parts;
        self.branches
            .iter()
            .zip(&parts)
            .try_fold(0, |sum, (branch, offsets)| Ok(sum + branch.fallbacks(&Rows { offsets, ..*rows })?))
    }
}

/// Computed from other columns of the row.
pub(super) struct ComputedColumn {
    pub(super) name: String,
    pub(super) column: Type,
    pub(super) expression: Expression,
    /// The columns that it reads: their names and places.
    pub(super) reads: Vec<(String, usize)>,
}

impl Sampler for ComputedColumn {
    fn column(&self) -> &Type {
        &self.column
    }

    fn sample(&self, rows: &Rows<'_>) -> Result<Drawn, TableError> {
        let mut columns = Vec::with_capacity(self.reads.len());
        for (name, place) in &self.reads {
            columns.push((name.as_str(), rows.column(*place, name)?));
        }
        let mut builder = ColumnBuilder::new(&self.column);
        for (row, offset) in rows.numbers().zip(rows.offsets) {
            let get = |name: &str| columns.iter().find(|(n, _)| *n == name).map(|(_, c)| c.value(*offset));
            let failed = |why: String| {
                let message = format!("column `{}`, row {row}: {why}", self.name);
                TableError::new("synthesize.expression", message)
            };
            let value = self.expression.eval(get).map_err(|e| failed(e.to_string()))?;
            builder.push(&value).map_err(|e| failed(e.message))?;
        }
        Ok(Drawn::Array(builder.finish(), self.column.clone()))
    }
}
