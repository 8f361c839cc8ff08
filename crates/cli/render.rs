//! Everything that is said to a person, on standard error.

mod secrets;
mod snippet;
mod veil;

use std::fmt::Write as _;
use std::io::Write as _;

use flowrun_core::diagnostics::{Diagnostic, Diagnostics, Severity};
use flowrun_core::error::StepError;
pub(crate) use secrets::without_secrets;
pub(crate) use veil::Hidden;

pub(crate) use flowrun_core::words::{plural, thousands};

/// Standard error, with or without colour.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    colour: bool,
    width: usize,
    hidden: Hidden,
}

/// The columns that are used where the terminal's are not known.
const WIDTH: usize = 100;
const NARROWEST: usize = 60;

impl Screen {
    pub(crate) fn stderr(colour: bool) -> Self {
        let width = console_width().unwrap_or(WIDTH).max(NARROWEST);
        Self { colour, width, hidden: Hidden::default() }
    }

    /// What it does not show.
    pub(crate) fn hidden(&self) -> &Hidden {
        &self.hidden
    }

    /// A line, without secrets. That nobody reads is no reason to stop.
    pub(crate) fn line(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{}", self.hidden.masked(text));
    }

    /// All problems of a file, and how many there are.
    pub(crate) fn diagnostics(&self, found: &Diagnostics) {
        self.diagnostics_of(found);
        let errors: Vec<_> = found.iter().filter(|d| d.severity == Severity::Error).collect();
        let mut files: Vec<&str> = errors.iter().filter_map(|d| Some(d.span.source()?.name.as_str())).collect();
        files.dedup();
        if let [file] = files.as_slice() {
            self.line(&format!("{} in {file}", plural(errors.len() as u64, "error")));
        } else {
            self.line(&plural(errors.len() as u64, "error"));
        }
    }

    /// All problems of a file.
    pub(crate) fn diagnostics_of(&self, found: &Diagnostics) {
        for diagnostic in found.iter() {
            self.line(self.diagnostic(diagnostic).trim_end());
        }
    }

    /// A mistake that is in no file.
    pub(crate) fn error(&self, message: &str, help: Option<&str>) {
        self.line(&format!("{} {message}", self.red("error:")));
        if let Some(help) = help {
            self.line(&format!("  {} {help}", self.dim("help:")));
        }
    }

    /// The error that ended a run, with further lines of help.
    pub(crate) fn step_error(&self, error: &StepError, help: &[String]) {
        self.line(&format!("{}: {}", self.red(&format!("error[{}]", error.code)), error.message));
        if let Some(at) = &error.at {
            self.labelled("step", &at.to_string());
        }
        for (label, text) in &error.details {
            self.labelled(label, &cut(text));
        }
        for (n, text) in error.help.iter().chain(help).enumerate() {
            self.labelled(if n == 0 { "help" } else { "" }, text);
        }
    }

    fn labelled(&self, label: &str, text: &str) {
        let label = format!("{label:<8}");
        for (n, line) in text.lines().enumerate() {
            let label = if n == 0 { self.dim(&label) } else { " ".repeat(8) };
            self.line(&format!("  {label} {line}"));
        }
    }

    /// A problem with its place: a headline, the line of the file with the place underlined, and what to do.
    fn diagnostic(&self, diagnostic: &Diagnostic) -> String {
        let word = match diagnostic.severity {
            Severity::Error => self.red(&format!("error[{}]", diagnostic.code)),
            Severity::Warning => self.yellow(&format!("warning[{}]", diagnostic.code)),
        };
        let mut text = format!("{word}: {}\n", diagnostic.message);
        if let Some(snippet) = snippet::draw(self, &diagnostic.span, diagnostic.label.as_deref()) {
            text.push_str(&snippet);
        } else if let Some(label) = &diagnostic.label {
            let _ = writeln!(text, "  {} {label}", self.dim("help:"));
        }
        if let Some(help) = &diagnostic.help {
            let _ = writeln!(text, "  {} {help}", self.dim("help:"));
        }
        text
    }

    fn styled(&self, style: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(crate) fn red(&self, text: &str) -> String {
        self.styled("1;31", text)
    }

    pub(crate) fn yellow(&self, text: &str) -> String {
        self.styled("1;33", text)
    }

    pub(crate) fn bold(&self, text: &str) -> String {
        self.styled("1", text)
    }

    pub(crate) fn dim(&self, text: &str) -> String {
        self.styled("2", text)
    }
}

fn console_width() -> Option<usize> {
    let columns = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    columns.or_else(|| console::Term::stderr().size_checked().map(|(_, columns)| columns.into()))
}

/// A long text on one line, cut.
fn cut(text: &str) -> String {
    const LONGEST: usize = 600;
    let mut line: String = text.trim().chars().take(LONGEST).collect();
    if text.trim().chars().count() > LONGEST {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowrun_core::diagnostics::{Source, Span};

    #[test]
    fn a_mistake_is_underlined_in_its_line() {
        let source = Source::new("a.yaml", "flow: x\nmodels:\n  judge: { temprature: 0 }\n");
        let place = source.text.find("temprature").unwrap();
        let span = Span::new(&source, place..place + "temprature".len());
        let wrong =
            Diagnostic::error("E0102", "unknown key `temprature`", &span).label("did you mean `temperature`?");
        insta::assert_snapshot!(Screen { colour: false, width: 80, hidden: Hidden::default() }.diagnostic(&wrong), @r"
        error[E0102]: unknown key `temprature`
          ╭─[a.yaml:3:12]
        3 │   judge: { temprature: 0 }
          ·            ─────┬────
          ·                 ╰── did you mean `temperature`?
          ╰────
        ");
    }
}
