//! One HTTP exchange, under the client library.
//!
//! The library's own executor tries again by itself, and its errors keep neither the headers nor the body of
//! a reply. This service makes one try and turns what went wrong into a [`ModelError`] with all of it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use bytes::Bytes;
use http::{HeaderName, Request, request};
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::{AUTHORIZATION, HeaderValue, InvalidHeaderValue};
use reqwest::{Body, Response, ResponseBuilderExt, Url};
use thiserror::Error;
use tower::Service;

use crate::connect::{AnyError, Connector};
use crate::connections::{Connections, End, Failed, Received};
use crate::secret::redact;
use crate::{ModelError, ModelErrorKind, Secret, retry};

/// Most bytes of a reply that are read. The longest texts of models are far below.
const LARGEST_REPLY: usize = 16 * 1024 * 1024;
/// Most bytes of a failure's body that are read: enough to find the message in it.
const LARGEST_FAILURE: usize = 64 * 1024;

/// Names a call to the server, the same over all its tries.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");

/// The connections of a process. Make one and give it to every model, so that they share the pool.
///
/// A connection and its time limit belong to the runtime in which it was opened: a client is for one runtime.
///
/// Proxies come from the environment (`HTTPS_PROXY` and the like). Redirects are not followed, because they
/// would carry the key and the prompt to an address that nobody wrote down.
#[derive(Clone)]
pub struct HttpClient(Arc<Shared>);

struct Shared {
    /// Only makes requests, for the client library; it never sends one.
    requests: reqwest::Client,
    connector: Arc<Connector>,
    /// By scheme, host and port.
    servers: Mutex<HashMap<String, Arc<Connections>>>,
}

impl HttpClient {
    /// Makes a client without any connection yet.
    pub fn new() -> Result<Self, HttpClientError> {
        Self::with_proxies(Matcher::from_env())
    }

    pub(crate) fn with_proxies(proxies: Matcher) -> Result<Self, HttpClientError> {
        let connector = Connector::new(proxies).map_err(|error| HttpClientError(error.into()))?;
        // It would read the machine's certificates once more by itself.
        let requests = reqwest::Client::builder().tls_backend_preconfigured(connector.tls()).no_proxy().build();
        let requests = requests.map_err(|error| HttpClientError(error.into()))?;
        Ok(Self(Arc::new(Shared { requests, connector: Arc::new(connector), servers: Mutex::default() })))
    }

    pub(crate) fn requests(&self) -> &reqwest::Client {
        &self.0.requests
    }

    /// What a user name and password in an address become in a request.
    fn credentials(&self, url: &Url) -> Result<Option<HeaderValue>, Unusable> {
        let request = self.0.requests.get(url.clone()).build().map_err(|_| Unusable::Key)?;
        Ok(request.headers().get(AUTHORIZATION).cloned())
    }

    /// The connections to the server of an address, which all models at that server share.
    fn connections(&self, url: &Url) -> Result<Arc<Connections>, http::Error> {
        let mut servers = self.0.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = url.origin().ascii_serialization();
        if let Some(there) = servers.get(&origin) {
            return Ok(Arc::clone(there));
        }
        let new = Arc::new(Connections::new(Arc::clone(&self.0.connector), url)?);
        servers.insert(origin, Arc::clone(&new));
        Ok(new)
    }
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpClient").finish_non_exhaustive()
    }
}

/// The client could not be made, most often because the machine's certificates cannot be read.
#[derive(Debug, Error)]
#[error("cannot prepare the http client: check the machine's certificates")]
pub struct HttpClientError(#[source] AnyError);

/// Why a model cannot be asked at all.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// No header can hold the key.
    Key,
    /// No request can be sent to the address.
    Address(http::Error),
}

impl From<InvalidHeaderValue> for Unusable {
    fn from(_: InvalidHeaderValue) -> Self {
        Self::Key
    }
}

/// The service of one model: one call of it is one HTTP try. Cheap to clone, which the library does for each.
#[derive(Clone)]
pub(crate) struct OneTry {
    exchange: Arc<Exchange>,
    chat: Option<Chat>,
}

/// In what the requests of chats differ from each other. All else of them the library makes once for a model.
#[derive(Clone)]
pub(crate) struct Chat {
    pub(crate) body: Bytes,
    /// Goes as [`REQUEST_ID`].
    pub(crate) identity: HeaderValue,
}

struct Exchange {
    connections: Arc<Connections>,
    /// The path of the endpoint's address, which goes before that of a request.
    base: String,
    host: Arc<str>,
    key: Option<Secret>,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    /// The request of a chat, once one was made.
    chat: OnceLock<Outline>,
}

/// A request without its body.
#[derive(Clone)]
struct Outline {
    head: request::Parts,
    /// The address as the library sees it.
    url: Url,
}

impl OneTry {
    /// `host` is the endpoint's name in errors.
    pub(crate) fn new(
        http: &HttpClient,
        base_url: &Url,
        host: Arc<str>,
        key: Option<Secret>,
        timeout: Duration,
    ) -> Result<Self, Unusable> {
        let authorization = match &key {
            Some(key) => {
                let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))?;
                value.set_sensitive(true);
                Some(value)
            }
            None => http.credentials(base_url)?,
        };
        let connections = http.connections(base_url).map_err(Unusable::Address)?;
        // An address without a path is written with a slash at its end.
        let base = base_url.path().trim_end_matches('/').to_owned();
        let chat = OnceLock::new();
        let exchange = Arc::new(Exchange { connections, base, host, key, authorization, timeout, chat });
        Ok(Self { exchange, chat: None })
    }

    /// The same service, for one chat.
    pub(crate) fn sending(&self, chat: Chat) -> Self {
        Self { chat: Some(chat), exchange: Arc::clone(&self.exchange) }
    }
}

