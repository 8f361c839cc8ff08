//! [`Tool`]: something that steps, context providers and agents call by name, with typed arguments and results.
//!
//! A flow defines tools under `tools:`, each of a registered [`ToolKind`]; a program may register finished ones, such as
//! [`function`]s of its own. What a call gives is kept in the journal by who calls, in `execute/tools.rs`.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use crate::compile::{Scope, codes};
use crate::diagnostics::{Diagnostic, Diagnostics, Span};
use crate::error::StepError;
use crate::execute::{RunOptions, ToolCx};
use crate::flow::Flow;
use crate::signature::{Port, Signature};
use crate::types::{Kind, Type};
use crate::value::{Object, Value, from_value, to_value};

/// The name of the result of a tool that has one and does not name it.
pub const TOOL_OUTPUT: &str = "tool_output";

/// Something that can be called.
pub trait Tool: Send + Sync {
    /// What it does, for who decides whether to call it.
    fn description(&self) -> Option<&str> {
        None
    }

    /// What it takes, by name.
    fn arguments(&self) -> &[Port];

    /// What it gives. One result is the value that [`Tool::call`] gives; of several, that is an object with their names.
    fn results(&self) -> &[Port];

    /// Whether a call may be made twice without harm.
    fn idempotent(&self) -> bool {
        true
    }

    /// Whether it keeps by itself what it does, so that a call costs nothing the second time.
    fn keeps_itself(&self) -> bool {
        false
    }

    /// Whether a call can wait for somebody.
    fn waits(&self) -> bool {
        false
    }

    /// The flow that it runs, if it does.
    fn flow(&self) -> Option<&Arc<Flow>> {
        None
    }

    /// Why it may not be called in a run with these options.
    fn refused(&self, options: &RunOptions) -> Option<StepError> {
        let _ = options;
        None
    }

    /// The files that it is made of, such as the script of a program: a run that goes on wants them as they were.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Whether nobody knows, after this error of a call, if the call was carried out.
    fn leaves_open(&self, error: &StepError) -> bool {
        let _ = error;
        false
    }

    /// Calls it, with all arguments, each of its type.
    fn call<'a>(&'a self, cx: &'a ToolCx<'a>, arguments: &'a Object) -> BoxFuture<'a, Result<Value, StepError>>;
}

/// A kind of tool, as `type:` under `tools:` names it. The implementing type is its configuration.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a kind of tool",
    note = "a kind of tool is a config struct that derives `Deserialize` and `JsonSchema` and implements `ToolKind`"
)]
pub trait ToolKind: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// Its name in flow files.
    const TYPE: &'static str;

    /// The tool that a flow defines by this configuration.
    ///
    /// # Errors
    /// All that is wrong with the configuration beyond its types.
    fn tool(self, scope: &ToolScope<'_>) -> Result<Arc<dyn Tool>, Diagnostics>;
}

/// What a kind of tool sees of the definition and of the flow around it.
pub struct ToolScope<'a> {
    /// The configuration and its places, and the flows around it; `step_name` is the tool's name.
    pub scope: &'a Scope<'a>,
    /// What the flow says that it does.
    pub description: Option<&'a str>,
    /// The arguments that the flow lists; none where it lists none.
    pub arguments: Option<&'a [Port]>,
    /// The results that the flow lists, likewise.
    pub results: Option<&'a [Port]>,
}

impl ToolScope<'_> {
    /// An error at a part of the configuration, given by keys and item numbers.
    pub fn bad(&self, path: &[&str], message: impl Into<String>) -> Diagnostic {
        self.scope.error(codes::BAD_TOOL, path, message)
    }

    /// The arguments that the flow has to list.
    ///
    /// # Errors
    /// When it lists none.
    pub fn listed_arguments(&self) -> Result<Vec<Port>, Diagnostics> {
        self.arguments.map(<[Port]>::to_vec).ok_or_else(|| {
            let message = format!("the tool `{}` has no `arguments`", self.scope.step_name());
            let wrong = self.bad(&[], message);
            wrong.help("write `arguments: { NAME: type }`, and `arguments: {}` where it takes none").into()
        })
    }

    /// The results that the flow lists, else a text.
    pub fn listed_results(&self) -> Vec<Port> {
        self.results.map_or_else(|| vec![Port::new(TOOL_OUTPUT, Type::string())], <[Port]>::to_vec)
    }

    /// Refuses ports that the flow lists where the kind of tool has its own.
    ///
    /// # Errors
    /// When it lists any; `why` says where they come from.
    pub fn no_ports(&self, why: &str) -> Result<(), Diagnostics> {
        if self.arguments.is_none() && self.results.is_none() {
            return Ok(());
        }
        let message = format!("`arguments` and `results` of the tool `{}` are {why}", self.scope.step_name());
        Err(self.bad(&[], message).help("take them out").into())
    }
}

