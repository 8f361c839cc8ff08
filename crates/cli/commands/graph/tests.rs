use flowrun_core::compile::compile;
use flowrun_yaml::{ParseOptions, parse};
use proptest::prelude::*;

use super::drawing::{Drawing, Graph, Link, Node, Shape, Way};
use super::layout::{LABEL_SIZE, Layout, Rect};
use super::{dot, mermaid, metrics, svg};
use crate::load::all_flows;

const FLOW: &str = r#"
flow: letters
description: Letters that are written & judged.
inputs: { kind: string }
steps:
  draft: { type: template, template: "Dear {{ kind }}" }
  check:
    type: branch
    with: { value: inputs.kind }
    cases: { "yes": good, "no": 'bad "<1. end>"' }
    next: { good: end, 'bad "<1. end>"': { retry: draft, max_trials: 3, else: given_up }, default: given_up }
  given_up: { type: complete }
"#;

const NESTED: &str = r"
flow: outer
steps:
  once: { type: flow, flow: inner }
  again: { type: flow, flow: inner }
flows:
  inner:
    steps:
      only: { type: constant, values: { a: 1 } }
";

fn drawing(text: &str) -> Drawing {
    let spec = parse(text, &ParseOptions::new("a.yaml", ".")).unwrap().spec;
    Drawing::new(&all_flows(&compile(&spec, &flowrun_steps::registry()).unwrap().flow))
}

