//! The commands, one file each.

mod cache;
mod check;
mod completions;
pub(crate) mod errors;
mod export;
mod graph;
pub(crate) mod host_parts;
mod init;
mod reply;
mod resume;
mod run;
mod runs;
pub(crate) mod schema;
mod steps;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, ValueEnum};
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::registry::Registry;

use crate::args::{Cli, Color, Command, InitKind};
use crate::load::Around;
use crate::render::{Hidden, Screen};

/// Exit code: an error, or every item failed.
pub(crate) const FAILED: u8 = 1;
/// Exit code: the run waits for a person.
pub(crate) const WAITS: u8 = 3;
/// Exit code: nothing was started.
pub(crate) const NOT_STARTED: u8 = 2;

/// Why a command ends early. Each is printed in one place, [`dispatch`].
pub(crate) enum Stop {
    /// A file is wrong.
    Diagnostics(Diagnostics),
    /// The arguments, or what they name, are wrong: a message, and what to do.
    Usage(String, Option<String>),
    /// Everything was said; only the exit code is left.
    Code(u8),
}

impl Stop {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into(), None)
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        match self {
            Self::Usage(message, _) => Self::Usage(message, Some(help.into())),
            other => other,
        }
    }
}

/// Does what the arguments say.
pub(crate) fn dispatch(registry: &Registry, args: Vec<OsString>) -> ExitCode {
    let matches = match Cli::command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            // Help and version go to standard output with code 0, mistakes to standard error with code 2.
            let code = u8::try_from(error.exit_code()).unwrap_or(NOT_STARTED);
            return if error.print().is_ok() { ExitCode::from(code) } else { ExitCode::from(NOT_STARTED) };
        }
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let colour = match cli.global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        }
    };
    let screen = Screen::stderr(colour);
    start_log(cli.global.verbose, screen.hidden().clone());
    if let Some(problem) = registry.problems().first() {
        screen.error(problem, None);
        return ExitCode::from(NOT_STARTED);
    }
    let done = match cli.command {
        None => run::run(registry, &cli.run, &screen, cli.global.verbose),
        Some(Command::Resume(args)) => resume::resume(registry, &args, &screen, cli.global.verbose),
        Some(Command::Retry(args)) => resume::retry(registry, &args, &screen, cli.global.verbose),
        Some(Command::Fork(args)) => resume::fork(registry, &args.how, &args.from, &screen, cli.global.verbose),
        Some(Command::Reply(args)) => reply::reply(registry, &args, &screen, cli.global.verbose),
        Some(Command::Host) => crate::host::serve(registry, screen.hidden()),
        Some(Command::Runs { json }) => runs::list(json),
        Some(Command::Show { run, failures }) => runs::show(run.as_deref(), failures),
        Some(Command::Compact { run }) => runs::compact(run.as_deref(), &screen),
        Some(Command::Rm { runs, finished, older_than }) => runs::remove(&runs, finished, older_than, &screen),
        Some(Command::Cache { what }) => cache::cache(what, &screen),
        Some(Command::Check { files, base_dir, allow_path, components }) => {
            let base_dir = base_dir.as_deref();
            let around = Around { base_dir, allow: &allow_path, components: &components, ..Around::default() };
            check::check(registry, &files, around, &screen)
        }
        Some(Command::Graph { file, components, format }) => graph::graph(registry, &file, &components, format),
        Some(Command::Export(args)) => export::export(registry, &args, &screen),
        Some(Command::Steps { name, components, markdown }) => {
            steps::steps(registry, name.as_deref(), &components, markdown)
        }
        Some(Command::Explain { code }) => errors::explain(code.as_deref()),
        Some(Command::Schema { file, components }) => schema::schema(registry, file.as_deref(), &components),
        Some(Command::Init { kind_and_dir }) => {
            init_kind(&kind_and_dir).and_then(|(kind, dir)| init::init(registry, kind, dir, &screen))
        }
        Some(Command::Completions { shell }) => completions::completions(shell),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Code(code)) => ExitCode::from(code),
        Err(Stop::Diagnostics(wrong)) => {
            screen.diagnostics(&wrong);
            ExitCode::from(NOT_STARTED)
        }
        Err(Stop::Usage(message, help)) => {
            screen.error(&message, help.as_deref());
            ExitCode::from(NOT_STARTED)
        }
    }
}

/// `[KIND] DIR`, which a positional argument with a default cannot say.
fn init_kind(words: &[String]) -> Result<(InitKind, &Path), Stop> {
    match words {
        [kind, dir] => match InitKind::from_str(kind, false) {
            Ok(kind) => Ok((kind, Path::new(dir))),
            Err(_) => {
                let stop = Stop::usage(format!("there is no flow `{kind}` to begin with"));
                Err(stop.help("there are justify, augment, pairs and chat"))
            }
        },
        [dir] => Ok((InitKind::Justify, Path::new(dir))),
        _ => Err(Stop::usage("`init` wants a folder")),
    }
}

/// The program's own log, on standard error: warnings, or what `RUST_LOG` says.
fn start_log(verbose: u8, hidden: Hidden) {
    use tracing_subscriber::EnvFilter;
    let level = if verbose >= 2 { "debug" } else { "warn" };
    let quiet: Vec<String> = flowrun_llm::QUIET_TARGETS.iter().map(|target| format!("{target}=off")).collect();
    let default = format!("{level},{}", quiet.join(","));
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // A program around this library may have a log of its own; then that one stays.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(hidden).try_init();
}

/// Prints to standard output; a reader that has gone away is no mistake of ours.
pub(crate) fn print_out(text: &str) -> Result<(), Stop> {
    use std::io::Write;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Stop::usage(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}
