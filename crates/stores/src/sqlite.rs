//! The sqlite store: a file with a table for each collection, in the order in which rows were put in.

mod cells;
mod marks;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flowrun_core::value::Value;
use futures::FutureExt;
use futures::future::BoxFuture;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::Value as Cell;
use rusqlite::{Connection, ErrorCode, OpenFlags, Statement, TransactionBehavior, params_from_iter};

use crate::error::DISK_FULL;
use crate::query::Kind;
use crate::sql::{listed, quoted};
use crate::store::{MOST_ROWS, not_too_many};
use crate::{Answer, Change, Changed, Collection, Filter, Once, Query, Row, Schema, Store, StoreError};

/// Longest text that a cell may hold, in bytes.
const LONGEST_CELL: i32 = 64 * 1024 * 1024;
/// How many instructions of a statement run between two looks at the clock.
const PATIENCE: i32 = 10_000;
/// Largest file that a preview copies into memory.
const LARGEST_PREVIEW: u64 = 256 * 1024 * 1024;

/// A datastore in a file. The file is opened, and made, when it is first used.
pub struct Sqlite(Arc<Shared>);

struct Shared {
    path: PathBuf,
    /// The path as people know it.
    shown: String,
    schema: Arc<Schema>,
    timeout: Duration,
    preview: bool,
    connection: Mutex<Option<Connection>>,
}

impl Sqlite {
    /// The store in a file; `shown` is its path in messages. In a preview nothing is written: it works on a copy.
    pub fn new(path: PathBuf, shown: String, schema: Arc<Schema>, timeout: Duration, preview: bool) -> Self {
        Self(Arc::new(Shared { path, shown, schema, timeout, preview, connection: Mutex::new(None) }))
    }

    /// Does something with the connection, on a thread that may wait.
    fn with<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let shared = Arc::clone(&self.0);
        async move {
            let done = tokio::task::spawn_blocking(move || shared.with(act)).await;
            done.unwrap_or_else(|e| Err(StoreError::new("store.failed", format!("the store's thread broke: {e}"))))
        }
        .boxed()
    }
}

impl Shared {
    fn with<T>(&self, act: impl FnOnce(&mut Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match &mut *held {
            Some(connection) => connection,
            none => none.insert(self.open()?),
        };
        let deadline = Instant::now() + self.timeout;
        connection
            .progress_handler(PATIENCE, Some(move || Instant::now() > deadline))
            .map_err(|e| self.wrong(&e))?;
        let done = act(connection);
        connection.progress_handler(0, None::<fn() -> bool>).map_err(|e| self.wrong(&e))?;
        done.map_err(|error| StoreError { message: format!("{}: {}", self.shown, error.message), ..error })
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let wrong = |error: StoreError| StoreError {
            message: format!("{} cannot be used: {}", self.shown, error.message),
            ..error
        };
        let mut connection = if self.preview { self.copy() } else { self.file() }.map_err(wrong)?;
        harden(&connection, self.timeout).map_err(|e| self.wrong(&e))?;
        make_tables(&mut connection, &self.schema).map_err(wrong)?;
        Ok(connection)
    }

    fn file(&self) -> Result<Connection, StoreError> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|e| StoreError::new("store.open", format!("its folder cannot be made: {e}")))?;
        }
        let flags =
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(Connection::open_with_flags(&self.path, flags)?)
    }

    /// What is in the file, in memory.
    fn copy(&self) -> Result<Connection, StoreError> {
        let mut copy = Connection::open_in_memory()?;
        let Ok(about) = self.path.metadata() else { return Ok(copy) };
        if about.len() > LARGEST_PREVIEW {
            let message = format!("a preview works on a copy in memory, and it has {} bytes", about.len());
            return Err(StoreError::new("store.open", message));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let file = Connection::open_with_flags(&self.path, flags)?;
        file.busy_timeout(self.timeout)?;
        rusqlite::backup::Backup::new(&file, &mut copy)?.run_to_completion(1000, Duration::ZERO, None)?;
        Ok(copy)
    }

    fn wrong(&self, error: &rusqlite::Error) -> StoreError {
        let error = of(error);
        StoreError { message: format!("{}: {}", self.shown, error.message), ..error }
    }
}

/// What a file of strangers may not do: run what stands in its schema, or reach another file.
fn harden(connection: &Connection, timeout: Duration) -> rusqlite::Result<()> {
    connection.busy_timeout(timeout)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_CELL)?;
    Ok(())
}

