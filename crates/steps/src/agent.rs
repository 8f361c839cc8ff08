//! `agent`: a model that calls tools until it has an answer.

mod rounds;

use std::num::NonZeroU32;
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
use flowrun_llm::{BoundModel, Message, Settings};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::models;
use crate::prompt::{CHAT_HISTORY, Form, Shape, check_offline, insert, offline_text, role_word, unfit};
use crate::template::inputs_of;
use rounds::{ASK_USER, Rounds, SUBMIT};

const OUTPUT: &str = "output";

/// A model that calls tools until it has an answer: in each round it is asked once, and what the tools that it calls give
/// goes to the next. Without `fields` its answer is the first reply that calls no tool; with `fields` it gives them by
/// calling the tool `submit`, and is told what is wrong where they do not fit. What every round and call gave is kept: a
/// run that goes on later repeats none of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the step")]
pub(crate) struct Agent {
    /// The model, by its name under `models:`.
    model: String,
    /// Instructions that stand above the conversation. Its variables are inputs of the step.
    system: Option<Text>,
    /// The task, as a message of the user. Its variables are inputs of the step. Without it `system` says all.
    template: Option<Text>,
    /// Whether what the user and the agent have said in the conversation so far goes before the task.
    #[serde(default)]
    conversation: bool,
    /// Whether the input `chat_history`, a list of `{ role, content }`, goes before the task.
    #[serde(default)]
    chat_history: bool,
    /// The tools that it may call, by their names under `tools:`. What each does is its `description`.
    #[serde(default)]
    tools: Vec<String>,
    /// Whether it may ask the person, by a tool `ask_user`; elsewhere than at a terminal the run waits for the answer.
    #[serde(default)]
    ask_user: bool,
    /// Also says the answer, as a message of the conversation. Not with `fields`.
    #[serde(default)]
    send_message: bool,
    /// Most rounds; an agent that has no answer by then is the error `agent.unfinished`.
    #[serde(default = "usual_rounds")]
    #[schemars(with = "u32", range(min = 1, max = 1000))]
    max_iterations: NonZeroU32,
    /// The outputs by name, each with its type, in place of `output`.
    #[serde(default)]
    fields: IndexMap<String, Shape>,
    /// What answers where the model is offline: a text over the step's inputs, `attempt` and `pick([…])`. Nothing is called
    /// then.
    offline: Option<OfflineText>,
    /// Most tokens of each reply, in place of the model's own setting.
    max_tokens: Option<Late<NonZeroU32>>,
    /// How freely the model chooses its words, in place of the model's own setting; 0 is the least free.
    temperature: Option<Late<f64>>,
    #[serde(skip)]
    form: OnceLock<Option<Form>>,
}

fn usual_rounds() -> NonZeroU32 {
    const { NonZeroU32::new(10).expect("ten is not zero") }
}

/// What an agent came to.
enum Answer {
    Text(String),
    Fields(Ports),
}

impl Agent {
    fn form(&self) -> Option<&Form> {
        let made = self.form.get_or_init(|| (!self.fields.is_empty()).then(|| Form::of_fields(&self.fields)));
        made.as_ref()
    }

    fn texts(&self) -> impl Iterator<Item = (Vec<String>, &Text)> {
        let system = self.system.iter().map(|text| (vec!["system".to_owned()], text));
        system.chain(self.template.iter().map(|text| (vec!["template".to_owned()], text)))
    }

    fn inputs(&self) -> Vec<Port> {
        let mut inputs = inputs_of(self.texts().map(|(path, text)| (path, &**text)));
        if self.chat_history && inputs.iter().all(|port| port.name != CHAT_HISTORY) {
            let asked = Some(Asked { path: vec![CHAT_HISTORY.to_owned()], range: 0..CHAT_HISTORY.len() });
            inputs.push(Port { asked, ..Port::new(CHAT_HISTORY, Type::list(Type::object())) });
        }
        inputs
    }

    fn outputs(&self) -> Vec<Port> {
        self.form().map_or_else(|| vec![Port::new(OUTPUT, Type::string())], Form::outputs)
    }

    /// What is wrong with the names of the tools, and whether a call of one can wait for somebody.
    fn look_up_tools(&self, scope: &Scope<'_>, wrong: &mut Diagnostics) -> bool {
        let mut waits = false;
        for (n, name) in self.tools.iter().enumerate() {
            let place = n.to_string();
            let path = ["tools", place.as_str()];
            match scope.tool(name, &path) {
                Ok(tool) => waits |= tool.waits(),
                Err(unknown) => {
                    wrong.extend(unknown);
                    continue;
                }
            }
            if self.tools[..n].contains(name) {
                wrong.push(scope.bad(&path, format!("the tool `{name}` stands twice")));
            }
            if [SUBMIT, ASK_USER].contains(&name.as_str()) {
                let message = format!("an agent has a tool `{name}` of its own");
                wrong.push(scope.bad(&path, message).help("give the tool of the flow another name"));
            }
            // What the interfaces of models take.
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
            if name.len() > 64 || !name.bytes().all(plain) {
                let message = format!("`{name}` is no name by which a model can call a tool");
                wrong.push(
                    scope
                        .bad(&path, message)
                        .help("such a name has at most 64 letters from a to z, digits, `_` and `-`"),
                );
            }
        }
        waits
    }

