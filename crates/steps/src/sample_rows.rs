//! `sample_rows`: rows of a table, picked by seed.

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::late::Late;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Grows, Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::Type;
use flowrun_data::sources;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::files;
use crate::synthesize::table_input;

/// Picks rows of a table by seed. Row i of the result never depends on how many are asked for. Rows are read
/// where they stand, when a later step wants them; only those that pass a condition are kept, in the run's folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SampleRows {
    /// How many rows.
    n: Late<u64>,
    /// Whether a row may be picked more than once. Default: no, and then there must be enough rows.
    #[serde(default)]
    replace: bool,
}

impl Step for SampleRows {
    const TYPE: &'static str = "sample_rows";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "examples:\n  type: sample_rows\n  with: { table: seed_data.table }\n  n: { from: inputs.rows }\n  replace: true";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("table", Type::table()).doc("The rows to pick from.")],
            outputs: vec![Port::new("table", Type::table()).doc("The rows picked.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, _: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let grows = if self.replace { Grows::Always } else { Grows::Never };
        let picked = Port::new("table", Type::table()).grows(grows);
        Ok(Signature::new(vec![Port::new("table", Type::table())], vec![picked]))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let table = table_input(&input, "table")?;
        let key = cx.address().key();
        let parts = files::parts(cx).map(|parts| (parts, key.as_str()));
        let picked = sources::sample_rows(&table, self.n.get(cx)?, self.replace, &cx.rng("rows"), parts)?;
        let note = picked.to_string();
        Ok(Outcome::next(Ports::one("table", picked)).note(note))
    }
}
