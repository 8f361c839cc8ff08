//! Flows through the library: parsed, compiled and run in this process, offline.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use flowrun::core::compile::compile;
use flowrun::core::diagnostics::Diagnostics;
use flowrun::core::error::StepError;
use flowrun::core::events::{Event, ItemCounts, Observer, Observers};
use flowrun::core::execute::{Outputs, Resources, Run, RunOptions, bind, execute};
use flowrun::core::flow::Compiled;
use flowrun::core::journal::Journal;
use flowrun::core::registry::Registry;
use flowrun::core::value::Value;
use flowrun::llm::{Binder, Environment, HttpClient, ModelConfig};
use flowrun::steps::{Files, Models, Stores};
use flowrun::yaml::{ParseOptions, parse};
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
    maps: Arc<Maps>,
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
            maps: Arc::default(),
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

    /// Runs it, on several threads.
    pub(crate) fn run(&self, inputs: BTreeMap<String, Value>) -> Result<Outputs, StepError> {
        let inputs = bind(&self.compiled.flow, inputs).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        let mut run = Run::new(self.options.clone())
            .resources(self.resources.clone())
            .observers(Observers::new().with(self.maps.clone()));
        if let Some(journal) = &self.journal {
            run = run.journal(Arc::clone(journal));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(execute(&self.compiled.flow, inputs, &Arc::new(run)))?.finished()
    }

    /// How the items of the maps of the top flow have ended, in the order in which the maps ended.
    pub(crate) fn maps(&self) -> Vec<ItemCounts> {
        self.maps.0.lock().unwrap().clone()
    }
}

/// Keeps what the maps of the top flow tell at their end.
#[derive(Default)]
struct Maps(Mutex<Vec<ItemCounts>>);

impl Observer for Maps {
    fn on(&self, event: &Event<'_>) {
        if let Event::MapFinished { at, counts, .. } = event
            && at.depth() == 0
        {
            self.0.lock().unwrap().push((*counts).clone());
        }
    }
}
