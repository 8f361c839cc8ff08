//! From two tables to scores.

use std::collections::{BTreeMap, HashSet};

use flowrun_core::table::{Table, TableError};
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::Value;
use indexmap::IndexMap;

use super::collect::{Columns, is_numeric, not_numeric, number};
use super::metrics::{five_numbers, ks_complement, tv_complement};
use super::{Coherent, ColumnComparison, ComparePlan, Comparison, Details, Group, How, Share, Sides};
use crate::batch::{cell_key, key_text};
use crate::nearest::suggest;

/// How many values and examples are listed.
const LISTED: usize = 20;

pub(super) fn compare(seed: &Table, result: &Table, plan: &ComparePlan) -> Result<Comparison, TableError> {
    let mut columns = plan_columns(seed, result, plan)?;
    let seed_rows = each_row(seed, &mut columns, Side::Seed)?;
    let rows = each_row(result, &mut columns, Side::Result)?;
    let coherent = columns.iter().any(|c| matches!(c.tally, Tally::Coherent { .. }));
    let coherent = coherent.then_some(Coherent { rows: rows.coherent, of: rows.all });
    let columns = columns.into_iter().map(Column::finish).collect();
    Ok(Comparison { seed_rows: seed_rows.all, rows: rows.all, columns, coherent })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Seed,
    Result,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::Result => "result",
        }
    }
}

impl<T> Sides<T> {
    fn of(&mut self, side: Side) -> &mut T {
        match side {
            Side::Seed => &mut self.seed,
            Side::Result => &mut self.result,
        }
    }
}

/// A column and what was counted of it.
struct Column {
    name: String,
    /// The columns that it goes with, if any.
    by: Vec<String>,
    tally: Tally,
}

enum Tally {
    Categorical { counts: Sides<BTreeMap<String, u64>>, nulls: Sides<u64> },
    Numeric { numbers: Sides<Vec<f64>>, nulls: Sides<u64> },
    Joint(IndexMap<Vec<String>, JointGroup>),
    Coherent { known: HashSet<Vec<String>>, coherent: u64, rows: u64, missing: IndexMap<Vec<String>, String> },
    Skipped(String),
}

#[derive(Default)]
struct JointGroup {
    label: Vec<String>,
    numbers: Sides<Vec<f64>>,
    /// Rows of the result, with a number or without.
    rows: u64,
}

fn plan_columns(seed: &Table, result: &Table, plan: &ComparePlan) -> Result<Vec<Column>, TableError> {
    let seed_columns: IndexMap<String, Type> = seed.columns().into_iter().collect();
    let result_columns: IndexMap<String, Type> = result.columns().into_iter().collect();
    if let Some(absent) = plan.columns.keys().find(|name| !result_columns.contains_key(name.as_str())) {
        let message = format!("the result has no column `{absent}`");
        let help = suggest(absent, result_columns.keys().map(String::as_str));
        return Err(TableError::new("compare.no_column", message).with_help(help));
    }
    let columns = result_columns.iter().map(|(name, column)| {
        let tally = match (plan.columns.get(name), seed_columns.get(name)) {
            (Some(How::Skip), _) => Tally::Skipped("it is left out by the plan".to_owned()),
            (None, None) => Tally::Skipped("the seed has no such column".to_owned()),
            (Some(How::Categorical), _) => categorical(),
            (Some(How::Numeric), _) => numeric(),
            (Some(How::Joint { .. }), _) => Tally::Joint(IndexMap::new()),
            (Some(How::Coherent { .. }), _) => {
                Tally::Coherent { known: HashSet::new(), coherent: 0, rows: 0, missing: IndexMap::new() }
            }
            (None, Some(theirs)) => by_type(theirs, column),
        };
        let by = match plan.columns.get(name) {
            Some(How::Joint { by } | How::Coherent { by }) => by.clone(),
            _ => Vec::new(),
        };
        Column { name: name.clone(), by, tally }
    });
    Ok(columns.collect())
}

fn categorical() -> Tally {
    Tally::Categorical { counts: Sides::default(), nulls: Sides::default() }
}

