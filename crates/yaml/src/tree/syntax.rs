//! What the YAML parser says, in words for the person who wrote the file.

use std::ops::Range;
use std::sync::Arc;

use flowrun_core::diagnostics::{Diagnostic, Source, Span};
use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use crate::codes;

/// The mistake at which the parser stopped.
pub(super) fn explain(error: &ScanError, source: &Arc<Source>) -> Diagnostic {
    let offset = error.marker().byte_offset().unwrap_or_default();
    let at = |range| Span::new(source, range);
    let here = at(character_at(&source.text, offset));
    let said = |message: &str| Diagnostic::error(codes::SYNTAX, message, &here);
    match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => {
            let place = at(tab_near(&source.text, offset));
            Diagnostic::error(codes::SYNTAX, "a tab where YAML wants spaces", &place)
                .label("a tab")
                .help("indent with spaces")
        }
        ErrorKind::RecursionLimitExceeded => {
            Diagnostic::error(codes::OVER_LIMIT, "the document is nested too deeply", &here)
                .help("a real flow is a few levels deep; name subflows under `flows`")
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator
            if source.text.get(..offset).is_some_and(|before| before.ends_with('$')) =>
        {
            said("`${` between brackets must be quoted").help("write `\"${NAME}\"`")
        }
        ErrorKind::ExpectedFlowMappingSeparator => said("expected `,` or `}` here").help(
            "separate the entries of `{ }` by commas, and quote a text that holds `{`, `}`, `[`, `]` or `,`",
        ),
        ErrorKind::ExpectedFlowSequenceSeparator => said("expected `,` or `]` here")
            .help("separate the items of `[ ]` by commas, and quote a text that holds `{`, `}`, `[`, `]` or `,`"),
        ErrorKind::MappingValueNotAllowed => said("a second `:` in one line")
            .help("quote a text that holds `: `; or begin the nested mapping in a line of its own"),
        ErrorKind::UnexpectedCharacter { character: '`' } => {
            said("a text cannot begin with a backtick").help("quote it")
        }
        ErrorKind::UnexpectedCharacter { character } => {
            said(&format!("a text cannot begin with `{}`", character.escape_default())).help("quote it")
        }
        ErrorKind::UnclosedFlowCollection { open } => {
            said(&format!("`{open}` is not closed")).label("opened here")
        }
        ErrorKind::UnclosedQuotedScalar => said("the quoted text does not end").label("it begins here"),
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::InvalidIndentation
        | ErrorKind::SimpleKeyExpected
        | ErrorKind::InvalidSimpleKey
        | ErrorKind::ExpectedNodeContent => said("expected a key or an item here")
            .help("entries of one mapping or list begin in one column; a key ends in `: `"),
        other => said(&format!("not valid YAML: {}", in_lower_case(&other.to_string()))),
    }
}

/// The character at a byte, or nothing at the end.
fn character_at(text: &str, offset: usize) -> Range<usize> {
    match text.get(offset..).and_then(|rest| rest.chars().next()) {
        Some(c) if c != '\n' && c != '\r' => offset..offset + c.len_utf8(),
        Some(_) => offset..offset,
        None => text.len()..text.len(),
    }
}

/// The tab that is meant: the parser names the character before or after it, or the text in front of it.
fn tab_near(text: &str, offset: usize) -> Range<usize> {
    let before = text.get(..offset).unwrap_or_default();
    let after = text.get(offset..).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |n| n + 1);
    let tab = match before[line_start..].rfind('\t') {
        Some(column) => Some(line_start + column),
        None => after.find('\t').map(|n| offset + n),
    };
    tab.map_or_else(|| character_at(text, offset), |start| start..start + 1)
}

fn in_lower_case(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
