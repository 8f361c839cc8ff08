//! Where each flow of a drawing lies: the top one left, and the flows that its steps run right of it, each beside
//! the first step that runs it.

use std::fmt::Write as _;

use super::drawing::{Drawing, Graph};
use super::layout::{Layout, Rect};
use super::lines::pair;
use super::metrics::{BOLD, fitted, width};

pub(super) const TITLE_SIZE: f64 = 13.0;

const PADDING: f64 = 18.0;
const TITLE_HEIGHT: f64 = 32.0;
/// Between two columns of flows, where the lines to them run.
const GUTTER: f64 = 64.0;
const BELOW: f64 = 28.0;
const WIDEST_TITLE: f64 = 480.0;

/// A flow's frame: its border, and where its drawing lies inside.
pub(super) struct Panel {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) title: String,
    /// The origin of the flow's own drawing.
    pub(super) inner: (f64, f64),
    depth: usize,
    has_frame: bool,
}

/// All flows of a drawing with their places, and the lines from steps to the flows they run.
pub(super) struct Panels {
    pub(super) all: Vec<Panel>,
    pub(super) runs: Vec<RunLine>,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Panels {
    pub(super) fn new(drawing: &Drawing, layouts: &[Layout]) -> Self {
        let depths = depths(drawing);
        let mut all: Vec<Panel> = Vec::with_capacity(layouts.len());
        for ((graph, layout), depth) in drawing.flows.iter().zip(layouts).zip(depths) {
            all.push(Panel::new(graph, layout, depth, !all.is_empty()));
        }
        let deepest = all.iter().map(|panel| panel.depth).max().unwrap_or_default();
        let mut x = 0.0;
        for depth in 0..=deepest {
            place_column(drawing, layouts, &mut all, depth, x);
            let widest =
                all.iter().filter(|panel| panel.depth == depth).map(|panel| panel.width).fold(0.0, f64::max);
            x += widest + GUTTER;
        }
        let width = all.iter().map(|panel| panel.x + panel.width).fold(0.0, f64::max);
        let runs = runs(drawing, layouts, &all);
        let bottoms = all.iter().map(|panel| panel.y + panel.height).chain(runs.iter().map(|run| run.lowest));
        let height = bottoms.fold(0.0, f64::max);
        Self { all, runs, width, height }
    }
}

impl Panel {
    fn new(graph: &Graph, layout: &Layout, depth: usize, has_frame: bool) -> Self {
        let title = if has_frame { fitted(&graph.name, TITLE_SIZE, WIDEST_TITLE) } else { String::new() };
        let padding = if has_frame { PADDING } else { 0.0 };
        let above = if has_frame { TITLE_HEIGHT } else { 0.0 };
        let inside = layout.width.max(width(&title, TITLE_SIZE) * BOLD);
        // A drawing that is narrower than its title stands in the middle.
        let inner = (padding + (inside - layout.width) / 2.0, padding.min(above) / 2.0 + above);
        let (width, height) = (inside + padding * 2.0, inner.1 + layout.height + padding);
        Self { x: 0.0, y: 0.0, width, height, title, inner, depth, has_frame }
    }

    pub(super) fn has_frame(&self) -> bool {
        self.has_frame
    }

