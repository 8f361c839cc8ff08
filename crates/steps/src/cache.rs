//! Replies of earlier runs, for who asks the same again.

use std::sync::Arc;

use flowrun_core::execute::StepCx;
use flowrun_llm::{ChatRequest, FinishReason, ModelError, Prepared, Reply};
use serde::Serialize;

/// Where replies are kept from run to run.
pub trait KeepsReplies: Send + Sync {
    /// The reply of this name, as JSON.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn get(&self, name: &str) -> Result<Option<String>, String>;

    /// Keeps a reply; `model` is what people know the model by.
    ///
    /// # Errors
    /// Why it cannot be written.
    fn put(&self, name: &str, model: &str, reply: &str) -> Result<(), String>;
}

/// The cache of a run; a run without one has none among its resources.
pub struct Cache(pub Arc<dyn KeepsReplies>);

/// Whether the reply to a request may be kept for other runs.
pub(crate) fn is_for_all(cx: &StepCx<'_>, request: &ChatRequest) -> bool {
    cx.optional::<Cache>().is_some() && !is_secret(cx, &(&request.messages, &request.tools))
}

/// The reply of an earlier run, or that of the model. A cache that cannot be used is told of in the program's log, and the
/// model is asked.
pub(crate) async fn reply(cx: &StepCx<'_>, key: &str, request: &Prepared<'_>) -> Result<Reply, ModelError> {
    let Some(Cache(cache)) = cx.optional() else { return request.send().await };
    // Without the run's seed: what another run asked at this place counts too.
    let name = request.fingerprint(&format!("{}!{key}", cx.address().key()));
    if let Some(reply) = kept(cache, &name).await {
        return Ok(Reply { cached: true, ..reply });
    }
    let model = request.model().to_owned();
    let reply = request.send().await?;
    // What was cut short or taken away may come whole the next time.
    if matches!(reply.finish_reason, FinishReason::Stop | FinishReason::ToolCalls) && !is_secret(cx, &reply) {
        keep(cache, name, model, &reply).await;
    }
    Ok(reply)
}

/// What holds a secret of the run stays with the run: neither its text nor its digest is kept for others.
fn is_secret(cx: &StepCx<'_>, what: &impl Serialize) -> bool {
    serde_json::to_string(what).map_or(true, |text| cx.holds_secret(&text))
}

async fn kept(cache: &Arc<dyn KeepsReplies>, name: &str) -> Option<Reply> {
    let (cache, name) = (Arc::clone(cache), name.to_owned());
    let found = tokio::task::spawn_blocking(move || {
        let text = cache.get(&name)?;
        text.map(|text| serde_json::from_str(&text).map_err(|e| e.to_string())).transpose()
    });
    found.await.unwrap_or_else(|e| Err(e.to_string())).unwrap_or_else(|error| {
        tracing::warn!(error, "the cache cannot be read");
        None
    })
}

async fn keep(cache: &Arc<dyn KeepsReplies>, name: String, model: String, reply: &Reply) {
    let cache = Arc::clone(cache);
    let text = serde_json::to_string(reply).map_err(|e| e.to_string());
    let put = tokio::task::spawn_blocking(move || cache.put(&name, &model, &text?));
    if let Err(error) = put.await.unwrap_or_else(|e| Err(e.to_string())) {
        tracing::warn!(error, "the cache cannot be written");
    }
}
