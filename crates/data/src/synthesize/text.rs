//! Made-up text as a column.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, Float64Array};
use flowrun_core::seed::Key;
use flowrun_core::table::TableError;
use flowrun_core::types::Type;
use rand_chacha::ChaCha8Rng;

use super::fake::Bound;
use super::sampler::{Drawn, Rows, Sampler};
use crate::batch::index;

/// One value a row, each from the row's own stream.
pub(super) struct MadeUp {
    pub(super) key: Key,
    pub(super) column: Type,
    pub(super) make: Bound,
}

impl Sampler for MadeUp {
    fn column(&self) -> &Type {
        &self.column
    }

    fn sample(&self, rows: &Rows<'_>) -> Result<Drawn, TableError> {
        let streams = rows.numbers().map(|row| self.key.stream(row));
        let array: ArrayRef = match &self.make {
            Bound::Text(make) => {
                let mut texts = StringBuilder::new();
                streams.for_each(|mut stream| texts.append_value(make(&mut stream)));
                Arc::new(texts.finish())
            }
            Bound::Number(make) => {
                Arc::new(streams.map(|mut stream| Some(make(&mut stream))).collect::<Float64Array>())
            }
        };
        Ok(Drawn::Array(array, self.column.clone()))
    }
}

/// Text of which no row has the same: settled in row order, so a row needs all rows before it, which are kept.
pub(super) struct MadeUpOnce {
    key: Key,
    name: String,
    kind: String,
    column: Type,
    make: Box<dyn Fn(&mut ChaCha8Rng) -> String + Send + Sync>,
    settled: Mutex<Settled>,
}

/// The values of rows 0, 1, 2 and so on. A cache alone: whatever it holds, a row's value is the same.
#[derive(Default)]
struct Settled {
    values: Vec<Arc<str>>,
    seen: HashSet<Arc<str>>,
}

impl MadeUpOnce {
    /// How often a row draws before it gives up.
    const MOST_DRAWS: usize = 1000;

    pub(super) fn new(
        key: Key,
        name: &str,
        kind: &str,
        make: Box<dyn Fn(&mut ChaCha8Rng) -> String + Send + Sync>,
    ) -> Self {
        let settled = Mutex::default();
        Self { key, name: name.to_owned(), kind: kind.to_owned(), column: Type::string(), make, settled }
    }

    fn settle(&self, settled: &mut Settled, rows: u64) -> Result<(), TableError> {
        for row in settled.values.len() as u64..rows {
            let mut stream = self.key.stream(row);
            let fresh = (0..Self::MOST_DRAWS)
                .map(|_| (self.make)(&mut stream))
                .find(|text| !settled.seen.contains(text.as_str()));
            let Some(text) = fresh else {
                let message = format!(
                    "column `{}`, row {row}: {} draws of `{}` found none that is new; {} distinct values were found",
                    self.name,
                    Self::MOST_DRAWS,
                    self.kind,
                    settled.seen.len()
                );
                return Err(TableError::new("synthesize.unique", message)
                    .with_help("ask for fewer rows, take a kind that has more values, or drop `unique`"));
            };
            let text: Arc<str> = text.into();
            settled.seen.insert(Arc::clone(&text));
            settled.values.push(text);
        }
        Ok(())
    }
}

impl Sampler for MadeUpOnce {
    fn column(&self) -> &Type {
        &self.column
    }

    fn sample(&self, rows: &Rows<'_>) -> Result<Drawn, TableError> {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = rows.numbers().last() {
            self.settle(&mut settled, last + 1)?;
        }
        let mut texts = StringBuilder::new();
        rows.numbers().for_each(|row| texts.append_value(&settled.values[index(row)]));
        Ok(Drawn::Array(Arc::new(texts.finish()), self.column.clone()))
    }
}
