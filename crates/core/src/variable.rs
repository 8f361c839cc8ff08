//! [`Operation`]: how a step changes a variable of its flow.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::cast::{CastError, cast};
use crate::types::{Kind, Type};
use crate::value::{Object, Value};

/// How a value is written to a variable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// The value takes the place of the one before.
    #[default]
    Overwrite,
    /// Into an object: its entries are set, those of the same name replaced. Onto a list: its items go behind the others.
    Merge,
    /// Into a list, as one item behind the others.
    Insert,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overwrite => "overwrite",
            Self::Merge => "merge",
            Self::Insert => "insert",
        })
    }
}

impl Operation {
    /// The type of what it takes, for a variable of this type.
    ///
    /// # Errors
    /// When it cannot be done to such a variable; the message says to which it can.
    pub fn takes(self, variable: &Type) -> Result<Type, String> {
        match (self, &variable.kind) {
            (Self::Overwrite, _) | (Self::Merge, Kind::List(_)) => Ok(variable.clone()),
            // Some entries are enough: the others stay.
            (Self::Merge, Kind::Object(_)) => Ok(Type::object()),
            (Self::Insert, Kind::List(item)) => Ok((**item).clone()),
            (Self::Merge, _) => Err(format!("`merge` is for objects and lists, not for {variable}")),
            (Self::Insert, _) => Err(format!("`insert` is for lists, not for {variable}")),
        }
    }

    /// Whether it builds on what the variable held before.
    pub fn reads(self) -> bool {
        self != Self::Overwrite
    }

    /// What a variable of this type holds after it.
    ///
    /// # Errors
    /// When the value does not fit.
    pub(crate) fn apply(self, held: Value, value: Value, to: &Type) -> Result<Value, CastError> {
        match (self, &to.kind, held) {
            (Self::Merge, Kind::List(_), Value::List(list)) => match cast(value, to)? {
                Value::List(more) => Ok(Value::List(list.extended(more.items().iter().cloned()))),
                other => Err(refusal(self, &other, to)),
            },
            (Self::Merge, Kind::Object(_), Value::Object(object)) => match value {
                Value::Object(more) => cast(Value::Object(merged(&object, &more)), to),
                other => Err(refusal(self, &other, to)),
            },
            (Self::Insert, Kind::List(item), Value::List(list)) => {
                Ok(Value::List(list.extended([cast(value, item)?])))
            }
            (Self::Overwrite, ..) => cast(value, to),
            (_, _, held) => Err(refusal(self, &held, to)),
        }
    }
}

fn refusal(operation: Operation, value: &Value, to: &Type) -> CastError {
    CastError::new(format!(
        "`{operation}` cannot be done with {value} ({}) and a variable of {to}",
        value.type_name()
    ))
}

fn merged(object: &Object, more: &Object) -> Object {
    let entries = object.iter().chain(more.iter());
    entries.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[i64]) -> Value {
        items.iter().map(|n| Value::Int(*n)).collect::<Vec<_>>().into()
    }

    fn object(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn each_operation_is_for_variables_of_some_types() {
        let (list, object) = (Type::list(Type::integer()), Type::object());
        assert_eq!(Operation::Insert.takes(&list), Ok(Type::integer()));
        assert_eq!(Operation::Merge.takes(&list), Ok(list.clone()));
        assert_eq!(Operation::Merge.takes(&object), Ok(Type::object()));
        for (operation, wrong) in [
            (Operation::Insert, object),
            (Operation::Insert, list.nullable()),
            (Operation::Merge, Type::string()),
            (Operation::Merge, Type::any()),
        ] {
            assert!(operation.takes(&wrong).is_err(), "{operation} {wrong}");
        }
    }

    #[test]
    fn lists_grow_and_objects_are_merged() {
        let integers = Type::list(Type::integer());
        assert_eq!(Operation::Insert.apply(list(&[1]), Value::Float(2.0), &integers), Ok(list(&[1, 2])));
        assert_eq!(Operation::Merge.apply(list(&[1]), list(&[2, 3]), &integers), Ok(list(&[1, 2, 3])));
        let merged =
            Operation::Merge.apply(object(r#"{"a": 1, "b": 2}"#), object(r#"{"b": 3, "c": 4}"#), &Type::object());
        assert_eq!(merged, Ok(object(r#"{"a": 1, "b": 3, "c": 4}"#)));
        assert!(Operation::Insert.apply(list(&[1]), "x".into(), &integers).is_err());
        assert!(Operation::Merge.apply(object("{}"), list(&[]), &Type::object()).is_err());
    }

    #[test]
    fn a_list_that_somebody_else_holds_stays_as_it_was() {
        let held = list(&[1]);
        let grown = Operation::Insert.apply(held.clone(), Value::Int(2), &Type::list(Type::integer()));
        assert_eq!((held, grown), (list(&[1]), Ok(list(&[1, 2]))));
    }
}
