//! The kind of tool `http`: a request as a tool.

use std::borrow::Cow;
use std::sync::Arc;

use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::ToolCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::Port;
use flowrun_core::tool::{TOOL_OUTPUT, Tool, ToolKind, ToolScope};
use flowrun_core::types::Type;
use flowrun_core::value::{Object, ObjectBuilder, Value};
use flowrun_net::Client;
use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde_json::Value as Json;

use super::{HttpStep, Kept, RESPONSE, STATUS, method, net_error};

const DOC: &str = "Sends a request over HTTP: the keys and the rules are those of the step `http`. The variables of its texts are \
                   the arguments, texts where `arguments` says nothing. The results are what `extract` finds, or without it the \
                   reply as a text; with `store_response` that text is the result `http_response`. `idempotent` is what the method says, unless the flow says it.";

/// A request whose variables are arguments. The configuration is that of the step, but for a key that every tool has.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct HttpTool(HttpStep);

impl JsonSchema for HttpTool {
    fn schema_name() -> Cow<'static, str> {
        "HttpTool".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = HttpStep::json_schema(generator);
        if let Some(Json::Object(properties)) = schema.get_mut("properties") {
            properties.shift_remove("idempotent");
        }
        schema.insert("description".to_owned(), DOC.into());
        schema
    }
}

impl ToolKind for HttpTool {
    const TYPE: &'static str = "http";

    fn tool(self, scope: &ToolScope<'_>) -> Result<Arc<dyn Tool>, Diagnostics> {
        let Self(mut request) = self;
        let mut wrong = request.problems(scope.scope);
        if scope.results.is_some() {
            let problem =
                scope.bad(&[], "the results of an `http` tool are what `extract` finds, or the whole reply");
            wrong.push(problem.help("take `results` out; `types:` says of what type each is"));
        }
        let arguments = arguments(&request, scope, &mut wrong);
        if wrong.has_errors() {
            return Err(wrong);
        }
        let mut results: Vec<Port> =
            request.extract.keys().map(|name| Port::new(name.as_str(), request.type_of(name))).collect();
        if request.store_response {
            results.push(Port::new(RESPONSE, Type::string()));
        }
        if results.is_empty() {
            request.store_response = true;
            results.push(Port::new(TOOL_OUTPUT, Type::string()));
        }
        if request.ignore_bad_status {
            results.push(Port::new(STATUS, Type::integer()));
        }
        Ok(Arc::new(Requests { request, arguments, results }))
    }
}

/// What the texts read, of the types that the flow lists.
fn arguments(request: &HttpStep, scope: &ToolScope<'_>, wrong: &mut Diagnostics) -> Vec<Port> {
    let read = request.inputs();
    let Some(listed) = scope.arguments else {
        let text = |port: Port| {
            let value_type = if port.default.is_some() { Type::string().nullable() } else { Type::string() };
            Port { default: port.default, doc: port.doc, ..Port::new(port.name, value_type) }
        };
        return read.into_iter().map(text).collect();
    };
    for port in read.iter().filter(|port| listed.iter().all(|l| l.name != port.name)) {
        let path: Vec<&str> = port.asked.iter().flat_map(|asked| asked.path.iter().map(String::as_str)).collect();
        wrong.push(scope.bad(&path, format!("`arguments` does not list `{}`", port.name)));
    }
    for port in listed.iter().filter(|port| read.iter().all(|r| r.name != port.name)) {
        wrong.push(scope.bad(&[], format!("nothing in the request reads the argument `{}`", port.name)));
    }
    listed.to_vec()
}

struct Requests {
    request: HttpStep,
    arguments: Vec<Port>,
    results: Vec<Port>,
}

impl Tool for Requests {
    fn arguments(&self) -> &[Port] {
        &self.arguments
    }

    fn results(&self) -> &[Port] {
        &self.results
    }

    fn idempotent(&self) -> bool {
        match &self.request.method {
            None => true,
            // A method that comes from a value may be any.
            Some(text) if !text.variables().is_empty() => false,
            Some(text) => {
                let name = text.render(|_| None).unwrap_or_default();
                method(&name).is_ok_and(|method| method.is_idempotent())
            }
        }
    }

    fn leaves_open(&self, error: &StepError) -> bool {
        ["http.timeout", "http.connect", "http.too_large"].contains(&error.code.as_ref())
    }

    fn call<'a>(&'a self, cx: &'a ToolCx<'a>, arguments: &'a Object) -> BoxFuture<'a, Result<Value, StepError>> {
        async move {
            let client = cx.resource::<Client>()?;
            let rules = self.request.rules()?;
            let input: Ports = arguments.iter().map(|(name, value)| (Arc::clone(name), value.clone())).collect();
            let mut request = self.request.request(cx.identity(), &input, &rules)?;
            request.limits.idempotent = Some(cx.idempotent());
            let reply = client.send(&request, &rules).await.map_err(net_error)?;
            self.results_of(self.request.kept(&request, &reply)?)
        }
        .boxed()
    }
}

impl Requests {
    fn results_of(&self, kept: Kept) -> Result<Value, StepError> {
        let mut found = self.request.typed(kept.outputs)?;
        if let Some(response) = kept.response {
            // Under the one of its two names that is a result.
            found.extend([TOOL_OUTPUT, RESPONSE].map(|name| (name.into(), Value::String(Arc::clone(&response)))));
        }
        found.push((STATUS.into(), Value::Int(kept.status.into())));
        if let [only] = self.results.as_slice() {
            let value = found.into_iter().find(|(name, _)| **name == *only.name);
            return Ok(value.map_or(Value::Null, |(_, value)| value));
        }
        let mut results = ObjectBuilder::default();
        found.retain(|(name, _)| self.results.iter().any(|port| *port.name == **name));
        for (name, value) in found {
            results.set(name, value);
        }
        Ok(Value::Object(results.finish()))
    }
}
