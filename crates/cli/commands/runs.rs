//! `flowrun runs`, `show`, `compact` and `rm`: what is kept on disk.

mod show;
mod used;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flowrun_core::diagnostics::nearest;
use flowrun_core::journal::begun_call;
use flowrun_journal::{Found, Held, JournalError, Record, RunFolder, Status, costs, runs_in, scan};
use serde_json::{Value, json};
pub(super) use show::show;
use used::{usage_of, used_in_words};

use super::{Stop, print_out};
use crate::render::{Screen, plural, thousands};

/// The folder of all runs, below the working folder.
pub(super) const RUNS: &str = ".flowrun/runs";

/// What a run holds, counted from its journal.
#[derive(Default)]
pub(super) struct Rows {
    /// Effects and items.
    pub(super) held: Held,
    /// The maps of the top flow: their steps, how many items they have, finish and fail.
    pub(super) maps: BTreeMap<String, MapRows>,
}

/// How far a map is.
#[derive(Clone, Copy, Default)]
pub(super) struct MapRows {
    /// How many items it has or, where it has a target, how many are to be accepted.
    asked: Option<u64>,
    /// Those of them that there are.
    done: u64,
    failed: u64,
    rejected: u64,
    /// Whether it has a target.
    target: bool,
}

/// How an item ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Accepted,
    Rejected,
    Failed,
}

/// How the items of one map ended, in a byte each: a journal may hold millions.
#[derive(Default)]
struct Ends(Vec<Option<End>>);

impl Ends {
    /// The last word on an item counts.
    fn set(&mut self, index: u64, failed: bool, rejected: bool) {
        let end = match (failed, rejected) {
            (true, _) => End::Failed,
            (_, true) => End::Rejected,
            _ => End::Accepted,
        };
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        if self.0.len() <= at {
            self.0.resize(at.saturating_add(1), None);
        }
        self.0[at] = Some(end);
    }

    fn count(&self, end: End) -> u64 {
        self.0.iter().filter(|e| **e == Some(end)).count() as u64
    }

    fn all(&self) -> u64 {
        self.0.iter().flatten().count() as u64
    }
}

/// A journal that cannot be read, as the end of a command.
#[expect(clippy::needless_pass_by_value, reason = "an argument of `map_err`")]
pub(super) fn stopped(error: JournalError) -> Stop {
    let stop = Stop::usage(error.to_string());
    match error {
        JournalError::InUse { .. } => stop.help("wait for it, or stop that process"),
        JournalError::Missing(_) | JournalError::Damaged { .. } | JournalError::Changed { .. } => {
            stop.help("the folder was changed by something else than flowrun; `flowrun rm` removes the run")
        }
        JournalError::Newer { .. } => stop.help("use the version of flowrun that made it, or a later one"),
        JournalError::NoRun(_) => stop.help("`flowrun runs` lists the runs that are kept here"),
        JournalError::Io { .. } => stop,
    }
}

/// The folder of a run, by its id or its own path; of the last one where nothing is said.
pub(super) fn locate(run: Option<&str>) -> Result<PathBuf, Stop> {
    let runs = Path::new(RUNS);
    let Some(run) = run else {
        let last = runs_in(runs).map_err(stopped)?.into_iter().next();
        let none = || Stop::usage("no run is kept here").help("`flowrun FILE` begins one");
        return last.map(|found| found.path).ok_or_else(none);
    };
    let is_id = run.chars().all(|c| c.is_ascii_alphanumeric());
    let by_id = runs.join(run);
    if is_id && by_id.is_dir() {
        return Ok(by_id);
    }
    if Path::new(run).is_dir() {
        return Ok(PathBuf::from(run));
    }
    let known: Vec<String> = runs_in(runs).map_err(stopped)?.into_iter().map(|found| found.id).collect();
    let stop = Stop::usage(format!("no run `{run}` is kept here"));
    Err(match nearest(run, known.iter().map(String::as_str)) {
        Some(near) => stop.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => stop.help("`flowrun FILE` begins one"),
        None => stop.help("`flowrun runs` lists those that are"),
    })
}

