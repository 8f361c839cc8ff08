//! The slots of a frame: one for each value that somebody reads, filled by all that can produce it.

use std::collections::HashMap;

use indexmap::IndexMap;

use crate::compile::Decoded;
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

pub(super) struct Slots {
    keys: IndexMap<Key, usize>,
    /// Places of outputs by step name and output name.
    places: HashMap<(String, String), (usize, usize)>,
    /// Who produces each name, by step.
    produced: HashMap<String, Vec<(usize, usize)>>,
    outputs: Vec<Vec<String>>,
}

impl Slots {
    pub(super) fn new(steps: &[Decoded<'_>]) -> Self {
        let mut places = HashMap::new();
        let mut produced: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
        for (n, step) in steps.iter().enumerate() {
            for (o, output) in step.outputs.iter().enumerate() {
                places.insert((step.spec.name.value.clone(), output.clone()), (n, o));
                produced.entry(output.clone()).or_default().push((n, o));
            }
        }
        let outputs: Vec<_> = steps.iter().map(|s| s.outputs.clone()).collect();
        Self { keys: IndexMap::new(), places, produced, outputs }
    }

    /// The steps that have an output of this name, and its place among their outputs.
    pub(super) fn producers(&self, name: &str) -> &[(usize, usize)] {
        self.produced.get(name).map_or(&[], Vec::as_slice)
    }

    /// The key that a reference reads, where there is such a thing.
    pub(super) fn key_of(&self, reference: &Reference) -> Option<Key> {
        Some(match reference {
            Reference::Output { step, name } => {
                let (step, output) = self.places.get(&(step.clone(), name.clone()))?;
                Key::Output(*step, *output)
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
            self.outputs.iter().map(|outputs| vec![Vec::new(); outputs.len()]).collect();
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
                        for (n, o) in self.producers(name) {
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
