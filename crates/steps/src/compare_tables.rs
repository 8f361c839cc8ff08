//! `compare_tables`: how much a made-up table resembles its seed.

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::events::Event;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::Type;
use flowrun_core::value::to_value;
use flowrun_data::compare::{ComparePlan, compare};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::synthesize::table_input;

/// Compares a table with the seed it was made from: counts and shares side by side, five-number summaries, coherency,
/// and a score from 0 to 1 for each column (`TVComplement` for categories, `KSComplement` for numbers).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompareTables {
    /// How each column is compared, `{ as: KIND }`. Default: by its type.
    #[serde(default)]
    columns: ComparePlan,
}

impl Step for CompareTables {
    const TYPE: &'static str = "compare_tables";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "verify:\n  type: compare_tables\n  with: { seed_table: seed_data.table, table: structured.table }\n  columns:\n    region: { as: categorical }\n    country: { as: coherent, by: [region] }\n    loan_value: { as: joint, by: [region] }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![
                Port::new("seed_table", Type::table()).doc("The real rows."),
                Port::new("table", Type::table()).doc("The rows that were made."),
            ],
            outputs: vec![Port::new("scores", Type::object()).doc("The comparison, column by column.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, _: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let inputs = vec![Port::new("seed_table", Type::table()), Port::new("table", Type::table())];
        Ok(Signature::new(inputs, vec![Port::new("scores", Type::object())]))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let (seed, table) = (table_input(&input, "seed_table")?, table_input(&input, "table")?);
        let comparison = compare(&seed, &table, &self.columns)?;
        let scores = to_value(&comparison).map_err(|e| StepError::new("step.type", e.to_string()))?;
        let json = scores.to_json().map_err(|e| StepError::new("step.type", e.to_string()))?;
        cx.emit(&Event::Scored { at: &cx.address(), scores: &json });
        Ok(Outcome::next(Ports::one("scores", scores)).note(comparison.to_string()))
    }
}
