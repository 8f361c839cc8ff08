//! `datastore_update`: changes rows of a collection.

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::template::Text;
use flowrun_core::types::Type;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::datastore::{Target, Where, collection, documented_variables, inputs, listed, object};

const UPDATE: &str = "update";

/// Gives columns of rows new values. A column that the update does not name stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatastoreUpdate {
    /// The datastore, by its name under `datastores:`.
    datastore: String,
    /// The collection. A text with holes is known, and checked, only when the step runs.
    collection_name: Text,
    /// Values that columns must have, all of them; `{}` changes every row.
    /// A text that is one hole, `"{{ id }}"`, keeps the type of what is in it; null finds nulls.
    #[serde(rename = "where")]
    filter: Where,
}

impl Step for DatastoreUpdate {
    const TYPE: &'static str = "datastore_update";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "mark:\n  type: datastore_update\n  datastore: shop\n  collection_name: customers\n  where: { id: \"{{ id }}\" }\n  with: { update: { value: { region: north } } }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![
                Port::new(UPDATE, Type::object()).doc("The new values, by column."),
                documented_variables(),
            ],
            outputs: vec![Port::new("entities", Type::list(Type::object())).doc("The rows as they are now.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let target = Target::new(scope, &self.datastore, &self.collection_name)?;
        self.filter.check(scope, &target).into_result()?;
        let (own, collection) = (vec![Port::new(UPDATE, Type::object())], target.collection.as_deref());
        let inputs = inputs(scope, Some(&self.collection_name), Some(&self.filter), collection, own)?;
        Ok(Signature::new(inputs, vec![Port::new("entities", Type::list(target.row_type()))]))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let (store, collection) = collection(cx, &self.datastore, &self.collection_name, &input)?;
        let filter = self.filter.filter(collection, &input)?;
        let update = collection.update(object(&input, UPDATE)?)?;
        let rows = store.update(cx, collection, &filter, &update).await?;
        Ok(Outcome::next(Ports::one("entities", listed(collection, &rows))))
    }
}
