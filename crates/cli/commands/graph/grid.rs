//! Where the nodes and links of a flow stand, in rows and columns that have no sizes yet.
//!
//! A node stands one row below the last of those that lead to it. Between two rows of nodes lies a gap, which is a row
//! of its own: nodes have the even rows, gaps the odd ones. The longest way through the flow is column 0; other nodes
//! stand to its right. A link runs down one column, from the gap below its source to the gap above its target, and no
//! node stands in its way there. A link that goes back runs up beside the nodes, in a column of its own.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet, VecDeque};

use super::drawing::{Graph, Link, Way};

/// The places of a flow's nodes and links.
pub(super) struct Grid {
    /// Of each node.
    pub(super) nodes: Vec<Cell>,
    /// Of each link.
    pub(super) routes: Vec<Route>,
    /// How many rows there are, gaps included.
    pub(super) rows: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cell {
    pub(super) column: i32,
    pub(super) row: usize,
}

/// The way of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Down this column.
    Down { column: i32 },
    /// Up this column, which lies left or right of all nodes of the rows where the link leaves and arrives.
    Up { column: i32, side: Side },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

impl Grid {
    pub(super) fn new(graph: &Graph) -> Self {
        let forward = forward_links(graph);
        let order = Order::new(graph, &forward);
        let mut builder = Builder {
            graph,
            forward: &forward,
            order: &order,
            columns: vec![None; graph.nodes.len()],
            routes: vec![None; graph.links.len()],
            taken: HashMap::new(),
            begun: HashMap::new(),
        };
        builder.place_all();
        builder.route_back();
        let columns = builder.columns.iter().map(|column| column.unwrap_or_default());
        let nodes: Vec<Cell> =
            columns.zip(&order.rows).map(|(column, row)| Cell { column, row: row * 2 }).collect();
        let routes = builder.routes.iter().map(|route| route.unwrap_or(Route::Down { column: 0 })).collect();
        let rows = nodes.iter().map(|cell| cell.row + 1).max().unwrap_or_default();
        Self { nodes, routes, rows }
    }
}

/// Which links lead on, so that those alone never run in a circle. Retry edges are asked last.
fn forward_links(graph: &Graph) -> Vec<bool> {
    let mut leaving: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for (n, link) in graph.links.iter().enumerate() {
        leaving[link.from].push(n);
    }
    let mut forward = plain_forward_links(graph, &leaving);
    for (n, link) in graph.links.iter().enumerate().filter(|(_, link)| link.is_retry()) {
        forward[n] = !reaches(graph, &leaving, &forward, link.to, link.from);
    }
    forward
}

/// Depth first along all links but retry edges: a link to a node that is still being followed goes back.
fn plain_forward_links(graph: &Graph, leaving: &[Vec<usize>]) -> Vec<bool> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Never,
        Followed,
        Done,
    }
    let mut seen = vec![Seen::Never; graph.nodes.len()];
    let mut forward = vec![false; graph.links.len()];
    for root in 0..graph.nodes.len() {
        if seen[root] != Seen::Never {
            continue;
        }
        seen[root] = Seen::Followed;
        let mut path = vec![(root, leaving[root].iter())];
        while let Some((node, rest)) = path.last_mut() {
            let Some(&n) = rest.next() else {
                seen[*node] = Seen::Done;
                path.pop();
                continue;
            };
            let link = &graph.links[n];
            if link.is_retry() || seen[link.to] == Seen::Followed {
                continue;
            }
            forward[n] = true;
            if seen[link.to] == Seen::Never {
                seen[link.to] = Seen::Followed;
                path.push((link.to, leaving[link.to].iter()));
            }
        }
    }
    forward
}

fn reaches(graph: &Graph, leaving: &[Vec<usize>], forward: &[bool], from: usize, to: usize) -> bool {
    let mut seen = HashSet::from([from]);
    let mut next = vec![from];
    while let Some(node) = next.pop() {
        if node == to {
            return true;
        }
        let ahead = leaving[node].iter().filter(|n| forward[**n]).map(|n| graph.links[*n].to);
        next.extend(ahead.filter(|node| seen.insert(*node)));
    }
    false
}

/// The order that the links which lead on give to the nodes.
struct Order {
    /// The row of each node, gaps not counted: one below the last of those that lead to it.
    rows: Vec<usize>,
    /// How many links the longest way from each node to an end has.
    ahead: Vec<usize>,
    /// The links that leave each node and lead on.
    leaving: Vec<Vec<usize>>,
    /// Those that arrive.
    arriving: Vec<Vec<usize>>,
}

