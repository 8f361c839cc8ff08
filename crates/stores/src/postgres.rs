//! The postgres store: a table for each collection. Rows come in the order of their columns' values, because a table
//! of Postgres has no order of its own.

mod cells;
mod marks;
mod pool;

use std::sync::Arc;
use std::time::Duration;

use flowrun_core::types::Kind as Type;
use flowrun_core::value::Value;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::collection::is_json;
use crate::sql::{listed, quoted};
use crate::store::{MOST_ROWS, not_too_many};
use crate::{Answer, Change, Changed, Collection, Filter, Once, Query, Row, Schema, Store, StoreError, Url};

use cells::Text;
use pool::{Pool, wrong};

/// A datastore on a server. It is connected to when it is first used.
pub struct Postgres {
    pool: Pool,
}

impl Postgres {
    /// The store at an address. In a preview nothing is written: all happens in a transaction that is rolled back.
    ///
    /// # Errors
    /// `store.url` when the address is none; the message does not show it.
    pub fn new(
        url: &Url,
        schema: Arc<Schema>,
        create_tables: bool,
        timeout: Duration,
        preview: bool,
    ) -> Result<Self, StoreError> {
        Ok(Self { pool: Pool::new(url, schema, create_tables, timeout, preview)? })
    }
}

/// Whether somebody else made the same table at the same moment.
fn made_by_another(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| [SqlState::UNIQUE_VIOLATION, SqlState::DUPLICATE_TABLE].contains(code))
}

/// Makes the tables that are missing where that is asked for, and looks at those that are there.
async fn make_tables(client: &Client, schema: &Schema, create: bool) -> Result<(), StoreError> {
    for collection in schema.collections() {
        if create {
            let columns: Vec<_> = collection.columns.iter().map(cells::declared).collect();
            let sql = format!("CREATE TABLE IF NOT EXISTS {} ({})", quoted(&collection.name), columns.join(", "));
            // `IF NOT EXISTS` does not keep two connections from making a table at once; then one of them fails, and the
            // table is there. Whether it is, and of which columns, is looked at below.
            if let Err(error) = client.batch_execute(&sql).await
                && !made_by_another(&error)
            {
                return Err(wrong(&error));
            }
        }
        let found = client.query(COLUMNS, &[&quoted(&collection.name)]).await.map_err(|e| wrong(&e))?;
        let schema_error = |message: String| StoreError::new("store.schema", message);
        if found.is_empty() {
            let message = format!("the server has no table `{}`", collection.name);
            return Err(schema_error(message).help("make it, or say `create_tables: true`"));
        }
        for column in &collection.columns {
            let Some(row) = found.iter().find(|row| row.get::<_, &str>(0) == column.name) else {
                let message = format!("the table `{}` has no column `{}`", collection.name, column.name);
                return Err(schema_error(message));
            };
            let there: &str = row.get(1);
            if !cells::holds(there, column) {
                let message = format!(
                    "the column `{}` of the table `{}` is {there}, which does not hold {}",
                    column.name, collection.name, column.value_type
                );
                return Err(schema_error(message));
            }
        }
    }
    Ok(())
}

/// The columns of the table that a quoted name means here, with the names of their types.
const COLUMNS: &str = "SELECT a.attname::text, CASE WHEN t.typtype = 'e' THEN 'enum' ELSE t.typname::text END \
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
    WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped";

/// ` WHERE …` with a variable for each value, from `$first` on.
fn condition(collection: &Collection, filter: &Filter, first: usize) -> String {
    let terms = filter.0.iter().enumerate().map(|(n, (place, _))| {
        let name = quoted(&collection.columns[*place].name);
        format!("{name} IS NOT DISTINCT FROM ${}", n + first)
    });
    let terms: Vec<_> = terms.collect();
    if terms.is_empty() { String::new() } else { format!(" WHERE {}", terms.join(" AND ")) }
}

/// Texts first byte by byte, so that the order is that of every other server.
fn order(collection: &Collection) -> String {
    let terms = collection.columns.iter().map(|column| {
        // By the table's own column, not by its text that is given.
        let name = format!("stored.{}", quoted(&column.name));
        let is_text = matches!(column.value_type.without_null().kind, Type::String | Type::Path);
        if is_text || is_json(&column.value_type) { format!("{name}::text COLLATE \"C\"") } else { name }
    });
    terms.collect::<Vec<_>>().join(", ")
}

fn texts<'v>(values: impl IntoIterator<Item = (&'v Value, bool)>) -> Result<Vec<Text>, StoreError> {
    values.into_iter().map(|(value, json)| Text::of(value, json)).collect()
}

fn bound(collection: &Collection, values: &[(usize, Value)]) -> Result<Vec<Text>, StoreError> {
    texts(values.iter().map(|(place, value)| (value, is_json(&collection.columns[*place].value_type))))
}

async fn select(
    client: &Client,
    collection: &Collection,
    filter: &Filter,
    limit: Option<u32>,
    locks: bool,
) -> Result<Vec<Row>, StoreError> {
    let columns: Vec<_> = collection.columns.iter().map(cells::read).collect();
    let most = limit.map_or(MOST_ROWS + 1, |n| (MOST_ROWS + 1).min(usize::try_from(n).unwrap_or(usize::MAX)));
    let sql = format!(
        "SELECT {} FROM {} AS stored{} ORDER BY {} LIMIT {most}{}",
        columns.join(", "),
        quoted(&collection.name),
        condition(collection, filter, 1),
        order(collection),
        if locks { " FOR UPDATE" } else { "" },
    );
    let values = bound(collection, &filter.0)?;
    let found = client.query(&sql, &cells::parameters(&values)).await.map_err(|e| wrong(&e))?;
    let rows = found.iter().map(|row| {
        let values = collection.columns.iter().enumerate().map(|(n, column)| cells::from_text(row, n, column));
        collection.read(values.collect::<Result<_, _>>()?)
    });
    not_too_many(rows.collect::<Result<_, _>>()?)
}

