//! `flowrun show`: how a run stands, and what happened in it step by step.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;

use flowrun_core::error::StepError;
use flowrun_core::journal::ItemRecord;
use flowrun_journal::{Found, Record, Status, StepEnd, costs, scan};

use super::used::{usage_of, used_in_words};
use super::{End, Ends, age_in_words, locate, stopped};
use crate::commands::run::given_again;
use crate::commands::{Stop, print_out};
use crate::render::{plural, thousands};

/// `flowrun show`.
pub(in crate::commands) fn show(run: Option<&str>, failures: bool) -> Result<(), Stop> {
    let path = locate(run)?;
    let found = Found::at(&path).map_err(stopped)?;
    if failures { tell_failures(&found) } else { print_out(&overview(&found)?) }
}

fn overview(found: &Found) -> Result<String, Stop> {
    let run = match &found.run {
        Ok(run) => run,
        Err(error) => return Err(Stop::usage(error.to_string())),
    };
    let mut text = format!(
        "{}  run {}  seed {}  {} {}\n",
        run.flow.name,
        found.id,
        run.seed,
        found.status.word(),
        age_in_words(found.age)
    );
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  flow     {}", run.flow.file.display());
    if let Some(forked) = &run.forked {
        let _ = writeln!(text, "  forked   from {} at {}", forked.run, forked.from);
    }
    for (name, value) in &run.inputs {
        let _ = writeln!(text, "  input    {name} = {value}");
    }
    for name in &run.secret_inputs {
        let _ = writeln!(text, "  input    {name}: secret, and not kept");
    }
    for (name, answers) in &run.models {
        let _ = writeln!(text, "  model    {name}: {answers}");
    }
    // What cannot be told of the calls is no reason to tell nothing of the run.
    let used = usage_of(found)
        .map_or_else(|why| Some(format!("? ({why})")), |usage| (usage.calls > 0).then(|| used_in_words(&usage)));
    if let Some(used) = used {
        let _ = writeln!(text, "  used     {used}");
    }
    let visits = visits_of(found)?;
    let width = visits.iter().map(|visit| visit.name.chars().count()).max().unwrap_or(0);
    for visit in &visits {
        visit.tell(width, found.status == Status::Running, &mut text);
    }
    if let Some(error) = found.state.as_ref().and_then(|state| state.error.as_ref()) {
        let step = error.step.as_ref().map(|step| format!("{step}: ")).unwrap_or_default();
        let _ = writeln!(text, "  failed   {step}{} ({})", error.message, error.code);
    }
    if found.status != Status::Finished && found.status != Status::Running {
        let _ = writeln!(text, "  to go on: flowrun resume {}{}", found.id, given_again(run));
    }
    Ok(text)
}

/// A visit of a step of the top flow, with what happened in it folded into counts.
#[derive(Default)]
struct Visit {
    /// Its name, with the number of the visit where it is not the first.
    name: String,
    step_type: String,
    end: Option<StepEnd>,
    asked: Option<u64>,
    /// Whether that is how many are to be accepted.
    target: bool,
    /// Items of the visit itself that have finished.
    items: Ends,
    /// Effects, by the way to them without items and trials.
    effects: BTreeMap<String, HashSet<u64>>,
}

/// The visit that an address belongs to, and the way below it without items, trials and visits.
fn place(address: &str) -> (&str, String) {
    let end = address.find(['/', '[', '!', '.', ':', '@']).unwrap_or(address.len());
    let (visit, rest) = address.split_at(end);
    let way: Vec<&str> = rest.split('/').skip(1).map(|part| part.split('#').next().unwrap_or(part)).collect();
    (visit, way.join(" › "))
}

/// The visits in the order in which they began the last time.
fn visits_of(found: &Found) -> Result<Vec<Visit>, Stop> {
    let mut visits: HashMap<String, (usize, Visit)> = HashMap::new();
    let mut turn = 0;
    let read = scan(&found.path, |record| {
        let address = match &record {
            Record::Effect { key, .. } if !costs(key) => return,
            Record::Effect { key, .. } => key.rsplit_once('!').map_or(*key, |(address, _)| address),
            Record::Item { map, .. } | Record::Map { map, .. } => map,
            Record::Begun { visit, .. } | Record::Ended { visit, .. } => visit,
        };
        let (at, way) = place(address);
        turn += 1;
        if !visits.contains_key(at) {
            visits.insert(at.to_owned(), (turn, Visit { name: name_of(at), ..Visit::default() }));
        }
        let Some((told, visit)) = visits.get_mut(at) else { return };
        match record {
            Record::Effect { key, .. } => {
                visit.effects.entry(way).or_default().insert(fingerprint(key));
            }
            Record::Item { index, failed, rejected, .. } if address == at => {
                visit.items.set(index, failed, rejected);
            }
            Record::Map { asked, target, .. } if address == at => {
                (visit.asked, visit.target) = (Some(asked), target);
            }
            Record::Begun { step_type, .. } => {
                (*told, visit.step_type, visit.end) = (turn, step_type, None);
            }
            Record::Ended { how, .. } => visit.end = Some(how),
            _ => {}
        }
    });
    read.map_err(stopped)?;
    let mut visits: Vec<(usize, Visit)> = visits.into_values().collect();
    visits.sort_by_key(|(turn, _)| *turn);
    Ok(visits.into_iter().map(|(_, visit)| visit).collect())
}

