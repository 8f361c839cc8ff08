//! Where the values of a compiled flow come from, for who draws or writes it: the places of a frame, turned back into the
//! steps that fill them.

use std::sync::Arc;

use crate::flow::{Edge, Flow, FlowStep, From};
use crate::tool::ToolDefinition;
use crate::value::Value;

/// Something that can give a value to an input.
#[derive(Clone, Debug, PartialEq)]
pub enum Feed {
    /// An output of a step, both by place.
    Output {
        /// The step.
        step: usize,
        /// Its output.
        output: usize,
    },
    /// An input of the flow, by place.
    Input(usize),
    /// A value that is known.
    Constant(Value),
    /// How often a step has run, by place.
    Visits(usize),
    /// A variable of the flow, by place.
    Variable(usize),
    /// A context provider that does something for it, by name.
    Provider(Arc<str>),
}

/// The wires of a compiled flow.
#[derive(Debug)]
pub struct Feeds<'f> {
    flow: &'f Flow,
    /// For each step those from which an edge leads to it.
    before: Vec<Vec<usize>>,
}

impl<'f> Feeds<'f> {
    /// Those of a flow.
    pub fn new(flow: &'f Flow) -> Self {
        let mut before = vec![Vec::new(); flow.steps.len()];
        for (from, step) in flow.steps.iter().enumerate() {
            for edge in &step.edges {
                each_target(edge, &mut |to| {
                    if !before[to].contains(&from) {
                        before[to].push(from);
                    }
                });
            }
        }
        Self { flow, before }
    }

    /// What can give a value to an input of a step: of several the one that was produced last. None: its default.
    pub fn of(&self, step: usize, input: usize) -> Vec<Feed> {
        self.feeds(step, &self.flow.steps[step].inputs[input].from)
    }

    /// The references that a step reads while the flow runs, in its configuration and its bounds, each with what can
    /// give it.
    pub fn late(&self, step: usize) -> Vec<(&'f str, Vec<Feed>)> {
        let late = self.flow.steps[step].late.iter();
        late.map(|(reference, from)| (reference.as_str(), self.feeds(step, from))).collect()
    }

    /// What can give an output of the flow its value where the flow ends after these steps.
    pub fn output(&self, last: &[usize], output: usize) -> Vec<Feed> {
        let mut found = Vec::new();
        self.collect(None, last.to_vec(), &self.flow.output_sources[output], &mut found);
        found
    }

    /// The steps an edge of which ends the flow without a name.
    pub fn last_steps(&self) -> Vec<usize> {
        (0..self.flow.steps.len()).filter(|n| self.flow.steps[*n].edges.iter().any(ends_here)).collect()
    }

    /// The steps from which an edge leads to this one.
    pub fn before(&self, step: usize) -> &[usize] {
        &self.before[step]
    }

    fn feeds(&self, step: usize, from: &From) -> Vec<Feed> {
        let mut found = Vec::new();
        self.collect(Some(step), self.before[step].clone(), from, &mut found);
        found
    }

    fn collect(&self, reader: Option<usize>, ahead: Vec<usize>, from: &From, found: &mut Vec<Feed>) {
        match from {
            From::Nothing => {}
            From::Constant(value) => found.push(Feed::Constant(value.clone())),
            From::Visits(step) => found.push(Feed::Visits(*step)),
            From::Variable(place) => found.push(Feed::Variable(*place)),
            From::Either(first, otherwise) => {
                self.collect(reader, ahead.clone(), first, found);
                self.collect(reader, ahead, otherwise, found);
            }
            From::Slot(slot) => {
                let context = reader.map(|n| &self.flow.steps[n].context);
                match context.and_then(|all| all.iter().find(|(_, filled)| filled == slot)) {
                    Some((provider, _)) => found.push(Feed::Provider(Arc::clone(&provider.name))),
                    None => self.writers(reader, ahead, *slot, found),
                }
            }
        }
    }

    /// The outputs that are met first on the ways back, and the input of the flow where a way meets none.
    fn writers(&self, reader: Option<usize>, mut ahead: Vec<usize>, slot: usize, found: &mut Vec<Feed>) {
        let steps = &self.flow.steps;
        let mut seen = vec![false; steps.len()];
        let mut open = reader == Some(0);
        let mut outputs = Vec::new();
        while let Some(n) = ahead.pop() {
            if std::mem::replace(&mut seen[n], true) {
                continue;
            }
            let before = outputs.len();
            let slots = steps[n].output_slots.iter().enumerate();
            outputs.extend(slots.filter(|(_, filled)| filled.contains(&slot)).map(|(output, _)| (n, output)));
            if outputs.len() == before {
                open |= n == 0;
                ahead.extend(&self.before[n]);
            }
        }
        outputs.sort_unstable();
        if open && let Some(input) = self.flow.input_slots.iter().position(|slots| slots.contains(&slot)) {
            found.push(Feed::Input(input));
        }
        found.extend(outputs.into_iter().map(|(step, output)| Feed::Output { step, output }));
    }
}

impl FlowStep {
    /// The names under which it knows models.
    pub fn model_names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }

    /// The names under which it knows datastores.
    pub fn datastore_names(&self) -> impl Iterator<Item = &str> {
        self.datastores.keys().map(String::as_str)
    }

    /// The tools that it calls, by the names under which it knows them.
    pub fn tool_definitions(&self) -> impl Iterator<Item = (&str, &Arc<ToolDefinition>)> {
        self.tools.iter().map(|(name, tool)| (name.as_str(), tool))
    }
}

fn ends_here(edge: &Edge) -> bool {
    match edge {
        Edge::Step(_) => false,
        Edge::End => true,
        Edge::Retry { otherwise, .. } => ends_here(otherwise),
    }
}

fn each_target(edge: &Edge, found: &mut dyn FnMut(usize)) {
    match edge {
        Edge::Step(to) => found(*to),
        Edge::End => {}
        Edge::Retry { step, otherwise, .. } => {
            found(*step);
            each_target(otherwise, found);
        }
    }
}
