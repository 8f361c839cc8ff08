//! Collecting problems, and the words that messages are made of.

use std::collections::BTreeSet;
use std::ops::Range;

use flowrun_core::diagnostics::{Diagnostic, Diagnostics, Span};
use flowrun_core::node::{Node, NodeKind};

use crate::codes;

/// Keys whose value is never shown, in whatever case they are written.
pub const SECRET_KEYS: &[&str] =
    &["api_key", "token", "password", "authorization", "sensitive_headers", "set_env", "cookies"];

/// Whether the value of this key is never shown.
pub fn is_secret_key(key: &str) -> bool {
    SECRET_KEYS.iter().any(|secret| secret.eq_ignore_ascii_case(key))
}

/// The problems of one file, in a number that a person can be shown.
#[derive(Debug)]
pub(crate) struct Problems {
    found: Diagnostics,
    room: usize,
    /// Places whose value could not be read: what follows from that is not said again.
    unsound: BTreeSet<(usize, usize)>,
}

impl Problems {
    pub(crate) fn new(most: usize) -> Self {
        Self { found: Diagnostics::new(), room: most, unsound: BTreeSet::new() }
    }

    /// Adds a problem, unless its place is known to be unsound or the list is full.
    pub(crate) fn push(&mut self, problem: Diagnostic) {
        if self.room == 0 || self.is_unsound(&problem.span.range()) {
            return;
        }
        self.room -= 1;
        let span = problem.span.clone();
        self.found.push(problem);
        if self.room == 0 {
            let more = "there may be more problems than are listed";
            self.found.push(Diagnostic::error(codes::OVER_LIMIT, more, &span));
        }
    }

    /// Adds a problem that leaves `place` without a value to judge.
    pub(crate) fn push_unsound(&mut self, problem: Diagnostic, place: Range<usize>) {
        self.push(problem);
        self.mark_unsound(place);
    }

    /// Says that a place has no value to judge; a problem was pushed that says why.
    pub(crate) fn mark_unsound(&mut self, place: Range<usize>) {
        // With no room left nothing more is said anyway.
        if self.room > 0 {
            self.unsound.insert((place.start, place.end));
        }
    }

    /// Whether everything within this place could be read.
    pub(crate) fn is_sound(&self, place: &Range<usize>) -> bool {
        let inside = (place.start, 0)..=(place.end, usize::MAX);
        !self.unsound.range(inside).any(|(_, end)| *end <= place.end)
    }

    fn is_unsound(&self, place: &Range<usize>) -> bool {
        self.unsound.contains(&(place.start, place.end))
    }

    /// All of them, in the order of their places.
    pub(crate) fn into_diagnostics(self) -> Diagnostics {
        self.found.sorted()
    }
}

/// A number of bytes in words.
pub(crate) fn size(bytes: usize) -> String {
    const MIB: usize = 1 << 20;
    if bytes >= MIB && bytes.is_multiple_of(MIB) {
        format!("{} MiB", bytes / MIB)
    } else {
        format!("{bytes} bytes")
    }
}

/// A name between backticks, cut where it is long.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", cut(name))
}

fn cut(text: &str) -> String {
    const LONGEST: usize = 60;
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.len() < text.trim_end().len() => format!("{line}…"),
        None => line.to_owned(),
    }
}

/// Adds the nearest known name, or all of them; a name that is far too long is compared with none.
pub(crate) fn suggest<'a>(
    problem: Diagnostic,
    wrong: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    const LONGEST: usize = 64;
    if wrong.len() > LONGEST { problem } else { problem.suggest(wrong, known) }
}

/// What a value is, for `… must be an integer, not {this}`: as the file has it, so that nothing shows that came from
/// the environment, and without the text where the key is secret.
pub(crate) fn described(key: &str, node: &Node) -> String {
    let word = match &node.kind {
        NodeKind::Null => return "null".to_owned(),
        NodeKind::List(items) if items.is_empty() => return "an empty list".to_owned(),
        NodeKind::Map(entries) if entries.is_empty() => return "an empty mapping".to_owned(),
        NodeKind::List(_) => return "a list".to_owned(),
        NodeKind::Map(_) => return "a mapping".to_owned(),
        NodeKind::Bool(_) => "the boolean",
        NodeKind::Int(_) => "the integer",
        NodeKind::Float(_) => "the number",
        NodeKind::String(_) => "the string",
    };
    if is_secret_key(key) || node.inlined.is_some() {
        return word.replacen("the", "a", 1).replace("a integer", "an integer");
    }
    let written = written(&node.span).unwrap_or_default();
    match node.kind {
        NodeKind::String(_) if !written.starts_with(['"', '\'']) => {
            format!("{word} \"{}\"", cut(written))
        }
        _ => format!("{word} {}", cut(written)),
    }
}

/// Whether the value stands in the file as it is, with nothing from the environment or an alias in it.
pub(crate) fn is_literal(key: &str, node: &Node) -> bool {
    !is_secret_key(key) && written(&node.span).is_some_and(|text| !text.contains(['$', '*', '!']))
}

/// The text of the file at a place.
pub(crate) fn written(span: &Span) -> Option<&str> {
    span.source()?.text.get(span.range())
}

/// The place up to the end of its first line: what is underlined where a whole block is meant.
pub(crate) fn first_line(span: &Span) -> Span {
    let (Some(source), Some(text)) = (span.source(), written(span)) else {
        return span.clone();
    };
    let line = text.lines().next().unwrap_or_default().trim_end();
    let start = span.range().start;
    Span::new(source, start..start + line.len())
}
