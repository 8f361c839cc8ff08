//! What a thing may be called.

use flowrun_core::diagnostics::{Diagnostic, Span, Spanned};
use flowrun_core::node::Entry;
use flowrun_core::spec::RESERVED_STEP_NAMES;

use super::Decoder;
use crate::codes;
use crate::problems::quoted;

/// The regular expression of a name, for an editor.
pub(crate) const PATTERN: &str = r"^[\p{L}\p{N}_-]+$";

/// Whether a name may have this character.
pub(crate) fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// Whether this can be a name.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(is_allowed)
}

impl Decoder<'_> {
    /// The key of an entry as the name of a `what`.
    pub(super) fn name(&mut self, what: &str, entry: &Entry) -> Spanned<String> {
        self.check_name(what, &entry.key, &entry.key_span);
        Spanned::new(entry.key.to_string(), entry.key_span.clone())
    }

    /// Refuses what cannot be the name of a `what`.
    pub(super) fn check_name(&mut self, what: &str, name: &str, span: &Span) {
        if is_name(name) {
            return;
        }
        let message = if name.is_empty() {
            format!("the name of this {what} is empty")
        } else {
            format!("{} cannot be the name of a {what}", quoted(name)).replace("of a input", "of an input")
        };
        self.push(
            Diagnostic::error(codes::BAD_NAME, message, span)
                .help("a name is made of letters, digits, `_` and `-`"),
        );
    }

    /// The name of a step, which references and `next` must be able to tell from their own words.
    pub(super) fn step_name(&mut self, entry: &Entry) -> Spanned<String> {
        if RESERVED_STEP_NAMES.contains(&&*entry.key) {
            let use_of = if &*entry.key == "end" { "in `next`, where it ends the flow" } else { "in a reference" };
            let message = format!("no step can be called {}", quoted(&entry.key));
            self.push(
                Diagnostic::error(codes::BAD_NAME, message, &entry.key_span)
                    .help(format!("the word has a meaning of its own {use_of}; take another name")),
            );
        }
        self.name("step", entry)
    }

    /// The key of an entry as the name of an input or output of a step, or of a branch: any text.
    pub(super) fn port(&mut self, what: &str, entry: &Entry) -> Spanned<String> {
        if entry.key.is_empty() {
            let message = format!("the name of this {what} is empty");
            self.push(Diagnostic::error(codes::BAD_NAME, message, &entry.key_span));
        }
        Spanned::new(entry.key.to_string(), entry.key_span.clone())
    }
}
