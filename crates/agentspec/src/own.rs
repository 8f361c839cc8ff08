//! What a flow that was exported says under our own key of its nodes: wires that no edge says, and nodes that stand for
//! something that a flow here says without a step.

use std::collections::{HashMap, HashSet};

use flowrun_core::diagnostics::{Span, Spanned};
use flowrun_core::node::{Node, NodeKind};
use flowrun_core::spec::{Count, Reference, Target, Wire, WireKind};

use crate::codes;
use crate::document::first_line;
use crate::flow::{Data, Draught, Member, Origin, Role};
use crate::import::Importer;
use crate::nodes::NEXT;
use crate::texts;

/// The nodes of a flow that become no steps.
#[derive(Default)]
pub(crate) struct Dissolved {
    /// Nodes that read a variable for one input: its name.
    pub(crate) reads: HashMap<usize, String>,
    /// Nodes that stand for an edge with a bound.
    bounds: HashMap<usize, Option<Spanned<Count>>>,
    /// Nodes that compute which branch a step takes, by that step.
    pub(crate) conditions: HashMap<usize, usize>,
    /// An end that the last edges stand for.
    pub(crate) end: Option<usize>,
}

impl Dissolved {
    /// Finds those of a flow. `leads`: where each branch leads.
    pub(crate) fn find(draught: &Draught<'_>, order: &[usize], leads: &HashMap<(usize, String), usize>) -> Self {
        let mut found = Self::default();
        for n in order.iter().copied() {
            let member = &draught.members[n];
            match member.c.kind {
                "PluginReadVariableNode" if member.c.own("reads_for").is_some() => {
                    let name = member.c.node.get("variable").and_then(|v| v.get("title")).and_then(Node::as_str);
                    let alone =
                        draught.data.iter().flatten().filter(|edge| edge.from == Origin::Node(n)).all(|edge| {
                            let same = |other: &&Data| other.to == edge.to && other.input == edge.input;
                            draught.data.iter().flatten().filter(same).count() == 1
                        });
                    if let Some(name) = name.filter(|_| alone && leads.contains_key(&(n, NEXT.to_owned()))) {
                        found.reads.insert(n, name.to_owned());
                    }
                }
                "BranchingNode" => {
                    let endless = member.c.own("endless").is_some().then_some(None);
                    let count = member.c.own("max_trials").and_then(bound).map(Some).or(endless);
                    if let Some(count) = count {
                        let both = ["again", "default"].iter().all(|b| leads.contains_key(&(n, (*b).to_owned())));
                        if both {
                            found.bounds.insert(n, count);
                        }
                    } else if let Some(condition) = condition(draught, n) {
                        found.conditions.insert(condition, n);
                    }
                }
                "EndNode" if member.c.own("step").is_some_and(|step| step.kind == NodeKind::Bool(false)) => {
                    found.end = Some(n);
                }
                _ => {}
            }
        }
        let ends = order.iter().filter(|n| draught.members[**n].role == Role::End).count();
        let open = order.iter().any(|n| has_open_branch(&draught.members[*n], *n, leads));
        if ends > 1 || open {
            found.end = None;
        }
        // An edge with a bound leads back to a step.
        let wrong: Vec<usize> = found
            .bounds
            .keys()
            .copied()
            .filter(|n| {
                let again = leads.get(&(*n, "again".to_owned())).map(|to| found.through(*to, leads));
                again.is_none_or(|to| found.bounds.contains_key(&to) || found.end == Some(to))
            })
            .collect();
        for n in wrong {
            found.bounds.remove(&n);
        }
        found
    }

    pub(crate) fn is(&self, n: usize) -> bool {
        self.reads.contains_key(&n)
            || self.bounds.contains_key(&n)
            || self.conditions.contains_key(&n)
            || self.end == Some(n)
    }

    /// The node that is reached by way of nodes that become no steps.
    pub(crate) fn through(&self, n: usize, leads: &HashMap<(usize, String), usize>) -> usize {
        let mut n = n;
        let mut seen = HashSet::new();
        while (self.reads.contains_key(&n) || self.conditions.contains_key(&n)) && seen.insert(n) {
            match leads.get(&(n, NEXT.to_owned())) {
                Some(to) => n = *to,
                None => break,
            }
        }
        n
    }

    /// Where an edge to a node leads. `name`: of the step that a node is.
    pub(crate) fn target(
        &self,
        n: usize,
        leads: &HashMap<(usize, String), usize>,
        span: &Span,
        name: &dyn Fn(usize) -> String,
    ) -> Target {
        self.target_within(n, leads, span, name, self.bounds.len())
    }

