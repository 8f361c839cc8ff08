//! Vectors: how often each word stands in a text, the words shared out over some places by a hash.

use serde::Deserialize;
use serde_json::{Value, json};

/// Numbers of a vector.
const LENGTH: usize = 64;

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    model: String,
    input: Input,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Several(Vec<String>),
}

/// The reply to a request, or why there is none.
pub(crate) fn vectors(body: &[u8]) -> Result<Value, String> {
    let request: Request =
        serde_json::from_slice(body).map_err(|e| format!("the request is no request for embeddings: {e}"))?;
    let texts = match request.input {
        Input::One(text) => vec![text],
        Input::Several(texts) => texts,
    };
    if texts.is_empty() || texts.iter().any(String::is_empty) {
        return Err("an input is empty".to_owned());
    }
    let tokens: usize = texts.iter().map(|text| crate::replies::tokens(text)).sum();
    let data = texts.iter().enumerate();
    // From the last to the first: what goes with what is said by `index` alone.
    let data = data.rev().map(|(n, text)| json!({ "object": "embedding", "index": n, "embedding": vector(text) }));
    Ok(json!({
        "object": "list",
        "model": request.model,
        "data": data.collect::<Vec<_>>(),
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    }))
}

fn vector(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0; LENGTH];
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let hash = blake3::hash(word.to_lowercase().as_bytes());
        vector[usize::from(hash.as_bytes()[0]) % LENGTH] += 1.0;
    }
    vector
}
