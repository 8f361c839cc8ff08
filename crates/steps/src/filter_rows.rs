//! `filter_rows`: the rows for which a condition is true.

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Grows, Port, Rows, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::template::Condition;
use flowrun_core::types::Type;
use flowrun_data::sources;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::condition::{RowCondition, flow_inputs};
use crate::synthesize::table_input;

/// Keeps the rows for which a condition is true. It is asked again at each reading, so nothing is held in memory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterRows {
    /// The condition, over the table's columns and `inputs.NAME` of the flow: `loan_value > 1000`.
    #[serde(rename = "where")]
    condition: Condition,
}

impl Step for FilterRows {
    const TYPE: &'static str = "filter_rows";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str =
        "large:\n  type: filter_rows\n  with: { table: structured.table }\n  where: loan_value > 100000";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("table", Type::table()).doc("The rows.")],
            outputs: vec![Port::new("table", Type::table()).doc("The rows for which the condition is true.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let flow_inputs = flow_inputs(&self.condition, scope, "where")?;
        let output = Port::new("table", Type::table()).rows(Rows::Some("table".to_owned())).grows(Grows::Never);
        Ok(Signature { flow_inputs, ..Signature::new(vec![Port::new("table", Type::table())], vec![output]) })
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let table = table_input(&input, "table")?;
        let condition = RowCondition::new(&self.condition, cx, &table, "where")?;
        let kept = sources::filter(&table, move |row| condition.holds(row));
        Ok(Outcome::next(Ports::one("table", kept)))
    }
}
