//! `prompt`: asks a model.

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::events::{Event, Usage};
use flowrun_core::execute::StepCx;
use flowrun_core::late::Late;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{ModelUse, Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::template::{OfflineText, Text};
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use flowrun_llm::{
    BoundModel, ChatRequest, FinishReason, Message, ModelError, ModelErrorKind, Reply, Role, SeedSetting, Settings,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::models::Models;
use crate::template::inputs_of;

/// Asks a model and gives its reply as text. A reply that was cut short is the error `model.truncated`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prompt {
    /// The model, by its name under `models:`.
    model: String,
    /// Instructions that stand above the conversation.
    system: Option<Text>,
    /// The prompt, as one message of the user. Its variables are inputs of the step.
    template: Option<Text>,
    /// A whole conversation, in place of `system` and `template`.
    #[serde(default)]
    messages: Vec<MessageText>,
    /// What answers where the model is offline: a text over the step's inputs, `attempt` and `pick([…])`.
    offline: Option<OfflineText>,
    /// Takes a reply that was cut short by `max_tokens` as it is.
    #[serde(default)]
    allow_truncated: bool,
    /// Most tokens of the reply, in place of the model's own setting.
    max_tokens: Option<Late<std::num::NonZeroU32>>,
    /// How freely the model chooses its words, in place of the model's own setting; 0 is the least free.
    temperature: Option<Late<f64>>,
    /// Choose only among the likeliest tokens that together have this probability, in place of the model's own setting.
    top_p: Option<Late<f64>>,
    /// Texts at which the model stops, in place of the model's own.
    stop: Option<Vec<String>>,
    /// The seed sent along: an integer, or `auto` for one that follows from the call's place in the run.
    seed: Option<SeedSetting>,
}

/// One message of a conversation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MessageText {
    /// Who says it: `system`, `user` or `assistant`.
    role: Role,
    /// The text; its variables are inputs of the step.
    content: Text,
}

impl Prompt {
    fn texts(&self) -> impl Iterator<Item = (Role, &Text)> {
        let system = self.system.iter().map(|t| (Role::System, t));
        let user = self.template.iter().map(|t| (Role::User, t));
        system.chain(user).chain(self.messages.iter().map(|m| (m.role, &m.content)))
    }

    /// Where the texts stand, in the same order.
    fn places(&self) -> impl Iterator<Item = Vec<String>> {
        let system = self.system.iter().map(|_| vec!["system".to_owned()]);
        let user = self.template.iter().map(|_| vec!["template".to_owned()]);
        let messages = (0..self.messages.len()).map(|n| vec!["messages".into(), n.to_string(), "content".into()]);
        system.chain(user).chain(messages)
    }

    fn render(&self, input: &Ports) -> Result<Vec<Message>, StepError> {
        let mut messages = Vec::with_capacity(2 + self.messages.len());
        for (role, text) in self.texts() {
            messages.push(Message::new(role, text.render(|name| input.get(name).cloned())?));
        }
        Ok(messages)
    }

    fn settings(&self, cx: &StepCx<'_>) -> Result<Settings, StepError> {
        Ok(Settings {
            max_tokens: self.max_tokens.as_ref().map(|m| m.get(cx)).transpose()?,
            temperature: self.temperature.as_ref().map(|t| t.get(cx)).transpose()?,
            top_p: self.top_p.as_ref().map(|t| t.get(cx)).transpose()?,
            stop: self.stop.clone(),
            seed: self.seed,
            ..Settings::default()
        })
    }

    fn answer_offline(&self, cx: &StepCx<'_>, model: &BoundModel, input: &Ports) -> Result<String, StepError> {
        let Some(offline) = &self.offline else {
            let message = format!("the model `{}` is offline, and the step has no `offline` text", model.name());
            return Err(StepError::new(ModelErrorKind::NoTemplate.code(), message)
                .help(ModelErrorKind::NoTemplate.help())
                .fatal());
        };
        let text = offline.render_seeded(&cx.rng("offline"), |name| match name {
            "attempt" => Some(Value::from(cx.attempt())),
            name => input.get(name).cloned(),
        })?;
        cx.add_usage(Usage { calls: 1, ..Usage::default() });
        Ok(text)
    }

