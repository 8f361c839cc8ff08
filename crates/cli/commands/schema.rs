//! `flowrun schema`: the JSON schema of flow files.

use flowrun_core::registry::Registry;
use flowrun_yaml::{StepSchema, document_schema};

use super::{Stop, print_out};

pub(super) fn schema(registry: &Registry) -> Result<(), Stop> {
    print_out(&format!("{}\n", text(registry)))
}

/// The schema as pretty JSON.
pub(crate) fn text(registry: &Registry) -> String {
    let kind = |name: &str, doc: &str, schema: &serde_json::Value| StepSchema {
        type_name: name.to_owned(),
        doc: doc.to_owned(),
        schema: schema.clone(),
    };
    let steps: Vec<_> = registry.iter().map(|step| kind(step.name, step.doc(), &step.schema)).collect();
    let tools: Vec<_> = registry.tool_kinds().map(|tool| kind(tool.name, tool.doc(), &tool.schema)).collect();
    let nothing = serde_json::Value::Bool(true);
    let schema = document_schema(
        &steps,
        &tools,
        registry.model_schema().unwrap_or(&nothing),
        registry.datastore_schema().unwrap_or(&nothing),
    );
    format!("{schema:#}")
}
