//! Columns beside columns.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::interleave::interleave_record_batch;
use flowrun_core::table::{Batches, SOURCE_ROWS, Table, TableError, TableSource, is_hidden};

use crate::batch::{arrow, index};

/// The columns of `table`, then those of `columns`.
///
/// Where `columns` is a map's table (it has the hidden column `source_rows`), this is an inner join: each of its rows
/// gets the row of `table` that it was made from, in its own order, and the result still knows its source rows.
/// Otherwise the two stand side by side and must have the same number of rows; past it, two growable tables grow
/// together. Both ways stream.
///
/// # Errors
/// `add_columns.duplicate` when a name is in both, `add_columns.other_rows` when `columns` was mapped from a table
/// with other rows than `table`, `table.length` when the tables side by side differ in length, here or, where a length
/// is not known before, at the end of a scan.
pub fn add_columns(table: &Table, columns: &Table) -> Result<Table, TableError> {
    let (left, right) = (table.schema(), columns.schema());
    for field in right.fields().iter().filter(|f| !is_hidden(f)) {
        if left.fields().iter().any(|f| f.name() == field.name()) {
            let message = format!("both tables have a column `{}`", field.name());
            return Err(
                TableError::new("add_columns.duplicate", message).with_help("rename or leave out one of them")
            );
        }
    }
    let source_rows = right.fields().iter().position(|f| is_hidden(f) && f.name() == SOURCE_ROWS);
    let Some(source_rows) = source_rows else { return side_by_side(table, columns) };
    if !columns.is_mapped_from(table) {
        let message = "the columns come from a map over other rows than those of the table";
        return Err(TableError::new("add_columns.other_rows", message)
            .with_help("take the table that the map ran over, or one made from it without changing its rows"));
    }
    let kept: Vec<usize> = visible(&left);
    let fields: Vec<_> =
        kept.iter().map(|i| Arc::clone(&left.fields()[*i])).chain(right.fields().iter().cloned()).collect();
    let schema = Arc::new(Schema::new(fields));
    let joined = Joined { table: table.clone(), columns: columns.clone(), schema, kept: kept.into(), source_rows };
    Ok(columns.same_rows(joined))
}

fn visible(schema: &Schema) -> Vec<usize> {
    (0..schema.fields().len()).filter(|i| !is_hidden(schema.field(*i))).collect()
}

fn beside(schema: &SchemaRef, left: &RecordBatch, right: &[ArrayRef]) -> Result<RecordBatch, TableError> {
    let arrays = left.columns().iter().chain(right).cloned().collect();
    let options = RecordBatchOptions::new().with_row_count(Some(left.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options).map_err(|e| arrow(&e))
}

fn side_by_side(table: &Table, columns: &Table) -> Result<Table, TableError> {
    let (left, right) = (table.len(), columns.len());
    if let (Some(left), Some(right)) = (left, right)
        && left != right
    {
        return Err(unequal(&left.to_string(), &right.to_string()));
    }
    let (kept, other) = (table.schema(), columns.schema());
    let wanted: Vec<usize> = visible(&other);
    let fields: Vec<_> =
        kept.fields().iter().cloned().chain(wanted.iter().map(|i| Arc::clone(&other.fields()[*i]))).collect();
    let schema = Arc::new(Schema::new(fields));
    Ok(table.same_rows(Beside { table: table.clone(), columns: columns.clone(), schema, wanted: wanted.into() }))
}

fn unequal(left: &str, right: &str) -> TableError {
    let message = format!("tables side by side must have as many rows: `table` has {left}, `columns` has {right}");
    TableError::new("table.length", message)
}

#[derive(Debug)]
struct Beside {
    table: Table,
    columns: Table,
    schema: SchemaRef,
    wanted: Arc<[usize]>,
}

impl TableSource for Beside {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn len(&self) -> Option<u64> {
        self.table.len().or(self.columns.len())
    }

    fn scan(&self, rows: Range<u64>) -> Result<Batches, TableError> {
        let end = if self.growable() { rows.end } else { rows.end.min(self.len().unwrap_or(u64::MAX)) };
        let rows = rows.start.min(end)..end;
        Ok(Box::new(Zipped {
            left: Pieces::new(self.table.scan(rows.clone())?),
            right: Pieces::new(self.columns.scan(rows.clone())?),
            schema: Arc::clone(&self.schema),
            wanted: Arc::clone(&self.wanted),
            row: rows.start,
            ended: false,
        }))
    }

    fn growable(&self) -> bool {
        self.table.growable() && self.columns.growable()
    }

    fn seeks(&self) -> bool {
        self.table.seeks() && self.columns.seeks()
    }
}

/// A scan that hands out as many rows as are asked for.
struct Pieces {
    batches: Batches,
    rest: Option<RecordBatch>,
}

impl Pieces {
    fn new(batches: Batches) -> Self {
        Self { batches, rest: None }
    }

    /// How many rows are at hand; 0 at the end.
    fn ready(&mut self) -> Result<usize, TableError> {
        while self.rest.as_ref().is_none_or(|rest| rest.num_rows() == 0) {
            match self.batches.next() {
                Some(batch) => self.rest = Some(batch?),
                None => return Ok(0),
            }
        }
        Ok(self.rest.as_ref().map_or(0, RecordBatch::num_rows))
    }

    /// The next `n` rows, which are at hand.
    fn take(&mut self, n: usize) -> Option<RecordBatch> {
        let rest = self.rest.take()?;
        self.rest = Some(rest.slice(n, rest.num_rows() - n));
        Some(rest.slice(0, n))
    }
}

struct Zipped {
    left: Pieces,
    right: Pieces,
    schema: SchemaRef,
    wanted: Arc<[usize]>,
    row: u64,
    ended: bool,
}

impl Zipped {
    fn step(&mut self) -> Result<Option<RecordBatch>, TableError> {
        let (left, right) = (self.left.ready()?, self.right.ready()?);
        let n = left.min(right);
        if n == 0 {
            if left == right {
                return Ok(None);
            }
            let (exact, more) = (self.row.to_string(), format!("more than {}", self.row));
            return Err(if left == 0 { unequal(&exact, &more) } else { unequal(&more, &exact) });
        }
        let (Some(left), Some(right)) = (self.left.take(n), self.right.take(n)) else { return Ok(None) };
        self.row += n as u64;
        let right: Vec<_> = self.wanted.iter().map(|i| Arc::clone(right.column(*i))).collect();
        beside(&self.schema, &left, &right).map(Some)
    }
}

impl Iterator for Zipped {
    type Item = Result<RecordBatch, TableError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let step = self.step().transpose();
        self.ended = !matches!(step, Some(Ok(_)));
        step
    }
}

