//! `flowrun FILE`: runs a flow.

mod durable;
mod inputs;
mod models;
mod output;
mod side_files;
mod signals;
mod terminal;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use flowrun_core::conversation::Question;
use flowrun_core::error::{INTERRUPTED, StepError, WAITING};
use flowrun_core::events::{Observers, Usage};
use flowrun_core::execute::{Execution, Outputs, Resources, Run, RunOptions, Stop as StopRun, execute};
use flowrun_core::journal::{Journal, OnePassJournal};
use flowrun_core::registry::Registry;
use flowrun_core::secrets::Secrets;
use flowrun_core::value::Value;
use flowrun_steps::{Cache, Files, Stores};
use serde_json::{Map, json};

use super::reply::wanted;
use super::{FAILED, Stop, WAITS, print_out};
use crate::args::RunArgs;
use crate::load::{Around, Loaded, bind_stores, check_files, load, load_text};
use crate::render::{Screen, plural, thousands};
use crate::report::{Preview, Progress, Record, clock, cost_in_words};

pub(super) use durable::{Kept, asked_again, given_again};
pub(super) use inputs::{bind as bind_inputs, open as open_inputs, secret_names, shown as shown_inputs};
use models::Bound;
pub(super) use models::bind as bind_models;
use output::Writers;
use signals::Signals;
use terminal::Terminal;

/// Everything that is known before the first step runs.
pub(super) struct Prepared {
    loaded: Loaded,
    inputs: Vec<Value>,
    given: Map<String, serde_json::Value>,
    secrets: Secrets,
    /// Those of them that were typed, by name.
    typed_secrets: Vec<String>,
    seed: u64,
    writers: Writers,
    files: Arc<Files>,
    models: Bound,
    stores: Stores,
    /// Replies of earlier runs, where they are wanted.
    cache: Option<Cache>,
}

impl Prepared {
    /// What is hidden in all that is said and kept of the run.
    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }
}

pub(super) fn run(registry: &Registry, args: &RunArgs, screen: &Screen, verbose: u8) -> Result<(), Stop> {
    let prepared = prepare(registry, args, screen, None)?;
    let kept = durable::begin(&prepared, args)?;
    run_prepared(prepared, args, kept, screen, verbose)
}

/// Runs what was prepared, over the journal of its folder if it has one.
pub(super) fn run_prepared(
    prepared: Prepared,
    args: &RunArgs,
    kept: Option<Kept>,
    screen: &Screen,
    verbose: u8,
) -> Result<(), Stop> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Stop::usage(format!("no threads can be started: {e}")))?;
    let code = runtime.block_on(go(prepared, args, kept, screen, verbose))?;
    // A step that blocks a thread must not hold the process.
    runtime.shutdown_background();
    if code == 0 { Ok(()) } else { Err(Stop::Code(code)) }
}

