//! A drawing as Mermaid text.

use std::fmt::Write as _;

use super::drawing::{Drawing, Graph, Link, Node, Shape};

/// The look of the two circles.
const STYLE: &str =
    "  classDef start fill:#777,stroke:#777\n  classDef stop fill:none,stroke:#777,stroke-width:3px\n";

pub(super) fn text(drawing: &Drawing) -> String {
    let mut out = String::new();
    if let Some(top) = drawing.flows.first() {
        // A JSON text is a YAML text.
        let _ = writeln!(out, "---\ntitle: {}\n---", serde_json::Value::from(top.name.as_str()));
    }
    out.push_str("flowchart TD\n");
    let links = drawing.flows.iter().flat_map(|graph| &graph.links).enumerate();
    let retries: Vec<String> = links.filter(|(_, link)| link.is_retry()).map(|(n, _)| n.to_string()).collect();
    for (place, graph) in drawing.flows.iter().enumerate() {
        if place == 0 {
            part(&mut out, place, graph, "  ");
        } else {
            let _ = writeln!(out, "  subgraph f{place}[\"{}\"]\n    direction TB", escaped(&graph.name));
            part(&mut out, place, graph, "    ");
            out.push_str("  end\n");
        }
    }
    for (place, graph) in drawing.flows.iter().enumerate() {
        for run in &graph.runs {
            let _ = writeln!(out, "  f{place}n{} -.- f{}", run.node, run.flow);
        }
    }
    out.push_str(STYLE);
    if !retries.is_empty() {
        let _ = writeln!(out, "  linkStyle {} stroke-dasharray:6 4", retries.join(","));
    }
    out
}

fn part(out: &mut String, place: usize, graph: &Graph, indent: &str) {
    for (n, node) in graph.nodes.iter().enumerate() {
        let _ = writeln!(out, "{indent}f{place}n{n}{}", shape(node));
    }
    for link in &graph.links {
        let _ = writeln!(out, "{indent}f{place}n{} {} f{place}n{}", link.from, arrow(link), link.to);
    }
}

fn shape(node: &Node) -> String {
    let words = || format!("{}<br/><small>{}</small>", escaped(&node.name), escaped(node.kind));
    match node.shape {
        Shape::Start => "((\" \")):::start".to_owned(),
        Shape::End => "((\" \")):::stop".to_owned(),
        Shape::Step => format!("[\"{}\"]", words()),
        Shape::NamedEnd => format!("([\"{}\"])", words()),
    }
}

fn arrow(link: &Link) -> String {
    let line = if link.is_retry() { "-.->" } else { "-->" };
    match link.label() {
        Some(label) => format!("{line}|\"{}\"|", escaped(&label)),
        None => line.to_owned(),
    }
}

/// A text between quotes. Letters and digits stand for themselves, as do spaces and the signs inside of a name;
/// all else is written by its number, so that nothing is read as an end, as markup or as Markdown.
fn escaped(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    for (n, &c) in characters.iter().enumerate() {
        let beside = |at: Option<usize>| at.and_then(|at| characters.get(at)).is_some_and(|c| c.is_alphanumeric());
        let inside = beside(n.checked_sub(1)) && beside(n.checked_add(1));
        if c.is_alphanumeric() || matches!(c, ' ' | ',') || (matches!(c, '_' | '-') && inside) {
            out.push(c);
        } else {
            let _ = write!(out, "#{};", u32::from(c));
        }
    }
    out
}
