//! `add_columns`: two tables side by side, or what a map made joined onto the rows it was made from.

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Grows, Port, Rows, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::Type;
use flowrun_data::sources;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::synthesize::table_input;

/// Puts the columns of one table beside those of another. Where `columns` was made by a map, each of its rows is
/// joined to the very row that it was made from, and rows that the map left out are left out; `table` must then be a
/// source of that map. Else both tables must have the same length. A name in both is an error.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddColumns {}

impl Step for AddColumns {
    const TYPE: &'static str = "add_columns";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str =
        "complete_rows:\n  type: add_columns\n  with: { table: structured.table, columns: justify.table }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![
                Port::new("table", Type::table()).doc("The rows."),
                Port::new("columns", Type::table()).doc("What is put beside them."),
            ],
            outputs: vec![Port::new("table", Type::table()).doc("The rows with all columns.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, _: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let inputs = vec![Port::new("table", Type::table()), Port::new("columns", Type::table())];
        let output = Port::new("table", Type::table()).rows(Rows::Some("table".to_owned()));
        let output = output.grows(Grows::With(vec!["table".to_owned(), "columns".to_owned()]));
        let joins = vec![("table".to_owned(), "columns".to_owned())];
        Ok(Signature { joins, ..Signature::new(inputs, vec![output]) })
    }

    async fn run(&self, _: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let table = sources::add_columns(&table_input(&input, "table")?, &table_input(&input, "columns")?)?;
        let note = table.to_string();
        Ok(Outcome::next(Ports::one("table", table)).note(note))
    }
}
