//! The models of a run, as steps reach them.

use flowrun_core::error::StepError;
use flowrun_core::events::Usage;
use flowrun_core::execute::{Asked, StepCx};
use flowrun_llm::{BoundModel, ChatRequest, Compared, ModelError, Prepared, Reply};
use serde::Deserialize;

use crate::search::Vectors;

/// The bound models of a document, by their place in it; none for one that no step calls.
#[derive(Debug, Default)]
pub struct Models {
    all: Vec<Option<BoundModel>>,
    pub(crate) vectors: Vectors,
}

impl Models {
    /// Models in the order of the document's definitions.
    pub fn new(models: Vec<Option<BoundModel>>) -> Self {
        Self { all: models, vectors: Vectors::default() }
    }

    /// The model at a place.
    pub fn get(&self, place: usize) -> Option<&BoundModel> {
        self.all.get(place)?.as_ref()
    }

    /// All that some step calls.
    pub fn iter(&self) -> impl Iterator<Item = &BoundModel> {
        self.all.iter().flatten()
    }
}

/// The model of this name, as the step's signature asked for it.
pub(crate) fn named<'c>(cx: &'c StepCx<'_>, name: &str) -> Result<&'c BoundModel, StepError> {
    let place = cx.model(name);
    place
        .and_then(|place| cx.optional::<Models>()?.get(place))
        .ok_or_else(|| StepError::new("engine.resource", format!("the run has no model `{name}`")).fatal())
}

/// A request that is written down. While thousands wait for their replies, none holds what it was made of.
pub(crate) struct Question<'m> {
    model: &'m BoundModel,
    prepared: Prepared<'m>,
    asked: Asked,
    /// Whether the reply may come from another run, and go to one.
    for_all: bool,
}

impl<'m> Question<'m> {
    pub(crate) fn new(cx: &StepCx<'_>, model: &'m BoundModel, request: &ChatRequest) -> Result<Self, StepError> {
        let ChatRequest { messages, settings, reply_schema, tools, tool_choice, .. } = request;
        let messages = Compared { messages, veil: &|text| cx.veiled(text) };
        // Who answers is no part of it: a run may go on with another model without asking again what was answered.
        let asked = cx.asked(&(messages, settings, reply_schema, tools, tool_choice))?;
        let prepared = model.prepare(request).map_err(|error| model_error(model, error))?;
        Ok(Self { model, prepared, asked, for_all: crate::cache::is_for_all(cx, request) })
    }

    pub(crate) fn model(&self) -> &'m BoundModel {
        self.model
    }

    /// Asks, as an effect of this key, and counts what that used.
    pub(crate) async fn ask(&self, cx: &StepCx<'_>, key: &str) -> Result<Reply, StepError> {
        let ask = || async {
            let reply = if self.for_all {
                Box::pin(crate::cache::reply(cx, key, &self.prepared)).await
            } else {
                self.prepared.send().await
            };
            reply.map_err(|error| {
                cx.add_usage(Usage { tries: error.tries.into(), ..Usage::default() });
                model_error(self.model, error)
            })
        };
        let reply = cx.call(key, &self.asked, ask).await?;
        cx.add_usage(usage_of(&reply));
        Ok(reply)
    }
}

pub(crate) fn described(model: &BoundModel) -> String {
    format!("`{}`, {}", model.name(), model.describe())
}

/// What a call used, by what a journal keeps of it; none where that is of something else.
pub fn usage_kept(outcome: &str) -> Option<Usage> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Kept {
        Answered { value: Reply },
        // By name alone: serde would take a list for the fields, too.
        Noted { used: serde_json::Map<String, serde_json::Value> },
    }

    // Rows of a store are lists, and numbers in a list could be taken for the fields of a note.
    if !outcome.starts_with('{') {
        return None;
    }
    Some(match serde_json::from_str(outcome).ok()? {
        Kept::Answered { value } => usage_of(&value),
        Kept::Noted { used } => serde_json::from_value(used.into()).ok()?,
    })
}

fn usage_of(reply: &Reply) -> Usage {
    if reply.cached {
        return Usage { cached: 1, ..Usage::default() };
    }
    let mut usage = Usage { calls: 1, tries: reply.tries.into(), ..Usage::default() }.costing(reply.cost);
    if reply.usage.reported {
        usage.input_tokens = reply.usage.input_tokens;
        usage.output_tokens = reply.usage.output_tokens;
    } else {
        usage.uncounted = 1;
    }
    usage
}

pub(crate) fn model_error(model: &BoundModel, error: ModelError) -> StepError {
    let (help, fatal) = (error.help(), error.fatal());
    let mut step = StepError::new(error.code(), error.to_string()).detail("model", described(model)).help(help);
    // A good status says nothing of what went wrong.
    if let Some(status) = error.status.filter(|status| !(200..300).contains(status)) {
        step = step.detail("status", status.to_string());
    }
    if let Some(body) = error.body {
        step = step.detail("reply", body);
    }
    if fatal { step.fatal() } else { step }
}

#[cfg(test)]
mod tests {
    use flowrun_core::execute::Used;

    use super::*;

    #[test]
    fn only_replies_and_notes_say_what_was_used() {
        let reply = r#"{"of":"ab","value":{"text":"yes","finish_reason":"stop","usage":{"input_tokens":3,"output_tokens":1,
            "cached_input_tokens":0,"reported":true},"tries":2,"cost":7,"served_by":null}}"#;
        let used = Usage { calls: 1, tries: 2, input_tokens: 3, output_tokens: 1, ..Usage::default() };
        assert_eq!(usage_kept(reply), Some(used.costing(Some(7))));
        let note = serde_json::to_string(&Used { used }).unwrap();
        assert_eq!(usage_kept(&note), Some(used));
        for other in [
            "[[1,2,3,4,5,6]]",
            "[0.5,0.25]",
            "null",
            r#"{"of":"ab","value":{"status":200}}"#,
            r#"{"used":[1,2,3,4,5,6]}"#,
            r#"{"value":[1,2,3,4,5,6,7,8]}"#,
        ] {
            assert_eq!(usage_kept(other), None, "{other}");
        }
    }
}
