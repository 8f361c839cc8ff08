//! Closing a mapping: keys written twice, and merge keys `<<`.

use std::collections::HashMap;
use std::sync::Arc;

use flowrun_core::diagnostics::{Diagnostic, Span};
use flowrun_core::node::{Entry, Node, NodeKind};

use crate::codes;
use crate::problems::{Problems, quoted};

/// One entry of a mapping as it was read.
#[derive(Debug)]
pub(super) enum Slot {
    /// A key and its value.
    Entry(Entry),
    /// `<<` and what it merges.
    Merge { key_span: Span, value: Node },
}

/// The entries of a mapping. What is written wins over what is merged, of the merged the first wins; merged entries
/// stand where `<<` stood.
pub(super) fn close(slots: Vec<Slot>, problems: &mut Problems) -> Vec<Entry> {
    let mut written: HashMap<Arc<str>, Span> = HashMap::with_capacity(slots.len());
    let mut entries = Vec::with_capacity(slots.len());
    let mut merges = Vec::new();
    for slot in slots {
        match slot {
            Slot::Entry(entry) => {
                if let Some(first) = written.get(&entry.key) {
                    problems.push(twice(&entry.key, &entry.key_span, first));
                    continue;
                }
                written.insert(Arc::clone(&entry.key), entry.key_span.clone());
                entries.push(entry);
            }
            Slot::Merge { key_span, value } => merges.push((entries.len(), key_span, value)),
        }
    }
    if merges.is_empty() {
        return entries;
    }
    if let [(_, first, _), (_, second, _), ..] = merges.as_slice() {
        problems.push(twice("<<", second, first).help("merge several mappings with a list: `<<: [*a, *b]`"));
    }
    insert(entries, merges, written, problems)
}

fn insert(
    entries: Vec<Entry>,
    merges: Vec<(usize, Span, Node)>,
    mut taken: HashMap<Arc<str>, Span>,
    problems: &mut Problems,
) -> Vec<Entry> {
    let mut out = Vec::with_capacity(entries.len());
    let mut entries = entries.into_iter();
    let mut passed = 0;
    for (position, _, value) in merges {
        out.extend(entries.by_ref().take(position - passed));
        passed = position;
        let sources = match value.kind {
            NodeKind::List(items) => items,
            _ => vec![value],
        };
        for source in sources {
            let NodeKind::Map(given) = source.kind else {
                let message = "`<<` merges mappings and nothing else";
                let help = "write `<<: *anchor`, or a list of such aliases";
                problems.push(Diagnostic::error(codes::SYNTAX, message, &source.span).help(help));
                continue;
            };
            for entry in given {
                if !taken.contains_key(&entry.key) {
                    taken.insert(Arc::clone(&entry.key), entry.key_span.clone());
                    out.push(entry);
                }
            }
        }
    }
    out.extend(entries);
    out
}

fn twice(key: &str, second: &Span, first: &Span) -> Diagnostic {
    let problem = Diagnostic::error(codes::SYNTAX, format!("the key {} is written twice", quoted(key)), second);
    match first.line_column() {
        Some((line, column)) => problem.label(format!("first written at {line}:{column}")),
        None => problem,
    }
}
