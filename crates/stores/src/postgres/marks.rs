//! Marks of changes that were made, in the transactions that made them. The table is made with `create_tables: true`; where it
//! is not there, a change that was made but not journaled when the process died is made again.

use tokio_postgres::Client;

use super::pool::wrong;
use crate::store::MARKS;
use crate::{Changed, Once, StoreError};

/// Looks for the table, and makes it where that is asked for.
pub(super) async fn prepare(client: &Client, create: bool) -> Result<bool, StoreError> {
    let there = async || {
        let found = client.query_one("SELECT to_regclass($1) IS NOT NULL", &[&MARKS]).await;
        found.map(|row| row.get::<_, bool>(0)).map_err(|e| wrong(&e))
    };
    if there().await? || !create {
        return there().await;
    }
    let sql =
        format!("CREATE TABLE IF NOT EXISTS {MARKS} (key text COLLATE \"C\" PRIMARY KEY, outcome text NOT NULL)");
    match client.batch_execute(&sql).await {
        Ok(()) => Ok(true),
        // Another connection has made it in this very moment.
        Err(error) => {
            if there().await? {
                Ok(true)
            } else {
                Err(wrong(&error))
            }
        }
    }
}

/// What a change came to that was made before under this mark.
pub(super) async fn made(client: &Client, once: &Once) -> Result<Option<Changed>, StoreError> {
    let sql = format!("SELECT outcome FROM {MARKS} WHERE key = $1");
    let kept = client.query_opt(&sql, &[&once.key()]).await.map_err(|e| wrong(&e))?;
    kept.map(|row| serde_json::from_str(row.get(0)).map_err(|e| unreadable(&e))).transpose()
}

/// Marks a change as made.
pub(super) async fn mark(client: &Client, once: &Once, changed: &Changed) -> Result<(), StoreError> {
    let outcome = serde_json::to_string(changed).map_err(|e| unreadable(&e))?;
    let sql = format!("INSERT INTO {MARKS} (key, outcome) VALUES ($1, $2)");
    client.execute(&sql, &[&once.key(), &outcome]).await.map(drop).map_err(|e| wrong(&e))
}

/// Removes the marks of a run.
pub(super) async fn forget(client: &Client, run: &str) -> Result<(), StoreError> {
    let (first, last) = Once::range(run);
    let sql = format!("DELETE FROM {MARKS} WHERE key >= $1 AND key < $2");
    client.execute(&sql, &[&first, &last]).await.map(drop).map_err(|e| wrong(&e))
}

fn unreadable(error: &serde_json::Error) -> StoreError {
    StoreError::new("store.change", format!("the outcome of a change cannot be kept or read: {error}"))
}
