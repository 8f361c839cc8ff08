//! What a journal holds, and where: read once when a run goes on.
//!
//! Only places are held in memory, and of finished items not even those of what happened inside.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Bound;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::folder::items_from;
use crate::line::{Line, decode};
use crate::{FORMAT, JOURNAL_FILE, JournalError};

/// No item finishes further ahead of those before it: 65,536 at once, and as many times 64 that wait for their turn. Each
/// of those before it has a line, so a journal that says otherwise was not written by a run, and no room is made for it.
const FURTHEST: u64 = 65_536 * 64;

/// Larger values stand in files of their own, so a longer line is none of ours.
const LONGEST_LINE: usize = 1 << 20;

/// A record of a journal.
#[derive(Debug)]
pub enum Record<'a> {
    /// The outcome of an effect, as JSON.
    Effect {
        /// Its key: the address of the step, `!` and the effect's own.
        key: &'a str,
        /// Its outcome, or none where it stands in a file of its own.
        outcome: Option<&'a str>,
        /// The digest of an outcome that stands in a file of its own.
        large: Option<&'a str>,
        /// Whether it is what somebody answered, not what a call gave.
        answer: bool,
    },
    /// A map began.
    Map {
        /// The address of its visit.
        map: &'a str,
        /// How many items it has or, where it has a target, how many are to be accepted.
        asked: u64,
        /// Whether it has a target.
        target: bool,
    },
    /// A step of the top flow began.
    Begun {
        /// The address of its visit.
        visit: &'a str,
        /// Its type.
        step_type: String,
    },
    /// A step of the top flow ended.
    Ended {
        /// The address of its visit.
        visit: &'a str,
        /// How.
        how: StepEnd,
    },
    /// An item finished.
    Item {
        /// The address of the map's visit.
        map: &'a str,
        /// Its place.
        index: u64,
        /// Whether it ended in an error.
        failed: bool,
        /// Whether it ended well and was not accepted.
        rejected: bool,
        /// Its record as JSON, or none where it stands in a file of its own.
        record: Option<&'a str>,
        /// The digest of a record that stands in a file of its own.
        large: Option<&'a str>,
    },
}

/// How a step of the top flow ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepEnd {
    /// The branch that it took; none where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// What it made, in a few words, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Where a line stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) failed: bool,
    pub(crate) answer: bool,
}

/// How much a map is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Items, or accepted ones.
    pub(crate) items: u64,
    /// Whether accepted ones.
    pub(crate) target: bool,
}

impl Asked {
    /// The line that says so.
    pub(crate) fn line(self, map: &str) -> Line<'_> {
        let Self { items, target } = self;
        let (asked, target) = if target { (None, Some(items)) } else { (Some(items), None) };
        Line { map: Some(map.into()), asked, target, ..Line::default() }
    }
}

/// What a journal holds, by key.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) effects: BTreeMap<String, Place>,
    pub(crate) items: HashMap<String, Vec<Place>>,
    pub(crate) asked: BTreeMap<String, Asked>,
    /// The visits of steps of the top flow, in the order in which they began the last time, each with its lines.
    pub(crate) visits: Visits,
    /// Whether the effects inside of finished items were dropped.
    pub(crate) compacted: bool,
    /// The bytes up to the end of the last whole line.
    pub(crate) whole: u64,
}

impl Index {
    /// Reads a journal; `drop_failed`: as if the items that failed had never run, `items_from`: as if those that stand
    /// before this place had not finished.
    pub(crate) fn read(path: &Path, drop_failed: bool, items_from: u64) -> Result<Self, JournalError> {
        let mut index = Self::default();
        let (whole, compacted) = scan_places(path, |record, place| match record {
            Record::Begun { visit, .. } => index.visits.begun(visit, place),
            Record::Ended { visit, how } => index.visits.ended(visit, &how, place),
            Record::Effect { key, .. } => {
                index.effects.insert(key.to_owned(), place);
            }
            Record::Map { map, asked, target } => {
                index.asked.insert(map.to_owned(), Asked { items: asked, target });
            }
            Record::Item { failed, .. } if place.offset < items_from || (drop_failed && failed) => {}
            Record::Item { map, index: item, .. } => index.add_item(map, item, place),
        })?;
        (index.whole, index.compacted) = (whole, compacted);
        Ok(index)
    }

