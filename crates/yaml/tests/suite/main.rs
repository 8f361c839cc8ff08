//! The tests of flow files.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

/// What an editor is told.
mod editor;
/// Files with mistakes, and what is said of them; files without, and what they mean.
mod golden;
/// Texts that nobody would write on purpose.
mod hostile;
/// The tree: places, files, the environment.
mod tree;

use std::fmt::Write;

use flowrun_core::diagnostics::Diagnostics;

/// Problems as plain text.
fn render(problems: &Diagnostics) -> String {
    let mut out = String::new();
    for problem in problems.iter() {
        let (line, column) = problem.span.line_column().unwrap();
        let source = problem.span.source().unwrap();
        let underlined = &source.text[problem.span.range()];
        writeln!(out, "{}: {}", problem.code, problem.message).unwrap();
        writeln!(out, "  at {line}:{column} {underlined:?}").unwrap();
        if let Some(label) = &problem.label {
            writeln!(out, "  label: {label}").unwrap();
        }
        if let Some(help) = &problem.help {
            writeln!(out, "  help: {help}").unwrap();
        }
    }
    out
}
