//! `datastore_query`: asks a datastore in SQL.

use std::sync::OnceLock;

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Asked, Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::Type;
use flowrun_core::value::{List, Value};
use flowrun_stores::{Query, Schema, StoreConfig};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::stores::store;

/// Asks a datastore in SQL, and can change nothing by it: SQLite runs what only reads its tables, Postgres a
/// transaction that is read-only. A memory store takes no SQL. At most 100,000 rows are given.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DatastoreQuery {
    /// The datastore, by its name under `datastores:`.
    datastore: String,
    /// One question in the datastore's SQL. `:name` stands for a value and is an input of the step; values never become
    /// a part of the text.
    query: String,
    #[serde(skip)]
    parsed: OnceLock<Query>,
}

impl Step for DatastoreQuery {
    const TYPE: &'static str = "datastore_query";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "totals:\n  type: datastore_query\n  datastore: shop\n  query: SELECT region, count(*) AS customers FROM customers WHERE worth > :least GROUP BY region ORDER BY region";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("VARIABLE", Type::any()).doc("One for each `:name` of the query.")],
            outputs: vec![Port::new("result", Type::list(Type::object())).doc("The rows.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let definition = scope.datastore(&self.datastore, &["datastore"])?;
        let schema = Schema::new(&self.datastore, &definition.collections);
        let config: Option<&StoreConfig> = definition.config.downcast_ref();
        let config = config.ok_or_else(|| scope.bad(&["datastore"], "it is a datastore of another program"))?;
        let place = if matches!(config, StoreConfig::Memory {}) { "datastore" } else { "query" };
        let query = Query::parse(&self.query, config, &schema).map_err(|why| scope.bad(&[place], why))?;
        let inputs = query.variables().iter().map(|name| {
            let start = self.query.find(&format!(":{name}")).unwrap_or_default();
            let asked = Asked { path: vec!["query".to_owned()], range: start..start + name.len() + 1 };
            Port { asked: Some(asked), ..Port::new(name, Type::any()) }
        });
        let signature = Signature::new(inputs.collect(), vec![Port::new("result", Type::list(Type::object()))]);
        self.parsed.get_or_init(|| query);
        Ok(signature)
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let query =
            self.parsed.get().ok_or_else(|| StepError::new("engine.broken", "the query was not parsed"))?;
        let values: Vec<(String, Value)> =
            input.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
        let rows = store(cx, &self.datastore)?.query(cx, query, &values).await?;
        let rows: List = rows.into_iter().map(Value::Object).collect();
        Ok(Outcome::next(Ports::one("result", rows)))
    }
}
