//! A document as text: YAML that readers of 1.1 and of 1.2 read alike, or JSON.

use std::fmt::Write;

use serde_json::Value as Json;

/// Words that some reader of YAML takes for something else than a text, in lower case.
const WORDS: &[&str] =
    &["y", "yes", "n", "no", "on", "off", "true", "false", "null", "none", "nan", "inf", "infinity"];

/// A document as YAML.
pub fn to_yaml(document: &Json) -> String {
    let mut out = String::new();
    match document {
        Json::Object(map) if !map.is_empty() => block(&mut out, document, 0),
        _ => {
            inline(&mut out, document);
            out.push('\n');
        }
    }
    out
}

/// A document as JSON.
pub fn to_json(document: &Json) -> String {
    // A value of JSON is written without fail.
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

/// A mapping or a list that is not empty, on lines of its own.
fn block(out: &mut String, value: &Json, indent: usize) {
    match value {
        Json::Object(map) => {
            for (n, (key, value)) in map.iter().enumerate() {
                // The first key of an item stands behind its dash.
                if n > 0 || !out.ends_with("- ") {
                    spaces(out, indent);
                }
                text(out, key);
                out.push(':');
                below(out, value, indent);
            }
        }
        Json::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                if n > 0 || !out.ends_with("- ") {
                    spaces(out, indent);
                }
                out.push('-');
                match item {
                    Json::Object(map) if !map.is_empty() => {
                        out.push(' ');
                        block(out, item, indent + 2);
                    }
                    Json::Array(items) if !items.is_empty() => {
                        out.push(' ');
                        block(out, item, indent + 2);
                    }
                    _ => below(out, item, indent),
                }
            }
        }
        _ => inline(out, value),
    }
}

/// A value behind its key or its dash.
fn below(out: &mut String, value: &Json, indent: usize) {
    match value {
        Json::Object(map) if !map.is_empty() => {
            out.push('\n');
            block(out, value, indent + 2);
        }
        Json::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(out, value, indent);
        }
        Json::String(written) if is_block(written) => {
            let (mark, lines) = match written.strip_suffix('\n') {
                Some(lines) => ("|", lines),
                None => ("|-", written.as_str()),
            };
            out.push(' ');
            out.push_str(mark);
            out.push('\n');
            for line in lines.split('\n') {
                if !line.is_empty() {
                    spaces(out, indent + 2);
                    out.push_str(line);
                }
                out.push('\n');
            }
        }
        _ => {
            out.push(' ');
            inline(out, value);
            out.push('\n');
        }
    }
}

fn inline(out: &mut String, value: &Json) {
    match value {
        Json::String(written) => text(out, written),
        Json::Object(_) => out.push_str("{}"),
        Json::Array(_) => out.push_str("[]"),
        Json::Number(number) => {
            let written = number.to_string();
            match written.split_once('e') {
                // Readers of 1.1 want a point and a sign in a number with an exponent.
                Some((digits, power)) => {
                    let point = if digits.contains('.') { "" } else { ".0" };
                    let sign = if power.starts_with(['-', '+']) { "" } else { "+" };
                    // Writing to a string cannot fail.
                    let _ = write!(out, "{digits}{point}e{sign}{power}");
                }
                None => out.push_str(&written),
            }
        }
        other => out.push_str(&other.to_string()),
    }
}

fn spaces(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}

/// A text on one line: plain where every reader takes it for a text, else in quotes.
fn text(out: &mut String, written: &str) {
    if is_plain(written) {
        out.push_str(written);
        return;
    }
    // A text of JSON is one of YAML, but for signs that are not to be seen.
    let quoted = Json::from(written).to_string();
    for c in quoted.chars() {
        if is_hidden(c) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
}

/// Signs that some reader refuses, or takes for the end of a line.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn is_plain(written: &str) -> bool {
    let begins = written.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$');
    let sign = |c: char| c.is_ascii_alphanumeric() || "_$./() -".contains(c);
    begins
        && written.chars().all(sign)
        && !written.ends_with(' ')
        && !written.contains(" -")
        && !WORDS.contains(&written.to_ascii_lowercase().as_str())
}

/// Whether a text stands on lines of its own.
fn is_block(written: &str) -> bool {
    let lines = written.strip_suffix('\n').unwrap_or(written);
    lines.contains('\n')
        && !lines.ends_with(['\n', ' ', '\t'])
        && !lines.starts_with([' ', '\n', '\t'])
        && !lines.lines().any(|line| line.trim().is_empty() && !line.is_empty())
        && !written.chars().any(|c| (c.is_control() && c != '\n') || is_hidden(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn texts_are_plain_where_all_readers_agree() {
        let document = json!({
            "plain": "some words", "no": "yes", "number": "12", "date": "2026-01-01", "hash": "a # b", "colon": "a: b",
            "empty": "", "space": " x", "lines": "one\n  two\n", "open": "one\ntwo", "quoted": " one\ntwo", "tab": "a\tb",
            "e": 1e300, "f": 1.5, "list": [], "map": {}, "deep": [[1, {"a": [2]}], {"b": {"c": null}}], "\u{85}": "é",
        });
        let text = to_yaml(&document);
        let expected = [
            "plain: some words",
            "\"no\": \"yes\"",
            "number: \"12\"",
            "hash: \"a # b\"",
            "empty: \"\"",
            "lines: |\n  one\n    two\n",
            "open: |-\n  one\n  two\n",
            "quoted: \" one\\ntwo\"",
            "e: 1.0e+300",
            "list: []",
            "deep:\n- - 1\n  - a:\n    - 2\n- b:\n    c: null\n",
            "\"\\u0085\": \"é\"",
        ];
        for part in expected {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    fn values() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            (-1e300_f64..1e300).prop_map(Json::from),
            "[ -~é\n\t#:'\"{}|>\u{85}\u{2028}]{0,12}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::vec(("[ -~]{1,6}", inner), 0..4)
                    .prop_map(|entries| Json::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(value in values()) {
            let document = json!({ "value": value });
            for text in [to_yaml(&document), to_json(&document)] {
                let (node, _) = crate::document::tree("x.yaml", text.as_bytes()).map_err(|wrong| {
                    TestCaseError::fail(format!("{wrong}\n{text}"))
                })?;
                prop_assert_eq!(node.to_value().to_json().unwrap(), document.clone(), "{}", text);
            }
        }
    }
}
