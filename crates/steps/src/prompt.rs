//! `prompt`: asks a model.

mod ask;
mod form;
mod history;
mod images;
mod shape;

use std::sync::OnceLock;

use flowrun_core::compile::Scope;
use flowrun_core::conversation::{Message as Said, Role as Speaker};
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::events::Event;
use flowrun_core::execute::StepCx;
use flowrun_core::late::Late;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Asked, ModelUse, Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::template::{OfflineText, Text};
use flowrun_core::types::Type;
use flowrun_llm::{Message, Role, SeedSetting, Settings};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::models;
use crate::template::inputs_of;
use ask::Answer;
pub(crate) use ask::{offline_text, unfit};
pub(crate) use form::{Form, Mode};
pub(crate) use history::{CHAT_HISTORY, insert};
pub(crate) use shape::Shape;

const LOGPROBS: &str = "logprobs";

/// Asks a model and gives its reply as text, or as values of the form that `fields` or `output_schema` says. A reply
/// that was cut short is the error `model.truncated`. One that does not have its form is shown to the model once more
/// with what is wrong; if that does not help, it is the error `model.structure`. No value is ever made up.
#[derive(Debug, Default, Deserialize, JsonSchema)]
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
    /// Whether the input `chat_history`, a list of `{ role, content }`, goes before the prompt.
    #[serde(default)]
    chat_history: bool,
    /// Inputs that are pictures and go with the prompt: addresses, `data:` addresses, paths relative to the flow's
    /// file (PNG, JPEG, GIF or WebP of at most 10 MiB), lists of these, or null for none.
    #[serde(default)]
    images: Vec<String>,
    /// What answers where the model is offline: a text over the step's inputs, `attempt` and `pick([…])`.
    offline: Option<OfflineText>,
    /// The outputs by name, each with its type, in place of `output`: the reply is an object of them.
    #[serde(default)]
    fields: IndexMap<String, Shape>,
    /// The type of `output`, in place of text: the whole reply is one value. A type in short hand or a JSON schema.
    output_schema: Option<Shape>,
    /// How the model is made to answer in that form. Default: `tags`.
    mode: Option<Mode>,
    /// Takes a reply that was cut short by `max_tokens` as it is.
    #[serde(default)]
    allow_truncated: bool,
    /// Also says the reply, as a message of the conversation.
    #[serde(default)]
    send_message: bool,
    /// Gives the output `logprobs`: for each token how likely it was, and so many of the likeliest in its place.
    #[schemars(range(min = 0, max = 20))]
    top_logprobs: Option<u8>,
    /// Most tokens of the reply, in place of the model's own setting.
    max_tokens: Option<Late<std::num::NonZeroU32>>,
    /// How freely the model chooses its words, in place of the model's own setting; 0 is the least free.
    temperature: Option<Late<f64>>,
    /// Choose only among the likeliest tokens that together have this probability, in place of the model's own setting.
    top_p: Option<Late<f64>>,
    /// Makes tokens less likely the more often they stand in the text already, in place of the model's own setting.
    frequency_penalty: Option<Late<f64>>,
    /// Makes tokens less likely that stand in the text already, in place of the model's own setting.
    presence_penalty: Option<Late<f64>>,
    /// Texts at which the model stops, in place of the model's own.
    stop: Option<Vec<String>>,
    /// The seed sent along: an integer, or `auto` for one that follows from the call's place in the run.
    seed: Option<SeedSetting>,
    /// Further fields of the request's JSON, such as `reasoning_effort`, over the model's own.
    #[serde(default, deserialize_with = "flowrun_llm::extra_fields")]
    extra: Map<String, Json>,
    #[serde(skip)]
    form: OnceLock<Option<Form>>,
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
    /// One message to a model, for steps that ask in their own words.
    pub(crate) fn of(model: &str, text: Text, offline: Option<OfflineText>) -> Self {
        Self { model: model.to_owned(), template: Some(text), offline, ..Self::default() }
    }

    /// Most tokens of the reply, and how freely the model chooses its words.
    #[must_use]
    pub(crate) fn tuned(
        self,
        max_tokens: Option<Late<std::num::NonZeroU32>>,
        temperature: Option<Late<f64>>,
    ) -> Self {
        Self { max_tokens, temperature, ..self }
    }

    /// Asks, and gives the reply as text.
    pub(crate) async fn reply(&self, cx: &StepCx<'_>, input: &Ports) -> Result<String, StepError> {
        self.ask(cx, input).await.map(|answer| answer.text)
    }

    async fn ask(&self, cx: &StepCx<'_>, input: &Ports) -> Result<Answer, StepError> {
        let model = models::named(cx, &self.model)?;
        let messages = self.conversation(cx, input).await?;
        let prompt: Vec<(String, String)> = if cx.is_preview() {
            messages.iter().map(|m| (role_word(m.role).to_owned(), m.content.clone())).collect()
        } else {
            Vec::new()
        };
        let answer = if model.is_offline() {
            self.answer_offline(cx, model, input)?
        } else {
            self.answer(cx, model, messages).await?
        };
        if cx.is_preview() {
            let at = cx.address();
            cx.emit(&Event::Answered { at: &at, model: &self.model, prompt: &prompt, reply: &answer.text });
        }
        Ok(answer)
    }

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
        let mut numbers = [None; 4];
        for ((key, number, least, most), slot) in self.numbers().into_iter().zip(&mut numbers) {
            let Some(number) = number else { continue };
            let found = number.get(cx)?;
            out_of_range(key, found, least, most).map_or(Ok(()), |why| Err(StepError::new("step.late", why)))?;
            *slot = Some(found);
        }
        let [temperature, top_p, frequency_penalty, presence_penalty] = numbers;
        Ok(Settings {
            max_tokens: self.max_tokens.as_ref().map(|m| m.get(cx)).transpose()?,
            temperature,
            top_p,
            frequency_penalty,
            presence_penalty,
            stop: self.stop.clone(),
            seed: self.seed,
            top_logprobs: self.top_logprobs,
            extra: self.extra.clone(),
        })
    }

    /// The settings that are numbers, each with its least and its most.
    fn numbers(&self) -> [(&'static str, Option<&Late<f64>>, f64, f64); 4] {
        [
            // Servers disagree about the highest one.
            ("temperature", self.temperature.as_ref(), 0.0, f64::INFINITY),
            ("top_p", self.top_p.as_ref(), 0.0, 1.0),
            ("frequency_penalty", self.frequency_penalty.as_ref(), -2.0, 2.0),
            ("presence_penalty", self.presence_penalty.as_ref(), -2.0, 2.0),
        ]
    }

    fn form(&self) -> Option<&Form> {
        let made = self.form.get_or_init(|| match &self.output_schema {
            Some(shape) => Some(Form::of_whole(shape)),
            None if self.fields.is_empty() => None,
            None => Some(Form::of_fields(&self.fields)),
        });
        made.as_ref()
    }

    fn mode(&self) -> Mode {
        self.mode.unwrap_or_default()
    }

    fn inputs(&self) -> Vec<Port> {
        let mut inputs = inputs_of(self.places().zip(self.texts().map(|(_, text)| &**text)));
        let mut add = |name: &str, value_type: Type, path: Vec<String>| {
            if !inputs.iter().any(|p| p.name == name) {
                let asked = Some(Asked { path, range: 0..name.len() });
                inputs.push(Port { asked, ..Port::new(name, value_type) });
            }
        };
        for (n, name) in self.images.iter().enumerate() {
            add(name, Type::any(), vec!["images".into(), n.to_string()]);
        }
        if self.chat_history {
            add(CHAT_HISTORY, Type::list(Type::object()), vec!["chat_history".into()]);
        }
        inputs
    }

    fn outputs(&self) -> Vec<Port> {
        if let Some(form) = self.form() {
            return form.outputs();
        }
        let logprobs = self.top_logprobs.map(|_| Port::new(LOGPROBS, Type::list(Type::object())));
        std::iter::once(Port::new("output", Type::string())).chain(logprobs).collect()
    }

    /// What is wrong beyond the form.
    fn problems(&self, scope: &Scope<'_>, inputs: &[Port]) -> Diagnostics {
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
        self.check_form(scope, &mut wrong);
        for (key, number, least, most) in self.numbers() {
            if let Some(Late::Now(number)) = number
                && let Some(why) = out_of_range(key, *number, least, most)
            {
                wrong.push(scope.bad(&[key], why));
            }
        }
        check_offline(scope, self.offline.as_ref(), inputs, &mut wrong);
        wrong
    }

    fn check_form(&self, scope: &Scope<'_>, wrong: &mut Diagnostics) {
        let of_fields = scope.config().get("fields").is_some();
        match (of_fields, self.output_schema.is_some()) {
            (true, _) if self.fields.is_empty() => wrong.push(scope.bad(&["fields"], "`fields` names no output")),
            (true, true) => {
                let message = "`output_schema` stands in place of `fields`";
                let help = "`fields` gives one output for each field, `output_schema` one for the whole reply";
                wrong.push(scope.bad_key(&["output_schema"], message).help(help));
            }
            (false, false) if self.mode.is_some() => {
                let message = "`mode` says how structured output comes about, and the step has none";
                let help = "name the outputs under `fields`, or give the type of the whole under `output_schema`";
                wrong.push(scope.bad_key(&["mode"], message).help(help));
            }
            _ => {}
        }
        if self.send_message && self.form().is_some() {
            let message = "`send_message` says a reply that is text, not structured output";
            wrong.push(
                scope
                    .bad_key(&["send_message"], message)
                    .help("say what is to be said with an `output_message` step"),
            );
        }
        if self.top_logprobs.is_some() && self.form().is_some() {
            let message = "`top_logprobs` goes with a reply that is text, not with structured output";
            wrong.push(scope.bad_key(&["top_logprobs"], message));
        }
        if self.output_schema.as_ref().is_some_and(|shape| shape.default.is_some()) {
            let message = "the whole reply has no `default`: without a reply there is none";
            wrong.push(scope.bad_key(&["output_schema", "default"], message));
        }
    }

    /// The messages, with the conversation and the pictures in their places.
    async fn conversation(&self, cx: &StepCx<'_>, input: &Ports) -> Result<Vec<Message>, StepError> {
        let mut messages = self.render(input)?;
        let mut pictures = Vec::new();
        for name in &self.images {
            if let Some(value) = input.get(name) {
                pictures.extend(images::addresses(cx, name, value).await?);
            }
        }
        if !pictures.is_empty() {
            match ask::last_of_user(&mut messages) {
                Some(message) => message.images = pictures,
                None => messages.push(Message { images: pictures, ..Message::user("") }),
            }
        }
        if let Some(history) = input.get(CHAT_HISTORY).filter(|_| self.chat_history) {
            history::insert(&mut messages, history)?;
        }
        Ok(messages)
    }
}

