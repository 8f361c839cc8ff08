//! [`execute`]: the small loop that walks a compiled flow.

mod context;
mod early;
mod failures;
mod frame;
mod items;
mod limits;
pub mod panics;
mod remembered;
mod shelf;
mod talk;
mod tools;

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::address::Address;
use crate::cast::cast;
use crate::conversation::{Answers, Message, Messages, NoAnswers, Question};
use crate::error::{INTERRUPTED, StepError, WAITING};
use crate::events::{Event, Observers, Usage};
use crate::flow::Flow;
use crate::journal::{Journal, NoJournal};
use crate::ports::Ports;
use crate::secrets::{Secrets, Veiled};
use crate::value::Value;
use failures::Failures;
use shelf::Shelf;

pub use context::{Asked, FlowEnd, FlowRun, StepCx};
pub use early::{StopAfter, Target};
pub use items::{ItemPlan, OnItemError};
pub use limits::Interrupt;
pub use remembered::Used;
pub use shelf::{Changes, Fork, Kept};
pub use tools::{ToolAnswer, ToolCx, Unfinished};

/// What the person who started a run asked for.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// The seed of everything drawn.
    pub seed: u64,
    /// Overrides every map's `parallel`.
    pub parallel: Option<usize>,
    /// Every map of the top flow takes only its first so many items.
    pub preview: Option<u64>,
    /// What becomes of calls that an earlier process began, and of which nobody knows how they ended.
    pub unfinished: Unfinished,
    /// Whether programs may be started that speak MCP.
    pub allow_stdio_mcp: bool,
    /// The functions that the program around the run lends, by name.
    pub lends: Vec<String>,
}

/// Things that steps share, one of each type: the models, the file access. They are few, and asked for in each call.
#[derive(Clone, Default)]
pub struct Resources(Vec<(TypeId, Arc<dyn Any + Send + Sync>)>);

impl Resources {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, in the place of an earlier one of its type.
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(mut self, resource: Arc<T>) -> Self {
        let own = TypeId::of::<T>();
        self.0.retain(|(of, _)| *of != own);
        self.0.push((own, resource));
        self
    }

    /// The one of this type.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        let own = TypeId::of::<T>();
        self.0.iter().find(|(of, _)| *of == own).and_then(|(_, resource)| resource.downcast_ref())
    }
}

/// Tells a run to stop: once to take no more items, twice to leave off.
#[derive(Debug, Default)]
pub struct Stop {
    level: AtomicU8,
    first: Notify,
    now: Notify,
}

impl Stop {
    /// Asks once more.
    pub fn ask(&self) {
        if self.level.fetch_add(1, Ordering::SeqCst) >= 1 {
            self.now.notify_waiters();
        }
        self.first.notify_waiters();
    }

    /// Whether no more items are taken and no more steps of the top flow begun.
    pub fn is_asked(&self) -> bool {
        self.level.load(Ordering::Relaxed) > 0
    }

    /// Waits until it is asked.
    async fn asked(&self) {
        let notified = self.first.notified();
        if self.is_asked() {
            return;
        }
        notified.await;
    }

    async fn at_once(&self) {
        let notified = self.now.notified();
        if self.level.load(Ordering::SeqCst) > 1 {
            return;
        }
        notified.await;
    }
}

/// An item that ended in an error.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ItemFailure {
    /// The map's step, as a person reads it.
    pub map: String,
    /// The item's place.
    pub item: u64,
    /// The step in which it failed.
    pub step: String,
    /// The error's code.
    pub code: String,
    /// What was wrong.
    pub message: String,
    /// More about it: the reply, the status.
    pub details: serde_json::Map<String, serde_json::Value>,
    /// Attempts that it took.
    pub attempts: u32,
}

/// One run: what all its frames share.
pub struct Run {
    pub(crate) options: RunOptions,
    pub(crate) resources: Resources,
    pub(crate) observers: Observers,
    pub(crate) journal: Veiled,
    pub(crate) stop: Arc<Stop>,
    answers: Arc<dyn Answers>,
    interrupts: Vec<Arc<dyn Interrupt>>,
    /// Messages from before the run.
    begun_with: Messages,
    /// Those of the conversation when it ended.
    messages: Mutex<Messages>,
    /// What it waits for.
    questions: Mutex<Vec<Question>>,
    /// The key under which the identities of all requests are made. The seed is in it.
    identities: [u8; 32],
    open: tools::Open,
    totals: Mutex<Usage>,
    counters: Mutex<BTreeMap<String, u64>>,
    failures: Mutex<Failures>,
}