impl Order {
    fn new(graph: &Graph, forward: &[bool]) -> Self {
        let count = graph.nodes.len();
        let (mut leaving, mut arriving) = (vec![Vec::new(); count], vec![Vec::new(); count]);
        for (n, link) in graph.links.iter().enumerate().filter(|(n, _)| forward[*n]) {
            leaving[link.from].push(n);
            arriving[link.to].push(n);
        }
        let mut waiting: Vec<usize> = arriving.iter().map(Vec::len).collect();
        let mut ready: VecDeque<usize> = (0..count).filter(|node| waiting[*node] == 0).collect();
        let mut sorted = Vec::with_capacity(count);
        // Only the start is above all others, also where nothing leads to a node.
        let mut rows: Vec<usize> = (0..count).map(|node| usize::from(node > 0)).collect();
        while let Some(node) = ready.pop_front() {
            sorted.push(node);
            for &n in &leaving[node] {
                let to = graph.links[n].to;
                rows[to] = rows[to].max(rows[node] + 1);
                waiting[to] -= 1;
                if waiting[to] == 0 {
                    ready.push_back(to);
                }
            }
        }
        let mut ahead = vec![0; count];
        for &node in sorted.iter().rev() {
            ahead[node] = leaving[node].iter().map(|n| ahead[graph.links[*n].to] + 1).max().unwrap_or_default();
        }
        Self { rows, ahead, leaving, arriving }
    }
}

/// Who has a cell.
#[derive(Clone, PartialEq)]
enum Owner {
    Node,
    /// Links of one kind to one node share a lane.
    Lane {
        to: usize,
        way: Way,
    },
}

struct Builder<'g> {
    graph: &'g Graph,
    forward: &'g [bool],
    order: &'g Order,
    columns: Vec<Option<i32>>,
    routes: Vec<Option<Route>>,
    taken: HashMap<Cell, Owner>,
    /// The gap cells where links begin their lane, and whether one of these has a label.
    begun: HashMap<Cell, bool>,
}