/// A tool that a flow can call.
pub struct ToolDefinition {
    /// Its name.
    pub name: Arc<str>,
    /// What it does.
    pub description: Option<String>,
    /// What it takes.
    pub arguments: Vec<Port>,
    /// What it gives.
    pub results: Vec<Port>,
    /// Whether a call may be made twice without harm.
    pub idempotent: bool,
    /// Whether somebody has to allow each call.
    pub confirm: bool,
    /// Itself.
    pub tool: Arc<dyn Tool>,
    /// Where it stands.
    pub span: Span,
}

impl ToolDefinition {
    /// A tool under a name, as it says itself.
    pub fn new(name: impl Into<Arc<str>>, tool: Arc<dyn Tool>) -> Self {
        Self {
            name: name.into(),
            description: tool.description().map(str::to_owned),
            arguments: tool.arguments().to_vec(),
            results: tool.results().to_vec(),
            idempotent: tool.idempotent(),
            confirm: false,
            tool,
            span: Span::none(),
        }
    }

    /// Whether a call can wait for somebody.
    pub fn waits(&self) -> bool {
        self.confirm || self.tool.waits()
    }

    /// The JSON schema of the arguments: an object.
    pub fn arguments_schema(&self) -> Json {
        schema_of(&self.arguments)
    }

    /// The JSON schema of the results: that of the only one, else an object.
    pub fn results_schema(&self) -> Json {
        match self.results.as_slice() {
            [only] => only.value_type.to_json_schema(),
            several => schema_of(several),
        }
    }
}

