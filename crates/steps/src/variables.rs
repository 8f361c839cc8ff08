//! `variables`: writes and reads several variables.

use std::sync::Arc;

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::{Diagnostic, Diagnostics};
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature, VariableUse};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use flowrun_core::variable::Operation;
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

const WRITE: &str = "write_variables";
const READ: &str = "read_variables";
const OPERATIONS: &str = "write_operations";

/// Writes variables of the flow, then reads variables. Its inputs and outputs have the names of the variables. All writes
/// come first, in the order of the list, so a variable that stands in both lists is read as it was written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VariablesStep {
    /// The variables that are written, each with an input of its name.
    #[serde(default)]
    write_variables: Vec<String>,
    /// The variables that are read, each with an output of its name.
    #[serde(default)]
    read_variables: Vec<String>,
    /// How variables are written, as in `write_variable`; those that are not named are overwritten.
    #[serde(default)]
    write_operations: IndexMap<String, Operation>,
}

impl VariablesStep {
    fn operation(&self, name: &str) -> Operation {
        self.write_operations.get(name).copied().unwrap_or_default()
    }

    /// What makes no sense whatever the flow's variables are.
    fn problems(&self, scope: &Scope<'_>) -> Diagnostics {
        let mut wrong = Diagnostics::new();
        if self.write_variables.is_empty() && self.read_variables.is_empty() {
            wrong.push(scope.bad(&[], format!("neither `{WRITE}` nor `{READ}` names a variable")));
        }
        for (key, names) in [(WRITE, &self.write_variables), (READ, &self.read_variables)] {
            for (place, name) in names.iter().enumerate() {
                if names[..place].contains(name) {
                    wrong.push(scope.bad(&[key, &place.to_string()], format!("`{key}` names `{name}` twice")));
                }
            }
        }
        for name in self.write_operations.keys().filter(|name| !self.write_variables.contains(name)) {
            let unknown: Diagnostic =
                scope.bad_key(&[OPERATIONS, name], format!("`{WRITE}` does not name `{name}`"));
            wrong.push(unknown.suggest(name, self.write_variables.iter().map(String::as_str)));
        }
        wrong
    }

    fn inputs(&self, scope: &Scope<'_>, wrong: &mut Diagnostics) -> (Vec<Port>, Vec<VariableUse>) {
        let (mut ports, mut used) = (Vec::new(), Vec::new());
        for (place, name) in self.write_variables.iter().enumerate() {
            let place = place.to_string();
            let variable = match scope.variable(name, &[WRITE, &place]) {
                Ok(variable) => variable,
                Err(unknown) => {
                    wrong.extend(unknown);
                    continue;
                }
            };
            let operation = self.operation(name);
            match operation.takes(&variable.value_type) {
                Ok(taken) => ports.push(Port::new(name, taken)),
                Err(why) => {
                    wrong.push(scope.bad(&[OPERATIONS, name], format!("`{name}` cannot be so written: {why}")));
                }
            }
            let path = vec![WRITE.to_owned(), place];
            used.push(VariableUse { name: name.clone(), reads: operation.reads(), writes: true, path });
        }
        (ports, used)
    }

    fn outputs(&self, scope: &Scope<'_>, wrong: &mut Diagnostics) -> (Vec<Port>, Vec<VariableUse>) {
        let (mut ports, mut used) = (Vec::new(), Vec::new());
        for (place, name) in self.read_variables.iter().enumerate() {
            let place = place.to_string();
            match scope.variable(name, &[READ, &place]) {
                Ok(variable) => ports.push(Port::new(name, variable.value_type.clone())),
                Err(unknown) => wrong.extend(unknown),
            }
            // What the step itself writes is there by then.
            let reads = !self.write_variables.contains(name);
            used.push(VariableUse {
                name: name.clone(),
                reads,
                writes: false,
                path: vec![READ.to_owned(), place],
            });
        }
        (ports, used)
    }
}

impl Step for VariablesStep {
    const TYPE: &'static str = "variables";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "count:\n  type: variables\n  write_variables: [last, seen]\n  write_operations: { seen: insert }\n  read_variables: [seen]\n  with: { last: write.draft, seen: write.draft }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("NAME", Type::any()).doc("One for each variable of `write_variables`.")],
            outputs: vec![Port::new("NAME", Type::any()).doc("One for each variable of `read_variables`.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let mut wrong = self.problems(scope);
        let (inputs, written) = self.inputs(scope, &mut wrong);
        let (outputs, read) = self.outputs(scope, &mut wrong);
        if wrong.has_errors() {
            return Err(wrong);
        }
        let variables = written.into_iter().chain(read).collect();
        Ok(Signature { variables, ..Signature::new(inputs, outputs) })
    }

    async fn run(&self, cx: &StepCx<'_>, mut input: Ports) -> Result<Outcome<Ports>, StepError> {
        for name in &self.write_variables {
            cx.write_variable(name, self.operation(name), input.take(name).unwrap_or_default())?;
        }
        let mut outputs: Vec<(Arc<str>, Value)> = Vec::with_capacity(self.read_variables.len());
        for name in &self.read_variables {
            outputs.push((name.as_str().into(), cx.variable(name)?));
        }
        Ok(Outcome::next(outputs.into_iter().collect()))
    }
}
