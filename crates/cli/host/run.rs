//! One run of a host: started, gone on with until it ends or waits, answered.
//!
//! Every `run` is a new execution over the run's journal, so that going on after an answer, after a failure and after a
//! cancel are the same thing.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flowrun_core::address::Address;
use flowrun_core::conversation::{Answers, LARGEST_MESSAGE, Question, QuestionKind, Role, Said};
use flowrun_core::error::StepError;
use flowrun_core::events::{Event, Observer, Observers};
use flowrun_core::execute::{Execution, Outputs, Resources, Run, RunOptions, Stop as StopRun, execute};
use flowrun_core::journal::{Journal, MemoryJournal};
use flowrun_core::secrets::Secrets;
use flowrun_core::table::{Table, to_list};
use flowrun_core::value::Value;
use flowrun_data::Format;
use flowrun_data::write::{Target, write_table};
use flowrun_llm::ModelOverride;
use flowrun_steps::{Files, Models, Stores};
use flowrun_tools::host::Host;
use futures::future::BoxFuture;
use serde_json::{Map, Value as Json, json};
use tokio::sync::Notify;

use super::outgoing::{Lent, Outgoing};
use super::params::{Failure, StartOptions};
use super::session::HostFlow;
use super::wire::RpcError;
use crate::commands::Stop;
use crate::commands::host_parts::{Folder, given, models_of};
use crate::load::{bind_stores, check_files};

/// Rows of a table that a message holds; longer ones are written to a file.
const ROWS: u64 = 10_000;

/// A run by its handle.
pub(super) struct HostRun {
    handle: String,
    flow: Arc<HostFlow>,
    inputs: Vec<Value>,
    secrets: Secrets,
    seed: u64,
    parallel: Option<usize>,
    events: bool,
    files: Arc<Files>,
    models: Arc<Models>,
    stores: Arc<Stores>,
    /// Where it is kept; none where nothing outlives the process.
    folder: Option<Folder>,
    memory: Arc<MemoryJournal>,
    given: Arc<Given>,
    state: Mutex<State>,
    left: Notify,
}

#[derive(Default)]
struct State {
    /// What tells the execution under way to stop.
    under_way: Option<Arc<StopRun>>,
    cancelled: bool,
    finished: Option<Json>,
    /// The questions that the last execution left.
    waits_for: Vec<Question>,
    /// Messages that the host has, by who said them.
    told: HashSet<(Arc<str>, u32)>,
}

/// What the host has answered.
#[derive(Default)]
struct Given {
    replies: Mutex<VecDeque<String>>,
    others: Mutex<HashMap<String, Json>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answers for Given {
    fn answer<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Option<Json>, StepError>> {
        let answer = match question.kind {
            QuestionKind::Message { .. } => locked(&self.replies).pop_front().map(Json::from),
            _ => locked(&self.others).remove(&question.id),
        };
        Box::pin(std::future::ready(Ok(answer)))
    }
}

fn refused(stop: Stop) -> RpcError {
    match stop {
        Stop::Usage(message, help) => {
            let message = help.map_or(message.clone(), |help| format!("{message}; {help}"));
            RpcError::params("start", message)
        }
        Stop::Diagnostics(wrong) => {
            let messages: Vec<_> = wrong.iter().map(|d| d.message.clone()).collect();
            RpcError::params("start", messages.join("; "))
        }
        Stop::Code(code) => RpcError::params("start", format!("the run cannot begin ({code})")),
    }
}

/// What is wrong with the inputs. What to do about it at a command line is of no use here.
fn unfit(stop: Stop) -> RpcError {
    let error = match stop {
        Stop::Usage(message, _) => refused(Stop::usage(message.replace("\n       ", "; "))),
        other => refused(other),
    };
    RpcError { data: Some(json!({ "code": "inputs" })), ..error }
}

impl HostRun {
    /// Binds all that a run needs; nothing runs yet.
    pub(super) fn start(
        handle: String,
        flow: Arc<HostFlow>,
        inputs: Map<String, Json>,
        options: StartOptions,
        scratch: &Path,
    ) -> Result<Self, RpcError> {
        let loaded = &flow.loaded;
        let top = &loaded.compiled.flow;
        let working = std::env::current_dir().map_err(|e| RpcError::params("start", e.to_string()))?;
        let mut files = Files::new(&loaded.folder, &working);
        files.flow_name = top.name.to_string();
        let (inputs, seed) =
            given(top, inputs, options.seed, &mut files, &scratch.join(&handle)).map_err(unfit)?;
        let overrides = options.models.iter().map(|(name, choice)| format!("{name}={choice}").parse());
        let overrides: Vec<ModelOverride> = overrides
            .collect::<Result<_, _>>()
            .map_err(|e: flowrun_llm::ModelOverrideError| RpcError::params("models", e.to_string()))?;
        let (models, described) = models_of(&loaded.compiled.models, &overrides).map_err(refused)?;
        let mut wrong = check_files(top, &files, true);
        let stores = bind_stores(&loaded.compiled, &files, false).unwrap_or_else(|found| {
            wrong.extend(found);
            Stores::default()
        });
        if wrong.has_errors() {
            return Err(refused(Stop::Diagnostics(wrong)));
        }
        let folder = options.run_dir.map(|dir| Folder::at(&dir, loaded, top, &inputs, seed, described, &working));
        Ok(Self {
            handle,
            secrets: Secrets::of(top, &inputs),
            inputs,
            seed,
            parallel: options.parallel,
            events: options.events,
            files: Arc::new(files),
            models: Arc::new(models),
            stores: Arc::new(stores),
            folder: folder.transpose().map_err(refused)?,
            memory: Arc::new(MemoryJournal::new()),
            given: Arc::default(),
            state: Mutex::default(),
            left: Notify::new(),
            flow,
        })
    }

