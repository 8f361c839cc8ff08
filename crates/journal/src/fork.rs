//! A journal that begins with what another one holds up to a step.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use flowrun_core::journal::FILE_EFFECT;

use crate::folder::items_from;
use crate::index::{Index, Place, Record, line_at, scan_places};
use crate::journal::{VALUES, is_of};
use crate::line::Line;
use crate::{FORMAT, JOURNAL_FILE, JournalError};

/// The visits of steps of the top flow that a journal tells of, in the order in which they began: `justify#1`.
///
/// # Errors
/// When it cannot be read.
pub fn visits(folder: &Path) -> Result<Vec<String>, JournalError> {
    let index = Index::read(&folder.join(JOURNAL_FILE), false, 0)?;
    Ok(index.visits.in_order().map(str::to_owned).collect())
}

/// Whether the effects inside of a run's finished items were dropped.
///
/// # Errors
/// When its journal cannot be read.
pub fn is_compacted(folder: &Path) -> Result<bool, JournalError> {
    scan_places(&folder.join(JOURNAL_FILE), |_, _| {}).map(|(_, compacted)| compacted)
}

/// The visit of a step of the top flow that a record belongs to; none of what belongs to the whole run.
fn top(address: &str) -> &str {
    let end = address.find(['/', '[', '!', '.', ':', '@']).unwrap_or(address.len());
    &address[..end]
}

/// Writes a journal into the folder of a new run: what the one in `from` holds of the visits in `keep`, and of the whole
/// run. Later visits, whose values may come out otherwise, are left out with all that happened in them; with `effects_only`
/// also finished items and what was noted of files, so that each is run again over its effects.
///
/// # Errors
/// When the one cannot be read or the other not be written.
pub fn fork(from: &Path, to: &Path, keep: &[String], effects_only: bool) -> Result<(), JournalError> {
    let keep: HashSet<&str> = keep.iter().map(String::as_str).collect();
    let items_from = if effects_only { u64::MAX } else { items_from(from)? };
    let (old, new) = (from.join(JOURNAL_FILE), to.join(JOURNAL_FILE));
    let mut kept: Vec<(Place, Option<String>)> = Vec::new();
    let (_, compacted) = scan_places(&old, |record, place| {
        let (address, large) = match &record {
            // What was read may be another file by now.
            Record::Effect { key, .. } if effects_only && is_of(key, FILE_EFFECT) => return,
            Record::Effect { key, large, .. } => (*key, *large),
            Record::Item { .. } if place.offset < items_from => return,
            Record::Begun { .. } | Record::Ended { .. } if effects_only => return,
            Record::Item { map, large, .. } => (*map, *large),
            Record::Map { map, .. } => (*map, None),
            Record::Begun { visit, .. } | Record::Ended { visit, .. } => (*visit, None),
        };
        // A file that later visits read may be another one by now.
        if (address.starts_with('!') && !is_of(address, FILE_EFFECT)) || keep.contains(top(address)) {
            kept.push((place, large.map(str::to_owned)));
        }
    })?;
    let write = || -> std::io::Result<()> {
        let mut lines = File::open(&old)?;
        let mut out = BufWriter::new(File::options().write(true).create_new(true).open(&new)?);
        out.write_all(&Line { journal: Some(FORMAT), compacted, ..Line::default() }.encode()?)?;
        for (place, large) in kept {
            out.write_all(&line_at(&mut lines, place)?)?;
            if let Some(digest) = large {
                let target = to.join(VALUES).join(&digest);
                if !target.exists() {
                    std::fs::create_dir_all(to.join(VALUES))?;
                    std::fs::copy(from.join(VALUES).join(&digest), target)?;
                }
            }
        }
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
    };
    write().map_err(JournalError::io(&new, "written"))
}

#[cfg(test)]
mod tests {
    use flowrun_core::journal::Journal;

    use super::*;
    use crate::RunFolder;
    use crate::folder::tests::run_file;
    use crate::journal::{FileJournal, OpenOptions};

    #[test]
    fn what_lies_before_a_step_is_kept_also_of_a_loop() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        let run = RunFolder::create_at(&old, run_file()).unwrap();
        run.write_run().unwrap();
        std::fs::create_dir_all(&new).unwrap();
        let journal = FileJournal::create(&old, OpenOptions::default()).unwrap();
        let large = format!("\"{}\"", "x".repeat(300_000));
        // a, b, then a and b again: from b on, the second visit of a is later too.
        for (visit, key, outcome) in [
            ("a#1", "a#1[3]/ask#1!reply", large.as_str()),
            ("b#1", "b#1!reply", "2"),
            ("a#2", "a#2!reply", "3"),
            ("ab#1", "ab#1:flow/x#1!reply", "4"),
        ] {
            journal.note_begun(visit, "prompt").unwrap();
            journal.keep_effect(key.to_owned(), outcome.to_owned()).unwrap();
        }
        journal.keep_effect("!texts".to_owned(), "5".to_owned()).unwrap();
        drop(journal);
        let before: Vec<String> = visits(&old).unwrap();
        assert_eq!(before, ["a#1", "b#1", "a#2", "ab#1"]);
        fork(&old, &new, &before[..1], false).unwrap();
        let forked = FileJournal::open(&new, OpenOptions::default()).unwrap();
        assert_eq!(forked.effect("a#1[3]/ask#1!reply").unwrap(), Some(large));
        assert_eq!(forked.effect("!texts").unwrap().as_deref(), Some("5"));
        for gone in ["b#1!reply", "a#2!reply", "ab#1:flow/x#1!reply"] {
            assert_eq!(forked.effect(gone).unwrap(), None, "{gone}");
        }
        assert_eq!(visits(&new).unwrap(), ["a#1"]);
    }
}
