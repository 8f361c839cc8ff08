//! Rows picked at random.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt64Array};
use arrow_schema::SchemaRef;
use arrow_select::interleave::interleave_record_batch;
use arrow_select::take::take_record_batch;
use flowrun_core::seed::Key;
use flowrun_core::table::{BATCH_ROWS, Batches, Table, TableError, TableSource, is_hidden};

use crate::batch::{arrow, index};
use crate::parts::{Parts, seekable};

/// `n` rows of a table, picked at random, each from its own draw; the columns are those that people see.
///
/// With `replace` every row is picked from all rows, and the table is growable. Without it no row is picked twice: a
/// Fisher–Yates shuffle (Durstenfeld, algorithm 235, 1964). Either way row i never depends on `n`. The rows that are
/// picked are read where they stand, some thousands at a time, when somebody scans; only a table that cannot be read
/// from its middle, such as rows that pass a condition, is read once here and kept in `parts`, or in memory without
/// them.
///
/// # Errors
/// `sample_rows.empty` when there is nothing to pick from, `sample_rows.too_many` when more rows are asked for than
/// there are, without replacement, and what keeping the table meets. What reading it meets ends the scan.
pub fn sample_rows(
    table: &Table,
    n: u64,
    replace: bool,
    key: &Key,
    parts: Option<(&Parts, &str)>,
) -> Result<Table, TableError> {
    let pool = Pool::new(seekable(table, parts)?)?;
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
        Picks::Settled(shuffled(pool.rows, n, key))
    };
    Ok(Table::new(Sampled { pool: Arc::new(pool), picks }))
}

/// The first `n` rows of a shuffle of `total` rows.
fn shuffled(total: u64, n: u64, key: &Key) -> Numbers {
    let mut draws = key.draws();
    let drawn = (0..n).map(|row| (row, row + draws.below(row, total - row)));
    match u32::try_from(total) {
        // Four bytes for each row that there is, and not a map's entry for each one that was moved.
        Ok(total) if n > u64::from(total) / MOVED_ROWS => {
            let mut rows: Vec<u32> = (0..total).collect();
            drawn.for_each(|(row, other)| rows.swap(index(row), index(other)));
            rows.truncate(index(n));
            Numbers::Small(rows.into())
        }
        _ => {
            // What stands at a place that was swapped; every other place holds itself. Only looked up, never walked.
            let mut moved: HashMap<u64, u64> = HashMap::new();
            let pick = |(row, other)| {
                let here = moved.remove(&row).unwrap_or(row);
                if other == row { here } else { moved.insert(other, here).unwrap_or(other) }
            };
            Numbers::Large(drawn.map(pick).collect())
        }
    }
}

/// From how many rows to a picked one a map of the moved ones needs less than all rows.
const MOVED_ROWS: u64 = 16;

/// Numbers of rows.
#[derive(Clone, Debug)]
enum Numbers {
    Small(Arc<[u32]>),
    Large(Arc<[u64]>),
}

impl Numbers {
    fn len(&self) -> u64 {
        (match self {
            Self::Small(rows) => rows.len(),
            Self::Large(rows) => rows.len(),
        }) as u64
    }

    fn of(&self, range: Range<u64>) -> Vec<u64> {
        let range = index(range.start)..index(range.end);
        match self {
            Self::Small(rows) => rows[range].iter().copied().map(u64::from).collect(),
            Self::Large(rows) => rows[range].to_vec(),
        }
    }
}

/// What is picked from.
#[derive(Debug)]
struct Pool {
    table: Table,
    schema: SchemaRef,
    /// The places of the columns that people see.
    visible: Vec<usize>,
    rows: u64,
}

impl Pool {
    fn new(table: Table) -> Result<Self, TableError> {
        let full = table.schema();
        let visible: Vec<usize> = (0..full.fields().len()).filter(|i| !is_hidden(full.field(*i))).collect();
        let schema = Arc::new(full.project(&visible).map_err(|e| arrow(&e))?);
        let rows = table.count()?;
        Ok(Self { table, schema, visible, rows })
    }