impl fmt::Debug for ToolDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolDefinition").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Ports as the JSON schema of an object.
pub fn schema_of(ports: &[Port]) -> Json {
    let mut properties = Map::new();
    for port in ports {
        let mut schema = port.value_type.to_json_schema();
        if let Json::Object(schema) = &mut schema {
            if let Some(doc) = &port.doc {
                schema.insert("description".into(), doc.as_str().into());
            }
            if let Some(default) = port.default.as_ref().and_then(|default| default.to_json().ok()) {
                schema.insert("default".into(), default);
            }
        }
        properties.insert(port.name.clone(), schema);
    }
    let required: Vec<&str> = ports.iter().filter(|p| p.default.is_none()).map(|p| p.name.as_str()).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// Ports from the JSON schema of an object. What is not required and has no default is null where nothing is given.
///
/// # Errors
/// When it is no object with properties, or says a default that does not fit.
pub fn ports_of(schema: &Json) -> Result<Vec<Port>, String> {
    let object = schema.as_object().ok_or("it is no JSON schema")?;
    if object.get("type").is_some_and(|found| found != "object") {
        return Err("it is not the schema of an object".to_owned());
    }
    let required: Vec<&str> =
        object.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    let properties = match object.get("properties") {
        None => return Ok(Vec::new()),
        Some(properties) => properties.as_object().ok_or("`properties` is no object")?,
    };
    let port = |(name, schema): (&String, &Json)| {
        let mut whole = schema.clone();
        if let (Some(whole), Some(definitions)) = (whole.as_object_mut(), object.get("$defs")) {
            whole.insert("$defs".into(), definitions.clone());
        }
        let mut value_type = Type::from_json_schema(&whole);
        let mut default = schema.get("default").cloned();
        if default.is_none() && !required.contains(&name.as_str()) {
            value_type = value_type.nullable();
            default = Some(Json::Null);
        }
        let default = default
            .map(|default| {
                let value = Value::try_from(default).map_err(|e| e.to_string())?;
                crate::cast::cast(value, &value_type).map_err(|e| e.to_string())
            })
            .transpose()
            .map_err(|why| format!("the default of `{name}` does not fit: {why}"))?;
        let doc = schema.get("description").and_then(Json::as_str).map(str::to_owned);
        Ok(Port { default, doc, ..Port::new(name, value_type) })
    };
    properties.iter().map(port).collect()
}

/// A Rust function as a tool; `A` is a struct whose fields are the arguments, the fields of `R` are the results, or `R` is
/// the only one.
pub fn function<A, R, F, Fut>(description: impl Into<String>, run: F) -> Function<A, R, F>
where
    A: DeserializeOwned + JsonSchema,
    R: Serialize + JsonSchema,
    F: Fn(A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, StepError>> + Send,
{
    let Signature { inputs, outputs, .. } = Signature::of::<A, R>();
    let whole = Type::from_json_schema(&schemars::schema_for!(R).to_value());
    let results = match &whole.kind {
        Kind::Object(fields) if !fields.is_empty() => outputs,
        _ => vec![Port::new(TOOL_OUTPUT, whole)],
    };
    Function {
        description: description.into(),
        arguments: inputs,
        results,
        idempotent: true,
        run,
        types: PhantomData,
    }
}

/// See [`function`].
pub struct Function<A, R, F> {
    description: String,
    arguments: Vec<Port>,
    results: Vec<Port>,
    idempotent: bool,
    run: F,
    types: PhantomData<fn(A) -> R>,
}

impl<A, R, F> Function<A, R, F> {
    /// Says that a call may do harm the second time: a resume does not repeat one of which nobody knows how it ended.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.idempotent = false;
        self
    }
}

impl<A, R, F, Fut> Tool for Function<A, R, F>
where
    A: DeserializeOwned + JsonSchema + Send,
    R: Serialize + JsonSchema + Send,
    F: Fn(A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, StepError>> + Send,
{
    fn description(&self) -> Option<&str> {
        Some(&self.description)
    }

    fn arguments(&self) -> &[Port] {
        &self.arguments
    }

    fn results(&self) -> &[Port] {
        &self.results
    }

    fn idempotent(&self) -> bool {
        self.idempotent
    }

    fn call<'a>(&'a self, _: &'a ToolCx<'a>, arguments: &'a Object) -> BoxFuture<'a, Result<Value, StepError>> {
        async move {
            let arguments = from_value(Value::Object(arguments.clone())).map_err(|e| {
                StepError::new("tool.arguments", format!("the arguments do not have the form it wants: {e}"))
            })?;
            let result = (self.run)(arguments).await?;
            to_value(&result)
                .map_err(|e| StepError::new("tool.result", format!("what it gives cannot be carried: {e}")))
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, JsonSchema)]
    struct In {
        /// The text.
        text: String,
        #[serde(default)]
        least: u32,
    }

    #[derive(Serialize, JsonSchema)]
    struct Out {
        words: usize,
        enough: bool,
    }

    fn named(ports: &[Port]) -> Vec<String> {
        ports.iter().map(|p| format!("{}: {}", p.name, p.value_type)).collect()
    }

    #[test]
    fn a_function_has_the_ports_of_its_types() {
        let several = function("Counts.", |input: In| async move {
            let words = input.text.split_whitespace().count();
            Ok(Out { words, enough: words >= input.least as usize })
        });
        assert_eq!(named(several.arguments()), ["text: string", "least: integer"]);
        assert_eq!(named(several.results()), ["words: integer", "enough: boolean"]);
        let one = function("Counts.", |input: In| async move { Ok(input.text.len()) }).once();
        assert_eq!(named(one.results()), ["tool_output: integer"]);
        assert!(!ToolDefinition::new("count", Arc::new(one)).idempotent);
    }

    #[test]
    fn ports_survive_their_schema() {
        let ports = [Port::new("text", Type::string()).doc("What."), Port::new("n", Type::integer()).or(3)];
        let read = ports_of(&schema_of(&ports)).unwrap();
        assert_eq!(read, ports);
        assert_eq!(schema_of(&ports)["required"], json!(["text"]));
    }

    #[test]
    fn schemas_of_others_are_read_or_refused() {
        let optional = ports_of(&json!({"properties": {"a": {"type": "integer"}}})).unwrap();
        assert_eq!((named(&optional), &optional[0].default), (vec!["a: integer?".to_owned()], &Some(Value::Null)));
        assert_eq!(ports_of(&json!({})), Ok(Vec::new()));
        for wrong in [
            json!(3),
            json!({"type": "string"}),
            json!({"properties": 3}),
            json!({"properties": {"a": {"type": "integer", "default": "x"}}}),
        ] {
            assert!(ports_of(&wrong).is_err(), "{wrong}");
        }
    }
}
