//! What of a journal a resume would use.

use std::path::Path;

use crate::folder::items_from;
use crate::index::{Index, Record, scan_places};
use crate::journal::{VALUES, read_large};
use crate::{JOURNAL_FILE, JournalError};

/// What a resume would use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The outcome of an effect outside of finished items.
    Effect,
    /// The record of a finished item.
    Item,
}

/// Hands what a resume would use to `each`, as JSON, in the order in which it was written: the last outcome of each effect
/// outside of finished items, and the last record of each finished item. Whether a flow that was changed still makes the
/// same requests cannot be known here. What the whole run remembers is left out.
///
/// # Errors
/// When a file cannot be read, is missing, of a newer format, or damaged other than at its end.
pub fn each_held(folder: &Path, mut each: impl FnMut(Kept, &str)) -> Result<(), JournalError> {
    let path = folder.join(JOURNAL_FILE);
    let index = Index::read(&path, false, items_from(folder)?)?;
    let mut broken = None;
    scan_places(&path, |record, place| {
        let (last, kept, text, large) = match &record {
            Record::Effect { key, .. } if key.starts_with('!') => return,
            Record::Effect { key, outcome, large, .. } => {
                (index.effects.get(*key).copied(), Kept::Effect, outcome, large)
            }
            Record::Item { map, index: item, record, large, .. } => {
                (index.item(map, *item), Kept::Item, record, large)
            }
            _ => return,
        };
        if last.is_none_or(|last| last.offset != place.offset) {
            return;
        }
        match (text, large) {
            (Some(text), _) => each(kept, text),
            (None, Some(digest)) => match read_large(&folder.join(VALUES), digest) {
                Ok(text) => each(kept, &text),
                Err(error) => broken = Some(error),
            },
            (None, None) => {}
        }
    })?;
    broken.map_or(Ok(()), Err)
}