#[test]
fn mermaid_has_no_sign_that_it_could_misread() {
    insta::assert_snapshot!(mermaid::text(&drawing(FLOW)), @r#"
    ---
    title: "letters"
    ---
    flowchart TD
      f0n0((" ")):::start
      f0n1["draft<br/><small>template</small>"]
      f0n2["check<br/><small>branch</small>"]
      f0n3(["given_up<br/><small>complete</small>"])
      f0n4((" ")):::stop
      f0n0 --> f0n1
      f0n1 --> f0n2
      f0n2 -->|"good"| f0n4
      f0n2 -.->|"bad #34;#60;1#46; end#62;#34; #8804; 3"| f0n1
      f0n2 -->|"else, default"| f0n3
      classDef start fill:#777,stroke:#777
      classDef stop fill:none,stroke:#777,stroke-width:3px
      linkStyle 3 stroke-dasharray:6 4
    "#);
}

#[test]
fn dot_is_written() {
    insta::assert_snapshot!(dot::text(&drawing(FLOW)), @r#"
    digraph flow {
      graph [compound=true, fontname="Helvetica", fontsize=13, labeljust=l, nodesep=0.4, ranksep=0.4]
      node [shape=box, style=rounded, fontname="Helvetica", fontsize=12, margin="0.18,0.08", height=0]
      edge [fontname="Helvetica", fontsize=10, arrowsize=0.7]
      label=<<b>letters</b>>
      labelloc=t
      f0n0 [shape=circle, label="", margin=0, width=0.14, style=filled, fillcolor=black]
      f0n1 [label=<draft<br/><font point-size="9" color="gray40">template</font>>]
      f0n2 [label=<check<br/><font point-size="9" color="gray40">branch</font>>]
      f0n3 [label=<given_up<br/><font point-size="9" color="gray40">complete</font>>, peripheries=2]
      f0n4 [shape=circle, label="", margin=0, width=0.14, style=solid, penwidth=2]
      f0n0 -> f0n1
      f0n1 -> f0n2
      f0n2 -> f0n4 [label=<&#160;good>]
      f0n2 -> f0n1 [style=dashed, label=<&#160;bad &quot;&lt;1. end&gt;&quot; ≤ 3>]
      f0n2 -> f0n3 [label=<&#160;else, default>]
    }
    "#);
}

#[test]
fn a_flow_that_two_steps_run_is_drawn_once() {
    let drawing = drawing(NESTED);
    assert_eq!(drawing.flows.len(), 2);
    insta::assert_snapshot!(mermaid::text(&drawing), @r#"
    ---
    title: "outer"
    ---
    flowchart TD
      f0n0((" ")):::start
      f0n1["once<br/><small>flow</small>"]
      f0n2["again<br/><small>flow</small>"]
      f0n3((" ")):::stop
      f0n0 --> f0n1
      f0n1 --> f0n2
      f0n2 --> f0n3
      subgraph f1["inner"]
        direction TB
        f1n0((" ")):::start
        f1n1["only<br/><small>constant</small>"]
        f1n2((" ")):::stop
        f1n0 --> f1n1
        f1n1 --> f1n2
      end
      f0n1 -.- f1
      f0n2 -.- f1
      classDef start fill:#777,stroke:#777
      classDef stop fill:none,stroke:#777,stroke-width:3px
    "#);
    assert_eq!(dot::text(&drawing).matches("subgraph").count(), 1);
    assert_eq!(dot::text(&drawing).matches("lhead=cluster_1").count(), 2);
    let picture = svg::text(&drawing);
    assert_eq!(picture.matches("class=\"frame\"").count(), 1);
    assert_eq!(picture.matches("class=\"run\"").count(), 2);
}

#[test]
fn a_picture_escapes_names_and_says_how_large_it_is() {
    let picture = svg::text(&drawing(FLOW));
    assert!(picture.contains("bad \"&lt;1. end&gt;\" ≤ 3"), "{picture}");
    assert!(picture.contains("<desc>Letters that are written &amp; judged.</desc>"));
    let size =
        |key: &str| picture.split_once(&format!("{key}=\"")).and_then(|(_, rest)| rest.split_once('"')).unwrap().0;
    assert_eq!(size("viewBox"), format!("0 0 {} {}", size("width"), size("height")));
}

#[test]
fn the_longest_way_stands_straight_and_a_retry_runs_beside_it() {
    let drawing = drawing(FLOW);
    let layout = Layout::new(&drawing.flows[0]);
    let [start, draft, check, given_up, end] = layout.nodes.as_slice() else { panic!("five nodes") };
    for node in [draft, check, end] {
        assert!((node.middle() - start.middle()).abs() < 0.01);
    }
    assert!(given_up.x > end.right() && (given_up.level() - end.level()).abs() < 0.01);
}

/// A flow without steps, flows that run others in a chain, names of all kinds: nothing breaks.
#[test]
fn odd_flows_are_drawn() {
    let point = |shape| node(shape, "");
    let empty = Graph { name: String::new(), ..graph(vec![point(Shape::Start), point(Shape::End)], &[(0, 1, 0)]) };
    let all = Drawing { flows: vec![empty] };
    for text in [mermaid::text(&all), dot::text(&all), svg::text(&all)] {
        assert!(!text.is_empty());
    }
    assert!(!svg::text(&Drawing { flows: Vec::new() }).contains("inf"));
}

fn node(shape: Shape, name: &str) -> Node {
    Node { shape, name: name.to_owned(), kind: "template", doc: None, asks: false }
}

/// `style`: 0 a plain link, 1 one with a label, 2 a retry edge.
fn graph(nodes: Vec<Node>, links: &[(usize, usize, usize)]) -> Graph {
    let mut all: Vec<Link> = Vec::new();
    for &(from, to, style) in links {
        let way = if style == 2 { Way::Retry("3".to_owned()) } else { Way::Plain };
        let branch = if style == 1 { format!("branch_{from}") } else { "next".to_owned() };
        if !all.iter().any(|link| link.from == from && link.to == to && link.way == way) {
            all.push(Link { from, to, way, branches: vec![branch] });
        }
    }
    Graph { name: "a".to_owned(), description: None, nodes, links: all, runs: Vec::new() }
}

prop_compose! {
    fn any_graph()(count in 2..24_usize)(
        names in prop::collection::vec("[a-z_]{1,24}", count),
        links in prop::collection::vec((1..count, 1..count, 0..3_usize), 0..count * 2),
        chain in prop::collection::vec(prop::bool::weighted(0.8), count),
    ) -> Graph {
        let shape = |n: usize| if n == 0 { Shape::Start } else { Shape::Step };
        let nodes = names.iter().enumerate().map(|(n, name)| node(shape(n), name)).collect();
        let following = chain.windows(2).enumerate().filter(|(n, pair)| *n == 0 || pair[0]).map(|(n, _)| (n, n + 1, 0));
        let all: Vec<_> = following.chain(links).collect();
        graph(nodes, &all)
    }
}

/// Left, top, right, bottom.
type Area = (f64, f64, f64, f64);

fn area(rect: &Rect) -> Area {
    (rect.x, rect.y, rect.right(), rect.bottom())
}

fn overlap(a: Area, b: Area) -> bool {
    const TOUCH: f64 = 0.5;
    a.0 + TOUCH < b.2 && b.0 + TOUCH < a.2 && a.1 + TOUCH < b.3 && b.1 + TOUCH < a.3
}

fn label_areas(layout: &Layout) -> Vec<Area> {
    let labels = layout.lines.iter().filter_map(|line| line.label.as_ref());
    labels
        .map(|label| {
            let wide = metrics::width(&label.text, LABEL_SIZE);
            let left = if label.ends_here { label.x - wide } else { label.x };
            (left, label.y - LABEL_SIZE / 2.0, left + wide, label.y + LABEL_SIZE / 2.0)
        })
        .collect()
}

proptest! {
    #[test]
    fn nothing_lies_on_anything(graph in any_graph()) {
        let layout = Layout::new(&graph);
        let boxes: Vec<Area> = layout.nodes.iter().map(area).collect();
        let labels = label_areas(&layout);
        let all: Vec<Area> = boxes.iter().chain(&labels).copied().collect();
        for (n, a) in all.iter().enumerate() {
            prop_assert!(a.0 >= -0.01 && a.1 >= -0.01 && a.2 <= layout.width + 0.01 && a.3 <= layout.height + 0.01);
            for b in &all[n + 1..] {
                prop_assert!(!overlap(*a, *b), "{a:?} {b:?}");
            }
        }
        for (line, link) in layout.lines.iter().zip(&graph.links) {
            for (x, y) in line.samples() {
                let spot = (x - 1.0, y - 1.0, x + 1.0, y + 1.0);
                for (n, area) in boxes.iter().enumerate().filter(|(n, _)| *n != link.from && *n != link.to) {
                    prop_assert!(!overlap(spot, *area), "{link:?} runs through node {n} {area:?} at {x} {y}; from {:?}", boxes[link.from]);
                }
            }
        }
    }
}

/// The picture of the README; `FLOWRUN_WRITE_DOCS=1` draws it anew.
#[test]
fn the_picture_of_the_main_job_is_not_stale() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let flow = root.join("flows/justify.yaml");
    let Ok(loaded) = crate::load::load(&flowrun_steps::registry(), &flow, crate::load::Around::default()) else {
        panic!("it compiles")
    };
    let drawn = svg::text(&Drawing::new(&all_flows(&loaded.compiled.flow)));
    let picture = root.join("docs/justify.svg");
    if std::env::var_os("FLOWRUN_WRITE_DOCS").is_some() {
        std::fs::write(&picture, &drawn).unwrap();
    }
    assert!(std::fs::read_to_string(&picture).unwrap() == drawn, "docs/justify.svg is stale");
}
