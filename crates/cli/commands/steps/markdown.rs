//! The reference of all step types as one Markdown page: `docs/steps.md`.

use std::fmt::Write as _;

use flowrun_core::registry::{Registry, StepType};
use flowrun_core::signature::Port;

use super::keys::{self, Key};
use super::{branch, common_keys, doc_line, first_sentence};

pub(super) fn page(registry: &Registry) -> String {
    let mut out = format!(
        "# Step types\n\nThe output of `flowrun steps --markdown`. Every step has a `type`, and may have {}; what \
         these mean stands in the page on flow files. A key that takes `{{ from: REFERENCE }}` may get its value while \
         the flow runs.\n\n| type | what it does |\n|---|---|\n",
        common_keys()
    );
    for step in registry.iter() {
        let doc = doc_line(step.doc());
        let _ = writeln!(out, "| [`{0}`](#{0}) | {1} |", step.name, cell(first_sentence(&doc)));
    }
    for step in registry.iter() {
        one(&mut out, step);
    }
    out
}

fn one(out: &mut String, step: &StepType) {
    let _ = write!(out, "\n## {}\n\n{}\n", step.name, doc_line(step.doc()));
    if !step.example.is_empty() {
        let _ = write!(out, "\n```yaml\n{}\n```\n", step.example);
    }
    let keys = keys::of(&step.schema);
    if !keys.own.is_empty() {
        key_table(out, "key", &keys.own);
    }
    for group in &keys.groups {
        let title = if group.title.contains('`') { group.title.clone() } else { format!("`{}`", group.title) };
        let _ = write!(out, "\n### {title}\n");
        if !group.doc.is_empty() {
            let _ = write!(out, "\n{}\n", group.doc);
        }
        if !group.keys.is_empty() {
            key_table(out, "key", &group.keys);
        }
    }
    if !keys.groups.is_empty() {
        let _ = write!(out, "\n### Inputs and outputs of `{}`\n", step.name);
    }
    port_table(out, "input", &step.ports.inputs);
    port_table(out, "output", &step.ports.outputs);
    let branches: Vec<String> = step
        .ports
        .branches
        .iter()
        .map(|documented| match branch(documented) {
            (name, "") => format!("`{name}`"),
            (name, text) => format!("`{name}` ({text})"),
        })
        .collect();
    let branches = if branches.is_empty() { "none: the flow ends here".to_owned() } else { branches.join(", ") };
    let _ = write!(out, "\nBranches: {branches}.\n");
}

fn key_table(out: &mut String, title: &str, keys: &[Key]) {
    let _ = write!(out, "\n| {title} | takes | |\n|---|---|---|\n");
    for key in keys {
        let after = match (&key.default, key.required) {
            (_, true) => ", required".to_owned(),
            (Some(default), false) => format!(", default `{default}`"),
            (None, false) => String::new(),
        };
        let _ = writeln!(out, "| `{}` | `{}`{after} | {} |", key.name, cell(&key.takes), cell(&key.doc));
    }
}

fn port_table(out: &mut String, title: &str, ports: &[Port]) {
    if ports.is_empty() {
        return;
    }
    let _ = write!(out, "\n| {title} | type | |\n|---|---|---|\n");
    for port in ports {
        let default = port.default.as_ref().map(|d| format!(", default `{d}`")).unwrap_or_default();
        let doc = port.doc.as_deref().map(doc_line).unwrap_or_default();
        let value_type = cell(&port.value_type.to_string());
        let _ = writeln!(out, "| `{}` | `{value_type}`{default} | {} |", port.name, cell(&doc));
    }
}

/// A text inside of a table, where an upright stroke would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
