//! `flowrun resume`, `flowrun retry` and `flowrun fork`: a run goes on over what it or another one holds.

use flowrun_core::diagnostics::nearest;
use flowrun_core::execute::Unfinished;
use flowrun_core::registry::Registry;
use flowrun_core::secrets::Secrets;
use flowrun_journal::{Forked, Found, OpenOptions, RunFile, RunFolder, Status};

use super::run::{Kept, Prepared, asked_again, prepare, run_prepared};
use super::runs::{locate, stopped};
use super::{Stop, print_out};
use crate::args::{GoOnArgs, KeepArgs, ResumeArgs, RunArgs};
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
    let how = GoingOn { command: "resume", options: OpenOptions::default() };
    go_on(registry, folder, &args.go_on, screen, verbose, how, |_, _| Ok(()))
}

pub(super) fn retry(registry: &Registry, args: &ResumeArgs, screen: &Screen, verbose: u8) -> Result<(), Stop> {
    let folder = open(args)?;
    let failed = super::runs::rows_of(folder.path()).map_err(stopped)?.held.failed;
    if failed == 0 {
        let stop = Stop::usage(format!("no item of the run {} has failed", folder.id()));
        return Err(stop.help(format!("`flowrun show {}` says how it stands", folder.id())));
    }
    let options = OpenOptions { drop_failed: true, ..OpenOptions::default() };
    let how = GoingOn { command: "retry", options };
    go_on(registry, folder, &args.go_on, screen, verbose, how, |_, _| Ok(()))
}

/// How a run goes on.
pub(super) struct GoingOn {
    /// The command that was typed.
    pub(super) command: &'static str,
    /// What is taken from its journal.
    pub(super) options: OpenOptions,
}

fn open(args: &ResumeArgs) -> Result<RunFolder, Stop> {
    let path = locate(args.run.as_deref())?;
    let path = std::path::absolute(&path).map_err(|e| Stop::usage(e.to_string()))?;
    RunFolder::open(&path).map_err(stopped)
}

/// `before`: what is done when all is known to be there, and nothing runs yet.
pub(super) fn go_on(
    registry: &Registry,
    folder: RunFolder,
    args: &GoOnArgs,
    screen: &Screen,
    verbose: u8,
    GoingOn { command, options }: GoingOn,
    before: impl FnOnce(&RunFolder, &Secrets) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let typed = format!("flowrun {command} {}", folder.id());
    let (prepared, again) = prepare_again(registry, &folder.run, folder.id(), args, typed, screen)?;
    before(&folder, prepared.secrets())?;
    let said = folder.state().map_err(stopped)?.map_or(0, |state| state.said);
    let options = OpenOptions { durable: args.durable, ..options };
    let mut kept = Kept::again(folder, options, &prepared, &again, args.accept_changes)?;
    kept.already_said = said;
    run_prepared(prepared, &again, Some(kept), screen, verbose)
}

/// What was asked when a run was started, as it is now; where it was started.
fn prepare_again(
    registry: &Registry,
    run: &RunFile,
    id: &str,
    args: &GoOnArgs,
    typed: String,
    screen: &Screen,
) -> Result<(Prepared, RunArgs), Stop> {
    let working = &run.working_folder;
    // All that was typed is relative to the folder in which it was typed.
    std::env::set_current_dir(working).map_err(|e| {
        Stop::usage(format!("the run was started in `{}`, which cannot be entered: {e}", working.display()))
    })?;
    let mut again = asked_again(run)?;
    again.again = Some(typed);
    again.input.extend(args.input.iter().cloned());
    again.parallel = args.parallel.or(again.parallel);
    again.model.extend(args.model.iter().cloned());
    (again.quiet, again.json) = (args.quiet, args.json);
    again.unfinished = match (args.redo, args.skip) {
        (true, _) => Unfinished::Redo,
        (_, true) => Unfinished::Skip,
        _ => Unfinished::Ask,
    };
    again.keep = KeepArgs { durable: args.durable, cache: again.keep.cache, ..KeepArgs::default() };
    let from_stdin = run.flow.file == std::path::Path::new("-");
    if from_stdin && run.flow.hidden {
        let message = format!("the flow of the run {id} came from standard input and held a secret");
        let help = "secrets are not kept; begin again, with the flow in a file or the secret in the environment";
        return Err(Stop::usage(message).help(help));
    }
    let text = from_stdin.then(|| run.flow.text.clone());
    let prepared = prepare(registry, &again, screen, text.as_deref())?;
    Ok((prepared, again))
}

/// `flowrun fork`: a new run over what another one did before a step.
pub(super) fn fork(
    registry: &Registry,
    args: &ResumeArgs,
    from: &str,
    screen: &Screen,
    verbose: u8,
) -> Result<(), Stop> {
    let path = locate(args.run.as_deref())?;
    let path = std::path::absolute(&path).map_err(|e| Stop::usage(e.to_string()))?;
    let found = Found::at(&path).map_err(stopped)?;
    let (run, id) = (found.run.map_err(stopped)?, found.id);
    let visits = flowrun_journal::visits(&path).map_err(stopped)?;
    let keep = before(&visits, from, &id)?;
    let typed = format!("flowrun fork {id} --from {from}");
    let (prepared, again) = prepare_again(registry, &run, &id, &args.go_on, typed, screen)?;
    let forked = Forked { run: id, from: from.to_owned() };
    let kept = Kept::forked(&path, &run, forked, keep, args.go_on.durable, (&prepared, &again))?;
    run_prepared(prepared, &again, Some(kept), screen, verbose)
}

/// The name of the step that a visit is one of.
fn step_of(visit: &str) -> &str {
    visit.rsplit_once('#').map_or(visit, |(step, _)| step)
}

/// The visits before the first one of a step, or before the one that `STEP#N` names.
fn before<'v>(visits: &'v [String], from: &str, id: &str) -> Result<&'v [String], Stop> {
    if let Some(place) = visits.iter().position(|visit| visit == from || step_of(visit) == from) {
        return Ok(&visits[..place]);
    }
    let stop = Stop::usage(format!("the run {id} has not come to a step `{from}` of its top flow"));
    Err(match nearest(from, visits.iter().map(|visit| step_of(visit))) {
        Some(near) => stop.help(format!("did you mean `{near}`?")),
        None => stop.help(format!("`flowrun show {id}` lists the steps that it came to")),
    })
}
