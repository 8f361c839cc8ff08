//! The folder of a run: begun, found again, and closed with how the run ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowrun_core::error::{INTERRUPTED, WAITING};
use flowrun_core::events::{Event, Observer};
use flowrun_core::execute::Resources;
use flowrun_core::execute::Unfinished;
use flowrun_core::flow::Compiled;
use flowrun_core::journal::Journal;
use flowrun_data::parts::Parts;
use flowrun_journal::{
    FORMAT, Failure, FileJournal, Forked, JournalError, OpenOptions, RunFile, RunFolder, RunState, Status,
    StepEnd, prune, runs_in,
};
use flowrun_steps::{Files, RunMark};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::inputs::{secret_names, typed_again};
use super::{Prepared, Report};
use crate::args::{KeepArgs, RunArgs};
use crate::commands::Stop;
use crate::commands::runs::{RUNS, held_in_words, rows_of};
use crate::load::all_flows;

/// What has to be typed once more of what was typed when the run was started.
pub(in crate::commands) fn given_again(run: &RunFile) -> String {
    let typed = run.options.get("secret").and_then(Value::as_array);
    let names = typed.into_iter().flatten().filter_map(Value::as_str);
    typed_again(names)
}

/// What was typed, as a run keeps it.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Typed {
    input: Vec<String>,
    /// The names of secrets that were typed, and are typed again.
    secret: Vec<String>,
    inputs: Option<PathBuf>,
    output: Vec<String>,
    seed: Option<u64>,
    parallel: Option<usize>,
    model: Vec<String>,
    allow_path: Vec<PathBuf>,
    components: Vec<PathBuf>,
    allow_stdio_mcp: bool,
    cache: bool,
}

/// The run of this process, and where it is kept.
pub(in crate::commands) struct Kept {
    folder: RunFolder,
    journal: Arc<FileJournal>,
    /// The folder of all runs, whose oldest finished ones go; none where the person named a folder.
    runs: Option<PathBuf>,
    /// How many messages a person has seen before.
    pub(in crate::commands) already_said: u64,
}

