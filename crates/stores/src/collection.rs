//! Collections and the types of their columns: what may go in, what is looked for, what comes out.

use std::sync::Arc;

use flowrun_core::cast::{cast, parse_scalar};
use flowrun_core::diagnostics::nearest;
use flowrun_core::spec::CollectionSpec;
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::{Keys, Object, Value};

use crate::StoreError;

/// The values of a row, in the order of the columns.
pub type Row = Arc<[Value]>;

/// All collections of a datastore.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The datastore's name in the flow.
    pub store: String,
    collections: Vec<Arc<Collection>>,
}

/// A collection: its name, and its columns with their types.
#[derive(Debug)]
pub struct Collection {
    /// Its name.
    pub name: String,
    pub(crate) columns: Vec<Column>,
    keys: Arc<Keys>,
}

#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) value_type: Type,
    pub(crate) default: Option<Value>,
}

/// Values that columns must have, all of them; none: every row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter(pub(crate) Vec<(usize, Value)>);

/// New values for some columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Update(pub(crate) Vec<(usize, Value)>);

impl Schema {
    /// The collections of the datastore `store`, as a flow declares them.
    pub fn new(store: &str, collections: &[CollectionSpec]) -> Self {
        let collections = collections.iter().map(|spec| Arc::new(Collection::new(spec))).collect();
        Self { store: store.to_owned(), collections }
    }

    /// The collection of this name.
    ///
    /// # Errors
    /// `store.unknown_collection` with the nearest name.
    pub fn collection(&self, name: &str) -> Result<&Arc<Collection>, StoreError> {
        self.collections.iter().find(|c| c.name == name).ok_or_else(|| {
            let message = format!("the datastore `{}` has no collection `{name}`", self.store);
            let error = StoreError::new("store.unknown_collection", message);
            error.help(did_you_mean(name, self.names()))
        })
    }

    /// All collections.
    pub fn collections(&self) -> &[Arc<Collection>] {
        &self.collections
    }

    /// The names of all collections.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.collections.iter().map(|c| c.name.as_str())
    }
}

fn did_you_mean<'n>(name: &str, known: impl Iterator<Item = &'n str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it has {}", known.map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")),
    }
}

impl Collection {
    /// A collection as a flow declares it.
    pub fn new(spec: &CollectionSpec) -> Self {
        let columns: Vec<Column> = spec
            .columns
            .iter()
            .map(|c| Column {
                name: c.name.value.clone(),
                value_type: c.value_type.clone(),
                default: c.default.clone(),
            })
            .collect();
        let keys = Keys::new(columns.iter().map(|c| c.name.as_str().into()).collect());
        Self { name: spec.name.value.clone(), columns, keys }
    }