impl Run {
    /// A run with these options, without resources, observers or a journal.
    pub fn new(options: RunOptions) -> Self {
        Self {
            identities: blake3::derive_key("flowrun 2026 request identity", &options.seed.to_le_bytes()),
            options,
            open: tools::Open::default(),
            resources: Resources::new(),
            observers: Observers::new(),
            journal: Veiled::new(Arc::new(NoJournal), Secrets::default()),
            stop: Arc::default(),
            answers: Arc::new(NoAnswers),
            interrupts: Vec::new(),
            begun_with: Messages::default(),
            messages: Mutex::default(),
            questions: Mutex::default(),
            totals: Mutex::default(),
            counters: Mutex::default(),
            failures: Mutex::default(),
        }
    }

    /// Sets what steps share.
    #[must_use]
    pub fn resources(mut self, resources: Resources) -> Self {
        self.resources = resources;
        self
    }

    /// Sets who listens.
    #[must_use]
    pub fn observers(mut self, observers: Observers) -> Self {
        self.observers = observers;
        self
    }

    /// Sets where records are kept.
    #[must_use]
    pub fn journal(mut self, journal: Arc<dyn Journal>) -> Self {
        self.journal = self.journal.over(journal);
        self
    }

    /// Sets what is hidden in all that is said and kept of the run.
    #[must_use]
    pub fn secrets(mut self, secrets: Secrets) -> Self {
        self.journal = self.journal.hiding(secrets);
        self
    }

    /// Lets it write items that failed into this folder, where they are many.
    #[must_use]
    pub fn spill_to(self, folder: std::path::PathBuf) -> Self {
        self.failures().spill_to(folder);
        self
    }

    /// Sets what tells it to stop.
    #[must_use]
    pub fn stop(mut self, stop: Arc<Stop>) -> Self {
        self.stop = stop;
        self
    }

    /// Sets who answers questions while it runs.
    #[must_use]
    pub fn answers(mut self, answers: Arc<dyn Answers>) -> Self {
        self.answers = answers;
        self
    }

    /// Adds something that may want it to stop.
    #[must_use]
    pub fn interrupt(mut self, interrupt: Arc<dyn Interrupt>) -> Self {
        self.interrupts.push(interrupt);
        self
    }

    /// Begins with these messages.
    #[must_use]
    pub fn messages(mut self, messages: Vec<Message>) -> Self {
        self.begun_with = Messages::before(messages);
        self
    }

    /// Tells all who listen, as people may hear it.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.journal.secrets().tell(event, |event| self.observers.tell(event));
    }

    /// An error as people may read it.
    pub(crate) fn masked(&self, error: StepError) -> StepError {
        self.journal.secrets().masked_error(error)
    }

    fn begun_with(&self) -> Messages {
        self.begun_with.clone()
    }

    /// What all calls have used so far.
    pub fn usage(&self) -> Usage {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What steps have counted, by name.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many items failed.
    pub fn failed(&self) -> u64 {
        self.failures().count()
    }

    /// The first item that failed, by map and place.
    pub fn first_failure(&self) -> Option<ItemFailure> {
        self.failures().first().cloned()
    }

    /// Hands all items that failed to `take`, by map and place.
    ///
    /// # Errors
    /// Those of `take`, and when what was written of them cannot be read.
    pub fn each_failure(&self, take: impl FnMut(&ItemFailure) -> std::io::Result<()>) -> std::io::Result<()> {
        self.failures().each(take)
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_usage(&self, usage: Usage) {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner) += usage;
    }

    fn count(&self, name: &str, times: u64) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        *counters.entry(name.to_owned()).or_default() += times;
    }

    fn add_failure(&self, failure: ItemFailure) {
        self.failures().add(failure);
    }
}

/// What happens inside one item of a map, counted for its record.
#[derive(Debug, Default)]
struct ItemStats {
    retries: AtomicU32,
    usage: Mutex<Usage>,
    counters: Mutex<BTreeMap<String, u64>>,
    outer: Option<Arc<Self>>,
}

impl ItemStats {
    fn add_usage(&self, usage: Usage) {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner) += usage;
        if let Some(outer) = &self.outer {
            outer.add_usage(usage);
        }
    }

    fn count(&self, name: &str, times: u64) {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        *counters.entry(name.to_owned()).or_default() += times;
        drop(counters);
        if let Some(outer) = &self.outer {
            outer.count(name, times);
        }
    }
}

/// What a run gave.
#[derive(Debug)]
pub struct Outputs {
    /// The flow's outputs.
    pub values: Ports,
    /// The named end that it reached.
    pub end: Option<Arc<str>>,
    /// The step by which it ended, where that is an end.
    pub step: Option<Arc<str>>,
}

/// How far a run came.
#[derive(Debug)]
pub enum Execution {
    /// To its end.
    Finished(Outputs),
    /// To questions that nobody answered. With their answers in its journal, the run goes on when it is executed again.
    Waiting(Vec<Question>),
    /// Until it was told to stop, or a limit of its time was over; the error says which. Executed again over its journal,
    /// it goes on.
    Interrupted(StepError),
}

