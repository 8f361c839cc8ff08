//! `flowrun cache`: the replies that runs have kept for others.

use std::path::Path;
use std::sync::Arc;

use flowrun_journal::{CachedModel, ReplyCache};
use flowrun_steps::{Cache, KeepsReplies};
use serde_json::{Value, json};

use super::runs::size;
use super::{Stop, print_out};
use crate::args::CacheCommand;
use crate::render::{Screen, thousands};

/// Beside the folder of all runs.
const CACHE: &str = ".flowrun/cache.db";

struct Kept(ReplyCache);

impl KeepsReplies for Kept {
    fn get(&self, name: &str) -> Result<Option<String>, String> {
        self.0.get(name)
    }

    fn put(&self, name: &str, model: &str, reply: &str) -> Result<(), String> {
        self.0.put(name, model, reply)
    }
}

/// The cache, for a run.
pub(super) fn open() -> Result<Cache, Stop> {
    let help = "`flowrun cache clear` removes it; without `--cache` every call is made";
    let cache = ReplyCache::open(Path::new(CACHE)).map_err(|e| Stop::usage(e).help(help))?;
    Ok(Cache(Arc::new(Kept(cache))))
}

pub(super) fn cache(what: CacheCommand, screen: &Screen) -> Result<(), Stop> {
    match what {
        CacheCommand::Stats { json } => stats(json),
        CacheCommand::Clear => {
            let was = ReplyCache::clear(Path::new(CACHE))
                .map_err(|e| Stop::usage(format!("`{CACHE}` cannot be removed: {e}")))?;
            screen.line(if was { "the cache is removed" } else { "there is no cache here" });
            Ok(())
        }
    }
}

fn stats(as_json: bool) -> Result<(), Stop> {
    let models = if Path::new(CACHE).exists() {
        ReplyCache::open(Path::new(CACHE)).and_then(|cache| cache.stats()).map_err(Stop::usage)?
    } else {
        Vec::new()
    };
    if as_json {
        let list = models.iter().map(|m| json!({"model": m.model, "replies": m.replies, "bytes": m.bytes}));
        return print_out(&format!("{:#}\n", Value::Array(list.collect())));
    }
    let line = |m: &CachedModel| {
        let replies = if m.replies == 1 { "reply" } else { "replies" };
        format!("{}  {} {replies}  {}\n", m.model, thousands(m.replies), size(m.bytes))
    };
    let text: String = models.iter().map(line).collect();
    print_out(if text.is_empty() { "the cache is empty\n" } else { &text })
}