/// Makes the folder of a new run. None where nothing is to be kept.
pub(super) fn begin(prepared: &Prepared, args: &RunArgs) -> Result<Option<Kept>, Stop> {
    let KeepArgs { new, run_dir, durable, no_journal, cache: _ } = &args.keep;
    if *no_journal || args.preview.is_some() {
        return Ok(None);
    }
    let run = run_file(prepared, args)?;
    let (folder, runs) = match run_dir {
        Some(folder) => (begin_at(folder, run)?, None),
        None => {
            let runs = PathBuf::from(RUNS);
            if !new {
                look_for_unfinished(&runs, &run, args)?;
            }
            (RunFolder::create_in(&runs, run).map_err(not_kept)?, Some(runs))
        }
    };
    let options = OpenOptions { durable: *durable, ..OpenOptions::default() };
    let journal = FileJournal::create(folder.path(), options).map_err(not_kept)?;
    folder.write_run().map_err(not_kept)?;
    Ok(Some(Kept { folder, journal: Arc::new(journal), runs, already_said: 0 }))
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of `map_err`")]
fn not_kept(error: JournalError) -> Stop {
    Stop::usage(error.to_string()).help("`--run-dir DIR` keeps the run elsewhere, `--no-journal` keeps nothing")
}

fn begin_at(folder: &Path, run: RunFile) -> Result<RunFolder, Stop> {
    RunFolder::create_at(folder, run).map_err(|error| match error {
        JournalError::NoRun(path) if RunFolder::open(&path).is_ok() => {
            let shown = path.display();
            Stop::usage(format!("`{shown}` holds a run already"))
                .help(format!("`flowrun resume {shown}` goes on with it, `flowrun rm {shown}` removes it"))
        }
        JournalError::NoRun(path) => {
            Stop::usage(format!("`{}` is not empty", path.display())).help("name a folder that is new, or empty")
        }
        other => not_kept(other),
    })
}

/// An unfinished run of the same flow, inputs, seed, models and targets is not begun a second time by mistake.
fn look_for_unfinished(runs: &Path, run: &RunFile, args: &RunArgs) -> Result<(), Stop> {
    for found in runs_in(runs).map_err(not_kept)? {
        let same = found.run.as_ref().is_ok_and(|old| old.identity == run.identity);
        if !same || found.status == Status::Finished {
            continue;
        }
        let id = &found.id;
        let file = args.file.as_deref().unwrap_or(Path::new("-")).display();
        if found.status == Status::Running {
            let stop = Stop::usage(format!("the same run goes on at this moment, as {id}"));
            return Err(stop.help(format!("`flowrun {file} --new` runs it a second time beside it")));
        }
        if found.status == Status::Waiting {
            let stop = Stop::usage(format!("the same run is kept, as {id}, and waits for an answer"));
            let again = found.run.as_ref().map(given_again).unwrap_or_default();
            let help = format!(
                "flowrun reply {id} TEXT{again}\n        goes on with it; `flowrun {file} --new` begins again"
            );
            return Err(stop.help(help));
        }
        let rows = rows_of(&found.path).map_err(not_kept)?;
        if rows.held.is_empty() {
            // Nothing in it was paid for.
            RunFolder::open(&found.path).and_then(RunFolder::remove).map_err(not_kept)?;
            continue;
        }
        let (status, held) = (found.status.word(), held_in_words(&rows));
        let message = format!("an unfinished run of this flow with these inputs is kept: {id}, {status}, {held}");
        let again = found.run.as_ref().map(given_again).unwrap_or_default();
        let help =
            format!("flowrun resume {id}{again}\n        goes on with it; `flowrun {file} --new` begins again");
        return Err(Stop::usage(message).help(help));
    }
    Ok(())
}

/// The name of the secret that is given by a text of `-i`, if it is one.
pub(super) fn secret_typed<'n>(text: &str, secrets: &'n [String]) -> Option<&'n String> {
    let (name, _) = text.split_once('=')?;
    secrets.iter().find(|secret| *secret == name)
}

/// What is asked now, as a run keeps it.
fn run_file(prepared: &Prepared, args: &RunArgs) -> Result<RunFile, Stop> {
    let wrong = |e: &dyn std::fmt::Display| Stop::usage(format!("the run cannot be described: {e}"));
    let names = secret_names(&prepared.loaded.compiled.flow);
    let typed = Typed {
        input: args.input.iter().filter(|text| secret_typed(text, &names).is_none()).cloned().collect(),
        secret: prepared.typed_secrets.clone(),
        inputs: args.inputs.clone(),
        output: args.output.clone(),
        seed: args.seed,
        parallel: args.parallel,
        model: args.model.iter().map(ToString::to_string).collect(),
        allow_path: args.allow_path.clone(),
        components: args.components.clone(),
        allow_stdio_mcp: args.allow_stdio_mcp,
        cache: args.keep.cache,
    };
    let options = match serde_json::to_value(&typed).map_err(|e| wrong(&e))? {
        Value::Object(options) => options,
        _ => Map::new(),
    };
    let (flow, inputs) = (prepared.loaded.record.clone(), prepared.given.clone());
    let models = prepared.models.described();
    let targets = (&args.output, &prepared.files.working_folder);
    let files = digests_of(&prepared.loaded.compiled, &prepared.files)?;
    let whole = (&flow, &inputs, prepared.seed, &models, targets, &files);
    let whole = serde_json::to_vec(&whole).map_err(|e| wrong(&e))?;
    Ok(RunFile {
        format: FORMAT,
        program: concat!("flowrun ", env!("CARGO_PKG_VERSION")).to_owned(),
        flow,
        working_folder: prepared.files.working_folder.clone(),
        inputs,
        seed: prepared.seed,
        models,
        earlier_models: Vec::new(),
        forked: None,
        secret_inputs: names,
        items_from: 0,
        mark: String::new(),
        files,
        options,
        identity: blake3::hash(&whole).to_hex().to_string(),
        started: 0,
    })
}

