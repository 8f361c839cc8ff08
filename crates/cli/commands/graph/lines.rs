//! The lines between nodes.

use std::fmt::Write as _;

use super::drawing::{Graph, Link};
use super::grid::{Cell, Grid, Route, Side};
use super::layout::{Frame, Rect, label_row};

/// How long the tip of an arrow is.
const TIP: f64 = 7.0;
/// How far from a node's middle a line leaves its side for a node above; one from below arrives as far above it.
const ASIDE: f64 = 9.0;
const LABEL_GAP: f64 = 7.0;

/// A line with a tip and a label.
pub(super) struct Line {
    start: (f64, f64),
    parts: Vec<Part>,
    /// Which way the tip points.
    pub(super) points_to: Direction,
    pub(super) label: Option<Label>,
}

/// A stretch of a line, from where the last one ended.
enum Part {
    To((f64, f64)),
    /// A cubic curve: two points that draw it, and its end.
    Curve([(f64, f64); 3]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Down,
    Left,
    Right,
}

pub(super) struct Label {
    /// Where the text begins, or ends.
    pub(super) x: f64,
    /// The middle of its height.
    pub(super) y: f64,
    pub(super) ends_here: bool,
    pub(super) text: String,
}

impl Line {
    fn new(start: (f64, f64)) -> Self {
        Self { start, parts: Vec::new(), points_to: Direction::Down, label: None }
    }

    fn to(&mut self, x: f64, y: f64) {
        if self.end() != (x, y) {
            self.parts.push(Part::To((x, y)));
        }
    }

    /// An S from one height to another, upright at both ends.
    fn bend(&mut self, x: f64, y: f64) {
        let (from, middle) = (self.end(), f64::midpoint(self.end().1, y));
        self.parts.push(Part::Curve([(from.0, middle), (x, middle), (x, y)]));
    }

    /// A U whose depth is below the points it joins, or above them where it is negative.
    fn dip(&mut self, x: f64, y: f64, depth: f64) {
        let from = self.end();
        // A cubic curve reaches three quarters of the way to its two points.
        let deep = depth / 0.75;
        self.parts.push(Part::Curve([(from.0, from.1 + deep), (x, y + deep), (x, y)]));
    }

    /// A quarter of a circle to a point, around the corner `by`.
    fn corner(&mut self, by: (f64, f64), x: f64, y: f64) {
        let towards = |from: (f64, f64)| (from.0 + (by.0 - from.0) * 0.55, from.1 + (by.1 - from.1) * 0.55);
        self.parts.push(Part::Curve([towards(self.end()), towards((x, y)), (x, y)]));
    }

    /// The end of the line, which is the tip of its arrow.
    pub(super) fn end(&self) -> (f64, f64) {
        match self.parts.last() {
            Some(Part::To(end) | Part::Curve([_, _, end])) => *end,
            None => self.start,
        }
    }

    /// The points where the line turns, and the deepest of each curve: it lies between the outermost of them.
    pub(super) fn points(&self) -> Vec<(f64, f64)> {
        self.at(&[0.5, 1.0])
    }