    /// What is hidden in all that is said and kept of it.
    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    pub(super) fn reply(&self, message: String) -> Result<(), RpcError> {
        if message.len() > LARGEST_MESSAGE {
            let message =
                format!("a message may have {LARGEST_MESSAGE} bytes, and this one has {}", message.len());
            return Err(RpcError::params("message", message));
        }
        locked(&self.given.replies).push_back(message);
        Ok(())
    }

    pub(super) fn tool_result(
        &self,
        id: &str,
        value: Option<Json>,
        error: Option<Failure>,
    ) -> Result<(), RpcError> {
        let answer = match (value, error) {
            (Some(value), None) => json!({ "result": value }),
            (None, Some(Failure::Text(message))) => json!({ "error": { "type": "Error", "message": message } }),
            (None, Some(Failure::Class { class, message })) => {
                json!({ "error": { "type": class, "message": message } })
            }
            _ => return Err(RpcError::params("params", "`tool_result` wants one of `value` and `error`")),
        };
        self.answer(id, answer)
    }

    pub(super) fn confirm(
        &self,
        id: &str,
        accept: bool,
        arguments: Option<Map<String, Json>>,
        reason: Option<String>,
    ) -> Result<(), RpcError> {
        let mut answer = Map::from_iter([("accept".to_owned(), Json::from(accept))]);
        answer.extend(arguments.map(|arguments| ("arguments".to_owned(), Json::from(arguments))));
        answer.extend(reason.map(|reason| ("reason".to_owned(), Json::from(reason))));
        self.answer(id, answer.into())
    }

    fn answer(&self, id: &str, answer: Json) -> Result<(), RpcError> {
        let state = locked(&self.state);
        let Some(question) = state.waits_for.iter().find(|question| question.id == id) else {
            return Err(RpcError::params("id", format!("the run waits for no answer to `{id}`")));
        };
        if let Some(why) = question.kind.refuses(&answer) {
            return Err(RpcError::params("answer", why));
        }
        locked(&self.given.others).insert(id.to_owned(), answer);
        Ok(())
    }

    /// What is in flight ends; where nothing is, the next `run` is interrupted.
    pub(super) fn cancel(&self) {
        let mut state = locked(&self.state);
        match &state.under_way {
            Some(stop) => {
                stop.ask();
                stop.ask();
            }
            None => state.cancelled = true,
        }
    }

    /// Claims the run for an execution.
    pub(super) fn enter(&self) -> Result<(), RpcError> {
        let mut state = locked(&self.state);
        if state.under_way.is_some() {
            return Err(RpcError::params("run", format!("`run` of {} is under way already", self.handle)));
        }
        state.under_way = Some(Arc::default());
        Ok(())
    }

    fn leave(&self) {
        locked(&self.state).under_way = None;
        self.left.notify_waiters();
    }

    /// Waits until no execution is under way.
    pub(super) async fn left(&self) {
        let left = self.left.notified();
        if locked(&self.state).under_way.is_some() {
            left.await;
        }
    }

    /// Runs until the run ends or waits for somebody.
    pub(super) async fn go_on(&self, outgoing: &Arc<Outgoing>, scratch: &Path) -> Result<Json, RpcError> {
        let status = self.status(outgoing, scratch).await;
        self.leave();
        status
    }

