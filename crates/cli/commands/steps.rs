//! `flowrun steps`: what step types there are, read off the registry.

mod keys;
mod markdown;
mod plain;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flowrun_core::diagnostics::nearest;
use flowrun_core::registry::Registry;
use flowrun_core::spec::RESERVED_STEP_KEYS;

use super::{Stop, print_out};
use crate::load::{Around, all_flows, load};

/// Text is not set wider than this, and not narrower than that.
const WIDEST: usize = 100;
const NARROWEST: usize = 60;

pub(super) fn steps(
    registry: &Registry,
    name: Option<&str>,
    components: &[PathBuf],
    markdown: bool,
) -> Result<(), Stop> {
    let width = width();
    let Some(name) = name else {
        return print_out(&if markdown { markdown::page(registry) } else { plain::list(registry.iter(), width) });
    };
    match registry.get(name) {
        Some(step) => print_out(&plain::one(step, width)),
        None if is_file(name) || !components.is_empty() => {
            let loaded = load(registry, Path::new(name), Around { components, ..Around::default() })?;
            let flows = all_flows(&loaded.compiled.flow);
            let used: BTreeSet<&str> =
                flows.iter().flat_map(|flow| &flow.steps).map(|step| step.step_type).collect();
            print_out(&plain::list(registry.iter().filter(|step| used.contains(step.name)), width))
        }
        None => Err(unknown(registry, name)),
    }
}

/// Whether what was named is a flow's file and no step type.
fn is_file(name: &str) -> bool {
    let path = Path::new(name);
    let flow = path.extension().is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known));
    name == "-" || flow || path.is_file()
}

fn unknown(registry: &Registry, name: &str) -> Stop {
    let help = match nearest(name, registry.iter().map(|step| step.name)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`flowrun steps` lists all".to_owned(),
    };
    Stop::usage(format!("there is no step type `{name}`")).help(help)
}

/// The columns of the terminal that the text goes to; the widest where it goes elsewhere.
fn width() -> usize {
    let set = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = || console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    set.or_else(terminal).unwrap_or(WIDEST).clamp(NARROWEST, WIDEST)
}

/// The keys that every step may have, as a list in words.
fn common_keys() -> String {
    let keys: Vec<String> =
        RESERVED_STEP_KEYS.iter().filter(|key| **key != "type").map(|key| format!("`{key}`")).collect();
    match keys.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => keys.concat(),
    }
}

/// A doc comment as one line: without line ends, and without the brackets of a link to code.
fn doc_line(doc: &str) -> String {
    let words: Vec<&str> = doc.split_whitespace().collect();
    words.join(" ").replace("[`", "`").replace("`]", "`")
}

/// The first sentence of a text.
fn first_sentence(text: &str) -> &str {
    text.find(". ").map_or(text, |end| &text[..=end])
}

/// A branch as the registry documents it: its name, and what it stands for where that is said.
fn branch(documented: &str) -> (&str, &str) {
    documented.split_once(": ").unwrap_or((documented, ""))
}

#[cfg(test)]
mod tests;
