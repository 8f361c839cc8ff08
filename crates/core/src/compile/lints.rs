//! Wires by name that are legal and surprising. `with:` says what is meant, and nothing is warned of.

use std::collections::HashMap;
use std::sync::Arc;

use super::control::{self, Graph};
use super::ways::{Producer, Producers, Reached, Ways, circles};
use super::wiring::Wired;
use super::{Decoded, codes, listed, place};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::signature::Port;
use crate::types::Kind;

/// How many producers a warning names, so that what is said of a flow does not grow faster than the flow.
const MOST_LISTED: usize = 8;

/// Warns of inputs that a step feeds to itself, and of those that one of several steps gives.
pub(super) fn check(steps: &[Decoded<'_>], graph: &Graph, wired: &Wired, found: &mut Diagnostics) {
    let mut onward = None;
    for (n, step) in steps.iter().enumerate() {
        let by_hand = |port: &Port| step.spec.with.iter().any(|(name, _)| name.value == port.name);
        for (port, reached) in step.signature.inputs.iter().zip(&wired.steps[n].reached) {
            let producers = &reached.producers;
            if producers.is_empty() || port.wired.is_some() || by_hand(port) {
                continue;
            }
            feeds_itself(step, n, port, producers, found);
            if producers.len() > 1 {
                let onward = onward.get_or_insert_with(|| Onward::new(graph));
                has_several_producers(steps, n, port, reached, onward, found);
            }
        }
    }
}

/// A step whose input has a default, as one that its text tests has, is made to run without it the first time; any other
/// begins with one thing and goes on with another.
fn feeds_itself(step: &Decoded<'_>, n: usize, port: &Port, producers: &[Producer], found: &mut Diagnostics) {
    if port.default.is_some() || !producers.iter().any(|(producer, _)| *producer == n) {
        return;
    }
    let (name, input) = (&step.spec.name, &port.name);
    let message = format!("`{}` takes `{input}` from its own earlier visit when it runs again", name.value);
    let warning = Diagnostic::warning(codes::SELF_FED, message, place(&name.span, &step.spec.span));
    found.push(warning.help(format!("say where it comes from: `with: {{ {input}: … }}`, or rename the output")));
}

fn has_several_producers(
    steps: &[Decoded<'_>],
    n: usize,
    port: &Port,
    reached: &Arc<Reached>,
    onward: &mut Onward,
    found: &mut Diagnostics,
) {
    let is_table = |(s, o): &Producer| steps[*s].signature.outputs[*o].value_type.kind == Kind::Table;
    let Some(nearest) = onward.nearest_in_a_row(n, reached) else { return };
    if reached.producers.iter().all(is_table) {
        return;
    }
    let (name, input) = (&steps[n].spec.name, &port.name);
    let from = nearest.producers.iter().take(MOST_LISTED);
    let from: Vec<String> =
        from.map(|(s, o)| format!("{}.{}", steps[*s].spec.name.value, steps[*s].outputs[*o])).collect();
    let (more, and_so_on) = match nearest.producers.len() - from.len() {
        0 => (String::new(), ""),
        more => (format!(" and {more} more"), ", …"),
    };
    let message = format!("`{}` takes `{input}` from whichever ran last: {}{more}", name.value, listed(&from));
    let warning = Diagnostic::warning(codes::SEVERAL_PRODUCERS, message, place(&name.span, &steps[n].spec.span));
    let from = from.join(", ");
    found.push(warning.help(format!("say that it is meant: `with: {{ {input}: [{from}{and_so_on}] }}`")));
}

/// The ways through the flow without its retries. What many read is looked at once.
struct Onward {
    after: Vec<Vec<usize>>,
    /// The circle of each step; those of later ones are lower.
    circles: Vec<usize>,
    ways: Ways,
    /// By their addresses, which are their own as long as they are held.
    producers: HashMap<*const Reached, (Arc<Reached>, Producers)>,
    lead_on: HashMap<*const Reached, (Arc<Reached>, bool)>,
}

impl Onward {
    fn new(graph: &Graph) -> Self {
        let after = control::after(graph, false);
        let mut before = vec![Vec::new(); after.len()];
        for (step, after) in after.iter().enumerate() {
            for next in after {
                before[*next].push(step);
            }
        }
        let (circles, ways) = (circles(&after), Ways::new(&before, &[]));
        Self { after, circles, ways, producers: HashMap::new(), lead_on: HashMap::new() }
    }

    /// Those of the producers that are met first on the ways back from a step, where one of them leads to another.
    fn nearest_in_a_row(&mut self, n: usize, reached: &Arc<Reached>) -> Option<Arc<Reached>> {
        let (_, producers) = self
            .producers
            .entry(Arc::as_ptr(reached))
            .or_insert_with(|| (Arc::clone(reached), Producers::new(reached.producers.clone())));
        let nearest = self.ways.back_from(n, producers);
        if let Some((_, lead_on)) = self.lead_on.get(&Arc::as_ptr(&nearest)) {
            return lead_on.then_some(nearest);
        }
        let lead_on = self.lead_on(&nearest.producers);
        self.lead_on.insert(Arc::as_ptr(&nearest), (Arc::clone(&nearest), lead_on));
        lead_on.then_some(nearest)
    }

    /// Whether one of several steps leads to another one of them.
    fn lead_on(&self, producers: &[Producer]) -> bool {
        let Some(lowest) = producers.iter().map(|(step, _)| self.circles[*step]).min() else { return false };
        let is_one = |step: usize| producers.binary_search_by_key(&step, |(producer, _)| *producer).is_ok();
        // Of each step two from which it is reached: one of them is another one than the step.
        let mut from: HashMap<usize, [Option<usize>; 2]> = HashMap::new();
        let mut ahead: Vec<(usize, usize)> = producers.iter().map(|(step, _)| (*step, *step)).collect();
        while let Some((step, origin)) = ahead.pop() {
            for next in self.after[step].iter().filter(|next| self.circles[**next] >= lowest) {
                if *next != origin && is_one(*next) {
                    return true;
                }
                let known = from.entry(*next).or_default();
                if known.contains(&Some(origin)) {
                    continue;
                }
                if let Some(free) = known.iter_mut().find(|known| known.is_none()) {
                    *free = Some(origin);
                    ahead.push((*next, origin));
                }
            }
        }
        false
    }
}
