//! What is wrong with a synthesis before anything is drawn.

use std::fmt;

use flowrun_core::table::SOURCE_ROWS;
use flowrun_core::template::Expression;
use flowrun_core::types::Type;
use indexmap::IndexMap;

use super::fake::{KINDS, type_of_kind};
use super::spec::{Categorical, ColumnSpec, Fake, Mapped, Mapping, Normal, Uniform, Weighted, When};
use crate::nearest::{nearest, suggest};

/// The largest whole number that a float holds exactly together with its neighbours: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A mistake in the columns of a synthesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The way to the mistake below `columns:`, such as `["country", "by"]`.
    pub path: Vec<String>,
    /// What is wrong, a lower-case fragment.
    pub message: String,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "columns.{}: {}", self.path.join("."), self.message)
    }
}

/// All mistakes, in the order of the columns.
pub(super) fn problems(columns: &IndexMap<String, ColumnSpec>) -> Vec<Problem> {
    let mut checker = Checker { columns, column: "", path: Vec::new(), found: Vec::new() };
    if columns.is_empty() {
        checker.report(&[], "there are no columns to make", None);
    }
    for (name, spec) in columns {
        checker.column = name;
        checker.path = vec![name.clone()];
        if name == SOURCE_ROWS {
            let message = format!("the name `{SOURCE_ROWS}` is taken by a hidden column");
            checker.report(&[], &message, Some("take another name".to_owned()));
        }
        checker.spec(spec);
    }
    if checker.found.is_empty()
        && let Err(cycle) = order(columns)
    {
        let way: Vec<_> = cycle.iter().chain(cycle.first()).map(|name| format!("`{name}`")).collect();
        checker.path = cycle.first().cloned().into_iter().collect();
        let message = format!("columns wait for each other: {}", way.join(" needs "));
        checker.report(&[], &message, Some("make one of them without the others".to_owned()));
    }
    checker.found
}

/// The columns' places such that each comes after those that it reads; among equals the written order.
///
/// # Errors
/// The names of a cycle.
pub(super) fn order(columns: &IndexMap<String, ColumnSpec>) -> Result<Vec<usize>, Vec<String>> {
    let reads: Vec<Vec<usize>> = columns
        .values()
        .map(|spec| reads(spec).iter().filter_map(|(_, name)| columns.get_index_of(name.as_str())).collect())
        .collect();
    let mut done = vec![false; columns.len()];
    let mut order = Vec::with_capacity(columns.len());
    while order.len() < columns.len() {
        let next = (0..columns.len()).find(|c| !done[*c] && reads[*c].iter().all(|r| done[*r]));
        let Some(next) = next else { return Err(cycle(columns, &reads, &done)) };
        done[next] = true;
        order.push(next);
    }
    Ok(order)
}

fn cycle(columns: &IndexMap<String, ColumnSpec>, reads: &[Vec<usize>], done: &[bool]) -> Vec<String> {
    let mut way: Vec<usize> = Vec::new();
    let mut at = done.iter().position(|d| !d);
    while let Some(place) = at {
        if let Some(start) = way.iter().position(|w| *w == place) {
            way.drain(..start);
            break;
        }
        way.push(place);
        at = reads[place].iter().copied().find(|r| !done[*r]);
    }
    way.into_iter().filter_map(|place| columns.get_index(place)).map(|(name, _)| name.clone()).collect()
}

/// The other columns that a column reads, each with the way to where it says so.
pub(super) fn reads(spec: &ColumnSpec) -> Vec<(Vec<String>, String)> {
    let by = |names: &[String]| names.iter().map(|n| (vec!["by".to_owned()], n.clone())).collect();
    match spec {
        ColumnSpec::Mapped(m) => by(&m.by),
        ColumnSpec::Joint(j) => by(&j.by),
        ColumnSpec::When(w) => {
            let mut all = vec![(vec!["column".to_owned()], w.column.clone())];
            for (way, branch) in branches(w) {
                all.extend(reads(branch).into_iter().map(|(rest, name)| ([way.clone(), rest].concat(), name)));
            }
            all
        }
        ColumnSpec::Expression(e) => Expression::parse(&e.value).map_or_else(
            |_| Vec::new(),
            |parsed| parsed.variables().iter().map(|v| (vec!["value".to_owned()], v.name.clone())).collect(),
        ),
        _ => Vec::new(),
    }
}

