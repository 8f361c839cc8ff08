//! SQL text: quoted names, and `:name` variables in what people write.

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// A name of a table or column, quoted, so that it is one whatever is in it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names, quoted, with commas.
pub(crate) fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    names.into_iter().map(quoted).collect::<Vec<_>>().join(", ")
}

/// A piece of SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'s> {
    /// Text as it stands.
    Text(&'s str),
    /// `:name`.
    Variable(&'s str),
}

/// Takes SQL apart at its `:name` variables. Those in strings, quoted names and comments are none.
///
/// # Errors
/// A message where a quote or comment does not end, or a variable is of another kind.
pub(crate) fn pieces(sql: &str, dialect: Dialect) -> Result<Vec<Piece<'_>>, String> {
    let mut scanner = Scanner { sql, at: 0, dialect };
    let (mut pieces, mut begun) = (Vec::new(), 0);
    while let Some(c) = scanner.rest().chars().next() {
        let from = scanner.at;
        if scanner.skip_opaque(c)? {
            continue;
        }
        if c == ':' {
            if scanner.rest().starts_with("::") {
                scanner.at += 2;
                continue;
            }
            let name = identifier(&scanner.rest()[1..]);
            let after_operand = sql[..from].ends_with(|p: char| p.is_alphanumeric() || "_])".contains(p));
            if !name.is_empty() && !after_operand {
                pieces.push(Piece::Text(&sql[begun..from]));
                scanner.at += 1 + name.len();
                begun = scanner.at;
                pieces.push(Piece::Variable(name));
                continue;
            }
        }
        scanner.refuse_other_variables(c)?;
        scanner.at += c.len_utf8();
    }
    pieces.push(Piece::Text(&sql[begun..]));
    Ok(pieces)
}

fn identifier(text: &str) -> &str {
    let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
    if !text.starts_with(is_start) {
        return "";
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

struct Scanner<'s> {
    sql: &'s str,
    at: usize,
    dialect: Dialect,
}

impl<'s> Scanner<'s> {
    fn rest(&self) -> &'s str {
        &self.sql[self.at..]
    }

    /// Skips a string, quoted name or comment that begins here.
    fn skip_opaque(&mut self, c: char) -> Result<bool, String> {
        let rest = self.rest();
        let length = match c {
            '\'' => {
                let escapes = self.dialect == Dialect::Postgres && self.is_escape_string();
                Some(quoted_length(rest, '\'', escapes).ok_or("a string does not end")?)
            }
            '"' => Some(quoted_length(rest, '"', false).ok_or("a quoted name does not end")?),
            '`' if self.dialect == Dialect::Sqlite => {
                Some(quoted_length(rest, '`', false).ok_or("a quoted name does not end")?)
            }
            '[' if self.dialect == Dialect::Sqlite => {
                Some(rest.find(']').ok_or("a quoted name does not end")? + 1)
            }
            '-' if rest.starts_with("--") => Some(rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => {
                Some(comment_length(rest, self.dialect == Dialect::Postgres).ok_or("a comment does not end")?)
            }
            '$' if self.dialect == Dialect::Postgres => dollar_length(rest)?,
            _ => None,
        };
        if let Some(length) = length {
            self.at += length;
        }
        Ok(length.is_some())
    }

    /// Whether the string that begins here is one with backslashes, `E'…'`.
    fn is_escape_string(&self) -> bool {
        let before = &self.sql[..self.at];
        let Some(rest) = before.strip_suffix(['e', 'E']) else { return false };
        !rest.ends_with(|c: char| c.is_alphanumeric() || c == '_')
    }

    fn refuse_other_variables(&self, c: char) -> Result<(), String> {
        let next = self.rest()[c.len_utf8()..].chars().next();
        let is_variable = match (self.dialect, c) {
            (Dialect::Sqlite, '?') => true,
            (Dialect::Sqlite, '@' | '$') => next.is_some_and(|n| n.is_alphanumeric() || n == '_'),
            (Dialect::Postgres, '$') => next.is_some_and(|n| n.is_ascii_digit()),
            _ => false,
        };
        if is_variable { Err(format!("`{c}` is no variable here; write `:name`")) } else { Ok(()) }
    }
}

/// The length of what stands in quotes; a doubled quote is one in it.
fn quoted_length(text: &str, quote: char, escapes: bool) -> Option<usize> {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if escapes && c == '\\' {
            characters.next();
        } else if c == quote {
            if characters.peek().is_none_or(|(_, next)| *next != quote) {
                return Some(at + 1);
            }
            characters.next();
        }
    }
    None
}

