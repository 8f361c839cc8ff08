//! `branch`: goes where a value or a condition says.

use flowrun_core::cast::text_of;
use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::template::Condition;
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use indexmap::{IndexMap, IndexSet};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::template::inputs_that_read;

/// The branch of a value that no case names, and of conditions none of which is true.
const DEFAULT: &str = "default";

/// Takes the branch that belongs to a value, or the first whose condition is true; else the branch `default`. A value is
/// compared as text, exactly: `true`, `1`, `north`; null is none of the cases.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Branch {
    /// Values of the input `value`, each with the branch that it takes.
    #[serde(default)]
    cases: IndexMap<String, String>,
    /// In place of `cases`: branches, each with its condition, in Jinja: `score >= 4 and not flagged`. They are asked in
    /// the order written, and the first that is true is taken. What they read is the inputs of the step.
    #[serde(default)]
    when: IndexMap<String, Condition>,
}

impl Step for Branch {
    const TYPE: &'static str = "branch";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "check:\n  type: branch\n  with: { value: valid.is_valid }\n  cases: { \"true\": valid, \"false\": invalid }\n  next: { valid: end, invalid: { retry: write, max_trials: 3, else: given_up }, default: given_up }\ngrade:\n  type: branch\n  when: { good: score >= 4, fair: score >= 2 and not flagged }\n  next: { good: publish, fair: look_at_it, default: given_up }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![
                Port::new("value", Type::any()).doc("With `cases`: the value that decides."),
                Port::new("VARIABLE", Type::any()).doc("With `when`: one for each variable of the conditions."),
            ],
            outputs: Vec::new(),
            branches: vec!["BRANCH: each named in `cases` or `when`".into(), DEFAULT.into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let inputs = match (self.cases.is_empty(), self.when.is_empty()) {
            (false, true) => vec![Port::new("value", Type::any())],
            (true, false) => inputs_that_read(
                self.when.iter().map(|(branch, c)| (vec!["when".to_owned(), branch.clone()], c.variables())),
            ),
            (true, true) => {
                let message = "a branch wants `cases`, values and where they lead, or `when`, conditions";
                return Err(scope.bad(&[], message).into());
            }
            (false, false) => return Err(scope.bad_key(&["when"], "`when` stands in place of `cases`").into()),
        };
        let named = self.cases.values().chain(self.when.keys()).map(String::as_str);
        let branches: IndexSet<&str> = named.chain([DEFAULT]).collect();
        Ok(Signature::new(inputs, Vec::new()).branches(branches))
    }

    async fn run(&self, _: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        for (branch, condition) in &self.when {
            let value = condition.eval(|name| input.get(name).cloned()).map_err(|e| {
                StepError::new("template.failed", format!("the condition of `{branch}` cannot be computed: {e}"))
            })?;
            if value.is_truthy() {
                return Ok(Outcome::branch(branch, Ports::empty()));
            }
        }
        let value = input.get("value").filter(|_| self.when.is_empty()).unwrap_or(&Value::Null);
        let case = if value.is_null() { None } else { self.cases.get(&text_of(value)?) };
        Ok(Outcome::branch(case.map_or(DEFAULT, String::as_str), Ports::empty()))
    }
}
