//! Follows rows through a flow: what is joined must have been made from the rows it is joined to, and what is drawn on
//! until enough is there must be able to grow.

use super::wiring::Wired;
use super::{Decoded, codes, place};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::signature::{Grows, Rows};

/// An output whose rows a table has: a step and a place among its outputs.
type Origin = (usize, usize);

/// Checks every join whose tables come from known places; the rest is checked while the flow runs.
pub(super) fn check(steps: &[Decoded<'_>], wired: &Wired, found: &mut Diagnostics) {
    let rows = RowsOf { steps, wired };
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
    let rows = RowsOf { steps, wired };
    for (n, step) in steps.iter().enumerate() {
        for input in &step.signature.draws_on {
            let Some(fixed) = rows.fixed(n, input, steps.len()) else { continue };
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
}

impl RowsOf<'_> {
    /// A step whose table reaches this input and cannot grow. Each of `turns` goes to an earlier producer.
    fn fixed(&self, step: usize, input: &str, turns: usize) -> Option<usize> {
        let turns = turns.checked_sub(1)?;
        let place = self.steps[step].signature.inputs.iter().position(|p| p.name == input)?;
        self.wired.steps[step].producers[place].iter().find_map(|(producer, output)| {
            match &self.steps[*producer].signature.outputs[*output].grows {
                Grows::Never => Some(*producer),
                Grows::With(inputs) => inputs.iter().find_map(|input| self.fixed(*producer, input, turns)),
                Grows::Always | Grows::Unknown => None,
            }
        })
    }

    /// Where the rows of a step's input were made, if that is one known place. `some`: rows may have been left out.
    fn origin(&self, step: usize, input: &str, some: bool) -> Option<Origin> {
        let (mut step, mut input) = (step, input.to_owned());
        // Each turn goes to an earlier producer; a loop of unchanged rows would go on for ever.
        for _ in 0..=self.steps.len() {
            let place = self.steps[step].signature.inputs.iter().position(|p| p.name == input)?;
            let [producer] = self.wired.steps[step].producers[place].as_slice() else {
                return None;
            };
            let port = &self.steps[producer.0].signature.outputs[producer.1];
            match &port.rows {
                Rows::Same(through) => (step, input) = (producer.0, through.clone()),
                Rows::Some(through) if some => (step, input) = (producer.0, through.clone()),
                _ => return Some(*producer),
            }
        }
        None
    }
}
