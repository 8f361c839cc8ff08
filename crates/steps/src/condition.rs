//! Conditions over the columns of a row: `is_valid and inputs.keep`.

use std::collections::HashMap;

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::{Diagnostics, nearest};
use flowrun_core::execute::StepCx;
use flowrun_core::table::{Table, TableError};
use flowrun_core::template::Condition;
use flowrun_core::value::{Object, Value};

/// The word by which a condition reads the flow's inputs.
const INPUTS: &str = "inputs";

/// The inputs of the flow that a condition reads as `inputs.name`.
pub(crate) fn flow_inputs(
    condition: &Condition,
    scope: &Scope<'_>,
    key: &str,
) -> Result<Vec<String>, Diagnostics> {
    let Some(inputs) = condition.variables().iter().find(|v| v.name == INPUTS) else { return Ok(Vec::new()) };
    if inputs.bare {
        let message = "`inputs` stands for the flow's inputs; name one, as in `inputs.rows`";
        return Err(scope.bad(&[key], message).into());
    }
    Ok(inputs.fields.clone())
}

/// A condition with the flow's inputs filled in, to be asked of rows.
pub(crate) struct RowCondition {
    condition: Condition,
    inputs: Value,
    /// What the condition is: tables are read later, by other steps than the one that has it.
    what: String,
}

impl RowCondition {
    /// The condition of the key `key` of this step. Every column that it reads must be one of the table's.
    pub(crate) fn new(
        condition: &Condition,
        cx: &StepCx<'_>,
        table: &Table,
        key: &'static str,
    ) -> Result<Self, TableError> {
        let columns = table.columns();
        let mut inputs: HashMap<&str, Value> = HashMap::new();
        for variable in condition.variables() {
            if variable.name == INPUTS {
                inputs = variable.fields.iter().filter_map(|f| Some((f.as_str(), cx.flow_input(f)?))).collect();
            } else if !columns.iter().any(|(name, _)| *name == variable.name) {
                let names = columns.iter().map(|(name, _)| name.as_str());
                let error = TableError::new(
                    "table.no_column",
                    format!("`{key}` reads `{}`, and the table has no such column", variable.name),
                );
                let listed: Vec<_> = columns.iter().map(|(name, _)| format!("`{name}`")).collect();
                return Err(error.with_help(match nearest(&variable.name, names) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("it has {}; an input of the flow is `inputs.NAME`", listed.join(", ")),
                }));
            }
        }
        let inputs: Object = inputs.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let what = format!("`{key}` of `{}`", cx.address());
        Ok(Self { condition: condition.clone(), inputs: inputs.into(), what })
    }

    /// Whether the condition is true of a row.
    pub(crate) fn holds(&self, row: &Object) -> Result<bool, TableError> {
        let get = |name: &str| if name == INPUTS { Some(self.inputs.clone()) } else { row.get(name).cloned() };
        let value = self
            .condition
            .eval(get)
            .map_err(|e| TableError::new("template.failed", format!("{} cannot be computed: {e}", self.what)))?;
        Ok(value.is_truthy())
    }
}
