//! What a run of `flowrun host` shares with a run from the command line: inputs, models, and the folder that keeps it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowrun_core::error::StepError;
use flowrun_core::execute::{Execution, Resources, Run};
use flowrun_core::flow::{Flow, ModelDefinition};
use flowrun_core::journal::Journal;
use flowrun_core::secrets::Secrets;
use flowrun_core::types::Kind;
use flowrun_core::value::Value;
use flowrun_data::parts::Parts;
use flowrun_journal::{
    FORMAT, Failure, FileJournal, JOURNAL_FILE, JournalError, OpenOptions, RunFile, RunFolder, RunState, Status,
};
use flowrun_llm::ModelOverride;
use flowrun_steps::stores::RunMark;
use flowrun_steps::{Files, Models};
use serde_json::{Map, Value as Json};

use super::Stop;
use super::run::{bind_inputs, bind_models, open_inputs, secret_names, shown_inputs};
use crate::load::Loaded;

/// The inputs in the flow's order, and the run's seed. A table may be given as a list of objects, or by the name of a file;
/// `scratch` is a folder for the former.
pub(crate) fn given(
    flow: &Flow,
    inputs: Map<String, Json>,
    seed: Option<u64>,
    files: &mut Files,
    scratch: &Path,
) -> Result<(Vec<Value>, u64), Stop> {
    let mut values = BTreeMap::new();
    for (name, value) in inputs {
        let port = flow.input(&name);
        let is_table = port.is_some_and(|port| port.value_type.without_null().kind == Kind::Table);
        let value = match value {
            Json::Array(rows) if is_table => Value::from(written(&name, &rows, scratch)?.display().to_string()),
            value => Value::try_from(value).map_err(|e| Stop::usage(format!("input `{name}`: {e}")))?,
        };
        values.insert(name, value);
    }
    let working = files.working_folder.clone();
    open_inputs(flow, &mut values, &working, files)?;
    bind_inputs(flow, values, seed, None)
}

/// Rows as a file, which is read like any other.
fn written(name: &str, rows: &[Json], scratch: &Path) -> Result<PathBuf, Stop> {
    let wrong = |e: &dyn std::fmt::Display| Stop::usage(format!("input `{name}`: {e}"));
    std::fs::create_dir_all(scratch).map_err(|e| wrong(&e))?;
    let path = scratch.join(format!("input-{name}.json"));
    let text = serde_json::to_vec(rows).map_err(|e| wrong(&e))?;
    std::fs::write(&path, text).map_err(|e| wrong(&e))?;
    Ok(path)
}

/// Who answers for the models of a flow, and each in words.
pub(crate) fn models_of(
    definitions: &[ModelDefinition],
    overrides: &[ModelOverride],
) -> Result<(Models, BTreeMap<String, String>), Stop> {
    let bound = bind_models(definitions, overrides)?;
    let described = bound.described();
    Ok((bound.into_models(), described))
}

/// The folder that keeps a run.
pub(crate) struct Folder {
    folder: RunFolder,
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of `map_err`")]
fn not_kept(error: JournalError) -> Stop {
    Stop::usage(error.to_string())
}

impl Folder {
    /// A new folder, or that of the same run, which then goes on.
    pub(crate) fn at(
        path: &Path,
        loaded: &Loaded,
        flow: &Flow,
        inputs: &[Value],
        seed: u64,
        models: BTreeMap<String, String>,
        working: &Path,
    ) -> Result<Self, Stop> {
        let inputs = shown_inputs(flow, inputs);
        let what = serde_json::to_vec(&(&loaded.record, &inputs, seed)).map_err(|e| Stop::usage(e.to_string()))?;
        let run = RunFile {
            format: FORMAT,
            program: concat!("flowrun ", env!("CARGO_PKG_VERSION")).to_owned(),
            flow: loaded.record.clone(),
            working_folder: working.to_owned(),
            inputs,
            seed,
            models,
            earlier_models: Vec::new(),
            options: Map::new(),
            identity: blake3::hash(&what).to_hex().to_string(),
            started: 0,
            mark: String::new(),
            files: BTreeMap::new(),
            forked: None,
            secret_inputs: secret_names(flow),
            items_from: 0,
        };
        let folder = if path.join(JOURNAL_FILE).is_file() {
            let found = RunFolder::open(path).map_err(not_kept)?;
            if found.run.identity != run.identity {
                let message =
                    format!("`{}` keeps a run of another flow, other inputs or another seed", path.display());
                return Err(Stop::usage(message));
            }
            found
        } else {
            let folder = RunFolder::create_at(path, run).map_err(not_kept)?;
            FileJournal::create(folder.path(), OpenOptions::default()).map_err(not_kept)?;
            folder.write_run().map_err(not_kept)?;
            folder
        };
        Ok(Self { folder })
    }

    /// The journal for one execution, which reads what the ones before have left.
    pub(crate) fn journal(&self) -> Result<Arc<dyn Journal>, Stop> {
        let journal = FileJournal::open(self.folder.path(), OpenOptions::default()).map_err(not_kept)?;
        self.folder.clear_state().map_err(not_kept)?;
        Ok(Arc::new(journal))
    }

    /// The folder for rows and failures that are many.
    pub(crate) fn parts(&self) -> PathBuf {
        self.folder.path().join("parts")
    }

    /// What its steps share: where rows go that are many, and its mark.
    pub(crate) fn provide(&self, resources: Resources) -> Resources {
        let resources = resources.with(Arc::new(Parts::new(self.parts())));
        let mark = &self.folder.run.mark;
        if mark.is_empty() { resources } else { resources.with(Arc::new(RunMark(mark.clone()))) }
    }

    /// Where tables lie that are too long for a message.
    pub(crate) fn tables(&self) -> PathBuf {
        self.folder.path().join("tables")
    }

    /// Writes down how an execution ended.
    pub(crate) fn close(
        &self,
        ended: &Result<Execution, StepError>,
        run: &Run,
        secrets: &Secrets,
    ) -> Result<(), Stop> {
        let mut questions = Vec::new();
        let (status, error) = match ended {
            Ok(Execution::Finished(_)) => (Status::Finished, None),
            Ok(Execution::Interrupted(_)) => (Status::Stopped, None),
            Ok(Execution::Waiting(open)) => {
                let open =
                    open.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>().unwrap_or_default();
                questions = open.iter().map(|question| secrets.masked_json(question)).collect();
                (Status::Waiting, None)
            }
            Err(error) => (Status::Failed, Some(error)),
        };
        let error = error.map(|error| Failure {
            code: error.code.to_string(),
            message: error.message.clone(),
            step: error.at.as_ref().map(ToString::to_string),
        });
        let usage = serde_json::to_value(run.usage()).unwrap_or_default();
        let state =
            RunState { status, error, maps: Json::Null, usage, questions, said: 0, ended: 0, ended_nanos: 0 };
        self.folder.write_state(state).map_err(not_kept)
    }
}