#[derive(Debug)]
struct Joined {
    table: Table,
    columns: Table,
    schema: SchemaRef,
    kept: Arc<[usize]>,
    /// The place of `source_rows` among the columns of `columns`.
    source_rows: usize,
}

impl TableSource for Joined {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn len(&self) -> Option<u64> {
        self.columns.len()
    }

    fn scan(&self, rows: Range<u64>) -> Result<Batches, TableError> {
        let mut cursor = Cursor { table: self.table.clone(), scan: None, next: 0, held: Vec::new() };
        let (schema, kept, place) = (Arc::clone(&self.schema), Arc::clone(&self.kept), self.source_rows);
        let mut failed = false;
        let joined = self.columns.scan(rows)?.map_while(move |batch| {
            if failed {
                return None;
            }
            let join = |batch: RecordBatch| {
                let wanted = batch.column(place).as_primitive::<Int64Type>().values();
                let sources = cursor.rows(wanted)?.project(&kept).map_err(|e| arrow(&e))?;
                beside(&schema, &sources, batch.columns())
            };
            let result = batch.and_then(join);
            failed = result.is_err();
            Some(result)
        });
        Ok(Box::new(joined))
    }

    fn seeks(&self) -> bool {
        self.table.seeks() && self.columns.seeks()
    }
}

/// Reads chosen rows of a table while their numbers ascend; what was passed is let go.
struct Cursor {
    table: Table,
    scan: Option<Batches>,
    /// The first row that was not read.
    next: u64,
    /// Batches that were read and may still be wanted, with the number of their first row.
    held: Vec<(u64, RecordBatch)>,
}

impl Cursor {
    /// The rows of these numbers, in this order.
    fn rows(&mut self, wanted: &[i64]) -> Result<RecordBatch, TableError> {
        let wanted = wanted.iter().map(|row| u64::try_from(*row).map_err(|_| Self::absent(*row)));
        let wanted = wanted.collect::<Result<Vec<_>, _>>()?;
        let (Some(first), Some(last)) = (wanted.iter().min().copied(), wanted.iter().max().copied()) else {
            return Ok(RecordBatch::new_empty(self.table.schema()));
        };
        self.held.retain(|(start, batch)| start + batch.num_rows() as u64 > first);
        let behind = self.held.first().map_or(self.next, |(start, _)| *start);
        if self.scan.is_none() || first < behind {
            // The first rows, or rows out of order: begin again there.
            self.held.clear();
            self.next = first;
            let end = self.table.len().unwrap_or(u64::MAX);
            let end = if first < end { end } else { first };
            self.scan = Some(self.table.scan(first..end)?);
        }
        let mut past = false;
        while self.next <= last {
            let Some(batch) = self.scan.as_mut().and_then(Iterator::next) else {
                if self.table.growable() && !std::mem::replace(&mut past, true) {
                    // A map drew on it past its length. No row is made that nobody wants: it may have no value.
                    self.scan = Some(self.table.scan(self.next..last + 1)?);
                    continue;
                }
                return Err(Self::absent(i64::try_from(last).unwrap_or(i64::MAX)));
            };
            let batch = batch?;
            let start = self.next;
            self.next += batch.num_rows() as u64;
            if self.next > first {
                self.held.push((start, batch));
            }
        }
        let place = |row: u64| {
            let held = self.held.partition_point(|(start, _)| *start <= row) - 1;
            (held, index(row - self.held[held].0))
        };
        let places: Vec<_> = wanted.into_iter().map(place).collect();
        let batches: Vec<_> = self.held.iter().map(|(_, batch)| batch).collect();
        interleave_record_batch(&batches, &places).map_err(|e| arrow(&e))
    }