/// Reads and checks all that a run needs. `text`: the flow's, where it came from standard input once.
pub(super) fn prepare(
    registry: &Registry,
    args: &RunArgs,
    screen: &Screen,
    text: Option<&str>,
) -> Result<Prepared, Stop> {
    let Some(file) = &args.file else { return Err(Stop::usage("there is no flow to run")) };
    let allow: Vec<_> = args
        .allow_path
        .iter()
        .map(std::path::absolute)
        .collect::<Result<_, _>>()
        .map_err(|e| Stop::usage(format!("`--allow-path`: {e}")))?;
    let around = Around { allow: &allow, components: &args.components, ..Around::default() };
    let loaded = match text {
        Some(text) => load_text(registry, file, "<stdin>", text.as_bytes(), around)?,
        None => load(registry, file, around)?,
    };
    let flow = &loaded.compiled.flow;
    let working = std::env::current_dir().map_err(|e| Stop::usage(format!("there is no working folder: {e}")))?;
    let mut files = Files::new(&loaded.folder, &working);
    files.flow_name = flow.name.to_string();
    files.allowed = allow;
    let writers = Writers::new(flow, &args.output, args.json)?;
    files.destinations = writers.destinations();
    let given = inputs::given(flow, args, &working, &mut files)?;
    let (inputs, seed) = inputs::bind(flow, given, args.seed, args.again.as_deref())?;
    let shown = inputs::shown(flow, &inputs);
    let secrets = Secrets::of(flow, &inputs);
    screen.hidden().add(&secrets);
    let names = secret_names(flow);
    let typed_secrets = names
        .iter()
        .filter(|name| args.input.iter().any(|text| durable::secret_typed(text, &names) == Some(name)));
    let typed_secrets = typed_secrets.cloned().collect();
    let asked = options(args, 0);
    if let Some(refused) = loaded.compiled.reachable_tools().iter().find_map(|tool| tool.tool.refused(&asked)) {
        return Err(Stop::Usage(refused.message, refused.help));
    }
    let models = models::bind(&loaded.compiled.models, &args.model)?;
    let mut wrong = check_files(flow, &files, args.preview.is_none());
    let stores = bind_stores(&loaded.compiled, &files, args.preview.is_some()).unwrap_or_else(|refused| {
        wrong.extend(refused);
        Stores::default()
    });
    if wrong.has_errors() {
        return Err(Stop::Diagnostics(wrong.sorted()));
    }
    if args.preview.is_none() {
        writers.check(&working)?;
    }
    if !args.quiet {
        screen.diagnostics_of(&loaded.warnings);
    }
    let cache = if args.keep.cache { Some(super::cache::open()?) } else { None };
    let files = Arc::new(files);
    Ok(Prepared {
        inputs,
        given: shown,
        secrets,
        typed_secrets,
        seed,
        writers,
        files,
        models,
        stores,
        cache,
        loaded,
    })
}

async fn go(
    prepared: Prepared,
    args: &RunArgs,
    kept: Option<Kept>,
    screen: &Screen,
    verbose: u8,
) -> Result<u8, Stop> {
    let Prepared { loaded, inputs, given, secrets, typed_secrets, seed, writers, files, models, stores, cache } =
        prepared;
    let flow = Arc::clone(&loaded.compiled.flow);
    let talks = !args.quiet && !args.json;
    if talks {
        header(screen, &flow.name, kept.as_ref(), seed, &models, args.preview);
    }
    let record = Arc::new(Record::default());
    let preview = Arc::new(Preview::default());
    let mut observers = Observers::new().with(record.clone());
    if args.preview.is_some() {
        observers = observers.with(preview.clone());
    }
    let journal: Arc<dyn Journal> = match &kept {
        Some(kept) => {
            observers = observers.with(kept.observer());
            kept.journal()
        }
        None => Arc::new(OnePassJournal::new()),
    };
    let mut asked = None;
    if talks {
        let terminal = std::io::stderr().is_terminal();
        let names = flow.steps.iter().map(|s| &*s.name);
        let said = kept.as_ref().map_or(0, |kept| kept.already_said);
        let progress = Arc::new(Progress::new(screen.clone(), terminal, verbose > 0, names).after(said));
        asked = Terminal::find(&progress, &secrets);
        observers = observers.with(progress);
    }
    let (stop, stores) = (Arc::new(StopRun::default()), Arc::new(stores));
    let described = models.described();
    let mut resources = Resources::new()
        .with(Arc::clone(&files))
        .with(Arc::new(models.into_models()))
        .with(Arc::new(flowrun_net::Client::new()))
        .with(Arc::clone(&stores));
    resources = shared(resources, cache, kept.as_ref());
    let run = Run::new(options(args, seed))
        .resources(resources)
        .observers(observers)
        .journal(journal)
        .secrets(secrets.clone())
        .stop(Arc::clone(&stop));
    let run = match &kept {
        Some(kept) => run.spill_to(kept.parts()),
        None => run,
    };
    let run = match asked {
        Some(terminal) => run.answers(Arc::new(terminal)),
        None => run,
    };
    let run = Arc::new(run);
    let signals = Signals::listen(&stop, screen, talks).map_err(Stop::usage)?;
    let began = Instant::now();
    let (ended, questions) = outcome(execute(&flow, inputs, &run).await);
    let took = began.elapsed();
    let mut report = Report {
        loaded: &loaded,
        given,
        secrets: &secrets,
        typed_secrets,
        seed,
        models: described,
        run: &run,
        record: &record,
        files: &files,
        ended: &ended,
        questions: &questions,
        failures_file: None,
        kept: kept.as_ref(),
    };
    if args.preview.is_some() && !args.quiet {
        preview.show(screen);
    }
    let mut code = ended.as_ref().map_or_else(|error| code_of(error, &signals), |_| 0);
    if args.preview.is_none() {
        match side_files::write(&report, &writers) {
            Ok(failures) => report.failures_file = failures,
            Err(message) => {
                screen.error(&message, None);
                code = code.max(FAILED);
            }
        }
    }
    if args.json {
        print_out(&format!("{}\n", report.json(took)))?;
    } else if talks {
        report.summary(screen, took);
    }
    match &ended {
        Err(error) if error.code == WAITING => report.waiting(screen),
        Err(error) => report.failure(screen, error),
        Ok(_) => {}
    }
    if !close(&report, &stores, screen).await {
        code = code.max(FAILED);
    }
    Ok(code)
}

