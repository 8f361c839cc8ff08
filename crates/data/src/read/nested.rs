//! Arrow's lists, structs and maps as values.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_cast::cast;
use arrow_schema::{DataType, Field};
use flowrun_core::table::{TableError, cell};
use flowrun_core::value::{Object, Value};

use super::parquet::{convert, scalar};
use crate::batch::{arrow, key_text};

/// The values of an array of any shape.
///
/// # Errors
/// `table.unsupported` for a type that no value has, and `table.arrow` for a number that does not fit.
pub(super) fn values(array: &ArrayRef) -> Result<Vec<Value>, TableError> {
    match array.data_type() {
        DataType::Null => Ok(vec![Value::Null; array.len()]),
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            each(array, |row| Ok(Value::List(values(&lists.value(row))?.into())))
        }
        DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => {
            let lists = cast(array, &DataType::List(Arc::clone(item))).map_err(|e| arrow(&e))?;
            values(&lists)
        }
        DataType::Struct(fields) => {
            let structs = array.as_struct();
            let names: Vec<Arc<str>> = fields.iter().map(|f: &Arc<Field>| f.name().as_str().into()).collect();
            let columns = structs.columns().iter().map(values).collect::<Result<Vec<_>, _>>()?;
            each(array, |row| {
                let entries =
                    names.iter().zip(&columns).map(|(name, column)| (Arc::clone(name), column[row].clone()));
                Ok(Value::Object(entries.collect()))
            })
        }
        DataType::Map(..) => {
            let maps = array.as_map();
            each(array, |row| {
                let entries = maps.value(row);
                let (keys, items) = (values(entries.column(0))?, values(entries.column(1))?);
                let entries = keys.iter().zip(items).map(|(key, item)| (Arc::from(key_text(key)), item));
                Ok(Value::Object(entries.collect::<Object>()))
            })
        }
        data => {
            let column = scalar(data).ok_or_else(|| {
                TableError::new("table.unsupported", format!("the type {data} has no place here"))
            })?;
            let ours = convert(array, &column)?;
            each(&ours, |row| Ok(cell(ours.as_ref(), row, &column)))
        }
    }
}

fn each(array: &ArrayRef, value: impl Fn(usize) -> Result<Value, TableError>) -> Result<Vec<Value>, TableError> {
    (0..array.len()).map(|row| if array.is_null(row) { Ok(Value::Null) } else { value(row) }).collect()
}