/// The digests of the files that a flow is known to read before it runs: those that its steps name, those that the
/// person gave, and the programs that it brings along. One that it writes itself is no such file.
fn digests_of(compiled: &Compiled, files: &Files) -> Result<BTreeMap<String, String>, Stop> {
    let mut places: BTreeSet<PathBuf> = files.given.iter().cloned().collect();
    places.extend(compiled.reachable_tools().iter().flat_map(|tool| tool.tool.files()));
    let mut written = BTreeSet::new();
    let flows = all_flows(&compiled.flow);
    places.extend(flows.iter().flat_map(|flow| &flow.steps).flat_map(|step| step.signature.programs.clone()));
    for file in flows.iter().flat_map(|flow| &flow.steps).flat_map(|step| &step.signature.files) {
        let place = if file.write { files.to_write(&file.path) } else { files.to_read(&file.path) };
        // What lies elsewhere has been refused before.
        let Ok(place) = place else { continue };
        if file.write {
            written.insert(place)
        } else {
            places.insert(place)
        };
    }
    let digest = |place: &PathBuf| {
        let name = files.shown(place);
        let mut hasher = blake3::Hasher::new();
        File::open(place)
            .and_then(|mut file| std::io::copy(&mut file, &mut hasher))
            .map_err(|e| Stop::usage(format!("`{name}` cannot be read: {e}")))?;
        Ok((name, hasher.finalize().to_hex().to_string()))
    };
    places.difference(&written).map(digest).collect()
}

/// The arguments with which a run was started.
pub(in crate::commands) fn asked_again(run: &RunFile) -> Result<RunArgs, Stop> {
    let wrong =
        |why: String| Stop::usage(format!("what was typed when the run was started cannot be read: {why}"));
    let typed: Typed =
        serde_json::from_value(Value::Object(run.options.clone())).map_err(|e| wrong(e.to_string()))?;
    let model = typed.model.iter().map(|m| m.parse()).collect::<Result<_, _>>();
    Ok(RunArgs {
        file: Some(run.flow.file.clone()),
        input: typed.input,
        inputs: typed.inputs,
        output: typed.output,
        seed: typed.seed,
        parallel: typed.parallel,
        model: model.map_err(|e: flowrun_llm::ModelOverrideError| wrong(e.to_string()))?,
        preview: None,
        allow_path: typed.allow_path,
        components: typed.components,
        allow_stdio_mcp: typed.allow_stdio_mcp,
        unfinished: Unfinished::Ask,
        again: None,
        keep: KeepArgs { cache: typed.cache, ..KeepArgs::default() },
        quiet: false,
        json: false,
    })
}

