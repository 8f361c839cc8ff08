//! Follows rows through a flow: what is joined must have been made from the rows it is joined to, and what is drawn on
//! until enough is there must be able to grow.

use std::collections::{HashMap, HashSet};

use super::ways::Producer;
use super::wiring::Wired;
use super::{Decoded, codes, place};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::signature::{Grows, Rows};

/// An output whose rows a table has: a step and a place among its outputs.
type Origin = (usize, usize);

/// Checks every join whose tables come from known places; the rest is checked while the flow runs.
pub(super) fn check(steps: &[Decoded<'_>], wired: &Wired, found: &mut Diagnostics) {
    let mut rows = RowsOf::new(steps, wired);
    for (n, step) in steps.iter().enumerate() {
        for (table, columns) in &step.signature.joins {
            let (Some(made), Some(from)) = (rows.origin(n, columns, true), rows.origin(n, table, false)) else {
                continue;
            };
            let Rows::Mapped(sources) = &steps[made.0].signature.outputs[made.1].rows else {
                continue;
            };
            let origins: Option<Vec<Origin>> = sources.iter().map(|s| rows.origin(made.0, s, false)).collect();
            if origins.is_none_or(|origins| origins.contains(&from)) {
                continue;
            }
            let (made, from) = (&steps[made.0].spec.name.value, &steps[from.0].spec.name.value);
            let name = &step.spec.name;
            let message = format!(
                "`{}` joins what `{made}` made onto the rows of `{from}`, and it was not made from those",
                name.value
            );
            let wrong = Diagnostic::error(codes::OTHER_ROWS, message, place(&name.span, &step.spec.span));
            found.push(wrong.help(format!("wire `table` to a table that `{made}` maps over")));
        }
    }
}

/// Checks every table that is read past its length, as far as the wiring says where it comes from.
pub(super) fn check_growth(steps: &[Decoded<'_>], wired: &Wired, found: &mut Diagnostics) {
    let rows = RowsOf::new(steps, wired);
    for (n, step) in steps.iter().enumerate() {
        for input in &step.signature.draws_on {
            let Some(fixed) = rows.fixed(n, input) else { continue };
            let (name, fixed) = (&step.spec.name, &steps[fixed].spec.name.value);
            let message = format!(
                "`{}` draws rows of `{input}` until enough are accepted, and those of `{fixed}` cannot grow",
                name.value
            );
            let wrong = Diagnostic::error(codes::FIXED_ROWS, message, place(&name.span, &step.spec.span));
            found.push(wrong.help(
                "map over what `synthesize` makes, what `sample_rows` picks with `replace: true`, or both side by side",
            ));
        }
    }
}

struct RowsOf<'a> {
    steps: &'a [Decoded<'a>],
    wired: &'a Wired,
    /// Origins that are known, by step, place among its inputs, and whether rows may have been left out.
    origins: HashMap<(usize, usize, bool), Option<Origin>>,
}

impl<'a> RowsOf<'a> {
    fn new(steps: &'a [Decoded<'a>], wired: &'a Wired) -> Self {
        Self { steps, wired, origins: HashMap::new() }
    }

    fn place(&self, step: usize, input: &str) -> Option<usize> {
        self.steps[step].signature.inputs.iter().position(|p| p.name == input)
    }

    fn producers(&self, step: usize, place: usize) -> &'a [Producer] {
        &self.wired.steps[step].reached[place].producers
    }

    /// A step whose table reaches this input and cannot grow.
    fn fixed(&self, step: usize, input: &str) -> Option<usize> {
        enum Look {
            At(Producer),
            Behind(usize, usize),
        }
        let mut seen = HashSet::new();
        let mut ahead = vec![Look::Behind(step, self.place(step, input)?)];
        while let Some(look) = ahead.pop() {
            match look {
                Look::Behind(step, place) if seen.insert((step, place)) => {
                    ahead.extend(self.producers(step, place).iter().rev().map(|producer| Look::At(*producer)));
                }
                Look::Behind(..) => {}
                Look::At((step, output)) => match &self.steps[step].signature.outputs[output].grows {
                    Grows::Never => return Some(step),
                    Grows::With(inputs) => {
                        let places = inputs.iter().rev().filter_map(|input| self.place(step, input));
                        ahead.extend(places.map(|place| Look::Behind(step, place)));
                    }
                    Grows::Always | Grows::Unknown => {}
                },
            }
        }
        None
    }

    /// Where the rows of a step's input were made, if that is one known place. `some`: rows may have been left out.
    fn origin(&mut self, step: usize, input: &str, some: bool) -> Option<Origin> {
        let mut at = (step, self.place(step, input)?, some);
        let mut passed = Vec::new();
        let origin = loop {
            if let Some(known) = self.origins.get(&at) {
                break *known;
            }
            // Who comes here again has gone around a loop of unchanged rows.
            self.origins.insert(at, None);
            passed.push(at);
            let [producer] = self.producers(at.0, at.1) else { break None };
            let through = match &self.steps[producer.0].signature.outputs[producer.1].rows {
                Rows::Same(through) => through,
                Rows::Some(through) if some => through,
                _ => break Some(*producer),
            };
            let Some(place) = self.place(producer.0, through) else { break None };
            at = (producer.0, place, some);
        };
        self.origins.extend(passed.into_iter().map(|at| (at, origin)));
        origin
    }
}
