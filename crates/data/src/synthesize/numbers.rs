//! Numbers and identifiers that are computed from a row's draws.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{Float64Array, Int64Array, StringArray};
use flowrun_core::seed::Key;
use flowrun_core::table::TableError;
use flowrun_core::types::Type;

use super::normal::quantile;
use super::sampler::{Drawn, Rows, Sampler};
use super::spec;

/// Real numbers by the inverse of a distribution function, applied to a draw in [0, 1).
pub(super) struct Real<F> {
    pub(super) key: Key,
    pub(super) column: Type,
    pub(super) inverse: F,
}

impl<F: Fn(f64) -> f64 + Send + Sync> Sampler for Real<F> {
    fn column(&self) -> &Type {
        &self.column
    }

    fn sample(&self, rows: &Rows<'_>) -> Result<Drawn, TableError> {
        let mut draws = self.key.draws();
        let values = rows.numbers().map(|row| (self.inverse)(draws.unit(row)));
        Ok(Drawn::Array(Arc::new(Float64Array::from_iter_values(values)), self.column.clone()))
    }
}

/// Uniform over [low, high).
pub(super) fn uniform(key: Key, spec: &spec::Uniform) -> impl Sampler + use<> {
    let (low, high) = (spec.low, spec.high);
    // Rounding may reach the upper bound: then the number before it is meant.
    let below = if high > low { high.next_down() } else { high };
    Real { key, column: Type::number(), inverse: move |unit: f64| (low + unit * (high - low)).min(below) }
}

/// Normal, clamped, then rounded half away from zero.
pub(super) fn normal(key: Key, spec: &spec::Normal) -> impl Sampler + use<> {
    /// Half the distance between two draws, which keeps clear of 0.
    const HALF: f64 = f64::EPSILON / 4.0;
    let spec = spec.clone();
    let scale = spec.round.map(|digits| 10_f64.powi(i32::try_from(digits).unwrap_or(i32::MAX)));
    let inverse = move |unit: f64| {
        let mut value = spec.mean + spec.std * quantile(unit + HALF);
        if let Some(min) = spec.min {
            value = value.max(min);
        }
        if let Some(max) = spec.max {
            value = value.min(max);
        }
        scale.map_or(value, |scale| (value * scale).round() / scale)
    };
    Real { key, column: Type::number(), inverse }
}

/// Whole numbers from `low` to `low + count - 1`.
pub(super) struct Whole {
    key: Key,
    column: Type,
    low: i64,
    count: u64,
}

impl Whole {
    /// Both bounds are whole and within ±2^53: that was checked.
    #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53, checked before")]
    pub(super) fn new(key: Key, spec: &spec::Uniform) -> Self {
        let (low, high) = (spec.low as i64, spec.high as i64);
        Self { key, column: Type::integer(), low, count: high.abs_diff(low) + 1 }
    }
}

impl Sampler for Whole {
    fn column(&self) -> &Type {
        &self.column
    }

    fn sample(&self, rows: &Rows<'_>) -> Result<Drawn, TableError> {
        let mut draws = self.key.draws();
        let values = rows.numbers().map(|row| self.low.saturating_add_unsigned(draws.below(row, self.count)));
        Ok(Drawn::Array(Arc::new(Int64Array::from_iter_values(values)), self.column.clone()))
    }
}

/// Numbers in order.
pub(super) struct InOrder {
    pub(super) name: String,
    pub(super) column: Type,
    pub(super) spec: spec::Sequence,
}

impl InOrder {
    fn number(&self, row: u64) -> Result<i64, TableError> {
        let number = i128::from(self.spec.start) + i128::from(row) * i128::from(self.spec.step);
        i64::try_from(number).map_err(|_| {
            let message = format!("column `{}`, row {row}: the number {number} does not fit 64 bits", self.name);
            TableError::new("synthesize.overflow", message)
        })
    }
}

impl Sampler for InOrder {
    fn column(&self) -> &Type {
        &self.column
    }

    fn sample(&self, rows: &Rows<'_>) -> Result<Drawn, TableError> {
        let numbers = rows.numbers().map(|row| self.number(row)).collect::<Result<Vec<_>, _>>()?;
        if self.spec.prefix.is_none() && self.spec.width.is_none() {
            return Ok(Drawn::Array(Arc::new(Int64Array::from(numbers)), self.column.clone()));
        }
        let prefix = self.spec.prefix.as_deref().unwrap_or_default();
        let width = self.spec.width.unwrap_or_default();
        let texts = numbers.iter().map(|n| format!("{prefix}{n:0width$}"));
        Ok(Drawn::Array(Arc::new(StringArray::from_iter_values(texts)), self.column.clone()))
    }
}

/// Version 4 identifiers: 122 drawn bits, version and variant as RFC 9562, section 5.4, sets them.
pub(super) struct Identifier {
    pub(super) key: Key,
    pub(super) column: Type,
}

impl Sampler for Identifier {
    fn column(&self) -> &Type {
        &self.column
    }

    fn sample(&self, rows: &Rows<'_>) -> Result<Drawn, TableError> {
        const LENGTH: usize = 36;
        let mut draws = self.key.draws();
        let mut texts = StringBuilder::with_capacity(rows.offsets.len(), rows.offsets.len() * LENGTH);
        let mut text = String::with_capacity(LENGTH);
        for row in rows.numbers() {
            let [high, low] = draws.words(row);
            let high = high & !0xF000 | 0x4000;
            let low = low & !(0b11 << 62) | (0b10 << 62);
            text.clear();
            write!(
                text,
                "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                high >> 32,
                high >> 16 & 0xFFFF,
                high & 0xFFFF,
                low >> 48,
                low & 0xFFFF_FFFF_FFFF
            )
            .map_err(|e| TableError::new("synthesize.uuid", e.to_string()))?;
            texts.append_value(&text);
        }
        Ok(Drawn::Array(Arc::new(texts.finish()), self.column.clone()))
    }
}
