//! `next`: where a step's branches go.

use flowrun_core::diagnostics::{Diagnostic, Spanned};
use flowrun_core::node::{Entry, Node, NodeKind};
use flowrun_core::spec::{Count, Next, Target};

use super::{Decoder, Key, get, key, wrong_kind};
use crate::codes;
use crate::problems::{first_line, quoted};

/// The keys of a retry edge.
pub(crate) const RETRY_KEYS: &[Key] = &[
    key("retry", "The step that runs again."),
    key("max_trials", "How often it runs at most in one visit of the flow."),
    key("else", "Where it goes after the last trial: a step, or `end`."),
];

const FORMS: &str = "write a step, `end`, or a branch with its target: `next: { success: end, failure: step }`";
const RETRY_FORM: &str = "write `{ retry: STEP, max_trials: 3, else: STEP }`";
const COUNT_FORM: &str = "write a number from 1 on, or `{ from: inputs.name }`";

impl Decoder<'_> {
    /// The value of `next` of a step.
    pub(super) fn next(&mut self, step: &str, node: &Node) -> Next {
        match &node.kind {
            NodeKind::String(_) => match self.named("next", "a step, `end` or a mapping", node) {
                Some(name) => Next::To(Target::Step(name)),
                None => Next::Following,
            },
            NodeKind::Map(entries) if is_bare_retry(entries) => {
                let message = format!("the retry edge of step {} belongs to no branch", quoted(step));
                self.push(
                    Diagnostic::error(codes::WRONG_KIND, message, &first_line(&node.span))
                        .help("name the branch: `next: { BRANCH: { retry: STEP, max_trials: 3, else: STEP } }`"),
                );
                Next::Following
            }
            NodeKind::Map(entries) if !entries.is_empty() => Next::ByBranch(self.branches(entries)),
            _ => {
                let wanted = "a step, `end`, or a mapping from branches to steps";
                let problem = wrong_kind("next", wanted, node);
                self.push(problem.help(FORMS));
                Next::Following
            }
        }
    }

    fn branches(&mut self, entries: &[Entry]) -> Vec<(Spanned<String>, Target)> {
        let mut found = Vec::with_capacity(entries.len());
        for entry in entries {
            let branch = self.port("branch", entry);
            if let Some(target) = self.target(&entry.key, &entry.value) {
                found.push((branch, target));
            }
        }
        found
    }

    fn target(&mut self, branch: &str, node: &Node) -> Option<Target> {
        match &node.kind {
            NodeKind::Map(entries) => self.retry(branch, node, entries),
            _ => self.named(branch, "a step, `end` or a retry edge", node).map(Target::Step),
        }
    }

    fn retry(&mut self, branch: &str, node: &Node, entries: &[Entry]) -> Option<Target> {
        let place = format!("the retry edge of branch {}", quoted(branch));
        self.known_keys(entries, RETRY_KEYS, &place, None);
        let mut part = |name| {
            let found = get(entries, name);
            if found.is_none() {
                self.missing(name, &place, &node.span, RETRY_FORM);
            }
            found
        };
        let (step, max_trials, otherwise) = (part("retry"), part("max_trials"), part("else"));
        let step = step.and_then(|entry| self.retried(&entry.value));
        let max_trials = max_trials.and_then(|entry| self.count(entry));
        let otherwise = otherwise.and_then(|entry| self.target("else", &entry.value));
        Some(Target::Retry {
            step: step?,
            max_trials: max_trials?,
            otherwise: Box::new(otherwise?),
            span: node.span.clone(),
        })
    }

    fn retried(&mut self, node: &Node) -> Option<Spanned<String>> {
        let name = self.named("retry", "a step", node)?;
        if name.value == "end" {
            let message = "`retry` must be a step, not the end of the flow";
            self.push(Diagnostic::error(codes::WRONG_KIND, message, &name.span).help(RETRY_FORM));
            return None;
        }
        Some(name)
    }

    /// A number from 1 on that may come late.
    fn count(&mut self, entry: &Entry) -> Option<Spanned<Count>> {
        let count = match &entry.value.kind {
            NodeKind::Int(number) => u32::try_from(*number).ok().filter(|n| *n > 0).map(Count::Now),
            NodeKind::Map(_) => {
                return self
                    .from(&entry.key, &entry.value, COUNT_FORM)
                    .map(|reference| Spanned::new(Count::From(reference), entry.value.span.clone()));
            }
            _ => None,
        };
        if count.is_none() {
            let problem = wrong_kind(&entry.key, "a number from 1 on", &entry.value);
            self.push(problem.help(COUNT_FORM));
        }
        count.map(|count| Spanned::new(count, entry.value.span.clone()))
    }
}

/// Whether the mapping under `next` is a retry edge whose branch was forgotten.
fn is_bare_retry(entries: &[Entry]) -> bool {
    let all_are_keys = entries.iter().all(|e| RETRY_KEYS.iter().any(|k| k.name == &*e.key));
    entries.len() > 1 && all_are_keys && get(entries, "retry").is_some()
}
