//! What is kept of a run's events for the summary and the manifest.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flowrun_core::address::Address;
use flowrun_core::events::{Event, ItemCounts, Observer, Usage};
use serde::Serialize;

use crate::render::thousands;

/// How a map of the top flow ended.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MapSummary {
    /// The step.
    pub(crate) step: String,
    /// How its items ended.
    pub(crate) items: ItemCounts,
    /// How often each named end of the inner flow was reached.
    pub(crate) ends: BTreeMap<String, u64>,
}

/// Keeps what the summary, `--json` and the manifest need.
#[derive(Debug, Default)]
pub(crate) struct Record {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    maps: Vec<MapSummary>,
    scores: BTreeMap<String, serde_json::Value>,
    said: u64,
}

impl Record {
    /// The maps of the top flow, in the order in which they ended.
    pub(crate) fn maps(&self) -> Vec<MapSummary> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).maps.clone()
    }

    /// How many messages were said outside of items.
    pub(crate) fn said(&self) -> u64 {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).said
    }

    /// The scores, by step.
    pub(crate) fn scores(&self) -> BTreeMap<String, serde_json::Value> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).scores.clone()
    }
}

fn name(at: &Address) -> String {
    at.to_string()
}

impl Observer for Record {
    fn on(&self, event: &Event<'_>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::MapFinished { at, counts, ends } if at.depth() == 0 => {
                let ends = ends.iter().map(|(end, times)| (end.to_string(), *times)).collect();
                kept.maps.push(MapSummary { step: name(at), items: (*counts).clone(), ends });
            }
            Event::Scored { at, scores } => {
                kept.scores.insert(name(at), (*scores).clone());
            }
            Event::Said { at, .. } if at.item().is_none() => kept.said += 1,
            _ => {}
        }
    }
}

/// A span of time for a person: `40 ms`, `3.6 s`, `1:42`, `2:03:00`.
pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

/// What calls cost, for a person: `–` where no price is known, and where it is known of some alone, that it is no more
/// than that.
pub(crate) fn cost_in_words(usage: &Usage) -> String {
    match (usage.priced, usage.unpriced) {
        (0, _) => "–".to_owned(),
        (_, 0) => dollars(usage.picodollars),
        _ => format!("at least {}", dollars(usage.picodollars)),
    }
}

/// Rounded to cents, or to two digits where that would be nothing or hardly more.
fn dollars(pico: u64) -> String {
    const CENT: u64 = 10_000_000_000;
    if pico == 0 {
        return "$0".to_owned();
    }
    if pico >= 10 * CENT {
        let cents = pico / CENT + u64::from(pico % CENT >= CENT / 2);
        return format!("${}.{:02}", thousands(cents / 100), cents % 100);
    }
    let unit = 10_u64.pow(pico.ilog10().saturating_sub(1));
    let rounded = pico / unit + u64::from(unit > 1 && pico % unit >= unit / 2);
    let digits = format!("{:012}", rounded * unit);
    format!("$0.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_as_exact_as_a_person_wants_them() {
        let pico = [0, 1, 156_000_000, 153_456_000, 99_600_000_000, 420_000_000_000, 1_234_565_000_000_000];
        assert_eq!(
            pico.map(dollars),
            ["$0", "$0.000000000001", "$0.00016", "$0.00015", "$0.1", "$0.42", "$1,234.57"]
        );
        let usage = Usage { priced: 2, picodollars: 420_000_000_000, ..Usage::default() };
        assert_eq!(cost_in_words(&usage), "$0.42");
        assert_eq!(cost_in_words(&Usage { unpriced: 1, ..usage }), "at least $0.42");
        assert_eq!(cost_in_words(&Usage { unpriced: 1, ..Usage::default() }), "–");
        assert_eq!((usage.dollars(), Usage { unpriced: 1, ..usage }.dollars()), (Some(0.42), None));
    }

    #[test]
    fn times_read_like_a_clock() {
        let texts = [400, 59_900, 102_000, 7_380_000].map(|ms| clock(Duration::from_millis(ms)));
        assert_eq!(texts, ["400 ms", "59.9 s", "1:42", "2:03:00"]);
    }
}
