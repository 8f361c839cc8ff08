//! The inputs of a run: from `-i`, from a file, from the flow's defaults.

use std::collections::BTreeMap;
use std::path::Path;

use flowrun_core::cast::parse_text;
use flowrun_core::diagnostics::{Diagnostics, nearest};
use flowrun_core::execute;
use flowrun_core::flow::{Flow, FlowStep};
use flowrun_core::signature::Port;
use flowrun_core::types::Kind;
use flowrun_core::value::Value;
use flowrun_data::read::{self, ReadOptions};
use flowrun_steps::Files;
use flowrun_yaml::{ParseOptions, parse_node};

use crate::args::RunArgs;
use crate::commands::Stop;

/// The values that the person gave; those of `-i` win over those of the file.
pub(super) fn given(
    flow: &Flow,
    args: &RunArgs,
    working: &Path,
    files: &mut Files,
) -> Result<BTreeMap<String, Value>, Stop> {
    let mut values = BTreeMap::new();
    if let Some(file) = &args.inputs {
        values = from_file(file, flow.inputs.iter().any(|port| port.secret))?;
    }
    for text in &args.input {
        let Some((name, value)) = text.split_once('=') else {
            // It may be a secret without its name.
            let shown = if flow.inputs.iter().any(|port| port.secret) { "…" } else { text };
            return Err(Stop::usage(format!("`-i {shown}` is not of the form NAME=VALUE")));
        };
        let Some(port) = flow.input(name) else {
            return Err(unknown(flow, name));
        };
        let wrong = |e: flowrun_core::cast::CastError| {
            let why = if port.secret { format!("it is no {}", port.value_type) } else { e.to_string() };
            Stop::usage(format!("input `{name}`: {why}"))
        };
        // A table is named by its file; it is opened below.
        let value = match port.value_type.without_null().kind {
            Kind::Table => Value::from(value),
            _ => parse_text(value, &port.value_type).map_err(wrong)?,
        };
        values.insert(name.to_owned(), value);
    }
    open(flow, &mut values, working, files)?;
    Ok(values)
}

/// Opens the tables that are given by the names of their files, and allows the files that are given.
pub(in crate::commands) fn open(
    flow: &Flow,
    values: &mut BTreeMap<String, Value>,
    working: &Path,
    files: &mut Files,
) -> Result<(), Stop> {
    for port in &flow.inputs {
        let kind = &port.value_type.without_null().kind;
        let Some(Value::String(path)) = values.get(&port.name) else { continue };
        if !matches!(kind, Kind::Path | Kind::Table) {
            continue;
        }
        // The person named the file, so it may be read wherever it lies.
        let place = working.join(&**path);
        if !place.is_file() && (*kind == Kind::Table || is_read(flow, &port.name)) {
            return Err(Stop::usage(format!("input `{}`: there is no file `{path}`", port.name)));
        }
        if *kind == Kind::Table || is_read(flow, &port.name) {
            files.given.push(place.clone());
        }
        let value = if *kind == Kind::Table {
            let read = read::open(&place, &ReadOptions::default());
            let read = read.map_err(|e| Stop::usage(format!("input `{}`: {e}", port.name)))?;
            Value::Table(read.table)
        } else {
            Value::from(place.display().to_string())
        };
        files.allowed.push(place);
        values.insert(port.name.clone(), value);
    }
    Ok(())
}

/// Whether a step reads the file that this input names; else it may be one that is yet to be written.
fn is_read(flow: &Flow, input: &str) -> bool {
    let reads = flow.steps.iter().filter(|s| s.step_type == "read_table");
    reads.flat_map(FlowStep::late_references).any(|r| r.strip_prefix("inputs.") == Some(input))
}

fn unknown(flow: &Flow, name: &str) -> Stop {
    let known: Vec<_> = flow.inputs.iter().map(|p| p.name.as_str()).collect();
    let stop = Stop::usage(format!("the flow has no input `{name}`"));
    match nearest(name, known.iter().copied()) {
        Some(near) => stop.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => stop.help("it has no inputs at all"),
        None => stop.help(format!("it has {}", known.join(", "))),
    }
}

