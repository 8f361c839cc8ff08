//! When a map ends before its items do: `stop_after` and `target_accepted`.

use std::sync::Arc;

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::{Diagnostic, Diagnostics};
use flowrun_core::error::StepError;
use flowrun_core::events::ItemCounts;
use flowrun_core::execute::{OnItemError, StepCx, StopAfter, Target};
use flowrun_core::late::Late;
use flowrun_core::table::Table;
use flowrun_core::words::plural;
use schemars::JsonSchema;
use serde::Deserialize;

use super::source::Source;

/// Items that a map with a target takes for each that is wanted, where nothing is said.
const ITEMS_FOR_ONE: u64 = 10;
/// Failures that count together where only a share is said.
const OF_LAST: u64 = 100;

/// Ends a map whose items fail over and over: after `errors` of them, or where a `share` of so many in a row have failed.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StopAfterConfig {
    /// So many items that failed.
    #[schemars(range(min = 1))]
    errors: Option<u64>,
    /// This share of the items that `of_last` names, such as 0.2.
    #[schemars(range(min = 0, max = 1))]
    share: Option<f64>,
    /// How many items in a row the share is of. Default: 100.
    #[schemars(range(min = 1, max = 100_000))]
    of_last: Option<u64>,
}

impl StopAfterConfig {
    pub(super) fn check(self, scope: &Scope<'_>, on_item_error: OnItemError) -> Diagnostics {
        let mut wrong = Diagnostics::new();
        match (self.errors, self.share, self.of_last) {
            (Some(_), None, None) => {}
            (None, Some(share), _) if share > 0.0 => {}
            (None, Some(_), _) => {
                wrong.push(scope.bad(&["stop_after", "share"], "a share of 0 is reached before anything fails"));
            }
            _ => {
                let message = "`stop_after` is either `errors`, or a `share` with `of_last`";
                wrong.push(
                    scope
                        .bad(&["stop_after"], message)
                        .help("write `stop_after: { errors: 20 }`, or `stop_after: { share: 0.2, of_last: 100 }`"),
                );
            }
        }
        if on_item_error == OnItemError::Fail {
            let message = "`stop_after` counts failed items, and the first one ends this map";
            wrong.push(scope.bad(&["stop_after"], message).help("write `on_item_error: skip` or `keep` as well"));
        }
        wrong
    }

    pub(super) fn plan(self) -> StopAfter {
        match (self.errors, self.share) {
            (Some(errors), _) => StopAfter { errors, of_last: None },
            (None, share) => {
                let of_last = self.of_last.unwrap_or(OF_LAST);
                #[expect(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a share from 0 to 1 of at most 100,000"
                )]
                let errors = (share.unwrap_or(1.0) * of_last as f64).ceil() as u64;
                StopAfter { errors: errors.clamp(1, of_last), of_last: Some(of_last) }
            }
        }
    }
}

/// Runs items until so many are accepted: the sources draw further rows for those that are not.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetConfig {
    /// The collected output whose truth says whether an item is accepted.
    #[serde(rename = "where")]
    pub(super) condition: String,
    /// How many accepted items the result has: the first ones, in the order of the items.
    rows: Late<u64>,
    /// How many items are run at most; where they do not suffice, the map fails. Default: ten times `rows`.
    max_items: Option<Late<u64>>,
    /// Items that may run beyond those that are missing if all that run are accepted. It keeps more of them going at
    /// the end, and what turns out not to be wanted is discarded and counted as overdrawn. Default: 0, none runs in vain.
    #[serde(default)]
    ahead: u64,
}

impl TargetConfig {
    pub(super) fn check(
        &self,
        scope: &Scope<'_>,
        accept: Option<&str>,
        on_item_error: OnItemError,
        unpack: bool,
    ) -> Diagnostics {
        let mut wrong = Diagnostics::new();
        if let Some(accept) = accept.filter(|accept| *accept != self.condition) {
            let message = format!(
                "`accept` names `{accept}` and `target_accepted` names `{}`; an item is accepted in one sense",
                self.condition
            );
            wrong.push(scope.bad(&["target_accepted", "where"], message).help("leave out `accept`"));
        }
        if on_item_error == OnItemError::Keep {
            let message = "`keep` has nothing to keep: with `target_accepted` the result has accepted items alone";
            wrong.push(scope.bad(&["on_item_error"], message).help("write `on_item_error: skip`"));
        }
        if unpack {
            let message = "`target_accepted` draws rows of tables, and `unpack` takes items apart";
            wrong.push(scope.bad_key(&["unpack"], message).help("read the row's fields in the flow"));
        }
        if let (Late::Now(rows), Some(Late::Now(most))) = (&self.rows, &self.max_items)
            && most < rows
        {
            wrong.push(too_few(scope, *rows, *most));
        }
        wrong
    }

    /// What is wanted now, and the most items that may run for it.
    pub(super) fn plan(&self, cx: &StepCx<'_>) -> Result<(Target, u64), StepError> {
        let accepted = self.rows.get(cx)?;
        let most = self.max_items.as_ref().map(|most| most.get(cx)).transpose()?;
        let most = most.unwrap_or_else(|| accepted.saturating_mul(ITEMS_FOR_ONE));
        if most < accepted {
            let message = format!("{} cannot be accepted of {most}", plural(accepted, "row"));
            return Err(StepError::new("map.target", message).help("raise `max_items`, or ask for fewer rows"));
        }
        Ok((Target { accepted, ahead: self.ahead }, most))
    }
}

fn too_few(scope: &Scope<'_>, rows: u64, most: u64) -> Diagnostic {
    let message = format!("{} cannot be accepted of {most}", plural(rows, "row"));
    scope.bad(&["target_accepted", "max_items"], message).help("raise `max_items`, or ask for fewer rows")
}

/// Tables that can be drawn on, or why one cannot.
pub(super) fn growable(sources: &[(Arc<str>, Source)]) -> Result<(), StepError> {
    let fixed = sources.iter().find(|(_, source)| !source.table().is_some_and(Table::growable));
    let Some((name, source)) = fixed else { return Ok(()) };
    let is = source.table().map_or_else(|| "is no table".to_owned(), |table| format!("has {table}"));
    let message = format!("rows of `{name}` are drawn until enough are accepted, and it cannot grow: it {is}");
    Err(StepError::new("map.fixed", message).help(
        "map over what `synthesize` makes, what `sample_rows` picks with `replace: true`, or both side by side",
    ))
}

/// Whether the target was met; a map that gives fewer rows than it was asked for has failed.
pub(super) fn met(target: Target, counts: &ItemCounts, most: u64) -> Result<(), StepError> {
    if counts.accepted >= target.accepted {
        return Ok(());
    }
    let message = format!(
        "{} of {} were accepted of {most} items, {} rejected and {} failed",
        counts.accepted,
        plural(target.accepted, "row"),
        counts.rejected,
        counts.failed
    );
    Err(StepError::new("map.target", message).help(
        "raise `max_items` and go on with `flowrun resume --accept-changes`, which runs no finished call again; or look at what is rejected",
    ))
}
