//! What is drawn of a compiled flow, whatever the language of the drawing.

use std::sync::Arc;

use flowrun_core::flow::{Bound, Edge, Flow, FlowStep};

/// A flow and all flows below it.
#[derive(Debug)]
pub(super) struct Drawing {
    /// The top flow first; each once, however many steps run it.
    pub(super) flows: Vec<Graph>,
}

/// One flow.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) name: String,
    pub(super) description: Option<String>,
    /// The start, the steps in the order written, and the unnamed end where something leads there.
    pub(super) nodes: Vec<Node>,
    pub(super) links: Vec<Link>,
    pub(super) runs: Vec<Run>,
}

/// A step, or a point where the flow starts or ends.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) shape: Shape,
    /// Empty for a point.
    pub(super) name: String,
    /// The step's type.
    pub(super) kind: &'static str,
    pub(super) doc: Option<String>,
    /// Whether it calls a model.
    pub(super) asks: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Start,
    Step,
    /// A `complete` step.
    NamedEnd,
    /// The unnamed end.
    End,
}

/// Where one or more branches of a step lead. What one step takes to another in one way is one link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) way: Way,
    /// As the step names them; `else` where the bound of a retry edge is used up.
    pub(super) branches: Vec<String>,
}

/// How a link is taken.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Way {
    Plain,
    /// At most so often.
    Retry(String),
}

/// What stands for a branch where a retry edge has used up its bound.
const ELSE: &str = "else";

/// A step runs a flow.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) node: usize,
    /// The flow's place in the drawing.
    pub(super) flow: usize,
}

impl Drawing {
    /// A drawing of these flows, the top one first. All flows that their steps run must be among them.
    pub(super) fn new(flows: &[Arc<Flow>]) -> Self {
        Self { flows: flows.iter().map(|flow| Graph::new(flow, flows)).collect() }
    }
}

impl Graph {
    fn new(flow: &Flow, all: &[Arc<Flow>]) -> Self {
        let point = |shape| Node { shape, name: String::new(), kind: "", doc: None, asks: false };
        let steps = flow.steps.iter().map(Node::new);
        let mut nodes: Vec<Node> = std::iter::once(point(Shape::Start)).chain(steps).collect();
        let end = nodes.len();
        let mut links = Links { end, found: Vec::new() };
        links.add(0, if flow.steps.is_empty() { end } else { 1 }, Way::Plain, "next");
        for (from, step) in (1..).zip(&flow.steps) {
            for (branch, edge) in step.signature.branches.iter().zip(&step.edges) {
                links.follow(from, branch, edge);
            }
        }
        let links = links.found;
        if links.iter().any(|link| link.to == end) {
            nodes.push(point(Shape::End));
        }
        let runs = (1..).zip(&flow.steps).flat_map(|(node, step)| runs(node, step, all)).collect();
        let description = flow.description.as_deref().map(one_line);
        Self { name: one_line(&flow.name), description, nodes, links, runs }
    }
}

fn runs(node: usize, step: &FlowStep, all: &[Arc<Flow>]) -> Vec<Run> {
    let mut found: Vec<Run> = Vec::new();
    for inner in step.flows.values() {
        let Some(flow) = all.iter().position(|f| Arc::ptr_eq(f, inner)) else { continue };
        if !found.iter().any(|run| run.flow == flow) {
            found.push(Run { node, flow });
        }
    }
    found
}

impl Node {
    fn new(step: &FlowStep) -> Self {
        Self {
            shape: if step.is_end() { Shape::NamedEnd } else { Shape::Step },
            name: one_line(&step.name),
            kind: step.step_type,
            doc: step.doc.as_deref().map(one_line),
            asks: !step.signature.models.is_empty(),
        }
    }
}

/// The links of a flow while they are gathered.
struct Links {
    end: usize,
    found: Vec<Link>,
}

impl Links {
    fn follow(&mut self, from: usize, branch: &str, edge: &Edge) {
        let (mut edge, mut branch) = (edge, branch);
        loop {
            match edge {
                Edge::Step(step) => return self.add(from, step + 1, Way::Plain, branch),
                Edge::End => return self.add(from, self.end, Way::Plain, branch),
                Edge::Retry { step, max_trials, otherwise } => {
                    let bound = match max_trials {
                        Bound::Now(most) => most.to_string(),
                        Bound::Late(reference) => one_line(reference),
                    };
                    self.add(from, step + 1, Way::Retry(bound), branch);
                    (edge, branch) = (otherwise, ELSE);
                }
            }
        }
    }

    fn add(&mut self, from: usize, to: usize, way: Way, branch: &str) {
        let branch = one_line(branch);
        match self.found.iter_mut().find(|l| l.from == from && l.to == to && l.way == way) {
            Some(link) if link.branches.contains(&branch) => {}
            Some(link) => link.branches.push(branch),
            None => self.found.push(Link { from, to, way, branches: vec![branch] }),
        }
    }
}

impl Link {
    /// What stands beside the line: the branches, but for a lone `next`, and the bound of a retry edge.
    pub(super) fn label(&self) -> Option<String> {
        let lone_next = matches!(self.branches.as_slice(), [only] if only == "next");
        let branches = if lone_next { String::new() } else { self.branches.join(", ") };
        match &self.way {
            Way::Plain => Some(branches).filter(|b| !b.is_empty()),
            Way::Retry(bound) => Some(format!("{branches} ≤ {bound}").trim_start().to_owned()),
        }
    }

    /// Whether it is taken only when something was tried in vain.
    pub(super) fn is_aside(&self) -> bool {
        self.is_retry() || self.branches.iter().any(|branch| branch == ELSE)
    }

    pub(super) fn is_retry(&self) -> bool {
        matches!(self.way, Way::Retry(_))
    }
}

/// A text on one line: white space becomes a space, what cannot be printed a sign that says so.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace(char::is_control, "\u{fffd}")
}
