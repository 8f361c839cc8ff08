//! The slots of a frame: one for each value that somebody reads, filled by all that can produce it.

use std::collections::HashMap;

use indexmap::IndexMap;

use crate::compile::Decoded;
use crate::compile::ways::{Producer, Producers};
use crate::signature::Port;
use crate::spec::Reference;

/// What a slot holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// An output of a step, by places.
    Output(usize, usize),
    /// An input of the flow.
    Input(String),
    /// What was produced last under a name, the flow's input of that name to begin with.
    Name(String),
    /// What a context provider gave last.
    Context(String),
    /// What was produced last by any of these.
    Latest(Vec<Self>),
}

/// How many slots there are, and who fills them.
pub(super) struct Filled {
    pub(super) slots: usize,
    /// For each step and output the slots that it fills.
    pub(super) by_output: Vec<Vec<Vec<usize>>>,
    /// For each input of the flow.
    pub(super) by_input: Vec<Vec<usize>>,
}

pub(super) struct Slots<'a> {
    keys: IndexMap<Key, usize>,
    /// Places of steps by their names.
    steps: HashMap<&'a str, usize>,
    /// Places of outputs by their steps and names.
    outputs: HashMap<(usize, &'a str), usize>,
    /// Who produces each name.
    produced: HashMap<&'a str, Producers>,
    /// For each step its outputs, each as the only producer that is asked for.
    only: Vec<Vec<Producers>>,
    none: Producers,
}

impl<'a> Slots<'a> {
    pub(super) fn new(steps: &'a [Decoded<'_>]) -> Self {
        let mut outputs = HashMap::new();
        let mut produced: HashMap<&str, Producers> = HashMap::new();
        for (n, step) in steps.iter().enumerate() {
            for (o, output) in step.outputs.iter().enumerate() {
                outputs.insert((n, output.as_str()), o);
                produced.entry(output.as_str()).or_default().push((n, o));
            }
        }
        let only = |(n, step): (usize, &Decoded<'_>)| {
            (0..step.outputs.len()).map(|o| Producers::new(vec![(n, o)])).collect()
        };
        Self {
            keys: IndexMap::new(),
            steps: steps.iter().enumerate().map(|(n, step)| (step.spec.name.value.as_str(), n)).collect(),
            outputs,
            produced,
            only: steps.iter().enumerate().map(only).collect(),
            none: Producers::default(),
        }
    }

    /// The place of a step.
    pub(super) fn step(&self, name: &str) -> Option<usize> {
        self.steps.get(name).copied()
    }

    /// The steps that have an output of this name, and its place among their outputs.
    pub(super) fn producers(&self, name: &str) -> &Producers {
        self.produced.get(name).unwrap_or(&self.none)
    }

    /// An output as the only producer.
    pub(super) fn only(&self, (step, output): Producer) -> &Producers {
        &self.only[step][output]
    }

    /// The key that a reference reads, where there is such a thing.
    pub(super) fn key_of(&self, reference: &Reference) -> Option<Key> {
        Some(match reference {
            Reference::Output { step, name } => {
                let step = self.step(step)?;
                Key::Output(step, *self.outputs.get(&(step, name.as_str()))?)
            }
            Reference::Input(name) => Key::Input(name.clone()),
            Reference::Name(name) => Key::Name(name.clone()),
            Reference::Variable(_) | Reference::Visits(_) => return None,
        })
    }

    /// The slot of a key.
    pub(super) fn slot(&mut self, key: Key) -> usize {
        let next = self.keys.len();
        *self.keys.entry(key).or_insert(next)
    }

    /// How many slots there are, which of them each output fills, and which each input.
    pub(super) fn finish(self, inputs: &[Port]) -> Filled {
        let mut by_output: Vec<Vec<Vec<usize>>> =
            self.only.iter().map(|outputs| vec![Vec::new(); outputs.len()]).collect();
        let mut by_input = vec![Vec::new(); inputs.len()];
        let input_places: HashMap<&str, usize> =
            inputs.iter().enumerate().map(|(i, p)| (p.name.as_str(), i)).collect();
        for (key, slot) in &self.keys {
            let mut ahead = vec![key];
            while let Some(key) = ahead.pop() {
                match key {
                    Key::Output(n, o) => by_output[*n][*o].push(*slot),
                    Key::Input(name) => {
                        if let Some(place) = input_places.get(name.as_str()) {
                            by_input[*place].push(*slot);
                        }
                    }
                    Key::Name(name) => {
                        for (n, o) in self.producers(name).all() {
                            by_output[*n][*o].push(*slot);
                        }
                        if let Some(place) = input_places.get(name.as_str()) {
                            by_input[*place].push(*slot);
                        }
                    }
                    Key::Context(_) => {} // filled before each step that reads it
                    Key::Latest(all) => ahead.extend(all),
                }
            }
        }
        Filled { slots: self.keys.len(), by_output, by_input }
    }
}