    /// The middle of a node's height, in the whole drawing.
    fn level_of(&self, node: &Rect) -> f64 {
        self.y + self.inner.1 + node.level()
    }
}

/// How many flows lie around each: one more than around the deepest flow that runs it.
fn depths(drawing: &Drawing) -> Vec<usize> {
    let mut depths = vec![0; drawing.flows.len()];
    // No flow runs itself, so that this comes to rest after as many rounds as there are flows at most.
    for _ in &drawing.flows {
        for (outer, graph) in drawing.flows.iter().enumerate() {
            for run in &graph.runs {
                depths[run.flow] = depths[run.flow].max(depths[outer] + 1);
            }
        }
    }
    depths
}

/// Stacks the flows of one depth in the order of the steps that run them, each as near to its step as there is room.
fn place_column(drawing: &Drawing, layouts: &[Layout], all: &mut [Panel], depth: usize, x: f64) {
    let mut column: Vec<(f64, usize)> = Vec::new();
    for (place, panel) in all.iter().enumerate().filter(|(_, panel)| panel.depth == depth) {
        let callers = drawing.flows.iter().enumerate().flat_map(|(outer, graph)| {
            let runs = graph.runs.iter().filter(move |run| run.flow == place);
            runs.map(move |run| (outer, run.node))
        });
        let levels = callers.filter(|(outer, _)| all[*outer].depth + 1 == depth).map(|(outer, node)| {
            let level = all[outer].level_of(&layouts[outer].nodes[node]);
            (all[outer].x, level)
        });
        let first = levels.map(|(_, level)| level).fold(f64::MAX, f64::min);
        let level = if first < f64::MAX { first } else { panel.height / 2.0 };
        column.push((level, place));
    }
    column.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = 0.0;
    for (level, place) in column {
        let panel = &mut all[place];
        panel.x = x;
        panel.y = (level - panel.height / 2.0).max(free);
        free = panel.y + panel.height + BELOW;
    }
}

/// The line from a step to a flow it runs.
pub(super) struct RunLine {
    /// As an SVG path.
    pub(super) path: String,
    pub(super) end: (f64, f64),
    lowest: f64,
}

fn runs(drawing: &Drawing, layouts: &[Layout], all: &[Panel]) -> Vec<RunLine> {
    let mut found = Vec::new();
    for (outer, graph) in drawing.flows.iter().enumerate() {
        for run in &graph.runs {
            found.push(run_line(all, &all[outer], &all[run.flow], &layouts[outer].nodes[run.node]));
        }
    }
    found
}

fn run_line(all: &[Panel], from: &Panel, to: &Panel, node: &Rect) -> RunLine {
    let (left, edge) = (from.x + from.inner.0, from.x + from.width);
    let (level, start) = if node.is_last_in_row {
        let level = from.level_of(node);
        (level, format!("M{}", pair((left + node.right(), level))))
    } else {
        // Other nodes stand right of it, so that the line passes below them.
        let (x, bottom) = (left + node.right() - 14.0, from.y + from.inner.1 + node.bottom());
        let level = bottom + 12.0;
        let corner = [(x, level), (x, level), (x + 12.0, level)].map(pair).join(" ");
        (level, format!("M{} C{corner}", pair((x, bottom))))
    };
    let mut path = format!("{start} L{}", pair((edge, level)));
    let mut here = (edge, level);
    let mut cross = |to: (f64, f64)| {
        let middle = f64::midpoint(here.0, to.0);
        let _ = write!(path, " C{}", [(middle, here.1), (middle, to.1), to].map(pair).join(" "));
        here = to;
    };
    // The column of flows that it begins in is as wide as its widest; the last gutter leads to the flow itself.
    let end = (to.x, level.clamp(to.y + TITLE_HEIGHT / 2.0, to.y + to.height - TITLE_HEIGHT / 2.0));
    let mut lowest = level;
    if to.depth > from.depth + 1 {
        let passed = all.iter().filter(|panel| from.depth < panel.depth && panel.depth < to.depth);
        let pass = free_level(&passed.collect::<Vec<_>>(), level);
        lowest = pass;
        cross((edge + GUTTER, pass));
        cross((to.x - GUTTER, pass));
    } else {
        cross((to.x - GUTTER, level));
    }
    cross(end);
    RunLine { path, end, lowest }
}

/// The height nearest to this one at which a line passes none of these flows' frames.
fn free_level(passed: &[&Panel], level: f64) -> f64 {
    let around = passed.iter().flat_map(|panel| [panel.y - BELOW / 2.0, panel.y + panel.height + BELOW / 2.0]);
    let is_free = |y: &f64| {
        let inside = |panel: &&&Panel| panel.y - 4.0 < *y && *y < panel.y + panel.height + 4.0;
        *y >= 0.0 && !passed.iter().any(|panel| inside(&panel))
    };
    let nearest = std::iter::once(level).chain(around).filter(is_free);
    nearest.min_by(|a, b| (a - level).abs().total_cmp(&(b - level).abs())).unwrap_or(level)
}
