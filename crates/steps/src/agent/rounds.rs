//! The rounds of an agent: the model is asked, what it calls is called, and what that gives goes to the next round.

use std::sync::Arc;

use flowrun_core::conversation::{Message as Said, QuestionKind, Role as Speaker};
use flowrun_core::error::StepError;
use flowrun_core::execute::{StepCx, ToolAnswer};
use flowrun_core::tool::ToolDefinition;
use flowrun_core::value::{ObjectBuilder, Value};
use flowrun_llm::{BoundModel, ChatRequest, FinishReason, Message, ModelErrorKind, Reply, ToolCall, ToolSpec};
use serde_json::{Value as Json, json};

use super::{Agent, Answer};
use crate::models::{Question, described};
use crate::prompt::Form;

/// The tool by which an agent gives its answer, where that has fields.
pub(super) const SUBMIT: &str = "submit";
/// The tool by which it asks the person.
pub(super) const ASK_USER: &str = "ask_user";

pub(super) struct Rounds<'r> {
    agent: &'r Agent,
    cx: &'r StepCx<'r>,
    model: &'r BoundModel,
    request: ChatRequest,
}

impl<'r> Rounds<'r> {
    pub(super) fn new(
        agent: &'r Agent,
        cx: &'r StepCx<'r>,
        model: &'r BoundModel,
        messages: Vec<Message>,
    ) -> Result<Self, StepError> {
        let mut tools = Vec::with_capacity(agent.tools.len() + 2);
        for name in &agent.tools {
            tools.push(spec_of(cx.tool(name)?));
        }
        if agent.ask_user {
            let question = json!({ "type": "string", "description": "What the person is asked." });
            tools.push(own(
                ASK_USER,
                "Asks the person, and gives the answer.",
                json!({
                    "type": "object", "properties": { "question": question }, "required": ["question"],
                }),
            ));
        }
        if let Some(form) = agent.form() {
            tools.push(own(SUBMIT, "Gives the answer and ends the work.", form.schema().clone()));
        }
        let request = ChatRequest { messages, tools, settings: agent.settings(cx)?, ..ChatRequest::default() };
        Ok(Self { agent, cx, model, request })
    }

    /// The agent's answer.
    pub(super) async fn answer(mut self) -> Result<Answer, StepError> {
        let most = self.agent.max_iterations.get();
        let mut last = String::new();
        for round in 1..=most {
            let reply = self.ask(round).await?;
            last.clone_from(&reply.text);
            if let Some(answer) = self.take(round, reply).await? {
                return Ok(answer);
            }
        }
        let message = format!("the agent has no answer after {most} rounds");
        let error = StepError::new("agent.unfinished", message)
            .help("raise `max_iterations`, give it a smaller task, or tools that lead there sooner");
        Err(if last.is_empty() { error } else { error.detail("reply", last) })
    }

    async fn ask(&mut self, round: u32) -> Result<Reply, StepError> {
        let key = format!("round/{round}");
        let (cx, model) = (self.cx, self.model);
        self.request.identity = cx.identity(&key);
        let reply = Question::new(cx, model, &self.request)?.ask(cx, &key).await?;
        if reply.finish_reason == FinishReason::Length {
            let message = "the reply was cut short at the limit of tokens";
            return Err(StepError::new(ModelErrorKind::Truncated.code(), message)
                .detail("model", described(model))
                .detail("reply", reply.text)
                .help("raise `max_tokens`, or ask for a shorter text"));
        }
        Ok(reply)
    }

    /// What a reply comes to: the answer, or more messages for the next round.
    async fn take(&mut self, round: u32, reply: Reply) -> Result<Option<Answer>, StepError> {
        let Reply { text, mut tool_calls, .. } = reply;
        if tool_calls.is_empty() {
            if self.agent.form().is_none() {
                return Ok(Some(Answer::Text(text)));
            }
            self.request.messages.push(Message::assistant(text));
            let nudge = format!("Go on. When you have the answer, call `{SUBMIT}`; nothing else ends the work.");
            self.request.messages.push(Message::user(nudge));
            return Ok(None);
        }
        for (n, call) in tool_calls.iter_mut().enumerate().filter(|(_, call)| call.id.is_empty()) {
            call.id = format!("call_{round}_{n}");
        }
        self.request.messages.push(Message::calling(text, tool_calls.clone()));
        for (n, call) in tool_calls.iter().enumerate() {
            let told = match self.agent.form().filter(|_| call.name == SUBMIT) {
                Some(form) => match form.read(&call.arguments) {
                    Ok(fields) => return Ok(Some(Answer::Fields(fields))),
                    Err(problems) => complaint(form, &problems),
                },
                None => self.called(&format!("round/{round}/call/{}", n + 1), call).await?,
            };
            self.request.messages.push(Message::tool_result(call.id.as_str(), told));
        }
        Ok(None)
    }

