//! Marks of changes that were made, in the transactions that made them: what a run has changed is not changed again, whatever
//! moment its process died at.

use rusqlite::{Connection, OptionalExtension, params};

use crate::store::MARKS;
use crate::{Changed, Once, StoreError};

/// What a change came to that was made before under this mark.
pub(super) fn made(within: &Connection, once: &Once) -> Result<Option<Changed>, StoreError> {
    within.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS {MARKS} (key TEXT PRIMARY KEY, outcome TEXT NOT NULL) STRICT, WITHOUT ROWID"
    ))?;
    let mut look = within.prepare_cached(&format!("SELECT outcome FROM {MARKS} WHERE key = ?1"))?;
    let kept: Option<String> = look.query_row([once.key()], |row| row.get(0)).optional()?;
    kept.map(|kept| serde_json::from_str(&kept).map_err(|e| unreadable(&e))).transpose()
}

/// Marks a change as made.
pub(super) fn mark(within: &Connection, once: &Once, changed: &Changed) -> Result<(), StoreError> {
    let outcome = serde_json::to_string(changed).map_err(|e| unreadable(&e))?;
    let mut put = within.prepare_cached(&format!("INSERT INTO {MARKS} (key, outcome) VALUES (?1, ?2)"))?;
    put.execute(params![once.key(), outcome])?;
    Ok(())
}

/// Removes the marks of a run, and the table with the last of them.
pub(super) fn forget(connection: &mut Connection, run: &str) -> Result<(), StoreError> {
    let within = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if within.table_exists(None, MARKS)? {
        let (first, last) = Once::range(run);
        let others = format!("SELECT EXISTS (SELECT 1 FROM {MARKS} WHERE key < ?1 OR key >= ?2)");
        if within.query_row(&others, [&first, &last], |row| row.get(0))? {
            within.execute(&format!("DELETE FROM {MARKS} WHERE key >= ?1 AND key < ?2"), [&first, &last])?;
        } else {
            within.execute_batch(&format!("DROP TABLE {MARKS}"))?;
        }
    }
    Ok(within.commit()?)
}

fn unreadable(error: &serde_json::Error) -> StoreError {
    StoreError::new("store.change", format!("the outcome of a change cannot be kept or read: {error}"))
}
