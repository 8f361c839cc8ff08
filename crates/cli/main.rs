//! The program `flowrun`.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowrun::main(flowrun::standard())
}
