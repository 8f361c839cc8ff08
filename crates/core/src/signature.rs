//! What a step takes, gives and can end in.

use std::ops::Range;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde_json::Value as Json;

use crate::diagnostics::Span;
use crate::types::Type;
use crate::value::Value;

/// An input or an output.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its type.
    pub value_type: Type,
    /// What an input is where nothing gives it; without one it is required.
    pub default: Option<Value>,
    /// What it is for.
    pub doc: Option<String>,
    /// Of an input of the top flow: whether its value is kept nowhere and shown to nobody.
    pub secret: bool,
    /// Of an output that is a table: where its rows come from.
    pub rows: Rows,
    /// Of an output that is a table: whether rows past its length can be read.
    pub grows: Grows,
    /// Of an input: the reference that the step's configuration gives it, as `over:` of a map does.
    pub wired: Option<Wired>,
    /// Of an input: where the configuration asks for it, such as a variable in a text.
    pub asked: Option<Asked>,
}

/// The place in a step's configuration that asks for an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Keys and item numbers.
    pub path: Vec<String>,
    /// Bytes of the text that stands there.
    pub range: Range<usize>,
}

/// A reference inside a step's configuration that wires one of its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wired {
    /// The reference.
    pub reference: String,
    /// Where in the configuration it stands: keys and item numbers.
    pub path: Vec<String>,
}

/// Where the rows of a table output come from; `flowrun check` follows it through the flow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// The step makes them.
    #[default]
    New,
    /// The very rows of this input, with other columns.
    Same(String),
    /// Some rows of this input, in order.
    Some(String),
    /// One row for each row of these inputs, zipped.
    Mapped(Vec<String>),
}

/// Whether rows past the length of a table output can be read, so that a map can go on until enough are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Grows {
    /// That is seen when it is there.
    #[default]
    Unknown,
    /// It has the rows that it has.
    Never,
    /// Always.
    Always,
    /// If the tables at these inputs do.
    With(Vec<String>),
}

impl Port {
    /// A port that must be given.
    pub fn new(name: impl Into<String>, value_type: Type) -> Self {
        Self {
            name: name.into(),
            value_type,
            default: None,
            doc: None,
            secret: false,
            rows: Rows::New,
            grows: Grows::Unknown,
            wired: None,
            asked: None,
        }
    }

    /// With a default.
    #[must_use]
    pub fn or(mut self, default: impl Into<Value>) -> Self {
        self.default = Some(default.into());
        self
    }

    /// With a sentence that says what it is for.
    #[must_use]
    pub fn doc(mut self, doc: impl Into<String>) -> Self {
        self.doc = Some(doc.into());
        self
    }

    /// Wired by the configuration itself.
    #[must_use]
    pub fn wired(mut self, reference: &str, path: &[&str]) -> Self {
        let path = path.iter().map(|p| (*p).to_owned()).collect();
        self.wired = Some(Wired { reference: reference.to_owned(), path });
        self
    }

    /// With whether it can grow.
    #[must_use]
    pub fn grows(mut self, grows: Grows) -> Self {
        self.grows = grows;
        self
    }

    /// With where its rows come from.
    #[must_use]
    pub fn rows(mut self, rows: Rows) -> Self {
        self.rows = rows;
        self
    }
}

/// How a step uses a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelUse {
    /// The model's name in the flow.
    pub model: String,
    /// Whether the step can answer by itself when the model is offline.
    pub offline: bool,
}

/// A file whose name stands in a step's configuration, so that it can be looked at before anything runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileUse {
    /// Its name as written.
    pub path: String,
    /// Whether it is written; else it is read.
    pub write: bool,
    /// Where the name stands.
    pub span: Span,
}

/// How a step uses a variable of its flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableUse {
    /// The variable's name.
    pub name: String,
    /// Whether the step reads what was written before it, so that there has to be something.
    pub reads: bool,
    /// Whether it writes the variable, whatever branch it takes.
    pub writes: bool,
    /// Where in the configuration it is named: keys and item numbers.
    pub path: Vec<String>,
}

