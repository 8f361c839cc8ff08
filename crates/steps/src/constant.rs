//! `constant`: fixed values.

use std::sync::Arc;

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::{Value, ValueError};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

/// Gives fixed values, one output for each.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Constant {
    /// The outputs by name: any JSON values.
    values: IndexMap<String, serde_json::Value>,
}

impl Constant {
    fn ports(&self) -> Result<Ports, ValueError> {
        let entries = self.values.iter().map(|(name, v)| Ok((name.as_str(), Value::try_from(v.clone())?)));
        entries.collect::<Result<Vec<_>, _>>().map(|all| all.into_iter().collect())
    }
}

fn type_of(value: &Value) -> Type {
    match value {
        Value::Bool(_) => Type::boolean(),
        Value::Int(_) => Type::integer(),
        Value::Float(_) => Type::number(),
        Value::String(_) => Type::string(),
        Value::List(items) => {
            let mut types: Vec<Type> = items.items().iter().map(type_of).collect();
            types.dedup();
            Type::list(if types.len() == 1 { types.remove(0) } else { Type::any() })
        }
        Value::Object(object) => {
            Kind::Object(object.iter().map(|(name, v)| (name.to_string(), type_of(v))).collect()).into()
        }
        _ => Type::any(),
    }
}

impl Step for Constant {
    const TYPE: &'static str = "constant";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "settings:\n  type: constant\n  values: { tone: formal, least_words: 40 }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        let outputs = vec![Port::new("NAME", Type::any()).doc("One for each key of `values`.")];
        DocumentedPorts { outputs, branches: vec!["next".into()], ..DocumentedPorts::default() }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let ports = self.ports().map_err(|e| scope.bad(&["values"], e.to_string()))?;
        let outputs = ports.iter().map(|(name, value)| Port::new(Arc::clone(name).to_string(), type_of(value)));
        Ok(Signature::new(Vec::new(), outputs.collect()))
    }

    async fn run(&self, _: &StepCx<'_>, _: Ports) -> Result<Outcome<Ports>, StepError> {
        self.ports().map(Outcome::next).map_err(|e| StepError::new("step.type", e.to_string()))
    }
}