impl Kept {
    /// The run in `folder` goes on with what was prepared.
    pub(in crate::commands) fn again(
        mut folder: RunFolder,
        options: OpenOptions,
        prepared: &Prepared,
        args: &RunArgs,
        accept_changes: bool,
    ) -> Result<Self, Stop> {
        let is = run_file(prepared, args)?;
        let loaded = &prepared.loaded;
        if loaded.says_the_same(&folder.run.flow.text, &args.allow_path) {
            folder.run.flow.text.clone_from(&is.flow.text);
        }
        let differences = differences(&folder.run, &is);
        if !differences.is_empty() && !accept_changes {
            let id = folder.id();
            let message =
                format!("the run {id} was started with something else:\n       {}", differences.join("\n       "));
            let again = match flowrun_journal::is_compacted(folder.path()) {
                Ok(false) => "makes no call again whose request is the same; or undo the changes",
                Ok(true) => {
                    "makes the calls of its finished items again, which `compact` has dropped; or undo the changes"
                }
                Err(error) => return Err(Stop::usage(error.to_string())),
            };
            let help = format!("flowrun resume {id} --accept-changes{}\n        {again}", given_again(&is));
            return Err(Stop::usage(message).help(help));
        }
        // A file whose name only a step knows is met later; then what was noted of it must not stand against it.
        let compacted = || flowrun_journal::is_compacted(folder.path());
        let effects_only =
            !differences.is_empty() || (accept_changes && !compacted().map_err(|e| Stop::usage(e.to_string()))?);
        let options = OpenOptions { effects_only, items_from: folder.run.items_from, ..options };
        let journal = FileJournal::open(folder.path(), options).map_err(|e| Stop::usage(e.to_string()))?;
        let mut earlier_models = folder.run.earlier_models.clone();
        if folder.run.models != is.models {
            earlier_models.push(folder.run.models.clone());
        }
        // What was finished over the flow as it was does not count from now on, also if this process is killed.
        let items_from = if effects_only { journal.begins_at() } else { folder.run.items_from };
        let (started, forked) = (folder.run.started, folder.run.forked.take());
        let mark = std::mem::take(&mut folder.run.mark);
        folder.run = RunFile { earlier_models, started, forked, items_from, mark, ..is };
        let closed = folder.write_run().and_then(|()| folder.clear_state());
        closed.map_err(|e| Stop::usage(e.to_string()))?;
        let runs = folder.path().parent().filter(|above| above.ends_with(RUNS)).map(Path::to_owned);
        Ok(Self { folder, journal: Arc::new(journal), runs, already_said: 0 })
    }

    /// A new run that begins with what another one holds of the visits before a step.
    pub(in crate::commands) fn forked(
        from: &Path,
        was: &RunFile,
        forked: Forked,
        keep: &[String],
        durable: bool,
        (prepared, args): (&Prepared, &RunArgs),
    ) -> Result<Self, Stop> {
        let run = RunFile { forked: Some(forked), ..run_file(prepared, args)? };
        let effects_only = !differences(was, &run).is_empty();
        let runs = PathBuf::from(RUNS);
        let folder = RunFolder::create_in(&runs, run).map_err(not_kept)?;
        flowrun_journal::fork(from, folder.path(), keep, effects_only).map_err(not_kept)?;
        let options = OpenOptions { durable, ..OpenOptions::default() };
        let journal = FileJournal::open(folder.path(), options).map_err(not_kept)?;
        folder.write_run().map_err(not_kept)?;
        Ok(Self { folder, journal: Arc::new(journal), runs: Some(runs), already_said: 0 })
    }

    pub(super) fn id(&self) -> &str {
        // Where the person chose the folder, that is its name.
        if self.runs.is_some() {
            self.folder.id()
        } else {
            self.folder.path().to_str().unwrap_or(self.folder.id())
        }
    }

    pub(super) fn journal(&self) -> Arc<dyn Journal> {
        self.journal.clone()
    }

