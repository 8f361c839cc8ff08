//! Where branches lead, and the checks of the control graph.

use std::collections::{BTreeMap, HashMap, HashSet};

use petgraph::graph::NodeIndex;
use petgraph::visit::Dfs;

use super::ways::{self, circles};
use super::{Decoded, codes, listed, place};
use crate::diagnostics::{Diagnostic, Diagnostics, Span, Spanned};
use crate::flow::{Bound, Edge};
use crate::spec::{Count, FlowSpec, Next, StepSpec, Target};

/// The places of steps by their names.
type Places<'s> = HashMap<&'s str, usize>;

/// The control graph of a flow.
pub(super) struct Graph {
    /// For each step the edges of its branches, in the signature's order.
    pub(super) edges: Vec<Vec<Edge>>,
    /// For each step those from which it can be entered.
    pub(super) before: Vec<Vec<usize>>,
    /// For each step whether a branch of it ends the flow without a name.
    pub(super) ends_here: Vec<bool>,
    pub(super) unnamed_end: bool,
    /// An edge is wrong, which is reported; it counts as an end, so that the rest can be checked.
    pub(super) broken: bool,
}

/// Resolves all edges.
pub(super) fn build(spec: &FlowSpec, steps: &[Decoded<'_>], found: &mut Diagnostics) -> Graph {
    let before = found.len();
    let names = spec.steps.iter().enumerate().map(|(n, step)| (step.name.value.as_str(), n)).collect();
    let mut edges = Vec::with_capacity(steps.len());
    for (n, (written, decoded)) in spec.steps.iter().zip(steps).enumerate() {
        edges.push(step_edges(n, written, &decoded.signature.branches, &names, found));
    }
    let mut graph = graph_of(edges);
    graph.broken = found.len() > before;
    if graph.broken {
        return graph;
    }
    check_reachable(spec, &graph, found);
    check_loops(spec, &graph, found);
    graph
}

fn step_edges(
    n: usize,
    step: &StepSpec,
    branches: &[String],
    names: &Places<'_>,
    found: &mut Diagnostics,
) -> Vec<Edge> {
    let following = if n + 1 < names.len() { Edge::Step(n + 1) } else { Edge::End };
    let mut resolve = |target: &Target| resolve(target, names, found);
    match &step.next {
        Next::To(target) => {
            let edge = resolve(target);
            if branches.is_empty() {
                end_with_next(step, found);
            }
            branches.iter().map(|_| edge.clone().unwrap_or(Edge::End)).collect()
        }
        Next::ByBranch(mapping) => {
            let mut targets: HashMap<&str, Option<Edge>> = HashMap::with_capacity(mapping.len());
            for (branch, target) in mapping {
                let edge = resolve(target);
                targets.entry(&branch.value).or_insert(edge);
            }
            if branches.is_empty() {
                end_with_next(step, found);
            }
            let known: HashSet<&str> = branches.iter().map(String::as_str).collect();
            for (branch, _) in
                mapping.iter().filter(|(b, _)| !known.is_empty() && !known.contains(b.value.as_str()))
            {
                let message = format!("`{}` has no branch `{}`", step.name.value, branch.value);
                let wrong = Diagnostic::error(codes::UNKNOWN_BRANCH, message, &branch.span);
                found.push(wrong.suggest(&branch.value, branches.iter().map(String::as_str)));
            }
            let open = |branch: &&String| *branch != "next" && !targets.contains_key(branch.as_str());
            report_open(step, branches.iter().filter(open), found);
            let edge = |branch: &String| match targets.get(branch.as_str()) {
                Some(edge) => edge.clone().unwrap_or(Edge::End),
                None if branch == "next" => following.clone(),
                None => Edge::End,
            };
            branches.iter().map(edge).collect()
        }
        Next::Following => {
            report_open(step, branches.iter().filter(|b| *b != "next"), found);
            branches.iter().map(|_| following.clone()).collect()
        }
    }
}

fn end_with_next(step: &StepSpec, found: &mut Diagnostics) {
    let message = format!("`{}` ends the flow, so it has no `next`", step.name.value);
    found.push(Diagnostic::error(codes::UNKNOWN_BRANCH, message, place(&step.name.span, &step.span)));
}

fn report_open<'b>(step: &StepSpec, open: impl Iterator<Item = &'b String>, found: &mut Diagnostics) {
    let open: Vec<String> = open.cloned().collect();
    if open.is_empty() {
        return;
    }
    let message =
        format!("`{}` can end in {}, and `next` does not say where that leads", step.name.value, listed(&open));
    let example: Vec<_> = open.iter().map(|b| format!("{b}: STEP")).collect();
    let wrong = Diagnostic::error(codes::OPEN_BRANCH, message, place(&step.name.span, &step.span));
    found.push(wrong.help(format!("write `next: {{ {} }}`; `end` ends the flow", example.join(", "))));
}