impl Execution {
    /// The outputs of a run that came to its end.
    ///
    /// # Errors
    /// `run.waiting` and `run.interrupted` where it did not.
    pub fn finished(self) -> Result<Outputs, StepError> {
        match self {
            Self::Finished(outputs) => Ok(outputs),
            Self::Interrupted(error) => Err(error),
            Self::Waiting(questions) => {
                let asks: Vec<_> = questions.iter().map(|q| format!("`{}`", q.at)).collect();
                Err(StepError::new(WAITING, format!("the run waits for an answer to {}", asks.join(", "))))
            }
        }
    }
}

/// Checks given values against a flow's inputs and completes them with defaults, in the flow's order.
///
/// # Errors
/// All that is wrong with them, each as one message.
pub fn bind(flow: &Flow, mut given: BTreeMap<String, Value>) -> Result<Vec<Value>, Vec<String>> {
    let mut wrong = Vec::new();
    let mut values = Vec::with_capacity(flow.inputs.len());
    for port in &flow.inputs {
        let value = given.remove(&port.name).or_else(|| port.default.clone());
        match value.map(|v| cast(v, &port.value_type)) {
            Some(Ok(value)) => values.push(value),
            Some(Err(_)) if port.secret => {
                wrong.push(format!("input `{}`: it is no {}", port.name, port.value_type));
            }
            Some(Err(error)) => wrong.push(format!("input `{}`: {error}", port.name)),
            None => wrong.push(format!("the flow wants an input `{}` ({})", port.name, port.value_type)),
        }
    }
    for name in given.into_keys() {
        let near = crate::diagnostics::nearest(&name, flow.inputs.iter().map(|p| p.name.as_str()));
        let near = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
        wrong.push(format!("the flow has no input `{name}`{near}"));
    }
    if wrong.is_empty() { Ok(values) } else { Err(wrong) }
}

/// Runs a flow to its end. `inputs` stand in the order of the flow's inputs, as [`bind`] gives them.
///
/// # Errors
/// The error of the step that failed, with its address.
pub async fn execute(flow: &Arc<Flow>, inputs: Vec<Value>, run: &Arc<Run>) -> Result<Execution, StepError> {
    let shelf: Arc<Shelf> = Arc::default();
    let ended = walk_top(flow, inputs, run, &shelf).await;
    match run.keep_said(&shelf).and(ended) {
        Ok(outputs) => Ok(Execution::Finished(outputs)),
        Err(error) if error.code == WAITING => Ok(Execution::Waiting(run.questions())),
        Err(error) if error.code == INTERRUPTED => Ok(Execution::Interrupted(error)),
        Err(error) => Err(run.masked(error)),
    }
}

/// How long a run that was told to stop at once waits for what leaves off.
const LEFT_OFF_WITHIN: Duration = Duration::from_millis(200);

async fn walk_top(
    flow: &Arc<Flow>,
    inputs: Vec<Value>,
    run: &Arc<Run>,
    shelf: &Arc<Shelf>,
) -> Result<Outputs, StepError> {
    let (flow, run, shelf) = (Arc::clone(flow), Arc::clone(run), Arc::clone(shelf));
    let (stop, timeout, name) = (Arc::clone(&run.stop), flow.limits.timeout, Arc::clone(&flow.name));
    // A task of its own stands among those of the items: what they tell it wakes no other thread. Dropping the set
    // ends it.
    let mut top = JoinSet::new();
    top.spawn(async move {
        let frame = frame::Frame { address: Address::root(), attempt: 1, item: None, shelf, meter: None };
        frame::walk(&run, &flow, inputs, &frame).await
    });
    let ended = async {
        tokio::select! {
            end = top.join_next() => match end {
                Some(Ok(end)) => end.map(|end| Outputs { values: end.outputs, end: end.name, step: end.step }),
                broken => {
                    let message = format!("the run ended without an answer: {broken:?}");
                    Err(StepError::new("engine.worker", message))
                }
            },
            () = stop.at_once() => {
                // What waits is gone before anybody hears of the end, so that a late answer finds nobody; a step that
                // holds its thread is not waited for.
                let _ = tokio::time::timeout(LEFT_OFF_WITHIN, top.shutdown()).await;
                Err(StepError::new(INTERRUPTED, "the run was told to stop at once"))
            }
        }
    };
    let Some(most) = timeout else { return ended.await };
    let mut ended = std::pin::pin!(ended);
    tokio::select! {
        ended = &mut ended => return ended,
        () = tokio::time::sleep(most) => {}
    }
    // What is in flight is finished, as when a person asks for it.
    if !stop.is_asked() {
        stop.ask();
    }
    ended.await.map_err(|error| {
        if error.code != INTERRUPTED {
            return error;
        }
        let message = format!("the flow `{name}` was not done after {}", limits::seconds(most));
        StepError {
            at: error.at,
            ..StepError::new(INTERRUPTED, message).help("raise `limits: { timeout: SECONDS }`")
        }
    })
}
