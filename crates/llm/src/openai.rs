//! A model behind an OpenAI-compatible endpoint.

mod embed;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_openai::Client;
use async_openai::config::Config;
use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::SecretString;
use serde::Serialize;

use crate::transport::{Chat, OneTry, Unusable, received, unmade};
use crate::wire::{Asked, WireReply, WireRequest};
use crate::{
    ChatRequest, HttpClient, MaxTokensKey, ModelConfig, ModelError, ModelErrorKind, Price, Reply, RetryConfig,
    Secret, Settings, retry,
};

/// A model behind an OpenAI-compatible endpoint, ready to be called.
pub struct OpenAiModel {
    /// Copied for each call, so what it knows stands behind a pointer.
    client: Client<Arc<dyn Config>>,
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
        let endpoint: Arc<dyn Config> = Arc::new(Endpoint { no_key: SecretString::default() });
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

    /// Writes a request down, so that it can be sent.
    ///
    /// # Errors
    /// When it cannot be written or its identity cannot be sent.
    pub(crate) fn prepare(&self, request: &ChatRequest, price: Option<Price>) -> Result<Prepared<'_>, ModelError> {
        let settings = request.settings.over(&self.settings);
        let is_free = settings.temperature != Some(0.0);
        let wire = WireRequest { model: &self.model, request, settings, max_tokens_key: self.max_tokens_key };
        let body = Bytes::from(wire.body().map_err(|error| unmade(&self.host, &error))?);
        let identity = header(&request.identity)?;
        let offers_tools = !request.tools.is_empty();
        Ok(Prepared { model: self, chat: Chat { body, identity }, offers_tools, is_free, price })
    }

    /// How long to wait after a failed try; the error where there is no other.
    fn wait(&self, error: ModelError, tries: u32, identity: &HeaderValue) -> Result<Duration, ModelError> {
        if !error.retryable() || tries >= self.retry.tries.get() {
            return Err(ModelError { tries, ..error });
        }
        // It was made of a text.
        let identity = identity.to_str().unwrap_or_default();
        let wait = retry::wait(&self.retry, tries, error.retry_after, identity);
        let (code, status) = (error.code(), error.status);
        tracing::debug!(identity, code, status, tries, ?wait, "model call is tried again");
        Ok(wait)
    }
}

/// A request that is written down, ready to be sent. It does without what it was made of, so that thousands of calls in
/// flight hold each text once.
pub struct Prepared<'m> {
    model: &'m OpenAiModel,
    chat: Chat,
    offers_tools: bool,
    /// Whether the model chooses its words freely.
    is_free: bool,
    price: Option<Price>,
}

impl Prepared<'_> {
    /// What names the request by all that it says: who is asked, where, and every field of what is sent. Where the model
    /// chooses its words freely, also the `place` in a run that asks, so that no second trial and no other row gets the
    /// answer of this one. The name tells nothing of what it is made of.
    pub fn fingerprint(&self, place: &str) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("flowrun 2026 reply of a model");
        for part in ["openai", &self.model.base, if self.is_free { place } else { "" }] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        hasher.update(&self.chat.body);
        hasher.finalize().to_hex().to_string()
    }

    /// The name that the endpoint knows the model by.
    pub fn model(&self) -> &str {
        &self.model.model
    }

    /// Asks the model, as often as its `retry` says.
    ///
    /// # Errors
    /// That of the last try.
    pub async fn send(&self) -> Result<Reply, ModelError> {
        let mut tries = 1;
        loop {
            match self.one_try().await {
                Ok(reply) => {
                    let cost = self.price.and_then(|price| price.of(&reply.usage));
                    return Ok(Reply { tries, cost, ..reply });
                }
                Err(error) => tokio::time::sleep(self.model.wait(error, tries, &self.chat.identity)?).await,
            }
            tries += 1;
        }
    }

    async fn one_try(&self) -> Result<Reply, ModelError> {
        let model = self.model;
        let refused = |error| received(error, &model.host, model.key.as_ref());
        let client = model.client.clone().with_http_service(model.service.sending(self.chat.clone()));
        let reply: WireReply = client.chat().create_byot(BodyOfService).await.map_err(refused)?;
        reply.into_reply(&model.host, &Asked { offers_tools: self.offers_tools, body: &self.chat.body })
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
