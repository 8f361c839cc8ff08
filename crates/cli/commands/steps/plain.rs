//! Step types as text for a terminal.

use flowrun_core::registry::StepType;
use flowrun_core::signature::Port;

use super::keys::{self, Key};
use super::{branch, common_keys, doc_line, first_sentence};

/// How a value that comes late is written, and the same with spaces at which no line ends.
const LATE: &str = "{ from: REFERENCE }";
const HELD_LATE: &str = "{\u{a0}from:\u{a0}REFERENCE\u{a0}}";

/// Step types, a line each.
pub(super) fn list<'r>(steps: impl Iterator<Item = &'r StepType>, width: usize) -> String {
    let mut page = Page::new(width);
    let docs: Vec<(&str, String)> = steps.map(|step| (step.name, doc_line(step.doc()))).collect();
    page.columns(0, docs.iter().map(|(name, doc)| (*name, first_sentence(doc))));
    page.text.push('\n');
    page.paragraph(0, "`flowrun steps NAME` shows one: its keys, inputs, outputs, branches and an example.");
    page.text
}

/// One step type.
pub(super) fn one(step: &StepType, width: usize) -> String {
    let mut page = Page::new(width);
    page.paragraph(0, step.name);
    page.paragraph(2, &doc_line(step.doc()));
    let keys = keys::of(&step.schema);
    page.head("keys");
    page.keys(2, &keys.own);
    page.paragraph(2, &format!("Every step may also have {}.", common_keys()));
    for group in &keys.groups {
        page.head(&group.title);
        page.paragraph(2, &group.doc);
        page.keys(2, &group.keys);
    }
    page.ports("inputs", &step.ports.inputs);
    page.ports("outputs", &step.ports.outputs);
    page.head("branches");
    page.columns(2, step.ports.branches.iter().map(|documented| branch(documented)));
    if step.ports.branches.is_empty() {
        page.paragraph(2, "none: the flow ends here");
    }
    if !step.example.is_empty() {
        page.head("example");
        for line in step.example.lines() {
            page.line(2, line);
        }
    }
    page.text
}

/// A text that grows line by line, none longer than its width where words allow it.
struct Page {
    text: String,
    width: usize,
}

impl Page {
    fn new(width: usize) -> Self {
        Self { text: String::new(), width }
    }

    fn line(&mut self, indent: usize, line: &str) {
        let line = format!("{:indent$}{line}", "").replace(HELD_LATE, LATE);
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// A title, after an empty line.
    fn head(&mut self, title: &str) {
        self.text.push('\n');
        self.line(0, title);
    }

    fn paragraph(&mut self, indent: usize, text: &str) {
        for line in wrapped(text, self.width.saturating_sub(indent)) {
            self.line(indent, &line);
        }
    }

    /// Names in one column, and beside each what there is to say.
    fn columns<'t>(&mut self, indent: usize, rows: impl Iterator<Item = (&'t str, &'t str)> + Clone) {
        let beside = rows.clone().map(|(name, _)| name.chars().count()).max().unwrap_or_default() + 2;
        for (name, text) in rows {
            let mut lines = wrapped(text, self.width.saturating_sub(indent + beside)).into_iter();
            let first = lines.next().unwrap_or_default();
            self.line(indent, &format!("{name:beside$}{first}"));
            lines.for_each(|line| self.line(indent + beside, &line));
        }
    }

    /// Each key with what it takes, and below that what it is for.
    fn keys(&mut self, indent: usize, keys: &[Key]) {
        let longest = keys.iter().map(|key| key.name.chars().count()).max().unwrap_or_default();
        for key in keys {
            let (name, terms) = (format!("{:longest$}", key.name), key.terms().replace(LATE, HELD_LATE));
            self.columns(indent, std::iter::once((name.as_str(), terms.as_str())));
            self.paragraph(indent + longest + 2, &key.doc);
        }
    }

    fn ports(&mut self, title: &str, ports: &[Port]) {
        if ports.is_empty() {
            return;
        }
        self.head(title);
        let keys: Vec<Key> = ports
            .iter()
            .map(|port| Key {
                name: port.name.clone(),
                takes: port.value_type.to_string(),
                required: false,
                default: port.default.as_ref().map(ToString::to_string),
                doc: port.doc.as_deref().map(doc_line).unwrap_or_default(),
            })
            .collect();
        self.keys(2, &keys);
    }
}

/// The lines of a text, none longer than `width` unless a word is.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut room = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        match lines.last_mut() {
            Some(line) if length < room => {
                line.push(' ');
                line.push_str(word);
                room -= length + 1;
            }
            _ => {
                lines.push(word.to_owned());
                room = width.saturating_sub(length);
            }
        }
    }
    lines
}
