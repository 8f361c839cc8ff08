//! A model behind an OpenAI-compatible endpoint.

mod embed;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_openai::Client;
use async_openai::config::Config;
use async_openai::traits::RequestOptionsBuilder;
use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde::Serialize;

use crate::transport::{OneTry, Unusable, received, unmade};
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
    service: OneTry,
    model: String,
    settings: Settings,
    max_tokens_key: MaxTokensKey,
    retry: RetryConfig,
    host: Arc<str>,
    /// The address that requests go to.
    base: String,
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
        // An address without a path is written with a slash at its end.
        let base = base_url.as_str().trim_end_matches('/').to_owned();
        let endpoint = Endpoint { no_key: SecretString::default() };
        Ok(Self {
            client: Client::build(http.requests().clone(), endpoint).with_http_service(service.clone()),
            service,
            model,
            settings: config.settings(),
            max_tokens_key: config.max_tokens_key,
            retry: config.retry.clone(),
            host,
            base,
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

    /// What names a request by all that it says: who is asked, where, and every field of what is sent. Where the model
    /// chooses its words freely, also the `place` in a run that asks, so that no second trial and no other row gets the
    /// answer of this one. The name tells nothing of what it is made of.
    ///
    /// # Errors
    /// When the request cannot be written down.
    pub fn fingerprint(&self, request: &ChatRequest, place: &str) -> Result<String, serde_json::Error> {
        let settings = request.settings.over(&self.settings);
        let is_free = settings.temperature != Some(0.0);
        let (model, max_tokens_key) = (&*self.model, self.max_tokens_key);
        let mut hasher = blake3::Hasher::new_derive_key("flowrun 2026 reply of a model");
        for part in ["openai", &self.base, if is_free { place } else { "" }] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        hasher.update(&WireRequest { model, request, settings, max_tokens_key }.body()?);
        Ok(hasher.finalize().to_hex().to_string())
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
        let body = Bytes::from(wire.body().map_err(|error| unmade(&self.host, &error))?);
        let mut tries = 1;
        loop {
            let error = match self.one_try(request, body.clone(), identity.clone()).await {
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

    async fn one_try(
        &self,
        request: &ChatRequest,
        body: Bytes,
        identity: HeaderValue,
    ) -> Result<Reply, ModelError> {
        let headers = HeaderMap::from_iter([(REQUEST_ID, identity)]);
        let refused = |error| received(error, &self.host, self.key.as_ref());
        let client = self.client.clone().with_http_service(self.service.sending(body));
        let reply: WireReply = client.chat().headers(headers).create_byot(BodyOfService).await.map_err(refused)?;
        reply.into_reply(&self.host, request)
    }
}

/// What the client library takes for a request's body. The real one is written once for all tries, and the service has it.
#[derive(Serialize)]
struct BodyOfService;

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
#[derive(Clone)]
struct Endpoint {
    no_key: SecretString,
}

impl Endpoint {
    /// The library parses an address for each request. This one is short, and has no host in it that would have to be
    /// judged as a name of the internet.
    const ADDRESS: &str = "m://m";
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