/// Keeps how the run ended; false where that cannot be done.
async fn close(report: &Report<'_>, stores: &Stores, screen: &Screen) -> bool {
    let Some(kept) = report.kept else { return true };
    if report.ended.is_ok() {
        forget(stores, kept, screen).await;
    }
    let closed = kept.close(report);
    if let Err(error) = &closed {
        screen.error(&error.to_string(), None);
    }
    closed.is_ok()
}

/// With what only some runs have.
fn shared(mut resources: Resources, cache: Option<Cache>, kept: Option<&Kept>) -> Resources {
    if let Some(cache) = cache {
        resources = resources.with(Arc::new(cache));
    }
    match kept {
        Some(kept) => kept.provide(resources),
        None => resources,
    }
}

fn options(args: &RunArgs, seed: u64) -> RunOptions {
    RunOptions {
        seed,
        parallel: args.parallel,
        preview: args.preview,
        unfinished: args.unfinished,
        allow_stdio_mcp: args.allow_stdio_mcp,
        lends: Vec::new(),
    }
}

/// The run is whole; where a store cannot forget what it remembers of it, that stays there, and nothing else is lost.
async fn forget(stores: &Stores, kept: &Kept, screen: &Screen) {
    if let Some(mark) = kept.mark()
        && let Err(error) = stores.forget(&mark).await
    {
        screen.error(&error.message, error.help.as_deref());
    }
}

/// The outputs, or why there are none, with what the run waits for.
fn outcome(ended: Result<Execution, StepError>) -> (Result<Outputs, StepError>, Vec<Question>) {
    match ended {
        Ok(Execution::Waiting(questions)) => {
            (Err(StepError::new(WAITING, "the run waits for an answer")), questions)
        }
        Ok(ended) => (ended.finished(), Vec::new()),
        Err(error) => (Err(error), Vec::new()),
    }
}

fn code_of(error: &StepError, signals: &Signals) -> u8 {
    match &*error.code {
        // A limit of the flow stops it too, without a signal.
        INTERRUPTED => signals.exit_code().unwrap_or(FAILED),
        WAITING => WAITS,
        _ => FAILED,
    }
}

fn header(screen: &Screen, name: &str, kept: Option<&Kept>, seed: u64, models: &Bound, preview: Option<u64>) {
    let run = kept.map(|kept| format!("  run {}", kept.id())).unwrap_or_default();
    screen.line(&format!("{}{run}  seed {seed}", screen.bold(name)));
    if let Some(held) = kept.and_then(Kept::held_in_words) {
        screen.line(&format!("  goes on: {held}"));
    }
    if let Some(items) = preview {
        screen.line(&format!("  preview of {}: nothing is written", plural(items, "item")));
    }
    for (names, answered) in models.by_answer() {
        screen.line(&format!("  models   {}: {answered}", names.join(", ")));
    }
}

