//! `branch`: goes where a value says.

use flowrun_core::cast::text_of;
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

/// The branch of a value that no case names.
const DEFAULT: &str = "default";

/// Takes the branch that belongs to a value. The value is compared as text, exactly: `true`, `1`, `north`; one that no
/// case names, and null, take the branch `default`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Branch {
    /// Values, each with the branch that it takes.
    cases: IndexMap<String, String>,
}

impl Step for Branch {
    const TYPE: &'static str = "branch";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "check:\n  type: branch\n  with: { value: valid.is_valid }\n  cases: { \"true\": valid, \"false\": invalid }\n  next: { valid: end, invalid: { retry: write, max_trials: 3, else: given_up }, default: given_up }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("value", Type::any()).doc("The value that decides.")],
            outputs: Vec::new(),
            branches: vec!["BRANCH: each named in `cases`".into(), DEFAULT.into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        if self.cases.is_empty() {
            return Err(scope.bad(&["cases"], "`cases` names no value").into());
        }
        let mut branches: Vec<String> = Vec::new();
        for branch in self.cases.values().map(String::as_str).chain([DEFAULT]) {
            if !branches.iter().any(|b| b == branch) {
                branches.push(branch.to_owned());
            }
        }
        Ok(Signature::new(vec![Port::new("value", Type::any())], Vec::new()).branches(branches))
    }

    async fn run(&self, _: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let value = input.get("value").unwrap_or(&Value::Null);
        let case = if value.is_null() { None } else { self.cases.get(&text_of(value)?) };
        Ok(Outcome::branch(case.map_or(DEFAULT, String::as_str), Ports::empty()))
    }
}
