//! A model behind an OpenAI-compatible endpoint.

mod embed;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_openai::Client;
use async_openai::config::Config;
use async_openai::traits::RequestOptionsBuilder;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;

use crate::transport::{OneTry, Unusable, received};
use crate::wire::{WireReply, WireRequest};
use crate::{
    ChatRequest, HttpClient, MaxTokensKey, ModelConfig, ModelError, ModelErrorKind, Reply, RetryConfig, Secret,
    Settings, retry,
};

/// Names a call to the server, the same over all its tries.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");

/// A model behind an OpenAI-compatible endpoint, ready to be called.
pub struct OpenAiModel {
    client: Client<Endpoint>,
    model: String,
    settings: Settings,
    max_tokens_key: MaxTokensKey,
    retry: RetryConfig,
    host: Arc<str>,
    key: Option<Secret>,
}

impl OpenAiModel {
    /// Prepares a model; the address and the key are those that were resolved, not those of `config`.
    pub(crate) fn new(
        config: &ModelConfig,
        model: String,
        base_url: &Url,
        key: Option<Secret>,
        http: &HttpClient,
    ) -> Result<Self, Unusable> {
        let host: Arc<str> = match (base_url.host_str().unwrap_or_default(), base_url.port()) {
            (host, Some(port)) => format!("{host}:{port}").into(),
            (host, None) => host.into(),
        };
        let service = OneTry::new(http, base_url, host.clone(), key.clone(), config.timeout)?;
        let endpoint = Endpoint { no_key: SecretString::default() };
        Ok(Self {
            client: Client::build(http.requests().clone(), endpoint).with_http_service(service),
            model,
            settings: config.settings(),
            max_tokens_key: config.max_tokens_key,
            retry: config.retry.clone(),
            host,
            key,
        })
    }

    /// The name that the endpoint knows the model by.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The endpoint's host, with its port where that is not the usual one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Asks the model, as often as its `retry` says. The error is that of the last try.
    pub async fn chat(&self, request: &ChatRequest) -> Result<Reply, ModelError> {
        let identity = header(&request.identity)?;
        let wire = WireRequest {
            model: &self.model,
            request,
            settings: request.settings.over(&self.settings),
            max_tokens_key: self.max_tokens_key,
        };
        let mut tries = 1;
        loop {
            let error = match self.one_try(&wire, identity.clone()).await {
                Ok(reply) => return Ok(Reply { tries, ..reply }),
                Err(error) => error,
            };
            tokio::time::sleep(self.wait(error, tries, &request.identity)?).await;
            tries += 1;
        }
    }

    /// How long to wait after a failed try; the error where there is no other.
    fn wait(&self, error: ModelError, tries: u32, identity: &str) -> Result<Duration, ModelError> {
        if !error.retryable() || tries >= self.retry.tries.get() {
            return Err(ModelError { tries, ..error });
        }
        let wait = retry::wait(&self.retry, tries, error.retry_after, identity);
        let (code, status) = (error.code(), error.status);
        tracing::debug!(identity, code, status, tries, ?wait, "model call is tried again");
        Ok(wait)
    }

    async fn one_try(&self, wire: &WireRequest<'_>, identity: HeaderValue) -> Result<Reply, ModelError> {
        let headers = HeaderMap::from_iter([(REQUEST_ID, identity)]);
        let refused = |error| received(error, &self.host, self.key.as_ref());
        let reply: WireReply = self.client.chat().headers(headers).create_byot(wire).await.map_err(refused)?;
        reply.into_reply(&self.host, wire.request)
    }
}

/// The identity of a call, as it is sent.
fn header(identity: &str) -> Result<HeaderValue, ModelError> {
    HeaderValue::from_str(identity).map_err(|_| {
        let detail = format!("the call's identity {identity:?} cannot be sent as a header");
        ModelError::new(ModelErrorKind::BadRequest, detail)
    })
}

/// Leaves out everything that could hold a key.
impl fmt::Debug for OpenAiModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiModel").field("model", &self.model).field("host", &self.host).finish_non_exhaustive()
    }
}

/// An endpoint as the client library sees it. It never sees the key, nor the address: [`OneTry`] knows both.
struct Endpoint {
    no_key: SecretString,
}

impl Endpoint {
    /// The library parses an address for each request. This one is short, and has no host in it that would have to be
    /// judged as a name of the internet.
    const ADDRESS: &str = "model://endpoint";
}

impl Config for Endpoint {
    fn headers(&self) -> HeaderMap {
        HeaderMap::new()
    }

    fn url(&self, path: &str) -> String {
        [Self::ADDRESS, path].concat()
    }

    fn query(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }

    fn api_base(&self) -> &str {
        Self::ADDRESS
    }

    fn api_key(&self) -> &SecretString {
        &self.no_key
    }
}