/// Makes the tables that are missing, and looks at those that are there.
fn make_tables(connection: &mut Connection, schema: &Schema) -> Result<(), StoreError> {
    let tables = connection.transaction()?;
    for collection in schema.collections() {
        let columns: Vec<_> = collection.columns.iter().map(cells::declared).collect();
        let (table, columns) = (quoted(&collection.name), columns.join(", "));
        tables.execute_batch(&format!("CREATE TABLE IF NOT EXISTS {table} ({columns}) STRICT"))?;
        let mut found = tables.prepare("SELECT name FROM pragma_table_info(?1)")?;
        let found: Vec<String> =
            found.query_map([&collection.name], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        if let Some(column) = collection.column_names().find(|name| !found.iter().any(|f| f == name)) {
            let message = format!("its table `{}` has no column `{column}`", collection.name);
            let help =
                "it was made by another flow or program: name another file or collection, or its own columns";
            return Err(StoreError::new("store.schema", message).help(help));
        }
        if tables.prepare(&format!("SELECT rowid FROM {table}")).is_err() {
            let message = format!("its table `{}` was made without row numbers", collection.name);
            return Err(StoreError::new("store.schema", message).help("make it again, without `WITHOUT ROWID`"));
        }
    }
    Ok(tables.commit()?)
}

fn of(error: &rusqlite::Error) -> StoreError {
    let message = match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    };
    let new = |code| StoreError::new(code, message.clone());
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => {
            StoreError::new("store.timeout", "a statement took longer than the store's `timeout`")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            new("store.busy").help("another program is writing to it; try again")
        }
        Some(
            ErrorCode::CannotOpen | ErrorCode::NotADatabase | ErrorCode::PermissionDenied | ErrorCode::ReadOnly,
        ) => new("store.open"),
        Some(ErrorCode::DiskFull) => new(DISK_FULL),
        Some(ErrorCode::AuthorizationForStatementDenied) => not_read_only(),
        // Functions are refused under a code of their own.
        _ if message.starts_with("not authorized") => not_read_only(),
        _ if matches!(error, rusqlite::Error::MultipleStatement) => {
            StoreError::new("store.query", "more than one statement; ask one question at a time")
        }
        _ if matches!(error, rusqlite::Error::SqlInputError { .. }) => new("store.query"),
        _ => new("store.failed"),
    }
}

fn not_read_only() -> StoreError {
    StoreError::new("store.not_read_only", "the statement does more than read the store's collections")
        .help("a query only asks; `datastore_create`, `_update` and `_delete` change")
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        of(&error)
    }
}

/// ` WHERE …` with a variable for each value, from `?first` on.
fn condition(collection: &Collection, filter: &Filter, first: usize) -> String {
    let terms = filter.0.iter().enumerate().map(|(n, (place, _))| {
        // `IS` finds nulls too.
        format!("{} IS ?{}", quoted(&collection.columns[*place].name), n + first)
    });
    let terms: Vec<_> = terms.collect();
    if terms.is_empty() { String::new() } else { format!(" WHERE {}", terms.join(" AND ")) }
}

fn bound(collection: &Collection, values: &[(usize, Value)]) -> Result<Vec<Cell>, StoreError> {
    values.iter().map(|(place, value)| cells::to_cell(value, &collection.columns[*place])).collect()
}

fn select(
    connection: &Connection,
    collection: &Collection,
    filter: &Filter,
    limit: Option<u32>,
) -> Result<Vec<Row>, StoreError> {
    let (columns, table) = (listed(collection.column_names()), quoted(&collection.name));
    let found = condition(collection, filter, 1);
    let most = limit.map_or(MOST_ROWS + 1, |n| (MOST_ROWS + 1).min(usize::try_from(n).unwrap_or(usize::MAX)));
    let sql = format!("SELECT {columns} FROM {table}{found} ORDER BY rowid LIMIT {most}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query(params_from_iter(bound(collection, &filter.0)?))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let cell = |(n, column)| cells::from_cell(row.get_ref(n)?, column);
        let values: Vec<Value> = collection.columns.iter().enumerate().map(cell).collect::<Result<_, _>>()?;
        rows.push(collection.read(values)?);
    }
    not_too_many(rows)
}

/// Reads nothing but tables, and calls no function that reaches outside.
fn only_reads(context: AuthContext<'_>) -> Authorization {
    let fine = match context.action {
        AuthAction::Select | AuthAction::Recursive => true,
        AuthAction::Read { table_name, .. } => {
            let name = table_name.to_ascii_lowercase();
            !name.starts_with("sqlite_") && !name.starts_with("pragma_")
        }
        AuthAction::Function { function_name } => {
            !["load_extension", "fts3_tokenizer"].iter().any(|f| f.eq_ignore_ascii_case(function_name))
        }
        _ => false,
    };
    if fine { Authorization::Allow } else { Authorization::Deny }
}

/// The names of the columns, each of which must be there once.
fn columns_of(statement: &Statement<'_>) -> Result<Vec<(String, Kind)>, StoreError> {
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    if names.is_empty() {
        return Err(StoreError::new("store.query", "the statement gives no rows"));
    }
    crate::query::distinct(&names)?;
    Ok(names.into_iter().map(|name| (name, Kind::Plain)).collect())
}

/// Prepares a question where it can do nothing but read.
fn prepared<T>(
    connection: &mut Connection,
    sql: &str,
    act: impl FnOnce(Statement<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.authorizer(Some(only_reads))?;
    let done = match connection.prepare(sql) {
        Ok(statement) if statement.readonly() => act(statement),
        Ok(_) => Err(not_read_only()),
        Err(error) => Err(of(&error)),
    };
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>)?;
    done
}