    async fn status(&self, outgoing: &Arc<Outgoing>, scratch: &Path) -> Result<Json, RpcError> {
        let stop = {
            let mut state = locked(&self.state);
            if let Some(finished) = &state.finished {
                return Ok(finished.clone());
            }
            if std::mem::take(&mut state.cancelled) {
                return Ok(json!({ "status": "interrupted", "reason": "the run was cancelled" }));
            }
            state.under_way.clone().unwrap_or_default()
        };
        let mut observers = Observers::new();
        if self.events {
            let (outgoing, run) = (Arc::clone(outgoing), self.handle.clone());
            observers = observers.with(Arc::new(Told { outgoing, run, maps: Mutex::default() }));
        }
        let journal: Arc<dyn Journal> = match &self.folder {
            Some(folder) => folder.journal().map_err(refused)?,
            None => self.memory.clone(),
        };
        let lent = Lent { outgoing: Arc::clone(outgoing), run: self.handle.clone() };
        let mut resources = Resources::new()
            .with(Arc::clone(&self.files))
            .with(Arc::clone(&self.models))
            .with(Arc::new(flowrun_net::Client::new()))
            .with(Arc::clone(&self.stores))
            .with(Arc::new(Host(Arc::new(lent))));
        if let Some(folder) = &self.folder {
            resources = folder.provide(resources);
        }
        let options = RunOptions {
            seed: self.seed,
            parallel: self.parallel,
            allow_stdio_mcp: self.flow.options.allow_stdio_mcp,
            lends: self.flow.lends.clone(),
            ..RunOptions::default()
        };
        let run = Run::new(options)
            .resources(resources)
            .observers(observers)
            .journal(journal)
            .secrets(self.secrets.clone());
        let run = match &self.folder {
            Some(folder) => run.spill_to(folder.parts()),
            None => run,
        };
        let run = Arc::new(run.stop(stop).answers(self.given.clone()));
        let ended = execute(&self.flow.loaded.compiled.flow, self.inputs.clone(), &run).await;
        if let Some(folder) = &self.folder {
            folder.close(&ended, &run, &self.secrets).map_err(refused)?;
        }
        self.answer_of(ended, &run, scratch)
    }

    /// The name of the end that was reached: an `EndNode` goes by its own.
    fn end_of<'o>(&self, outputs: &'o Outputs) -> Option<&'o str> {
        if self.flow.agent_spec {
            return outputs.step.as_deref().filter(|name| *name != flowrun_agentspec::OPEN_END);
        }
        outputs.end.as_deref()
    }

    fn answer_of(&self, ended: Result<Execution, StepError>, run: &Run, scratch: &Path) -> Result<Json, RpcError> {
        let ended = ended.map_err(|error| failed(&error))?;
        let messages = self.new_messages(run);
        Ok(match ended {
            Execution::Finished(outputs) => {
                let usage = run.usage();
                let mut finished = json!({
                    "status": "finished",
                    "outputs": self.outputs(&outputs, scratch)?,
                    "branch": self.end_of(&outputs),
                    "messages": [],
                    "usage": {
                        "calls": usage.calls,
                        "input_tokens": usage.input_tokens,
                        "output_tokens": usage.output_tokens,
                        "cost": usage.dollars(),
                    },
                });
                // Asked again, it says no message twice.
                locked(&self.state).finished = Some(finished.clone());
                finished["messages"] = messages.into();
                finished
            }
            Execution::Waiting(questions) => {
                let answer = waiting(&questions, &messages);
                locked(&self.state).waits_for = questions;
                answer
            }
            Execution::Interrupted(error) => {
                json!({ "status": "interrupted", "reason": error.message, "messages": messages })
            }
        })
    }

    /// What was said since the last time, in order.
    fn new_messages(&self, run: &Run) -> Vec<Json> {
        let mut state = locked(&self.state);
        let mut times: HashMap<Arc<str>, u32> = HashMap::new();
        let mut new = Vec::new();
        for Said { at, message } in run.said() {
            let time = times.entry(Arc::clone(&at)).or_default();
            *time += 1;
            // An execution says again what an earlier one has said.
            if state.told.insert((at, *time)) && message.role != Role::User {
                new.push(json!({ "role": message.role, "text": message.content }));
            }
        }
        new
    }

    fn outputs(&self, outputs: &Outputs, scratch: &Path) -> Result<Map<String, Json>, RpcError> {
        let wrong = |name: &str, why: String| {
            let message = format!("the output `{name}` cannot be handed over: {why}");
            RpcError::new(-32002, message).data(json!({ "code": "host.output" }))
        };
        let one = |(name, value): (&Arc<str>, &Value)| {
            let given = match value {
                Value::Table(table) => self.table(name, table, scratch),
                other => other.to_json().map_err(|e| e.to_string()),
            };
            Ok((name.to_string(), given.map_err(|why| wrong(name, why))?))
        };
        outputs.values.iter().map(one).collect()
    }

    fn table(&self, name: &str, table: &Table, scratch: &Path) -> Result<Json, String> {
        let rows = table.count().map_err(|e| e.to_string())?;
        if rows <= ROWS {
            return to_list(table).map_err(|e| e.to_string())?.to_json().map_err(|e| e.to_string());
        }
        let folder = self.folder.as_ref().map_or_else(|| scratch.join(&self.handle), Folder::tables);
        std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        let path = folder.join(format!("{name}.jsonl"));
        let written = write_table(table, Target::Path(path.clone()), Format::Jsonl).map_err(|e| e.to_string())?;
        Ok(json!({ "$table": path, "rows": written.rows }))
    }
}