    fn add_item(&mut self, map: &str, item: u64, place: Place) {
        let inside = format!("{map}[{item}]/");
        let below: Vec<String> = self
            .effects
            .range::<str, _>((Bound::Included(inside.as_str()), Bound::Unbounded))
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(&inside))
            .cloned()
            .collect();
        for key in below {
            self.effects.remove(&key);
        }
        if !self.items.contains_key(map) {
            self.items.insert(map.to_owned(), Vec::new());
        }
        // A map within an item has few visits; their records go with the item's.
        if self.items.len() > 1 {
            self.items.retain(|inner, _| !inner.starts_with(&inside));
        }
        let Some(places) = self.items.get_mut(map) else { return };
        let at = usize::try_from(item).unwrap_or(usize::MAX);
        if places.len() <= at {
            places.resize(at + 1, Place::default());
        }
        places[at] = place;
    }

    /// Where the record of an item stands.
    pub(crate) fn item(&self, map: &str, index: u64) -> Option<Place> {
        let places = self.items.get(map)?;
        places.get(usize::try_from(index).ok()?).copied().filter(|place| place.length > 0)
    }
}

/// The visits of steps of the top flow.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    order: Vec<String>,
    lines: HashMap<String, Visit>,
}

#[derive(Debug)]
struct Visit {
    turn: usize,
    places: Vec<Place>,
    well: bool,
}

impl Visits {
    /// A visit that begins once more, over a flow that was changed, has its turn anew.
    fn begun(&mut self, visit: &str, place: Place) {
        let turn = self.order.len();
        self.order.push(visit.to_owned());
        self.lines.insert(visit.to_owned(), Visit { turn, places: vec![place], well: false });
    }

    fn ended(&mut self, visit: &str, how: &StepEnd, place: Place) {
        if let Some(visit) = self.lines.get_mut(visit) {
            visit.places.truncate(1);
            visit.places.push(place);
            visit.well = how.branch.is_some();
        }
    }

    /// Whether its beginning stands there.
    pub(crate) fn has_begun(&self, visit: &str) -> bool {
        self.lines.contains_key(visit)
    }

    /// Whether it stands there that it ended well.
    pub(crate) fn has_ended(&self, visit: &str) -> bool {
        self.lines.get(visit).is_some_and(|visit| visit.well)
    }

    /// As if none had begun.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// In the order in which they began.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = &str> {
        let last = |(turn, visit): &(usize, &String)| self.lines.get(*visit).is_some_and(|v| v.turn == *turn);
        self.order.iter().enumerate().filter(last).map(|(_, visit)| visit.as_str())
    }

    /// Where the lines stand that are needed.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.lines.values().flat_map(|visit| visit.places.iter().copied())
    }
}

/// The bytes of a line.
pub(crate) fn line_at(file: &mut File, place: Place) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; place.length as usize];
    file.seek(SeekFrom::Start(place.offset))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reads all whole records of a run's journal that count, in the order in which they were written: without items that were
/// finished over a flow that was changed since.
///
/// # Errors
/// When the file cannot be read, is of a newer format, or is damaged other than at its end.
pub fn scan(folder: &Path, mut each: impl FnMut(Record<'_>)) -> Result<(), JournalError> {
    let items_from = items_from(folder)?;
    let counts =
        |record: &Record<'_>, place: Place| place.offset >= items_from || !matches!(record, Record::Item { .. });
    let each = |record: Record<'_>, place| {
        if counts(&record, place) {
            each(record);
        }
    };
    scan_places(&folder.join(JOURNAL_FILE), each).map(drop)
}

