//! The server: its socket, its connections, its end.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::counters::{Counters, Recorded, Tally};
use crate::exchange::{self, Shared};
use crate::replies::Replies;
use crate::{Plan, draw};

/// How long answers on their way may take when the server stops.
const GRACE: Duration = Duration::from_secs(1);

/// A server that runs until it is dropped or [`shutdown`](Self::shutdown).
pub struct MockServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl MockServer {
    /// Starts a server at a free port of 127.0.0.1, on the runtime of the caller.
    pub async fn start(plan: Plan) -> Result<Self, StartError> {
        Self::start_at(plan, 0).await
    }

    /// Starts a server at the given port of 127.0.0.1, a free one for 0.
    pub async fn start_at(plan: Plan, port: u16) -> Result<Self, StartError> {
        draw::check(&plan)?;
        let replies = Replies::new(&plan)?;
        let bound = |source| StartError::Bind { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(bound)?;
        let address = listener.local_addr().map_err(bound)?;
        let shared = Arc::new(Shared { plan, replies, tally: Tally::default() });
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept(listener, shared.clone(), stopped));
        Ok(Self { address, shared, stop, accepting })
    }

    /// The address for a model's `base_url`: `http://127.0.0.1:PORT/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What it saw since its start or its last reset.
    pub fn counters(&self) -> Counters {
        self.shared.tally.counters()
    }

    /// The requests in order of arrival, where the plan says `record`.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.shared.tally.recorded()
    }

    /// Forgets what it saw, and begins the plan's script anew.
    pub fn reset(&self) {
        self.shared.tally.reset();
    }

    /// Stops taking requests, lets those under way end for a second, and returns.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        // It fails only where the task panicked or its runtime is gone: then nothing is left to stop.
        let _ended = (&mut self.accepting).await;
    }
}

impl Drop for MockServer {
    fn drop(&mut self) {
        // The connections are children of this task and end with it.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, shared.clone(), stopped.clone()));
                }
                // Out of file handles: some connection has to end first.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
            _ = stopped.changed() => break,
        }
    }
    drop(listener);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all_ended).await.is_err() {
        connections.shutdown().await;
    }
}

/// Serves one connection. How it ends is the client's business, or the plan's.
async fn serve(stream: TcpStream, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = service_fn(move |request| exchange::answer(shared.clone(), request));
    let mut connection = std::pin::pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            let _ended = connection.await;
        }
    }
}

/// Why a server cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The port is taken, or there are no more sockets.
    #[error("cannot listen at 127.0.0.1:{port}: {source}")]
    Bind {
        /// The port that was asked for.
        port: u16,
        /// What the system says.
        source: std::io::Error,
    },
    /// A rule's `when` is no regular expression.
    #[error("a rule's `when` is no regular expression: {0}")]
    Rule(Box<regex::Error>),
    /// Shares that are negative, or more than 1 together.
    #[error("the shares of `{of}` must be from 0 to 1, each and together")]
    Shares {
        /// The part of the plan.
        of: &'static str,
    },
    /// A latency that is negative or no number.
    #[error("the numbers of `latency` must be at least 0")]
    Latency,
}
