//! The seed in memory, its columns as codes.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_select::concat::concat_batches;
use arrow_select::take::take;
use flowrun_core::table::{Table, TableError, cell, is_hidden, type_of};
use flowrun_core::types::Type;

use super::sampler::{Dictionary, NONE, code};
use crate::batch::{arrow, cell_key};
use crate::nearest::suggest;

/// The whole seed, in memory.
pub(super) struct Seed {
    rows: RecordBatch,
    coded: RefCell<HashMap<String, Arc<Coded>>>,
}

/// A column of the seed as codes.
pub(super) struct Coded {
    /// The distinct values, in the order of their first row.
    pub(super) dictionary: Arc<Dictionary>,
    /// The code of each row.
    pub(super) codes: Vec<u32>,
    /// The code of each value, by its key.
    pub(super) by_key: HashMap<String, u32>,
    /// The code of null, or [`NONE`].
    pub(super) null: u32,
}

impl Seed {
    /// Reads the whole seed.
    pub(super) fn read(table: &Table) -> Result<Self, TableError> {
        let batches = table.scan_all()?.collect::<Result<Vec<_>, _>>()?;
        let rows = concat_batches(&table.schema(), &batches).map_err(|e| arrow(&e))?;
        if rows.num_rows() == 0 {
            return Err(TableError::new("synthesize.empty_seed", "the seed table has no rows to draw from"));
        }
        if rows.num_rows() >= NONE as usize {
            return Err(TableError::new("synthesize.large_seed", "the seed table has more than 4 billion rows")
                .with_help("draw a sample of it first"));
        }
        Ok(Self { rows, coded: RefCell::default() })
    }

    /// A column's values and type.
    pub(super) fn column(&self, name: &str, wanted_by: &str) -> Result<(&ArrayRef, Type), TableError> {
        let schema = self.rows.schema_ref();
        let visible = || schema.fields().iter().enumerate().filter(|(_, f)| !is_hidden(f));
        if let Some((place, field)) = visible().find(|(_, f)| f.name() == name) {
            return Ok((self.rows.column(place), type_of(field)));
        }
        let message = format!("the seed table has no column `{name}`, which column `{wanted_by}` draws from");
        let names: Vec<&str> = visible().map(|(_, f)| f.name().as_str()).collect();
        Err(TableError::new("synthesize.no_column", message).with_help(suggest(name, names)))
    }

    /// A column as codes, made once.
    pub(super) fn coded(&self, name: &str, wanted_by: &str) -> Result<Arc<Coded>, TableError> {
        if let Some(coded) = self.coded.borrow().get(name) {
            return Ok(Arc::clone(coded));
        }
        let (values, column) = self.column(name, wanted_by)?;
        let coded = Arc::new(Coded::new(values, column)?);
        self.coded.borrow_mut().insert(name.to_owned(), Arc::clone(&coded));
        Ok(coded)
    }
}

impl Coded {
    fn new(values: &ArrayRef, column: Type) -> Result<Self, TableError> {
        let mut by_key = HashMap::new();
        let mut firsts = Vec::new();
        let mut codes = Vec::with_capacity(values.len());
        let mut null = NONE;
        for row in 0..values.len() {
            let value = cell(values.as_ref(), row, &column);
            let next = code(firsts.len());
            let found = *by_key.entry(cell_key(&value)).or_insert(next);
            if found == next {
                firsts.push(code(row));
                if value.is_null() {
                    null = next;
                }
            }
            codes.push(found);
        }
        let distinct = take(values.as_ref(), &UInt32Array::from(firsts), None).map_err(|e| arrow(&e))?;
        Ok(Self { dictionary: Arc::new(Dictionary { values: distinct, column }), codes, by_key, null })
    }
}