    /// Whether going on would find nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.journal.is_empty()
    }

    /// What no other run has; none of one that an earlier version began.
    pub(super) fn mark(&self) -> Option<RunMark> {
        let mark = &self.folder.run.mark;
        (!mark.is_empty()).then(|| RunMark(mark.clone()))
    }

    /// The folder for rows and failures that are many.
    pub(super) fn parts(&self) -> PathBuf {
        self.folder.path().join("parts")
    }

    /// What its steps share: where rows go that are many, and its mark.
    pub(super) fn provide(&self, resources: Resources) -> Resources {
        let resources = resources.with(Arc::new(Parts::new(self.parts())));
        match self.mark() {
            Some(mark) => resources.with(Arc::new(mark)),
            None => resources,
        }
    }

    /// Who answered before the run went on with others.
    pub(super) fn earlier_models(&self) -> &[BTreeMap<String, String>] {
        &self.folder.run.earlier_models
    }

    /// What is not done again; none of a new run.
    pub(super) fn held_in_words(&self) -> Option<String> {
        let held = self.journal.held();
        let rows = crate::commands::runs::Rows { held, ..Default::default() };
        (!held.is_empty()).then(|| held_in_words(&rows))
    }

    /// Notes in the journal which steps and maps have begun, and how steps have ended, for those who look at the run from outside.
    pub(super) fn observer(&self) -> Arc<dyn Observer> {
        Arc::new(Steps(Arc::clone(&self.journal)))
    }

    /// Writes down how the run ended.
    pub(super) fn close(&self, report: &Report<'_>) -> Result<(), JournalError> {
        let error = report.ended.as_ref().err();
        let status = match error {
            None => Status::Finished,
            Some(error) if error.code == INTERRUPTED => Status::Stopped,
            Some(error) if error.code == WAITING => Status::Waiting,
            Some(_) => Status::Failed,
        };
        let failure = error.filter(|_| status == Status::Failed).map(|error| Failure {
            code: error.code.to_string(),
            message: error.message.clone(),
            step: error.at.as_ref().map(ToString::to_string),
        });
        let json = |value: serde_json::Result<Value>| value.unwrap_or_default();
        self.folder.write_state(RunState {
            status,
            error: failure,
            maps: json(serde_json::to_value(report.record.maps())),
            usage: json(serde_json::to_value(report.run.usage())),
            questions: report.questions_shown(),
            said: report.record.said(),
            ended: 0,
            ended_nanos: 0,
        })?;
        if status == Status::Finished {
            // What was read from them has been written out.
            let parts = self.parts();
            if parts.is_dir() {
                std::fs::remove_dir_all(&parts).map_err(|source| JournalError::Io {
                    path: parts,
                    verb: "removed",
                    source,
                })?;
            }
        }
        match &self.runs {
            Some(runs) if status == Status::Finished => prune(runs),
            _ => Ok(()),
        }
    }
}

struct Steps(Arc<FileJournal>);

impl Observer for Steps {
    fn on(&self, event: &Event<'_>) {
        // A journal that takes nothing any more ends the run at the next record, which says why.
        let _noted = match event {
            Event::StepStarted { at, step_type } if at.depth() == 0 => self.0.note_begun(&at.key(), step_type),
            Event::StepFinished { at, branch, note, .. } if at.depth() == 0 => {
                let how = StepEnd { branch: Some((*branch).to_owned()), note: note.map(str::to_owned) };
                self.0.note_ended(&at.key(), &how)
            }
            // One that was told to stop, or waits, has not failed: it has not ended.
            Event::StepFailed { at, error } if at.depth() == 0 && !error.is_stop() => {
                let how = StepEnd { branch: None, note: Some(format!("{error} ({})", error.code)) };
                self.0.note_ended(&at.key(), &how)
            }
            Event::MapStarted { at, target: Some(accepted), .. } if at.depth() == 0 => {
                self.0.note_map(&at.key(), *accepted, true)
            }
            Event::MapStarted { at, total: Some(total), .. } if at.depth() == 0 => {
                self.0.note_map(&at.key(), *total, false)
            }
            _ => Ok(()),
        };
    }
}

/// In words, what was asked when the run was started and is not what is asked now. Who answers may change.
fn differences(was: &RunFile, is: &RunFile) -> Vec<String> {
    let mut found = was.flow.differences(&is.flow);
    for (name, value) in &is.inputs {
        match was.inputs.get(name) {
            Some(old) if old == value => {}
            Some(old) => found.push(format!("input `{name}` was {old}, and is {value}")),
            None => found.push(format!("input `{name}` is new")),
        }
    }
    for (path, digest) in &was.files {
        match is.files.get(path) {
            Some(now) if now == digest => {}
            Some(_) => found.push(format!("`{path}`, which it reads, has changed")),
            // The flow names another one, which is told.
            None => {}
        }
    }
    found
        .extend(was.inputs.keys().filter(|n| !is.inputs.contains_key(*n)).map(|n| format!("input `{n}` is gone")));
    if was.seed != is.seed {
        found.push(format!("the seed was {}, and is {}", was.seed, is.seed));
    }
    found
}
