//! From rows and columns to points: how large each node is, where each row and column lies.

use std::collections::{BTreeMap, HashMap};

use super::drawing::{Graph, Node, Shape};
use super::grid::{Cell, Grid, Route, Side};
use super::lines::{self, Line};
use super::metrics::{fitted, width};

pub(super) const NAME_SIZE: f64 = 13.0;
pub(super) const KIND_SIZE: f64 = 10.5;
pub(super) const LABEL_SIZE: f64 = 11.0;

const BOX_HEIGHT: f64 = 42.0;
const BOX_PADDING: f64 = 16.0;
const NARROWEST_BOX: f64 = 84.0;
/// Up to here all boxes of a flow have the same width.
const EVEN_WIDTH: f64 = 150.0;
const WIDEST_NAME: f64 = 280.0;
const WIDEST_LABEL: f64 = 200.0;
const POINT: f64 = 14.0;

/// Between what stands side by side.
const BESIDE: f64 = 22.0;
/// Between a line and its label.
const LABEL_GAP: f64 = 7.0;
const LABEL_HEIGHT: f64 = 18.0;
/// The heights of a gap: where lines run straight, and where they bend least and most.
const STRAIGHT: f64 = 24.0;
const BENT: (f64, f64) = (30.0, 56.0);

/// A flow with places for all that is drawn of it; the origin is its upper left corner.
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) nodes: Vec<Rect>,
    pub(super) lines: Vec<Line>,
}

/// A node's place.
#[derive(Clone, Debug)]
pub(super) struct Rect {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    /// The name, cut where it is too long.
    pub(super) name: String,
    /// Whether no other node stands right of it.
    pub(super) is_last_in_row: bool,
}

impl Rect {
    pub(super) fn right(&self) -> f64 {
        self.x + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.y + self.height
    }

    /// The middle, from left to right.
    pub(super) fn middle(&self) -> f64 {
        self.x + self.width / 2.0
    }

    /// The middle, from top to bottom.
    pub(super) fn level(&self) -> f64 {
        self.y + self.height / 2.0
    }
}

/// The stretch of a gap between two rows of nodes: lines bend, labels stand, lines bend.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gap {
    pub(super) top: f64,
    /// Where the lines have arrived in their columns.
    pub(super) bent: f64,
    /// Where they leave them.
    pub(super) labelled: f64,
    pub(super) bottom: f64,
}

impl Gap {
    /// The middle of its labels.
    pub(super) fn label_level(&self) -> f64 {
        f64::midpoint(self.bent, self.labelled)
    }
}

/// Where rows and columns lie.
pub(super) struct Frame {
    pub(super) columns: BTreeMap<i32, f64>,
    /// Top and bottom of the rows of nodes, by row.
    pub(super) bands: HashMap<usize, (f64, f64)>,
    /// By row.
    pub(super) gaps: HashMap<usize, Gap>,
}

impl Frame {
    pub(super) fn column(&self, column: i32) -> f64 {
        self.columns.get(&column).copied().unwrap_or_default()
    }

    pub(super) fn band(&self, row: usize) -> (f64, f64) {
        self.bands.get(&row).copied().unwrap_or_default()
    }

    pub(super) fn gap(&self, row: usize) -> Gap {
        self.gaps.get(&row).copied().unwrap_or_default()
    }
}

impl Layout {
    pub(super) fn new(graph: &Graph) -> Self {
        let grid = Grid::new(graph);
        let labels: Vec<Option<String>> = graph
            .links
            .iter()
            .map(|link| link.label().map(|label| fitted(&label, LABEL_SIZE, WIDEST_LABEL)))
            .collect();
        let mut rects: Vec<Rect> = graph.nodes.iter().map(size).collect();
        even_out(&mut rects);
        let columns = columns(graph, &grid, &rects, &labels);
        let (bands, gaps) = rows(graph, &grid, &rects, &labels, &columns);
        let frame = Frame { columns, bands, gaps };
        let mut last: HashMap<usize, i32> = HashMap::new();
        for cell in &grid.nodes {
            last.entry(cell.row).and_modify(|c| *c = cell.column.max(*c)).or_insert(cell.column);
        }
        for (rect, cell) in rects.iter_mut().zip(&grid.nodes) {
            let (top, bottom) = frame.band(cell.row);
            rect.x = frame.column(cell.column) - rect.width / 2.0;
            rect.y = f64::midpoint(top, bottom) - rect.height / 2.0;
            rect.is_last_in_row = last.get(&cell.row) == Some(&cell.column);
        }
        let lines = lines::all(graph, &grid, &frame, &rects, labels);
        let mut layout = Self { width: 0.0, height: 0.0, nodes: rects, lines };
        layout.move_to_origin();
        layout
    }

