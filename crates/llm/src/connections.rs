//! The connections to one server, and an exchange on one of them.
//!
//! Each call drives its connection itself, in its own task. The usual arrangement, a task for each connection that
//! calls talk to through channels, wakes three tasks for one exchange, and a client that does everything has layers for
//! what nobody asks of it here. Both together were a quarter of the CPU time of a run with thousands of calls a second.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures::task::AtomicWaker;
use http::header::{ACCEPT, HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, Uri, response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::client::proxy::matcher::Intercept;
use reqwest::{Body, Url};
use tokio::time::{Instant as Deadline, Sleep, sleep_until};

use crate::connect::{self, AnyError, Connector, Stream};

/// Servers and routers forget connections that nobody uses for longer.
const IDLE_FOR: Duration = Duration::from_secs(90);

/// The connections to one server. Any number of calls use them at once, each its own.
pub(crate) struct Connections {
    connector: Arc<Connector>,
    /// Scheme and authority.
    server: Uri,
    host: HeaderValue,
    /// The proxy that requests go to, where one passes them on.
    forwarder: Option<Intercept>,
    /// Those that nobody uses at the moment, the one that was used last at the end.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

/// What came back.
pub(crate) struct Received {
    pub(crate) head: response::Parts,
    pub(crate) body: Bytes,
    pub(crate) end: End,
}

/// How a body ended.
pub(crate) enum End {
    /// All of it was read.
    Whole,
    /// It is longer than it may be.
    TooLong,
    /// The connection broke.
    Broken(AnyError),
}

/// Why nothing came back.
pub(crate) enum Failed {
    /// It took longer than it may.
    OutOfTime,
    /// There is no connection.
    ToConnect(AnyError),
    /// It broke.
    ToExchange(AnyError),
}

impl Connections {
    pub(crate) fn new(connector: Arc<Connector>, url: &Url) -> Result<Self, http::Error> {
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let server = Uri::builder().scheme(url.scheme()).authority(host.as_str()).path_and_query("/").build()?;
        let forwarder = connector.forwarder(&server);
        let host = HeaderValue::from_str(&host)?;
        Ok(Self { connector, server, host, forwarder, idle: Mutex::default() })
    }

    /// Sends a message to this server and reads the reply, within this time: of a good one at most so many bytes, of another
    /// one so many.
    pub(crate) async fn exchange(
        &self,
        request: Request<Body>,
        most: (usize, usize),
        time: Duration,
    ) -> Result<Received, Failed> {
        let until = Deadline::now() + time;
        let mut connection = match self.take() {
            Some(connection) => connection,
            None => match tokio::time::timeout_at(until, self.open(until)).await {
                Ok(opened) => opened.map_err(Failed::ToConnect)?,
                Err(_) => return Err(Failed::OutOfTime),
            },
        };
        let received = connection.exchange(request, most, until).await?;
        if connection.sender.is_ready() || connection.is_open() {
            self.put_back(connection);
        }
        Ok(received)
    }

    /// A request as it goes to this server, whichever its address names, with `base` before its path.
    pub(crate) fn message(&self, base: &str, mut request: reqwest::Request) -> Result<Request<Body>, http::Error> {
        let url = request.url();
        let mut path = [base, url.path()].concat();
        if let Some(query) = url.query() {
            path.push('?');
            path.push_str(query);
        }
        let mut uri = http::uri::Parts::default();
        uri.path_and_query = Some(PathAndQuery::try_from(path)?);
        let headers = request.headers_mut();
        headers.reserve(4);
        headers.insert(HOST, self.host.clone());
        headers.insert(USER_AGENT, connect::USER_AGENT);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(proxy) = &self.forwarder {
            uri.scheme = self.server.scheme().cloned();
            uri.authority = self.server.authority().cloned();
            if let Some(auth) = proxy.basic_auth() {
                headers.insert(PROXY_AUTHORIZATION, auth.clone());
            }
        }
        let headers = std::mem::take(headers);
        let mut message = Request::new(request.body_mut().take().unwrap_or_default());
        *message.method_mut() = request.method().clone();
        *message.uri_mut() = Uri::from_parts(uri)?;
        *message.headers_mut() = headers;
        Ok(message)
    }

    /// One that is still open.
    fn take(&self) -> Option<Box<Connection>> {
        loop {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if idle.since.elapsed() < IDLE_FOR && idle.connection.is_open() {
                return Some(idle.connection);
            }
        }
    }

    fn put_back(&self, connection: Box<Connection>) {
        let since = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The first one has been there for the longest time.
        let old = idle.first().is_some_and(|first| since.duration_since(first.since) >= IDLE_FOR);
        let forgotten = old.then(|| {
            let kept = idle.iter().position(|one| since.duration_since(one.since) < IDLE_FOR);
            let kept = kept.unwrap_or(idle.len());
            idle.drain(..kept).collect::<Vec<_>>()
        });
        idle.push(Idle { connection, since });
        drop(idle);
        // Closed when nobody waits for the lock any more.
        drop(forgotten);
    }

    async fn open(&self, until: Deadline) -> Result<Box<Connection>, AnyError> {
        let stream = self.connector.connect(&self.server).await?;
        let (sender, driver) = http1::Builder::new().handshake(stream).await?;
        let relay = Arc::new(Relay::default());
        let (waker, alarm) = (Waker::from(Arc::clone(&relay)), Box::pin(sleep_until(until)));
        Ok(Box::new(Connection { sender, driver, relay, waker, alarm }))
    }
}

/// One connection, on which one exchange follows another.
struct Connection {
    sender: http1::SendRequest<Body>,
    driver: http1::Connection<Box<dyn Stream>, Body>,
    relay: Arc<Relay>,
    /// Wakes the relay.
    waker: Waker,
    /// Goes off when the exchange takes too long. It is put off from one exchange to the next, for which the runtime needs no
    /// lock unless it has gone off meanwhile or is to go off earlier; a timer for each exchange is put into the list of all
    /// timers and taken out again under their lock.
    alarm: Pin<Box<Sleep>>,
}

impl Connection {
    /// Whether another exchange may begin; notices what the server has done since the last one.
    fn is_open(&mut self) -> bool {
        let driven = Pin::new(&mut self.driver).poll(&mut Context::from_waker(Waker::noop()));
        driven.is_pending() && self.sender.is_ready()
    }

    async fn exchange(
        &mut self,
        request: Request<Body>,
        most: (usize, usize),
        until: Deadline,
    ) -> Result<Received, Failed> {
        let Self { sender, driver, relay, waker, alarm } = self;
        alarm.as_mut().reset(until);
        let mut receiving = pin!(receive(sender.send_request(request), most));
        let mut step = |cx: &mut Context<'_>| {
            let driven = Pin::new(&mut *driver).poll(cx);
            match (receiving.as_mut().poll(cx), driven) {
                (Poll::Ready(received), _) => Poll::Ready(received.map_err(Failed::ToExchange)),
                (Poll::Pending, Poll::Pending) => alarm.as_mut().poll(cx).map(|()| Err(Failed::OutOfTime)),
                (Poll::Pending, Poll::Ready(Err(error))) => Poll::Ready(Err(Failed::ToExchange(error.into()))),
                (Poll::Pending, Poll::Ready(Ok(()))) => {
                    let why = "it was closed before the reply was complete";
                    Poll::Ready(Err(Failed::ToExchange(why.into())))
                }
            }
        };
        poll_fn(|cx| relay.poll(waker, cx, &mut step)).await
    }
}

/// Reads a reply, while somebody else drives the connection.
async fn receive(
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
    (most, most_of_failure): (usize, usize),
) -> Result<Received, AnyError> {
    let (head, mut body) = answer.await?.into_parts();
    let most = if head.status.is_success() { most } else { most_of_failure };
    let mut whole = Pieces::default();
    let end = loop {
        match body.frame().await {
            None => break End::Whole,
            Some(Err(error)) => break End::Broken(error.into()),
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data()
                    && !whole.add(piece, most)
                {
                    break End::TooLong;
                }
            }
        }
    };
    Ok(Received { head, body: whole.finish(), end })
}

