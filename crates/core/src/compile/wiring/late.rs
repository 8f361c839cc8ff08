//! References that are read apart from a step's inputs: the bounds of retry edges, and the run's seed.

use super::Wirer;
use crate::compile::codes;
use crate::diagnostics::Diagnostic;
use crate::flow::{Bound, Edge};
use crate::spec::Reference;
use crate::types::Type;

impl Wirer<'_> {
    pub(super) fn seed_input(&mut self) -> Option<String> {
        let seed = self.spec.seed.as_ref()?;
        match &seed.value {
            Reference::Input(name) if self.inputs.want(name, &Type::integer(), None).is_some() => {
                Some(name.clone())
            }
            other => {
                let message = format!("`seed` is `{other}`, and not an input of the flow");
                let wrong = Diagnostic::error(codes::DANGLING, message, &seed.span);
                self.found.push(wrong.help("write `seed: inputs.NAME`, an integer input"));
                None
            }
        }
    }
}

/// The references that bound the retry edges among these.
pub(super) fn late_bounds(edges: &[Edge]) -> Vec<String> {
    fn bound(edge: &Edge, all: &mut Vec<String>) {
        if let Edge::Retry { max_trials, otherwise, .. } = edge {
            if let Bound::Late(reference) = max_trials {
                all.push(reference.clone());
            }
            bound(otherwise, all);
        }
    }
    let mut all = Vec::new();
    for edge in edges {
        bound(edge, &mut all);
    }
    all
}
