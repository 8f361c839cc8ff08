//! Wires by name that are legal and surprising. `with:` says what is meant, and nothing is warned of.

use petgraph::algo::has_path_connecting;
use petgraph::graph::NodeIndex;

use super::control::{self, Graph, targets};
use super::wiring::Wired;
use super::{Decoded, codes, listed, place};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::signature::Port;
use crate::types::Kind;

/// Warns of inputs that a step feeds to itself, and of those that one of several steps gives.
pub(super) fn check(steps: &[Decoded<'_>], graph: &Graph, wired: &Wired, found: &mut Diagnostics) {
    for (n, step) in steps.iter().enumerate() {
        let by_name =
            |port: &Port| port.wired.is_none() && !step.spec.with.iter().any(|(w, _)| w.value == port.name);
        for (port, producers) in step.signature.inputs.iter().zip(&wired.steps[n].producers) {
            if by_name(port) && !producers.is_empty() {
                feeds_itself(step, n, port, producers, found);
                has_several_producers(steps, n, port, producers, graph, found);
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
    graph: &Graph,
    found: &mut Diagnostics,
) {
    let is_table = |(s, o): &(usize, usize)| steps[*s].signature.outputs[*o].value_type.kind == Kind::Table;
    if producers.len() < 2 || producers.iter().all(is_table) {
        return;
    }
    let onward = nearest_onward(graph, n, producers);
    let drawn = control::draw(graph, false);
    let leads =
        |a: &usize, b: &usize| a != b && has_path_connecting(&drawn, NodeIndex::new(*a), NodeIndex::new(*b), None);
    if !onward.iter().any(|a| onward.iter().any(|b| leads(a, b))) {
        return;
    }
    let (name, input) = (&steps[n].spec.name, &port.name);
    let from: Vec<(usize, usize)> = producers.iter().filter(|(s, _)| onward.contains(s)).copied().collect();
    let from: Vec<String> =
        from.iter().map(|(s, o)| format!("{}.{}", steps[*s].spec.name.value, steps[*s].outputs[*o])).collect();
    let message = format!("`{}` takes `{input}` from whichever ran last: {}", name.value, listed(&from));
    let warning = Diagnostic::warning(codes::SEVERAL_PRODUCERS, message, place(&name.span, &steps[n].spec.span));
    found.push(warning.help(format!("say that it is meant: `with: {{ {input}: [{}] }}`", from.join(", "))));
}

/// The producers that are met first on the ways back from a step, retry edges left out.
fn nearest_onward(graph: &Graph, n: usize, producers: &[(usize, usize)]) -> Vec<usize> {
    let mut before = vec![Vec::new(); graph.edges.len()];
    for (from, edges) in graph.edges.iter().enumerate() {
        let mut to = Vec::new();
        for edge in edges {
            targets(edge, false, &mut to);
        }
        to.iter().for_each(|step: &usize| before[*step].push(from));
    }
    let mut seen = vec![false; before.len()];
    let (mut met, mut ahead) = (Vec::new(), before[n].clone());
    while let Some(step) = ahead.pop() {
        if std::mem::replace(&mut seen[step], true) {
            continue;
        }
        if producers.iter().any(|(producer, _)| *producer == step) {
            met.push(step);
        } else {
            ahead.extend(&before[step]);
        }
    }
    met
}
