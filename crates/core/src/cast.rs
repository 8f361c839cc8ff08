//! Which types fit which, and how a value becomes one of another type.
//!
//! Two tables, one file: [`castable`] says it of types before anything runs, [`cast`] does it to a value. What the
//! first refuses, the second refuses too. They follow `WayFlow`'s pairs with four differences: `any` into a type is
//! allowed and checked at run time; no text turns into a number or a boolean, in either direction of time; a float
//! becomes an integer only where nothing is lost; and null is a value, never quietly replaced.

use std::sync::Arc;

use crate::types::{Kind, Type};
use crate::value::{Object, Value, to_value};

/// Why a value is not one of the type that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CastError(String);

impl CastError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Whether some value of type `from` may become one of type `to`.
pub fn castable(from: &Type, to: &Type) -> bool {
    if matches!(from.kind, Kind::Any) || matches!(to.kind, Kind::Any) {
        return true;
    }
    if let Kind::Union(members) = &from.kind {
        return members.iter().any(|m| m.kind != Kind::Null && castable(m, to))
            || *from == *to
            || (members.iter().all(|m| m.kind == Kind::Null) && to.admits_null());
    }
    if let (Some(some), Some(all)) = (&from.one_of, &to.one_of)
        && !some.iter().any(|v| all.contains(v))
    {
        return false;
    }
    match (&from.kind, &to.kind) {
        (_, Kind::Union(members)) => members.iter().any(|m| castable(from, m)),
        (Kind::Table, Kind::Table) => true,
        (Kind::Table, _) | (_, Kind::Table) => false,
        (Kind::Null, other) => matches!(other, Kind::Null),
        (_, Kind::String) => true,
        (Kind::String | Kind::Path, Kind::Path) => true,
        (Kind::List(a), Kind::List(b)) => castable(a, b),
        (Kind::Object(a), Kind::Object(b)) => {
            // An object that names no field may hold any; one that names some must not contradict.
            a.is_empty() || b.iter().all(|(name, t)| a.get(name).is_some_and(|s| castable(s, t)))
        }
        (a, b) if is_number(a) && is_number(b) => true,
        (a, Kind::Boolean) | (Kind::Boolean, a) if is_number(a) => true,
        (Kind::Date, Kind::Timestamp) => true,
        (a, b) => a == b,
    }
}

fn is_number(kind: &Kind) -> bool {
    matches!(kind, Kind::Integer | Kind::Number | Kind::Decimal)
}

/// The value as one of type `to`.
///
/// # Errors
/// When it is none and cannot become one without losing something; the message names both types and the value.
pub fn cast(value: Value, to: &Type) -> Result<Value, CastError> {
    if fits(&value, to) {
        return Ok(value);
    }
    let cast = cast_kind(value, to)?;
    check_limits(&cast, to)?;
    Ok(cast)
}

/// Whether it is plain that a value is already one of a type, as almost all values on wires are.
pub(crate) fn fits(value: &Value, to: &Type) -> bool {
    is_of_kind(value, &to.kind) && to.one_of.is_none() && to.minimum.is_none() && to.maximum.is_none()
}

fn is_of_kind(value: &Value, kind: &Kind) -> bool {
    match (kind, value) {
        (Kind::Any, _)
        | (Kind::Null, Value::Null)
        | (Kind::Boolean, Value::Bool(_))
        | (Kind::Integer, Value::Int(_))
        | (Kind::Number, Value::Float(_))
        | (Kind::Decimal, Value::Decimal(_))
        | (Kind::Date, Value::Date(_))
        | (Kind::Timestamp, Value::Timestamp(_))
        | (Kind::Duration, Value::Duration(_))
        | (Kind::String | Kind::Path, Value::String(_))
        | (Kind::Table, Value::Table(_)) => true,
        (Kind::Object(fields), Value::Object(_)) => fields.is_empty(),
        (Kind::List(item), Value::List(list)) => matches!(item.kind, Kind::Any) || list.is_view_of(item),
        _ => false,
    }
}

