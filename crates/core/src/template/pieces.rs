//! Texts of which is known afterwards what the author wrote and what was put in, such as addresses, where a value must
//! not be able to say more than its place lets it.

use std::fmt::Write as _;

use minijinja::value::{Value as Jinja, ValueKind};
use minijinja::{Error, ErrorKind, Output, State};

use super::{ENGINE, Extras, NAME, Template, TemplateError, bridge, format_value, variables};
use crate::value::Value;

// Unicode keeps these two for a program's own use; they stand in no text that is to be passed on.
const OPEN: char = '\u{FDD0}';
const CLOSE: char = '\u{FDD1}';

/// A part of a rendered text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As the author wrote it.
    Literal(String),
    /// What a `{{ … }}` has put in; it may be empty.
    Value(String),
}

impl Template {
    /// Parses a text for [`Template::render_pieces`]. What a block keeps (`{% set x %}…{% endset %}`) counts as a
    /// value where it is printed.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn parse_pieces(source: &str) -> Result<Self, TemplateError> {
        if source.contains([OPEN, CLOSE]) {
            let message = "the text holds a character that Unicode keeps for no text".to_owned();
            return Err(TemplateError { message, range: None, line: None });
        }
        let variables = variables::of_template(&variables::tree(source)?, Extras::None)?;
        let mut engine = ENGINE.clone();
        engine.set_formatter(format_marked);
        engine.add_template_owned(NAME, super::order::strict(source, false).into_owned())?;
        let names = variables.iter().map(|v| v.name.as_str().into()).collect();
        // A plan would write no marks.
        Ok(Self { engine, variables, names, plan: None })
    }

    /// Renders a text that [`Template::parse_pieces`] gave; any other is one literal.
    ///
    /// # Errors
    /// As [`Template::render`]. A value that is cut from the inside of a kept block is refused too.
    pub fn render_pieces(&self, get: impl FnMut(&str) -> Option<Value>) -> Result<Vec<Piece>, TemplateError> {
        let scope = bridge::scope(&self.names, &self.variables, &self.values(get), None)?;
        Ok(split(&self.engine.get_template(NAME)?.render(scope)?))
    }
}

/// Prints a value between marks. Marks within it must be pairs, as those of a kept block are: else a value could end
/// where it wants to.
fn format_marked(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Jinja) -> Result<(), Error> {
    // The printed form of a list, not its display, which writes such characters out in words.
    let text = match (value.as_str(), value.kind()) {
        (Some(text), _) => text.to_owned(),
        (None, ValueKind::Map | ValueKind::Seq | ValueKind::Iterable) => bridge::json_text(value)?,
        (None, _) => String::new(),
    };
    let mut depth = 0_i64;
    let paired = text.chars().all(|c| {
        depth += i64::from(c == OPEN) - i64::from(c == CLOSE);
        depth >= 0
    });
    if !paired || depth != 0 {
        let detail = "a value holds a character that Unicode keeps for no text";
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    }
    let failed = |_| Error::new(ErrorKind::WriteFailure, "the text could not be written");
    out.write_char(OPEN).map_err(failed)?;
    format_value(out, state, value)?;
    out.write_char(CLOSE).map_err(failed)
}

/// The parts between the outermost marks, and those around them.
fn split(text: &str) -> Vec<Piece> {
    let (mut pieces, mut depth, mut now) = (Vec::new(), 0_usize, String::new());
    for c in text.chars() {
        match c {
            OPEN => {
                depth += 1;
                if depth == 1 && !now.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut now)));
                }
            }
            CLOSE => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    pieces.push(Piece::Value(std::mem::take(&mut now)));
                }
            }
            c => now.push(c),
        }
    }
    if !now.is_empty() {
        pieces.push(Piece::Literal(now));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(source: &str, x: &str) -> Result<Vec<Piece>, TemplateError> {
        Template::parse_pieces(source)?.render_pieces(|name| (name == "x").then(|| Value::from(x)))
    }

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.into())
    }

    fn value(text: &str) -> Piece {
        Piece::Value(text.into())
    }

    #[test]
    fn what_was_put_in_is_told_apart() {
        assert_eq!(
            pieces("a/{{ x }}/{{ x|upper }}", "b").unwrap(),
            [literal("a/"), value("b"), literal("/"), value("B")]
        );
        assert_eq!(pieces("{{ x }}a", "").unwrap(), [value(""), literal("a")]);
        assert_eq!(pieces("{{ 6.0 }}{{ [1, x] }}", "b").unwrap(), [value("6.0"), value("[1,\"b\"]")]);
    }

    #[test]
    fn what_a_block_keeps_is_a_value() {
        let kept = "{% set y %}a/{{ x }}{% endset %}c/{{ y }}";
        assert_eq!(pieces(kept, "b").unwrap(), [literal("c/"), value("a/b")]);
    }

    #[test]
    fn no_value_can_end_itself() {
        assert!(pieces("a/{{ x }}", "b\u{FDD1}/c\u{FDD0}").is_err());
        assert!(pieces("a/{{ x }}", "b\u{FDD1}").is_err());
        assert!(pieces("a/{{ [x] }}", "b\u{FDD1}").is_err());
        assert!(Template::parse_pieces("a\u{FDD0}").is_err());
        assert_eq!(pieces("{{ x }}", "a\u{FDD0}b\u{FDD1}").unwrap(), [value("ab")]);
    }
}