fn comment_length(text: &str, nests: bool) -> Option<usize> {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        let end = at + text[at..].find("*/")?;
        let inner = text[at..end].find("/*").filter(|_| nests);
        if let Some(inner) = inner {
            (at, depth) = (at + inner + 2, depth + 1);
        } else {
            (at, depth) = (end + 2, depth - 1);
        }
    }
    Some(at)
}

/// `$tag$ … $tag$`, a string of Postgres.
fn dollar_length(text: &str) -> Result<Option<usize>, String> {
    let tag = identifier(&text[1..]);
    let opening = 1 + tag.len() + 1;
    if !text[1 + tag.len()..].starts_with('$') {
        return Ok(None);
    }
    let closing = text[opening..].find(&text[..opening]).ok_or("a string does not end")?;
    Ok(Some(opening + closing + opening))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(sql: &str, dialect: Dialect) -> Result<Vec<&str>, String> {
        let found = pieces(sql, dialect)?;
        Ok(found.iter().filter_map(|p| if let Piece::Variable(name) = p { Some(*name) } else { None }).collect())
    }

    #[test]
    fn variables_are_found_where_sql_has_them() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            for (sql, found) in [
                ("select 1", vec![]),
                ("select :a, :b_2 where x=:a", vec!["a", "b_2", "a"]),
                ("select ':a', \":b\", 'it''s :c' -- :d\n, :e /* :f */", vec!["e"]),
                ("select x::text, :y", vec!["y"]),
                (":ä", vec![]),
            ] {
                assert_eq!(variables(sql, dialect), Ok(found), "{sql}");
            }
            for wrong in ["select 'a", "select \"a", "/* a"] {
                assert!(variables(wrong, dialect).is_err(), "{wrong}");
            }
        }
    }

    #[test]
    fn each_dialect_has_its_own_quotes() {
        assert_eq!(variables("select [:a], `:b`, :c", Dialect::Sqlite), Ok(vec!["c"]));
        for wrong in ["select ?", "select ?1", "select @a", "select $a"] {
            assert!(variables(wrong, Dialect::Sqlite).unwrap_err().contains("write `:name`"), "{wrong}");
        }
        let postgres = "select E'it\\'s :a', $$ :b $$, $t$ $$ :c $t$, x[1:n], /* /* */ :d */ :e, a ? 'b', a @> b";
        assert_eq!(variables(postgres, Dialect::Postgres), Ok(vec!["e"]));
        assert!(variables("select $1", Dialect::Postgres).is_err());
    }

    #[test]
    fn a_quote_in_a_name_stays_in_it() {
        assert_eq!(quoted("a\"; drop table b; --"), "\"a\"\"; drop table b; --\"");
    }

    proptest::proptest! {
        #[test]
        fn the_pieces_are_the_whole_and_nothing_panics(sql in "[a-c:'\"\\[\\]`$?@/*\\-\n ;é]{0,24}") {
            for dialect in [Dialect::Sqlite, Dialect::Postgres] {
                if let Ok(found) = pieces(&sql, dialect) {
                    let again: String = found.iter().map(|p| match p {
                        Piece::Text(text) => (*text).to_owned(),
                        Piece::Variable(name) => format!(":{name}"),
                    }).collect();
                    proptest::prop_assert_eq!(again, sql.clone());
                }
            }
        }
    }
}