impl Builder<'_> {
    /// Chain after chain: each goes straight down, as far as the flow leads on to nodes that have no place yet.
    fn place_all(&mut self) {
        let mut heads: Vec<usize> = (0..self.graph.nodes.len()).collect();
        heads.sort_by_key(|node| (self.order.rows[*node], *node));
        for head in heads {
            if self.columns[head].is_some() {
                continue;
            }
            let chain = self.chain(head);
            let column = if head == 0 { 0 } else { self.free_column(&chain) };
            for &node in &chain {
                self.columns[node] = Some(column);
                self.taken.insert(Cell { column, row: self.order.rows[node] * 2 }, Owner::Node);
            }
            self.route_straight(&chain, column);
            self.route_forward();
        }
    }

    fn chain(&self, head: usize) -> Vec<usize> {
        let mut chain = vec![head];
        let mut node = head;
        while let Some(next) = self.straight_on(node) {
            chain.push(next);
            node = next;
        }
        chain
    }

    /// The node that stands straight below: the one with the longest way ahead, the following one among equals.
    fn straight_on(&self, node: usize) -> Option<usize> {
        let links = self.order.leaving[node].iter().map(|n| &self.graph.links[*n]);
        let open = links.filter(|link| self.columns[link.to].is_none());
        let best = open.min_by_key(|link| {
            (link.is_aside(), Reverse(self.order.ahead[link.to]), link.to != node + 1, link.to)
        });
        best.map(|link| link.to)
    }

    /// The first column right of the main one that is free for a chain and for the lanes into and out of it.
    fn free_column(&self, chain: &[usize]) -> i32 {
        let rows = &self.order.rows;
        let (Some(&head), Some(&tail)) = (chain.first(), chain.last()) else { return 1 };
        let placed = |node: &usize| self.columns[*node].is_some();
        let from = self.order.arriving[head].iter().map(|n| self.graph.links[*n].from).filter(placed);
        let to = self.order.leaving[tail].iter().map(|n| self.graph.links[*n].to).filter(placed);
        let top = from.map(|node| rows[node] * 2 + 1).min().unwrap_or(rows[head] * 2);
        let bottom = to.map(|node| rows[node] * 2 - 1).max().unwrap_or(rows[tail] * 2);
        (1..=i32::MAX)
            .find(|&column| (top..=bottom).all(|row| !self.taken.contains_key(&Cell { column, row })))
            .unwrap_or(1)
    }

    fn route_straight(&mut self, chain: &[usize], column: i32) {
        for pair in chain.windows(2) {
            let [from, to] = *pair else { continue };
            let straight = self.order.leaving[from].iter().copied().find(|n| self.graph.links[*n].to == to);
            let Some(n) = straight else { continue };
            if self.fits(&self.graph.links[n], column) {
                self.take(n, column);
            }
        }
    }

    /// All links that lead on and whose ends have their places, short ones first.
    fn route_forward(&mut self) {
        let rows = &self.order.rows;
        let mut open: Vec<(usize, usize, i32, i32)> = Vec::new();
        for (n, link) in self.graph.links.iter().enumerate() {
            if let (true, None, Some(from), Some(to)) =
                (self.forward[n], self.routes[n], self.columns[link.from], self.columns[link.to])
            {
                open.push((rows[link.to] - rows[link.from], n, from, to));
            }
        }
        open.sort_unstable();
        for (_, n, from, to) in open {
            let link = &self.graph.links[n];
            let beside = (from.min(to) + 1..).chain(1..);
            let column = [to, from].into_iter().chain(beside).find(|column| self.fits(link, *column));
            self.take(n, column.unwrap_or(to));
        }
    }

    /// The gaps and rows between the ends of a link that leads on.
    fn between(&self, link: &Link) -> std::ops::Range<usize> {
        self.order.rows[link.from] * 2 + 1..self.order.rows[link.to] * 2
    }

    fn fits(&self, link: &Link, column: i32) -> bool {
        let rows = self.between(link);
        let first = Cell { column, row: rows.start };
        // A label must belong to one link: either all that begin here have none, or only one begins.
        let beginning = match self.begun.get(&first) {
            None => true,
            Some(labelled) => !labelled && link.label().is_none(),
        };
        beginning && self.is_free(link, column, rows)
    }

    fn is_free(&self, link: &Link, column: i32, mut rows: std::ops::Range<usize>) -> bool {
        let own = Owner::Lane { to: link.to, way: link.way.clone() };
        rows.all(|row| self.taken.get(&Cell { column, row }).is_none_or(|owner| *owner == own))
    }

    fn take(&mut self, n: usize, column: i32) {
        let link = &self.graph.links[n];
        let rows = self.between(link);
        self.begun.insert(Cell { column, row: rows.start }, link.label().is_some());
        self.take_rows(link, column, rows);
        self.routes[n] = Some(Route::Down { column });
    }

    fn take_rows(&mut self, link: &Link, column: i32, rows: std::ops::Range<usize>) {
        for row in rows {
            let owner = Owner::Lane { to: link.to, way: link.way.clone() };
            self.taken.insert(Cell { column, row }, owner);
        }
    }

    /// The links that go back, short ones first, so that they lie inside of the longer ones.
    fn route_back(&mut self) {
        let rows = &self.order.rows;
        let links = self.graph.links.iter().enumerate().filter(|(n, _)| !self.forward[*n]);
        let mut back: Vec<(usize, usize)> = links.map(|(n, link)| (rows[link.from] - rows[link.to], n)).collect();
        back.sort_unstable();
        for (_, n) in back {
            let link = &self.graph.links[n];
            let span = rows[link.to] * 2..rows[link.from] * 2 + 1;
            let ends = [link.from, link.to].map(|node| (self.columns[node].unwrap_or_default(), rows[node]));
            let outermost = |side: Side| {
                let inside = |(column, row): &(i32, usize)| {
                    let others = self.order.rows.iter().zip(&self.columns).filter(|(r, _)| *r == row);
                    others
                        .filter_map(|(_, c)| *c)
                        .any(|c| if side == Side::Left { c < *column } else { c > *column })
                };
                !ends.iter().any(inside)
            };
            let side = if !outermost(Side::Left) && outermost(Side::Right) { Side::Right } else { Side::Left };
            let begin = |column| Cell { column, row: rows[link.from] * 2 };
            let free = |column: &i32| {
                !self.begun.contains_key(&begin(*column)) && self.is_free(link, *column, span.clone())
            };
            let column = match side {
                Side::Left => (1..=i32::MAX).map(|n: i32| -n).find(free),
                Side::Right => (ends[0].0.max(ends[1].0) + 1..=i32::MAX).find(free),
            };
            let column = column.unwrap_or(-1);
            self.begun.insert(begin(column), true);
            self.take_rows(link, column, span);
            self.routes[n] = Some(Route::Up { column, side });
        }
    }
}
