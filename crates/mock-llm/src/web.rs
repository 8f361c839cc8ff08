//! A small web server for steps and tools that send requests of their own.
//!
//! | path | answer |
//! |---|---|
//! | `/echo…` | 200, and the request as JSON: `method`, `path`, `query`, `headers`, `body` |
//! | `/status/N` | status N, with the request in the body; `Retry-After: 0` for 429 and 503 |
//! | `/flaky/N/NAME` | 503 for the first N requests to it, then as `/echo` |
//! | `/slow/MS` | as `/echo`, after so many milliseconds |
//! | `/bytes/N` | N times `x`, with its length |
//! | `/chunks/N` | N times 1024 times `x`, without its length |
//! | `/body` | the body of the request as it came |
//! | `/text?TEXT` | the query as plain text |
//! | `/redirect/N?URL` | status N, to that address |
//! | `/close` | the connection ends without an answer |

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

type Reply = Response<BoxBody<Bytes, Infallible>>;

/// A web server that runs until it is dropped.
pub struct WebServer {
    address: SocketAddr,
    seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Value>>,
    flaky: Mutex<HashMap<String, u32>>,
}

/// The connection is to end without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the plan says so")]
struct Close;

impl WebServer {
    /// Starts a server at a free port of 127.0.0.1, on the runtime of the caller.
    ///
    /// # Errors
    /// When there are no more sockets.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&seen)));
        Ok(Self { address, seen, accepting })
    }

    /// Its address and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests in order of arrival, each as `/echo` answers it.
    pub fn requests(&self) -> Vec<Value> {
        self.seen.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        // The connections are children of this task and end with it.
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, seen: Arc<Seen>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let seen = Arc::clone(&seen);
                    let service = service_fn(move |request| answer(Arc::clone(&seen), request));
                    connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                }
                // Out of file handles: some connection has to end first.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(seen: Arc<Seen>, request: Request<Incoming>) -> Result<Reply, Close> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Close)?.to_bytes();
    let headers: serde_json::Map<String, Value> = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let query = head.uri.query().unwrap_or_default();
    let echo = json!({
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": query,
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    seen.requests.lock().unwrap_or_else(PoisonError::into_inner).push(echo.clone());
    let path = head.uri.path();
    let mut words = path.trim_start_matches('/').split('/');
    let kind = words.next().unwrap_or_default();
    let number: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    match kind {
        "status" => Ok(json_reply(status(number), &echo)),
        "flaky" => Ok(json_reply(flaky(&seen, path, number), &echo)),
        "slow" => {
            tokio::time::sleep(Duration::from_millis(number as u64)).await;
            Ok(json_reply(StatusCode::OK, &echo))
        }
        "bytes" => Ok(plain(StatusCode::OK, "x".repeat(number))),
        "chunks" => Ok(chunks(number)),
        "body" => Ok(plain(StatusCode::OK, body)),
        "text" => Ok(plain(StatusCode::OK, query.to_owned())),
        "redirect" => Ok(redirect(status(number), query)),
        "close" => Err(Close),
        _ => Ok(json_reply(StatusCode::OK, &echo)),
    }
}

fn status(number: usize) -> StatusCode {
    u16::try_from(number).ok().and_then(|n| StatusCode::from_u16(n).ok()).unwrap_or(StatusCode::BAD_REQUEST)
}

fn flaky(seen: &Seen, path: &str, failures: usize) -> StatusCode {
    let mut flaky = seen.flaky.lock().unwrap_or_else(PoisonError::into_inner);
    let count = flaky.entry(path.to_owned()).or_default();
    *count += 1;
    if (*count as usize) <= failures { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(text.into()).boxed());
    *reply.status_mut() = status;
    reply
}

fn json_reply(status: StatusCode, body: &Value) -> Reply {
    let mut reply = plain(status, body.to_string());
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    if matches!(status.as_u16(), 429 | 503) {
        headers.insert(RETRY_AFTER, hyper::header::HeaderValue::from_static("0"));
    }
    reply
}

fn chunks(number: usize) -> Reply {
    let chunk = || Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; 1024])));
    let body = StreamBody::new(futures::stream::repeat_with(chunk).take(number));
    Response::new(BodyExt::boxed(body))
}

fn redirect(status: StatusCode, to: &str) -> Reply {
    let mut reply = plain(status, "");
    if let Ok(to) = hyper::header::HeaderValue::from_str(to) {
        reply.headers_mut().insert(LOCATION, to);
    }
    reply
}
