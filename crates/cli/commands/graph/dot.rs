//! A drawing as Graphviz text.

use std::fmt::Write as _;

use super::drawing::{Drawing, Graph, Link, Node, Shape};

const HEAD: &str =
    "  graph [compound=true, fontname=\"Helvetica\", fontsize=13, labeljust=l, nodesep=0.4, ranksep=0.4]
  node [shape=box, style=rounded, fontname=\"Helvetica\", fontsize=12, margin=\"0.18,0.08\", height=0]
  edge [fontname=\"Helvetica\", fontsize=10, arrowsize=0.7]
";

pub(super) fn text(drawing: &Drawing) -> String {
    let top = drawing.flows.first();
    let name = top.map(|flow| escaped(&flow.name)).unwrap_or_default();
    let mut out = format!("digraph flow {{\n{HEAD}  label=<<b>{name}</b>>\n  labelloc=t\n");
    for (place, graph) in drawing.flows.iter().enumerate() {
        if place == 0 {
            part(&mut out, place, graph, "  ");
        } else {
            let _ = writeln!(
                out,
                "  subgraph cluster_{place} {{\n    label=<{}>\n    style=rounded",
                escaped(&graph.name)
            );
            part(&mut out, place, graph, "    ");
            out.push_str("  }\n");
        }
    }
    for (place, graph) in drawing.flows.iter().enumerate() {
        for run in &graph.runs {
            let (node, flow) = (run.node, run.flow);
            let _ = writeln!(
                out,
                "  f{place}n{node} -> f{flow}n0 [lhead=cluster_{flow}, style=dotted, arrowhead=none]"
            );
        }
    }
    out.push_str("}\n");
    out
}

fn part(out: &mut String, place: usize, graph: &Graph, indent: &str) {
    for (n, node) in graph.nodes.iter().enumerate() {
        let _ = writeln!(out, "{indent}f{place}n{n} [{}]", shape(node));
    }
    for link in &graph.links {
        let _ = writeln!(out, "{indent}f{place}n{} -> f{place}n{}{}", link.from, link.to, look(link));
    }
}

fn shape(node: &Node) -> String {
    let point = "shape=circle, label=\"\", margin=0, width=0.14";
    match node.shape {
        Shape::Start => format!("{point}, style=filled, fillcolor=black"),
        Shape::End => format!("{point}, style=solid, penwidth=2"),
        Shape::Step | Shape::NamedEnd => {
            let (name, kind) = (escaped(&node.name), escaped(node.kind));
            let label = format!("label=<{name}<br/><font point-size=\"9\" color=\"gray40\">{kind}</font>>");
            if node.shape == Shape::NamedEnd { format!("{label}, peripheries=2") } else { label }
        }
    }
}

fn look(link: &Link) -> String {
    let style = link.is_retry().then(|| "style=dashed".to_owned());
    let label = link.label().map(|label| format!("label=<&#160;{}>", escaped(&label)));
    let all: Vec<String> = style.into_iter().chain(label).collect();
    if all.is_empty() { String::new() } else { format!(" [{}]", all.join(", ")) }
}

/// A text inside of an HTML label.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    // Graphviz refuses an empty HTML label.
    if out.is_empty() { "&#160;".to_owned() } else { out }
}
