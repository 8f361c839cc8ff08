//! `flowrun schema`: the JSON schema of flow files.

use flowrun_core::registry::Registry;
use flowrun_yaml::{StepSchema, document_schema};

use super::{Stop, print_out};

pub(super) fn schema(registry: &Registry) -> Result<(), Stop> {
    print_out(&format!("{}\n", text(registry)))
}

/// The schema as pretty JSON.
pub(crate) fn text(registry: &Registry) -> String {
    let steps: Vec<StepSchema> = registry
        .iter()
        .map(|step| StepSchema {
            type_name: step.name.to_owned(),
            doc: step.doc().to_owned(),
            schema: (*step.schema).clone(),
        })
        .collect();
    let nothing = serde_json::Value::Bool(true);
    let schema = document_schema(
        &steps,
        registry.model_schema().unwrap_or(&nothing),
        registry.datastore_schema().unwrap_or(&nothing),
    );
    format!("{schema:#}")
}