/// `secret`: whether lines of the file must not be shown.
fn from_file(file: &Path, secret: bool) -> Result<BTreeMap<String, Value>, Stop> {
    let name = file.display().to_string();
    let text = std::fs::read(file).map_err(|e| Stop::usage(format!("`{name}` cannot be read: {e}")))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let environment = |name: &str| std::env::var(name).ok();
    let parsed = parse_node(&text, &ParseOptions::new(name.as_str(), folder).env(&environment))
        .map_err(|wrong| if secret { Stop::usage(places_of(&wrong, &name)) } else { Stop::Diagnostics(wrong) })?;
    match parsed.node.to_value() {
        Value::Object(object) => Ok(object.iter().map(|(k, v)| (k.to_string(), v.clone())).collect()),
        other => Err(Stop::usage(format!("`{name}` is a {}, not a mapping of inputs", other.type_name()))),
    }
}

/// Where a file of inputs is wrong, and nothing of what stands there.
fn places_of(wrong: &Diagnostics, name: &str) -> String {
    let places = wrong.iter().filter_map(|d| d.span.line_column());
    let places: Vec<_> = places.map(|(line, column)| format!("{name}:{line}:{column}")).collect();
    format!(
        "the inputs cannot be read; see {}",
        if places.is_empty() { name.to_owned() } else { places.join(", ") }
    )
}

/// How a secret is given so that it stands in no history of a shell and in no list of processes.
fn unseen(name: &str) -> String {
    format!("`--inputs FILE` with `{name}: …` in it; what `-i {name}=…` says stays in the history of the shell")
}

/// What is typed of secrets where a run goes on.
pub(super) fn typed_again<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.fold(String::new(), |typed, name| typed + " -i " + name + "=…")
}

/// The names of the secret inputs.
pub(in crate::commands) fn secret_names(flow: &Flow) -> Vec<String> {
    flow.inputs.iter().filter(|port| port.secret).map(|port| port.name.clone()).collect()
}

/// The inputs in the flow's order, and the run's seed. `again`: the command with which a run goes on.
pub(in crate::commands) fn bind(
    flow: &Flow,
    given: BTreeMap<String, Value>,
    seed: Option<u64>,
    again: Option<&str>,
) -> Result<(Vec<Value>, u64), Stop> {
    let absent = |p: &&Port| p.default.is_none() && !given.contains_key(&p.name);
    if let Some(again) = again {
        let secret: Vec<_> = flow.inputs.iter().filter(|p| p.secret).filter(absent).collect();
        if !secret.is_empty() {
            let names: Vec<_> = secret.iter().map(|p| format!("`{}`", p.name)).collect();
            let typed = typed_again(secret.iter().map(|p| p.name.as_str()));
            let message = format!("secrets are not kept, so the run cannot go on without {}", names.join(", "));
            return Err(Stop::usage(message).help(format!("{again}{typed}")));
        }
    }
    let absent = flow.inputs.iter().find(absent);
    let inputs = execute::bind(flow, given).map_err(|wrong| {
        let stop = Stop::usage(wrong.join("\n       "));
        match absent {
            Some(port) if port.secret => stop.help(unseen(&port.name)),
            Some(port) => stop.help(format!("give it with `-i {}=…`", port.name)),
            None => stop,
        }
    })?;
    let Some(name) = &flow.seed_input else { return Ok((inputs, seed.unwrap_or(0))) };
    if seed.is_some() {
        let stop =
            Stop::usage(format!("the flow takes its seed from the input `{name}`, so `--seed` has no place"));
        return Err(stop.help(format!("write `-i {name}=N`")));
    }
    let place = flow.inputs.iter().position(|p| p.name == *name);
    let value = place.and_then(|p| inputs[p].as_i64());
    let seed = value.and_then(|v| u64::try_from(v).ok());
    seed.map(|seed| (inputs, seed))
        .ok_or_else(|| Stop::usage(format!("the seed, input `{name}`, must be an integer from 0")))
}

/// The inputs as the manifest shows them: those that are no secrets.
pub(in crate::commands) fn shown(flow: &Flow, inputs: &[Value]) -> serde_json::Map<String, serde_json::Value> {
    flow.inputs
        .iter()
        .zip(inputs)
        .filter(|(port, _)| !port.secret)
        .map(|(port, value)| (port.name.clone(), value.to_json().unwrap_or(serde_json::Value::Null)))
        .collect()
}
