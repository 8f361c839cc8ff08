//! `datastore_list`: the rows of a collection.

use std::num::NonZeroU32;

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::late::Late;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::template::Text;
use flowrun_core::types::Type;
use flowrun_core::value::{List, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::datastore::{
    Target, Where, check_excluded, collection, documented_variables, inputs, type_without, without,
};

/// Gives the rows of a collection, at most 100,000. A memory store and a SQLite file have them in the order in which
/// they were put in, Postgres by the values of their columns, the first column first.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatastoreList {
    /// The datastore, by its name under `datastores:`.
    datastore: String,
    /// The collection. A text with holes is known, and checked, only when the step runs.
    collection_name: Text,
    /// Values that columns must have, all of them. A text that is one hole, `"{{ id }}"`, keeps the type of what is in
    /// it; null finds nulls. Default: every row.
    #[serde(default, rename = "where")]
    filter: Where,
    /// Most rows that are given.
    limit: Option<Late<NonZeroU32>>,
    /// Columns that are left out.
    #[serde(default)]
    columns_to_exclude: Vec<String>,
    /// Whether the row itself is given and no list; goes with `limit: 1`, and no row is an error.
    #[serde(default)]
    unpack_single_entity_from_list: bool,
}

impl DatastoreList {
    fn gives(&self, row: Type) -> Type {
        let row = type_without(row, &self.columns_to_exclude);
        if self.unpack_single_entity_from_list { row } else { Type::list(row) }
    }
}

impl Step for DatastoreList {
    const TYPE: &'static str = "datastore_list";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "found:\n  type: datastore_list\n  datastore: shop\n  collection_name: customers\n  where: { region: \"{{ region }}\" }\n  limit: 10";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        let rows = Type::list(Type::object());
        DocumentedPorts {
            inputs: vec![documented_variables()],
            outputs: vec![Port::new("entities", rows).doc("The rows; one row alone where it is unpacked.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let target = Target::new(scope, &self.datastore, &self.collection_name)?;
        let mut wrong = self.filter.check(scope, &target);
        wrong.extend(check_excluded(scope, target.collection.as_deref(), &self.columns_to_exclude));
        let one = matches!(&self.limit, Some(Late::Now(limit)) if limit.get() == 1);
        if self.unpack_single_entity_from_list && !one {
            let message = "one row can be unpacked where `limit` is 1";
            wrong.push(scope.bad(&["unpack_single_entity_from_list"], message).help("write `limit: 1`"));
        }
        wrong.into_result()?;
        let collection = target.collection.as_deref();
        let inputs = inputs(scope, Some(&self.collection_name), Some(&self.filter), collection, Vec::new())?;
        Ok(Signature::new(inputs, vec![Port::new("entities", self.gives(target.row_type()))]))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let (store, collection) = collection(cx, &self.datastore, &self.collection_name, &input)?;
        let filter = self.filter.filter(collection, &input)?;
        let limit = self.limit.as_ref().map(|limit| limit.get(cx)).transpose()?;
        let rows = store.list(cx, collection, &filter, limit.map(NonZeroU32::get)).await?;
        let shown = |row| Value::Object(without(&collection.object(row), &self.columns_to_exclude));
        if !self.unpack_single_entity_from_list {
            let rows: List = rows.iter().map(shown).collect();
            return Ok(Outcome::next(Ports::one("entities", rows)));
        }
        let row = rows.first().map(shown).ok_or_else(|| {
            let message = format!("no row of `{}` was found, and one was to be unpacked", collection.name);
            StepError::new("store.no_entity", message)
        })?;
        Ok(Outcome::next(Ports::one("entities", row)))
    }
}