/// What a step takes, gives and can end in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signature {
    /// The inputs.
    pub inputs: Vec<Port>,
    /// The outputs.
    pub outputs: Vec<Port>,
    /// The branches, `next` unless said otherwise. None: the step ends the flow.
    pub branches: Vec<String>,
    /// The name under which a step without branches ends the flow: its own, unless said otherwise. `next` is the end
    /// without a name.
    pub end: Option<String>,
    /// The models that the step calls.
    pub models: Vec<ModelUse>,
    /// Inputs of the flow that the step reads by itself, `inputs.name` in an expression.
    pub flow_inputs: Vec<String>,
    /// Variables of the flow that the step reads and writes by itself.
    pub variables: Vec<VariableUse>,
    /// Files whose names stand in the configuration.
    pub files: Vec<FileUse>,
    /// The files that the step is made of besides, such as the script of a program, wherever they lie.
    pub programs: Vec<PathBuf>,
    /// Whether it stands for the beginning of its flow: it may only be the first step, and a name that it alone gives is
    /// no output of a flow that lists none.
    pub begins: bool,
    /// Whether it may wait for a person, who answers one question after another.
    pub waits: bool,
    /// Of these pairs of table inputs, the second was mapped from rows of the first.
    pub joins: Vec<(String, String)>,
    /// Table inputs whose rows past their length are read.
    pub draws_on: Vec<String>,
}

impl Signature {
    /// Ports by hand, with the branch `next`.
    pub fn new(inputs: Vec<Port>, outputs: Vec<Port>) -> Self {
        Self { inputs, outputs, branches: vec!["next".to_owned()], ..Self::default() }
    }

    /// The ports that are the fields of two types, with the branch `next`. A field of an input that has a default or
    /// is an `Option` need not be given.
    pub fn of<I: JsonSchema, O: JsonSchema>() -> Self {
        Self::new(ports_of::<I>(), ports_of::<O>())
    }

    /// Replaces the branches.
    #[must_use]
    pub fn branches<B: Into<String>>(mut self, branches: impl IntoIterator<Item = B>) -> Self {
        self.branches = branches.into_iter().map(Into::into).collect();
        self
    }

    /// The output of this name.
    pub fn output(&self, name: &str) -> Option<&Port> {
        self.outputs.iter().find(|p| p.name == name)
    }
}

fn ports_of<T: JsonSchema>() -> Vec<Port> {
    let root = schemars::schema_for!(T).to_value();
    let required: Vec<&str> =
        root.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    let properties = root.get("properties").and_then(Json::as_object);
    properties
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            let mut with_defs = schema.clone();
            if let (Some(map), Some(defs)) = (with_defs.as_object_mut(), root.get("$defs")) {
                map.insert("$defs".into(), defs.clone());
            }
            let default =
                schema.get("default").cloned().or((!required.contains(&name.as_str())).then_some(Json::Null));
            Port {
                default: default.and_then(|d| Value::try_from(d).ok()),
                doc: schema.get("description").and_then(Json::as_str).map(str::to_owned),
                ..Port::new(name, Type::from_json_schema(&with_defs))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only the schema is used")]
    struct In {
        /// The text.
        text: String,
        least: Option<u32>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only the schema is used")]
    struct Out {
        words: usize,
    }

    #[test]
    fn fields_are_ports() {
        let signature = Signature::of::<In, Out>().branches(["enough", "too_short"]);
        let inputs: Vec<_> =
            signature.inputs.iter().map(|p| format!("{}: {} {:?}", p.name, p.value_type, p.default)).collect();
        assert_eq!(inputs, ["text: string None", "least: integer? Some(Null)"]);
        assert_eq!(signature.inputs[0].doc.as_deref(), Some("The text."));
        assert_eq!(signature.outputs[0].value_type.minimum, Some(0.0));
    }
}