/// What the text that answers offline reads and the step does not have.
pub(crate) fn check_offline(
    scope: &Scope<'_>,
    offline: Option<&OfflineText>,
    inputs: &[Port],
    wrong: &mut Diagnostics,
) {
    for variable in offline.iter().flat_map(|o| o.variables()) {
        if variable.name != "attempt" && !inputs.iter().any(|p| p.name == variable.name) {
            let message = format!("the offline text reads `{}`, which is no input of the step", variable.name);
            let span = scope.config().get("offline").map(|n| n.span_within(Some(variable.range.clone())));
            let mut diagnostic = scope.bad(&["offline"], message);
            diagnostic.span = span.filter(|s| s.source().is_some()).unwrap_or(diagnostic.span);
            let known = inputs.iter().map(|p| p.name.as_str()).chain(["attempt"]);
            wrong.push(diagnostic.suggest(&variable.name, known));
        }
    }
}

/// Why a number cannot be sent.
fn out_of_range(key: &str, number: f64, least: f64, most: f64) -> Option<String> {
    if number.is_finite() && (least..=most).contains(&number) {
        return None;
    }
    let most = if most.is_infinite() { String::new() } else { format!(" to {most}") };
    Some(format!("`{key}` is a number from {least}{most}, not {number}"))
}

