//! `flowrun schema`: the JSON schema of flow files, or the schemas of what one flow takes and gives.

use std::path::{Path, PathBuf};

use flowrun_core::registry::Registry;
use flowrun_core::signature::Port;
use flowrun_yaml::{StepSchema, document_schema};
use serde_json::{Map, Value, json};

use super::{Stop, print_out};
use crate::load::{Around, load};

pub(super) fn schema(registry: &Registry, file: Option<&Path>, components: &[PathBuf]) -> Result<(), Stop> {
    let Some(file) = file else { return print_out(&format!("{}\n", text(registry))) };
    let flow = load(registry, file, Around { components, ..Around::default() })?.compiled.flow;
    let schemas = json!({ "inputs": object(&flow.inputs), "outputs": object(&flow.outputs) });
    print_out(&format!("{schemas:#}\n"))
}

/// The schema of an object with these values.
fn object(ports: &[Port]) -> Value {
    let properties: Map<String, Value> = ports.iter().map(|port| (port.name.clone(), property(port))).collect();
    let required: Vec<&str> =
        ports.iter().filter(|port| port.default.is_none()).map(|port| port.name.as_str()).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// A port as a property of a JSON schema, without its name.
pub(crate) fn property(port: &Port) -> Value {
    let mut schema = match port.value_type.to_json_schema() {
        Value::Object(schema) => schema,
        _ => Map::new(),
    };
    if let Some(doc) = &port.doc {
        schema.insert("description".to_owned(), doc.as_str().into());
    }
    if port.secret {
        schema.insert("writeOnly".to_owned(), true.into());
    } else if let Some(default) = port.default.as_ref().and_then(|default| default.to_json().ok()) {
        schema.insert("default".to_owned(), default);
    }
    schema.into()
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
