//! What is wrong with a file: every problem with its place, all at once.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A text and the name under which a person knows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The file's path as it was given, or a name in angle brackets.
    pub name: String,
    /// The text.
    pub text: String,
}

impl Source {
    /// A named text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), text: text.into() })
    }

    /// Line and column of a byte, both from 1; the column counts characters.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |n| n + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// A stretch of a source, in bytes. What was built in Rust has none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Span {
    source: Option<Arc<Source>>,
    range: Range<usize>,
}

impl Span {
    /// The stretch `range` of `source`.
    pub fn new(source: &Arc<Source>, range: Range<usize>) -> Self {
        Self { source: Some(Arc::clone(source)), range }
    }

    /// The place of what no text stands behind.
    pub fn none() -> Self {
        Self::default()
    }

    /// The source, where there is one.
    pub fn source(&self) -> Option<&Arc<Source>> {
        self.source.as_ref()
    }

    /// The bytes.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Line and column of the start, both from 1.
    pub fn line_column(&self) -> Option<(usize, usize)> {
        self.source.as_ref().map(|s| s.line_column(self.range.start))
    }
}

/// `flow.yaml:12:5`, or nothing.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, self.line_column()) {
            (Some(source), Some((line, column))) => write!(f, "{}:{line}:{column}", source.name),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Something with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The thing.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A thing at a place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

impl<T> From<T> for Spanned<T> {
    fn from(value: T) -> Self {
        Self { value, span: Span::none() }
    }
}

/// Whether a problem stops the flow from running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing runs.
    Error,
    /// It runs; something was probably meant otherwise.
    Warning,
}

/// One problem of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// A stable code, explained in `docs/errors.md`.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// Where.
    pub span: Span,
    /// A word beside the underlined place, such as a name that was probably meant.
    pub label: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: &'static str, message: impl Into<String>, span: &Span) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            span: span.clone(),
            label: None,
            help: None,
        }
    }

    /// A warning.
    pub fn warning(code: &'static str, message: impl Into<String>, span: &Span) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message, span) }
    }

    /// Adds a word beside the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Proposes the known name that is nearest to `wrong`, or lists what is known.
    #[must_use]
    pub fn suggest<'a>(self, wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        const MOST: usize = 24;
        let mut known: Vec<_> = known.into_iter().collect();
        known.sort_unstable();
        known.dedup();
        if let Some(near) = nearest(wrong, known.iter().copied()) {
            return self.label(format!("did you mean `{near}`?"));
        }
        if known.is_empty() || known.len() > MOST {
            return self;
        }
        let names: Vec<_> = known.iter().map(|n| format!("`{n}`")).collect();
        self.help(format!("known here: {}", names.join(", ")))
    }
}

impl Diagnostic {
    /// What it is sorted by.
    fn place(&self) -> (Option<&str>, usize, Severity) {
        (self.span.source().map(|source| source.name.as_str()), self.span.range().start, self.severity)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.severity == Severity::Error { "error" } else { "warning" };
        write!(f, "{word}[{}]: {}", self.code, self.message)?;
        if self.span.source().is_some() {
            write!(f, " ({})", self.span)?;
        }
        Ok(())
    }
}

/// All problems of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    all: Vec<Diagnostic>,
    errors: usize,
}

impl Diagnostics {
    /// No problems.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.severity == Severity::Error);
        self.all.push(diagnostic);
    }

    /// Adds all of another.
    pub fn extend(&mut self, other: Self) {
        self.errors += other.errors;
        self.all.extend(other.all);
    }

    /// Whether there is an error among them.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Whether there is none of either kind.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// In the order of their places, each once.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.all.sort_by(|a, b| a.place().cmp(&b.place()));
        let mut once = Self { all: Vec::with_capacity(self.all.len()), errors: 0 };
        for diagnostic in self.all {
            let mut same_place = once.all.iter().rev().take_while(|other| other.place() == diagnostic.place());
            if !same_place.any(|other| *other == diagnostic) {
                once.push(diagnostic);
            }
        }
        once
    }

    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// How many there are of both kinds.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// One by one.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.all.iter()
    }

    /// Nothing, or these as an error if one of them is.
    ///
    /// # Errors
    /// When there is an error among them.
    pub fn into_result(self) -> Result<Self, Self> {
        if self.has_errors() { Err(self) } else { Ok(self) }
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        let mut all = Self::new();
        all.push(diagnostic);
        all
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.all.into_iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, diagnostic) in self.all.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// The known name that was probably meant, if one is near enough.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Two long texts are no two spellings of a name, and comparing them would take a table of their sizes.
    const LONGEST: usize = 64;
    if wrong.len() > LONGEST {
        return None;
    }
    let wrong: Vec<char> = wrong.to_lowercase().chars().collect();
    let allowed = (wrong.len() / 3).max(1);
    known
        .into_iter()
        // What is so much shorter or longer is not near, and need not be compared.
        .filter(|name| name.len() <= LONGEST && name.chars().count().abs_diff(wrong.len()) <= allowed)
        .map(|name| (distance(&wrong, &name.to_lowercase().chars().collect::<Vec<_>>()), name))
        .filter(|(d, _)| *d <= allowed && *d < wrong.len())
        .min_by_key(|(d, _)| *d)
        .map(|(_, name)| name)
}

/// Edits between two words, a swap of neighbours counted as one (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters() {
        let source = Source::new("a.yaml", "é: 1\n  b: 2\n");
        assert_eq!(Span::new(&source, 8..9).to_string(), "a.yaml:2:3");
        assert_eq!(Span::new(&source, 2..3).to_string(), "a.yaml:1:2");
    }

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        assert_eq!(nearest("temprature", ["temperature", "top_p"]), Some("temperature"));
        assert_eq!(nearest("mdoel", ["model", "mode"]), Some("model"));
        assert_eq!(nearest("xyz", ["model"]), None);
    }
}
