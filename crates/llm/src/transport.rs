//! One HTTP exchange, under the client library.
//!
//! The library's own executor tries again by itself, and its errors keep neither the headers nor the body of
//! a reply. This service makes one try and turns what went wrong into a [`ModelError`] with all of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, InvalidHeaderValue};
use reqwest::{Response, redirect};
use thiserror::Error;
use tower::Service;

use crate::secret::redact;
use crate::{ModelError, ModelErrorKind, Secret, retry};

/// Most bytes of a reply that are read. The longest texts of models are far below.
const LARGEST_REPLY: u64 = 16 * 1024 * 1024;
/// Most bytes of a failure's body that are read: enough to find the message in it.
const LARGEST_FAILURE: u64 = 64 * 1024;
/// A server that is there answers sooner, however long its model takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// The connections of a process. Make one and give it to every model, so that they share the pool.
///
/// Proxies come from the environment (`HTTPS_PROXY` and the like). Redirects are not followed, because they
/// would carry the key and the prompt to an address that nobody wrote down.
#[derive(Clone, Debug)]
pub struct HttpClient(reqwest::Client);

impl HttpClient {
    /// Makes a client without any connection yet.
    pub fn new() -> Result<Self, HttpClientError> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("flowrun/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()?;
        Ok(Self(client))
    }

    pub(crate) fn inner(&self) -> &reqwest::Client {
        &self.0
    }
}

/// The client could not be made, most often because the machine's certificates cannot be read.
#[derive(Debug, Error)]
#[error("cannot prepare the http client: check the machine's certificates")]
pub struct HttpClientError(#[from] reqwest::Error);

/// The service of one model: one call of it is one HTTP try. Cheap to clone, which the library does for each.
#[derive(Clone)]
pub(crate) struct OneTry(Arc<Exchange>);

struct Exchange {
    http: HttpClient,
    host: Arc<str>,
    key: Option<Secret>,
    authorization: Option<HeaderValue>,
    timeout: Duration,
}

impl OneTry {
    /// `host` is the endpoint's name in errors. A key that no header can hold is refused.
    pub(crate) fn new(
        http: &HttpClient,
        host: Arc<str>,
        key: Option<Secret>,
        timeout: Duration,
    ) -> Result<Self, InvalidHeaderValue> {
        let authorization =
            key.as_ref().map(|key| HeaderValue::from_str(&format!("Bearer {}", key.expose()))).transpose()?;
        let authorization = authorization.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Ok(Self(Arc::new(Exchange { http: http.clone(), host, key, authorization, timeout })))
    }
}

impl Exchange {
    async fn run(self: Arc<Self>, request: HttpRequestFactory) -> Result<Response, OpenAIError> {
        let mut request = request.build().await?;
        *request.timeout_mut() = Some(self.timeout);
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let mut response = self.http.0.execute(request).await.map_err(|error| self.broken(error))?;
        let status = response.status();
        if status.is_success() {
            return self.limited(response).await;
        }
        let wait = retry::asked(response.headers());
        // The status matters more than its body: what cannot be read of that is left out.
        let mut body = Vec::new();
        let ended = read(&mut response, LARGEST_FAILURE, &mut body).await;
        let mut body = redact(self.key.as_ref(), String::from_utf8_lossy(&body).into_owned());
        if ended.is_err() {
            body.push_str(" (the body broke off here)");
        }
        Err(ModelError::of_status(&self.host, status, body, wait).into())
    }

    /// The reply as it is where its announced length is within the limit, which hyper then enforces; else with
    /// a body that was read up to the limit.
    async fn limited(&self, mut response: Response) -> Result<Response, OpenAIError> {
        let announced = response.content_length();
        if announced.is_some_and(|length| length <= LARGEST_REPLY) {
            // The library copies the headers of every reply, and throws the copy away.
            *response.headers_mut() = HeaderMap::new();
            return Ok(response);
        }
        let mut body = Vec::new();
        if announced.is_none()
            && read(&mut response, LARGEST_REPLY, &mut body).await.map_err(|error| self.broken(error))?
        {
            return Ok(http::Response::new(body).into());
        }
        let detail = format!("{} sent a reply of more than {} MiB", self.host, LARGEST_REPLY >> 20);
        let error = ModelError::new(ModelErrorKind::BadReply, detail);
        Err(ModelError { status: Some(response.status().as_u16()), ..error }.into())
    }

    fn broken(&self, error: reqwest::Error) -> ModelError {
        ModelError::of_transport(&self.host, error)
    }
}

/// Reads a body to its end, or up to the limit; says whether it was the end.
async fn read(response: &mut Response, most: u64, body: &mut Vec<u8>) -> Result<bool, reqwest::Error> {
    while let Some(chunk) = response.chunk().await? {
        let room = usize::try_from(most).unwrap_or(usize::MAX) - body.len();
        if chunk.len() > room {
            body.extend_from_slice(&chunk[..room]);
            return Ok(false);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(true)
}

impl Service<HttpRequestFactory> for OneTry {
    type Response = Response;
    type Error = OpenAIError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, OpenAIError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        Box::pin(self.0.clone().run(request))
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
        OpenAIError::Reqwest(error) => ModelError::of_transport(host, error),
        other => {
            ModelError::new(ModelErrorKind::BadRequest, format!("the request to {host} cannot be made: {other}"))
        }
    }
}
