//! A synthesis that knows its seed, and the table that it makes.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use flowrun_core::seed::Key;
use flowrun_core::table::{BATCH_ROWS, Batches, MemoryTable, Table, TableError, TableSource, field};
use indexmap::IndexMap;

use super::check::{order, reads};
use super::resolve::Resolver;
use super::sampler::{Drawn, Rows, Sampler, code};
use super::seed_columns::Seed;
use super::spec::ColumnSpec;
use crate::batch::{arrow, index};

/// Tables of no more rows are held: a run reads its table several times, and invented names cost more than all the rest.
const FEW: u64 = 4 * BATCH_ROWS as u64;

/// What a synthesis comes to with a seed and a key.
#[derive(Clone)]
pub struct Plan(Arc<Recipe>);

struct Recipe {
    schema: SchemaRef,
    samplers: Vec<Box<dyn Sampler>>,
    /// The columns' places in dependency order.
    order: Vec<usize>,
    /// Of the columns that may fall back: their places, and what has to be made before them.
    may_fall_back: Vec<(usize, Vec<usize>)>,
}

impl Plan {
    pub(super) fn new(
        columns: &IndexMap<String, ColumnSpec>,
        seed: Option<&Table>,
        key: &Key,
    ) -> Result<Self, TableError> {
        let needs_seed = columns.values().any(ColumnSpec::needs_seed);
        let seed = seed.filter(|_| needs_seed).map(Seed::read).transpose()?;
        let order = order(columns).map_err(|cycle| {
            TableError::new("synthesize.config", format!("columns wait for each other: {}", cycle.join(", ")))
        })?;
        let made = columns.iter().map(|_| None).collect();
        let mut resolver = Resolver { columns, seed: seed.as_ref(), made };
        for place in &order {
            if let Some((name, spec)) = columns.get_index(*place) {
                resolver.made[*place] = Some(resolver.sampler(name, spec, key.column(name))?);
            }
        }
        let samplers: Vec<_> = resolver.made.into_iter().flatten().collect();
        let fields: Vec<_> = columns.keys().zip(&samplers).map(|(name, s)| field(name, s.column())).collect();
        let may_fall_back = columns.values().enumerate().filter(|(_, spec)| is_joint(spec));
        let may_fall_back = may_fall_back.map(|(place, _)| (place, ancestors(columns, &order, place))).collect();
        let schema = Arc::new(Schema::new(fields));
        Ok(Self(Arc::new(Recipe { schema, samplers, order, may_fall_back })))
    }

    /// The table of this many rows, which is growable. Few rows are made now, once, and held; many are made anew at each scan,
    /// and nothing of them is kept but the values of `unique` columns.
    ///
    /// # Errors
    /// Where the rows are few, as a scan of them.
    pub fn table(&self, rows: u64) -> Result<Table, TableError> {
        let mut source = Synthesized { recipe: Arc::clone(&self.0), rows, held: None };
        if rows <= FEW {
            let batches = source.scan(0..rows)?.collect::<Result<Vec<_>, _>>()?;
            source.held = Some(MemoryTable::new(source.schema(), batches));
        }
        Ok(Table::new(source))
    }

    /// For how many of the first `rows` rows each joint column found no row of the seed that agrees, and drew from the
    /// whole column instead. Columns without any are left out. It makes the columns that decide it once more, and says
    /// the same whether the table was scanned or not.
    ///
    /// # Errors
    /// As a scan of those columns.
    pub fn fallbacks(&self, rows: u64) -> Result<IndexMap<String, u64>, TableError> {
        let mut counts = IndexMap::new();
        for (place, before) in &self.0.may_fall_back {
            let mut count = 0;
            for range in ranges(0..rows) {
                let offsets = offsets(&range);
                let columns = self.0.make(range.start, &offsets, before)?;
                let rows = Rows { first: range.start, offsets: &offsets, columns: &columns };
                count += self.0.samplers[*place].fallbacks(&rows)?;
            }
            if count > 0 {
                counts.insert(self.0.schema.field(*place).name().clone(), count);
            }
        }
        Ok(counts)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("columns", &self.samplers).field("order", &self.order).finish_non_exhaustive()
    }
}

impl Recipe {
    /// The columns at `places`, which are in dependency order; the others stay empty.
    fn make(&self, first: u64, offsets: &[u32], places: &[usize]) -> Result<Vec<Option<Drawn>>, TableError> {
        let mut columns: Vec<Option<Drawn>> = self.samplers.iter().map(|_| None).collect();
        for place in places {
            let drawn = self.samplers[*place].sample(&Rows { first, offsets, columns: &columns })?;
            columns[*place] = Some(drawn);
        }
        Ok(columns)
    }

    fn batch(&self, range: &Range<u64>) -> Result<RecordBatch, TableError> {
        let columns = self.make(range.start, &offsets(range), &self.order)?;
        let arrays = columns.into_iter().flatten().map(Drawn::into_array).collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(Arc::clone(&self.schema), arrays).map_err(|e| arrow(&e))
    }
}

#[derive(Debug)]
struct Synthesized {
    recipe: Arc<Recipe>,
    rows: u64,
    /// The first rows, where they were made already.
    held: Option<MemoryTable>,
}

impl TableSource for Synthesized {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.recipe.schema)
    }

    fn len(&self) -> Option<u64> {
        Some(self.rows)
    }

    fn scan(&self, rows: Range<u64>) -> Result<Batches, TableError> {
        let recipe = Arc::clone(&self.recipe);
        let held = self.held.as_ref().and_then(MemoryTable::len).unwrap_or(0);
        let further = ranges(rows.start.max(held)..rows.end).map(move |range| recipe.batch(&range));
        match &self.held {
            Some(made) => Ok(Box::new(made.scan(rows.start..rows.end.min(held))?.chain(further))),
            None => Ok(Box::new(further)),
        }
    }

    fn growable(&self) -> bool {
        true
    }

    fn seeks(&self) -> bool {
        true
    }
}

/// A range of rows in pieces of a batch.
fn ranges(rows: Range<u64>) -> impl Iterator<Item = Range<u64>> + Send {
    let mut next = rows.start;
    std::iter::from_fn(move || {
        let start = next;
        next = rows.end.min(start.saturating_add(BATCH_ROWS as u64));
        (start < rows.end).then_some(start..next)
    })
}

fn offsets(range: &Range<u64>) -> Vec<u32> {
    (0..code(index(range.end - range.start))).collect()
}

fn is_joint(spec: &ColumnSpec) -> bool {
    match spec {
        ColumnSpec::Joint(_) => true,
        ColumnSpec::When(w) => w.is.values().chain(w.otherwise.as_deref()).any(is_joint),
        _ => false,
    }
}

/// The places of all columns that the one at `place` reads, those that they read, and so on, in dependency order.
fn ancestors(columns: &IndexMap<String, ColumnSpec>, order: &[usize], place: usize) -> Vec<usize> {
    let mut wanted = vec![false; columns.len()];
    let mut open = vec![place];
    while let Some(next) = open.pop() {
        let spec = columns.get_index(next).map(|(_, spec)| spec);
        for (_, name) in spec.map(reads).unwrap_or_default() {
            if let Some(read) = columns.get_index_of(&name)
                && !std::mem::replace(&mut wanted[read], true)
            {
                open.push(read);
            }
        }
    }
    order.iter().copied().filter(|p| wanted[*p]).collect()
}
