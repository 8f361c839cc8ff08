//! Calls of tools: the arguments are checked, what the call gives is kept before it is used.
//!
//! A tool runs at least once. Where a call may do harm the second time, its beginning is written down first, on the disk;
//! a resume that finds a beginning without an end does not guess, and asks what to do about it.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::{FlowEnd, RunOptions, StepCx};
use crate::address::FrameKind;
use crate::cast::cast;
use crate::conversation::QuestionKind;
use crate::error::StepError;
use crate::flow::Flow;
use crate::journal::{Journal, START_MARK};
use crate::signature::Port;
use crate::tool::ToolDefinition;
use crate::value::{Object, ObjectBuilder, Value, ValueError, kept};

/// What a resume does about a call that began, must not be made twice without harm, and of which nobody knows how it
/// ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unfinished {
    /// The run ends with an error that asks.
    #[default]
    Ask,
    /// The call is made again.
    Redo,
    /// Null stands for what it gave.
    Skip,
}

/// What a tool answered to who wants to know of errors, too.
#[derive(Clone, Debug)]
pub enum ToolAnswer {
    /// The results in the order in which the tool lists them.
    Results(Vec<Value>),
    /// Why there are none; kept like results.
    Error(StepError),
}

/// What things of a run stay open for further calls, such as the processes of a tool; closed when the run ends.
#[derive(Default)]
pub(super) struct Open(Mutex<HashMap<(TypeId, String), Arc<dyn Any + Send + Sync>>>);

impl Open {
    fn get<T: Send + Sync + 'static>(&self, key: &str, open: impl FnOnce() -> T) -> Arc<T> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (TypeId::of::<T>(), key.to_owned());
        if let Some(found) = held.get(&place).and_then(|found| Arc::clone(found).downcast().ok()) {
            return found;
        }
        let fresh = Arc::new(open());
        held.insert(place, Arc::clone(&fresh) as Arc<dyn Any + Send + Sync>);
        fresh
    }
}

/// What a tool sees of the run while it is called.
pub struct ToolCx<'a> {
    step: &'a StepCx<'a>,
    tool: &'a ToolDefinition,
    key: &'a str,
}

impl<'a> ToolCx<'a> {
    /// The step that calls.
    pub fn step(&self) -> &'a StepCx<'a> {
        self.step
    }

    /// The tool's name in the flow.
    pub fn name(&self) -> &'a Arc<str> {
        &self.tool.name
    }

    /// Whether the call may be made twice without harm.
    pub fn idempotent(&self) -> bool {
        self.tool.idempotent
    }

    /// The key of the call, which is unique within the visit of the step.
    pub fn key(&self) -> &'a str {
        self.key
    }

    /// The identity of the call: the same for every try of it, and in every run with this seed.
    pub fn identity(&self) -> String {
        self.step.identity(self.key)
    }

    /// Something that all steps share.
    ///
    /// # Errors
    /// `engine.resource` when the program that started the run did not provide one.
    pub fn resource<T: Send + Sync + 'static>(&self) -> Result<&'a T, StepError> {
        self.step.resource()
    }

    /// Something that stays open until the run ends, such as a process; `open` makes it for who asks first. The key says
    /// all that it depends on.
    pub fn held<T: Send + Sync + 'static>(&self, key: &str, open: impl FnOnce() -> T) -> Arc<T> {
        self.step.run.open.get(key, open)
    }

    /// Asks whoever lends the tool for what a call gives: `{"result": …}` or `{"error": …}`.
    ///
    /// # Errors
    /// As [`StepCx::ask`]: where nobody answers now, the run waits.
    pub async fn ask(&self, arguments: &Object) -> Result<Json, StepError> {
        let kind = QuestionKind::Tool { name: self.tool.name.to_string(), arguments: plain(arguments)? };
        self.step.ask(self.key, kind).await
    }

    /// Runs a flow in a frame of its own, with these arguments as its inputs.
    ///
    /// # Errors
    /// The error of the step that failed in it.
    pub async fn run_flow(&self, flow: &Arc<Flow>, arguments: &Object) -> Result<FlowEnd, StepError> {
        let kind = FrameKind::Flow(format!("{}/{}", self.tool.name, self.key).into());
        self.step.inner_flow(flow, kind, |name| arguments.get(name).cloned())?.run().await
    }
}

/// An outcome as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    Results(#[serde(with = "results")] Vec<Value>),
    Error(StepError),
}

/// Values that JSON has no type for come back as they were.
mod results {
    use super::{Deserialize, Serialize, Value, kept};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(values: &Vec<Value>, serializer: S) -> Result<S::Ok, S::Error> {
        kept::Kept(values).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Value>, D::Error> {
        let read = Vec::<Value>::deserialize(deserializer)?;
        read.into_iter().map(kept::restore).collect::<Result<_, _>>().map_err(serde::de::Error::custom)
    }
}

const BEGUN: &str = "\"begun\"";
const ENDED: &str = "\"ended\"";

impl StepCx<'_> {
    /// The tool of this name, as the step's signature asked for it.
    ///
    /// # Errors
    /// `engine.tool` when it never did.
    pub fn tool(&self, name: &str) -> Result<&Arc<ToolDefinition>, StepError> {
        self.step
            .tools
            .get(name)
            .ok_or_else(|| StepError::new("engine.tool", format!("the step did not ask for the tool `{name}`")))
    }