fn resolve(target: &Target, names: &Places<'_>, found: &mut Diagnostics) -> Option<Edge> {
    match target {
        Target::Step(name) if name.value == "end" => Some(Edge::End),
        Target::Step(name) => find(name, names, found).map(Edge::Step),
        Target::Retry { step, max_trials, otherwise, span } => {
            let place = find(step, names, found);
            let otherwise = resolve(otherwise, names, found);
            if max_trials.value == Count::Now(0) {
                let message = "`max_trials` must be at least 1";
                found.push(Diagnostic::error(codes::BAD_RETRY, message, super::place(&max_trials.span, span)));
                return None;
            }
            let max_trials = match &max_trials.value {
                Count::Now(n) => Bound::Now(*n),
                Count::From(reference) => Bound::Late(reference.to_string()),
            };
            Some(Edge::Retry { step: place?, max_trials, otherwise: Box::new(otherwise?) })
        }
    }
}

fn find(name: &Spanned<String>, names: &Places<'_>, found: &mut Diagnostics) -> Option<usize> {
    let place = names.get(name.value.as_str()).copied();
    if place.is_none() {
        let message = format!("there is no step `{}`", name.value);
        let known = names.keys().copied().chain(["end"]);
        found.push(Diagnostic::error(codes::UNKNOWN_TARGET, message, &name.span).suggest(&name.value, known));
    }
    place
}

/// A step that stands for the beginning of the flow stands at its beginning, and one that ends it and gives nothing had
/// better not.
pub(super) fn check_beginning(steps: &[Decoded<'_>], found: &mut Diagnostics) {
    if let Some(first) =
        steps.first().filter(|s| s.signature.branches.is_empty() && s.signature.outputs.is_empty())
    {
        let name = &first.spec.name;
        let message = format!("the flow begins with `{}`, which ends it and gives nothing", name.value);
        let wrong = Diagnostic::warning(codes::DOES_NOTHING, message, place(&name.span, &first.spec.span));
        found.push(wrong.help("put the steps that do something before it"));
    }
    for step in steps.iter().skip(1).filter(|s| s.signature.begins) {
        let name = &step.spec.name;
        let message = format!("`{}` is a `{}` step, and not the first of its flow", name.value, step.type_name);
        let wrong = Diagnostic::error(codes::BAD_CONFIG, message, place(&name.span, &step.spec.span));
        found.push(wrong.help("put it before all others, or leave it out: `inputs.NAME` is seen everywhere"));
    }
}

/// The steps to which an edge can lead, and whether it can end the flow.
fn targets(edge: &Edge, bounded: bool, to: &mut Vec<usize>) -> bool {
    match edge {
        Edge::Step(step) => {
            to.push(*step);
            false
        }
        Edge::End => true,
        Edge::Retry { step, otherwise, .. } => {
            if bounded {
                to.push(*step);
            }
            targets(otherwise, bounded, to)
        }
    }
}

fn graph_of(edges: Vec<Vec<Edge>>) -> Graph {
    let mut before = vec![Vec::new(); edges.len()];
    let mut ends_here = vec![false; edges.len()];
    for (from, branches) in edges.iter().enumerate() {
        for edge in branches {
            let mut to = Vec::new();
            ends_here[from] |= targets(edge, true, &mut to);
            for step in to {
                if before[step].last() != Some(&from) {
                    before[step].push(from);
                }
            }
        }
    }
    Graph { unnamed_end: ends_here.contains(&true), edges, before, ends_here, broken: false }
}

fn check_reachable(spec: &FlowSpec, graph: &Graph, found: &mut Diagnostics) {
    let graph = ways::graph(&after(graph, true));
    let mut reached = Dfs::new(&graph, NodeIndex::new(0));
    while reached.next(&graph).is_some() {}
    let is_reached = |n: usize| reached.discovered.contains(n);
    for (_, step) in spec.steps.iter().enumerate().filter(|(n, _)| !is_reached(*n)) {
        let message = format!("nothing leads to `{}`", step.name.value);
        let wrong = Diagnostic::error(codes::UNREACHABLE, message, place(&step.name.span, &step.span));
        found.push(wrong.help("remove the step, or name it in a `next`"));
    }
}

fn check_loops(spec: &FlowSpec, graph: &Graph, found: &mut Diagnostics) {
    let after = after(graph, false);
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (step, circle) in circles(&after).into_iter().enumerate() {
        members.entry(circle).or_default().push(step);
    }
    for circle in members.into_values() {
        if let [alone] = circle.as_slice()
            && !after[*alone].contains(alone)
        {
            continue;
        }
        let names: Vec<String> = circle.iter().map(|step| spec.steps[*step].name.value.clone()).collect();
        let first = &spec.steps[circle[0]];
        let span: &Span = place(&first.name.span, &first.span);
        let verb = if names.len() == 1 { "runs" } else { "run" };
        let message = format!("{} {verb} in a circle without a bound", listed(&names));
        let warning = Diagnostic::warning(codes::UNBOUNDED, message, span);
        found.push(warning.help("bound it: `next: { BRANCH: { retry: STEP, max_trials: N, else: STEP } }`"));
    }
}

/// The steps after each step, each once; with or without those that a retry leads to.
pub(super) fn after(graph: &Graph, bounded: bool) -> Vec<Vec<usize>> {
    let after = |branches: &Vec<Edge>| {
        let mut to = Vec::with_capacity(branches.len());
        for edge in branches {
            targets(edge, bounded, &mut to);
        }
        to.sort_unstable();
        to.dedup();
        to
    };
    graph.edges.iter().map(after).collect()
}
