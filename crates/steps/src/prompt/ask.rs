//! The calls of a prompt: one, and one more where the form of the reply has to be repaired.

use flowrun_core::error::StepError;
use flowrun_core::events::Usage;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::template::OfflineText;
use flowrun_core::value::Value;
use flowrun_llm::{
    BoundModel, ChatRequest, FinishReason, Message, ModelErrorKind, Reply, ReplySchema, Role, ToolChoice, ToolSpec,
};

use super::form::{Form, Mode, NAME};
use super::{LOGPROBS, Prompt};
use crate::models::{Question, described};

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
        let (settings, identity) = (self.settings(cx)?, cx.identity("reply"));
        let mut request = ChatRequest { messages, settings, identity, ..ChatRequest::default() };
        if let Some(form) = self.form() {
            self.ask_for(form, &mut request);
            // In room of its own: it holds more than the call, and is part of what waits for other prompts too.
            return Box::pin(self.answer_in_form(cx, model, request, form)).await;
        }
        let question = Question::new(cx, model, &request)?;
        drop(request);
        let reply = self.call(cx, "reply", &question).await?;
        let logprobs = self.logprobs(model, &reply)?;
        Ok(Answer { outputs: self.weighed(&reply.text, logprobs), text: reply.text })
    }

    async fn answer_in_form(
        &self,
        cx: &StepCx<'_>,
        model: &BoundModel,
        mut request: ChatRequest,
        form: &Form,
    ) -> Result<Answer, StepError> {
        let first = self.call(cx, "reply", &Question::new(cx, model, &request)?).await?;
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
        request.identity = cx.identity("repair");
        let failed = |error: StepError| error.detail("first", first.clone());
        let again = Question::new(cx, model, &request)?;
        let again = self.call(cx, "repair", &again).await.map_err(failed)?;
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

    async fn call(&self, cx: &StepCx<'_>, key: &str, question: &Question<'_>) -> Result<Reply, StepError> {
        let model = question.model();
        let reply = question.ask(cx, key).await?;
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
