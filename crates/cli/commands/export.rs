//! `flowrun export`: an Agent Spec document of a flow.

use std::io::Write;
use std::path::Path;

use flowrun_agentspec::{ExportOptions, export as make, to_json, to_yaml};
use flowrun_core::registry::Registry;

use super::{Stop, print_out};
use crate::args::{DocumentFormat, ExportArgs};
use crate::load::{Around, load};
use crate::render::Screen;

pub(super) fn export(registry: &Registry, args: &ExportArgs, screen: &Screen) -> Result<(), Stop> {
    let around = Around {
        base_dir: args.base_dir.as_deref(),
        allow: &args.allow_path,
        components: &args.components,
        ..Around::default()
    };
    let loaded = load(registry, &args.file, around)?;
    let options = ExportOptions { version: args.agentspec_version.clone(), keep_custom: args.keep_custom };
    let exported = make(&loaded.spec, &loaded.compiled, &options).map_err(Stop::Diagnostics)?;
    screen.diagnostics_of(&exported.warnings);
    let text = match args.format {
        DocumentFormat::Yaml => to_yaml(&exported.document),
        DocumentFormat::Json => to_json(&exported.document),
    };
    match &args.output {
        Some(path) => {
            write(path, &text).map_err(|e| Stop::usage(format!("`{}` cannot be written: {e}", path.display())))
        }
        None => print_out(&text),
    }
}

/// Writes a file beside its place and puts it there when it is whole.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.partial", std::process::id()));
    let written = std::fs::File::create(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.and_then(|()| std::fs::rename(&beside, path)).inspect_err(|_| {
        // The error of the write counts.
        let _ = std::fs::remove_file(&beside);
    })
}