fn cast_kind(value: Value, to: &Type) -> Result<Value, CastError> {
    if is_of_kind(&value, &to.kind) {
        return Ok(value);
    }
    Ok(match (&to.kind, value) {
        (Kind::Union(members), value) => cast_union(value, members, to)?,
        (_, value @ Value::Null) => return Err(refusal(&value, to)),
        (Kind::Number | Kind::Integer | Kind::Decimal | Kind::Boolean, value) => cast_number(&value, to)?,
        (Kind::List(item), Value::List(list)) => {
            let items = list
                .items()
                .iter()
                .enumerate()
                .map(|(i, v)| cast(v.clone(), item).map_err(|e| CastError(format!("item {i}: {e}"))));
            Value::List(items.collect::<Result<Vec<_>, _>>()?.into())
        }
        (Kind::Object(fields), Value::Object(object)) => cast_object(&object, fields)?,
        (Kind::Timestamp, Value::Date(day)) => Value::Timestamp(day.and_time(chrono::NaiveTime::MIN).and_utc()),
        (Kind::String, value @ Value::Table(_)) => return Err(refusal(&value, to)),
        (Kind::String, value) => Value::from(text_of(&value)?),
        (_, value) => return Err(refusal(&value, to)),
    })
}

fn cast_union(value: Value, members: &[Type], to: &Type) -> Result<Value, CastError> {
    if let Some(exact) = members.iter().find(|m| is_exactly(&value, m)) {
        return cast(value, exact);
    }
    // Text is the last resort: everything turns into text, so it would hide the other members.
    let order = members.iter().filter(|m| m.kind != Kind::String);
    for member in order.chain(members.iter().filter(|m| m.kind == Kind::String)) {
        if let Ok(cast) = cast(value.clone(), member) {
            return Ok(cast);
        }
    }
    Err(refusal(&value, to))
}

/// Whether the value already has the type's own representation.
fn is_exactly(value: &Value, to: &Type) -> bool {
    let same = match (&to.kind, value) {
        (Kind::Any, _) => true,
        (Kind::Null, v) => v.is_null(),
        (Kind::List(_), Value::List(_)) | (Kind::Object(_), Value::Object(_)) => {
            cast_kind(value.clone(), to).is_ok()
        }
        (Kind::Path, Value::String(_)) => true,
        (Kind::Union(members), v) => return members.iter().any(|m| is_exactly(v, m)),
        (kind, v) => Type::from(kind.clone()).to_string() == v.type_name(),
    };
    same && check_limits(value, to).is_ok()
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "each cast is checked beside it")]
fn cast_number(value: &Value, to: &Type) -> Result<Value, CastError> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53: above it, neighbouring integers share a float
    let cast = match (&to.kind, value) {
        (Kind::Number, Value::Int(i)) => Some(Value::Float(*i as f64)),
        (Kind::Number, Value::Decimal(_)) => value.as_f64().map(Value::Float),
        (Kind::Number, Value::Bool(b)) => Some(Value::Float(f64::from(u8::from(*b)))),
        (Kind::Integer, Value::Bool(b)) => Some(Value::Int(i64::from(*b))),
        (Kind::Integer, Value::Float(f)) if f.fract() == 0.0 && f.abs() <= EXACT => Some(Value::Int(*f as i64)),
        (Kind::Integer, Value::Decimal(d)) if d.fract().is_zero() => i64::try_from(*d).ok().map(Value::Int),
        (Kind::Decimal, Value::Int(i)) => Some(Value::Decimal((*i).into())),
        (Kind::Decimal, Value::Bool(b)) => Some(Value::Decimal(i64::from(*b).into())),
        (Kind::Decimal, Value::Float(f)) => rust_decimal::Decimal::try_from(*f).ok().map(Value::Decimal),
        (Kind::Boolean, v) => match v {
            Value::Int(_) | Value::Float(_) | Value::Decimal(_) => Some(Value::Bool(v.is_truthy())),
            _ => None,
        },
        _ => None,
    };
    cast.ok_or_else(|| refusal(value, to))
}