    /// Moves all to the right of and below the origin, and measures it.
    fn move_to_origin(&mut self) {
        let mut bounds = Bounds::default();
        for rect in &self.nodes {
            bounds.add(rect.x, rect.y);
            bounds.add(rect.right(), rect.bottom());
        }
        for line in &self.lines {
            line.points().into_iter().for_each(|(x, y)| bounds.add(x, y));
            if let Some(label) = &line.label {
                let far = if label.ends_here { -1.0 } else { 1.0 } * width(&label.text, LABEL_SIZE);
                bounds.add(label.x + far, label.y + LABEL_SIZE / 2.0);
            }
        }
        if self.nodes.is_empty() {
            return;
        }
        let (left, top) = (bounds.left, bounds.top);
        for rect in &mut self.nodes {
            rect.x -= left;
            rect.y -= top;
        }
        for line in &mut self.lines {
            line.shift(-left, -top);
        }
        self.width = bounds.right - left;
        self.height = bounds.bottom - top;
    }
}

struct Bounds {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { left: f64::MAX, top: f64::MAX, right: f64::MIN, bottom: f64::MIN }
    }
}

impl Bounds {
    fn add(&mut self, x: f64, y: f64) {
        self.left = self.left.min(x);
        self.top = self.top.min(y);
        self.right = self.right.max(x);
        self.bottom = self.bottom.max(y);
    }
}

fn size(node: &Node) -> Rect {
    let name = fitted(&node.name, NAME_SIZE, WIDEST_NAME);
    let words = width(&name, NAME_SIZE).max(width(node.kind, KIND_SIZE));
    let (width, height) = match node.shape {
        Shape::Start | Shape::End => (POINT, POINT),
        Shape::Step | Shape::NamedEnd => ((words + BOX_PADDING * 2.0).max(NARROWEST_BOX).round(), BOX_HEIGHT),
    };
    Rect { x: 0.0, y: 0.0, width, height, name, is_last_in_row: false }
}

/// Gives all boxes one width, but for those whose names are longer than most.
fn even_out(rects: &mut [Rect]) {
    let widths = rects.iter().map(|rect| rect.width).filter(|width| *width <= EVEN_WIDTH);
    let common = widths.fold(NARROWEST_BOX, f64::max);
    for rect in rects.iter_mut().filter(|rect| rect.width > POINT) {
        rect.width = rect.width.max(common);
    }
}

/// How far what stands in a cell reaches to the left and to the right of the column's line.
type Reach = BTreeMap<(i32, usize), (f64, f64)>;

fn reach(graph: &Graph, grid: &Grid, rects: &[Rect], labels: &[Option<String>]) -> Reach {
    let mut reach = Reach::new();
    let mut add = |column: i32, row: usize, left: f64, right: f64| {
        let cell = reach.entry((column, row)).or_insert((0.0, 0.0));
        *cell = (cell.0.max(left), cell.1.max(right));
    };
    for (cell, rect) in grid.nodes.iter().zip(rects) {
        add(cell.column, cell.row, rect.width / 2.0, rect.width / 2.0);
    }
    for (n, link) in graph.links.iter().enumerate() {
        let (from, to) = (grid.nodes[link.from], grid.nodes[link.to]);
        let label = labels[n].as_deref().map_or(0.0, |label| width(label, LABEL_SIZE) + LABEL_GAP);
        match grid.routes[n] {
            Route::Down { column } => {
                (from.row + 1..to.row).for_each(|row| add(column, row, 2.0, 2.0));
                add(column, from.row + 1, 2.0, label);
            }
            Route::Up { column, side } => {
                (to.row..=from.row).for_each(|row| add(column, row, 2.0, 2.0));
                let (left, right) = if side == Side::Left { (label, 2.0) } else { (2.0, label) };
                add(column, label_row(from, to), left, right);
            }
        }
    }
    reach
}

/// The row where the label of a link that goes back stands.
pub(super) fn label_row(from: Cell, to: Cell) -> usize {
    if from.row == to.row { from.row } else { from.row - 1 }
}