    fn target_within(
        &self,
        n: usize,
        leads: &HashMap<(usize, String), usize>,
        span: &Span,
        name: &dyn Fn(usize) -> String,
        deepest: usize,
    ) -> Target {
        let n = self.through(n, leads);
        let step = |name: String| Spanned::new(name, span.clone());
        if self.end == Some(n) {
            return Target::Step(step("end".to_owned()));
        }
        match self.bounds.get(&n) {
            // A flow that never ends has an end in a document, to which nothing ever leads.
            Some(None) if deepest > 0 => {
                let again = leads.get(&(n, "again".to_owned())).copied().unwrap_or(n);
                self.target_within(again, leads, span, name, deepest - 1)
            }
            Some(Some(max_trials)) if deepest > 0 => {
                let lead = |branch: &str| leads.get(&(n, branch.to_owned())).copied().unwrap_or(n);
                Target::Retry {
                    step: step(name(self.through(lead("again"), leads))),
                    max_trials: max_trials.clone(),
                    otherwise: Box::new(self.target_within(lead("default"), leads, span, name, deepest - 1)),
                    span: span.clone(),
                }
            }
            _ => Target::Step(step(name(n))),
        }
    }
}

fn has_open_branch(member: &Member<'_>, n: usize, leads: &HashMap<(usize, String), usize>) -> bool {
    let Some(draft) = &member.draft else { return false };
    let taken = member.branches.iter().filter(|b| !draft.dead.contains(b) || draft.more.contains(b));
    taken.chain(&draft.more).any(|branch| !leads.contains_key(&(n, branch.clone())))
}

fn bound(node: &Node) -> Option<Spanned<Count>> {
    let count = match &node.kind {
        NodeKind::Int(n) => Count::Now(u32::try_from(*n).ok()?),
        _ => Count::From(Reference::parse(node.get("from")?.as_str()?)),
    };
    Some(Spanned::new(count, first_line(&node.span)))
}

/// The node that computes the branch of a `BranchingNode` with conditions: the only one that feeds it, made of them.
fn condition(draught: &Draught<'_>, n: usize) -> Option<usize> {
    let member = &draught.members[n];
    let conditions = member.c.own("config")?.get("when")?;
    let mut edges = draught.data.iter().flatten().filter(|edge| edge.to == n);
    let (Some(Data { from: Origin::Node(from), .. }), None) = (edges.next(), edges.next()) else { return None };
    let source = &draught.members[*from];
    let text = source.c.node.get("template").and_then(Node::as_str)?;
    let made = source.c.kind == "PluginTemplateNode" && source.c.own("conditions_of").is_some();
    let written = conditions.entries()?.iter().map(|e| Some((&*e.key, e.value.as_str()?)));
    (made && text == texts::conditions(&written.collect::<Option<Vec<_>>>()?)).then_some(*from)
}

impl<'a> Importer<'a> {
    /// The wire that our own key of a node says for an input.
    pub(crate) fn own_wire(&self, members: &[Member<'a>], n: usize, input: &str) -> Option<Wire> {
        let node = members[n].c.own("with")?.get(input)?;
        let span = first_line(&node.span);
        let reference = |node: &Node| {
            let written = Reference::parse(node.as_str()?);
            // Steps may have other names than their nodes.
            let step = |name: &str| members.iter().find(|m| m.c.name() == name).map(|m| m.name.clone());
            Some(match written {
                Reference::Output { step: of, name } => Reference::Output { step: step(&of).unwrap_or(of), name },
                Reference::Visits(of) => Reference::Visits(step(&of).unwrap_or(of)),
                other => other,
            })
        };
        let kind = match &node.kind {
            NodeKind::List(items) => {
                let all = items.iter().map(|item| Some(Spanned::new(reference(item)?, first_line(&item.span))));
                WireKind::Latest(all.collect::<Option<_>>()?)
            }
            NodeKind::Map(_) if let (Some(latest), Some(name)) = (node.get("latest"), node.get("otherwise")) => {
                let items = latest.items().unwrap_or_default().iter();
                let all = items.map(|item| Some(Spanned::new(reference(item)?, first_line(&item.span))));
                WireKind::LatestOr(all.collect::<Option<_>>()?, name.as_str()?.to_owned())
            }
            NodeKind::Map(_) => WireKind::Value(node.get("value")?.to_value()),
            _ => match reference(node) {
                Some(found) => WireKind::Reference(found),
                None => {
                    self.doc.wrong_field(input, "a reference", node);
                    return None;
                }
            },
        };
        Some(Wire { kind, span })
    }

    /// The inputs that our own key of a node wires.
    pub(crate) fn own_inputs(&self, members: &[Member<'a>], n: usize) -> Vec<&'a str> {
        let with = members[n].c.own("with");
        if let Some(node) = with.filter(|node| node.entries().is_none()) {
            self.doc.error(
                codes::WRONG_FIELD,
                "`with` is a mapping from inputs to references",
                &first_line(&node.span),
            );
        }
        with.and_then(Node::entries).unwrap_or_default().iter().map(|entry| &*entry.key).collect()
    }
}
