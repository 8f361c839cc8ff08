//! `datastore_create`: puts a row into a collection.

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

use crate::datastore::{Target, collection, documented_variables, inputs, object};

const ENTITY: &str = "entity";

/// Puts a row into a collection. A column that the row does not have gets its default, or null where it may be null;
/// a column that the collection does not have is an error, and so is a value of another type.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatastoreCreate {
    /// The datastore, by its name under `datastores:`.
    datastore: String,
    /// The collection. A text with holes is known, and checked, only when the step runs.
    collection_name: Text,
}

impl Step for DatastoreCreate {
    const TYPE: &'static str = "datastore_create";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "keep:\n  type: datastore_create\n  datastore: shop\n  collection_name: customers\n  with: { entity: made.customer }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new(ENTITY, Type::object()).doc("The row."), documented_variables()],
            outputs: vec![Port::new("created_entity", Type::object()).doc("The row, with all its columns.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let target = Target::new(scope, &self.datastore, &self.collection_name)?;
        let own = vec![Port::new(ENTITY, Type::object())];
        let inputs = inputs(scope, Some(&self.collection_name), None, target.collection.as_deref(), own)?;
        Ok(Signature::new(inputs, vec![Port::new("created_entity", target.row_type())]))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let (store, collection) = collection(cx, &self.datastore, &self.collection_name, &input)?;
        let row = collection.row(object(&input, ENTITY)?)?;
        store.create(cx, collection, &row).await?;
        Ok(Outcome::next(Ports::one("created_entity", collection.object(&row))))
    }
}
