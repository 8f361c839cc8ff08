//! Vectors of texts, each asked for once in a run, and which of them are nearest.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use flowrun_core::error::StepError;
use flowrun_core::events::Usage;
use flowrun_core::execute::StepCx;
use flowrun_llm::{Answerer, BoundModel, EmbedRequest};

use crate::models::model_error;

/// Most texts of one request.
const BATCH: usize = 128;

/// A vector of length 1, or of nothing but zeros.
pub(crate) type Vector = Arc<[f32]>;

/// The vectors of a run. What a text's vector is does not depend on which step asks, nor on what else is asked for in
/// the same request; so a text is paid for once, and steps that run beside each other wait for one another's texts.
#[derive(Debug, Default)]
pub(crate) struct Vectors {
    known: Mutex<HashMap<String, Vector>>,
    turn: tokio::sync::Mutex<()>,
}

impl Vectors {
    /// The vectors of many texts.
    pub(crate) async fn of_documents(
        &self,
        cx: &StepCx<'_>,
        model: &BoundModel,
        texts: &[Arc<str>],
    ) -> Result<Vec<Vector>, StepError> {
        // One at a time: steps in many items want the vectors of the same documents at the same moment.
        let turn = self.turn.lock().await;
        let found = self.of(cx, model, "documents", texts).await;
        drop(turn);
        found
    }

    /// The vector of one text that hardly anybody else asks for.
    pub(crate) async fn of_question(
        &self,
        cx: &StepCx<'_>,
        model: &BoundModel,
        text: &str,
    ) -> Result<Vector, StepError> {
        let found = self.of(cx, model, "question", &[text.into()]).await?;
        found.into_iter().next().ok_or_else(|| StepError::new("search.vectors", "a text got no vector"))
    }

    /// `what` names the texts among those of the visit: what it paid for them is noted under that name.
    async fn of(
        &self,
        cx: &StepCx<'_>,
        model: &BoundModel,
        what: &str,
        texts: &[Arc<str>],
    ) -> Result<Vec<Vector>, StepError> {
        let note = |number: usize| format!("{what}/{number}");
        let mut noted = 0;
        while cx.recall_usage(&note(noted))? {
            noted += 1;
        }
        let keys: Vec<String> = texts.iter().map(|text| key(model, text)).collect();
        let (mut missing, mut seen) = (Vec::new(), HashSet::new());
        for (text, key) in texts.iter().zip(&keys) {
            if self.known(key).is_some() || !seen.insert(key) {
                continue;
            }
            match cx.recall::<Vec<f32>>(key)? {
                Some(kept) => self.learn(key, &kept),
                None => missing.push((key, text)),
            }
        }
        for (number, batch) in (noted..).zip(missing.chunks(BATCH)) {
            let texts: Vec<String> = batch.iter().map(|(_, text)| text.to_string()).collect();
            let vectors = ask(cx, model, &note(number), texts).await?;
            for ((key, text), vector) in batch.iter().zip(vectors) {
                // The key of a text is its digest, on which values of a secret could be tried.
                if !model.is_offline() && !cx.holds_secret(text) {
                    cx.remember(key, &vector)?;
                }
                self.learn(key, &vector);
            }
        }
        let found = keys.iter().map(|key| self.known(key));
        found.collect::<Option<_>>().ok_or_else(|| StepError::new("search.vectors", "a text got no vector"))
    }

    fn known(&self, key: &str) -> Option<Vector> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn learn(&self, key: &str, vector: &[f32]) {
        let vector = unit(vector);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), vector);
    }
}

/// All that a vector depends on.
fn key(model: &BoundModel, text: &str) -> String {
    let who = match model.answerer() {
        Answerer::Openai(model) => format!("{}@{}", model.model(), model.host()),
        Answerer::Offline(_) => "offline".to_owned(),
    };
    format!("vector/{who}/{}", blake3::hash(text.as_bytes()).to_hex())
}

async fn ask(
    cx: &StepCx<'_>,
    model: &BoundModel,
    note: &str,
    texts: Vec<String>,
) -> Result<Vec<Vec<f32>>, StepError> {
    let mut hasher = blake3::Hasher::new_derive_key("flowrun 2026 embedding identity");
    for text in &texts {
        hasher.update(blake3::hash(text.as_bytes()).as_bytes());
    }
    let identity = hasher.finalize().to_hex()[..32].to_owned();
    cx.count_call()?;
    let embedded = model.embed(&EmbedRequest { texts, identity }).await.map_err(|error| {
        cx.add_usage(Usage { tries: error.tries.into(), ..Usage::default() });
        model_error(model, error)
    })?;
    if embedded.tries > 0 {
        let counted = embedded.usage.reported;
        let usage = Usage {
            calls: 1,
            tries: embedded.tries.into(),
            input_tokens: if counted { embedded.usage.input_tokens } else { 0 },
            uncounted: u64::from(!counted),
            ..Usage::default()
        };
        cx.note_usage(note, usage.costing(embedded.cost)).await?;
    }
    Ok(embedded.vectors)
}

#[expect(clippy::cast_possible_truncation, reason = "a vector has the precision in which it came")]
fn unit(vector: &[f32]) -> Vector {
    let length = vector.iter().map(|n| f64::from(*n) * f64::from(*n)).sum::<f64>().sqrt();
    if length == 0.0 {
        return vector.into();
    }
    vector.iter().map(|n| (f64::from(*n) / length) as f32).collect()
}

/// The places of the nearest vectors with how near they are, the nearest first, equally near ones in their order.
pub(super) fn nearest(question: &[f32], vectors: &[Vector], most: usize) -> Result<Vec<(usize, f64)>, StepError> {
    let mut scored = Vec::with_capacity(vectors.len());
    for (place, vector) in vectors.iter().enumerate() {
        if vector.len() != question.len() {
            let message = format!("the model gave vectors of {} and of {} numbers", vector.len(), question.len());
            return Err(StepError::new("search.vectors", message));
        }
        // Added up in one order and in double precision, so that every machine finds the same.
        let score: f64 = vector.iter().zip(question).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        scored.push((place, score.clamp(-1.0, 1.0)));
    }
    scored.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    scored.truncate(most);
    Ok(scored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_come_first_and_ties_stay_in_order() {
        let vectors: Vec<Vector> =
            [[0.0, 2.0], [3.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]].iter().map(|v| unit(v)).collect();
        let places = |most| {
            let found = nearest(&unit(&[0.0, 5.0]), &vectors, most).unwrap();
            found.into_iter().map(|(place, _)| place).collect::<Vec<_>>()
        };
        assert_eq!(places(9), [0, 2, 4, 1, 3]);
        assert_eq!(places(2), [0, 2]);
        assert!(nearest(&[1.0], &vectors, 1).is_err());
        assert!(nearest(&[1.0], &[], 1).unwrap().is_empty());
    }
}