/// A body as it comes. Most come in one piece, which is not copied then.
#[derive(Default)]
enum Pieces {
    #[default]
    None,
    One(Bytes),
    Several(BytesMut),
}

impl Pieces {
    /// Adds a piece, or as much of it as there is room for; says whether there was room for all of it.
    fn add(&mut self, mut piece: Bytes, most: usize) -> bool {
        let held = match self {
            Self::None => 0,
            Self::One(one) => one.len(),
            Self::Several(all) => all.len(),
        };
        let fits = piece.len() <= most - held;
        piece.truncate(most - held);
        *self = match std::mem::take(self) {
            Self::None => Self::One(piece),
            Self::One(one) => {
                let mut all = BytesMut::from(one);
                all.extend_from_slice(&piece);
                Self::Several(all)
            }
            Self::Several(mut all) => {
                all.extend_from_slice(&piece);
                Self::Several(all)
            }
        };
        fits
    }

    fn finish(self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::One(one) => one,
            Self::Several(all) => all.freeze(),
        }
    }
}

/// Passes on to the task what wakes it from outside, and keeps back what the two sides of an exchange, which are driven
/// by turns, tell each other.
#[derive(Default)]
struct Relay {
    task: AtomicWaker,
    /// Whether the sides are being driven just now.
    driving: AtomicBool,
    /// Whether something woke them since their turn began.
    again: AtomicBool,
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.again.store(true, SeqCst);
        if !self.driving.load(SeqCst) {
            self.task.wake();
        }
    }
}

impl Relay {
    /// Turns after which other tasks have theirs.
    const MOST_TURNS: usize = 64;

    fn poll<T>(
        &self,
        waker: &Waker,
        cx: &mut Context<'_>,
        turn: &mut impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.task.register(cx.waker());
        for _ in 0..Self::MOST_TURNS {
            self.driving.store(true, SeqCst);
            self.again.store(false, SeqCst);
            let done = turn(&mut Context::from_waker(waker));
            self.driving.store(false, SeqCst);
            // Who woke it before that left it to us, who wakes it from now on wakes the task.
            if done.is_ready() || !self.again.load(SeqCst) {
                return done;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
