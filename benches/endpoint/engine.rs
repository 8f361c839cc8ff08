//! flows/justify.yaml, as the command runs it with `--no-journal`; what counts is its map.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use flowrun::core::compile::compile;
use flowrun::core::events::{Event, Observer, Observers};
use flowrun::core::execute::{Resources, Run, RunOptions, bind, execute};
use flowrun::core::flow::Compiled;
use flowrun::core::journal::OnePassJournal;
use flowrun::core::value::Value;
use flowrun::llm::{BaseUrl, Binder, Environment, HttpClient, ModelConfig};
use flowrun::steps::{Files, Models};
use flowrun::yaml::{ParseOptions, parse};

use crate::Done;
use crate::clock::{Clock, Took};

/// Runs the flow with this many rows against a server.
pub(crate) async fn run(url: &str, rows: u32, in_flight: usize) -> Result<Done, Box<dyn Error>> {
    let flows = Path::new(env!("CARGO_MANIFEST_DIR")).join("flows");
    let compiled = load(&flows)?;
    let working = tempfile::tempdir()?;
    let given = BTreeMap::from([("rows".to_owned(), Value::from(rows))]);
    let inputs = bind(&compiled.flow, given).map_err(|wrong| wrong.join("; "))?;
    let resources =
        Resources::new().with(Arc::new(Files::new(flows, working.path()))).with(Arc::new(models(&compiled, url)?));
    let timer = Arc::new(MapTimer::default());
    let options = RunOptions { parallel: Some(in_flight), ..RunOptions::default() };
    let run = Run::new(options)
        .resources(resources)
        .observers(Observers::new().with(timer.clone()))
        .journal(Arc::new(OnePassJournal::new()));
    let run = Arc::new(run);
    execute(&compiled.flow, inputs, &run).await?.finished()?;
    let took = timer.took().ok_or("the flow has no map")?;
    Ok(Done { took, calls: run.usage().calls })
}

fn load(flows: &Path) -> Result<Compiled, Box<dyn Error>> {
    let name = "justify.yaml";
    let text = std::fs::read(flows.join(name))?;
    let parsed = parse(&text, &ParseOptions::new(name, flows)).map_err(|wrong| format!("{wrong:?}"))?;
    Ok(compile(&parsed.spec, &flowrun::standard()).map_err(|wrong| format!("{wrong:?}"))?)
}

fn models(compiled: &Compiled, url: &str) -> Result<Models, Box<dyn Error>> {
    let environment = Environment { openai_base_url: Some(BaseUrl::new(url)), ..Environment::default() };
    let http = HttpClient::new()?;
    let binder = Binder { environment: &environment, overrides: &[], http: &http };
    let bound = compiled.models.iter().map(|definition| {
        let config = definition.config.downcast_ref::<ModelConfig>();
        config.map(|config| binder.bind(&definition.name, config, definition.offline)).transpose()
    });
    Ok(Models::new(bound.collect::<Result<_, _>>()?))
}

/// Takes the time from the beginning of the map to its end.
#[derive(Default)]
struct MapTimer(Mutex<(Option<Clock>, Option<Took>)>);

impl MapTimer {
    fn took(&self) -> Option<Took> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.take()
    }
}

impl Observer for MapTimer {
    fn on(&self, event: &Event<'_>) {
        let mut timer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::MapStarted { .. } => timer.0 = Some(Clock::start()),
            Event::MapFinished { .. } => timer.1 = timer.0.as_ref().map(Clock::took),
            _ => {}
        }
    }
}
