//! What is kept of a run's events for the summary and the manifest.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flowrun_core::address::Address;
use flowrun_core::events::{Event, ItemCounts, Observer};
use serde::Serialize;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_like_a_clock() {
        let texts = [400, 59_900, 102_000, 7_380_000].map(|ms| clock(Duration::from_millis(ms)));
        assert_eq!(texts, ["400 ms", "59.9 s", "1:42", "2:03:00"]);
    }
}
