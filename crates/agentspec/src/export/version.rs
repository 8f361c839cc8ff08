//! Which version of Agent Spec a document needs.

use flowrun_core::diagnostics::{Diagnostic, Span};

use super::Exporter;
use crate::codes;
use crate::document::{VERSIONS, parts};

/// Something that only some versions have.
pub(crate) struct Need {
    version: &'static str,
    what: String,
    span: Span,
}

impl Exporter<'_> {
    /// Notes that the document holds something that came with a version.
    pub(crate) fn needs(&mut self, version: &'static str, what: impl Into<String>, span: &Span) {
        let what = what.into();
        if !self.needs.iter().any(|need| need.version == version && need.what == what) {
            self.needs.push(Need { version, what, span: span.clone() });
        }
    }

    /// The version that the document says: the one that was asked for, or the lowest that suffices.
    pub(crate) fn version(&mut self) -> String {
        let place = |version: &str| VERSIONS.iter().position(|known| *known == version).unwrap_or_default();
        let needed = self.needs.iter().map(|need| place(need.version)).max().unwrap_or_default();
        let Some(asked) = self.options.version.clone() else { return VERSIONS[needed].to_owned() };
        let Some(version) = parts(&asked).filter(|_| VERSIONS.contains(&asked.as_str())) else {
            let message = format!("`{asked}` is no version of Agent Spec that is known");
            let wrong = Diagnostic::error(codes::BAD_VERSION, message, &Span::none());
            self.report(wrong.help(format!("there are {}", VERSIONS.join(", "))));
            return asked;
        };
        let mut wrong = Vec::new();
        for need in self.needs.iter().filter(|need| parts(need.version) > Some(version)) {
            let message = format!("{} needs version {}, and {asked} was asked for", need.what, need.version);
            wrong.push(Diagnostic::error(codes::TOO_OLD, message, &need.span));
        }
        for wrong in wrong {
            self.report(wrong);
        }
        asked
    }
}
