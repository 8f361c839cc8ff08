//! `flowrun completions`.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::{Stop, print_out};
use crate::args::Cli;

pub(super) fn completions(shell: Shell) -> Result<(), Stop> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "flowrun", &mut script);
    print_out(&String::from_utf8_lossy(&script))
}
