//! From a flow to a document. A step is a node of the core where that says it, a node of `WayFlow` where that does, and
//! what neither says stands in its `metadata` under our own key, from where reading takes it again.

mod definitions;
mod edges;
mod ends;
mod flow;
mod node;
mod nodes;
mod properties;
mod secrets;
mod tools;
mod version;
mod write;

use std::collections::{BTreeMap, HashMap, HashSet};

use flowrun_core::diagnostics::{Diagnostic, Diagnostics, Span};
use flowrun_core::flow::Compiled;
use flowrun_core::node::Node;
use flowrun_core::spec::FlowSpec;
use flowrun_core::types::Type;
use serde_json::{Map, Value as Json, json};

use crate::codes;

pub(crate) use version::Need;
pub use write::{to_json, to_yaml};

/// The step types that this program alone has: neither Agent Spec nor `WayFlow` has a component that does what they do.
/// Types that a program adds are of that kind too.
pub(crate) const CUSTOM_NODE: &str = "FlowrunStepNode";
/// The name under which such a component is a plugin's.
pub(crate) const PLUGIN: &str = "flowrun";

/// How a flow becomes a document.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// The version that the document says; none: the lowest that has all that it holds.
    pub version: Option<String>,
    /// Whether steps that Agent Spec and `WayFlow` do not have are carried as components of our own.
    pub keep_custom: bool,
}

/// A document that was made.
#[derive(Clone, Debug)]
pub struct Exported {
    /// The document.
    pub document: Json,
    /// What has to be known about it, such as that a sensitive value was left out.
    pub warnings: Diagnostics,
}

/// Makes a document of a flow: of what was written, and of what compiling it came to.
///
/// # Errors
/// All that the document cannot say, each at its place.
pub fn export(spec: &FlowSpec, compiled: &Compiled, options: &ExportOptions) -> Result<Exported, Diagnostics> {
    let mut exporter = Exporter {
        options,
        found: Diagnostics::new(),
        ids: HashSet::new(),
        shared: Map::new(),
        flows: HashMap::new(),
        definitions: HashMap::new(),
        input_types: HashMap::new(),
        needs: Vec::new(),
        secrets: BTreeMap::new(),
        path: Vec::new(),
    };
    let env = Env { parent: None, spec };
    let mut document = exporter.top(&env, &compiled.flow);
    let version = exporter.version();
    exporter.tell_secrets();
    let Exporter { found, shared, .. } = exporter;
    let warnings = found.sorted().into_result()?;
    if !shared.is_empty() {
        let own = document.remove("$referenced_components");
        let mut all = own.and_then(|own| own.as_object().cloned()).unwrap_or_default();
        all.extend(shared);
        document.insert("$referenced_components".into(), Json::Object(all));
    }
    document.insert("agentspec_version".into(), json!(version));
    Ok(Exported { document: Json::Object(document), warnings })
}

/// The flows around a place, innermost first.
pub(crate) struct Env<'a> {
    pub(crate) parent: Option<&'a Self>,
    pub(crate) spec: &'a FlowSpec,
}

impl<'a> Env<'a> {
    fn chain(&'a self) -> impl Iterator<Item = &'a Env<'a>> {
        std::iter::successors(Some(self), |env| env.parent)
    }

    /// Whether a document has a component for a datastore that takes queries.
    pub(crate) fn is_relational(&self, name: &str) -> bool {
        let mut stores = self.chain().flat_map(|env| &env.spec.datastores);
        let found = stores.find(|store| store.name.value == name);
        found.is_some_and(|store| store.config.get("type").and_then(Node::as_str) == Some("postgres"))
    }

    /// The flow that a name means here, with what is around it.
    pub(crate) fn flow(&'a self, name: &str) -> Option<Self> {
        self.chain().find_map(|owner| {
            let (_, spec) = owner.spec.flows.iter().find(|(n, _)| n.value == name)?;
            Some(Env { parent: Some(owner), spec })
        })
    }
}

/// What has been made so far.
pub(crate) struct Exporter<'a> {
    pub(crate) options: &'a ExportOptions,
    found: Diagnostics,
    /// The ids of the document, each once.
    ids: HashSet<String>,
    /// Components that several others name: flows, models, tools, datastores.
    shared: Map<String, Json>,
    /// The ids of flows, by the compiled flow that they are.
    flows: HashMap<usize, String>,
    /// The ids of models, tools and datastores, by their definition.
    definitions: HashMap<usize, String>,
    /// Types of inputs of flows that are narrower in the document.
    pub(crate) input_types: HashMap<(usize, String), Type>,
    needs: Vec<Need>,
    /// Sensitive values that were left out: what they are called, and of what they are.
    secrets: BTreeMap<String, (String, Span)>,
    /// The steps from the top to the place that is being written.
    path: Vec<String>,
}

impl Exporter<'_> {
    pub(crate) fn report(&mut self, problem: Diagnostic) {
        self.found.push(problem);
    }

    /// That something cannot be said in a document.
    pub(crate) fn unsaid(&mut self, message: impl Into<String>, span: &Span) {
        self.report(Diagnostic::error(codes::UNSAID, message, span));
    }

    /// An id that nothing else of the document has.
    pub(crate) fn id(&mut self, wanted: &str) -> String {
        let mut id = wanted.to_owned();
        let mut count = 1;
        while !self.ids.insert(id.clone()) {
            count += 1;
            id = format!("{wanted} {count}");
        }
        id
    }

    /// The way to the step that is being written.
    pub(crate) fn place(&self) -> String {
        self.path.join("/")
    }
}

/// A reference to a component.
pub(crate) fn reference(id: &str) -> Json {
    json!({ "$component_ref": id })
}