fn branches(when: &When) -> impl Iterator<Item = (Vec<String>, &ColumnSpec)> {
    let is = when.is.iter().map(|(value, spec)| (vec!["is".to_owned(), value.clone()], spec));
    is.chain(when.otherwise.iter().map(|spec| (vec!["else".to_owned()], &**spec)))
}

struct Checker<'a> {
    columns: &'a IndexMap<String, ColumnSpec>,
    column: &'a str,
    path: Vec<String>,
    found: Vec<Problem>,
}

impl Checker<'_> {
    fn report(&mut self, below: &[&str], message: &str, help: Option<String>) {
        let path = self.path.iter().cloned().chain(below.iter().map(|p| (*p).to_owned())).collect();
        self.found.push(Problem { path, message: message.to_owned(), help });
    }

    fn spec(&mut self, spec: &ColumnSpec) {
        match spec {
            ColumnSpec::Categorical(c) => self.categorical(c),
            ColumnSpec::Mapped(m) => self.mapped(m),
            ColumnSpec::Joint(j) => self.parents(&j.by, j.from.as_deref()),
            ColumnSpec::Fake(f) => self.fake(f),
            ColumnSpec::When(w) => self.when(w),
            ColumnSpec::Choice(c) if c.values.is_empty() => {
                self.report(&["values"], "there is nothing to choose from", None);
            }
            ColumnSpec::Uniform(u) => self.uniform(u),
            ColumnSpec::Normal(n) => self.normal(n),
            ColumnSpec::Expression(e) => {
                match Expression::parse(&e.value) {
                    Ok(parsed) => parsed.variables().iter().for_each(|v| self.known("value", &v.name)),
                    Err(error) => self.report(&["value"], &error.to_string(), None),
                }
                if let Some(word) = e.column.as_deref()
                    && Type::from_word(word).is_none()
                {
                    let help = suggest(word, Type::WORDS.iter().copied());
                    self.report(&["type"], &format!("there is no type `{word}`"), Some(help));
                }
            }
            ColumnSpec::Choice(_) | ColumnSpec::Sequence(_) | ColumnSpec::Uuid(_) | ColumnSpec::Constant(_) => {}
        }
    }

    /// A column that is read must be there and be another one.
    fn known(&mut self, key: &str, name: &str) {
        if name == self.column {
            self.report(&[key], &format!("column `{name}` cannot be made from itself"), None);
        } else if !self.columns.contains_key(name) {
            let column = self.column;
            let others = self.columns.keys().map(String::as_str).filter(|other| *other != column);
            let help = suggest(name, others);
            self.report(&[key], &format!("there is no column `{name}` in this table"), Some(help));
        }
    }

    fn parents(&mut self, by: &[String], from: Option<&[String]>) {
        if by.is_empty() {
            self.report(
                &["by"],
                "`by` names no column",
                Some("name at least one column of this table".to_owned()),
            );
        }
        for name in by {
            self.known("by", name);
        }
        if let Some(from) = from
            && from.len() != by.len()
        {
            let message = format!("`from` names {} columns and `by` {}", from.len(), by.len());
            self.report(&["from"], &message, Some("name one column of the seed for each in `by`".to_owned()));
        }
    }

    fn categorical(&mut self, spec: &Categorical) {
        let weights: Vec<f64> = match (&spec.values, &spec.weights) {
            (None, Some(_)) => {
                return self.report(&["weights"], "`weights` are for a list of `values`, and there is none", None);
            }
            (Some(Weighted::Map(_)), Some(_)) => {
                return self.report(&["weights"], "`values` is a map and has its weights already", None);
            }
            (Some(Weighted::List(values)), None) if values.is_empty() => {
                return self.report(&["values"], "there is nothing to choose from", None);
            }
            (None | Some(Weighted::List(_)), None) => return,
            (Some(Weighted::List(values)), Some(weights)) => {
                if values.len() != weights.len() {
                    let message = format!("there are {} values and {} weights", values.len(), weights.len());
                    self.report(&["weights"], &message, None);
                }
                weights.clone()
            }
            (Some(Weighted::Map(map)), None) => map.values().copied().collect(),
        };
        let key = if spec.weights.is_some() { "weights" } else { "values" };
        if spec.column.is_some() {
            self.report(&["column"], "`column` is one of the seed, but the values are given", None);
        }
        if let Some(wrong) = weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
            self.report(&[key], &format!("{wrong} is no weight"), Some("take 0 or a positive number".to_owned()));
        } else if !(weights.iter().sum::<f64>().is_normal()) {
            self.report(&[key], "no value has a weight above 0", None);
        }
    }

    fn mapped(&mut self, spec: &Mapped) {
        self.parents(&spec.by, spec.from.as_deref());
        let Some(values) = &spec.values else { return };
        for (key, given) in
            [("column", spec.column.is_some()), ("from", spec.from.is_some()), ("by_frequency", spec.by_frequency)]
        {
            if given {
                self.report(&[key], &format!("`{key}` is about the seed, but the values are given"), None);
            }
        }
        self.mapping(values, spec.by.len(), &mut vec!["values".to_owned()]);
    }

    /// Every way through a mapping passes one key for each parent and ends in a list with something in it.
    fn mapping(&mut self, mapping: &Mapping, deeper: usize, way: &mut Vec<String>) {
        let place: Vec<String> = way.clone();
        let place: Vec<&str> = place.iter().map(String::as_str).collect();
        match mapping {
            Mapping::Values(_) if deeper > 0 => {
                let message = format!("a map is missing here: `by` names {deeper} more columns");
                self.report(&place, &message, None);
            }
            Mapping::Values(values) if values.is_empty() => self.report(&place, "no value is allowed here", None),
            Mapping::Values(_) => {}
            Mapping::By(_) if deeper == 0 => {
                self.report(&place, "a list is expected here: `by` names no further column", None);
            }
            Mapping::By(map) => {
                for (key, next) in map {
                    way.push(key.clone());
                    self.mapping(next, deeper - 1, way);
                    way.pop();
                }
            }
        }
    }

    fn fake(&mut self, spec: &Fake) {
        if !KINDS.contains(&spec.kind.as_str()) {
            let help = nearest(&spec.kind, KINDS.iter().copied()).map_or_else(
                || format!("there are {}", KINDS.join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.report(&["kind"], &format!("nothing is known about how to make up `{}`", spec.kind), Some(help));
        } else if spec.unique && type_of_kind(&spec.kind) != Type::string() {
            self.report(&["unique"], &format!("`{}` is a number, and `unique` is for text", spec.kind), None);
        }
    }

    fn when(&mut self, spec: &When) {
        self.known("column", &spec.column);
        if spec.is.is_empty() {
            self.report(&["is"], "there is no case", None);
        }
        for (way, branch) in branches(spec) {
            let length = self.path.len();
            self.path.extend(way);
            self.spec(branch);
            self.path.truncate(length);
        }
    }

    fn uniform(&mut self, spec: &Uniform) {
        if !(spec.low.is_finite() && spec.high.is_finite() && (spec.high - spec.low).is_finite()) {
            self.report(&["low"], "the bounds are too far apart for a number", None);
        } else if spec.low > spec.high {
            self.report(&["low"], &format!("`low` ({}) is above `high` ({})", spec.low, spec.high), None);
        } else if spec.integer {
            for (key, bound) in [("low", spec.low), ("high", spec.high)] {
                if bound.fract() != 0.0 || bound.abs() > EXACT {
                    self.report(&[key], &format!("{bound} is no whole number within 2^53"), None);
                }
            }
        }
    }

    fn normal(&mut self, spec: &Normal) {
        if !spec.mean.is_finite() {
            self.report(&["mean"], "the mean is no finite number", None);
        }
        if !(spec.std.is_finite() && spec.std >= 0.0) {
            self.report(&["std"], &format!("the standard deviation {} is not 0 or above", spec.std), None);
        }
        if let (Some(min), Some(max)) = (spec.min, spec.max)
            && min > max
        {
            self.report(&["min"], &format!("`min` ({min}) is above `max` ({max})"), None);
        }
        if spec.round.is_some_and(|digits| digits > 15) {
            self.report(&["round"], "a number has no more than 15 digits to keep", None);
        }
    }
}
