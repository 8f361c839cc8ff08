//! `datastore_delete`: removes rows from a collection.

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::Signature;
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::template::Text;
use flowrun_core::words::plural;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::datastore::{Target, Where, collection, documented_variables, inputs};

/// Removes rows from a collection.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatastoreDelete {
    /// The datastore, by its name under `datastores:`.
    datastore: String,
    /// The collection. A text with holes is known, and checked, only when the step runs.
    collection_name: Text,
    /// Values that columns must have, all of them; `{}` removes every row.
    /// A text that is one hole, `"{{ id }}"`, keeps the type of what is in it; null finds nulls.
    #[serde(rename = "where")]
    filter: Where,
}

impl Step for DatastoreDelete {
    const TYPE: &'static str = "datastore_delete";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "forget:\n  type: datastore_delete\n  datastore: shop\n  collection_name: customers\n  where: { id: \"{{ id }}\" }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![documented_variables()],
            outputs: Vec::new(),
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let target = Target::new(scope, &self.datastore, &self.collection_name)?;
        self.filter.check(scope, &target).into_result()?;
        let collection = target.collection.as_deref();
        let inputs = inputs(scope, Some(&self.collection_name), Some(&self.filter), collection, Vec::new())?;
        Ok(Signature::new(inputs, Vec::new()))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let (store, collection) = collection(cx, &self.datastore, &self.collection_name, &input)?;
        let filter = self.filter.filter(collection, &input)?;
        let gone = store.delete(cx, collection, &filter).await?;
        Ok(Outcome::next(Ports::empty()).note(format!("{} removed", plural(gone, "row"))))
    }
}