    fn settings(&self, cx: &StepCx<'_>) -> Result<Settings, StepError> {
        Ok(Settings {
            max_tokens: self.max_tokens.as_ref().map(|m| m.get(cx)).transpose()?,
            temperature: self.temperature.as_ref().map(|t| t.get(cx)).transpose()?,
            ..Settings::default()
        })
    }

    fn messages(&self, cx: &StepCx<'_>, input: &Ports) -> Result<Vec<Message>, StepError> {
        let get = |name: &str| input.get(name).cloned();
        let mut messages = Vec::with_capacity(2);
        if let Some(system) = &self.system {
            messages.push(Message::system(system.render(get)?));
        }
        if self.conversation {
            messages.extend(cx.messages()?.iter().filter_map(spoken));
        }
        if let Some(task) = &self.template {
            messages.push(Message::user(task.render(get)?));
        }
        if let Some(history) = input.get(CHAT_HISTORY).filter(|_| self.chat_history) {
            insert(&mut messages, history)?;
        }
        Ok(messages)
    }

    fn answer_offline(&self, cx: &StepCx<'_>, model: &BoundModel, input: &Ports) -> Result<Answer, StepError> {
        let text = offline_text(cx, model, self.offline.as_ref(), input)?;
        match self.form() {
            None => Ok(Answer::Text(text)),
            Some(form) => form.read(&text).map(Answer::Fields).map_err(|problems| unfit(model, &problems, &text)),
        }
    }
}

/// A message of the conversation, as a model is told of it; nothing for what neither of the two has said.
fn spoken(message: &Said) -> Option<Message> {
    match message.role {
        Speaker::User => Some(Message::user(&*message.content)),
        Speaker::Agent => Some(Message::assistant(&*message.content)),
        _ => None,
    }
}

impl Step for Agent {
    const TYPE: &'static str = "agent";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "research:\n  type: agent\n  model: writer\n  system: \"You answer from the catalogue alone.\"\n  template: \"{{ question }}\"\n  tools: [search, read_page]      # defined under `tools:`\n  fields: { answer: string, pages: [string] }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![
                Port::new("VARIABLE", Type::any()).doc("One for each variable of the texts."),
                Port::new(CHAT_HISTORY, Type::list(Type::object())).doc("With `chat_history`: the messages."),
            ],
            outputs: vec![
                Port::new(OUTPUT, Type::string()).doc("The answer. With `fields` there is none."),
                Port::new("FIELD", Type::any()).doc("One for each key of `fields`."),
            ],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let (mut wrong, inputs) = (Diagnostics::new(), self.inputs());
        let waits = self.look_up_tools(scope, &mut wrong) || self.ask_user;
        if scope.config().get("fields").is_some() && self.fields.is_empty() {
            wrong.push(scope.bad(&["fields"], "`fields` names no output"));
        }
        if self.system.is_none() && self.template.is_none() {
            let message = "the agent has nothing to do: it has neither `template` nor `system`";
            wrong.push(scope.bad(&[], message).help("write its task under `template`"));
        }
        if self.chat_history && self.conversation {
            let message =
                "the messages of the conversation and those of `chat_history` cannot both go before the task";
            wrong.push(scope.bad_key(&["chat_history"], message).help("take one of the two out"));
        }
        if self.send_message && self.form().is_some() {
            let message = "`send_message` says an answer that is a text, and `fields` make it none";
            let problem = scope.bad_key(&["send_message"], message);
            wrong.push(problem.help("say what is to be said with an `output_message` step"));
        }
        if let Some(Late::Now(temperature)) = &self.temperature
            && !(temperature.is_finite() && *temperature >= 0.0)
        {
            wrong
                .push(scope.bad(&["temperature"], format!("`temperature` is a number from 0, not {temperature}")));
        }
        check_offline(scope, self.offline.as_ref(), &inputs, &mut wrong);
        wrong.into_result()?;
        let models = vec![ModelUse { model: self.model.clone(), offline: self.offline.is_some() }];
        Ok(Signature { models, waits, ..Signature::new(inputs, self.outputs()) })
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let model = models::named(cx, &self.model)?;
        let answer = if model.is_offline() {
            self.answer_offline(cx, model, &input)?
        } else {
            Rounds::new(self, cx, model, self.messages(cx, &input)?)?.answer().await?
        };
        if let (Answer::Text(text), true) = (&answer, self.send_message) {
            cx.post(&Said::new(Speaker::Agent, text.as_str()))?;
        }
        if cx.is_preview() {
            let said = |m: Message| (role_word(m.role).to_owned(), m.content);
            let prompt: Vec<(String, String)> = self.messages(cx, &input)?.into_iter().map(said).collect();
            let reply = match &answer {
                Answer::Text(text) => text.clone(),
                Answer::Fields(ports) => {
                    let lines: Vec<_> = ports.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                    lines.join("\n")
                }
            };
            cx.emit(&Event::Answered { at: &cx.address(), model: &self.model, prompt: &prompt, reply: &reply });
        }
        Ok(Outcome::next(match answer {
            Answer::Text(text) => cx.outputs(vec![text.into()]),
            Answer::Fields(ports) => ports,
        }))
    }
}
