//! Where values come from, as data flow edges; what no edge says, as references under our own key.

use std::collections::HashSet;

use flowrun_core::feeds::{Feed, Feeds};
use flowrun_core::flow::Flow;
use flowrun_core::signature::Port;
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use serde_json::{Map, Value as Json, json};

use super::node::NodeOut;
use super::properties::{property, shape};
use super::reference;
use crate::castable::castable;
use crate::property::UNFED;

/// The outputs of steps that some step reads, or that are outputs of the flow, by places.
pub(crate) fn read_outputs(feeds: &Feeds<'_>, flow: &Flow) -> HashSet<(usize, usize)> {
    let mut all = Vec::new();
    for n in 0..flow.steps.len() {
        for input in 0..flow.steps[n].signature.inputs.len() {
            all.extend(feeds.of(n, input));
        }
        all.extend(feeds.late(n).into_iter().flat_map(|(_, found)| found));
    }
    let ends = (0..flow.steps.len()).filter(|n| flow.steps[*n].is_end());
    let last: Vec<usize> = feeds.last_steps().into_iter().chain(ends).collect();
    all.extend((0..flow.outputs.len()).flat_map(|output| feeds.output(&last, output)));
    let places = all.into_iter().filter_map(|feed| match feed {
        Feed::Output { step, output } => Some((step, output)),
        _ => None,
    });
    places.collect()
}

/// A node that an edge can begin at, as the document calls it.
pub(crate) struct Place {
    /// Its id.
    pub(crate) id: String,
    /// Its name, which references under our own key use.
    pub(crate) name: String,
}

/// What a context provider gives.
pub(crate) struct Given {
    /// The name of the value in the flow.
    pub(crate) name: String,
    /// The id of the provider.
    pub(crate) id: String,
    /// What the provider calls the value.
    pub(crate) title: String,
    pub(crate) of: Type,
}

/// A flow whose nodes are known, so that edges between them can be written.
pub(crate) struct Nodes<'f> {
    pub(crate) flow: &'f Flow,
    /// Its inputs, as the document has them.
    pub(crate) inputs: Vec<Port>,
    pub(crate) start: Place,
    /// The nodes of the steps.
    pub(crate) steps: Vec<NodeOut>,
    /// The context providers.
    pub(crate) providers: Vec<Given>,
    /// A step that stands for the start itself.
    pub(crate) begins: bool,
    /// The edges so far.
    pub(crate) data: Vec<Json>,
    pub(crate) control: Vec<Json>,
    /// The id of the flow.
    pub(crate) id: String,
}

/// How a port is fed.
pub(crate) enum Fed {
    /// By its default, as it is.
    Nothing,
    /// By these outputs: ids of nodes, their outputs, and the types of what they give.
    Edges(Vec<(String, String, Type)>),
    /// By a value.
    Constant(Value),
    /// By a variable of the flow, by place.
    Variable(usize),
    /// By something that no edge says: references under our own key.
    Own(Json),
    /// By something that nothing here says.
    Unsaid,
}