    /// What the model is told of a call that it made. What is wrong with the call, or fails in the tool, is told as well:
    /// the model may do better in the next round.
    async fn called(&self, key: &str, call: &ToolCall) -> Result<String, StepError> {
        let written = if call.arguments.trim().is_empty() { "{}" } else { &call.arguments };
        let arguments = match serde_json::from_str::<Value>(written) {
            Ok(Value::Object(arguments)) => arguments,
            Ok(_) => return Ok("Error: the arguments are no JSON object.".to_owned()),
            Err(error) => return Ok(format!("Error: the arguments are no JSON: {error}.")),
        };
        if self.agent.ask_user && call.name == ASK_USER {
            return match arguments.get("question").and_then(Value::as_str) {
                Some(question) => self.asked(key, question).await,
                None => Ok("Error: `question` is missing, or is no text.".to_owned()),
            };
        }
        if !self.agent.tools.contains(&call.name) {
            let known: Vec<_> = self.request.tools.iter().map(|tool| format!("`{}`", tool.name)).collect();
            return Ok(format!("Error: there is no tool `{}`; there are {}.", call.name, known.join(", ")));
        }
        let tool = self.cx.tool(&call.name)?;
        let given = arguments.iter().map(|(name, value)| (Arc::clone(name), value.clone())).collect::<Vec<_>>();
        match self.cx.ask_tool(tool, key, given).await? {
            ToolAnswer::Results(results) => told(tool, results),
            ToolAnswer::Error(error) => Ok(format!("Error: {}", error.message)),
        }
    }

    async fn asked(&self, key: &str, question: &str) -> Result<String, StepError> {
        self.cx.post(&Said::new(Speaker::Agent, question))?;
        let kind = QuestionKind::Message { text: Some(question.to_owned()) };
        let answer = self.cx.ask(key, kind).await?;
        let answer = answer.as_str().unwrap_or_default();
        self.cx.post(&Said::new(Speaker::User, answer))?;
        Ok(answer.to_owned())
    }
}

/// A tool of the flow, as the model is told of it.
fn spec_of(tool: &ToolDefinition) -> ToolSpec {
    let description = tool.description.clone().unwrap_or_default();
    ToolSpec { name: tool.name.to_string(), description, parameters: tool.arguments_schema(), strict: false }
}

fn own(name: &str, description: &str, parameters: Json) -> ToolSpec {
    ToolSpec { name: name.to_owned(), description: description.to_owned(), parameters, strict: false }
}

fn complaint(form: &Form, problems: &[String]) -> String {
    let (problems, schema) = (problems.join("\n- "), form.schema());
    format!(
        "Error: the answer does not have its form:\n- {problems}\nCall `{SUBMIT}` again; its arguments must be valid against {schema}"
    )
}

/// What a tool gave, as a text: a text as it is, all else as JSON.
fn told(tool: &ToolDefinition, results: Vec<Value>) -> Result<String, StepError> {
    let whole = match results.as_slice() {
        [Value::String(text)] => return Ok(text.to_string()),
        [only] => only.clone(),
        _ => {
            let mut object = ObjectBuilder::default();
            for (port, value) in tool.results.iter().zip(results) {
                object.set(port.name.as_str(), value);
            }
            Value::Object(object.finish())
        }
    };
    let wrong = |e: &dyn std::fmt::Display| {
        StepError::new("tool.result", format!("what the tool `{}` gave cannot be told: {e}", tool.name))
    };
    whole.to_json().map(|json| json.to_string()).map_err(|e| wrong(&e))
}