impl Exchange {
    async fn run(
        self: Arc<Self>,
        factory: HttpRequestFactory,
        chat: Option<Chat>,
    ) -> Result<Response, OpenAIError> {
        let (Outline { head, url }, body) = match chat {
            Some(chat) => {
                let mut outline = self.of_chats(&factory).await?;
                outline.head.headers.insert(REQUEST_ID, chat.identity);
                (outline, chat.body.into())
            }
            None => self.made(factory.build().await?)?,
        };
        let request = Request::from_parts(head, body);
        let received = self.connections.exchange(request, (LARGEST_REPLY, LARGEST_FAILURE), self.timeout).await;
        match received {
            Ok(received) => self.reply(received, url),
            Err(failed) => Err(self.failed(failed).into()),
        }
    }

    /// The request of a chat, which the library makes the first time.
    async fn of_chats(&self, factory: &HttpRequestFactory) -> Result<Outline, OpenAIError> {
        if let Some(outline) = self.chat.get() {
            return Ok(outline.clone());
        }
        let (mut outline, _) = self.made(factory.build().await?)?;
        // The place for it: each request copies the map with room for what is in it.
        outline.head.headers.insert(REQUEST_ID, HeaderValue::from_static(""));
        Ok(self.chat.get_or_init(|| outline).clone())
    }

    /// A request of the library, as it goes to the server.
    fn made(&self, mut request: reqwest::Request) -> Result<(Outline, Body), OpenAIError> {
        let url = request.url().clone();
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let message = self
            .connections
            .message(&self.base, request)
            .map_err(|error| OpenAIError::from(self.failed(Failed::ToExchange(error.into()))))?;
        let (head, body) = message.into_parts();
        Ok((Outline { head, url }, body))
    }

    fn reply(&self, Received { head, body, end }: Received, url: Url) -> Result<Response, OpenAIError> {
        if !head.status.is_success() {
            // The status matters more than its body: what cannot be read of that is left out.
            let mut body = redact(self.key.as_ref(), String::from_utf8_lossy(&body).into_owned());
            if matches!(end, End::Broken(_)) {
                body.push_str(" (the body broke off here)");
            }
            return Err(ModelError::of_status(&self.host, head.status, body, retry::asked(&head.headers)).into());
        }
        match end {
            // The library copies the headers of every reply, and throws the copy away: it gets none.
            End::Whole => {
                let response = http::Response::builder().status(head.status).url(url).body(body);
                response.map(Response::from).map_err(|error| OpenAIError::Boxed(error.into()))
            }
            End::TooLong => {
                let detail = format!("{} sent a reply of more than {} MiB", self.host, LARGEST_REPLY >> 20);
                let error = ModelError::new(ModelErrorKind::BadReply, detail);
                Err(ModelError { status: Some(head.status.as_u16()), ..error }.into())
            }
            End::Broken(error) => Err(ModelError::broken(&self.host, &*error).into()),
        }
    }

    fn failed(&self, failed: Failed) -> ModelError {
        match failed {
            Failed::OutOfTime => ModelError::out_of_time(&self.host),
            Failed::ToConnect(error) => ModelError::unconnected(&self.host, &*error),
            Failed::ToExchange(error) => ModelError::broken(&self.host, &*error),
        }
    }
}

impl Service<HttpRequestFactory> for OneTry {
    type Response = Response;
    type Error = OpenAIError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, OpenAIError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        // The room first, and the future made in it: it is large.
        let (exchange, chat, room) = (Arc::clone(&self.exchange), self.chat.take(), Box::new_uninit());
        let run = Box::write(room, exchange.run(request, chat));
        Box::into_pin(run)
    }
}

/// On the way through the client library; `received` takes it out again.
impl From<ModelError> for OpenAIError {
    fn from(error: ModelError) -> Self {
        Self::Boxed(Box::new(error))
    }
}

/// What the library's error stands for.
pub(crate) fn received(error: OpenAIError, host: &str, key: Option<&Secret>) -> ModelError {
    match error {
        OpenAIError::Boxed(error) => match error.downcast::<ModelError>() {
            Ok(error) => *error,
            Err(error) => {
                ModelError::new(ModelErrorKind::Connection, format!("the exchange with {host} failed: {error}"))
            }
        },
        OpenAIError::JSONDeserialize(why, body) => ModelError::unreadable(host, &why, redact(key, body)),
        // The address may hold a password.
        OpenAIError::Reqwest(error) => unmade(host, &error.without_url()),
        other => unmade(host, &other),
    }
}

/// The error of a request that cannot be sent.
pub(crate) fn unmade(host: &str, why: &dyn std::error::Error) -> ModelError {
    ModelError::new(ModelErrorKind::BadRequest, format!("the request to {host} cannot be made: {why}"))
}

#[cfg(test)]
mod tests;
