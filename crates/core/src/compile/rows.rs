//! Follows rows through a flow: what is joined must have been made from the rows it is joined to.

use super::wiring::Wired;
use super::{Decoded, codes, place};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::signature::Rows;

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

struct RowsOf<'a> {
    steps: &'a [Decoded<'a>],
    wired: &'a Wired,
}

impl RowsOf<'_> {
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
