//! The ends of a flow: an `EndNode` for each `complete` step, and one for where edges end the flow without a name.

use flowrun_core::feeds::Feed;
use flowrun_core::flow::UNNAMED_END;
use flowrun_core::signature::Port;
use flowrun_core::types::Type;
use serde_json::{Map, Value as Json, json};

use super::Exporter;
use super::edges::{Fed, fits, put_own};
use super::flow::Draft;
use super::node::component;
use super::properties;

/// An end.
pub(crate) struct EndNode {
    /// The step that it is; none for that of edges.
    pub(crate) step: Option<usize>,
    id: String,
    name: String,
    /// The node through which it is entered.
    pub(crate) entry: String,
    branch: String,
}

impl Exporter<'_> {
    /// Finds the ends of a flow.
    pub(crate) fn find_ends(&mut self, draft: &mut Draft<'_>) {
        let flow = draft.nodes.flow;
        for (n, step) in flow.steps.iter().enumerate().filter(|(_, step)| step.is_end()) {
            let node = &draft.nodes.steps[n];
            let branch = step.end_name().map_or_else(|| UNNAMED_END.to_owned(), |name| name.to_string());
            let (id, name) = (node.id.clone(), node.name.clone());
            draft.ends.push(EndNode { step: Some(n), entry: id.clone(), id, name, branch });
        }
        if draft.ends.is_empty() || !draft.feeds.last_steps().is_empty() {
            let name = ["end", "end of the flow", "end 2"].into_iter().find(|name| flow.step(name).is_none());
            let name = name.unwrap_or("end of all").to_owned();
            let id = self.id(&format!("{}/{name}", draft.nodes.id));
            draft.ends.push(EndNode { step: None, entry: id.clone(), id, name, branch: UNNAMED_END.to_owned() });
        }
    }

    /// Writes the ends, and the data edges that lead to them.
    pub(crate) fn wire_ends(&mut self, draft: &mut Draft<'_>) {
        let mut all = Vec::with_capacity(draft.ends.len());
        for place in 0..draft.ends.len() {
            let (id, name, branch) = {
                let end = &draft.ends[place];
                (end.id.clone(), end.name.clone(), end.branch.clone())
            };
            let mut own = Map::new();
            if draft.ends.len() == 1 && draft.ends[place].step.is_none() {
                // Reading makes no step of it.
                own.insert("step".into(), json!(false));
            }
            let ports = self.end_ports(draft, place, &mut own);
            all.push((id, name, branch, own, ports));
        }
        for (place, (id, name, branch, own, ports)) in all.into_iter().enumerate() {
            // An output is of one type at all ends.
            let open = |port: &Port| draft.open_outputs.contains(&port.name);
            let ports: Vec<Json> = ports
                .iter()
                .map(|port| if open(port) { opened(port) } else { properties::port(&port.name, port) })
                .collect();
            let step = draft.ends[place].step;
            let doc = step.and_then(|n| draft.nodes.flow.steps[n].doc.clone());
            let mut map = component("EndNode", &id, &name, doc.as_deref());
            if !own.is_empty() {
                map.insert("metadata".into(), json!({ "flowrun": own }));
            }
            map.insert("inputs".into(), json!(ports));
            map.insert("outputs".into(), json!(ports));
            map.insert("branches".into(), json!([]));
            map.insert("branch_name".into(), json!(branch));
            draft.parts.push((id, Json::Object(map)));
        }
    }

    /// What an end gives.
    fn end_ports(&mut self, draft: &mut Draft<'_>, place: usize, own: &mut Map<String, Json>) -> Vec<Port> {
        let flow = draft.nodes.flow;
        let id = draft.ends[place].id.clone();
        let mut ports = Vec::with_capacity(flow.outputs.len());
        for (output, port) in flow.outputs.iter().enumerate() {
            let (feeds, default) = end_feeds(draft, place, output);
            let mut described = Port { default, ..port.clone() };
            let coming = match draft.nodes.fed(&feeds, None) {
                Fed::Nothing => Vec::new(),
                Fed::Edges(edges) => edges,
                Fed::Constant(value) => {
                    described.default = Some(value);
                    Vec::new()
                }
                Fed::Variable(variable) => {
                    let entry = draft.ends[place].entry.clone();
                    let (entry, given) = self.reader(draft, &id, Some(&entry), variable);
                    draft.ends[place].entry.clone_from(&entry);
                    if let Some(n) = draft.ends[place].step {
                        draft.entries[n] = Some(entry);
                    }
                    vec![given]
                }
                Fed::Own(wire) => {
                    put_own(own, "with", &port.name, wire);
                    Vec::new()
                }
                Fed::Unsaid => match draft.nodes.references(&feeds, None) {
                    Some(wire) => {
                        put_own(own, "with", &port.name, wire);
                        Vec::new()
                    }
                    None => {
                        let message = format!("nothing says where `{}` of `{}` comes from", port.name, flow.name);
                        self.unsaid(message, &flow.steps[0].span);
                        Vec::new()
                    }
                },
            };
            for (from, output, _) in &coming {
                draft.nodes.data_edge(from, output, &id, &port.name);
            }
            if !fits(&described, &coming) {
                draft.open_outputs.insert(port.name.clone());
            }
            ports.push(described);
        }
        ports
    }
}

/// An output of which the document does not say the type.
pub(crate) fn opened(port: &Port) -> Json {
    properties::property(&port.name, &Type::any(), port.default.as_ref(), port.doc.as_deref())
}

/// What gives an end an output of the flow, and what it is where nothing does.
fn end_feeds(draft: &Draft<'_>, place: usize, output: usize) -> (Vec<Feed>, Option<flowrun_core::value::Value>) {
    let flow = draft.nodes.flow;
    let Some(n) = draft.ends[place].step else {
        return (draft.feeds.output(&draft.feeds.last_steps(), output), None);
    };
    let feeds = draft.feeds.output(&[n], output);
    match feeds.as_slice() {
        // What the end itself gives is what it takes under that name.
        [Feed::Output { step, output }] if *step == n => {
            let name = &flow.steps[n].signature.outputs[*output].name;
            let inputs = &flow.steps[n].signature.inputs;
            match inputs.iter().position(|port| port.name == *name) {
                Some(input) => (draft.feeds.of(n, input), inputs[input].default.clone()),
                None => (Vec::new(), None),
            }
        }
        _ => (feeds, None),
    }
}
