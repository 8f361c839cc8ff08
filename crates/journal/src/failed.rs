//! The items of a run that failed, one after the other.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use serde_json::value::RawValue;

use crate::folder::items_from;
use crate::index::{Place, Record, line_at, scan_places};
use crate::line::decode;
use crate::{JOURNAL_FILE, JournalError};

/// Hands the items that ended in an error the last time that they ran to `each`, by map and place: the address of the
/// map's visit, the place, and the record as JSON, or none where it stands in a file of its own. Goes on as long as `each`
/// says so, and gives how many it was handed. Only their places are held in memory.
///
/// # Errors
/// When the file cannot be read, is of a newer format, or is damaged other than at its end.
pub fn each_failed(
    folder: &Path,
    mut each: impl FnMut(&str, u64, Option<&str>) -> bool,
) -> Result<u64, JournalError> {
    let (path, items_from) = (folder.join(JOURNAL_FILE), items_from(folder)?);
    let mut failed: BTreeMap<String, BTreeMap<u64, Place>> = BTreeMap::new();
    scan_places(&path, |record, place| {
        let Record::Item { map, index, failed: has_failed, .. } = record else { return };
        if place.offset < items_from {
            return;
        }
        if !has_failed {
            if let Some(places) = failed.get_mut(map) {
                places.remove(&index);
            }
        } else if let Some(places) = failed.get_mut(map) {
            places.insert(index, place);
        } else {
            failed.insert(map.to_owned(), BTreeMap::from([(index, place)]));
        }
    })?;
    let mut file = File::open(&path).map_err(JournalError::io(&path, "read"))?;
    let mut count = 0;
    for (map, places) in &failed {
        for (index, place) in places {
            let bytes = line_at(&mut file, *place).map_err(JournalError::io(&path, "read"))?;
            let line = decode(&bytes).map_err(|why| JournalError::Changed { path: path.clone(), why })?;
            count += 1;
            if !each(map, *index, line.value.map(RawValue::get)) {
                return Ok(count);
            }
        }
    }
    Ok(count)
}
