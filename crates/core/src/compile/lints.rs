//! Wires by name that are legal and surprising. `with:` says what is meant, and nothing is warned of.

use std::cell::OnceCell;

use petgraph::Direction;
use petgraph::algo::has_path_connecting;
use petgraph::graph::{DiGraph, NodeIndex};

use super::control::{self, Graph};
use super::wiring::Wired;
use super::{Decoded, codes, listed, place};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::signature::Port;
use crate::types::Kind;

/// Warns of inputs that a step feeds to itself, and of those that one of several steps gives.
pub(super) fn check(steps: &[Decoded<'_>], graph: &Graph, wired: &Wired, found: &mut Diagnostics) {
    let onward = Onward { graph, ways: OnceCell::new() };
    for (n, step) in steps.iter().enumerate() {
        let by_hand = |port: &Port| step.spec.with.iter().any(|(name, _)| name.value == port.name);
        for (port, producers) in step.signature.inputs.iter().zip(&wired.steps[n].producers) {
            if port.wired.is_none() && !by_hand(port) && !producers.is_empty() {
                feeds_itself(step, n, port, producers, found);
                has_several_producers(steps, n, port, producers, &onward, found);
            }
        }
    }
}

/// A step whose input has a default, as one that its text tests has, is made to run without it the first time; any other
/// begins with one thing and goes on with another.
fn feeds_itself(step: &Decoded<'_>, n: usize, port: &Port, producers: &[(usize, usize)], found: &mut Diagnostics) {
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
    producers: &[(usize, usize)],
    onward: &Onward<'_>,
    found: &mut Diagnostics,
) {
    let is_table = |(s, o): &(usize, usize)| steps[*s].signature.outputs[*o].value_type.kind == Kind::Table;
    if producers.len() < 2 || producers.iter().all(is_table) {
        return;
    }
    let nearest = onward.nearest(n, producers);
    if !nearest.iter().any(|a| nearest.iter().any(|b| onward.leads(*a, *b))) {
        return;
    }
    let (name, input) = (&steps[n].spec.name, &port.name);
    let from = producers.iter().filter(|(producer, _)| nearest.contains(producer));
    let from: Vec<String> =
        from.map(|(s, o)| format!("{}.{}", steps[*s].spec.name.value, steps[*s].outputs[*o])).collect();
    let message = format!("`{}` takes `{input}` from whichever ran last: {}", name.value, listed(&from));
    let warning = Diagnostic::warning(codes::SEVERAL_PRODUCERS, message, place(&name.span, &steps[n].spec.span));
    found.push(warning.help(format!("say that it is meant: `with: {{ {input}: [{}] }}`", from.join(", "))));
}

/// The control graph without its retry edges, drawn when somebody asks.
struct Onward<'a> {
    graph: &'a Graph,
    ways: OnceCell<DiGraph<(), ()>>,
}

impl Onward<'_> {
    fn ways(&self) -> &DiGraph<(), ()> {
        self.ways.get_or_init(|| control::draw(self.graph, false))
    }

    fn leads(&self, a: usize, b: usize) -> bool {
        a != b && has_path_connecting(self.ways(), NodeIndex::new(a), NodeIndex::new(b), None)
    }

    /// The producers that are met first on the ways back from a step.
    fn nearest(&self, n: usize, producers: &[(usize, usize)]) -> Vec<usize> {
        let before = |step: usize| {
            let into = self.ways().neighbors_directed(NodeIndex::new(step), Direction::Incoming);
            into.map(NodeIndex::index).collect::<Vec<usize>>()
        };
        let mut seen = vec![false; self.graph.edges.len()];
        let (mut met, mut ahead) = (Vec::new(), before(n));
        while let Some(step) = ahead.pop() {
            if std::mem::replace(&mut seen[step], true) {
                continue;
            }
            if producers.iter().any(|(producer, _)| *producer == step) {
                met.push(step);
            } else {
                ahead.extend(before(step));
            }
        }
        met
    }
}