    /// Calls a tool: once, where the journal has what it gave. `key` is unique within a visit of the step. The results
    /// come in the order in which the tool lists them, each of its type.
    ///
    /// # Errors
    /// The tool's own; `tool.arguments` and `tool.result` where something does not fit; `tool.unfinished`.
    pub async fn call_tool(
        &self,
        tool: &ToolDefinition,
        key: &str,
        arguments: impl IntoIterator<Item = (Arc<str>, Value)>,
    ) -> Result<Vec<Value>, StepError> {
        let arguments = fitting_arguments(tool, arguments)?;
        match self.answer_of(tool, key, &arguments, false).await? {
            Record::Results(values) => fitting(&tool.results, values),
            Record::Error(error) => Err(error),
        }
    }

    /// As [`StepCx::call_tool`], where an error is an answer like others: it is kept, and a resume does not call again.
    ///
    /// # Errors
    /// What ends the run whatever its policy, and what the engine refuses.
    pub async fn ask_tool(
        &self,
        tool: &ToolDefinition,
        key: &str,
        arguments: impl IntoIterator<Item = (Arc<str>, Value)>,
    ) -> Result<ToolAnswer, StepError> {
        let arguments = match fitting_arguments(tool, arguments) {
            Ok(arguments) => arguments,
            Err(error) => return Ok(ToolAnswer::Error(error)),
        };
        Ok(match self.answer_of(tool, key, &arguments, true).await? {
            Record::Results(values) => ToolAnswer::Results(fitting(&tool.results, values)?),
            Record::Error(error) => ToolAnswer::Error(error),
        })
    }

    async fn answer_of(
        &self,
        tool: &ToolDefinition,
        key: &str,
        arguments: &Object,
        with_errors: bool,
    ) -> Result<Record, StepError> {
        if let Some(refused) = tool.tool.refused(self.options()) {
            return Err(refused.fatal());
        }
        let answer = |made: Result<Vec<Value>, StepError>| match made {
            Err(error) if with_errors && !error.fatal && !error.is_stop() => Ok(Record::Error(error)),
            made => made.map(Record::Results),
        };
        let arguments = &match self.confirmed(tool, key, arguments).await {
            Ok(arguments) => arguments,
            Err(error) => return answer(Err(error)),
        };
        if tool.tool.keeps_itself() {
            return answer(self.made_call(tool, key, arguments).await);
        }
        let call = || async { answer(self.begun_call(tool, key, arguments).await) };
        let asked = self.asked(&(&*tool.name, arguments))?;
        let record = self.effect_of(key, &asked, call).await?;
        if !tool.idempotent
            && let Some(settled) = self.run.journal.settled(true)
        {
            settled.await?;
        }
        Ok(record)
    }

    /// The arguments that somebody has allowed, where the tool wants that; they may be others than those asked for.
    async fn confirmed(&self, tool: &ToolDefinition, key: &str, arguments: &Object) -> Result<Object, StepError> {
        if !tool.confirm {
            return Ok(arguments.clone());
        }
        let kind = QuestionKind::Confirmation { name: tool.name.to_string(), arguments: plain(arguments)? };
        let answer = self.ask(&format!("{key}/confirm"), kind).await?;
        if answer.get("accept") != Some(&Json::Bool(true)) {
            let reason = answer.get("reason").and_then(Json::as_str).filter(|reason| !reason.is_empty());
            let message = reason
                .map_or_else(|| format!("the call of the tool `{}` was not allowed", tool.name), str::to_owned);
            return Err(StepError::new("tool.rejected", message));
        }
        match answer.get("arguments") {
            Some(Json::Object(others)) => {
                let others =
                    others.iter().map(|(name, value)| Ok((name.as_str().into(), Value::try_from(value.clone())?)));
                let others = others.collect::<Result<Vec<_>, ValueError>>();
                fitting_arguments(tool, others.map_err(|e| StepError::new("tool.arguments", e.to_string()))?)
            }
            _ => Ok(arguments.clone()),
        }
    }

    /// The call, with a record of its beginning where it may do harm the second time.
    async fn begun_call(
        &self,
        tool: &ToolDefinition,
        key: &str,
        arguments: &Object,
    ) -> Result<Vec<Value>, StepError> {
        if tool.idempotent {
            return self.made_call(tool, key, arguments).await;
        }
        let start = [key, START_MARK].concat();
        if self.kept(&start)?.as_deref() == Some(BEGUN) {
            match self.options().unfinished {
                Unfinished::Ask => return Err(unfinished(tool)),
                Unfinished::Redo => {}
                Unfinished::Skip => return skipped(tool),
            }
        }
        self.keep(&start, BEGUN.to_owned()).await?;
        if let Some(settled) = self.run.journal.settled(true) {
            settled.await?;
        }
        let made = self.made_call(tool, key, arguments).await;
        if let Err(error) = &made
            && !tool.tool.leaves_open(error)
        {
            self.keep(&start, ENDED.to_owned()).await?;
        }
        made
    }

