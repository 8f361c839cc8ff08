//! Connections to a server: made when they are needed, used by one statement at a time, given back when all went well.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Schema, StoreError, Url};

/// Connections at once.
const MOST: usize = 8;
/// A server that is there answers sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const UNDO: &str = "ROLLBACK TO SAVEPOINT preview";
/// How much longer than the server itself the client waits for a statement's end.
const GRACE: Duration = Duration::from_secs(5);

pub(super) struct Pool {
    config: Config,
    /// The server's name, for messages.
    host: String,
    schema: Arc<Schema>,
    create_tables: bool,
    timeout: Duration,
    preview: bool,
    idle: Arc<Mutex<Vec<Client>>>,
    permits: Arc<Semaphore>,
    /// Whether the table of marks is there, as far as a connection has seen.
    marks: AtomicBool,
}

/// A connection on loan.
pub(super) struct Session {
    client: Option<Client>,
    idle: Arc<Mutex<Vec<Client>>>,
    timeout: Duration,
    preview: bool,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(
        url: &Url,
        schema: Arc<Schema>,
        create_tables: bool,
        timeout: Duration,
        preview: bool,
    ) -> Result<Self, StoreError> {
        let refused = |why: &str| {
            // The address may hold a password, and so may what its parser says of it.
            StoreError::new("store.url", format!("the `url` of the datastore `{}` {why}", schema.store)).help(
                "write it as in postgres://USER:PASSWORD@HOST/DATABASE, from the environment: `${DATABASE_URL}`",
            )
        };
        let mut config: Config =
            url.expose().parse().map_err(|_| refused("is no address of a Postgres server"))?;
        let Some(host) = config.get_hosts().first().cloned() else { return Err(refused("names no host")) };
        let is_local = match &host {
            Host::Tcp(name) => ["localhost", "127.0.0.1", "::1"].contains(&name.as_str()),
            #[cfg(unix)]
            Host::Unix(_) => true,
        };
        if !is_local && !url.expose().contains("sslmode") {
            config.ssl_mode(SslMode::Require);
        }
        config.connect_timeout(CONNECT_TIMEOUT).application_name("flowrun");
        let host = match host {
            Host::Tcp(name) => name,
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        };
        // In a preview all happens in one transaction, so there is one connection.
        let permits = Arc::new(Semaphore::new(if preview { 1 } else { MOST }));
        Ok(Self {
            config,
            host,
            schema,
            create_tables,
            timeout,
            preview,
            idle: Arc::default(),
            permits,
            marks: AtomicBool::new(false),
        })
    }

    /// A connection that nobody else uses meanwhile.
    pub(super) async fn session(&self) -> Result<Session, StoreError> {
        let closed = |_| StoreError::new("store.failed", "the store is closed");
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(closed)?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().filter(|c| !c.is_closed());
        let client = match idle {
            Some(client) => client,
            None => self.connect().await?,
        };
        let (idle, timeout, preview) = (Arc::clone(&self.idle), self.timeout, self.preview);
        Ok(Session { client: Some(client), idle, timeout, preview, _permit: permit })
    }

    /// Whether changes can be marked as made; known once there was a connection.
    pub(super) fn has_marks(&self) -> bool {
        self.marks.load(Ordering::Relaxed)
    }

    async fn connect(&self) -> Result<Client, StoreError> {
        let no = |error: &tokio_postgres::Error| {
            let error = wrong(error);
            let message = format!("there is no connection to {}: {}", self.host, error.message);
            StoreError { code: "store.open", message, help: error.help }
        };
        let client = if self.config.get_ssl_mode() == SslMode::Disable {
            let (client, connection) = self.config.connect(NoTls).await.map_err(|e| no(&e))?;
            drive(connection);
            client
        } else {
            let tls = tls()?;
            let (client, connection) = self.config.connect(tls).await.map_err(|e| no(&e))?;
            drive(connection);
            client
        };
        let milliseconds = self.timeout.as_millis();
        let settings = format!(
            "SET statement_timeout = {milliseconds}; SET lock_timeout = {milliseconds}; SET TimeZone = 'UTC'; \
             SET DateStyle = 'ISO, YMD'; SET extra_float_digits = 1; SET client_encoding = 'UTF8'"
        );
        client.batch_execute(&settings).await.map_err(|e| no(&e))?;
        if self.preview {
            client.batch_execute("BEGIN").await.map_err(|e| no(&e))?;
        }
        super::make_tables(&client, &self.schema, self.create_tables).await?;
        if !self.preview {
            self.marks.store(super::marks::prepare(&client, self.create_tables).await?, Ordering::Relaxed);
        }
        Ok(client)
    }
}

