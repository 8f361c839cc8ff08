//! `search`: the rows whose text is nearest to a question.

use std::num::NonZeroU32;
use std::sync::Arc;

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::late::Late;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{ModelUse, Port, Signature};
use flowrun_core::spec::{CollectionSpec, InputSpec};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::table::Table;
use flowrun_core::template::Text;
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::{List, Object, Value};
use flowrun_stores::{Collection, MOST_ROWS, Row, StoreError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::datastore::{Target, Where, check_excluded, collection, inputs, type_without, unknown_column, without};
use crate::models::Models;
use crate::synthesize::table_input;

mod vectors;

pub(crate) use vectors::Vectors;

const QUERY: &str = "query";
const TABLE: &str = "table";

/// Finds the rows whose text is nearest to a question: by the angle between the vectors that an embedding model gives
/// them, exactly, among all rows. Rows come from a collection, or from the input `table`. Equally near rows stay in
/// their order; a row whose text is null or empty is never found. A text is sent to the model once in a run. A model
/// that is offline knows words and not what they mean: it finds rows that share words with the question.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    /// The embedding model, by its name under `models:`; its entry says which (`model: text-embedding-3-small`).
    model: String,
    /// The datastore, by its name under `datastores:`. Without it the rows are those of the input `table`.
    datastore: Option<String>,
    /// The collection. A text with holes is known, and checked, only when the step runs.
    collection_name: Option<Text>,
    /// The column whose text is compared with the question.
    column: String,
    /// Most rows that are given. Default: 3.
    #[serde(default = "three")]
    #[schemars(default = "three_rows")]
    k: Late<NonZeroU32>,
    /// Values that columns must have, all of them, for a row to be looked at.
    #[serde(default, rename = "where")]
    filter: Where,
    /// Columns that are left out of what is given.
    #[serde(default)]
    columns_to_exclude: Vec<String>,
}

const THREE: NonZeroU32 = const { NonZeroU32::new(3).expect("three is not zero") };

fn three() -> Late<NonZeroU32> {
    Late::Now(THREE)
}

fn three_rows() -> NonZeroU32 {
    THREE
}

/// A row, and its text.
struct Document {
    row: Object,
    text: Arc<str>,
}

impl Search {
    /// The collection, or none where rows come from a table.
    fn target(&self, scope: &Scope<'_>) -> Result<Option<Target>, Diagnostics> {
        match (&self.datastore, &self.collection_name) {
            (Some(datastore), Some(collection)) => Target::new(scope, datastore, collection).map(Some),
            (None, None) => Ok(None),
            (Some(_), None) => Err(scope.bad(&["datastore"], "`datastore` goes with `collection_name`").into()),
            (None, Some(_)) => {
                Err(scope.bad(&["collection_name"], "`collection_name` goes with `datastore`").into())
            }
        }
    }

    fn check(&self, scope: &Scope<'_>, target: &Target) -> Diagnostics {
        let mut wrong = self.filter.check(scope, target);
        wrong.extend(check_excluded(scope, target.collection.as_deref(), &self.columns_to_exclude));
        let Some(collection) = &target.collection else { return wrong };
        match collection.column_type(&self.column) {
            None => {
                let mut unknown = unknown_column(scope, &["column"], collection, &self.column);
                unknown.span = scope.span(&["column"]);
                wrong.push(unknown);
            }
            Some(column_type) if !is_text(column_type) => {
                let message = format!("the column `{}` is {column_type}; only a text has a vector", self.column);
                wrong.push(scope.bad(&["column"], message));
            }
            Some(_) => {}
        }
        wrong
    }

    async fn rows(&self, cx: &StepCx<'_>, input: &Ports) -> Result<(Arc<Collection>, Vec<Row>), StepError> {
        if let (Some(datastore), Some(name)) = (&self.datastore, &self.collection_name) {
            let (store, collection) = collection(cx, datastore, name, input)?;
            let filter = self.filter.filter(collection, input)?;
            let rows = store.list(cx, collection, &filter, None).await?;
            return Ok((Arc::clone(collection), rows));
        }
        let table = table_input(input, TABLE)?;
        let collection = Arc::new(of_table(&table));
        let filter = self.filter.filter(&collection, input)?;
        let mut rows: Vec<Row> = Vec::new();
        for row in table.objects(0..table.len().unwrap_or(u64::MAX))? {
            let row: Row = row?.values().into();
            if filter.holds(&row) {
                rows.push(row);
            }
            if rows.len() > MOST_ROWS {
                let message = format!("the table has more than {MOST_ROWS} rows to search");
                return Err(StoreError::new("store.too_many", message).into());
            }
        }
        Ok((collection, rows))
    }