/// What the run waits for. Where it waits for several things, tools come first: they were called side by side.
fn waiting(questions: &[Question], messages: &[Json]) -> Json {
    let requests = |tools: bool| {
        let one = |question: &Question| match &question.kind {
            QuestionKind::Tool { name, arguments } if tools => {
                Some(json!({ "id": question.id, "name": name, "arguments": arguments }))
            }
            QuestionKind::Confirmation { name, arguments } if !tools => {
                Some(json!({ "id": question.id, "name": name, "arguments": arguments }))
            }
            _ => None,
        };
        questions.iter().filter_map(one).collect::<Vec<_>>()
    };
    let (tools, confirmations) = (requests(true), requests(false));
    if !tools.is_empty() {
        return json!({ "status": "tool_request", "requests": tools, "messages": messages });
    }
    if !confirmations.is_empty() {
        return json!({ "status": "tool_confirmation", "requests": confirmations, "messages": messages });
    }
    json!({ "status": "user_message", "messages": messages })
}

fn failed(error: &StepError) -> RpcError {
    let details: BTreeMap<&str, &str> = error.details.iter().map(|(label, text)| (&**label, &**text)).collect();
    RpcError::new(-32002, error.message.clone()).data(json!({
        "code": error.code,
        "step": error.at.as_ref().map(ToString::to_string),
        "message": error.message,
        "cause": details,
        "help": error.help,
    }))
}

/// Tells the host how a run goes.
struct Told {
    outgoing: Arc<Outgoing>,
    run: String,
    maps: Mutex<HashMap<String, Counted>>,
}

#[derive(Default)]
struct Counted {
    total: Option<u64>,
    done: u64,
    accepted: u64,
    failed: u64,
}

impl Told {
    fn tell(&self, what: &str, at: &Address, more: Json) {
        let mut event = Map::from_iter([
            ("run".to_owned(), Json::from(self.run.as_str())),
            ("event".to_owned(), what.into()),
            ("step".to_owned(), at.to_string().into()),
        ]);
        if let Json::Object(more) = more {
            event.extend(more);
        }
        self.outgoing.tell(&event.into());
    }

    fn item(&self, map: &Address, result: Result<bool, ()>) {
        let mut maps = locked(&self.maps);
        let Some(counted) = maps.get_mut(&map.key()) else { return };
        counted.done += 1;
        counted.accepted += u64::from(result == Ok(true));
        counted.failed += u64::from(result.is_err());
        // A hundred times at most, whatever the size.
        let every = (counted.total.unwrap_or(100_000) / 100).max(1);
        if counted.done.is_multiple_of(every) || Some(counted.done) == counted.total {
            let Counted { total, done, accepted, failed } = *counted;
            let counts = json!({ "done": done, "total": total, "accepted": accepted, "failed": failed });
            self.tell("items", map, counts);
        }
    }
}

impl Observer for Told {
    fn on(&self, event: &Event<'_>) {
        match event {
            Event::StepStarted { at, step_type } if at.depth() == 0 => {
                self.tell("step_started", at, json!({ "type": step_type }));
            }
            Event::StepFinished { at, branch, note, .. } if at.depth() == 0 => {
                self.tell("step_finished", at, json!({ "branch": branch, "note": note }));
            }
            Event::StepFailed { at, error } if at.depth() == 0 => {
                self.tell("step_failed", at, json!({ "code": error.code, "message": error.message }));
            }
            Event::MapStarted { at, total, .. } if at.depth() == 0 => {
                locked(&self.maps).insert(at.key(), Counted { total: *total, ..Counted::default() });
            }
            Event::ItemFinished { map, result, .. } if map.depth() == 0 => {
                self.item(map, result.map_err(|_| ()));
            }
            Event::Said { at, message } => {
                self.tell("message", at, json!({ "role": message.role, "text": message.content }));
            }
            _ => {}
        }
    }
}
