//! Rows picked at random.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use arrow_select::interleave::interleave_record_batch;
use flowrun_core::seed::Key;
use flowrun_core::table::{BATCH_ROWS, Batches, Table, TableError, TableSource, is_hidden};

use crate::batch::{arrow, index};

/// `n` rows of a table, picked at random, each from its own draw; the columns are those that people see.
///
/// With `replace` every row is picked from all rows, and the table is growable. Without it no row is picked twice: a
/// Fisher–Yates shuffle of which only the touched places are kept (Durstenfeld, algorithm 235, 1964). Either way row i
/// never depends on `n`. The table that is picked from is read once, here, and held in memory.
///
/// # Errors
/// `sample_rows.empty` when there is nothing to pick from, `sample_rows.too_many` when more rows are asked for than
/// there are, without replacement, and what reading the table meets.
pub fn sample_rows(table: &Table, n: u64, replace: bool, key: &Key) -> Result<Table, TableError> {
    let pool = Pool::read(table)?;
    if pool.rows == 0 {
        return Err(TableError::new("sample_rows.empty", "the table to sample from has no rows"));
    }
    let picks = if replace {
        Picks::Drawn { key: key.clone(), rows: n }
    } else {
        if n > pool.rows {
            let message = format!("{n} rows were asked for, and the table has {}", pool.rows);
            return Err(TableError::new("sample_rows.too_many", message)
                .with_help("ask for fewer, or say `replace: true`, which may pick a row twice"));
        }
        Picks::Settled(shuffled(pool.rows, n, key).into())
    };
    Ok(Table::new(Sampled { pool: Arc::new(pool), picks }))
}

/// The first `n` rows of a shuffle of `total` rows.
fn shuffled(total: u64, n: u64, key: &Key) -> Vec<u64> {
    let mut draws = key.draws();
    // What stands at a place that was swapped; every other place holds itself. Only looked up, never walked.
    let mut moved: HashMap<u64, u64> = HashMap::new();
    let pick = |row| {
        let other = row + draws.below(row, total - row);
        let here = moved.remove(&row).unwrap_or(row);
        if other == row { here } else { moved.insert(other, here).unwrap_or(other) }
    };
    (0..n).map(pick).collect()
}

/// Rows in memory, to be picked from.
#[derive(Debug)]
struct Pool {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    /// The row after the last of each batch.
    ends: Vec<u64>,
    rows: u64,
}

impl Pool {
    fn read(table: &Table) -> Result<Self, TableError> {
        let full = table.schema();
        let visible: Vec<usize> = (0..full.fields().len()).filter(|i| !is_hidden(full.field(*i))).collect();
        let schema: Schema = full.project(&visible).map_err(|e| arrow(&e))?;
        let (mut batches, mut ends, mut rows) = (Vec::new(), Vec::new(), 0);
        for batch in table.scan_all()? {
            let batch = batch?.project(&visible).map_err(|e| arrow(&e))?;
            rows += batch.num_rows() as u64;
            ends.push(rows);
            batches.push(batch);
        }
        Ok(Self { schema: Arc::new(schema), batches, ends, rows })
    }

    /// The batch of a row and its place therein.
    fn place(&self, row: u64) -> (usize, usize) {
        let batch = self.ends.partition_point(|end| *end <= row);
        let start = if batch == 0 { 0 } else { self.ends[batch - 1] };
        (batch, index(row - start))
    }

    fn pick(&self, rows: impl Iterator<Item = u64>) -> Result<RecordBatch, TableError> {
        let places: Vec<_> = rows.map(|row| self.place(row)).collect();
        let batches: Vec<_> = self.batches.iter().collect();
        interleave_record_batch(&batches, &places).map_err(|e| arrow(&e))
    }
}

#[derive(Clone)]
enum Picks {
    /// Any row, again and again.
    Drawn { key: Key, rows: u64 },
    /// These rows.
    Settled(Arc<[u64]>),
}

struct Sampled {
    pool: Arc<Pool>,
    picks: Picks,
}

impl fmt::Debug for Sampled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampled").field("from", &self.pool.rows).field("rows", &self.len()).finish_non_exhaustive()
    }
}

impl TableSource for Sampled {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.pool.schema)
    }

    fn len(&self) -> Option<u64> {
        Some(match &self.picks {
            Picks::Drawn { rows, .. } => *rows,
            Picks::Settled(rows) => rows.len() as u64,
        })
    }

    fn scan(&self, rows: Range<u64>) -> Result<Batches, TableError> {
        let (pool, picks) = (Arc::clone(&self.pool), self.picks.clone());
        let end = match &picks {
            Picks::Drawn { .. } => rows.end,
            Picks::Settled(settled) => rows.end.min(settled.len() as u64),
        };
        let mut next = rows.start;
        Ok(Box::new(std::iter::from_fn(move || {
            let start = next;
            next = end.min(start.saturating_add(BATCH_ROWS as u64));
            (start < end).then(|| match &picks {
                Picks::Drawn { key, .. } => {
                    let mut draws = key.draws();
                    pool.pick((start..next).map(|row| draws.below(row, pool.rows)))
                }
                Picks::Settled(settled) => pool.pick(settled[index(start)..index(next)].iter().copied()),
            })
        })))
    }

    fn growable(&self) -> bool {
        matches!(self.picks, Picks::Drawn { .. })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use flowrun_core::table::MemoryTable;
    use flowrun_core::types::Type;
    use flowrun_core::value::Value;

    use super::*;

    fn numbers(n: i64) -> Table {
        let columns = [("n".to_owned(), Type::integer())];
        Table::new(MemoryTable::from_rows(&columns, (0..n).map(|i| vec![Value::Int(i)])).unwrap())
    }

    fn read(table: &Table, rows: Range<u64>) -> Vec<i64> {
        table.objects(rows).unwrap().map(|o| o.unwrap().values()[0].as_i64().unwrap()).collect()
    }

    #[test]
    fn a_row_depends_neither_on_the_count_nor_on_the_scan() {
        let (source, key) = (numbers(10_000), Key::new(1, "examples", ""));
        for replace in [true, false] {
            let few = sample_rows(&source, 100, replace, &key).unwrap();
            let many = sample_rows(&source, 9_000, replace, &key).unwrap();
            let all = read(&many, 0..9_000);
            assert_eq!(read(&few, 0..100), all[..100]);
            assert_eq!(read(&many, 4_000..4_200), all[4_000..4_200]);
            assert_eq!(many.growable(), replace);
        }
        let grown = sample_rows(&source, 5, true, &key).unwrap();
        assert_eq!(read(&grown, 0..50).len(), 50);
    }

    #[test]
    fn without_replacement_every_row_comes_once_and_anywhere() {
        let source = numbers(1_000);
        let table = sample_rows(&source, 1_000, false, &Key::new(2, "s", "")).unwrap();
        let rows = read(&table, 0..1_000);
        assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), 1_000);
        // The place of row 0 over many keys spreads over the whole table.
        let mean = (0..200).map(|s| shuffled(1_000, 1, &Key::new(s, "s", ""))[0]).sum::<u64>() / 200;
        assert!((400..600).contains(&mean), "{mean}");
    }

    #[test]
    fn what_cannot_be_picked_is_refused() {
        let key = Key::new(0, "s", "");
        assert_eq!(sample_rows(&numbers(0), 1, true, &key).unwrap_err().code, "sample_rows.empty");
        let error = sample_rows(&numbers(3), 4, false, &key).unwrap_err();
        assert_eq!(error.code, "sample_rows.too_many");
        assert_eq!(error.message, "4 rows were asked for, and the table has 3");
    }
}
