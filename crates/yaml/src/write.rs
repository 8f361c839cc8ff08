//! Values as YAML.

use serde_json::Value;

/// A value as YAML that readers of 1.1 and of 1.2 read alike: what one of them would take for something else than a text stands
/// in quotes.
pub fn to_yaml(value: &Value) -> String {
    // A value of JSON is written without fail.
    serde_saphyr::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ParseOptions, parse_node};
    use serde_json::json;

    /// Texts that some reader of YAML takes for something else where they are not in quotes, or for another text.
    const TRAPS: &[&str] = &[
        "y",
        "yes",
        "NO",
        "on",
        "Off",
        "true",
        "null",
        "Null",
        "~",
        "",
        "<<",
        "=",
        "12",
        "1_000",
        "0o7",
        "07",
        "0x1f",
        "0b1",
        "1e3",
        "1.5",
        "+.5",
        ".inf",
        ".NaN",
        "12:30:45",
        "190:20",
        "2024-01-01",
        "2024-01-01T00:00:00Z",
        "-",
        "- a",
        "---",
        "...",
        "? a",
        ": a",
        "a: b",
        "a:",
        "a # b",
        "#a",
        "&a",
        "*a",
        "!a",
        "%a",
        "@a",
        "`a`",
        "|",
        ">",
        "[a]",
        "{a}",
        "a, b",
        "'a'",
        "\"a\"",
        " a",
        "a ",
        "\ta",
        "a\tb",
        "a\\n",
        "\n",
        "a\n",
        "a\n\n",
        "a\nb",
        "a\n\nb\n",
        "  a\nb",
        "a\n  b\n",
        "\n a",
        "a \nb",
        "a\r\nb",
        "\u{85}",
        "a\u{2028}b",
        "\u{feff}a",
        "\u{7}",
        "\u{0}",
        "é",
        "日本",
    ];

    #[test]
    fn what_may_be_read_as_something_else_is_in_quotes() {
        // Words that readers of 1.1 take for something else, and those of 1.2 do not.
        for text in ["yes", "on", "NO", "y", "1_000", "12:30:45", "2024-01-01", "0b1", "07", "<<", "="] {
            let yaml = to_yaml(&json!({ text: text }));
            assert!(yaml.trim_end().split(": ").all(|part| part.starts_with(['"', '\''])), "{yaml}");
        }
    }

    #[test]
    fn traps_come_back() {
        for text in TRAPS {
            let document = json!({ "value": text, *text: [text, { *text: [[text]] }] });
            let yaml = to_yaml(&document);
            let node = parse_node(&yaml, &ParseOptions::new("x.yaml", ".").plain())
                .unwrap_or_else(|e| panic!("{e}\n{yaml}"))
                .node;
            assert_eq!(node.to_value().to_json().unwrap(), document, "{yaml}");
        }
    }
}