/// Counts what a run's journal holds.
pub(super) fn rows_of(folder: &Path) -> Result<Rows, JournalError> {
    let mut rows = Rows::default();
    let mut ended: HashMap<String, Ends> = HashMap::new();
    let mut begun: HashSet<String> = HashSet::new();
    scan(folder, |record| match record {
        Record::Effect { key, answer, .. } => {
            if let Some(call) = begun_call(key) {
                begun.insert(call.to_owned());
            } else if costs(key) {
                *(if answer { &mut rows.held.answers } else { &mut rows.held.calls }) += 1;
                begun.remove(key);
            }
        }
        Record::Map { map, asked, target } => {
            let map = rows.maps.entry(map.to_owned()).or_default();
            (map.asked, map.target) = (Some(asked), target);
        }
        Record::Item { map, index, failed, rejected, .. } => {
            if !ended.contains_key(map) {
                ended.insert(map.to_owned(), Ends::default());
            }
            if let Some(ends) = ended.get_mut(map) {
                ends.set(index, failed, rejected);
            }
        }
        Record::Begun { .. } | Record::Ended { .. } => {}
    })?;
    rows.held.begun = begun.len() as u64;
    for (map, ends) in ended {
        let [well, failed, rejected] = [End::Accepted, End::Failed, End::Rejected].map(|end| ends.count(end));
        rows.held.items += well + failed + rejected;
        rows.held.failed += failed;
        // Items of maps within items are part of those.
        if !map.contains('/') {
            let map = rows.maps.entry(map).or_default();
            (map.failed, map.rejected) = (failed, rejected);
            // What a map with a target is asked for is accepted items, of which it may have run too many.
            map.done = match map.asked.filter(|_| map.target) {
                Some(asked) => well.min(asked),
                None => well + failed + rejected,
            };
        }
    }
    Ok(rows)
}

/// What a run holds, for a person.
pub(super) fn held_in_words(rows: &Rows) -> String {
    let asked: Option<u64> = rows.maps.values().map(|map| map.asked).sum();
    let done: u64 = rows.maps.values().map(|map| map.done).sum();
    match (asked, rows.held.items) {
        (Some(asked), 1..) if asked > 0 => format!("{} of {} items are kept", thousands(done), thousands(asked)),
        (_, 0) => {
            let Held { calls, answers, begun, .. } = rows.held;
            let parts = [(calls, "finished call"), (answers, "answer"), (begun, "begun call")];
            let parts = parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| plural(count, what));
            let parts: Vec<String> = parts.collect();
            format!("{} kept", if parts.is_empty() { plural(0, "finished call") } else { parts.join(" and ") })
        }
        (_, items) => format!("{} kept", plural(items, "finished item")),
    }
}

/// `flowrun runs`.
pub(super) fn list(as_json: bool) -> Result<(), Stop> {
    let runs = runs_in(Path::new(RUNS)).map_err(stopped)?;
    if as_json {
        let list: Vec<Value> = runs.iter().map(described).collect();
        return print_out(&format!("{:#}\n", Value::Array(list)));
    }
    let mut text = String::new();
    for found in &runs {
        let (id, status, age) = (&found.id, found.status.word(), age_in_words(found.age));
        let (items, failed, flow) = match counted(found) {
            Ok((flow, rows)) => (items_in_words(&rows), failed_in_words(&rows), flow),
            Err(problem) => ("?".to_owned(), String::new(), problem),
        };
        let used = usage_of(found).map_or_else(|_| "?".to_owned(), |usage| used_in_words(&usage));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{id:<6} {status:<9} {items:>24}  {failed:<14} {used:>28}  {age:>12}  {flow}");
    }
    if text.is_empty() {
        text.push_str("no run is kept here\n");
    }
    print_out(&text)
}

/// The flow of a run and what its journal holds, or why that cannot be told.
fn counted(found: &Found) -> Result<(String, Rows), String> {
    let run = found.run.as_ref().map_err(ToString::to_string)?;
    let rows = rows_of(&found.path).map_err(|e| e.to_string())?;
    Ok((run.flow.name.clone(), rows))
}

fn items_in_words(rows: &Rows) -> String {
    match totals(rows) {
        (0, 0, _) => "– items".to_owned(),
        (0, done, _) => format!("{} items", thousands(done)),
        (asked, done, _) => {
            // Where every map has a target, the numbers are those of accepted items.
            let what = if rows.maps.values().all(|map| map.target) { "accepted" } else { "items" };
            format!("{} of {} {what}", thousands(done), thousands(asked))
        }
    }
}