/// Makes a change within a transaction.
async fn change_in(client: &Client, collection: &Collection, change: &Change) -> Result<Changed, StoreError> {
    let table = quoted(&collection.name);
    let execute = async |sql: String, values: Vec<Text>| {
        client.execute(&sql, &cells::parameters(&values)).await.map_err(|e| wrong(&e))
    };
    match change {
        Change::Create(row) => {
            let numbers: Vec<_> = (1..=row.len()).map(|n| format!("${n}")).collect();
            let columns = listed(collection.column_names());
            let pairs = row.iter().zip(&collection.columns);
            let values = texts(pairs.map(|(value, column)| (value, is_json(&column.value_type))))?;
            execute(format!("INSERT INTO {table} ({columns}) VALUES ({})", numbers.join(", ")), values).await?;
            Ok(Changed::default())
        }
        Change::Update(filter, update) => {
            let set = update.0.iter().enumerate();
            let set =
                set.map(|(n, (place, _))| format!("{} = ${}", quoted(&collection.columns[*place].name), n + 1));
            let set = set.collect::<Vec<_>>().join(", ");
            let found = condition(collection, filter, update.0.len() + 1);
            let mut values = bound(collection, &update.0)?;
            values.extend(bound(collection, &filter.0)?);
            let before = select(client, collection, filter, None, true).await?;
            execute(format!("UPDATE {table} SET {set}{found}"), values).await?;
            Ok(Changed { rows: before.iter().map(|row| update.of(row).to_vec()).collect(), removed: 0 })
        }
        Change::Delete(filter) => {
            let sql = format!("DELETE FROM {table}{}", condition(collection, filter, 1));
            let removed = execute(sql, bound(collection, &filter.0)?).await?;
            Ok(Changed { rows: Vec::new(), removed })
        }
    }
}

impl Store for Postgres {
    fn change<'a>(
        &'a self,
        collection: &'a Arc<Collection>,
        change: &'a Change,
        once: Option<&'a Once>,
    ) -> BoxFuture<'a, Result<Changed, StoreError>> {
        async move {
            let mut session = self.pool.session().await?;
            let once = once.filter(|_| self.pool.has_marks());
            session
                .act(false, async |client| {
                    if let Some(once) = once
                        && let Some(made) = marks::made(client, once).await?
                    {
                        return Ok(made);
                    }
                    let changed = change_in(client, collection, change).await?;
                    if let Some(once) = once {
                        marks::mark(client, once, &changed).await?;
                    }
                    Ok(changed)
                })
                .await
        }
        .boxed()
    }

    fn forget<'a>(&'a self, run: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            // A server that no step asked has none.
            if !self.pool.has_marks() {
                return Ok(());
            }
            let mut session = self.pool.session().await?;
            session.act(false, async |client| marks::forget(client, run).await).await
        }
        .boxed()
    }

    fn list<'a>(
        &'a self,
        collection: &'a Arc<Collection>,
        filter: &'a Filter,
        limit: Option<u32>,
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        async move {
            let mut session = self.pool.session().await?;
            session.act(true, async |client| select(client, collection, filter, limit, false).await).await
        }
        .boxed()
    }

    fn query<'a>(
        &'a self,
        query: &'a Query,
        values: &'a [(String, Value)],
    ) -> BoxFuture<'a, Result<Answer, StoreError>> {
        async move {
            let values = texts(query.in_order(values)?.into_iter().map(|value| (value, false)))?;
            let mut session = self.pool.session().await?;
            session.act(true, async |client| ask(client, &query.sql, &values).await).await
        }
        .boxed()
    }
}

/// Asks in a transaction that cannot write. The question stands within another one, so that it can only be one, and
/// so that every value comes as text.
async fn ask(client: &Client, sql: &str, values: &[Text]) -> Result<Answer, StoreError> {
    // The line break ends a comment that the question may end with.
    let within = format!("SELECT * FROM ({sql}\n) AS question");
    let asked = client.prepare(&within).await.map_err(|e| wrong(&e))?;
    let names: Vec<String> = asked.columns().iter().map(|c| c.name().to_owned()).collect();
    crate::query::distinct(&names)?;
    let columns: Vec<_> = asked.columns().iter().map(|c| cells::Asked::new(c.name(), c.type_())).collect();
    if columns.is_empty() {
        return Err(StoreError::new("store.query", "the statement gives no columns"));
    }
    let shown: Vec<_> = columns.iter().map(cells::Asked::read).collect();
    let whole = format!("SELECT {} FROM ({sql}\n) AS question LIMIT {}", shown.join(", "), MOST_ROWS + 1);
    let found = client.query(&whole, &cells::parameters(values)).await.map_err(|e| wrong(&e))?;
    let rows = found.iter().map(|row| {
        let values = columns.iter().enumerate().map(|(n, column)| column.value(row, n));
        values.collect::<Result<Vec<Value>, _>>()
    });
    let rows = not_too_many(rows.collect::<Result<Vec<_>, _>>()?)?;
    Ok(Answer { columns: names.into_iter().zip(columns.iter().map(|c| c.kind)).collect(), rows })
}

#[cfg(test)]
mod tests;
