//! Drops from a journal what no resume needs: the effects inside of finished items, and records that later ones replace.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::index::{Index, line_at};
use crate::line::Line;
use crate::{FORMAT, JOURNAL_FILE, JournalError};

/// Writes the journal of a run anew, beside the old one, and renames it. Gives its size before and after.
///
/// # Errors
/// When it cannot be read or written; the old one stays then.
pub fn compact(folder: &Path) -> Result<(u64, u64), JournalError> {
    let path = folder.join(JOURNAL_FILE);
    let index = Index::read(&path, false, false)?;
    let before = std::fs::metadata(&path).map_err(JournalError::io(&path, "read"))?.len();
    let mut places: Vec<_> = index.effects.values().copied().collect();
    places.extend(index.items.values().flatten().filter(|place| place.length > 0));
    places.sort_by_key(|place| place.offset);
    let beside = path.with_extension("partial");
    let write = || -> std::io::Result<u64> {
        let mut old = File::open(&path)?;
        let mut new = BufWriter::new(File::create(&beside)?);
        let header = Line { journal: Some(FORMAT), ..Line::default() };
        new.write_all(&header.encode()?)?;
        for (map, asked) in &index.asked {
            let line = Line { map: Some(map.as_str().into()), asked: Some(*asked), ..Line::default() };
            new.write_all(&line.encode()?)?;
        }
        for place in places {
            new.write_all(&line_at(&mut old, place)?)?;
        }
        let file = new.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.sync_all()?;
        std::fs::rename(&beside, &path)?;
        file.metadata().map(|m| m.len())
    };
    write().map(|after| (before, after)).map_err(JournalError::io(&path, "written"))
}
