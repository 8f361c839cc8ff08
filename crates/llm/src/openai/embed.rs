//! Embeddings: the JSON as sent and as read, and the call.

use async_openai::traits::RequestOptionsBuilder;
use reqwest::header::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{OpenAiModel, REQUEST_ID, header};
use crate::transport::received;
use crate::{EmbedRequest, Embedded, ModelError, ModelErrorKind, Usage};

#[derive(Serialize)]
struct WireRequest<'a> {
    model: &'a str,
    input: &'a [String],
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Deserialize)]
struct WireReply {
    data: Vec<WireVector>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct WireVector {
    #[serde(default)]
    index: Option<usize>,
    embedding: Vec<f32>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
}

impl OpenAiModel {
    /// Asks for the vectors of texts, as often as the model's `retry` says. The error is that of the last try.
    pub async fn embed(&self, request: &EmbedRequest) -> Result<Embedded, ModelError> {
        let identity = header(&request.identity)?;
        // Settings of chats have no place in this request; what it may hold besides stands in `extra`.
        let wire = WireRequest { model: self.model(), input: &request.texts, extra: &self.settings.extra };
        let mut tries = 1;
        loop {
            match self.one_embedding(&wire, identity.clone()).await {
                Ok(embedded) => return Ok(Embedded { tries, ..embedded }),
                Err(error) => tokio::time::sleep(self.wait(error, tries, &request.identity)?).await,
            }
            tries += 1;
        }
    }

    async fn one_embedding(&self, wire: &WireRequest<'_>, identity: HeaderValue) -> Result<Embedded, ModelError> {
        let headers = HeaderMap::from_iter([(REQUEST_ID, identity)]);
        let refused = |error| received(error, &self.host, self.key.as_ref());
        let reply: WireReply =
            self.client.embeddings().headers(headers).create_byot(wire).await.map_err(refused)?;
        self.read(reply, wire.input)
    }

    fn read(&self, reply: WireReply, texts: &[String]) -> Result<Embedded, ModelError> {
        let wrong = |why: String| {
            let detail = format!("{} answered with vectors that cannot be used: {why}", self.host);
            ModelError { status: Some(200), ..ModelError::new(ModelErrorKind::BadReply, detail) }
        };
        if reply.data.len() != texts.len() {
            return Err(wrong(format!("{} for {} texts", reply.data.len(), texts.len())));
        }
        let mut vectors = vec![Vec::new(); texts.len()];
        let length = reply.data.first().map_or(0, |first| first.embedding.len());
        for (place, vector) in reply.data.into_iter().enumerate() {
            if vector.embedding.is_empty() || vector.embedding.len() != length {
                return Err(wrong(format!("lengths {length} and {}", vector.embedding.len())));
            }
            if vector.embedding.iter().any(|number| !number.is_finite()) {
                return Err(wrong("a number is out of range".to_owned()));
            }
            let place = vector.index.unwrap_or(place);
            match vectors.get_mut(place) {
                Some(slot) if slot.is_empty() => *slot = vector.embedding,
                _ => return Err(wrong(format!("the index {place} is out of range or stands twice"))),
            }
        }
        let usage = match reply.usage.and_then(|usage| usage.prompt_tokens) {
            Some(input_tokens) => Usage { input_tokens, ..Usage::default() },
            None => {
                let input_tokens = texts.iter().map(|t| estimate(t)).sum();
                Usage { input_tokens, reported: false, ..Usage::default() }
            }
        };
        Ok(Embedded { vectors, usage, tries: 1, cost: None, served_by: reply.model })
    }
}

/// Tokens where the server counts none: four characters each.
fn estimate(text: &str) -> u64 {
    u64::try_from(text.chars().count().div_ceil(4)).unwrap_or(u64::MAX)
}
