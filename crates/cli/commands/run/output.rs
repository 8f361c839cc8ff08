//! Where `write_table` steps write, as `-o` says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowrun_core::diagnostics::nearest;
use flowrun_core::flow::Flow;
use flowrun_data::Format;
use flowrun_steps::files::Destination;

use crate::commands::Stop;
use crate::load::writable;

const WRITE_TABLE: &str = "write_table";

/// The writers of a flow.
pub(super) struct Writers {
    destinations: BTreeMap<String, Destination>,
    /// The step whose target gives side files their stem, and its path as far as it is known before the run.
    main: Option<(String, Option<PathBuf>)>,
    flow: String,
}

impl Writers {
    pub(super) fn new(flow: &Arc<Flow>, outputs: &[String], json: bool) -> Result<Self, Stop> {
        let steps: Vec<&str> =
            flow.steps.iter().filter(|s| s.step_type == WRITE_TABLE).map(|s| &*s.name).collect();
        let mut destinations = BTreeMap::new();
        for output in outputs {
            let (step, path) = match (named(output), steps.last()) {
                (Some((step, path)), _) if steps.contains(&step) => (step, path),
                (Some((step, _)), Some(_)) => return Err(unknown(step, output, &steps)),
                (None, Some(last)) => (*last, output.as_str()),
                (_, None) => {
                    return Err(Stop::usage("`-o` sets where a `write_table` step writes, and the flow has none"));
                }
            };
            let destination = match path {
                "-" if json => return Err(Stop::usage("`-o -` and `--json` both want standard output")),
                "-" => Destination::Stdout,
                path => Destination::Path(PathBuf::from(path)),
            };
            if destinations.insert(step.to_owned(), destination).is_some() {
                return Err(Stop::usage(format!("`-o` says twice where `{step}` writes")));
            }
        }
        let stdout = destinations.values().filter(|d| **d == Destination::Stdout).count();
        if stdout > 1 {
            return Err(Stop::usage("only one step can write to standard output"));
        }
        let main = steps.last().map(|step| {
            let written = flow.step(step).and_then(|s| s.signature.files.iter().find(|f| f.write));
            ((*step).to_owned(), written.map(|f| PathBuf::from(&f.path)))
        });
        Ok(Self { destinations, main, flow: flow.name.to_string() })
    }

    pub(super) fn destinations(&self) -> BTreeMap<String, Destination> {
        self.destinations.clone()
    }

    /// Whether the files that `-o` names can be made.
    pub(super) fn check(&self, working: &Path) -> Result<(), Stop> {
        for destination in self.destinations.values() {
            if let Destination::Path(path) = destination {
                Format::of_path(path)
                    .map_err(|e| Stop::usage(e.message).help("end it in .json, .jsonl, .csv or .parquet"))?;
                writable(&working.join(path)).map_err(|why| Stop::usage(format!("`{}` {why}", path.display())))?;
            }
        }
        Ok(())
    }

    /// A side file of the run: it has the stem of the main target, or the flow's name.
    pub(super) fn side_file(&self, working: &Path, written: Option<&Path>, extension: &str) -> PathBuf {
        let target = match &self.main {
            Some((step, path)) => match self.destinations.get(step) {
                Some(Destination::Stdout) => None,
                Some(Destination::Path(path)) => Some(working.join(path)),
                None => written.map(Path::to_owned).or_else(|| path.as_ref().map(|p| working.join(p))),
            },
            None => None,
        };
        match target {
            Some(target) => target.with_extension(extension),
            None => working.join(format!("{}.{extension}", self.flow)),
        }
    }

    /// The step whose target gives side files their stem.
    pub(super) fn main_step(&self) -> Option<&str> {
        self.main.as_ref().map(|(step, _)| step.as_str())
    }
}

/// The parts of `STEP=PATH`, where what stands before the sign could be a step's name.
fn named(output: &str) -> Option<(&str, &str)> {
    let is_name = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    output.split_once('=').filter(|(step, _)| is_name(step))
}

fn unknown(step: &str, output: &str, steps: &[&str]) -> Stop {
    let stop = Stop::usage(format!("`-o {output}`: the flow has no `write_table` step `{step}`"));
    match nearest(step, steps.iter().copied()) {
        Some(near) => stop.help(format!("did you mean `{near}`?")),
        None => stop.help(format!("it has {}; a file of that name is `./{output}`", steps.join(", "))),
    }
}
