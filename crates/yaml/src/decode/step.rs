//! A step: its reserved keys, and its configuration beside them.

use flowrun_core::diagnostics::{Diagnostic, Spanned};
use flowrun_core::node::{Entry, Node, NodeKind};
use flowrun_core::spec::{Next, RESERVED_STEP_KEYS, StepSpec, Wiring};

use super::{Decoder, Key, get, key, wrong_kind};
use crate::codes;
use crate::problems::{first_line, quoted, suggest};

/// The reserved keys of a step.
pub(crate) const STEP_KEYS: &[Key] = &[
    key("type", "What the step does: one of the registered step types."),
    key("doc", "A note for readers."),
    key("with", "Inputs that are wired by hand: `input: step.output`. The others are wired by their names."),
    key("next", "Where the step's branches go: a step, `end`, or a mapping from branches to these."),
    key("output", "The new name of the step's only output."),
    key("outputs", "New names of the step's outputs: `theirs: ours`."),
    key("wiring", "Whether names wire this step's inputs (`by_name`) or `with` alone (`explicit`)."),
];

/// The words of `wiring`.
pub(crate) const WIRINGS: &[(&str, Wiring)] = &[("by_name", Wiring::ByName), ("explicit", Wiring::Explicit)];

impl Decoder<'_> {
    /// The steps of a flow, in the order written.
    pub(super) fn steps(&mut self, entry: &Entry) -> Vec<StepSpec> {
        let help = "write `steps: { name: { type: … } }`, each step under its name";
        let Some(entries) = self.entries("steps", &entry.value, help) else {
            return Vec::new();
        };
        if entries.is_empty() {
            let message = "a flow needs at least one step";
            self.push(Diagnostic::error(codes::WRONG_KIND, message, &first_line(&entry.value.span)).help(help));
        }
        let mut steps = Vec::with_capacity(entries.len());
        for entry in entries {
            steps.extend(self.step(entry));
        }
        steps
    }

    fn step(&mut self, entry: &Entry) -> Option<StepSpec> {
        let name = self.step_name(entry);
        let place = format!("step {}", quoted(&entry.key));
        let Some(entries) = entry.value.entries() else {
            let problem = wrong_kind(&entry.key, "a mapping that describes a step", &entry.value);
            self.push(problem.help(format!("write `{}: {{ type: … }}`", name.value)));
            return None;
        };
        let step_type = get(entries, "type");
        if step_type.is_none() {
            self.missing("type", &place, &entry.key_span, "write `type: …`; `flowrun steps` lists the types");
        }
        let step_type = step_type.and_then(|found| self.step_type(found));
        let output = get(entries, "output");
        let outputs = get(entries, "outputs");
        if let (Some(output), Some(_)) = (output, outputs) {
            let message = format!("{place} has both `output` and `outputs`");
            self.push(
                Diagnostic::error(codes::WRONG_KIND, message, &output.key_span)
                    .help("`output: name` renames the only output, `outputs: { theirs: ours }` several"),
            );
        }
        let config = entries.iter().filter(|e| !RESERVED_STEP_KEYS.contains(&&*e.key)).cloned().collect();
        let span = first_line(&entry.value.span);
        let spec = StepSpec {
            name,
            doc: get(entries, "doc").and_then(|e| self.string(e)).map(|doc| doc.value),
            with: get(entries, "with").and_then(|e| self.wires("input", e)).unwrap_or_default(),
            inputs: Vec::new(),
            next: get(entries, "next").map_or(Next::Following, |e| self.next(&entry.key, &e.value)),
            output: output.and_then(|e| self.output_name("output", &e.value)),
            outputs: outputs.map(|e| self.renamed(&e.value)).unwrap_or_default(),
            wiring: get(entries, "wiring").and_then(|e| self.wiring(e)),
            config: Node::new(NodeKind::Map(config), span.clone()),
            span,
            step_type: Spanned::default(),
        };
        Some(StepSpec { step_type: step_type?, ..spec })
    }

    fn step_type(&mut self, entry: &Entry) -> Option<Spanned<String>> {
        let found = self.string(entry)?;
        if found.value.is_empty() {
            let message = "the type of this step is empty";
            self.push(
                Diagnostic::error(codes::WRONG_KIND, message, &found.span).help("`flowrun steps` lists the types"),
            );
            return None;
        }
        Some(found)
    }

    /// The new name of an output.
    fn output_name(&mut self, key: &str, node: &Node) -> Option<Spanned<String>> {
        let name = node.as_str().filter(|name| node.inlined.is_none() && !name.is_empty());
        if name.is_none() {
            let problem = wrong_kind(key, "the new name of an output", node);
            self.push(problem.help("write `output: name`, or `outputs: { theirs: ours }`"));
        }
        name.map(|name| Spanned::new(name.to_owned(), node.span.clone()))
    }

    fn renamed(&mut self, node: &Node) -> Vec<(Spanned<String>, Spanned<String>)> {
        let help = "write `outputs: { theirs: ours }`; `output: name` renames the only output";
        let Some(entries) = self.entries("outputs", node, help) else {
            return Vec::new();
        };
        let mut found = Vec::with_capacity(entries.len());
        for entry in entries {
            let theirs = self.port("output", entry);
            if let Some(ours) = self.output_name(&entry.key, &entry.value) {
                found.push((theirs, ours));
            }
        }
        found
    }

    /// `by_name` or `explicit`.
    pub(super) fn wiring(&mut self, entry: &Entry) -> Option<Wiring> {
        let word = entry.value.as_str().unwrap_or_default();
        let found = WIRINGS.iter().find(|(known, _)| *known == word).map(|(_, wiring)| *wiring);
        if found.is_none() {
            let problem = wrong_kind("wiring", "`by_name` or `explicit`", &entry.value);
            self.push(suggest(problem, word, WIRINGS.iter().map(|(known, _)| *known)));
        }
        found
    }
}
