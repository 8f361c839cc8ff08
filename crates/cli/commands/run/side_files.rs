//! The files beside a dataset: what failed, and the manifest.
//!
//! The manifest holds nothing that two runs with the same flow, inputs, seed and replies could differ in: no clock, and
//! not how many items ran at once.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::output::Writers;
use super::{Kept, Report};

/// Writes the failures and, of a run that has finished, the manifest.
///
/// Gives the file of the failures, where there is one.
pub(super) fn write(report: &Report<'_>, writers: &Writers) -> Result<Option<PathBuf>, String> {
    let working = &report.files.working_folder;
    let written = report.files.written();
    let main = written.iter().rfind(|w| w.holds == "accepted" && Some(w.step.as_str()) == writers.main_step());
    let main = main.and_then(|w| w.file.as_deref());
    let failures = writers.side_file(working, main, "failures.jsonl");
    let some_failed = write_failures(report, &failures)?;
    if report.ended.is_ok() {
        let manifest = writers.side_file(working, main, "manifest.json");
        let text = format!("{:#}\n", manifest_of(report));
        replace(&manifest, |file| file.write_all(text.as_bytes()))?;
    }
    Ok(some_failed.then_some(failures))
}

/// Says whether there are any.
fn write_failures(report: &Report<'_>, path: &Path) -> Result<bool, String> {
    if report.run.failed() == 0 {
        // Those of an earlier run would pass for this one's.
        return match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(wrong(path, &e)),
            _ => Ok(false),
        };
    }
    let write = |file: &mut dyn Write| {
        report.run.each_failure(|failure| {
            serde_json::to_writer(&mut *file, failure)?;
            file.write_all(b"\n")
        })
    };
    replace(path, write).map(|()| true)
}

fn manifest_of(report: &Report<'_>) -> serde_json::Value {
    let flow = &report.loaded.compiled.flow;
    let mut manifest = json!({
        "flow": &*flow.name,
        "flow_file": report.loaded.name,
        "flow_digest": report.loaded.digest,
        "program": concat!("flowrun ", env!("CARGO_PKG_VERSION")),
        "seed": report.seed,
        "inputs": report.given,
        "models": report.models,
        "end": report.ended.as_ref().ok().and_then(|o| o.end.as_deref()),
        "maps": report.record.maps(),
        "counters": report.run.counters(),
        "scores": report.record.scores(),
        "usage": report.run.usage(),
        "cost": report.run.usage().dollars(),
        "read": report.files.read(),
        "written": report.files.written(),
    });
    let secret = super::secret_names(flow);
    if !secret.is_empty() {
        manifest["secret_inputs"] = json!(secret);
    }
    let earlier = report.kept.map(Kept::earlier_models).unwrap_or_default();
    if !earlier.is_empty() {
        manifest["earlier_models"] = json!(earlier);
    }
    manifest
}

/// Writes beside the target, then renames.
fn replace(path: &Path, text: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<(), String> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = path.with_file_name(format!(".{name}.partial"));
    let write = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = BufWriter::new(std::fs::File::create(&beside)?);
        text(&mut file)?;
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().map_err(|e| {
        // What was written so far is of no use to anybody; the reason that is told is the first one.
        let _ = std::fs::remove_file(&beside);
        wrong(path, &e)
    })
}

fn wrong(path: &Path, error: &std::io::Error) -> String {
    format!("`{}` cannot be written: {error}", path.display())
}