/// A run that has ended.
struct Report<'a> {
    loaded: &'a Loaded,
    given: Map<String, serde_json::Value>,
    secrets: &'a Secrets,
    typed_secrets: Vec<String>,
    seed: u64,
    models: BTreeMap<String, String>,
    run: &'a Run,
    record: &'a Record,
    files: &'a Files,
    ended: &'a Result<Outputs, StepError>,
    /// What it waits for.
    questions: &'a [Question],
    /// Where the items that failed are listed.
    failures_file: Option<PathBuf>,
    /// Where it is kept.
    kept: Option<&'a Kept>,
}

impl Report<'_> {
    fn rows(&self) -> Option<u64> {
        let written = self.files.written();
        written.iter().rfind(|w| w.holds == "accepted").map(|w| w.report.rows)
    }

    fn offline(&self) -> bool {
        !self.models.is_empty() && self.models.values().all(|m| m.starts_with("offline"))
    }

    /// Outputs as JSON; a table by its rows.
    fn outputs(&self) -> serde_json::Value {
        let Ok(outputs) = self.ended else { return serde_json::Value::Null };
        let entries = outputs.values.iter().map(|(name, value)| {
            let json = value.to_json().unwrap_or_else(|e| json!({"error": e.to_string()}));
            (name.to_string(), json)
        });
        serde_json::Value::Object(entries.collect())
    }

    fn json(&self, took: std::time::Duration) -> serde_json::Value {
        let failed = self.ended.as_ref().err().filter(|error| error.code != WAITING);
        let error = failed.map(|error| {
            json!({
                "code": error.code,
                "message": error.message,
                "step": error.at.as_ref().map(ToString::to_string),
                "help": error.help,
            })
        });
        json!({
            "run": self.kept.map(Kept::id),
            "flow": &*self.loaded.compiled.flow.name,
            "seed": self.seed,
            "status": self.status(),
            "error": error,
            "questions": self.questions_shown(),
            "messages": self.run.said().into_iter().map(|said| said.message).collect::<Vec<_>>(),
            "end": self.ended.as_ref().ok().and_then(|o| o.end.as_deref()),
            "outputs": self.outputs(),
            "files": self.files.written(),
            "models": self.models,
            "maps": self.record.maps(),
            "counters": self.run.counters(),
            "scores": self.record.scores(),
            "usage": self.run.usage(),
            "cost": self.run.usage().dollars(),
            "seconds": took.as_secs_f64(),
        })
    }

    /// What it waits for, without secrets.
    fn questions_shown(&self) -> Vec<serde_json::Value> {
        let json = |question| serde_json::to_value(question).unwrap_or_default();
        self.questions.iter().map(|question| self.secrets.masked_json(&json(question))).collect()
    }

    /// What has to be typed again when the run goes on.
    fn given_again(&self) -> String {
        inputs::typed_again(self.typed_secrets.iter().map(String::as_str))
    }

    fn status(&self) -> &'static str {
        match self.ended {
            Ok(_) => "finished",
            Err(error) if error.code == WAITING => "waiting",
            Err(error) if error.code == INTERRUPTED => "stopped",
            Err(_) => "failed",
        }
    }

    fn summary(&self, screen: &Screen, took: std::time::Duration) {
        let mut lines = Vec::new();
        for (name, times) in self.run.counters() {
            lines.push(format!("  {name}: {}", thousands(times)));
        }
        if let Ok(outputs) = self.ended {
            // Where a dataset was written, that is what the run was for.
            let told =
                outputs.values.iter().filter(|(_, v)| !matches!(v, Value::Table(_)) && self.rows().is_none());
            for (name, value) in told {
                lines.push(format!("  {}  {}", screen.bold(name), shown(value)));
            }
            if let Some(end) = &outputs.end {
                lines.push(format!("  ended at {end}"));
            }
        }
        self.failed(&mut lines);
        screen.line("");
        for line in &lines {
            screen.line(line);
        }
        if !lines.is_empty() {
            screen.line("");
        }
        let usage = self.run.usage();
        let what = match (self.ended, self.rows()) {
            (Ok(_), Some(rows)) => format!("{} in", plural(rows, "row")),
            (Ok(_), None) => "done in".to_owned(),
            (Err(error), _) if error.code == INTERRUPTED => "stopped after".to_owned(),
            (Err(error), _) if error.code == WAITING => "waiting after".to_owned(),
            (Err(_), _) => "failed after".to_owned(),
        };
        screen.line(&format!("{what} {}{}", clock(took), self.used(usage)));
    }

    /// Items that failed: how many, where they are listed, and the first one's reason.
    fn failed(&self, lines: &mut Vec<String>) {
        let Some(first) = self.run.first_failure() else { return };
        let listed = self.failures_file.as_ref().map(|f| format!(" → {}", self.files.shown(f)));
        lines.push(format!("  {} failed{}", plural(self.run.failed(), "item"), listed.unwrap_or_default()));
        lines.push(format!("  the first: {}: {} ({})", first.step, first.message, first.code));
    }

    fn used(&self, usage: Usage) -> String {
        if usage.calls == 0 && usage.tries == 0 && usage.cached == 0 {
            return String::new();
        }
        let tokens = match (usage.input_tokens, usage.output_tokens) {
            (0, 0) => "–".to_owned(),
            (input, output) => {
                let least = if usage.uncounted > 0 { "at least " } else { "" };
                format!("{least}{} in, {} out", thousands(input), thousands(output))
            }
        };
        let offline = if self.offline() { "   (offline)" } else { "" };
        let tries = match usage.tries.saturating_sub(usage.calls) {
            0 => String::new(),
            1 => " (+1 try)".to_owned(),
            again => format!(" (+{} tries)", thousands(again)),
        };
        let cached = match usage.cached {
            0 => String::new(),
            n => format!(" and {} from the cache", thousands(n)),
        };
        let (calls, cost) = (thousands(usage.calls), cost_in_words(&usage));
        format!("   model calls {calls}{tries}{cached}   tokens {tokens}   cost {cost}{offline}")
    }

    /// What the run waits for, and how it is answered.
    fn waiting(&self, screen: &Screen) {
        let id = self.kept.map(Kept::id);
        for question in self.questions {
            let (what, how) = wanted(&question.kind, id.unwrap_or("RUN"));
            screen.line("");
            screen.line(&format!("`{}` waits for {what}", question.at));
            let again = self.given_again();
            match id {
                Some(_) if self.questions.len() > 1 => {
                    screen.line(&format!("  {how} --to '{}'{again}", question.at));
                }
                Some(_) => screen.line(&format!("  {how}{again}")),
                None => {
                    screen.line("  nothing of this run is kept, so it cannot be answered; run it at a terminal");
                }
            }
        }
    }

    fn failure(&self, screen: &Screen, error: &StepError) {
        let done: u64 = self.record.maps().iter().map(|m| m.items.asked - m.items.not_run - m.items.failed).sum();
        let mut help = Vec::new();
        match self.kept {
            Some(kept) if !kept.is_empty() => {
                if done > 0 {
                    help.push(format!("nothing was lost: {} {} kept", plural(done, "finished item"), are(done)));
                }
                help.push(format!("flowrun resume {}{}", kept.id(), self.given_again()));
            }
            _ if error.code == INTERRUPTED && done > 0 => {
                help.push(format!("{} had finished", plural(done, "item")));
            }
            _ => {}
        }
        screen.step_error(error, &help);
    }
}

fn are(count: u64) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// An output for a person: a text as it is, all else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.lines().count() <= 1 => text.to_string(),
        Value::String(text) => format!("\n    {}", text.trim_end().replace('\n', "\n    ")),
        other => other.to_string(),
    }
}