    fn absent(row: i64) -> TableError {
        TableError::new(
            "add_columns.other_rows",
            format!("the columns name source row {row}, which the table lacks"),
        )
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Int64Array, StringArray};
    use arrow_schema::{DataType, Field};
    use flowrun_core::table::{MemoryTable, source_rows_field};
    use flowrun_core::types::Type;
    use flowrun_core::value::{Object, Value};
    use proptest::prelude::*;

    use super::*;
    use crate::sources::filter;

    fn numbers(name: &str, n: i64) -> Table {
        let columns = [(name.to_owned(), Type::integer())];
        Table::new(MemoryTable::from_rows(&columns, (0..n).map(|i| vec![Value::Int(i)])).unwrap())
    }

    /// What a map over `source` gives when only these of its rows are kept.
    fn mapped(source: &Table, rows: &[i64]) -> Table {
        let schema = Arc::new(Schema::new(vec![source_rows_field(), Field::new("text", DataType::Utf8, false)]));
        let batches = rows.chunks(7).map(|chunk| {
            let texts: StringArray = chunk.iter().map(|row| Some(format!("t{row}"))).collect();
            let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(chunk.to_vec())), Arc::new(texts)];
            RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
        });
        let batches = batches.collect();
        Table::new(MemoryTable::new(schema, batches)).mapped_from(std::slice::from_ref(source))
    }

    fn read(table: &Table, rows: Range<u64>) -> Vec<Object> {
        table.objects(rows).unwrap().map(Result::unwrap).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_join_gives_each_row_the_row_that_it_was_made_from(
            keep in prop::collection::vec(any::<bool>(), 0..9_000), start in 0_u64..100, reversed in any::<bool>(),
        ) {
            let source = numbers("n", i64::try_from(keep.len()).unwrap());
            let mut rows: Vec<i64> = (0_i64..).zip(&keep).filter(|(_, k)| **k).map(|(i, _)| i).collect();
            if reversed {
                rows.reverse();
            }
            let joined = add_columns(&source, &mapped(&source, &rows)).unwrap();
            prop_assert_eq!(joined.len(), Some(rows.len() as u64));
            let found = read(&joined, start..u64::MAX);
            prop_assert_eq!(found.len(), rows.len().saturating_sub(index(start)));
            for (object, row) in found.iter().zip(rows.iter().skip(index(start))) {
                prop_assert_eq!(object.get("n"), Some(&Value::Int(*row)));
                prop_assert_eq!(object.get("text"), Some(&Value::from(format!("t{row}"))));
            }
            prop_assert!(joined.is_mapped_from(&source));
        }
    }

    #[test]
    fn a_filtered_join_can_be_joined_again() {
        let source = numbers("n", 100);
        let joined = add_columns(&source, &mapped(&source, &(0..100).collect::<Vec<_>>())).unwrap();
        let odd = filter(&joined, |row| Ok(row.get("n").and_then(Value::as_i64).unwrap_or(0) % 2 == 1));
        assert_eq!(odd.columns().iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["n", "text"]);
        let more = numbers("m", 100);
        let both = add_columns(&source, &more).unwrap();
        // `both` has the rows of `source`, so what was mapped from `source` joins it.
        let again = add_columns(&both, &odd.clone()).unwrap_err();
        assert_eq!(again.message, "both tables have a column `n`");
        let joined = add_columns(&both, &mapped(&source, &[3, 5])).unwrap();
        assert_eq!(read(&joined, 0..9)[1].get("m"), Some(&Value::Int(5)));
    }

    #[test]
    fn other_rows_and_other_lengths_are_refused() {
        let source = numbers("n", 10);
        let other = numbers("n", 10);
        let error = add_columns(&other, &mapped(&source, &[1])).unwrap_err();
        assert_eq!(error.code, "add_columns.other_rows");
        let error = add_columns(&source, &numbers("m", 11)).unwrap_err();
        assert_eq!(error.code, "table.length");
        assert!(error.message.ends_with("`table` has 10, `columns` has 11"), "{}", error.message);
        let unknown = filter(&numbers("m", 20), |_| Ok(true));
        let beside = add_columns(&numbers("n", 5_000), &unknown).unwrap();
        let error = beside.scan_all().unwrap().find_map(Result::err).unwrap();
        assert!(error.message.ends_with("`table` has more than 20, `columns` has 20"), "{}", error.message);
    }

    #[test]
    fn side_by_side_keeps_rows_together_whatever_the_batches() {
        let left = numbers("n", 9_000);
        let right =
            filter(&numbers("m", 18_000), |row| Ok(row.get("m").and_then(Value::as_i64).unwrap_or(0) % 2 == 0));
        let both = add_columns(&left, &right).unwrap();
        let rows = read(&both, 4_000..4_500);
        assert_eq!(rows.len(), 500);
        for row in rows {
            assert_eq!(row.get("m").and_then(Value::as_i64), row.get("n").and_then(Value::as_i64).map(|n| 2 * n));
        }
    }
}