fn name_of(visit: &str) -> String {
    match visit.rsplit_once('#') {
        Some((step, "1")) => step.to_owned(),
        Some((step, number)) => format!("{step} (visit {number})"),
        None => visit.to_owned(),
    }
}

/// A key in little room, of which a run may have millions: it only says which ones were written more than once.
fn fingerprint(key: &str) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    hasher.write(key.as_bytes());
    hasher.finish()
}

impl Visit {
    fn tell(&self, width: usize, running: bool, text: &mut String) {
        let mut told = Vec::new();
        let has_items = self.asked.is_some() || self.items.all() > 0;
        if has_items {
            told.push(self.items_in_words());
        }
        match &self.end {
            Some(StepEnd { branch: Some(branch), note }) => {
                if !has_items {
                    told.push(note.clone().unwrap_or_else(|| self.step_type.clone()));
                }
                if branch != "next" {
                    told.push(format!("→ {branch}"));
                }
            }
            Some(StepEnd { branch: None, note }) => {
                told.push(format!("failed: {}", note.as_deref().unwrap_or("?")));
            }
            None => told.push(if running { "running" } else { "not ended" }.to_owned()),
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {:<width$}  {}", self.name, told.join("   "));
        for (way, effects) in &self.effects {
            let way = if way.is_empty() { String::new() } else { format!("{way}  ") };
            let _ = writeln!(text, "  {:<width$}    {way}{}", "", plural(effects.len() as u64, "effect"));
        }
    }

    fn items_in_words(&self) -> String {
        let number = |end, what: &str| match self.items.count(end) {
            0 => String::new(),
            n => format!(", {} {what}", thousands(n)),
        };
        let failed = number(End::Failed, "failed");
        let asked = self.asked.map(|asked| format!(" of {}", thousands(asked))).unwrap_or_default();
        if self.target {
            let accepted = self.items.count(End::Accepted).min(self.asked.unwrap_or(u64::MAX));
            return format!(
                "{}{asked} accepted{}{failed}",
                thousands(accepted),
                number(End::Rejected, "rejected")
            );
        }
        format!("{}{asked} items{failed}", thousands(self.items.all()))
    }
}

/// Item by item: there may be very many.
fn tell_failures(found: &Found) -> Result<(), Stop> {
    let mut unreadable = None;
    let count = flowrun_journal::each_failed(&found.path, |map, index, record| {
        let step = map.split('#').next().unwrap_or(map);
        let text = match record.map(serde_json::from_str).transpose() {
            Ok(Some(ItemRecord { result: Err(error), attempts, .. })) => told(step, index, &error, attempts),
            Ok(_) => format!("{step}[{index}]  its record is large, see the failures file\n"),
            Err(error) => {
                unreadable =
                    Some(Stop::usage(format!("a record of the run {} cannot be read: {error}", found.id)));
                return false;
            }
        };
        unreadable = print_out(&text).err();
        unreadable.is_none()
    });
    let count = count.map_err(stopped)?;
    if let Some(stop) = unreadable {
        return Err(stop);
    }
    print_out(&match count {
        0 => format!("no item of the run {} has failed\n", found.id),
        _ => format!("{} failed; `flowrun retry {}` runs them again\n", plural(count, "item"), found.id),
    })
}

fn told(step: &str, index: u64, error: &StepError, attempts: u32) -> String {
    let at = error.at.as_ref().map_or_else(|| format!("{step}[{index}]"), ToString::to_string);
    let mut text = format!("{at}  {} ({}), {}\n", error.message, error.code, plural(attempts.into(), "attempt"));
    for (label, detail) in &error.details {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {label:<8} {}", detail.replace('\n', "\n           "));
    }
    text
}