    async fn answer(
        &self,
        cx: &StepCx<'_>,
        model: &BoundModel,
        messages: Vec<Message>,
    ) -> Result<String, StepError> {
        let request = ChatRequest { messages, settings: self.settings(cx)?, identity: cx.identity("reply") };
        let reply: Reply = cx
            .effect("reply", || async {
                model.chat(&request).await.map_err(|error| {
                    cx.add_usage(Usage { tries: error.tries.into(), ..Usage::default() });
                    model_error(model, error)
                })
            })
            .await?;
        cx.add_usage(usage_of(&reply));
        if reply.finish_reason == FinishReason::Length && !self.allow_truncated {
            let message = "the reply was cut short at the limit of tokens";
            return Err(StepError::new(ModelErrorKind::Truncated.code(), message)
                .detail("model", described(model))
                .detail("reply", reply.text)
                .help("raise `max_tokens`, ask for a shorter text, or set `allow_truncated: true`"));
        }
        Ok(reply.text)
    }
}

fn usage_of(reply: &Reply) -> Usage {
    let mut usage = Usage { calls: 1, tries: reply.tries.into(), ..Usage::default() };
    if reply.usage.reported {
        usage.input_tokens = reply.usage.input_tokens;
        usage.output_tokens = reply.usage.output_tokens;
    } else {
        usage.uncounted = 1;
    }
    usage
}

fn described(model: &BoundModel) -> String {
    format!("`{}`, {}", model.name(), model.describe())
}

pub(crate) fn model_error(model: &BoundModel, error: ModelError) -> StepError {
    let (help, fatal) = (error.help(), error.fatal());
    let mut step = StepError::new(error.code(), error.to_string()).detail("model", described(model)).help(help);
    if let Some(body) = error.body {
        step = step.detail("reply", body);
    }
    if fatal { step.fatal() } else { step }
}

impl Step for Prompt {
    const TYPE: &'static str = "prompt";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "write:\n  type: prompt\n  model: writer\n  template: !file prompts/write.md\n  offline: \"Justification: {{ row['customer_name'] }} asks for {{ row['loan_value'] }}.\"\n  output: draft";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("VARIABLE", Type::any()).doc("One for each variable of the texts.")],
            outputs: vec![Port::new("output", Type::string()).doc("The reply.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let mut wrong = Diagnostics::new();
        match (self.template.is_some(), self.messages.is_empty()) {
            (false, true) => wrong.push(scope.bad(&[], "a prompt wants a `template`, or `messages`")),
            (true, false) => wrong.push(scope.bad(&["messages"], "`messages` stand in place of `template`")),
            _ if self.system.is_some() && !self.messages.is_empty() => {
                let message = "`messages` stand in place of `system`; give a message the role `system`";
                wrong.push(scope.bad(&["system"], message));
            }
            _ => {}
        }
        let inputs = inputs_of(self.places().zip(self.texts().map(|(_, text)| &**text)));
        for variable in self.offline.iter().flat_map(|o| o.variables()) {
            if variable.name != "attempt" && !inputs.iter().any(|p| p.name == variable.name) {
                let message = format!("the offline text reads `{}`, which is no input of the step", variable.name);
                let span = scope.config().get("offline").map(|n| n.span_within(Some(variable.range.clone())));
                let mut diagnostic = scope.bad(&["offline"], message);
                diagnostic.span = span.filter(|s| s.source().is_some()).unwrap_or(diagnostic.span);
                let known = inputs.iter().map(|p| p.name.as_str()).chain(["attempt"]);
                wrong.push(diagnostic.suggest(&variable.name, known));
            }
        }
        wrong.into_result()?;
        let models = vec![ModelUse { model: self.model.clone(), offline: self.offline.is_some() }];
        Ok(Signature { models, ..Signature::new(inputs, vec![Port::new("output", Type::string())]) })
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let place = cx.model(&self.model);
        let model = place.and_then(|place| cx.resource::<Models>().ok()?.get(place)).ok_or_else(|| {
            StepError::new("engine.resource", format!("the run has no model `{}`", self.model)).fatal()
        })?;
        let messages = self.render(&input)?;
        let prompt: Vec<(String, String)> = if cx.is_preview() {
            messages.iter().map(|m| (role_word(m.role).to_owned(), m.content.clone())).collect()
        } else {
            Vec::new()
        };
        let text = if model.is_offline() {
            self.answer_offline(cx, model, &input)?
        } else {
            self.answer(cx, model, messages).await?
        };
        if cx.is_preview() {
            let at = cx.address();
            cx.emit(&Event::Answered { at: &at, model: &self.model, prompt: &prompt, reply: &text });
        }
        Ok(Outcome::next(Ports::one("output", text)))
    }
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}
