//! Drops from a journal what no resume of the same flow needs: the effects inside of finished items, and records that later
//! ones replace.

use std::fs::File;
use std::io::{BufWriter, Write};

use crate::index::{Index, line_at};
use crate::line::Line;
use crate::{FORMAT, JOURNAL_FILE, JournalError, RunFolder};

/// Writes the journal of a run anew, beside the old one, and renames it. Gives its size before and after.
///
/// # Errors
/// When it cannot be read or written; the old one stays then.
pub fn compact(folder: &mut RunFolder) -> Result<(u64, u64), JournalError> {
    let path = folder.path().join(JOURNAL_FILE);
    let index = Index::read(&path, false, folder.run.items_from)?;
    let before = std::fs::metadata(&path).map_err(JournalError::io(&path, "read"))?.len();
    let mut places: Vec<_> = index.effects.values().copied().collect();
    places.extend(index.items.values().flatten().filter(|place| place.length > 0));
    places.extend(index.visits.places());
    places.sort_by_key(|place| place.offset);
    let beside = path.with_extension("partial");
    let write = || -> std::io::Result<u64> {
        let mut old = File::open(&path)?;
        let mut new = BufWriter::new(File::create(&beside)?);
        // Said, because a flow that was changed wants what is dropped here.
        let compacted = index.compacted || index.items.values().any(|items| !items.is_empty());
        let header = Line { journal: Some(FORMAT), compacted, ..Line::default() };
        new.write_all(&header.encode()?)?;
        for (map, asked) in &index.asked {
            new.write_all(&asked.line(map).encode()?)?;
        }
        for place in places {
            new.write_all(&line_at(&mut old, place)?)?;
        }
        let file = new.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        std::fs::rename(&beside, &path)?;
        file.metadata().map(|m| m.len())
    };
    let after = write().map_err(JournalError::io(&path, "written"))?;
    if folder.run.items_from > 0 {
        // Those that do not count are gone.
        folder.run.items_from = 0;
        folder.write_run()?;
    }
    Ok((before, after))
}
