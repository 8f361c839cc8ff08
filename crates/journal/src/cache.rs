//! [`ReplyCache`]: replies of models, kept from run to run in one file, by the names of their requests.
//!
//! A name is a hash of the whole request and of who is asked, so nothing that is secret stands in the file but what replies say.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

/// How long to wait for another process that writes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A file of replies.
pub struct ReplyCache(Mutex<Connection>);

/// What a cache holds of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedModel {
    /// The model's name.
    pub model: String,
    /// How many replies.
    pub replies: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

impl ReplyCache {
    /// Opens the file, and makes it where it is missing.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn open(path: &Path) -> Result<Self, String> {
        let wrong = |e: &dyn std::fmt::Display| format!("the cache `{}` cannot be used: {e}", path.display());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|e| wrong(&e))?;
            crate::folder::ignore(folder).map_err(|e| wrong(&e))?;
        }
        let open = || {
            let file = Connection::open(path)?;
            file.busy_timeout(PATIENCE)?;
            // A power cut may lose the last replies, but not the file; they are asked for again then.
            file.pragma_update(None, "journal_mode", "wal")?;
            file.pragma_update(None, "synchronous", "normal")?;
            file.execute_batch(
                "CREATE TABLE IF NOT EXISTS replies (name TEXT PRIMARY KEY, model TEXT NOT NULL, reply TEXT NOT NULL) \
                 STRICT, WITHOUT ROWID",
            )?;
            Ok(file)
        };
        open().map(|file| Self(Mutex::new(file))).map_err(|e: rusqlite::Error| wrong(&e))
    }

    fn file(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reply of this name.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn get(&self, name: &str) -> Result<Option<String>, String> {
        let file = self.file();
        let look = file.prepare_cached("SELECT reply FROM replies WHERE name = ?1");
        look.and_then(|mut look| look.query_row([name], |row| row.get(0)).optional()).map_err(|e| e.to_string())
    }

    /// Keeps a reply, unless one of this name is there.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub fn put(&self, name: &str, model: &str, reply: &str) -> Result<(), String> {
        let file = self.file();
        let put = file.prepare_cached("INSERT OR IGNORE INTO replies (name, model, reply) VALUES (?1, ?2, ?3)");
        put.and_then(|mut put| put.execute(params![name, model, reply])).map(drop).map_err(|e| e.to_string())
    }

    /// What it holds, by model.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn stats(&self) -> Result<Vec<CachedModel>, String> {
        let file = self.file();
        let read = || {
            let sql = "SELECT model, count(*), sum(length(CAST(reply AS BLOB))) FROM replies GROUP BY model ORDER BY model";
            let mut count = file.prepare(sql)?;
            let rows = count.query_map([], |row| {
                let number = |n| row.get::<_, i64>(n).map(|n| u64::try_from(n).unwrap_or(0));
                Ok(CachedModel { model: row.get(0)?, replies: number(1)?, bytes: number(2)? })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|e| e.to_string())
    }

    /// Removes the file, if it is there; says whether it was.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn clear(path: &Path) -> std::io::Result<bool> {
        let there = path.exists();
        for end in ["", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            match std::fs::remove_file(PathBuf::from(name)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_stay_until_they_are_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/cache.db");
        let cache = ReplyCache::open(&path).unwrap();
        assert_eq!(cache.get("a").unwrap(), None);
        cache.put("a", "m", "\"x\"").unwrap();
        cache.put("a", "m", "\"another\"").unwrap();
        let again = ReplyCache::open(&path).unwrap();
        assert_eq!(again.get("a").unwrap().as_deref(), Some("\"x\""), "the first one stays");
        assert_eq!(again.stats().unwrap(), [CachedModel { model: "m".into(), replies: 1, bytes: 3 }]);
        drop((cache, again));
        assert!(ReplyCache::clear(&path).unwrap() && !path.exists());
        assert!(!ReplyCache::clear(&path).unwrap());
        std::fs::write(&path, "no database at all, but a text of some length").unwrap();
        assert!(ReplyCache::open(&path).err().unwrap().contains("cannot be used"));
    }
}