fn numeric() -> Tally {
    Tally::Numeric { numbers: Sides::default(), nulls: Sides::default() }
}

fn by_type(seed: &Type, result: &Type) -> Tally {
    let is_category = |t: &Type| matches!(t.without_null().kind, Kind::String | Kind::Path | Kind::Boolean);
    if is_numeric(seed) && is_numeric(result) {
        numeric()
    } else if is_category(seed) && is_category(result) {
        categorical()
    } else {
        Tally::Skipped(format!("{seed} in the seed and {result} in the result are not compared"))
    }
}

/// How many rows a table has, and how many of them are coherent throughout.
struct Rows {
    all: u64,
    coherent: u64,
}

fn each_row(table: &Table, columns: &mut [Column], side: Side) -> Result<Rows, TableError> {
    let schema = table.schema();
    let mut readers = Vec::with_capacity(columns.len());
    for column in columns.iter() {
        readers.push(column.reader(&schema, side)?);
    }
    let mut rows = Rows { all: 0, coherent: 0 };
    for batch in table.scan_all()? {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            let mut coherent = true;
            for (column, reader) in columns.iter_mut().zip(&readers) {
                let Some(reader) = reader else { continue };
                let by: Vec<Value> = (0..column.by.len()).map(|which| reader.value(&batch, row, which)).collect();
                let value = reader.value(&batch, row, column.by.len());
                coherent &= column.note(&by, &value, side);
            }
            rows.all += 1;
            rows.coherent += u64::from(coherent);
        }
    }
    Ok(rows)
}

impl Column {
    /// Reads the columns that this one goes with, then itself.
    fn reader(&self, schema: &arrow_schema::Schema, side: Side) -> Result<Option<Columns>, TableError> {
        if matches!(self.tally, Tally::Skipped(_)) {
            return Ok(None);
        }
        let names: Vec<&str> = self.by.iter().chain([&self.name]).map(String::as_str).collect();
        let reader = Columns::of(schema, &names, side.name())?;
        let column = reader.column(self.by.len());
        if matches!(self.tally, Tally::Numeric { .. } | Tally::Joint(_)) && !is_numeric(column) {
            return Err(not_numeric(&self.name, column, side.name()));
        }
        Ok(Some(reader))
    }

    /// Counts a row; says whether it is coherent.
    fn note(&mut self, by: &[Value], value: &Value, side: Side) -> bool {
        match &mut self.tally {
            Tally::Categorical { nulls, .. } | Tally::Numeric { nulls, .. } if value.is_null() => {
                *nulls.of(side) += 1;
            }
            Tally::Categorical { counts, .. } => *counts.of(side).entry(key_text(value)).or_default() += 1,
            Tally::Numeric { numbers, .. } => numbers.of(side).extend(number(value)),
            Tally::Joint(groups) => {
                let group = groups.entry(by.iter().map(cell_key).collect()).or_default();
                if group.label.is_empty() {
                    group.label = by.iter().map(key_text).collect();
                }
                group.rows += u64::from(side == Side::Result);
                group.numbers.of(side).extend(number(value).filter(|n| !n.is_nan()));
            }
            Tally::Coherent { known, coherent, rows, missing } => {
                let tuple: Vec<String> = by.iter().chain([value]).map(cell_key).collect();
                if side == Side::Seed {
                    known.insert(tuple);
                    return true;
                }
                *rows += 1;
                if known.contains(&tuple) {
                    *coherent += 1;
                    return true;
                }
                if missing.len() < LISTED && !missing.contains_key(&tuple) {
                    let words: Vec<_> = by.iter().chain([value]).map(key_text).collect();
                    missing.insert(tuple, words.join(", "));
                }
                return false;
            }
            Tally::Skipped(_) => {}
        }
        true
    }

