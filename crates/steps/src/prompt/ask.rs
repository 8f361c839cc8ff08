//! The calls of a prompt: one, and one more where the form of the reply has to be repaired.

use flowrun_core::error::StepError;
use flowrun_core::events::Usage;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::template::OfflineText;
use flowrun_core::value::Value;
use flowrun_llm::{
    BoundModel, ChatRequest, Compared, FinishReason, Message, ModelError, ModelErrorKind, Reply, ReplySchema,
    Role, ToolChoice, ToolSpec,
};

use super::form::{Form, Mode, NAME};
use super::{LOGPROBS, Prompt};

/// What a model answered: the outputs, where they are more than the text, and the text as it wrote it.
pub(super) struct Answer {
    pub(super) outputs: Option<Ports>,
    pub(super) text: String,
}

impl Prompt {
    pub(super) fn answer_offline(
        &self,
        cx: &StepCx<'_>,
        model: &BoundModel,
        input: &Ports,
    ) -> Result<Answer, StepError> {
        let text = offline_text(cx, model, self.offline.as_ref(), input)?;
        let outputs = match self.form() {
            Some(form) => Some(form.read(&text).map_err(|problems| unfit(model, &problems, &text))?),
            // Nobody weighed a token.
            None => self.weighed(&text, Some(Vec::new())),
        };
        Ok(Answer { outputs, text })
    }

    pub(super) async fn answer(
        &self,
        cx: &StepCx<'_>,
        model: &BoundModel,
        messages: Vec<Message>,
    ) -> Result<Answer, StepError> {
        let mut request = ChatRequest { messages, settings: self.settings(cx)?, ..ChatRequest::default() };
        let Some(form) = self.form() else {
            let reply = self.call(cx, model, "reply", &mut request).await?;
            let logprobs = self.logprobs(model, &reply)?;
            return Ok(Answer { outputs: self.weighed(&reply.text, logprobs), text: reply.text });
        };
        self.ask_for(form, &mut request);
        let first = self.call(cx, model, "reply", &mut request).await?;
        let first = written(&first).to_owned();
        let problems = match form.read(&first) {
            Ok(outputs) => return Ok(Answer { outputs: Some(outputs), text: first }),
            Err(problems) => problems,
        };
        cx.count("replies to repair", 1);
        // Servers refuse a message without a text.
        let shown = if first.is_empty() { "(no answer)" } else { &first };
        request.messages.push(Message::assistant(shown));
        request.messages.push(Message::user(Form::complaint(&problems, self.mode())));
        let failed = |error: StepError| error.detail("first", first.clone());
        let again = self.call(cx, model, "repair", &mut request).await.map_err(failed)?;
        let text = written(&again).to_owned();
        let outputs = form.read(&text).map_err(|problems| failed(unfit(model, &problems, &text)))?;
        Ok(Answer { outputs: Some(outputs), text })
    }

    /// Tells the model, or its server, of the form.
    fn ask_for(&self, form: &Form, request: &mut ChatRequest) {
        let (schema, strict) = (form.schema().clone(), form.is_strict());
        match self.mode() {
            Mode::Tags => match last_of_user(&mut request.messages) {
                Some(message) => message.content.push_str(&form.instruction()),
                None => request.messages.push(Message::user(form.instruction().trim_start())),
            },
            Mode::JsonSchema => {
                request.reply_schema = Some(ReplySchema { name: NAME.to_owned(), schema, strict });
            }
            Mode::Tool => {
                let description = "Gives the answer.".to_owned();
                request.tools = vec![ToolSpec { name: NAME.to_owned(), description, parameters: schema, strict }];
                request.tool_choice = Some(ToolChoice::Named(NAME.to_owned()));
            }
        }
    }

    async fn call(
        &self,
        cx: &StepCx<'_>,
        model: &BoundModel,
        key: &str,
        request: &mut ChatRequest,
    ) -> Result<Reply, StepError> {
        request.identity = cx.identity(key);
        let request = &*request;
        // Who answers is no part of it: a run may go on with another model without asking again what was answered.
        let messages = Compared { messages: &request.messages, veil: &|text| cx.veiled(text) };
        let asked = (messages, &request.settings, &request.reply_schema, &request.tools, &request.tool_choice);
        let reply: Reply = cx
            .call(key, &asked, || async {
                crate::cache::chat(cx, model, key, request).await.map_err(|error| {
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
                .detail("reply", written(&reply))
                .help("raise `max_tokens`, ask for a shorter text, or set `allow_truncated: true`"));
        }
        Ok(reply)
    }

    /// A text with how likely its tokens were, where the step gives that.
    fn weighed(&self, text: &str, logprobs: Option<Vec<Value>>) -> Option<Ports> {
        let tokens = logprobs.filter(|_| self.top_logprobs.is_some())?;
        Some([("output", Value::from(text)), (LOGPROBS, Value::from(tokens))].into_iter().collect())
    }

    fn logprobs(&self, model: &BoundModel, reply: &Reply) -> Result<Option<Vec<Value>>, StepError> {
        if self.top_logprobs.is_none() {
            return Ok(None);
        }
        let tokens = reply.logprobs.iter().flatten().map(|token| Value::try_from(token.clone()));
        match tokens.collect::<Result<Vec<_>, _>>() {
            Ok(tokens) if reply.logprobs.is_some() => Ok(Some(tokens)),
            _ => Err(StepError::new("model.no_logprobs", "the model says nothing of how likely its tokens are")
                .detail("model", described(model))
                .detail("reply", reply.text.as_str())
                .help("leave `top_logprobs` out, or take a model that gives them")),
        }
    }
}

/// What answers in the place of a model that is offline.
pub(crate) fn offline_text(
    cx: &StepCx<'_>,
    model: &BoundModel,
    offline: Option<&OfflineText>,
    input: &Ports,
) -> Result<String, StepError> {
    let Some(offline) = offline else {
        let message = format!("the model `{}` is offline, and the step has no `offline` text", model.name());
        return Err(StepError::new(ModelErrorKind::NoTemplate.code(), message)
            .help(ModelErrorKind::NoTemplate.help())
            .fatal());
    };
    let text = offline.render_seeded(&cx.rng("offline"), |name| match name {
        "attempt" => Some(Value::from(cx.attempt())),
        name => input.get(name).cloned(),
    })?;
    cx.count_call()?;
    cx.add_usage(Usage { calls: 1, ..Usage::default() });
    Ok(text)
}

/// The message that what belongs to the prompt is put to.
pub(super) fn last_of_user(messages: &mut [Message]) -> Option<&mut Message> {
    messages.iter_mut().rfind(|message| message.role == Role::User)
}

/// What the model wrote: the arguments of the call that it was made to do, or its text where it did not.
fn written(reply: &Reply) -> &str {
    let named = reply.tool_calls.iter().find(|call| call.name == NAME);
    let call = named.or(reply.tool_calls.first());
    call.map_or(&reply.text, |call| &call.arguments)
}

/// The error of a reply that does not have its form, after the model was told so.
pub(crate) fn unfit(model: &BoundModel, problems: &[String], text: &str) -> StepError {
    let message = format!("the reply does not have its form: {}", problems.join("; "));
    StepError::new("model.structure", message)
        .detail("model", described(model))
        .detail("reply", text)
        .help("change the prompt, take another `mode`, or list `model.structure` in a retry's `retry_on`")
}

pub(crate) fn usage_of(reply: &Reply) -> Usage {
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

pub(crate) fn described(model: &BoundModel) -> String {
    format!("`{}`, {}", model.name(), model.describe())
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