impl Step for Prompt {
    const TYPE: &'static str = "prompt";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "write:\n  type: prompt\n  model: writer\n  template: !file prompts/write.md\n  offline: \"Justification: {{ row['customer_name'] }} asks for {{ row['loan_value'] }}.\"\n  output: draft\njudge:\n  type: prompt\n  model: writer\n  template: \"Judge this text: {{ draft }}\"\n  fields: { score: { type: integer, minimum: 1, maximum: 5 }, reason: string }\n  mode: json_schema\n  offline: '{\"score\": 4, \"reason\": \"It says why.\"}'";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![
                Port::new("VARIABLE", Type::any())
                    .doc("One for each variable of the texts, and each of `images`."),
                Port::new(CHAT_HISTORY, Type::list(Type::object())).doc("With `chat_history`: the messages."),
            ],
            outputs: vec![
                Port::new("output", Type::string())
                    .doc("The reply. With `output_schema` of that type; with `fields` there is none."),
                Port::new("FIELD", Type::any()).doc("One for each key of `fields`."),
                Port::new(LOGPROBS, Type::list(Type::object()))
                    .doc("With `top_logprobs`: the tokens; empty where the model is offline."),
            ],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let inputs = self.inputs();
        self.problems(scope, &inputs).into_result()?;
        let models = vec![ModelUse { model: self.model.clone(), offline: self.offline.is_some() }];
        Ok(Signature { models, ..Signature::new(inputs, self.outputs()) })
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let answer = self.ask(cx, &input).await?;
        if self.send_message {
            cx.post(&Said::new(Speaker::Agent, answer.text.as_str()))?;
        }
        Ok(Outcome::next(answer.outputs.unwrap_or_else(|| cx.outputs(vec![answer.text.into()]))))
    }
}

/// The word for who says a message.
pub(crate) fn role_word(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}