    /// Points all along the line.
    #[cfg(test)]
    pub(super) fn samples(&self) -> Vec<(f64, f64)> {
        self.at(&[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    }

    /// The points that lie at these shares of every part.
    fn at(&self, shares: &[f64]) -> Vec<(f64, f64)> {
        let mut from = self.start;
        let mut points = vec![from];
        for part in &self.parts {
            let (a, b, end) = match *part {
                Part::To(end) => (from, end, end),
                Part::Curve([a, b, end]) => (a, b, end),
            };
            for &t in shares {
                let rest = 1.0 - t;
                let along = |p: f64, q: f64, r: f64, s: f64| {
                    rest.powi(3) * p + 3.0 * rest.powi(2) * t * q + 3.0 * rest * t.powi(2) * r + t.powi(3) * s
                };
                points.push((along(from.0, a.0, b.0, end.0), along(from.1, a.1, b.1, end.1)));
            }
            from = end;
        }
        points
    }

    pub(super) fn shift(&mut self, x: f64, y: f64) {
        let shift = |point: &mut (f64, f64)| *point = (point.0 + x, point.1 + y);
        shift(&mut self.start);
        for part in &mut self.parts {
            match part {
                Part::To(end) => shift(end),
                Part::Curve(points) => points.iter_mut().for_each(shift),
            }
        }
        if let Some(label) = &mut self.label {
            (label.x, label.y) = (label.x + x, label.y + y);
        }
    }

    /// The line up to its tip, as an SVG path.
    pub(super) fn path(&self) -> String {
        let mut path = format!("M{}", pair(self.start));
        let last = self.parts.len().saturating_sub(1);
        for (n, part) in self.parts.iter().enumerate() {
            let cut = if n == last { TIP - 1.0 } else { 0.0 };
            let _ = match part {
                Part::To(end) => write!(path, " L{}", pair(self.before_tip(*end, cut))),
                Part::Curve([a, b, end]) => {
                    write!(path, " C{} {} {}", pair(*a), pair(*b), pair(self.before_tip(*end, cut)))
                }
            };
        }
        path
    }

    fn before_tip(&self, end: (f64, f64), cut: f64) -> (f64, f64) {
        match self.points_to {
            Direction::Down => (end.0, end.1 - cut),
            Direction::Left => (end.0 + cut, end.1),
            Direction::Right => (end.0 - cut, end.1),
        }
    }

    /// The tip as an SVG path.
    pub(super) fn tip(&self) -> String {
        let (x, y) = self.end();
        let half = TIP / 2.0;
        let (a, b) = match self.points_to {
            Direction::Down => ((x - half, y - TIP), (x + half, y - TIP)),
            Direction::Left => ((x + TIP, y - half), (x + TIP, y + half)),
            Direction::Right => ((x - TIP, y - half), (x - TIP, y + half)),
        };
        format!("M{} L{} L{}z", pair((x, y)), pair(a), pair(b))
    }
}

/// A point with one digit after the point, as SVG has it.
pub(super) fn pair((x, y): (f64, f64)) -> String {
    format!("{} {}", short(x), short(y))
}

/// A number with one digit after the point at most.
pub(super) fn short(number: f64) -> String {
    let text = format!("{number:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Whether no other node of its row stands between a node and a column outside of all of them.
pub(super) fn is_beside(grid: &Grid, node: Cell, column: i32) -> bool {
    let between = |c: i32| if column < node.column { c < node.column } else { c > node.column };
    !grid.nodes.iter().any(|other| other.row == node.row && between(other.column))
}

/// The lines of all links.
pub(super) fn all(
    graph: &Graph,
    grid: &Grid,
    frame: &Frame,
    rects: &[Rect],
    labels: Vec<Option<String>>,
) -> Vec<Line> {
    let draw = |((link, route), label): ((&Link, &Route), Option<String>)| match *route {
        Route::Down { column } => down(link, grid, frame, rects, column, label),
        Route::Up { column, side } => up(link, grid, frame, rects, column, side, label),
    };
    graph.links.iter().zip(&grid.routes).zip(labels).map(draw).collect()
}

fn down(link: &Link, grid: &Grid, frame: &Frame, rects: &[Rect], column: i32, label: Option<String>) -> Line {
    let (from, to) = (&rects[link.from], &rects[link.to]);
    let (first, last) = (grid.nodes[link.from].row + 1, grid.nodes[link.to].row.saturating_sub(1));
    let (begin, arrive) = (frame.gap(first), frame.gap(last));
    let x = frame.column(column);
    let mut line = Line::new((from.middle(), from.bottom()));
    if (x - from.middle()).abs() > 0.01 {
        line.to(from.middle(), begin.top);
        line.bend(x, begin.bent.max(begin.top + 1.0));
    }
    if (x - to.middle()).abs() > 0.01 {
        line.to(x, arrive.labelled);
        line.bend(to.middle(), arrive.bottom - TIP);
    }
    line.to(to.middle(), to.y);
    line.label = label.map(|text| Label { x: x + LABEL_GAP, y: begin.label_level(), ends_here: false, text });
    line
}

fn up(
    link: &Link,
    grid: &Grid,
    frame: &Frame,
    rects: &[Rect],
    column: i32,
    side: Side,
    label: Option<String>,
) -> Line {
    let (from, to) = (&rects[link.from], &rects[link.to]);
    let (from_cell, to_cell) = (grid.nodes[link.from], grid.nodes[link.to]);
    let x = frame.column(column);
    let side_of = |rect: &Rect| if side == Side::Left { rect.x } else { rect.right() };
    let (leave, arrive) = (from.level() + ASIDE, to.level() - ASIDE);
    let round = (leave - arrive).abs().min(32.0) / 2.0;
    let inward = if side == Side::Left { round } else { -round };

    let mut line;
    if is_beside(grid, from_cell, column) {
        line = Line::new((side_of(from), leave));
        line.to(x + inward, leave);
        line.corner((x, leave), x, leave - round);
    } else {
        let gap = frame.gap(from_cell.row + 1);
        line = Line::new((from.middle(), from.bottom()));
        line.to(from.middle(), gap.top);
        line.dip(x, gap.top, (gap.bent - gap.top).max(12.0) * 0.8);
    }
    if is_beside(grid, to_cell, column) {
        line.to(x, arrive + round);
        line.corner((x, arrive), x + inward, arrive);
        line.to(side_of(to), arrive);
        line.points_to = if side == Side::Left { Direction::Right } else { Direction::Left };
    } else {
        let (top, _) = frame.band(to_cell.row);
        let gap = frame.gap(to_cell.row.saturating_sub(1));
        line.to(x, top);
        line.dip(to.middle(), top, -(gap.bottom - gap.labelled).max(12.0) * 0.8);
        line.to(to.middle(), to.y);
    }
    let row = label_row(from_cell, to_cell);
    let level = if row == from_cell.row { from.level() } else { frame.gap(row).label_level() };
    let (at, ends_here) = if side == Side::Left { (x - LABEL_GAP, true) } else { (x + LABEL_GAP, false) };
    line.label = label.map(|text| Label { x: at, y: level, ends_here, text });
    line
}
