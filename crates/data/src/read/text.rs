//! Values written as text.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta};
use flowrun_core::cast::cast;
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::Value;

/// A number as JSON writes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// A whole number without point or exponent.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A whole number that has no 64-bit form.
    TooLarge,
}

/// Reads a number as JSON writes it: no leading zero or plus, no `nan`, no `inf`.
pub(super) fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let bytes = digits.as_bytes();
    let whole = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    if whole == 0 || (whole > 1 && bytes[0] == b'0') {
        return None;
    }
    if whole == bytes.len() {
        // `-0` is a float: an integer would lose its sign.
        return Some(match text.parse() {
            Ok(0) if text.starts_with('-') => Number::Float(-0.0),
            Ok(integer) => Number::Integer(integer),
            Err(_) => Number::TooLarge,
        });
    }
    let last = bytes.last().is_some_and(u8::is_ascii_digit);
    let after = bytes.get(whole + 1).is_some_and(|b| b.is_ascii_digit() || bytes[whole] != b'.');
    let known = bytes.iter().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if !(last && after && known) {
        return None;
    }
    text.parse().ok().filter(|f: &f64| f.is_finite()).map(Number::Float)
}

/// The value that a text means in a column of this type; none where it means nothing there.
pub(super) fn parse(text: &str, column: &Type) -> Option<Value> {
    let kind = &column.without_null().kind;
    let value = match kind {
        Kind::String | Kind::Path => Value::from(text),
        Kind::Boolean => Value::Bool(text.parse().ok()?),
        Kind::Integer => match number(text)? {
            Number::Integer(n) => Value::Int(n),
            Number::Float(f) => Value::Float(f),
            Number::TooLarge => return None,
        },
        Kind::Number => Value::Float(text.parse().ok().filter(|f: &f64| f.is_finite())?),
        Kind::Decimal => Value::Decimal(text.parse().ok()?),
        Kind::Date => Value::Date(date(text)?),
        Kind::Timestamp => timestamp(text)?,
        Kind::Duration => Value::Duration(duration(text)?),
        Kind::Any => return Some(serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))),
        _ => serde_json::from_str(text).ok()?,
    };
    cast(value, column).ok()
}

/// The value of a JSON cell in a column of a declared type: text is read as what it means there.
pub(super) fn parse_value(value: Value, column: &Type) -> Option<Value> {
    let wanted =
        matches!(column.without_null().kind, Kind::Decimal | Kind::Date | Kind::Timestamp | Kind::Duration);
    match value {
        Value::String(text) if wanted => parse(&text, column),
        other => cast(other, column).ok(),
    }
}

fn date(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()
}

/// RFC 3339, or the same with a blank or without an offset, which then is UTC.
fn timestamp(text: &str) -> Option<Value> {
    if let Ok(stamp) = DateTime::parse_from_rfc3339(text) {
        return Some(Value::Timestamp(stamp.to_utc()));
    }
    let plain = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"];
    let stamp = plain.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())?;
    Some(Value::Timestamp(stamp.and_utc()))
}

/// An ISO 8601 duration of days and smaller: `P1DT2H3M4.5S`, `-PT90S`.
fn duration(text: &str) -> Option<TimeDelta> {
    const UNITS: [(char, bool, i64); 4] = [
        ('D', false, 86_400_000_000),
        ('H', true, 3_600_000_000),
        ('M', true, 60_000_000),
        ('S', true, 1_000_000),
    ];
    let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let mut rest = rest.strip_prefix('P')?;
    let (mut micros, mut in_time, mut parts, mut from) = (0_i64, false, 0, 0);
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T') {
            if in_time || time.is_empty() {
                return None;
            }
            (in_time, rest) = (true, time);
        }
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let unit = rest[end..].chars().next()?;
        let place = from + UNITS[from..].iter().position(|(u, time, _)| *u == unit && *time == in_time)?;
        let (whole, fraction) = rest[..end].split_once('.').unwrap_or((&rest[..end], ""));
        if whole.is_empty() || fraction.len() > 6 || (!fraction.is_empty() && unit != 'S') {
            return None;
        }
        micros = micros.checked_add(whole.parse::<i64>().ok()?.checked_mul(UNITS[place].2)?)?;
        if !fraction.is_empty() {
            micros = micros.checked_add(format!("{fraction:0<6}").parse().ok()?)?;
        }
        (rest, from, parts) = (&rest[end + unit.len_utf8()..], place + 1, parts + 1);
    }
    (parts > 0).then(|| TimeDelta::microseconds(if negative { -micros } else { micros }))
}

#[cfg(test)]
mod tests {
    use flowrun_core::value::duration_text;

    use super::*;

    #[test]
    fn numbers_are_those_of_json() {
        assert_eq!(number("0"), Some(Number::Integer(0)));
        assert_eq!(number("-12"), Some(Number::Integer(-12)));
        assert_eq!(number("6.0"), Some(Number::Float(6.0)));
        assert_eq!(number("1e3"), Some(Number::Float(1000.0)));
        assert_eq!(number("1E+3"), Some(Number::Float(1000.0)));
        assert_eq!(number("18446744073709551616"), Some(Number::TooLarge));
        for text in
            ["", "-", "01", "+1", "1.", ".5", "1e", "nan", "inf", "1_0", "1 ", "0x1", "1.e3", "1-2", "1e999"]
        {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_they_are_written() {
        for micros in [0, 1, -1_500_000, 90_000_000, 123_456_789_012] {
            let delta = TimeDelta::microseconds(micros);
            assert_eq!(duration(&duration_text(&delta)), Some(delta));
        }
        assert_eq!(duration("P1DT2H3M4.5S"), Some(TimeDelta::microseconds(93_784_500_000)));
        for text in ["", "P", "PT", "P1", "PT1D", "P1M", "PT1S1H", "PT.5S", "PT1.5M", "1S"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn timestamps_may_leave_out_the_offset() {
        let column = Kind::Timestamp.into();
        let utc = parse("2026-01-31T12:00:00Z", &column);
        assert!(utc.is_some());
        assert_eq!(parse("2026-01-31 12:00:00", &column), utc);
        assert_eq!(parse("2026-01-31T13:00:00+01:00", &column), utc);
        assert_eq!(parse("2026-01-31", &column), None);
        assert_eq!(parse("2026-02-30", &Kind::Date.into()), None);
    }
}
