//! What an unquoted scalar is: the core schema of YAML 1.2.

use flowrun_core::node::NodeKind;

/// Why a scalar that looks like a number is none that a flow can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberFault {
    /// An integer of more than 64 bits.
    TooLarge,
    /// `.inf`, `.nan`, or a number that no float holds.
    NotFinite,
}

/// Types an unquoted scalar. `yes`, `on` and the like are text.
pub(super) fn resolve(text: &str) -> Result<NodeKind, NumberFault> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => NodeKind::Null,
        "true" | "True" | "TRUE" => NodeKind::Bool(true),
        "false" | "False" | "FALSE" => NodeKind::Bool(false),
        _ if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => match number(text) {
            Some(found) => return found,
            None => NodeKind::String(text.into()),
        },
        _ => NodeKind::String(text.into()),
    })
}

/// Whether a scalar is an integer whose leading zeros are lost when it is read.
pub(super) fn has_leading_zero(text: &str) -> bool {
    let digits = unsigned(text);
    digits.len() > 1 && digits.starts_with('0') && is_digits(digits)
}

fn number(text: &str) -> Option<Result<NodeKind, NumberFault>> {
    let integer = |digits: &str, radix| {
        Some(i64::from_str_radix(digits, radix).map(NodeKind::Int).map_err(|_| NumberFault::TooLarge))
    };
    if let Some(digits) = text.strip_prefix("0x").filter(|d| all(d, |c| c.is_ascii_hexdigit())) {
        return integer(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o").filter(|d| all(d, |c| ('0'..='7').contains(&c))) {
        return integer(digits, 8);
    }
    let unsigned = unsigned(text);
    if is_digits(unsigned) {
        return integer(text, 10);
    }
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Err(NumberFault::NotFinite));
    }
    if !is_float(unsigned) {
        return None;
    }
    let float = text.parse::<f64>().ok()?;
    Some(if float.is_finite() { Ok(NodeKind::Float(float)) } else { Err(NumberFault::NotFinite) })
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(unsigned(exponent))),
        None => (text, None),
    };
    let mantissa_is_good = match mantissa.split_once('.') {
        Some(("", fraction)) => is_digits(fraction),
        Some((whole, fraction)) => is_digits(whole) && (fraction.is_empty() || is_digits(fraction)),
        None => is_digits(mantissa),
    };
    mantissa_is_good && exponent.is_none_or(is_digits)
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

fn is_digits(text: &str) -> bool {
    all(text, |c| c.is_ascii_digit())
}

fn all(text: &str, is_right: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(is_right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_core_schema_decides() {
        let text = |s: &str| Ok(NodeKind::String(s.into()));
        for (written, expected) in [
            ("", Ok(NodeKind::Null)),
            ("~", Ok(NodeKind::Null)),
            ("null", Ok(NodeKind::Null)),
            ("true", Ok(NodeKind::Bool(true))),
            ("FALSE", Ok(NodeKind::Bool(false))),
            ("on", text("on")),
            ("no", text("no")),
            ("yes", text("yes")),
            ("12", Ok(NodeKind::Int(12))),
            ("+12", Ok(NodeKind::Int(12))),
            ("-9223372036854775808", Ok(NodeKind::Int(i64::MIN))),
            ("9223372036854775808", Err(NumberFault::TooLarge)),
            ("0x1F", Ok(NodeKind::Int(31))),
            ("0o17", Ok(NodeKind::Int(15))),
            ("0xffffffffffffffff", Err(NumberFault::TooLarge)),
            ("-0x1", text("-0x1")),
            ("1.5", Ok(NodeKind::Float(1.5))),
            ("6.", Ok(NodeKind::Float(6.0))),
            (".5e1", Ok(NodeKind::Float(5.0))),
            ("1e999", Err(NumberFault::NotFinite)),
            ("-.inf", Err(NumberFault::NotFinite)),
            (".nan", Err(NumberFault::NotFinite)),
            (".", text(".")),
            ("1.2.3", text("1.2.3")),
            ("1_000", text("1_000")),
            ("2026-01-31", text("2026-01-31")),
            ("e5", text("e5")),
            ("-", text("-")),
            ("inf", text("inf")),
        ] {
            assert_eq!(resolve(written), expected, "{written}");
        }
        assert!(has_leading_zero("007") && has_leading_zero("-01"));
        assert!(!has_leading_zero("0") && !has_leading_zero("0.5") && !has_leading_zero("0x1"));
    }

    proptest! {
        #[test]
        fn printed_integers_are_read_back(number in any::<i64>()) {
            prop_assert_eq!(resolve(&number.to_string()), Ok(NodeKind::Int(number)));
        }

        #[test]
        fn printed_floats_are_read_back(number in prop::num::f64::NORMAL | prop::num::f64::ZERO) {
            prop_assert_eq!(resolve(&format!("{number:?}")), Ok(NodeKind::Float(number)));
        }

        #[test]
        fn any_text_is_something(text in ".*") {
            let _ = resolve(&text);
        }
    }
}
