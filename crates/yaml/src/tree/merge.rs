//! Closing a mapping: keys written twice, and merge keys `<<`.

use std::collections::{HashMap, HashSet};
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

/// Entries that are looked through one by one; most mappings have no more.
const FEW: usize = 12;

/// The entries of a mapping. What is written wins over what is merged, of the merged the first wins; merged entries
/// stand where `<<` stood.
pub(super) fn close(slots: Vec<Slot>, problems: &mut Problems) -> Vec<Entry> {
    let many = slots.len() > FEW;
    let mut written: HashMap<Arc<str>, usize> = HashMap::new();
    let mut entries: Vec<Entry> = Vec::with_capacity(slots.len());
    let mut merges = Vec::new();
    for slot in slots {
        match slot {
            Slot::Entry(entry) => {
                let first = if many {
                    written.get(&entry.key).copied()
                } else {
                    entries.iter().position(|other| other.key == entry.key)
                };
                if let Some(first) = first {
                    problems.push(twice(&entry.key, &entry.key_span, &entries[first].key_span));
                    continue;
                }
                if many {
                    written.insert(Arc::clone(&entry.key), entries.len());
                }
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
    insert(entries, merges, problems)
}

fn insert(entries: Vec<Entry>, merges: Vec<(usize, Span, Node)>, problems: &mut Problems) -> Vec<Entry> {
    let mut taken: HashSet<Arc<str>> = entries.iter().map(|entry| Arc::clone(&entry.key)).collect();
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
                if taken.insert(Arc::clone(&entry.key)) {
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