    /// The names of the columns.
    pub fn column_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.columns.iter().map(|c| c.name.as_str())
    }

    /// The type of a column.
    pub fn column_type(&self, name: &str) -> Option<&Type> {
        self.columns.iter().find(|c| c.name == name).map(|c| &c.value_type)
    }

    /// The type of a whole row.
    pub fn row_type(&self) -> Type {
        Kind::Object(self.columns.iter().map(|c| (c.name.clone(), c.value_type.clone())).collect()).into()
    }

    /// Whether a filter can name a column: lists, objects and what may be anything have no order of their parts that
    /// all stores agree on.
    pub fn can_filter(column_type: &Type) -> bool {
        !is_json(column_type)
    }

    fn place(&self, name: &str) -> Result<usize, StoreError> {
        self.columns.iter().position(|c| c.name == name).ok_or_else(|| {
            let message = format!("the collection `{}` has no column `{name}`", self.name);
            StoreError::new("store.entity", message).help(did_you_mean(name, self.column_names()))
        })
    }

    /// A new row: every column with its value, else its default, else null where its type admits that.
    ///
    /// # Errors
    /// `store.entity` when a column is unknown, lacks its value, or has a value of another type.
    pub fn row(&self, entity: &Object) -> Result<Row, StoreError> {
        let mut values: Vec<Option<Value>> = vec![None; self.columns.len()];
        for (name, value) in entity.iter() {
            let place = self.place(name)?;
            values[place] = Some(self.fit(place, value.clone())?);
        }
        let complete = values.into_iter().zip(&self.columns).map(|(value, column)| match value {
            Some(value) => Ok(value),
            None => column.default.clone().or(column.value_type.admits_null().then_some(Value::Null)).ok_or_else(
                || {
                    let message = format!("the row lacks the column `{}` of `{}`", column.name, self.name);
                    StoreError::new("store.entity", message).help("give it a value, or the column a `default`")
                },
            ),
        });
        complete.collect()
    }

    /// New values for some columns of rows.
    ///
    /// # Errors
    /// `store.entity` when there is no such column, a value has another type, or there are none at all.
    pub fn update(&self, update: &Object) -> Result<Update, StoreError> {
        if update.is_empty() {
            return Err(StoreError::new("store.entity", "the update names no column"));
        }
        let one = |(name, value): (&Arc<str>, &Value)| {
            let place = self.place(name)?;
            Ok((place, self.fit(place, value.clone())?))
        };
        update.iter().map(one).collect::<Result<_, _>>().map(Update)
    }

    /// Values that rows are looked for by.
    ///
    /// # Errors
    /// `store.entity` when there is no such column, it cannot be filtered by, or the value has another type.
    pub fn filter<'v>(&self, values: impl IntoIterator<Item = (&'v str, Value)>) -> Result<Filter, StoreError> {
        let one = |(name, value): (&str, Value)| {
            let place = self.place(name)?;
            let column_type = &self.columns[place].value_type;
            if !Self::can_filter(column_type) {
                let message = format!("`where` cannot look for values of `{name}`, which is {column_type}");
                return Err(StoreError::new("store.entity", message));
            }
            Ok((place, self.fit(place, value)?))
        };
        values.into_iter().map(one).collect::<Result<_, _>>().map(Filter)
    }

    fn fit(&self, place: usize, value: Value) -> Result<Value, StoreError> {
        let column = &self.columns[place];
        fit(value, &column.value_type).map_err(|why| {
            let message =
                format!("the column `{}` of `{}` is {}: {why}", column.name, self.name, column.value_type);
            StoreError::new("store.entity", message)
        })
    }

    /// A row that comes out of a store or a journal, with its values of the declared types.
    ///
    /// # Errors
    /// `store.value` when something else was put there by another hand.
    pub fn read(&self, values: Vec<Value>) -> Result<Row, StoreError> {
        let wrong = |message: String| StoreError::new("store.value", message);
        if values.len() != self.columns.len() {
            return Err(wrong(format!("a row of `{}` has {} values", self.name, values.len())));
        }
        let read = values.into_iter().zip(&self.columns).map(|(value, column)| {
            fit(value, &column.value_type).map_err(|why| {
                wrong(format!("the column `{}` of `{}` holds what does not fit: {why}", column.name, self.name))
            })
        });
        read.collect()
    }

    /// A row as an object.
    pub fn object(&self, row: &Row) -> Object {
        Object::of_shape(Arc::clone(&self.keys), row.to_vec())
    }
}

impl Filter {
    /// Whether a row has all these values.
    pub fn holds(&self, row: &Row) -> bool {
        self.0.iter().all(|(place, value)| row[*place] == *value)
    }
}

impl Update {
    /// The row with the new values.
    pub fn of(&self, row: &Row) -> Row {
        let mut values = row.to_vec();
        for (place, value) in &self.0 {
            values[*place] = value.clone();
        }
        values.into()
    }
}

/// Whether a column holds JSON and not a scalar.
pub(crate) fn is_json(column_type: &Type) -> bool {
    let column_type = column_type.without_null();
    matches!(column_type.kind, Kind::Any | Kind::List(_) | Kind::Object(_) | Kind::Union(_))
}

/// The value as one of a column's type. Stricter than a wire: nothing becomes text, and no boolean a number. Dates and
/// the like may be given as text, as JSON has them.
pub(crate) fn fit(value: Value, to: &Type) -> Result<Value, String> {
    if value.is_null() && to.admits_null() {
        return Ok(value);
    }
    let scalar = to.without_null();
    let said = || format!("{value} ({}) does not fit", value.type_name());
    let value = match (&scalar.kind, &value) {
        (Kind::String | Kind::Path, Value::String(_))
        | (Kind::Boolean, Value::Bool(_))
        | (Kind::Integer | Kind::Decimal, Value::Int(_) | Value::Decimal(_) | Value::Float(_))
        | (Kind::Number, Value::Int(_) | Value::Float(_))
        | (Kind::Date, Value::Date(_))
        | (Kind::Timestamp, Value::Timestamp(_))
        | (Kind::Duration, Value::Duration(_)) => value,
        (Kind::Decimal | Kind::Date | Kind::Timestamp | Kind::Duration, Value::String(text)) => {
            parse_scalar(text, &scalar.kind).map_err(|e| e.to_string())?.ok_or_else(said)?
        }
        (Kind::Any | Kind::List(_) | Kind::Object(_) | Kind::Union(_), _) if !holds_table(&value) => value,
        _ => return Err(said()),
    };
    match cast(value, to).map_err(|e| e.to_string())? {
        Value::Float(number) if !number.is_finite() => Err(format!("{number} is no number that can be kept")),
        // Two ways to write one number would be two values to a store.
        Value::Decimal(number) => Ok(Value::Decimal(number.normalize())),
        // And so are the two zeros.
        Value::Float(0.0) => Ok(Value::Float(0.0)),
        value => Ok(value),
    }
}