/// The places of the columns: as near to each other as what stands in their cells allows, row by row.
fn columns(graph: &Graph, grid: &Grid, rects: &[Rect], labels: &[Option<String>]) -> BTreeMap<i32, f64> {
    let reach = reach(graph, grid, rects, labels);
    let mut columns = BTreeMap::new();
    // The right and the left edge of what already stands in each row.
    let mut right: Vec<f64> = vec![f64::MIN; grid.rows + 1];
    let mut left: Vec<f64> = vec![f64::MAX; grid.rows + 1];
    let last = reach.keys().map(|(column, _)| *column).max().unwrap_or_default();
    let mut at = 0.0;
    for column in 0..=last {
        let cells: Vec<_> = reach.range((column, 0)..(column + 1, 0)).collect();
        let nearest =
            cells.iter().map(|((_, row), (reaches, _))| right[*row] + BESIDE + reaches).fold(at, f64::max);
        at = nearest;
        for ((_, row), (to_left, to_right)) in cells {
            right[*row] = at + to_right;
            left[*row] = left[*row].min(at - to_left);
        }
        columns.insert(column, at);
        at += BESIDE / 2.0;
    }
    let first = reach.keys().map(|(column, _)| *column).min().unwrap_or_default();
    at = 0.0;
    for column in (first..0).rev() {
        at -= BESIDE / 2.0;
        let cells: Vec<_> = reach.range((column, 0)..(column + 1, 0)).collect();
        at = cells.iter().map(|((_, row), (_, reaches))| left[*row] - BESIDE - reaches).fold(at, f64::min);
        for ((_, row), (to_left, _)) in cells {
            left[*row] = at - to_left;
        }
        columns.insert(column, at);
    }
    columns
}

type Rows = (HashMap<usize, (f64, f64)>, HashMap<usize, Gap>);

/// The places of the rows and of the gaps between them.
fn rows(
    graph: &Graph,
    grid: &Grid,
    rects: &[Rect],
    labels: &[Option<String>],
    columns: &BTreeMap<i32, f64>,
) -> Rows {
    let mut heights: Vec<f64> = vec![0.0; grid.rows + 1];
    for (cell, rect) in grid.nodes.iter().zip(rects) {
        heights[cell.row] = heights[cell.row].max(rect.height);
    }
    let needs = needs(graph, grid, labels, columns);
    let (mut bands, mut gaps) = (HashMap::new(), HashMap::new());
    let mut y = 0.0;
    // The last gap lies below all nodes; lines may turn in it.
    for row in 0..=grid.rows {
        if row % 2 == 0 {
            bands.insert(row, (y, y + heights[row]));
            y += heights[row];
            continue;
        }
        let need = &needs[row];
        let bend = |far: f64| if far == 0.0 { 0.0 } else { (20.0 + far * 0.12).clamp(BENT.0, BENT.1) };
        let bent = y + bend(need.bends_out).max(if need.label { 8.0 } else { 0.0 });
        let labelled = bent + if need.label { LABEL_HEIGHT } else { 0.0 };
        let bottom = labelled + bend(need.bends_in).max(if need.label { 12.0 } else { 0.0 });
        let gap = Gap { top: y, bent, labelled, bottom: bottom.max(y + STRAIGHT) };
        y = gap.bottom;
        gaps.insert(row, gap);
    }
    (bands, gaps)
}

/// What a gap needs room for: how far lines move sideways at its top and at its bottom, and labels.
#[derive(Clone, Default)]
struct Need {
    bends_out: f64,
    label: bool,
    bends_in: f64,
}

fn needs(graph: &Graph, grid: &Grid, labels: &[Option<String>], columns: &BTreeMap<i32, f64>) -> Vec<Need> {
    let mut needs = vec![Need::default(); grid.rows + 2];
    let far = |a: i32, b: i32| {
        let place = |column: i32| columns.get(&column).copied().unwrap_or_default();
        (place(a) - place(b)).abs()
    };
    for (n, link) in graph.links.iter().enumerate() {
        let (from, to) = (grid.nodes[link.from], grid.nodes[link.to]);
        let labelled = labels[n].is_some();
        match grid.routes[n] {
            Route::Down { column } => {
                let out = &mut needs[from.row + 1];
                out.bends_out = out.bends_out.max(far(from.column, column));
                out.label |= labelled;
                let arrival = &mut needs[to.row.saturating_sub(1)];
                arrival.bends_in = arrival.bends_in.max(far(column, to.column));
            }
            Route::Up { column, .. } => {
                needs[label_row(from, to)].label |= labelled;
                // Ends that are not beside the lane are reached from below and from above.
                if !lines::is_beside(grid, from, column) {
                    let out = &mut needs[from.row + 1];
                    out.bends_out = out.bends_out.max(far(from.column, column));
                }
                if !lines::is_beside(grid, to, column) && to.row > 0 {
                    let arrival = &mut needs[to.row - 1];
                    arrival.bends_in = arrival.bends_in.max(far(to.column, column));
                }
            }
        }
    }
    needs
}
