//! The line of a file with a place in it underlined.

use std::fmt::Write;

use flowrun_core::diagnostics::Span;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Screen, secrets};

const TAB: &str = "    ";

/// Draws the first line of a place; nothing for what stands in no file.
pub(super) fn draw(screen: &Screen, span: &Span, label: Option<&str>) -> Option<String> {
    let source = span.source()?;
    let range = span.range();
    let (line_number, _) = span.line_column()?;
    let start = range.start.min(source.text.len());
    let line_start = source.text[..start].rfind('\n').map_or(0, |n| n + 1);
    let line = source.text[line_start..].lines().next().unwrap_or_default();
    let before = &source.text[line_start..start];
    let marked = source.text.get(start..range.end).unwrap_or_default().lines().next().unwrap_or_default();
    let gutter = line_number.to_string().len();
    let room = screen.width.saturating_sub(gutter + 4).max(40);
    let view = View::new(&secrets::hidden(line).replace('\t', TAB), width(before), width(marked).max(1), room);

    let edge = |sign: &str| format!("{:gutter$} {}", "", screen.dim(sign));
    let mut text = format!("{}{}\n", edge("╭─"), screen.dim(&format!("[{span}]")));
    let _ = writeln!(text, "{} {} {}", screen.dim(&line_number.to_string()), screen.dim("│"), view.line);
    let indent = " ".repeat(view.indent);
    match label {
        None => {
            let _ = writeln!(text, "{} {indent}{}", edge("·"), screen.red(&"─".repeat(view.length)));
        }
        Some(label) => {
            let middle = view.length / 2;
            let bar = format!("{}┬{}", "─".repeat(middle), "─".repeat(view.length - middle - 1));
            let _ = writeln!(text, "{} {indent}{}", edge("·"), screen.red(&bar));
            let hook = screen.red(&format!("╰── {label}"));
            let _ = writeln!(text, "{} {indent}{}{hook}", edge("·"), " ".repeat(middle));
        }
    }
    let _ = writeln!(text, "{}", edge("╰────"));
    Some(text)
}

/// As much of a long line as there is room for, around the place.
struct View {
    line: String,
    indent: usize,
    length: usize,
}

impl View {
    fn new(line: &str, before: usize, marked: usize, room: usize) -> Self {
        if width(line) <= room {
            return Self { line: line.to_owned(), indent: before, length: marked };
        }
        // The place comes to stand in the first third, or where it is.
        let skip = before.saturating_sub(room / 3);
        let skip = if before + marked <= room { 0 } else { skip };
        let mut shown = String::from(if skip > 0 { "…" } else { "" });
        let (mut column, mut taken) = (0, width(&shown));
        for c in line.chars() {
            let columns = c.width().unwrap_or(0);
            if column > skip || skip == 0 {
                if taken + columns >= room {
                    shown.push('…');
                    break;
                }
                shown.push(c);
                taken += columns;
            }
            column += columns;
        }
        let indent = before - skip;
        Self { line: shown, indent, length: marked.min(room.saturating_sub(indent)).max(1) }
    }
}

fn width(text: &str) -> usize {
    text.replace('\t', TAB).width()
}