fn failed_in_words(rows: &Rows) -> String {
    match totals(rows) {
        (.., 0) => String::new(),
        (.., failed) => format!("{} failed", thousands(failed)),
    }
}

/// Items of maps of the top flow: asked for, done, failed.
fn totals(rows: &Rows) -> (u64, u64, u64) {
    rows.maps.values().fold((0, 0, 0), |(asked, done, failed), map| {
        (asked + map.asked.unwrap_or(0), done + map.done, failed + map.failed)
    })
}

fn described(found: &Found) -> Value {
    let counted = counted(found);
    let items = counted.as_ref().ok().map(|(_, rows)| {
        let (asked, done, failed) = totals(rows);
        let rejected: u64 = rows.maps.values().map(|map| map.rejected).sum();
        json!({"asked": asked, "done": done, "failed": failed, "rejected": rejected})
    });
    let usage = usage_of(found);
    let problem = counted.err().or_else(|| usage.as_ref().err().map(ToString::to_string));
    let usage = usage.ok();
    json!({
        "run": found.id,
        "flow": found.run.as_ref().ok().map(|run| &run.flow.name),
        "file": found.run.as_ref().ok().map(|run| &run.flow.file),
        "seed": found.run.as_ref().ok().map(|run| run.seed),
        "status": found.status,
        "problem": problem,
        "items": items,
        "seconds_ago": found.age.as_secs(),
        "usage": usage,
        "cost": usage.and_then(|usage| usage.dollars()),
    })
}

fn age_in_words(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} ago", plural(seconds / 86_400, "day")),
    }
}

/// `flowrun compact`.
pub(super) fn compact(run: Option<&str>, screen: &Screen) -> Result<(), Stop> {
    let mut folder = RunFolder::open(&locate(run)?).map_err(stopped)?;
    let items = rows_of(folder.path()).map_err(stopped)?.held.items;
    let (before, after) = flowrun_journal::compact(&mut folder).map_err(stopped)?;
    screen.line(&format!("run {}: {} → {}", folder.id(), size(before), size(after)));
    if items > 0 {
        screen.line(&format!(
            "  `resume` and `retry` go on as before; over a flow that was changed, what {} asked is asked again",
            plural(items, "finished item")
        ));
    }
    Ok(())
}

/// A number of bytes for a person.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return plural(bytes, "byte");
    }
    let (mut scale, mut unit) = (1000, UNITS[0]);
    for next in &UNITS[1..] {
        if bytes < scale * 1000 {
            break;
        }
        (scale, unit) = (scale * 1000, next);
    }
    format!("{}.{} {unit}", bytes / scale, bytes % scale * 10 / scale)
}

/// `flowrun rm`.
pub(super) fn remove(
    named: &[String],
    finished: bool,
    older_than: Option<Duration>,
    screen: &Screen,
) -> Result<(), Stop> {
    let mut folders = named.iter().map(|run| locate(Some(run))).collect::<Result<Vec<_>, _>>()?;
    if finished {
        let old =
            |found: &Found| found.status == Status::Finished && older_than.is_none_or(|age| found.age >= age);
        folders.extend(runs_in(Path::new(RUNS)).map_err(stopped)?.into_iter().filter(old).map(|found| found.path));
    }
    for path in &folders {
        match RunFolder::open(path) {
            Ok(folder) => folder.remove().map_err(stopped)?,
            Err(error @ (JournalError::InUse { .. } | JournalError::NoRun(_))) => return Err(stopped(error)),
            // What is left of a run whose folder is incomplete can still be removed.
            Err(_) => {
                std::fs::remove_dir_all(path).map_err(|e| Stop::usage(format!("`{}`: {e}", path.display())))?;
            }
        }
    }
    screen.line(&format!("{} removed", plural(folders.len() as u64, "run")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_ages_are_short() {
        assert_eq!([999, 1_234, 12_345_678].map(size), ["999 bytes", "1.2 kB", "12.3 MB"]);
        let ages = [5, 90, 7_300, 200_000].map(|s| age_in_words(Duration::from_secs(s)));
        assert_eq!(ages, ["5 s ago", "1 min ago", "2 h ago", "2 days ago"]);
    }
}