/// Gives the bytes up to the end of the last whole line, and whether the journal was compacted. What a crash left behind it is no line and is passed over; a
/// line that is wrong and has whole ones behind it was damaged by something else.
pub(crate) fn scan_places(
    path: &Path,
    mut each: impl FnMut(Record<'_>, Place),
) -> Result<(u64, bool), JournalError> {
    let file = File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => JournalError::Missing(path.to_owned()),
        _ => JournalError::io(path, "read")(e),
    })?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let (mut bytes, mut offset, mut number) = (Vec::new(), 0_u64, 0_u64);
    let mut wrong: Option<(u64, String)> = None;
    let (mut whole, mut compacted) = (0, false);
    loop {
        bytes.clear();
        let (length, ended) = read_line(&mut reader, &mut bytes).map_err(JournalError::io(path, "read"))?;
        // What has no end yet is no line. A process that is writing it may have written more by now: reading on would be
        // reading from the middle.
        if !ended {
            return Ok((whole, compacted));
        }
        number += 1;
        match (decode(&bytes), &wrong) {
            (Ok(_), Some((line, why))) => {
                return Err(JournalError::Damaged { path: path.to_owned(), line: *line, why: why.clone() });
            }
            (Ok(line), None) if line.index.is_some_and(|index| index > number.saturating_add(FURTHEST)) => {
                let why = "no item so far ahead can have finished".to_owned();
                return Err(JournalError::Damaged { path: path.to_owned(), line: number, why });
            }
            (Ok(line), None) => {
                if let Some(found) = line.journal.filter(|found| *found > FORMAT) {
                    return Err(JournalError::Newer { path: path.to_owned(), found });
                }
                compacted |= line.compacted;
                let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let place = Place { offset, length, failed: line.failed, answer: line.answer };
                if let Some(record) = record(&line) {
                    each(record, place);
                }
                whole = offset + u64::from(length);
            }
            (Err(why), None) => wrong = Some((number, why)),
            (Err(_), Some(_)) => {}
        }
        offset += length;
    }
}

/// Reads one line, of which no more than [`LONGEST_LINE`] is kept; gives all the bytes that it has, and whether it has its
/// end.
fn read_line(reader: &mut impl BufRead, into: &mut Vec<u8>) -> std::io::Result<(u64, bool)> {
    let mut length = 0;
    loop {
        let available = reader.fill_buf()?;
        if available.is_empty() {
            return Ok((length, false));
        }
        let end = available.iter().position(|b| *b == b'\n');
        let take = end.map_or(available.len(), |at| at + 1);
        let room = LONGEST_LINE.saturating_sub(into.len()).min(take);
        into.extend_from_slice(&available[..room]);
        reader.consume(take);
        length += take as u64;
        if end.is_some() {
            return Ok((length, true));
        }
    }
}

fn record<'l>(line: &'l Line<'_>) -> Option<Record<'l>> {
    let (value, large) = (line.value.map(RawValue::get), line.large.as_deref());
    if let Some(key) = line.effect.as_deref() {
        return Some(Record::Effect { key, outcome: value, large, answer: line.answer });
    }
    if let Some((map, index)) = line.item.as_deref().zip(line.index) {
        let (failed, rejected) = (line.failed, line.rejected);
        return Some(Record::Item { map, index, failed, rejected, record: value, large });
    }
    if let Some(visit) = line.begun.as_deref() {
        #[derive(Default, Deserialize)]
        struct Begun {
            r#type: String,
        }
        // What it is called is for people alone.
        let begun: Begun = value.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        return Some(Record::Begun { visit, step_type: begun.r#type });
    }
    if let Some(visit) = line.ended.as_deref() {
        let how = value.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        return Some(Record::Ended { visit, how });
    }
    let (map, asked) = line.map.as_deref().zip(line.target.or(line.asked))?;
    Some(Record::Map { map, asked, target: line.target.is_some() })
}
