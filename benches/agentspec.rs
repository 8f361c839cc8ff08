//! What loading a document of Agent Spec takes: from its text to a flow that could run, all checks included.
//!
//! The document is a chain of nodes, each a template over what the node before gave, with a branch at every tenth; once with data
//! flow edges, once wired by names, once as JSON. How it grows is the time of ten times the nodes.

mod support;

use std::error::Error;
use std::time::Instant;

use flowrun::agentspec::{ImportOptions, import};
use flowrun::core::compile::compile;
use flowrun::core::registry::Registry;
use serde_json::{Value, json};

use support::{Number, Target, median};

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NODES: usize = 1_000;
const TIMES: usize = 10;
const ROUNDS: usize = 15;

fn main() -> Result<(), Box<dyn Error>> {
    let registry = flowrun::standard();
    let edges = yaml(&document(NODES, true))?;
    let names = yaml(&document(NODES, false))?;
    let many = yaml(&document(NODES * TIMES, true))?;
    let json = document(NODES, true).to_string();
    let (mut by_edges, mut by_names, mut by_json, mut growth) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        // In turns, so that what disturbs one side disturbs the other.
        let small = seconds(&edges, &registry)?;
        by_edges.push(small * 1e3);
        by_names.push(seconds(&names, &registry)? * 1e3);
        by_json.push(seconds(&json, &registry)? * 1e3);
        growth.push(seconds(&many, &registry)? / small);
    }
    let what = |how: &str| format!("loading a document of {NODES} nodes{how}");
    let numbers = [
        Number::new(what(""), Target::Below(50.0), median(by_edges), "ms"),
        Number::new(what(", wired by names"), Target::Below(50.0), median(by_names), "ms"),
        Number::new(what(", JSON"), Target::Below(50.0), median(by_json), "ms"),
        Number::new(format!("{TIMES} times the nodes: times the time"), Target::Below(15.0), median(growth), ""),
    ];
    Ok(support::report("7-agentspec", &numbers)?)
}

/// How long it takes to load a document.
fn seconds(text: &str, registry: &Registry) -> Result<f64, Box<dyn Error>> {
    let began = Instant::now();
    let imported = import(text, &ImportOptions::new("document")).map_err(|e| e.to_string())?;
    let compiled = compile(&imported.spec, registry).map_err(|e| e.to_string())?;
    let took = began.elapsed().as_secs_f64();
    if compiled.flow.steps.len() < NODES {
        return Err("nodes were left out".into());
    }
    Ok(took)
}

/// YAML as exporters write it, block by block.
fn yaml(document: &Value) -> Result<String, Box<dyn Error>> {
    fn write(value: &Value, indent: usize, out: &mut String) -> Result<(), serde_json::Error> {
        let (entries, marks): (Vec<(String, &Value)>, bool) = match value {
            Value::Object(map) if !map.is_empty() => {
                let entries =
                    map.iter().map(|(key, value)| Ok((format!("{}:", serde_json::to_string(key)?), value)));
                (entries.collect::<Result<_, serde_json::Error>>()?, false)
            }
            Value::Array(items) if !items.is_empty() => {
                (items.iter().map(|item| ("-".to_owned(), item)).collect(), true)
            }
            scalar => {
                out.push(' ');
                out.push_str(&serde_json::to_string(scalar)?);
                out.push('\n');
                return Ok(());
            }
        };
        out.push('\n');
        for (head, value) in entries {
            out.push_str(&" ".repeat(indent));
            out.push_str(&head);
            write(value, indent + if marks { 2 } else { 1 }, out)?;
        }
        Ok(())
    }
    let mut text = String::new();
    write(document, 0, &mut text)?;
    Ok(text)
}

/// A flow of so many nodes between its start and its end.
fn document(nodes: usize, edges: bool) -> Value {
    let reference = |id: &str| json!({ "$component_ref": id });
    let text = |title: &str| json!({ "type": "string", "title": title });
    let mut components = serde_json::Map::new();
    let start =
        json!({ "component_type": "StartNode", "id": "start", "name": "start", "inputs": [text("text_0")] });
    components.insert("start".to_owned(), start);
    let (mut ids, mut control, mut data) = (vec!["start".to_owned()], Vec::new(), Vec::new());
    let mut source = ("start".to_owned(), "text_0".to_owned());
    let mut branch = None::<&str>;
    for n in 1..=nodes {
        let id = format!("node_{n}");
        let wired = |input: &str| {
            json!({
                "component_type": "DataFlowEdge", "name": format!("data_{n}"),
                "source_node": reference(&source.0), "source_output": source.1,
                "destination_node": reference(&id), "destination_input": input,
            })
        };
        let from = ids.last().map_or("start", String::as_str);
        control.push(json!({
            "component_type": "ControlFlowEdge", "name": format!("control_{n}"),
            "from_node": reference(from), "from_branch": branch.take(), "to_node": reference(&id),
        }));
        data.push(wired(&source.1));
        if n % 10 == 0 {
            components.insert(
                id.clone(),
                json!({
                    "component_type": "BranchingNode", "id": id, "name": id, "inputs": [text(&source.1)],
                    "mapping": { "never": "never" },
                }),
            );
            control.push(json!({
                "component_type": "ControlFlowEdge", "name": format!("never_{n}"),
                "from_node": reference(&id), "from_branch": "never", "to_node": reference("end"),
            }));
            branch = Some("default");
        } else {
            let given = format!("text_{n}");
            components.insert(
                id.clone(),
                json!({
                    "component_type": "PluginTemplateNode", "id": id, "name": id,
                    "template": format!("{{{{ {} }}}}.", source.1), "output_mapping": { "output": given },
                    "component_plugin_name": "NodesPlugin", "component_plugin_version": "26.3.1",
                }),
            );
            source = (id.clone(), given);
        }
        ids.push(id);
    }
    control.push(json!({
        "component_type": "ControlFlowEdge", "name": "last",
        "from_node": reference(&ids[nodes]), "from_branch": branch, "to_node": reference("end"),
    }));
    components.insert(
        "end".to_owned(),
        json!({ "component_type": "EndNode", "id": "end", "name": "end", "outputs": [] }),
    );
    ids.push("end".to_owned());
    json!({
        "component_type": "Flow", "id": "flow", "name": "flow", "start_node": reference("start"),
        "nodes": ids.iter().map(|id| reference(id)).collect::<Vec<_>>(),
        "control_flow_connections": control,
        "data_flow_connections": edges.then_some(data),
        "$referenced_components": components,
        "agentspec_version": "26.1.2",
    })
}
