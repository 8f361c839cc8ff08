//! `complete`: an end of a flow.

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::extract_json::type_of;

/// Ends the flow under the step's own name, which is a branch of the `flow`, `retry` or `catch` step that runs
/// the flow. What it `gives` is what the flow gives under that name, whatever other steps gave before.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Complete {
    /// The name of the end, where it is not the step's own: several steps may be one end. `next` is the end without a
    /// name.
    branch: Option<String>,
    /// Inputs of the step that it gives again under the same names, each with its type: a word such as `string?`, `[string]`
    /// for a list, or a JSON schema.
    #[serde(default)]
    gives: IndexMap<String, Given>,
}

/// The type of what is handed on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "Value")]
#[schemars(with = "serde_json::Value")]
struct Given(Type);

impl TryFrom<Value> for Given {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let found = match &value {
            Value::Null => Some(Type::null()),
            Value::String(word) => type_of(word),
            Value::List(items) => match items.items() {
                [Value::String(item)] => type_of(item).map(Type::list),
                _ => None,
            },
            Value::Object(_) => value.to_json().ok().map(|schema| Type::from_json_schema(&schema)),
            _ => None,
        };
        found.map(Self).ok_or_else(|| {
            format!(
                "{value} is no type; write a word such as `integer` or `string?`, `[string]`, or a JSON schema"
            )
        })
    }
}

impl Step for Complete {
    const TYPE: &'static str = "complete";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "accepted: { type: complete }\ngiven_up:\n  type: complete\n  branch: rejected\n  gives: { text: string }\n  with: { text: write.draft }";

    const BRANCHES: &'static [&'static str] = &[];

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("NAME", Type::any()).doc("One for each key of `gives`.")],
            outputs: vec![Port::new("NAME", Type::any()).doc("The same.")],
            branches: Vec::new(),
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        if self.branch.as_deref().is_some_and(|name| name.trim().is_empty()) {
            return Err(scope.bad(&["branch"], "an end has a name; `next` is the one without").into());
        }
        let ports: Vec<Port> = self.gives.iter().map(|(name, given)| Port::new(name, given.0.clone())).collect();
        let signature = Signature::new(ports.clone(), ports).branches(Self::BRANCHES.iter().copied());
        Ok(Signature { end: self.branch.clone(), ..signature })
    }

    async fn run(&self, _: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        Ok(Outcome::next(input))
    }
}
