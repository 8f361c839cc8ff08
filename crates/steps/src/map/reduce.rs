//! What a map makes of all values of an output: one value in place of the list.
//!
//! Nothing wraps: whole numbers are added in 128 bits, decimals with their 28 digits and floats with what each addition
//! rounds away, and a result that its type cannot hold is an error. Nulls are left out, as in SQL: a failed item that is kept has none.

use std::cmp::Ordering;

use chrono::TimeDelta;
use flowrun_core::error::StepError;
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::Value;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use schemars::JsonSchema;
use serde::Deserialize;

/// What is made of the values of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reducer {
    /// The list of all, as where nothing is said.
    Append,
    /// Their sum; 0 of none. A boolean counts as 0 or 1.
    Sum,
    /// Their mean; null of none. A boolean counts as 0 or 1.
    Average,
    /// The greatest, of texts the last in the order of their letters; null of none.
    Max,
    /// The least; null of none.
    Min,
}

impl Reducer {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Sum => "sum",
            Self::Average => "average",
            Self::Max => "max",
            Self::Min => "min",
        }
    }

    /// The type of the result for values of a type; none where they cannot be so reduced.
    pub(super) fn gives(self, values: &Type) -> Option<Type> {
        let sum = |kind: &Kind| match kind {
            Kind::Boolean | Kind::Integer => Some(Kind::Integer),
            Kind::Any | Kind::Number | Kind::Decimal | Kind::Duration => Some(kind.clone()),
            _ => None,
        };
        match self {
            Self::Append => Some(Type::list(values.clone())),
            Self::Sum => over(values, &sum).map(Type::from),
            Self::Average => {
                let average = |kind: &Kind| sum(kind).map(|k| if k == Kind::Integer { Kind::Number } else { k });
                over(values, &average).map(|kind| Type::from(kind).nullable())
            }
            Self::Max | Self::Min => {
                let ordered = |kind: &Kind| is_ordered(kind).then(|| kind.clone());
                over(values, &ordered).map(|_| values.clone().nullable())
            }
        }
    }
}

/// One kind for all members of a type but null; `any` where they differ.
fn over(values: &Type, one: &dyn Fn(&Kind) -> Option<Kind>) -> Option<Kind> {
    let Kind::Union(members) = &values.kind else { return one(&values.kind) };
    let mut found = None;
    for member in members.iter().filter(|m| m.kind != Kind::Null) {
        let kind = over(member, one)?;
        found = Some(if found.is_none_or(|f| f == kind) { kind } else { Kind::Any });
    }
    found
}

fn is_ordered(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Any
            | Kind::Integer
            | Kind::Number
            | Kind::Decimal
            | Kind::Date
            | Kind::Timestamp
            | Kind::Duration
            | Kind::String
            | Kind::Path
    )
}

/// The values of one output as they come, and what they come to.
#[derive(Debug)]
pub(super) struct Reduction {
    reducer: Reducer,
    output: String,
    count: i64,
    total: Total,
    best: Option<Value>,
}

#[derive(Debug)]
enum Total {
    Nothing,
    Int(i128),
    Float(Compensated),
    Decimal(Decimal),
    Duration(TimeDelta),
}

/// A sum of floats that keeps what each addition rounds away (Neumaier's form of Kahan's).
#[derive(Clone, Copy, Debug)]
struct Compensated {
    sum: f64,
    lost: f64,
}

impl Compensated {
    fn add(self, value: f64) -> Self {
        let sum = self.sum + value;
        let lost = if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        Self { sum, lost: self.lost + lost }
    }