fn cast_object(object: &Object, fields: &indexmap::IndexMap<String, Type>) -> Result<Value, CastError> {
    let mut entries: Vec<(Arc<str>, Value)> = object.iter().map(|(k, v)| (Arc::clone(k), v.clone())).collect();
    for (name, wanted) in fields {
        match entries.iter_mut().find(|(k, _)| **k == **name) {
            Some((_, slot)) => {
                let value = std::mem::take(slot);
                *slot = cast(value, wanted).map_err(|e| CastError(format!("field `{name}`: {e}")))?;
            }
            None if wanted.admits_null() => {}
            None => return Err(CastError(format!("the object has no field `{name}`"))),
        }
    }
    Ok(Value::Object(entries.into_iter().collect()))
}

fn check_limits(value: &Value, to: &Type) -> Result<(), CastError> {
    if let Some(values) = &to.one_of
        && !values.contains(value)
        && !(value.is_null() && to.admits_null())
    {
        let values: Vec<_> = values.iter().map(ToString::to_string).collect();
        return Err(CastError(format!("{value} is none of {}", values.join(", "))));
    }
    if let Some(number) = value.as_f64() {
        if let Some(low) = to.minimum.filter(|low| number < *low) {
            return Err(CastError(format!("{value} is less than {low}")));
        }
        if let Some(high) = to.maximum.filter(|high| number > *high) {
            return Err(CastError(format!("{value} is more than {high}")));
        }
    }
    Ok(())
}

/// A value as text: a string as it stands, all else as JSON.
///
/// # Errors
/// A number that is not finite has no text that JSON could read back.
pub fn text_of(value: &Value) -> Result<String, CastError> {
    match value {
        Value::String(s) => Ok(s.to_string()),
        other => match crate::value::scalar_text(other) {
            Some(text) => Ok(text),
            None => serde_json::to_string(other).map_err(|e| CastError(e.to_string())),
        },
    }
}

/// Reads what a person typed (`-i name=value`) as `to`: text as it stands, all else as JSON.
///
/// # Errors
/// When the text is not JSON, or not of the type.
pub fn parse_text(text: &str, to: &Type) -> Result<Value, CastError> {
    if matches!(to.without_null().kind, Kind::String | Kind::Path) {
        return cast(Value::from(text), to);
    }
    if let Some(value) = parse_scalar(text, &to.without_null().kind)? {
        return cast(value, to);
    }
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|_| CastError(format!("`{text}` is no {to}{}", hint(to))))?;
    let value = to_value(&json).map_err(|e| CastError(e.to_string()))?;
    cast(value, to)
}

/// How a value of the type is typed, where that is not plain.
fn hint(to: &Type) -> &'static str {
    match to.without_null().kind {
        Kind::Integer | Kind::Number => "",
        Kind::Boolean => "; write `true` or `false`",
        _ => "; write it as JSON, texts in quotes",
    }
}

/// Reads the text of a decimal, date, timestamp or duration; `None` for the other types.
///
/// # Errors
/// When the text is no such thing.
pub fn parse_scalar(text: &str, kind: &Kind) -> Result<Option<Value>, CastError> {
    let wrong = |form: &str| CastError(format!("`{text}` is no {} ({form})", Type::from(kind.clone())));
    Ok(Some(match kind {
        Kind::Decimal => Value::Decimal(text.parse().map_err(|_| wrong("such as 12.50"))?),
        Kind::Date => Value::Date(text.parse().map_err(|_| wrong("such as 2026-01-31"))?),
        Kind::Timestamp => chrono::DateTime::parse_from_rfc3339(text)
            .map(|t| Value::Timestamp(t.to_utc()))
            .map_err(|_| wrong("such as 2026-01-31T12:00:00Z"))?,
        Kind::Duration => {
            let seconds = text.strip_prefix("PT").and_then(|t| t.strip_suffix('S')).unwrap_or(text);
            let seconds: rust_decimal::Decimal = seconds.parse().map_err(|_| wrong("seconds, such as PT1.5S"))?;
            let micros = seconds.checked_mul(rust_decimal::Decimal::from(1_000_000));
            let micros = micros.ok_or_else(|| wrong("seconds, such as PT1.5S"))?.trunc();
            let micros = i64::try_from(micros).map_err(|_| wrong("seconds, such as PT1.5S"))?;
            Value::Duration(chrono::TimeDelta::microseconds(micros))
        }
        _ => return Ok(None),
    }))
}