    /// The rows that have a text.
    fn documents(&self, collection: &Collection, rows: &[Row]) -> Result<Vec<Document>, StepError> {
        let mut documents = Vec::with_capacity(rows.len());
        if !collection.column_names().any(|name| name == self.column) {
            let message = format!("`{}` has no column `{}`", collection.name, self.column);
            return Err(StepError::new("search.column", message));
        }
        for row in rows {
            let row = collection.object(row);
            match row.get(&self.column) {
                Some(Value::String(text)) if !text.trim().is_empty() => {
                    let text = Arc::clone(text);
                    documents.push(Document { row, text });
                }
                Some(Value::String(_) | Value::Null) | None => {}
                Some(other) => {
                    let message = format!("the column `{}` holds {other} ({})", self.column, other.type_name());
                    return Err(StepError::new("search.column", message).help("only a text has a vector"));
                }
            }
        }
        Ok(documents)
    }
}

fn is_text(column_type: &Type) -> bool {
    matches!(column_type.without_null().kind, Kind::String | Kind::Path | Kind::Any)
}

/// A table's columns as those of a collection, so that it is filtered like one.
fn of_table(table: &Table) -> Collection {
    let column = |(name, value_type): (String, Type)| InputSpec {
        name: name.into(),
        value_type,
        default: None,
        description: None,
        secret: false,
    };
    let columns = table.columns().into_iter().map(column).collect();
    Collection::new(&CollectionSpec { name: TABLE.to_owned().into(), columns })
}

impl Step for Search {
    const TYPE: &'static str = "search";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "similar:\n  type: search\n  model: embedder\n  datastore: library\n  collection_name: articles\n  column: text\n  k: 5\n  columns_to_exclude: [id]";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![
                Port::new(QUERY, Type::string()).doc("The question."),
                Port::new(TABLE, Type::table()).doc("The rows, where no datastore is named."),
                crate::datastore::documented_variables(),
            ],
            outputs: vec![
                Port::new("retrieved_documents", Type::list(Type::object())).doc("The rows, the nearest first."),
                Port::new("scores", Type::list(Type::number()))
                    .doc("How near each is: 1 is the same direction, 0 has nothing in common."),
            ],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let target = self.target(scope)?;
        let mut own = vec![Port::new(QUERY, Type::string())];
        match &target {
            Some(target) => drop(self.check(scope, target).into_result()?),
            None => own.push(Port::new(TABLE, Type::table())),
        }
        let collection = target.as_ref().and_then(|t| t.collection.as_deref());
        let inputs = inputs(scope, self.collection_name.as_ref(), Some(&self.filter), collection, own)?;
        let row = target.as_ref().map_or_else(Type::object, Target::row_type);
        let rows = Type::list(type_without(row, &self.columns_to_exclude));
        let outputs =
            vec![Port::new("retrieved_documents", rows), Port::new("scores", Type::list(Type::number()))];
        let models = vec![ModelUse { model: self.model.clone(), offline: true }];
        Ok(Signature { models, ..Signature::new(inputs, outputs) })
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let place = cx.model(&self.model);
        let models: &Models = cx.resource()?;
        let model = place.and_then(|place| models.get(place)).ok_or_else(|| {
            StepError::new("engine.resource", format!("the run has no model `{}`", self.model)).fatal()
        })?;
        let question = input.get(QUERY).and_then(Value::as_str).unwrap_or_default();
        if question.trim().is_empty() {
            return Err(StepError::new("search.query", "the question is empty, so nothing is near to it"));
        }
        let most = usize::try_from(self.k.get(cx)?.get()).unwrap_or(usize::MAX);
        let (collection, rows) = self.rows(cx, &input).await?;
        let documents = self.documents(&collection, &rows)?;
        let texts: Vec<Arc<str>> = documents.iter().map(|d| Arc::clone(&d.text)).collect();
        let vectors = models.vectors.of_documents(cx, model, &texts).await?;
        let question = models.vectors.of_question(cx, model, question).await?;
        let nearest = vectors::nearest(&question, &vectors, most)?;
        let found: List = nearest
            .iter()
            .map(|(place, _)| Value::Object(without(&documents[*place].row, &self.columns_to_exclude)))
            .collect();
        let scores: List = nearest.iter().map(|(_, score)| Value::Float(*score)).collect();
        let outputs = [("retrieved_documents", Value::List(found)), ("scores", Value::List(scores))];
        let outcome = Outcome::next(outputs.into_iter().collect::<Ports>());
        Ok(if model.is_offline() { outcome.note("by shared words: the model is offline") } else { outcome })
    }
}