    fn finish(self) -> ColumnComparison {
        let by = self.by;
        let (score, details, reason) = match self.tally {
            Tally::Categorical { counts, nulls } => {
                let score = tv_complement(&counts.seed, &counts.result);
                let (values, other) = shares(&counts);
                (score, Details::Categorical { values, other, nulls }, NOTHING)
            }
            Tally::Numeric { numbers, nulls } => {
                let score = ks_complement(&numbers.seed, &numbers.result);
                let five_numbers =
                    Sides { seed: five_numbers(&numbers.seed), result: five_numbers(&numbers.result) };
                (score, Details::Numeric { five_numbers: five_numbers.map(finite), nulls }, NOTHING)
            }
            Tally::Joint(groups) => {
                let (score, groups, rows_without_seed) = joint(groups);
                (score, Details::Joint { by, groups, rows_without_seed }, "no group has numbers on both sides")
            }
            Tally::Coherent { coherent, rows, missing, .. } => {
                let score = (rows > 0).then(|| share(coherent, rows));
                let coherent = Coherent { rows: coherent, of: rows };
                let examples = missing.into_values().collect();
                (score, Details::Coherent { by, coherent, examples }, "the result has no rows")
            }
            Tally::Skipped(reason) => {
                let (column, details) = (self.name, Details::Skipped);
                return ColumnComparison { column, score: None, reason: Some(reason), details };
            }
        };
        let score = score.filter(|score| score.is_finite());
        let reason = score.is_none().then(|| reason.to_owned());
        ColumnComparison { column: self.name, score, reason, details }
    }
}

const NOTHING: &str = "one side has nothing but nulls";

impl<T> Sides<T> {
    fn map<U>(self, f: impl Fn(T) -> U) -> Sides<U> {
        Sides { seed: f(self.seed), result: f(self.result) }
    }
}

/// Five numbers that JSON has words for.
fn finite(numbers: Option<[f64; 5]>) -> Option<[f64; 5]> {
    numbers.filter(|numbers| numbers.iter().all(|n| n.is_finite()))
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The most frequent values, and all others together.
fn shares(counts: &Sides<BTreeMap<String, u64>>) -> (Vec<Share>, Option<Share>) {
    let totals = Sides { seed: counts.seed.values().sum(), result: counts.result.values().sum() };
    let line = |value: String, counts: Sides<u64>| {
        let shares = Sides { seed: share(counts.seed, totals.seed), result: share(counts.result, totals.result) };
        Share { value, counts, shares }
    };
    let mut all: BTreeMap<&str, Sides<u64>> = BTreeMap::new();
    for side in [Side::Seed, Side::Result] {
        let from = if side == Side::Seed { &counts.seed } else { &counts.result };
        for (value, count) in from {
            *all.entry(value).or_default().of(side) += count;
        }
    }
    let mut lines: Vec<Share> = all.into_iter().map(|(value, counts)| line(value.to_owned(), counts)).collect();
    // Stable: equally frequent ones stay in the order of their text.
    lines.sort_by_key(|l| std::cmp::Reverse((l.counts.seed, l.counts.result)));
    let rest = lines.split_off(lines.len().min(LISTED));
    let sum = |side: fn(&Sides<u64>) -> u64| rest.iter().map(|l| side(&l.counts)).sum();
    let rest_counts = Sides { seed: sum(|c| c.seed), result: sum(|c| c.result) };
    (lines, (!rest.is_empty()).then(|| line("other".to_owned(), rest_counts)))
}

/// The weighted mean over the groups, the groups, and the rows that have none.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn joint(groups: IndexMap<Vec<String>, JointGroup>) -> (Option<f64>, Vec<Group>, u64) {
    let (mut sum, mut weight, mut without) = (0.0, 0_u64, 0);
    let mut found = Vec::new();
    for group in groups.into_values() {
        if group.numbers.seed.is_empty() {
            without += group.rows;
            continue;
        }
        let Some(score) = ks_complement(&group.numbers.seed, &group.numbers.result) else { continue };
        let rows = Sides { seed: group.numbers.seed.len() as u64, result: group.numbers.result.len() as u64 };
        sum += score * rows.result as f64;
        weight += rows.result;
        found.push(Group { values: group.label, rows, score });
    }
    ((weight > 0).then(|| sum / weight as f64), found, without)
}