fn refusal(value: &Value, to: &Type) -> CastError {
    if value.is_null() {
        return CastError(format!("null is no {to}; declare the type as `{to}?` where null is meant"));
    }
    CastError(format!("{value} ({}) is no {to}", value.type_name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::List;
    use proptest::prelude::*;

    #[test]
    fn a_list_whose_items_are_of_the_type_is_not_built_to_be_cast() {
        let view = List::view(3, Type::string(), || panic!("nobody reads it"));
        let cast = cast(Value::List(view), &Type::list(Type::string())).unwrap();
        assert!(matches!(cast, Value::List(list) if list.len() == 3));
    }

    fn scalar_kinds() -> impl Strategy<Value = Type> {
        prop::sample::select(Type::WORDS).prop_map(|w| Type::from_word(w).unwrap())
    }

    fn types() -> impl Strategy<Value = Type> {
        scalar_kinds().prop_recursive(3, 8, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(Type::list),
                inner.clone().prop_map(Type::nullable),
                prop::collection::vec(inner.clone(), 1..3).prop_map(|m| Kind::Union(m).into()),
                prop::collection::vec(("[a-c]", inner), 0..3)
                    .prop_map(|fields| Kind::Object(fields.into_iter().collect()).into()),
            ]
        })
    }

    fn values() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Float),
            "[a-z0-9]{0,6}".prop_map(Value::from),
        ];
        scalar.prop_recursive(2, 6, 3, |inner| prop::collection::vec(inner, 0..3).prop_map(Value::from))
    }

    /// Any value of a type.
    fn value_of(of: &Type) -> BoxedStrategy<Value> {
        match &of.kind {
            Kind::Any => values().boxed(),
            Kind::Null => Just(Value::Null).boxed(),
            Kind::Boolean => any::<bool>().prop_map(Value::Bool).boxed(),
            Kind::Integer => any::<i64>().prop_map(Value::Int).boxed(),
            Kind::Number => {
                prop_oneof![any::<f64>(), (-9..9_i32).prop_map(f64::from)].prop_map(Value::Float).boxed()
            }
            Kind::Decimal => (any::<i64>(), 0..9_u32)
                .prop_map(|(digits, scale)| Value::Decimal(rust_decimal::Decimal::new(digits, scale)))
                .boxed(),
            Kind::Date => (0..20_000_i32)
                .prop_map(|day| Value::Date(chrono::NaiveDate::from_epoch_days(day).unwrap()))
                .boxed(),
            Kind::Timestamp => (0..2_000_000_000_i64)
                .prop_map(|second| Value::Timestamp(chrono::DateTime::from_timestamp(second, 0).unwrap()))
                .boxed(),
            Kind::Duration => {
                any::<i32>().prop_map(|second| Value::Duration(chrono::TimeDelta::seconds(second.into()))).boxed()
            }
            Kind::String | Kind::Path => "[a-z0-9]{0,6}".prop_map(Value::from).boxed(),
            Kind::Table => Just(table()).boxed(),
            Kind::List(item) => prop::collection::vec(value_of(item), 0..3).prop_map(Value::from).boxed(),
            Kind::Object(fields) => {
                let fields: Vec<_> =
                    fields.iter().map(|(name, of)| (Just(Arc::from(name.as_str())), value_of(of))).collect();
                fields.prop_map(|entries| Value::Object(entries.into_iter().collect())).boxed()
            }
            Kind::Union(members) => {
                prop::strategy::Union::new(members.iter().map(value_of).collect::<Vec<_>>()).boxed()
            }
        }
    }

    fn table() -> Value {
        let schema = Arc::new(arrow_schema::Schema::empty());
        Value::Table(crate::table::Table::new(crate::table::MemoryTable::new(schema, Vec::new())))
    }

    fn a_value_and_its_type() -> impl Strategy<Value = (Value, Type)> {
        types().prop_flat_map(|of| (value_of(&of), Just(of)))
    }

    proptest! {
        #[test]
        fn what_is_no_statically_is_no_at_run_time((value, from) in a_value_and_its_type(), to in types()) {
            if !castable(&from, &to) {
                prop_assert!(cast(value.clone(), &to).is_err() || is_exactly(&value, &to), "{} as {} into {}", value, from, to);
            }
        }

        #[test]
        fn a_cast_value_has_the_type(value in values(), to in types()) {
            if let Ok(cast) = cast(value, &to) {
                prop_assert!(super::cast(cast.clone(), &to).is_ok());
            }
        }
    }

    /// Values of a word's type that go into every type into which any value of it goes.
    fn samples(word: &str) -> Vec<Value> {
        let day = chrono::NaiveDate::from_epoch_days(1).unwrap();
        match word {
            "null" => vec![Value::Null],
            "boolean" => vec![true.into()],
            "integer" => vec![Value::Int(1)],
            "number" => vec![Value::Float(1.0)],
            "decimal" => vec![Value::Decimal(1.into())],
            "date" => vec![Value::Date(day)],
            "timestamp" => vec![Value::Timestamp(day.and_time(chrono::NaiveTime::MIN).and_utc())],
            "duration" => vec![Value::Duration(chrono::TimeDelta::seconds(1))],
            "string" | "path" => ["1", "true", "2026-01-31", "x"].map(Value::from).to_vec(),
            "object" => vec![Value::Object(Object::from_iter([]))],
            "array" => vec![Vec::<Value>::new().into()],
            "table" => vec![table()],
            other => panic!("`{other}` has no samples"),
        }
    }

    #[test]
    fn both_tables_say_the_same_of_every_pair_of_words() {
        for from in Type::WORDS.iter().filter(|word| **word != "any") {
            for to in Type::WORDS {
                let to = Type::from_word(to).unwrap();
                let goes = samples(from).into_iter().any(|value| cast(value, &to).is_ok());
                assert_eq!(castable(&Type::from_word(from).unwrap(), &to), goes, "{from} into {to}");
            }
        }
    }

    #[test]
    fn no_text_turns_into_a_number_or_boolean() {
        for to in [Type::integer(), Type::number(), Type::boolean()] {
            assert!(!castable(&Type::string(), &to));
            assert!(cast("1".into(), &to).is_err());
        }
    }

    #[test]
    fn null_needs_a_type_that_admits_it() {
        let error = cast(Value::Null, &Type::string()).unwrap_err();
        assert_eq!(error.to_string(), "null is no string; declare the type as `string?` where null is meant");
        assert_eq!(cast(Value::Null, &Type::string().nullable()), Ok(Value::Null));
    }

    #[test]
    fn a_float_turns_into_an_integer_only_without_loss() {
        assert_eq!(cast(Value::Float(6.0), &Type::integer()), Ok(Value::Int(6)));
        assert_eq!(
            cast(Value::Float(6.5), &Type::integer()).unwrap_err().to_string(),
            "6.5 (number) is no integer"
        );
    }

    #[test]
    fn typed_text_is_read_by_the_type() {
        assert_eq!(parse_text("150", &Type::integer()), Ok(Value::Int(150)));
        assert_eq!(parse_text("150", &Type::string()), Ok(Value::from("150")));
        assert_eq!(parse_text("x", &Type::integer()).unwrap_err().to_string(), "`x` is no integer");
        assert_eq!(
            parse_text("yes", &Type::boolean()).unwrap_err().to_string(),
            "`yes` is no boolean; write `true` or `false`"
        );
        assert!(matches!(parse_text("2026-01-31", &Kind::Date.into()), Ok(Value::Date(_))));
    }
}