    /// Reads rows, whatever their order: once through the table, and where many rows in a row are not wanted, past them.
    fn gather(&self, picks: Vec<u64>) -> Result<Gathered, TableError> {
        let mut wanted = picks.clone();
        wanted.sort_unstable();
        wanted.dedup();
        let (mut pieces, mut starts, mut done) = (Vec::new(), Vec::new(), 0);
        for run in wanted.chunk_by(|row, next| next - row <= BATCH_ROWS as u64) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let (mut rest, mut start) = (run, *first);
            for batch in self.table.scan(*first..last + 1)? {
                let batch = batch?.project(&self.visible).map_err(|e| arrow(&e))?;
                let end = start + batch.num_rows() as u64;
                let (here, later) = rest.split_at(rest.partition_point(|row| *row < end));
                let places: UInt64Array = here.iter().map(|row| row - start).collect();
                pieces.push(take_record_batch(&batch, &places).map_err(|e| arrow(&e))?);
                starts.push(done);
                (rest, start, done) = (later, end, done + here.len());
            }
            if let Some(row) = rest.first() {
                let message = format!("row {row} was picked, and the table to sample from has ended before it");
                return Err(TableError::new("sample_rows.ended", message));
            }
        }
        let place = |row| {
            let place = wanted.partition_point(|other| *other < row);
            let piece = starts.partition_point(|start| *start <= place) - 1;
            (piece, place - starts[piece])
        };
        let places = picks.into_iter().map(place).collect();
        Ok(Gathered { pieces, places, given: 0 })
    }
}

/// Rows that were read, and the order in which they are given.
#[derive(Default)]
struct Gathered {
    pieces: Vec<RecordBatch>,
    /// The piece of each row and its place therein.
    places: Vec<(usize, usize)>,
    given: usize,
}

impl Gathered {
    /// The next batch, and none at the end.
    fn batch(&mut self) -> Option<Result<RecordBatch, TableError>> {
        let places = &self.places[self.given..];
        let places = &places[..places.len().min(BATCH_ROWS)];
        self.given += places.len();
        let pieces: Vec<_> = self.pieces.iter().collect();
        (!places.is_empty()).then(|| interleave_record_batch(&pieces, places).map_err(|e| arrow(&e)))
    }

    fn bytes(&self) -> usize {
        self.pieces.iter().map(RecordBatch::get_array_memory_size).sum()
    }
}

#[derive(Clone)]
enum Picks {
    /// Any row, again and again.
    Drawn { key: Key, rows: u64 },
    /// These rows.
    Settled(Numbers),
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
            Picks::Settled(rows) => rows.len(),
        })
    }

    fn scan(&self, rows: Range<u64>) -> Result<Batches, TableError> {
        let end = match &self.picks {
            Picks::Drawn { .. } => rows.end,
            Picks::Settled(settled) => rows.end.min(settled.len()),
        };
        Ok(Box::new(Scan {
            pool: Arc::clone(&self.pool),
            picks: self.picks.clone(),
            rows: rows.start.min(end)..end,
            at_once: BATCH_ROWS as u64,
            gathered: Gathered::default(),
        }))
    }

    fn growable(&self) -> bool {
        matches!(self.picks, Picks::Drawn { .. })
    }

    fn seeks(&self) -> bool {
        true
    }
}

struct Scan {
    pool: Arc<Pool>,
    picks: Picks,
    /// The rows that were not gathered yet.
    rows: Range<u64>,
    /// How many are gathered in one go through the table.
    at_once: u64,
    gathered: Gathered,
}

/// How many bytes of rows are gathered in one go, about, and how many rows at most: the more, the less often the table
/// is read.
const GATHERED_BYTES: usize = 16 << 20;
const GATHERED_ROWS: u64 = 64 * BATCH_ROWS as u64;

impl Scan {
    fn gather(&mut self) -> Result<(), TableError> {
        let range = self.rows.start..self.rows.end.min(self.rows.start.saturating_add(self.at_once));
        self.rows.start = range.end;
        let picks = match &self.picks {
            Picks::Drawn { key, .. } => {
                let mut draws = key.draws();
                range.map(|row| draws.below(row, self.pool.rows)).collect()
            }
            Picks::Settled(settled) => settled.of(range),
        };
        // What was given is let go first.
        self.gathered = Gathered::default();
        self.gathered = self.pool.gather(picks)?;
        let rows = self.gathered.places.len().max(1);
        let a_row = (self.gathered.bytes() / rows).max(1);
        self.at_once = ((GATHERED_BYTES / a_row) as u64).clamp(BATCH_ROWS as u64, GATHERED_ROWS);
        Ok(())
    }
}