    async fn made_call(
        &self,
        tool: &ToolDefinition,
        key: &str,
        arguments: &Object,
    ) -> Result<Vec<Value>, StepError> {
        let cx = ToolCx { step: self, tool, key };
        let value = tool.tool.call(&cx, arguments).await?;
        results_of(tool, value)
    }
}

/// Arguments as somebody who is asked sees them.
fn plain(arguments: &Object) -> Result<Map<String, Json>, StepError> {
    let wrong = |e: String| StepError::new("tool.arguments", format!("the arguments cannot be shown: {e}"));
    match Value::Object(arguments.clone()).to_json() {
        Ok(Json::Object(arguments)) => Ok(arguments),
        Ok(other) => Err(wrong(other.to_string())),
        Err(error) => Err(wrong(error.to_string())),
    }
}

fn unfinished(tool: &ToolDefinition) -> StepError {
    let message = format!(
        "a call of the tool `{}` began in an earlier process, and nobody knows whether it was carried out",
        tool.name
    );
    StepError::new("tool.unfinished", message)
        .help("find out what it did; then resume the run with `--redo` to make such calls again, or with `--skip` to take null for what they gave")
        .fatal()
}

fn skipped(tool: &ToolDefinition) -> Result<Vec<Value>, StepError> {
    if let Some(port) = tool.results.iter().find(|port| !port.value_type.admits_null()) {
        let message = format!(
            "a call of the tool `{}` cannot be skipped: its result `{}` is a {}, which null is not",
            tool.name, port.name, port.value_type
        );
        let error = StepError::new("tool.unfinished", message);
        return Err(error.help("resume the run with `--redo` to make the call again").fatal());
    }
    Ok(vec![Value::Null; tool.results.len()])
}

/// All arguments of a tool, each of its type.
fn fitting_arguments(
    tool: &ToolDefinition,
    given: impl IntoIterator<Item = (Arc<str>, Value)>,
) -> Result<Object, StepError> {
    let wrong = |message: String| StepError::new("tool.arguments", format!("the tool `{}` {message}", tool.name));
    let mut given: Vec<(Arc<str>, Value)> = given.into_iter().collect();
    let mut arguments = ObjectBuilder::default();
    for port in &tool.arguments {
        let place = given.iter().position(|(name, _)| **name == *port.name);
        let value = match place {
            Some(place) => {
                let (_, value) = given.swap_remove(place);
                cast(value, &port.value_type).map_err(|e| wrong(format!("takes no such `{}`: {e}", port.name)))?
            }
            None => port.default.clone().ok_or_else(|| wrong(format!("wants `{}`", port.name)))?,
        };
        arguments.set(port.name.as_str(), value);
    }
    match given.first() {
        None => Ok(arguments.finish()),
        Some((name, _)) => Err(wrong(format!("takes no argument `{name}`"))),
    }
}

/// What a tool gave, by its results.
fn results_of(tool: &ToolDefinition, value: Value) -> Result<Vec<Value>, StepError> {
    let wrong = |message: String| StepError::new("tool.result", format!("the tool `{}` {message}", tool.name));
    let values = match tool.results.as_slice() {
        [] => Vec::new(),
        [_] => vec![value],
        several => {
            let Value::Object(object) = &value else {
                return Err(wrong(format!("gave {value}, where an object with its results is wanted")));
            };
            let one = |port: &Port| {
                let given = object.get(&port.name).cloned().or_else(|| port.default.clone());
                let given = given.or_else(|| port.value_type.admits_null().then_some(Value::Null));
                given.ok_or_else(|| wrong(format!("did not give `{}`", port.name)))
            };
            several.iter().map(one).collect::<Result<_, _>>()?
        }
    };
    fitting(&tool.results, values).map_err(|error| wrong(format!("gave what does not fit: {}", error.message)))
}

/// Values of the types of these results.
fn fitting(results: &[Port], values: Vec<Value>) -> Result<Vec<Value>, StepError> {
    if values.len() != results.len() {
        let message = "what was kept of a call is not what the tool gives now";
        return Err(StepError::new("journal.record", message));
    }
    let one = |(port, value): (&Port, Value)| {
        cast(value, &port.value_type).map_err(|e| StepError::new("tool.result", format!("`{}`: {e}", port.name)))
    };
    results.iter().zip(values).map(one).collect()
}

impl RunOptions {
    /// As they are, with this about calls that are unfinished.
    #[must_use]
    pub fn unfinished(mut self, unfinished: Unfinished) -> Self {
        self.unfinished = unfinished;
        self
    }
}