/// Whether a question could be asked of a store with this schema.
///
/// # Errors
/// What SQLite says against it.
pub(crate) fn check(query: &Query, schema: &Schema) -> Result<(), String> {
    let check = || {
        let mut connection = Connection::open_in_memory()?;
        make_tables(&mut connection, schema)?;
        prepared(&mut connection, &query.sql, |statement| columns_of(&statement).map(drop))
    };
    check().map_err(|error: StoreError| error.message)
}

/// Makes a change within a transaction.
fn change_in(within: &Connection, collection: &Collection, change: &Change) -> Result<Changed, StoreError> {
    let table = quoted(&collection.name);
    match change {
        Change::Create(row) => {
            let numbers: Vec<_> = (1..=row.len()).map(|n| format!("?{n}")).collect();
            let columns = listed(collection.column_names());
            let sql = format!("INSERT INTO {table} ({columns}) VALUES ({})", numbers.join(", "));
            let cells = row.iter().zip(&collection.columns).map(|(value, column)| cells::to_cell(value, column));
            let cells: Vec<Cell> = cells.collect::<Result<_, _>>()?;
            within.prepare_cached(&sql)?.execute(params_from_iter(cells))?;
            Ok(Changed::default())
        }
        Change::Update(filter, update) => {
            let before = select(within, collection, filter, None)?;
            let set = update.0.iter().enumerate();
            let set =
                set.map(|(n, (place, _))| format!("{} = ?{}", quoted(&collection.columns[*place].name), n + 1));
            let set = set.collect::<Vec<_>>().join(", ");
            let found = condition(collection, filter, update.0.len() + 1);
            let mut values = bound(collection, &update.0)?;
            values.extend(bound(collection, &filter.0)?);
            let sql = format!("UPDATE {table} SET {set}{found}");
            within.prepare_cached(&sql)?.execute(params_from_iter(values))?;
            Ok(Changed { rows: before.iter().map(|row| update.of(row).to_vec()).collect(), removed: 0 })
        }
        Change::Delete(filter) => {
            let sql = format!("DELETE FROM {table}{}", condition(collection, filter, 1));
            let gone = within.prepare_cached(&sql)?.execute(params_from_iter(bound(collection, &filter.0)?))?;
            Ok(Changed { rows: Vec::new(), removed: gone as u64 })
        }
    }
}

impl Store for Sqlite {
    fn change<'a>(
        &'a self,
        collection: &'a Arc<Collection>,
        change: &'a Change,
        once: Option<&'a Once>,
    ) -> BoxFuture<'a, Result<Changed, StoreError>> {
        let (collection, change, once) = (Arc::clone(collection), change.clone(), once.cloned());
        self.with(move |connection| {
            let within = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            if let Some(once) = &once
                && let Some(made) = marks::made(&within, once)?
            {
                return Ok(made);
            }
            let changed = change_in(&within, &collection, &change)?;
            if let Some(once) = &once {
                marks::mark(&within, once, &changed)?;
            }
            within.commit()?;
            Ok(changed)
        })
    }

    fn forget<'a>(&'a self, run: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        // A file that no step used has none.
        if self.0.connection.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            return futures::future::ready(Ok(())).boxed();
        }
        let run = run.to_owned();
        self.with(move |connection| marks::forget(connection, &run))
    }

    fn list<'a>(
        &'a self,
        collection: &'a Arc<Collection>,
        filter: &'a Filter,
        limit: Option<u32>,
    ) -> BoxFuture<'a, Result<Vec<Row>, StoreError>> {
        let (collection, filter) = (Arc::clone(collection), filter.clone());
        self.with(move |connection| select(connection, &collection, &filter, limit))
    }

    fn query<'a>(
        &'a self,
        query: &'a Query,
        values: &'a [(String, Value)],
    ) -> BoxFuture<'a, Result<Answer, StoreError>> {
        let cells = query
            .in_order(values)
            .and_then(|values| values.into_iter().map(cells::of_value).collect::<Result<Vec<Cell>, _>>());
        let cells = match cells {
            Ok(cells) => cells,
            Err(error) => return futures::future::ready(Err(error)).boxed(),
        };
        let sql = query.sql.clone();
        self.with(move |connection| {
            prepared(connection, &sql, |mut statement| {
                let columns = columns_of(&statement)?;
                let mut found = statement.query(params_from_iter(cells))?;
                let mut rows = Vec::new();
                while let Some(row) = found.next()? {
                    let cell = |(n, (name, _)): (usize, &(String, Kind))| cells::plain(row.get_ref(n)?, name);
                    rows.push(columns.iter().enumerate().map(cell).collect::<Result<_, StoreError>>()?);
                    if rows.len() > MOST_ROWS {
                        break;
                    }
                }
                Ok(Answer { columns: columns.clone(), rows: not_too_many(rows)? })
            })
        })
    }
}

#[cfg(test)]
mod tests;
