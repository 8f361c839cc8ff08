//! The rows that pass a condition.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use flowrun_core::table::{Batches, RowReader, Table, TableError, TableSource};
use flowrun_core::value::Object;

use crate::batch::{arrow, index};

/// The rows for which `keep` says yes, in order, with all columns, hidden ones included; they still know what they
/// were mapped from. `keep` sees the columns that people see, must answer the same each time, and its errors end the
/// scan. How many rows there are is known once they were read to the end.
pub fn filter(table: &Table, keep: impl Fn(&Object) -> Result<bool, TableError> + Send + Sync + 'static) -> Table {
    table.some_rows(Filtered { table: table.clone(), keep: Arc::new(keep), count: Arc::default() })
}

type Keep = dyn Fn(&Object) -> Result<bool, TableError> + Send + Sync;

struct Filtered {
    table: Table,
    keep: Arc<Keep>,
    /// How many rows pass, once that is known.
    count: Arc<OnceLock<u64>>,
}

impl fmt::Debug for Filtered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filtered").field("table", &self.table).field("count", &self.count).finish_non_exhaustive()
    }
}

impl TableSource for Filtered {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn len(&self) -> Option<u64> {
        self.count.get().copied()
    }

    fn scan(&self, rows: Range<u64>) -> Result<Batches, TableError> {
        Ok(Box::new(Scan {
            batches: self.table.scan_all()?,
            reader: RowReader::new(&self.table.schema()),
            keep: Arc::clone(&self.keep),
            count: Arc::clone(&self.count),
            passed: 0,
            rows,
            ended: false,
        }))
    }
}

struct Scan {
    batches: Batches,
    reader: RowReader,
    keep: Arc<Keep>,
    count: Arc<OnceLock<u64>>,
    /// How many rows passed so far.
    passed: u64,
    rows: Range<u64>,
    ended: bool,
}

impl Scan {
    /// The rows of a batch that pass and are asked for.
    fn pick(&mut self, batch: &RecordBatch) -> Result<RecordBatch, TableError> {
        let verdicts = self.reader.objects(batch).map(|row| (self.keep)(&row)).collect::<Result<Vec<_>, _>>()?;
        let passed = filter_record_batch(batch, &BooleanArray::from(verdicts)).map_err(|e| arrow(&e))?;
        let first = self.passed;
        self.passed += passed.num_rows() as u64;
        let from = self.rows.start.clamp(first, self.passed);
        let to = self.rows.end.clamp(from, self.passed);
        Ok(passed.slice(index(from - first), index(to - from)))
    }
}

impl Iterator for Scan {
    type Item = Result<RecordBatch, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended && self.passed < self.rows.end {
            let Some(batch) = self.batches.next() else {
                self.ended = true;
                self.count.get_or_init(|| self.passed);
                return None;
            };
            match batch.and_then(|batch| self.pick(&batch)) {
                Ok(batch) if batch.num_rows() == 0 => {}
                other => {
                    self.ended = other.is_err();
                    return Some(other);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use flowrun_core::table::MemoryTable;
    use flowrun_core::types::Type;
    use flowrun_core::value::Value;
    use proptest::prelude::*;

    use super::*;

    fn numbers(n: i64) -> Table {
        let columns = [("n".to_owned(), Type::integer())];
        Table::new(MemoryTable::from_rows(&columns, (0..n).map(|i| vec![Value::Int(i)])).unwrap())
    }

    fn n(row: &Object) -> i64 {
        row.get("n").and_then(Value::as_i64).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_range_is_that_part_of_the_rows_that_pass(
            rows in 0_i64..10_000, modulus in 1_i64..50, start in 0_u64..300, length in 0_u64..300,
        ) {
            let table = filter(&numbers(rows), move |row| Ok(n(row) % modulus == 0));
            let all: Vec<i64> = (0..rows).filter(|i| i % modulus == 0).collect();
            let read: Vec<i64> = table.objects(start..start + length).unwrap().map(|o| n(&o.unwrap())).collect();
            let from = index(start).min(all.len());
            let to = index(start + length).min(all.len());
            prop_assert_eq!(&read, &all[from..to]);
            prop_assert_eq!(table.count().unwrap(), all.len() as u64);
            prop_assert_eq!(table.len(), Some(all.len() as u64));
        }

        #[test]
        fn two_conditions_are_one_and_their_order_is_free(rows in 0_i64..3_000) {
            let even = |t: &Table| filter(t, |row| Ok(n(row) % 2 == 0));
            let third = |t: &Table| filter(t, |row| Ok(n(row) % 3 == 0));
            let read = |t: Table| t.objects(0..u64::MAX).unwrap().map(|o| n(&o.unwrap())).collect::<Vec<_>>();
            let table = numbers(rows);
            prop_assert_eq!(read(even(&third(&table))), read(third(&even(&table))));
        }
    }

    #[test]
    fn an_error_of_the_condition_ends_the_scan() {
        let table =
            filter(
                &numbers(10),
                |row| {
                    if n(row) == 3 { Err(TableError::new("x", "row 3 is bad")) } else { Ok(true) }
                },
            );
        let results: Vec<_> = table.objects(0..10).unwrap().collect();
        assert_eq!(results.len(), 1);
        assert_eq!(results[0].as_ref().unwrap_err().message, "row 3 is bad");
        assert_eq!(table.len(), None);
    }
}
