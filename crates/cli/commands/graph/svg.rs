//! A drawing as a picture.

use std::fmt::Write as _;

use super::drawing::{Drawing, Graph, Node, Shape};
use super::layout::{KIND_SIZE, LABEL_SIZE, Layout, NAME_SIZE, Rect};
use super::lines::{Line, pair, short};
use super::metrics::{BOLD, fitted, width};
use super::panels::{Panel, Panels, TITLE_SIZE};

const MARGIN: f64 = 24.0;
const HEADLINE_SIZE: f64 = 16.0;
const DESCRIPTION_SIZE: f64 = 12.0;
/// A description is cut rather than make the picture wider than this.
const WIDEST_DESCRIPTION: f64 = 640.0;

/// Colours of a light page, then of a dark one. Every rule begins with the picture's own class, so that pictures can
/// stand in a page side by side.
const STYLE: &str = r#".flowrun{font-family:ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,Helvetica,Arial,sans-serif}
.flowrun .page{fill:#fff}
.flowrun text{fill:#1f2430}
.flowrun .kind,.flowrun .note{fill:#6b7280}
.flowrun .frame{fill:#f7f8fa;stroke:#d5d9e0}
.flowrun .step{fill:#fff;stroke:#aab1bd}
.flowrun .asks{fill:#f5f1fe;stroke:#9b87d6}
.flowrun .stop{fill:#eef6f0;stroke:#7fae8d}
.flowrun .point{fill:#5b6473;stroke:#5b6473}
.flowrun .ring{fill:none;stroke:#5b6473;stroke-width:1.5}
.flowrun .line{fill:none;stroke:#7b8494;stroke-width:1.3}
.flowrun .tip{fill:#7b8494}
.flowrun .retry{stroke:#c2701c;stroke-dasharray:5 4}
.flowrun .retry-tip,.flowrun text.retry-label{fill:#b4630f}
.flowrun .run{fill:none;stroke:#7b8494;stroke-width:1.5;stroke-dasharray:0.1 5;stroke-linecap:round}
.flowrun .label{fill:#4b5563;stroke:#fff;stroke-width:4;stroke-linejoin:round;paint-order:stroke}
.flowrun .framed .label{stroke:#f7f8fa}
@media (prefers-color-scheme:dark){
.flowrun .page{fill:#15181e}
.flowrun text{fill:#e6e8ec}
.flowrun .kind,.flowrun .note{fill:#98a1b0}
.flowrun .frame{fill:#1b1f27;stroke:#363d4a}
.flowrun .step{fill:#232833;stroke:#566072}
.flowrun .asks{fill:#2b2640;stroke:#7f6cc0}
.flowrun .stop{fill:#1e2f26;stroke:#4f8062}
.flowrun .point{fill:#a3acba;stroke:#a3acba}
.flowrun .ring{stroke:#a3acba}
.flowrun .line,.flowrun .run{stroke:#7d8797}
.flowrun .tip{fill:#7d8797}
.flowrun .retry{stroke:#d98b3f}
.flowrun .retry-tip,.flowrun text.retry-label{fill:#e39a52}
.flowrun .label{fill:#b6bdc9;stroke:#15181e}
.flowrun .framed .label{stroke:#1b1f27}
}"#;

pub(super) fn text(drawing: &Drawing) -> String {
    let layouts: Vec<Layout> = drawing.flows.iter().map(Layout::new).collect();
    let panels = Panels::new(drawing, &layouts);
    let head = Head::new(drawing);
    let size = (panels.width.max(head.width) + MARGIN * 2.0, panels.height + head.height + MARGIN * 2.0);
    let (width, height) = (short(size.0.ceil()), short(size.1.ceil()));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"flowrun\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n"
    );
    head.write(&mut out);
    let _ = writeln!(out, "<g transform=\"translate({})\">", pair((MARGIN, MARGIN + head.height)));
    for panel in panels.all.iter().filter(|panel| panel.has_frame()) {
        frame(&mut out, panel);
    }
    for run in &panels.runs {
        let _ = writeln!(out, "<path class=\"run\" d=\"{}\"/>", run.path);
        let (x, y) = (short(run.end.0), short(run.end.1));
        let _ = writeln!(out, "<circle class=\"tip\" cx=\"{x}\" cy=\"{y}\" r=\"3\"/>");
    }
    for ((graph, layout), panel) in drawing.flows.iter().zip(&layouts).zip(&panels.all) {
        part(&mut out, graph, layout, panel);
    }
    out.push_str("</g>\n</svg>\n");
    out
}

/// The name of the top flow and what it is for.
struct Head {
    name: String,
    description: String,
    full: (String, String),
    width: f64,
    height: f64,
}

impl Head {
    fn new(drawing: &Drawing) -> Self {
        let top = drawing.flows.first();
        let name = top.map(|flow| flow.name.clone()).unwrap_or_default();
        let description = top.and_then(|flow| flow.description.clone()).unwrap_or_default();
        let full = (name.clone(), description.clone());
        let name = fitted(&name, HEADLINE_SIZE, WIDEST_DESCRIPTION);
        let description = fitted(&description, DESCRIPTION_SIZE, WIDEST_DESCRIPTION);
        let width = (width(&name, HEADLINE_SIZE) * BOLD).max(width(&description, DESCRIPTION_SIZE));
        let height = if description.is_empty() { 34.0 } else { 54.0 };
        Self { name, description, full, width, height }
    }

    fn write(&self, out: &mut String) {
        let _ = writeln!(out, "<title>{}</title>", escaped(&self.full.0));
        if !self.full.1.is_empty() {
            let _ = writeln!(out, "<desc>{}</desc>", escaped(&self.full.1));
        }
        let _ = writeln!(out, "<style>{STYLE}</style>\n<rect class=\"page\" width=\"100%\" height=\"100%\"/>");
        let (x, y) = (short(MARGIN), short(MARGIN + 12.0));
        let name = escaped(&self.name);
        let _ = writeln!(
            out,
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{HEADLINE_SIZE}\" font-weight=\"600\">{name}</text>"
        );
        if !self.description.is_empty() {
            let (y, description) = (short(MARGIN + 32.0), escaped(&self.description));
            let _ = writeln!(
                out,
                "<text class=\"note\" x=\"{x}\" y=\"{y}\" font-size=\"{DESCRIPTION_SIZE}\">{description}</text>"
            );
        }
    }
}

fn part(out: &mut String, graph: &Graph, layout: &Layout, panel: &Panel) {
    let place = pair((panel.x + panel.inner.0, panel.y + panel.inner.1));
    let class = if panel.has_frame() { " class=\"framed\"" } else { "" };
    let _ = writeln!(out, "<g{class} transform=\"translate({place})\">");
    for (line, link) in layout.lines.iter().zip(&graph.links) {
        let retry = link.is_retry();
        let (class, tip) = if retry { ("line retry", "retry-tip") } else { ("line", "tip") };
        let _ = writeln!(out, "<path class=\"{class}\" d=\"{}\"/>", line.path());
        let _ = writeln!(out, "<path class=\"{tip}\" d=\"{}\"/>", line.tip());
    }
    for (line, link) in layout.lines.iter().zip(&graph.links) {
        label(out, line, link.is_retry());
    }
    for (node, rect) in graph.nodes.iter().zip(&layout.nodes) {
        shape(out, node, rect);
    }
    out.push_str("</g>\n");
}

/// The border of a flow, and its name.
fn frame(out: &mut String, panel: &Panel) {
    let (x, y, width, height) = (short(panel.x), short(panel.y), short(panel.width), short(panel.height));
    let _ = writeln!(
        out,
        "<rect class=\"frame\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"10\"/>"
    );
    let (x, y, title) = (short(panel.x + 18.0), short(panel.y + 25.0), escaped(&panel.title));
    let _ =
        writeln!(out, "<text x=\"{x}\" y=\"{y}\" font-size=\"{TITLE_SIZE}\" font-weight=\"600\">{title}</text>");
}

fn label(out: &mut String, line: &Line, retry: bool) {
    let Some(label) = &line.label else { return };
    let class = if retry { "label retry-label" } else { "label" };
    let anchor = if label.ends_here { " text-anchor=\"end\"" } else { "" };
    let (x, y, words) = (short(label.x), short(label.y + LABEL_SIZE * 0.35), escaped(&label.text));
    let _ = writeln!(
        out,
        "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" font-size=\"{LABEL_SIZE}\"{anchor}>{words}</text>"
    );
}

fn shape(out: &mut String, node: &Node, rect: &Rect) {
    let (x, y) = (short(rect.middle()), short(rect.level()));
    match node.shape {
        Shape::Start => {
            let _ = writeln!(out, "<circle class=\"point\" cx=\"{x}\" cy=\"{y}\" r=\"6\"/>");
        }
        Shape::End => {
            let _ = writeln!(out, "<circle class=\"ring\" cx=\"{x}\" cy=\"{y}\" r=\"6.5\"/>");
            let _ = writeln!(out, "<circle class=\"point\" cx=\"{x}\" cy=\"{y}\" r=\"3\"/>");
        }
        Shape::Step | Shape::NamedEnd => step(out, node, rect),
    }
}

fn step(out: &mut String, node: &Node, rect: &Rect) {
    let ends = node.shape == Shape::NamedEnd;
    let class = if ends {
        "stop"
    } else if node.asks {
        "step asks"
    } else {
        "step"
    };
    let round = if ends { rect.height / 2.0 } else { 7.0 };
    let doc = node.doc.as_ref().map(|doc| format!(" – {doc}")).unwrap_or_default();
    let title = escaped(&format!("{} ({}){doc}", node.name, node.kind));
    let _ = writeln!(out, "<g><title>{title}</title>");
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\"/>",
        short(rect.x),
        short(rect.y),
        short(rect.width),
        short(rect.height),
        short(round)
    );
    let x = short(rect.middle());
    let words = [("name", NAME_SIZE, -3.0, rect.name.as_str()), ("kind", KIND_SIZE, 12.5, node.kind)];
    for (class, size, below, words) in words {
        let (y, words) = (short(rect.level() + below), escaped(words));
        let weight = if class == "name" { " font-weight=\"500\"" } else { "" };
        let _ = writeln!(
            out,
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" font-size=\"{size}\"{weight} text-anchor=\"middle\">{words}</text>"
        );
    }
    out.push_str("</g>\n");
}

/// A text between tags.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // XML has no place for these, whatever their form.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
