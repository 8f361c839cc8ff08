//! What a run has used: as it said at its end, or as its journal says where its process is gone or still at work.

use flowrun_core::events::Usage;
use flowrun_journal::{Found, JOURNAL_FILE, JournalError, Kept, each_held};
use flowrun_steps::models::usage_kept;
use serde::Deserialize;

use crate::render::plural;
use crate::report::cost_in_words;

/// Calls, tokens and cost. Of a run without an end it is what a resume would begin with, and where the flow was changed since,
/// also the calls that a resume would make again.
pub(super) fn usage_of(found: &Found) -> Result<Usage, JournalError> {
    let said = found.state.as_ref().and_then(|state| serde_json::from_value(state.usage.clone()).ok());
    said.map_or_else(|| usage_in_journal(found), Ok)
}

fn usage_in_journal(found: &Found) -> Result<Usage, JournalError> {
    /// What of an item's record is wanted here.
    #[derive(Deserialize)]
    struct Item {
        usage: Usage,
    }

    let (mut all, mut unreadable) = (Usage::default(), None);
    each_held(&found.path, |kept, text| {
        all += match kept {
            Kept::Effect => usage_kept(text).unwrap_or_default(),
            Kept::Item => serde_json::from_str(text).map_or_else(
                |error| {
                    unreadable = Some(error.to_string());
                    Usage::default()
                },
                |Item { usage }| usage,
            ),
        };
    })?;
    unreadable.map_or(Ok(all), |why| Err(JournalError::Changed { path: found.path.join(JOURNAL_FILE), why }))
}

/// For a person: calls, tokens, and what they cost where that is known.
pub(super) fn used_in_words(usage: &Usage) -> String {
    let tokens = usage.input_tokens + usage.output_tokens;
    let parts = [
        (usage.calls > 0).then(|| plural(usage.calls, "call")),
        (tokens > 0).then(|| plural(tokens, "token")),
        (usage.priced > 0).then(|| cost_in_words(usage)),
    ];
    match parts.into_iter().flatten().collect::<Vec<_>>().join(", ") {
        nothing if nothing.is_empty() => "–".to_owned(),
        used => used,
    }
}
