//! Flows through the library: parsed, compiled and run in this process, offline.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};

use flowrun::core::compile::compile;
use flowrun::core::conversation::{Answers, Question, Said, answer};
use flowrun::core::diagnostics::Diagnostics;
use flowrun::core::error::StepError;
use flowrun::core::events::{Event, ItemCounts, Observer, Observers};
use flowrun::core::execute::{Execution, Outputs, Resources, Run, RunOptions, bind, execute};
use flowrun::core::flow::Compiled;
use flowrun::core::journal::{Journal, MemoryJournal};
use flowrun::core::registry::Registry;
use flowrun::core::value::Value;
use flowrun::llm::{Binder, Environment, HttpClient, ModelConfig};
use flowrun::steps::{Files, Models, Stores};
use flowrun::yaml::{ParseOptions, parse};
use futures::future::BoxFuture;
use serde_json::Value as Json;
use tempfile::TempDir;

/// Parses and compiles a flow; warnings of both are among the compiled flow's.
pub(crate) fn compiled(text: &str, registry: &Registry) -> Result<Compiled, Diagnostics> {
    let parsed = parse(text, &ParseOptions::new("flow.yaml", "."))?;
    let mut compiled = compile(&parsed.spec, registry)?;
    compiled.warnings.extend(parsed.warnings);
    Ok(compiled)
}

/// A run to be: a flow, and what is around it.
pub(crate) struct Engine {
    pub(crate) compiled: Compiled,
    resources: Resources,
    options: RunOptions,
    journal: Option<Arc<dyn Journal>>,
    answers: Option<Arc<Script>>,
    maps: Arc<Maps>,
    said: Mutex<Vec<Said>>,
    /// Where it writes; gone after the test.
    _working: TempDir,
}

impl Engine {
    /// A flow that compiles. What it reads lies in `folder`; its models are offline.
    pub(crate) fn new(compiled: Compiled, folder: &Path) -> Self {
        Self::asking(compiled, folder, &Environment::default())
    }

    /// The same, with models where the environment says.
    pub(crate) fn asking(compiled: Compiled, folder: &Path, environment: &Environment) -> Self {
        let http = HttpClient::new().unwrap();
        let binder = Binder { environment, overrides: &[], http: &http };
        let models = compiled.models.iter().map(|definition| {
            let config = definition.config.downcast_ref::<ModelConfig>().filter(|_| definition.called)?;
            Some(binder.bind(&definition.name, config, definition.offline).unwrap())
        });
        let models = Models::new(models.collect());
        let working = TempDir::new().unwrap();
        let files = Files::new(folder, working.path());
        let stores = Stores::bind(&compiled.datastores, &files, false).unwrap();
        let web = flowrun::net::Client::new();
        let resources = Resources::new().with(Arc::new(models)).with(Arc::new(files)).with(Arc::new(web));
        Self {
            compiled,
            resources: resources.with(Arc::new(stores)),
            options: RunOptions::default(),
            journal: None,
            answers: None,
            maps: Arc::default(),
            said: Mutex::default(),
            _working: working,
        }
    }

    /// A flow from its text, with these step types.
    pub(crate) fn of(text: &str, registry: &Registry) -> Self {
        let compiled =
            compiled(text, registry).unwrap_or_else(|e| panic!("{text}: {:?}", e.iter().collect::<Vec<_>>()));
        Self::new(compiled, Path::new("."))
    }

    /// Shares something with all steps.
    pub(crate) fn with<T: Send + Sync + 'static>(mut self, resource: &Arc<T>) -> Self {
        self.resources = self.resources.with(Arc::clone(resource));
        self
    }

    /// Runs over what this journal holds.
    pub(crate) fn journal(mut self, journal: Arc<dyn Journal>) -> Self {
        self.journal = Some(journal);
        self
    }

    pub(crate) fn options(mut self, options: RunOptions) -> Self {
        self.options = options;
        self
    }

    /// Questions are answered by these, one after the other.
    pub(crate) fn answers(mut self, answers: Vec<Json>) -> Self {
        self.answers = Some(Arc::new(Script(Mutex::new(answers.into()))));
        self
    }

    /// Runs it to its end, on several threads.
    pub(crate) fn run(&self, inputs: BTreeMap<String, Value>) -> Result<Outputs, StepError> {
        self.execute(inputs)?.finished()
    }

    /// Runs it as far as it goes, on several threads.
    pub(crate) fn execute(&self, inputs: BTreeMap<String, Value>) -> Result<Execution, StepError> {
        let inputs = bind(&self.compiled.flow, inputs).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        let mut run = Run::new(self.options.clone())
            .resources(self.resources.clone())
            .observers(Observers::new().with(self.maps.clone()));
        if let Some(answers) = &self.answers {
            run = run.answers(answers.clone());
        }
        if let Some(journal) = &self.journal {
            run = run.journal(Arc::clone(journal));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let run = Arc::new(run);
        let ended = runtime.block_on(execute(&self.compiled.flow, inputs, &run));
        *self.said.lock().unwrap() = run.said();
        ended
    }

    /// Runs it again and again over one journal, each time with the answer to the question that it waited for.
    pub(crate) fn by_waiting(
        mut self,
        inputs: BTreeMap<String, Value>,
        answers: &[Json],
    ) -> Result<Execution, StepError> {
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
        self.journal = Some(Arc::clone(&journal));
        for given in answers {
            match self.execute(inputs.clone())? {
                Execution::Waiting(questions) => {
                    futures::executor::block_on(answer(&*journal, &questions[0], given))?;
                }
                ended => return Ok(ended),
            }
        }
        self.execute(inputs)
    }

    /// How the items of the maps of the top flow have ended, in the order in which the maps ended.
    pub(crate) fn maps(&self) -> Vec<ItemCounts> {
        self.maps.ended.lock().unwrap().clone()
    }

    /// What was said in the last run, with the role of each message.
    pub(crate) fn said(&self) -> Vec<(String, String)> {
        let said = self.said.lock().unwrap();
        said.iter().map(|said| (said.message.role.to_string(), said.message.content.to_string())).collect()
    }
}

/// Answers questions in their order; none when all are used.
struct Script(Mutex<VecDeque<Json>>);

impl Answers for Script {
    fn answer<'a>(&'a self, _: &'a Question) -> BoxFuture<'a, Result<Option<Json>, StepError>> {
        let next = self.0.lock().unwrap().pop_front();
        Box::pin(std::future::ready(Ok(next)))
    }
}

/// Keeps what the maps of the top flow tell at their end.
#[derive(Default)]
struct Maps {
    ended: Mutex<Vec<ItemCounts>>,
}

impl Observer for Maps {
    fn on(&self, event: &Event<'_>) {
        match event {
            Event::MapFinished { at, counts, .. } if at.depth() == 0 => {
                self.ended.lock().unwrap().push((*counts).clone());
            }
            _ => {}
        }
    }
}