impl Iterator for Scan {
    type Item = Result<RecordBatch, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(batch) = self.gathered.batch() {
            return Some(batch);
        }
        if self.rows.is_empty() {
            return None;
        }
        if let Err(error) = self.gather() {
            self.rows.start = self.rows.end;
            return Some(Err(error));
        }
        self.gathered.batch()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicU64, Ordering};

    use flowrun_core::table::MemoryTable;
    use flowrun_core::types::Type;
    use flowrun_core::value::Value;
    use proptest::prelude::*;

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
            let few = sample_rows(&source, 100, replace, &key, None).unwrap();
            let many = sample_rows(&source, 9_000, replace, &key, None).unwrap();
            let all = read(&many, 0..9_000);
            assert_eq!(read(&few, 0..100), all[..100]);
            assert_eq!(read(&many, 4_000..4_200), all[4_000..4_200]);
            assert_eq!(many.growable(), replace);
        }
        let grown = sample_rows(&source, 5, true, &key, None).unwrap();
        assert_eq!(read(&grown, 0..50).len(), 50);
    }

    #[test]
    fn without_replacement_every_row_comes_once_and_anywhere() {
        let source = numbers(1_000);
        let table = sample_rows(&source, 1_000, false, &Key::new(2, "s", ""), None).unwrap();
        let rows = read(&table, 0..1_000);
        assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), 1_000);
        // The place of row 0 over many keys spreads over the whole table.
        let mean = (0..200).map(|s| shuffled(1_000, 1, &Key::new(s, "s", "")).of(0..1)[0]).sum::<u64>() / 200;
        assert!((400..600).contains(&mean), "{mean}");
    }

    #[test]
    fn what_cannot_be_picked_is_refused() {
        let key = Key::new(0, "s", "");
        assert_eq!(sample_rows(&numbers(0), 1, true, &key, None).unwrap_err().code, "sample_rows.empty");
        let error = sample_rows(&numbers(3), 4, false, &key, None).unwrap_err();
        assert_eq!(error.code, "sample_rows.too_many");
        assert_eq!(error.message, "4 rows were asked for, and the table has 3");
    }

    /// What a shuffle of rows in memory gives: the numbers themselves are the rows.
    fn fisher_yates(total: u64, n: u64, key: &Key) -> Vec<u64> {
        let (mut rows, mut draws): (Vec<u64>, _) = ((0..total).collect(), key.draws());
        for row in 0..n {
            rows.swap(index(row), index(row + draws.below(row, total - row)));
        }
        rows.truncate(index(n));
        rows
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn few_rows_of_many_are_shuffled_as_many_are(total in 1_u64..5_000, share in 0.0..1.0_f64, seed in 0_u64..9) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share")]
            let n = (total as f64 * share.powi(4)) as u64;
            let key = Key::new(seed, "s", "");
            prop_assert_eq!(shuffled(total, n, &key).of(0..n), fisher_yates(total, n, &key));
        }
    }

    /// A table that counts how many of its rows are read.
    #[derive(Debug)]
    struct Counted {
        table: Table,
        seeks: bool,
        read: Arc<AtomicU64>,
    }

    impl TableSource for Counted {
        fn schema(&self) -> SchemaRef {
            self.table.schema()
        }

        fn len(&self) -> Option<u64> {
            self.table.len()
        }

        fn scan(&self, rows: Range<u64>) -> Result<Batches, TableError> {
            let read = Arc::clone(&self.read);
            Ok(Box::new(self.table.scan(rows)?.inspect(move |batch| {
                read.fetch_add(batch.as_ref().map_or(0, |b| b.num_rows() as u64), Ordering::Relaxed);
            })))
        }

        fn seeks(&self) -> bool {
            self.seeks
        }
    }

    #[test]
    fn rows_are_read_where_they_stand_and_only_when_somebody_scans() {
        let key = Key::new(3, "s", "");
        for replace in [true, false] {
            let expected = read(&sample_rows(&numbers(200_000), 2_000, replace, &key, None).unwrap(), 0..2_000);
            let counter = Arc::new(AtomicU64::new(0));
            let counted =
                |seeks| Table::new(Counted { table: numbers(200_000), seeks, read: Arc::clone(&counter) });
            let table = sample_rows(&counted(true), 2_000, replace, &key, None).unwrap();
            assert_eq!(counter.load(Ordering::Relaxed), 0);
            assert_eq!(read(&table, 5..8), expected[5..8]);
            assert_eq!(counter.swap(0, Ordering::Relaxed), 3);
            assert_eq!(read(&table, 0..2_000), expected);
            let once = counter.swap(0, Ordering::Relaxed);
            assert!(once <= 200_000, "{once}");

            let folder = tempfile::tempdir().unwrap();
            let parts = Parts::new(folder.path()).in_memory(1);
            let table = sample_rows(&counted(false), 2_000, replace, &key, Some((&parts, "s"))).unwrap();
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
            assert_eq!(read(&table, 0..2_000), expected);
            assert_eq!(counter.load(Ordering::Relaxed), 200_000, "read once, and kept");
        }
    }
}