impl Nodes<'_> {
    /// How a port is fed, by what the flow says. `constant`: a constant of the context, where it is one.
    pub(crate) fn fed(&self, feeds: &[Feed], context: Option<&str>) -> Fed {
        let mixed = feeds.len() > 1;
        let mut edges = Vec::new();
        let mut own = Vec::new();
        for feed in feeds {
            match feed {
                Feed::Constant(_) if mixed => return Fed::Unsaid,
                Feed::Constant(value) => match context.and_then(|name| self.provider(name)) {
                    Some(provider) => edges.push(provider),
                    None => return Fed::Constant(value.clone()),
                },
                Feed::Variable(_) | Feed::Provider(_) if mixed => return Fed::Unsaid,
                Feed::Variable(place) => return Fed::Variable(*place),
                Feed::Provider(name) => match self.provider(name) {
                    Some(provider) => edges.push(provider),
                    None => return Fed::Unsaid,
                },
                Feed::Visits(step) => own.push(format!("visits.{}", self.steps[*step].name)),
                Feed::Input(place) => {
                    let port = &self.inputs[*place];
                    edges.push((self.start.id.clone(), port.name.clone(), port.value_type.clone()));
                    own.push(format!("inputs.{}", port.name));
                }
                Feed::Output { step, output } => {
                    let port = &self.flow.steps[*step].signature.outputs[*output];
                    if self.begins && *step == 0 {
                        edges.push((self.start.id.clone(), port.name.clone(), port.value_type.clone()));
                        own.push(format!("inputs.{}", port.name));
                        continue;
                    }
                    let node = &self.steps[*step];
                    let title = node.output_title(&port.name);
                    if let Some(title) = title {
                        edges.push((node.id.clone(), title.to_owned(), port.value_type.clone()));
                    }
                    own.push(format!("{}.{}", node.name, title.unwrap_or(&port.name)));
                }
            }
        }
        match own.as_slice() {
            _ if edges.len() == feeds.len() && !edges.is_empty() => Fed::Edges(edges),
            [] => Fed::Nothing,
            [only] => Fed::Own(json!(only)),
            several => Fed::Own(json!(several)),
        }
    }

    /// How a port is fed, in references alone.
    pub(crate) fn references(&self, feeds: &[Feed], context: Option<&str>) -> Option<Json> {
        let mut all = Vec::new();
        for feed in feeds {
            all.push(match feed {
                Feed::Constant(value) if feeds.len() == 1 => match context {
                    Some(name) => json!(name),
                    None => return Some(json!({ "value": value.to_json().ok()? })),
                },
                Feed::Constant(_) => return None,
                Feed::Variable(place) => json!(format!("variables.{}", self.flow.variables[*place].name)),
                Feed::Provider(name) => json!(&**name),
                Feed::Visits(step) => json!(format!("visits.{}", self.steps[*step].name)),
                Feed::Input(place) => json!(format!("inputs.{}", self.flow.inputs[*place].name)),
                Feed::Output { step: 0, output } if self.begins => {
                    json!(format!("inputs.{}", self.flow.steps[0].signature.outputs[*output].name))
                }
                Feed::Output { step, output } => {
                    let name = &self.flow.steps[*step].signature.outputs[*output].name;
                    let node = &self.steps[*step];
                    json!(format!("{}.{}", node.name, node.output_title(name).unwrap_or(name)))
                }
            });
        }
        match all.len() {
            0 => None,
            1 => all.pop(),
            _ => Some(Json::Array(all)),
        }
    }

    fn provider(&self, name: &str) -> Option<(String, String, Type)> {
        let found = self.providers.iter().find(|given| given.name == name)?;
        Some((found.id.clone(), found.title.clone(), found.of.clone()))
    }

    /// An edge of data.
    pub(crate) fn data_edge(&mut self, from: &str, output: &str, to: &str, input: &str) {
        let id = format!("{}/data/{}", self.id, self.data.len() + 1);
        let mut edge =
            super::node::component("DataFlowEdge", &id, &format!("{} to {}", last(from), last(to)), None);
        edge.insert("source_node".into(), reference(from));
        edge.insert("source_output".into(), json!(output));
        edge.insert("destination_node".into(), reference(to));
        edge.insert("destination_input".into(), json!(input));
        self.data.push(Json::Object(edge));
    }

    /// An edge of control.
    pub(crate) fn control_edge(&mut self, from: &str, branch: &str, to: &str) {
        let id = format!("{}/control/{}", self.id, self.control.len() + 1);
        let mut edge =
            super::node::component("ControlFlowEdge", &id, &format!("{} to {}", last(from), last(to)), None);
        edge.insert("from_node".into(), reference(from));
        edge.insert("from_branch".into(), if branch == "next" { Json::Null } else { json!(branch) });
        edge.insert("to_node".into(), reference(to));
        self.control.push(Json::Object(edge));
    }
}

/// The name of a node in its id.
fn last(id: &str) -> &str {
    id.rsplit_once('/').map_or(id, |(_, name)| name)
}

/// The property of an input that these types reach. Where one of them could not become what the step takes by the rules of
/// Agent Spec, the document says nothing of its type; it is looked at when the value comes, as in the flow.
pub(crate) fn input_property(title: &str, port: &Port, coming: &[(String, String, Type)]) -> Json {
    if fits(port, coming) {
        return super::properties::port(title, port);
    }
    property(title, &Type::any(), port.default.as_ref(), port.doc.as_deref())
}

/// Whether all that comes can become what a port takes, by the rules of Agent Spec.
pub(crate) fn fits(port: &Port, coming: &[(String, String, Type)]) -> bool {
    let wanted = shape(&port.value_type);
    coming.iter().all(|(_, _, of)| castable(&shape(of), &wanted))
}

/// An entry under our own key, beside others of its kind.
pub(crate) fn put_own(own: &mut Map<String, Json>, key: &str, name: &str, value: Json) {
    let entry = own.entry(key).or_insert_with(|| json!({}));
    if let Json::Object(map) = entry {
        map.insert(name.to_owned(), value);
    }
}

/// Gives an input that no edge feeds a default, without which others refuse the document. Reading takes it away.
pub(crate) fn unfed(own: &mut Map<String, Json>, title: &str, port: &mut Port) {
    if port.default.is_some() {
        return;
    }
    port.default = Some(Value::Null);
    put_own(own, UNFED, title, json!(!port.value_type.admits_null()));
}