    fn finish(self) -> f64 {
        self.sum + self.lost
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number that is to be a float, to the nearest")]
fn float(whole: i128) -> f64 {
    whole as f64
}

impl Reduction {
    pub(super) fn new(reducer: Reducer, output: &str) -> Self {
        Self { reducer, output: output.to_owned(), count: 0, total: Total::Nothing, best: None }
    }

    fn wrong(&self, what: &str) -> StepError {
        StepError::new("map.reduce", format!("the {} of `{}`: {what}", self.reducer.word(), self.output))
    }

    /// Takes the next value.
    pub(super) fn add(&mut self, value: &Value) -> Result<(), StepError> {
        if value.is_null() {
            return Ok(());
        }
        self.count += 1;
        match self.reducer {
            Reducer::Append => Ok(()),
            Reducer::Sum | Reducer::Average => self.add_up(value),
            Reducer::Max | Reducer::Min => self.compare(value),
        }
    }

    fn add_up(&mut self, value: &Value) -> Result<(), StepError> {
        let too_large = |me: &Self| me.wrong("it is too large");
        let total = std::mem::replace(&mut self.total, Total::Nothing);
        let number = |i: &i64| (i128::from(*i), Decimal::from(*i));
        self.total = match (total, value) {
            (total, Value::Bool(b)) => return self.put_back(total, &Value::Int(i64::from(*b))),
            (Total::Nothing, Value::Int(i)) => Total::Int(i128::from(*i)),
            (Total::Nothing, Value::Float(f)) => Total::Float(Compensated { sum: 0.0, lost: 0.0 }.add(*f)),
            (Total::Nothing, Value::Decimal(d)) => Total::Decimal(*d),
            (Total::Nothing, Value::Duration(d)) => Total::Duration(*d),
            (Total::Int(sum), Value::Int(i)) => {
                Total::Int(sum.checked_add(number(i).0).ok_or_else(|| too_large(self))?)
            }
            (Total::Int(sum), Value::Float(f)) => Total::Float(Compensated { sum: float(sum), lost: 0.0 }.add(*f)),
            (Total::Float(sum), Value::Int(i)) => Total::Float(sum.add(float(number(i).0))),
            (Total::Float(sum), Value::Float(f)) => Total::Float(sum.add(*f)),
            (Total::Int(sum), Value::Decimal(d)) => {
                let sum = Decimal::try_from_i128_with_scale(sum, 0).map_err(|_| too_large(self))?;
                Total::Decimal(sum.checked_add(*d).ok_or_else(|| too_large(self))?)
            }
            (Total::Decimal(sum), Value::Int(i)) => {
                Total::Decimal(sum.checked_add(number(i).1).ok_or_else(|| too_large(self))?)
            }
            (Total::Decimal(sum), Value::Decimal(d)) => {
                Total::Decimal(sum.checked_add(*d).ok_or_else(|| too_large(self))?)
            }
            (Total::Duration(sum), Value::Duration(d)) => {
                Total::Duration(sum.checked_add(d).ok_or_else(|| too_large(self))?)
            }
            (_, other) => {
                let what = format!("{other} ({}) cannot be added to what came before", other.type_name());
                return Err(self.wrong(&what));
            }
        };
        Ok(())
    }

    fn put_back(&mut self, total: Total, value: &Value) -> Result<(), StepError> {
        self.total = total;
        self.add_up(value)
    }

    fn compare(&mut self, value: &Value) -> Result<(), StepError> {
        let Some(best) = &self.best else {
            // A value that has no order with itself has none with any.
            if order(value, value).is_none() {
                return Err(self.wrong(&format!("{value} ({}) has no order", value.type_name())));
            }
            self.best = Some(value.clone());
            return Ok(());
        };
        let Some(order) = order(value, best) else {
            let what =
                format!("{value} ({}) cannot be compared with {best} ({})", value.type_name(), best.type_name());
            return Err(self.wrong(&what));
        };
        let wanted = if self.reducer == Reducer::Max { Ordering::Greater } else { Ordering::Less };
        if order == wanted {
            self.best = Some(value.clone());
        }
        Ok(())
    }

    /// What all values came to; `values` is their type.
    pub(super) fn finish(self, values: &Type) -> Result<Value, StepError> {
        match self.reducer {
            Reducer::Append => Err(self.wrong("a list is no one value")),
            Reducer::Max | Reducer::Min => Ok(self.best.unwrap_or_default()),
            Reducer::Sum => self.sum(values),
            Reducer::Average => self.average(),
        }
    }

    fn sum(&self, values: &Type) -> Result<Value, StepError> {
        match &self.total {
            Total::Nothing => Ok(match over(values, &|kind| Some(kind.clone())) {
                Some(Kind::Number) => Value::Float(0.0),
                Some(Kind::Decimal) => Value::Decimal(Decimal::ZERO),
                Some(Kind::Duration) => Value::Duration(TimeDelta::zero()),
                _ => Value::Int(0),
            }),
            Total::Int(sum) => {
                let too_large = || {
                    self.wrong(&format!("{sum} does not fit 64 bits"))
                        .help("declare the output `number` or `decimal`")
                };
                i64::try_from(*sum).map(Value::Int).map_err(|_| too_large())
            }
            Total::Float(sum) => self.finite(sum.finish()),
            Total::Decimal(sum) => Ok(Value::Decimal(*sum)),
            Total::Duration(sum) => Ok(Value::Duration(*sum)),
        }
    }

    fn average(&self) -> Result<Value, StepError> {
        let count = i128::from(self.count);
        match &self.total {
            Total::Nothing => Ok(Value::Null),
            Total::Int(sum) => {
                // The whole part apart, so that large sums lose no more than the result does.
                let (whole, rest) = (sum / count, sum % count);
                Ok(Value::Float(float(whole) + float(rest) / float(count)))
            }
            Total::Float(sum) => self.finite(sum.finish() / float(count)),
            Total::Decimal(sum) => {
                let mean = sum.checked_div(Decimal::from(self.count));
                mean.map(Value::Decimal).ok_or_else(|| self.wrong("it is too large"))
            }
            Total::Duration(sum) => {
                let micros = sum.num_microseconds().ok_or_else(|| self.wrong("it is too large"))?;
                Ok(Value::Duration(TimeDelta::microseconds(micros / self.count)))
            }
        }
    }

    fn finite(&self, number: f64) -> Result<Value, StepError> {
        if number.is_finite() { Ok(Value::Float(number)) } else { Err(self.wrong("it is no finite number")) }
    }
}

/// The order of two values; none where they have none.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Float(b)) => order_mixed(*a, *b),
        (Value::Float(a), Value::Int(b)) => order_mixed(*b, *a).map(Ordering::reverse),
        (Value::Decimal(a), Value::Decimal(b)) => Some(a.cmp(b)),
        (Value::Decimal(a), Value::Int(b)) => Some(a.cmp(&Decimal::from(*b))),
        (Value::Int(a), Value::Decimal(b)) => Some(Decimal::from(*a).cmp(b)),
        (Value::Date(a), Value::Date(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// A whole number against a float, exactly: as floats, neighbours beyond 2^53 would be equal.
fn order_mixed(whole: i64, number: f64) -> Option<Ordering> {
    if number.is_nan() {
        return None;
    }
    let Some(floor) = number.floor().to_i64() else {
        return Some(if number > 0.0 { Ordering::Less } else { Ordering::Greater });
    };
    Some(whole.cmp(&floor).then(if number.fract() == 0.0 { Ordering::Equal } else { Ordering::Less }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduced(reducer: Reducer, values: &[Value], values_type: &Type) -> Result<Value, String> {
        let mut reduction = Reduction::new(reducer, "x");
        for value in values {
            reduction.add(value).map_err(|e| e.message)?;
        }
        reduction.finish(values_type).map_err(|e| e.message)
    }

    fn of(reducer: Reducer, values: &[Value]) -> Result<Value, String> {
        reduced(reducer, values, &Type::any())
    }

    fn decimal(text: &str) -> Value {
        Value::Decimal(text.parse().unwrap())
    }

    #[test]
    fn sums_are_exact_or_refused() {
        let max = Value::Int(i64::MAX);
        assert_eq!(
            of(Reducer::Sum, &[max.clone(), 5_i64.into(), (-5_i64).into()]),
            Ok(max.clone()),
            "order does not matter"
        );
        assert_eq!(
            of(Reducer::Sum, &[max.clone(), 1_i64.into()]),
            Err("the sum of `x`: 9223372036854775808 does not fit 64 bits".to_owned())
        );
        let tenths = vec![Value::Float(0.1); 10];
        assert_eq!(of(Reducer::Sum, &tenths), Ok(Value::Float(1.0)));
        assert_eq!(of(Reducer::Sum, &[1e300.into(), 1.0.into(), (-1e300).into()]), Ok(Value::Float(1.0)));
        assert_eq!(
            of(Reducer::Sum, &[f64::MAX.into(), f64::MAX.into()]),
            Err("the sum of `x`: it is no finite number".to_owned())
        );
        assert_eq!(of(Reducer::Sum, &[decimal("0.10"), decimal("0.20")]), Ok(decimal("0.30")));
        let most = Value::Decimal(Decimal::MAX);
        assert_eq!(of(Reducer::Sum, &[most.clone(), most]), Err("the sum of `x`: it is too large".to_owned()));
        assert_eq!(of(Reducer::Sum, &[true.into(), false.into(), true.into()]), Ok(Value::Int(2)));
        assert!(of(Reducer::Sum, &["1".into()]).unwrap_err().contains("\"1\" (string) cannot be added"));
        assert!(
            of(Reducer::Sum, &[decimal("1"), 1.5.into()]).unwrap_err().contains("1.5 (number) cannot be added")
        );
    }

    #[test]
    fn averages_lose_no_more_than_their_type_does() {
        assert_eq!(of(Reducer::Average, &[1_i64.into(), 2_i64.into()]), Ok(Value::Float(1.5)));
        let max = Value::Int(i64::MAX);
        assert_eq!(of(Reducer::Average, &[max.clone(), max]), Ok(Value::Float(9_223_372_036_854_775_807.0)));
        assert_eq!(
            of(Reducer::Average, &[Value::Null, 4_i64.into(), Value::Null]),
            Ok(Value::Float(4.0)),
            "nulls do not count"
        );
        assert_eq!(of(Reducer::Average, &[true.into(), false.into()]), Ok(Value::Float(0.5)));
        assert_eq!(of(Reducer::Average, &[decimal("1"), decimal("2")]), Ok(decimal("1.5")));
    }

    #[test]
    fn the_greatest_and_the_least_are_values_that_came() {
        assert_eq!(of(Reducer::Max, &[2_i64.into(), 2.5.into(), 1_i64.into()]), Ok(Value::Float(2.5)));
        let (large, near) = (Value::Int(9_007_199_254_740_993), Value::Float(9_007_199_254_740_992.0));
        assert_eq!(of(Reducer::Max, &[near.clone(), large.clone()]), Ok(large.clone()), "compared exactly");
        assert_eq!(of(Reducer::Min, &[large, near.clone()]), Ok(near));
        assert_eq!(of(Reducer::Min, &["b".into(), Value::Null, "a".into()]), Ok("a".into()));
        assert_eq!(of(Reducer::Max, &[1e300.into(), 1_i64.into()]), Ok(Value::Float(1e300)));
        assert!(of(Reducer::Max, &[f64::NAN.into()]).is_err());
        assert!(
            of(Reducer::Max, &[1_i64.into(), "a".into()])
                .unwrap_err()
                .contains("cannot be compared with 1 (integer)")
        );
        assert!(of(Reducer::Max, &[true.into()]).unwrap_err().contains("has no order"));
    }

    #[test]
    fn of_nothing_a_sum_is_zero_and_the_rest_is_null() {
        let zeros = [
            (Type::integer(), Value::Int(0)),
            (Type::number().nullable(), Value::Float(0.0)),
            (Kind::Decimal.into(), Value::Decimal(Decimal::ZERO)),
        ];
        for (values, zero) in zeros {
            assert_eq!(reduced(Reducer::Sum, &[], &values), Ok(zero));
        }
        for reducer in [Reducer::Average, Reducer::Max, Reducer::Min] {
            assert_eq!(reduced(reducer, &[Value::Null], &Type::integer()), Ok(Value::Null));
        }
    }

    #[test]
    fn types_say_what_can_be_reduced() {
        let gives = |reducer: Reducer, values: Type| reducer.gives(&values).map(|t| t.to_string());
        assert_eq!(gives(Reducer::Sum, Type::integer().nullable()).as_deref(), Some("integer"));
        assert_eq!(gives(Reducer::Average, Type::integer()).as_deref(), Some("number?"));
        assert_eq!(gives(Reducer::Average, Type::boolean()).as_deref(), Some("number?"));
        assert_eq!(gives(Reducer::Max, Type::string()).as_deref(), Some("string?"));
        assert_eq!(gives(Reducer::Sum, Type::any()).as_deref(), Some("any"));
        let mixed: Type = Kind::Union(vec![Type::integer(), Type::number()]).into();
        assert_eq!(gives(Reducer::Sum, mixed).as_deref(), Some("any"));
        for (reducer, values) in [
            (Reducer::Sum, Type::string()),
            (Reducer::Average, Type::list(Type::integer())),
            (Reducer::Max, Type::boolean()),
            (Reducer::Min, Type::object()),
            (Reducer::Sum, Kind::Date.into()),
        ] {
            assert_eq!(reducer.gives(&values), None, "{} of {values}", reducer.word());
        }
    }
}
