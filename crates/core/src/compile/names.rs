//! The flows around a place, and what they define by name.

use std::cell::OnceCell;
use std::collections::HashMap;

use crate::spec::{DatastoreSpec, DefinitionSpec, FlowSpec, ToolSpec, VariableSpec};

/// The flows around a place, innermost first.
pub(super) struct Env<'a> {
    pub(super) parent: Option<&'a Self>,
    pub(super) spec: &'a FlowSpec,
    pub(super) path: String,
    flows: Names,
    models: Names,
    datastores: Names,
    tools: Names,
    variables: Names,
}

impl<'a> Env<'a> {
    pub(super) fn new(parent: Option<&'a Self>, spec: &'a FlowSpec, path: String) -> Self {
        Self {
            parent,
            spec,
            path,
            flows: Names::default(),
            models: Names::default(),
            datastores: Names::default(),
            tools: Names::default(),
            variables: Names::default(),
        }
    }

    pub(super) fn is_top(&self) -> bool {
        self.parent.is_none()
    }

    /// All that is visible from here, the nearest first.
    pub(super) fn chain(&'a self) -> impl Iterator<Item = &'a Self> {
        std::iter::successors(Some(self), |env| env.parent)
    }

    /// The nearest flow of this name.
    pub(super) fn find_flow(&'a self, name: &str) -> Option<Self> {
        self.chain().find_map(|owner| {
            let names = || owner.spec.flows.iter().map(|(name, _)| name.value.as_str());
            let (_, spec) = &owner.spec.flows[owner.flows.place(name, names)?];
            Some(Self::new(Some(owner), spec, format!("{}/{name}", owner.path)))
        })
    }

    pub(super) fn flow_names(&'a self) -> impl Iterator<Item = &'a str> {
        self.chain().flat_map(|env| env.spec.flows.iter().map(|(n, _)| n.value.as_str()))
    }

    /// The nearest model of this name, and the flow that defines it.
    pub(super) fn find_model(&'a self, name: &str) -> Option<(&'a Self, &'a DefinitionSpec)> {
        self.chain().find_map(|owner| {
            let all = &owner.spec.models;
            let place = owner.models.place(name, || all.iter().map(|model| model.name.value.as_str()))?;
            Some((owner, &all[place]))
        })
    }

    /// The nearest datastore of this name, and the flow that defines it.
    pub(super) fn find_datastore(&'a self, name: &str) -> Option<(&'a Self, &'a DatastoreSpec)> {
        self.chain().find_map(|owner| {
            let all = &owner.spec.datastores;
            let place = owner.datastores.place(name, || all.iter().map(|store| store.name.value.as_str()))?;
            Some((owner, &all[place]))
        })
    }

    /// The nearest tool of this name, and the flow that defines it.
    pub(super) fn find_tool(&'a self, name: &str) -> Option<(&'a Self, &'a ToolSpec)> {
        self.chain().find_map(|owner| {
            let all = &owner.spec.tools;
            let place = owner.tools.place(name, || all.iter().map(|tool| tool.name.value.as_str()))?;
            Some((owner, &all[place]))
        })
    }

    /// The flow's own variable of this name.
    pub(super) fn variable(&'a self, name: &str) -> Option<&'a VariableSpec> {
        let all = &self.spec.variables;
        let place = self.variables.place(name, || all.iter().map(|variable| variable.name.value.as_str()))?;
        Some(&all[place])
    }
}

/// The places of things by their names, found when the first one is asked for: a list of thousands that thousands of steps
/// look something up in is not to be read by each.
#[derive(Default)]
struct Names(OnceCell<HashMap<String, usize>>);

impl Names {
    /// The place of the first one of this name.
    fn place<'a, I: Iterator<Item = &'a str>>(&self, name: &str, all: impl FnOnce() -> I) -> Option<usize> {
        let places = self.0.get_or_init(|| {
            let mut places = HashMap::new();
            for (place, name) in all().enumerate() {
                places.entry(name.to_owned()).or_insert(place);
            }
            places
        });
        places.get(name).copied()
    }
}
