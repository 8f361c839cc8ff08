//! `flowrun resume` and `flowrun retry`: a run goes on over what it holds.

use flowrun_core::execute::Unfinished;
use flowrun_core::registry::Registry;
use flowrun_journal::{OpenOptions, RunFolder, Status};

use super::run::{Kept, asked_again, prepare, run_prepared};
use super::runs::{locate, stopped};
use super::{Stop, print_out};
use crate::args::{GoOnArgs, KeepArgs, ResumeArgs};
use crate::render::Screen;

pub(super) fn resume(registry: &Registry, args: &ResumeArgs, screen: &Screen, verbose: u8) -> Result<(), Stop> {
    let folder = open(args)?;
    let state = folder.state().map_err(stopped)?;
    if state.is_some_and(|state| state.status == Status::Finished) {
        if args.go_on.json {
            return print_out(&format!("{}\n", serde_json::json!({"run": folder.id(), "status": "finished"})));
        }
        if !args.go_on.quiet {
            screen.line(&format!("run {} has finished; nothing is left to do", folder.id()));
        }
        return Ok(());
    }
    go_on(registry, folder, &args.go_on, screen, verbose, OpenOptions::default())
}

pub(super) fn retry(registry: &Registry, args: &ResumeArgs, screen: &Screen, verbose: u8) -> Result<(), Stop> {
    let folder = open(args)?;
    let failed = super::runs::rows_of(folder.path()).map_err(stopped)?.held.failed;
    if failed == 0 {
        let stop = Stop::usage(format!("no item of the run {} has failed", folder.id()));
        return Err(stop.help(format!("`flowrun show {}` says how it stands", folder.id())));
    }
    let options = OpenOptions { drop_failed: true, ..OpenOptions::default() };
    go_on(registry, folder, &args.go_on, screen, verbose, options)
}

fn open(args: &ResumeArgs) -> Result<RunFolder, Stop> {
    let path = locate(args.run.as_deref())?;
    let path = std::path::absolute(&path).map_err(|e| Stop::usage(e.to_string()))?;
    RunFolder::open(&path).map_err(stopped)
}

pub(super) fn go_on(
    registry: &Registry,
    folder: RunFolder,
    args: &GoOnArgs,
    screen: &Screen,
    verbose: u8,
    options: OpenOptions,
) -> Result<(), Stop> {
    let working = &folder.run.working_folder;
    // All that was typed is relative to the folder in which it was typed.
    std::env::set_current_dir(working).map_err(|e| {
        Stop::usage(format!("the run was started in `{}`, which cannot be entered: {e}", working.display()))
    })?;
    let mut again = asked_again(&folder.run)?;
    again.parallel = args.parallel.or(again.parallel);
    again.model.extend(args.model.iter().cloned());
    (again.quiet, again.json) = (args.quiet, args.json);
    again.unfinished = match (args.redo, args.skip) {
        (true, _) => Unfinished::Redo,
        (_, true) => Unfinished::Skip,
        _ => Unfinished::Ask,
    };
    again.keep = KeepArgs { durable: args.durable, ..KeepArgs::default() };
    let from_stdin = folder.run.flow.file == std::path::Path::new("-");
    if from_stdin && folder.run.flow.hidden {
        let message = format!("the flow of the run {} came from standard input and held a secret", folder.id());
        let help = "secrets are not kept; begin again, with the flow in a file or the secret in the environment";
        return Err(Stop::usage(message).help(help));
    }
    let text = from_stdin.then(|| folder.run.flow.text.clone());
    let said = folder.state().map_err(stopped)?.map_or(0, |state| state.said);
    let prepared = prepare(registry, &again, screen, text.as_deref())?;
    let options = OpenOptions { durable: args.durable, ..options };
    let mut kept = Kept::again(folder, options, &prepared, &again, args.accept_changes)?;
    kept.already_said = said;
    run_prepared(prepared, &again, Some(kept), screen, verbose)
}
