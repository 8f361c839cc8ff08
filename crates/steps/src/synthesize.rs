//! `synthesize`: a table made up by samplers.

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::late::Late;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Grows, Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::table::Table;
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use flowrun_data::synthesize::Synthesis;
use schemars::JsonSchema;
use serde::Deserialize;

/// Makes a table of `rows` rows, column by column, from the run's seed: by the frequencies of a seed table, coherent
/// with other columns, by distributions, or made up. Row i never depends on how many rows are asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Synthesize {
    /// How many rows.
    rows: Late<u64>,
    /// The columns, in the order of the table; each says by `sample: KIND` how it is drawn.
    columns: Synthesis,
}

/// The table at an input.
pub(crate) fn table_input(input: &Ports, name: &str) -> Result<Table, StepError> {
    input
        .get(name)
        .and_then(Value::as_table)
        .cloned()
        .ok_or_else(|| StepError::new("step.type", format!("input `{name}` is no table")))
}

impl Step for Synthesize {
    const TYPE: &'static str = "synthesize";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "structured:\n  type: synthesize\n  with: { seed_table: seed_data.table }\n  rows: { from: inputs.rows }\n  columns:\n    region: { sample: categorical }\n    country: { sample: mapped, by: [region] }\n    customer_name: { sample: fake, kind: name }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        let seed = "The table whose frequencies, tuples and values are drawn; wanted if a column draws from it.";
        DocumentedPorts {
            inputs: vec![Port::new("seed_table", Type::table()).doc(seed)],
            outputs: vec![Port::new("table", Type::table()).doc("The rows.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let mut wrong = Diagnostics::new();
        for problem in self.columns.problems() {
            let path: Vec<&str> = ["columns"].into_iter().chain(problem.path.iter().map(String::as_str)).collect();
            let diagnostic = scope.bad(&path, problem.message.clone());
            wrong.push(match &problem.help {
                Some(help) => diagnostic.help(help.clone()),
                None => diagnostic,
            });
        }
        let wrong = wrong.into_result()?;
        debug_assert!(wrong.is_empty());
        let inputs = self.columns.needs_seed().then(|| Port::new("seed_table", Type::table()));
        let table = Port::new("table", Type::table()).grows(Grows::Always);
        Ok(Signature::new(inputs.into_iter().collect(), vec![table]))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let rows = self.rows.get(cx)?;
        let seed = if self.columns.needs_seed() { Some(table_input(&input, "seed_table")?) } else { None };
        let key = cx.rng("columns");
        let plan = self.columns.plan(seed.as_ref(), &key)?;
        let table = plan.table(rows)?;
        for (column, times) in plan.fallbacks(rows)? {
            cx.count(&format!("{column} drawn from the whole column"), times);
        }
        let note = table.to_string();
        Ok(Outcome::next(Ports::one("table", table)).note(note))
    }
}