/// TLS with the machine's certificates. The provider is named, so that it does not matter what else a program links.
fn tls() -> Result<MakeRustlsConnect, StoreError> {
    let mut roots = rustls::RootCertStore::empty();
    // Where some cannot be read, a server that needs them is refused, and the message says so.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| StoreError::new("store.open", format!("TLS cannot be prepared: {e}")))?;
    Ok(MakeRustlsConnect::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// A connection has to be driven; it ends when its client is dropped.
fn drive<S, T>(connection: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %wrong(&error).message, "a connection to a datastore has ended");
        }
    });
}

impl Session {
    /// Does something in a transaction of its own. A connection whose transaction could not be ended is not used again.
    pub(super) async fn act<T>(
        &mut self,
        reads: bool,
        act: impl AsyncFnOnce(&Client) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Some(client) = self.client.take() else {
            return Err(StoreError::new("store.failed", "the connection was used twice"));
        };
        let acted = async {
            // A transaction within that of a whole preview is a savepoint; going back to it ends "read only" again.
            let (begin, end, undo) = match (self.preview, reads) {
                (false, false) => ("BEGIN", "COMMIT", "ROLLBACK"),
                (false, true) => ("BEGIN READ ONLY", "COMMIT", "ROLLBACK"),
                (true, false) => ("SAVEPOINT preview", "RELEASE SAVEPOINT preview", UNDO),
                (true, true) => ("SAVEPOINT preview; SET LOCAL transaction_read_only = on", UNDO, UNDO),
            };
            client.batch_execute(begin).await.map_err(|e| wrong(&e))?;
            let done = act(&client).await;
            let last = if done.is_ok() { end } else { undo };
            client
                .batch_execute(last)
                .await
                .map_err(|e| done.as_ref().err().cloned().unwrap_or_else(|| wrong(&e)))?;
            Ok(done)
        };
        let done = tokio::time::timeout(self.timeout + GRACE, acted).await.unwrap_or_else(|_| Err(too_long()))?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        done
    }
}

fn too_long() -> StoreError {
    StoreError::new("store.timeout", "a statement took longer than the store's `timeout`")
}

/// What the server or the way to it says. Never the address.
pub(super) fn wrong(error: &tokio_postgres::Error) -> StoreError {
    let Some(said) = error.as_db_error() else {
        let mut message = error.to_string();
        let mut next = std::error::Error::source(error);
        while let Some(cause) = next {
            message = format!("{message}: {cause}");
            next = cause.source();
        }
        return StoreError::new(if error.is_closed() { "store.open" } else { "store.failed" }, message);
    };
    let new = |code| StoreError::new(code, said.message());
    match said.code().code() {
        "57014" => too_long(),
        "55P03" | "40001" | "40P01" => new("store.busy").help("another program is writing to it; try again"),
        code if code.starts_with("25") => new("store.not_read_only")
            .help("a query only asks; `datastore_create`, `_update` and `_delete` change"),
        code if code.starts_with("28") => new("store.denied").help("check the user and the password in `url`"),
        "42501" => new("store.denied"),
        code if ["0A", "22", "23", "42"].iter().any(|class| code.starts_with(class)) => new("store.query"),
        code if code.starts_with("53") => new("store.busy"),
        _ => new("store.failed"),
    }
}