fn holds_table(value: &Value) -> bool {
    match value {
        Value::Table(_) => true,
        Value::List(list) => list.items().iter().any(holds_table),
        Value::Object(object) => object.values().iter().any(holds_table),
        _ => false,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use flowrun_core::spec::InputSpec;

    use super::*;

    /// A collection of these columns.
    pub(crate) fn collection(name: &str, columns: &[(&str, &str)]) -> CollectionSpec {
        let column = |(name, word): &(&str, &str)| InputSpec {
            name: (*name).to_owned().into(),
            value_type: if *word == "tags" { Type::list(Type::string()) } else { Type::from_word(word).unwrap() },
            default: None,
            description: None,
            secret: false,
        };
        CollectionSpec { name: name.to_owned().into(), columns: columns.iter().map(column).collect() }
    }

    pub(crate) fn object(json: serde_json::Value) -> Object {
        Value::try_from(json).unwrap().as_object().unwrap().clone()
    }

    fn people() -> Collection {
        let mut spec = collection(
            "people",
            &[("id", "integer"), ("name", "string"), ("born", "date?"), ("wealth", "decimal?"), ("tags", "tags")],
        );
        spec.columns[4].default = Some(Value::from(Vec::<Value>::new()));
        Collection::new(&spec)
    }

    #[test]
    fn a_row_is_checked_and_completed() {
        let people = people();
        let row = people.row(&object(serde_json::json!({"name": "Eve", "id": 6.0, "wealth": "1.50"}))).unwrap();
        let shown = Value::Object(people.object(&row)).to_json().unwrap();
        assert_eq!(shown, serde_json::json!({"id": 6, "name": "Eve", "born": null, "wealth": "1.5", "tags": []}));
        for (json, why) in [
            (serde_json::json!({"id": 1}), "lacks the column `name`"),
            (
                serde_json::json!({"id": "1", "name": "Eve"}),
                "`id` of `people` is integer: \"1\" (string) does not fit",
            ),
            (serde_json::json!({"id": true, "name": "Eve"}), "true (boolean) does not fit"),
            (serde_json::json!({"id": 1.5, "name": "Eve"}), "1.5 (number) is no integer"),
            (serde_json::json!({"id": 1, "name": 5}), "5 (integer) does not fit"),
            (serde_json::json!({"id": 1, "name": null}), "null (null) does not fit"),
            (serde_json::json!({"id": 1, "name": "x", "born": "soon"}), "`soon` is no date"),
            (serde_json::json!({"id": 1, "nam": "x"}), "no column `nam`"),
        ] {
            let error = people.row(&object(json)).unwrap_err();
            assert!(error.code == "store.entity" && error.message.contains(why), "{error}");
        }
        let error = people.row(&object(serde_json::json!({"nam": "x"}))).unwrap_err();
        assert_eq!(error.help.as_deref(), Some("did you mean `name`?"));
    }

    #[test]
    fn filters_and_updates_are_checked_alike() {
        let people = people();
        assert!(people.filter([("tags", Value::from(Vec::<Value>::new()))]).is_err());
        assert!(people.filter([("id", Value::from("1"))]).is_err());
        assert!(people.update(&object(serde_json::json!({}))).is_err());
        let filter = people.filter([("born", Value::Null), ("id", Value::Float(1.0))]).unwrap();
        let row = people.row(&object(serde_json::json!({"id": 1, "name": "a"}))).unwrap();
        assert!(filter.holds(&row));
        let update = people.update(&object(serde_json::json!({"born": "2026-01-31"}))).unwrap();
        assert!(!filter.holds(&update.of(&row)));
        assert!(Filter::default().holds(&row), "nothing is asked for, so every row has it");
    }
}
