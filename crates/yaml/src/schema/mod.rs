//! The JSON Schema of a flow file, for editors.

mod embed;
mod shapes;

use serde_json::{Value, json};

/// A step type or a kind of tool, as the schema of a file needs it.
#[derive(Clone, Debug)]
pub struct StepSchema {
    /// Its name: what stands under `type`.
    pub type_name: String,
    /// What it does.
    pub doc: String,
    /// The JSON Schema of its configuration: an object whose properties stand beside the reserved keys.
    pub schema: Value,
}

/// The JSON Schema (draft 2020-12) of a whole flow file with these step types, kinds of tools, models and datastores.
///
/// The definitions of each step stay below its own, so that equal names never clash. An editor must be told of the tag
/// `!file` besides; for yaml-language-server that is `yaml.customTags: ["!file scalar"]`.
pub fn document_schema(
    steps: &[StepSchema],
    tools: &[StepSchema],
    model_schema: &Value,
    datastore_schema: &Value,
) -> Value {
    let mut definitions = shapes::definitions(steps, tools);
    definitions.insert("model".to_owned(), embed::beside_use(embed::at("model", model_schema)));
    let datastore = embed::beside_collections(embed::at("datastore", datastore_schema));
    definitions.insert("datastore".to_owned(), datastore);
    for step in steps {
        let name = embed::step_definition(&step.type_name);
        let schema = embed::beside_reserved_keys(embed::at(&name, &step.schema), &step.doc, &embed::OF_STEP);
        definitions.insert(name, schema);
    }
    for tool in tools {
        let name = embed::tool_definition(&tool.type_name);
        let schema = embed::beside_reserved_keys(embed::at(&name, &tool.schema), &tool.doc, &embed::OF_TOOL);
        definitions.insert(name, schema);
    }
    let mut document = shapes::flow(true);
    document.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    document.insert("title".to_owned(), json!("A flow of flowrun"));
    document.insert("$defs".to_owned(), Value::Object(definitions));
    Value::Object(document)
}
