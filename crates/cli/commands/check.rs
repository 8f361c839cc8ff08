//! `flowrun check`: all errors of flows, without running them.

use std::path::PathBuf;

use flowrun_core::diagnostics::Severity;
use flowrun_core::registry::Registry;
use flowrun_steps::Files;

use super::{NOT_STARTED, Stop};
use crate::load::{Around, all_flows, bind_stores, check_files, load};
use crate::render::{Screen, plural};

pub(super) fn check(
    registry: &Registry,
    files: &[PathBuf],
    around: Around<'_>,
    screen: &Screen,
) -> Result<(), Stop> {
    let mut failed = false;
    for file in files {
        let found = match load(registry, file, around) {
            Ok(loaded) => {
                let mut within = Files::new(&loaded.folder, &loaded.folder);
                within.allowed = around.allow.to_vec();
                let mut found = loaded.warnings.clone();
                found.extend(check_files(&loaded.compiled.flow, &within, false));
                if let Err(wrong) = bind_stores(&loaded.compiled, &within, true) {
                    found.extend(wrong);
                }
                if !found.has_errors() {
                    let flows = all_flows(&loaded.compiled.flow);
                    let steps: usize = flows.iter().map(|f| f.steps.len()).sum();
                    let size = format!("{}, {}", plural(flows.len() as u64, "flow"), plural(steps as u64, "step"));
                    screen.diagnostics_of(&found);
                    let warned = found.iter().filter(|d| d.severity == Severity::Warning).count();
                    let warned = if warned == 0 {
                        String::new()
                    } else {
                        format!(", {}", plural(warned as u64, "warning"))
                    };
                    screen.line(&format!("{}: fine ({size}{warned})", loaded.name));
                    continue;
                }
                found.sorted()
            }
            Err(Stop::Diagnostics(found)) => found,
            Err(Stop::Usage(message, help)) => {
                screen.error(&message, help.as_deref());
                failed = true;
                continue;
            }
            Err(other) => return Err(other),
        };
        screen.diagnostics(&found);
        failed = true;
    }
    if failed { Err(Stop::Code(NOT_STARTED)) } else { Ok(()) }
}
