//! The outputs that queries find in a reply.

use std::sync::{Arc, OnceLock};

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use flowrun_net::{Request, Response};

use super::{HttpStep, RESPONSE, STATUS};
use crate::extract_json::fitted;
use crate::jq::Query;

/// The queries in the order of the outputs, compiled once.
pub(super) type Queries = OnceLock<Vec<Result<Query, String>>>;

impl HttpStep {
    fn queries(&self) -> &[Result<Query, String>] {
        self.queries.get_or_init(|| self.extract.values().map(|query| Query::parse(query)).collect())
    }

    pub(super) fn type_of(&self, name: &str) -> Type {
        self.types.get(name).map_or_else(Type::any, |declared| declared.0.clone())
    }

    pub(super) fn problems_of_outputs(&self, scope: &Scope<'_>) -> Diagnostics {
        let mut wrong = Diagnostics::new();
        for (name, query) in self.extract.keys().zip(self.queries()) {
            if let Err(message) = query {
                wrong.push(scope.bad(&["extract", name], message.as_str()));
            }
            if [STATUS, RESPONSE].contains(&name.as_str()) {
                let message = format!("`{name}` is a name of the step's own");
                wrong.push(scope.bad_key(&["extract", name], message));
            }
        }
        let named = self.types.keys().map(|name| ("types", name));
        for (key, name) in named.chain(self.defaults.keys().map(|name| ("defaults", name))) {
            if !self.extract.contains_key(name) {
                let unknown = scope.bad_key(&[key, name], format!("`extract` has no output `{name}`"));
                wrong.push(unknown.suggest(name, self.extract.keys().map(String::as_str)));
            }
        }
        for (name, default) in &self.defaults {
            if let Err(reason) = fitted(default.clone(), &self.type_of(name)) {
                let message = format!("the default of `{name}` does not fit: {reason}");
                wrong.push(scope.bad(&["defaults", name], message));
            }
        }
        wrong
    }

    /// The values of the outputs in a reply, not yet of their types.
    pub(super) fn found(&self, request: &Request, reply: &Response) -> Result<Vec<Value>, StepError> {
        if self.extract.is_empty() {
            return Ok(Vec::new());
        }
        let json: Result<Value, String> = match reply.text() {
            Ok(text) => serde_json::from_str(text).map_err(|e| format!("the reply is no JSON: {e}")),
            Err(_) => Err("the reply is no text in UTF-8".to_owned()),
        };
        let mut values = Vec::with_capacity(self.extract.len());
        for (name, query) in self.extract.keys().zip(self.queries()) {
            let query = query.as_ref().map_err(|message| StepError::new("http.request", message.as_str()))?;
            let found = json.as_ref().map_err(Clone::clone).and_then(|json| query.first(json));
            let default = self.defaults.get(name);
            values.push(match (found, default) {
                (Ok(None | Some(Value::Null)) | Err(_), Some(default)) => default.clone(),
                (Ok(Some(value)), _) => value,
                (Ok(None), None) => return Err(self.missing(name, "the query has no result", request, reply)),
                (Err(reason), None) => return Err(self.missing(name, &reason, request, reply)),
            });
        }
        Ok(values)
    }

    fn missing(&self, name: &str, reason: &str, request: &Request, reply: &Response) -> StepError {
        /// Enough of a reason, which may quote what it found.
        const LONGEST: usize = 300;
        let query = self.extract.get(name).map_or("", String::as_str);
        let server = flowrun_net::url::shown(&reply.url);
        let reason: String = request.redact(reason.to_owned()).chars().take(LONGEST).collect();
        StepError::new(
            "http.output",
            format!("the reply of `{server}` has nothing for `{name}`, `{query}`: {reason}"),
        )
        .detail("status", reply.status.as_u16().to_string())
        .detail("reply", reply.excerpt(request))
        .help("correct the query, or give the output a value under `defaults:`")
    }

    /// The outputs with their names, each of its type.
    pub(super) fn typed(&self, values: Vec<Value>) -> Result<Vec<(Arc<str>, Value)>, StepError> {
        if values.len() != self.extract.len() {
            let message = "what was kept of the reply is not what `extract` names now";
            return Err(StepError::new("journal.record", message));
        }
        let named = self.extract.iter().zip(values);
        named
            .map(|((name, query), value)| match fitted(value, &self.type_of(name)) {
                Ok(value) => Ok((Arc::from(name.as_str()), value)),
                Err(reason) => {
                    let message = format!("what `{query}` finds in the reply is no `{name}`: {reason}");
                    Err(StepError::new("http.output", message).help("correct the query, or change `types:`"))
                }
            })
            .collect()
    }
}
