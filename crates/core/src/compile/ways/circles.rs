//! Steps that can run again after themselves.

use petgraph::algo::kosaraju_scc;
use petgraph::graph::DiGraph;

/// The number of the circle that each step belongs to, after the steps that follow each; a step that is in none has a
/// number of its own. What follows a circle has a smaller number than the circle.
pub(in crate::compile) fn circles(after: &[Vec<usize>]) -> Vec<usize> {
    let mut numbers = vec![0; after.len()];
    // By the method that does not recurse: flows are longer than stacks.
    for (number, circle) in kosaraju_scc(&graph(after)).into_iter().enumerate() {
        for step in circle {
            numbers[step.index()] = number;
        }
    }
    numbers
}

/// The steps with the edges to those that follow each.
pub(in crate::compile) fn graph(after: &[Vec<usize>]) -> DiGraph<(), (), usize> {
    let mut graph = DiGraph::with_capacity(after.len(), after.iter().map(Vec::len).sum());
    let steps: Vec<_> = after.iter().map(|_| graph.add_node(())).collect();
    for (from, to) in steps.iter().zip(after) {
        for to in to {
            graph.add_edge(*from, steps[*to], ());
        }
    }
    graph
}
