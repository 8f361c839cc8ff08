//! What the benches share: the numbers that are compared with a target, and where they go.

#![allow(dead_code, reason = "each bench uses a part of it")]

pub(crate) mod estimates;

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::{Value, json};

/// The side of the target on which a number has to lie.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// At least this.
    AtLeast(f64),
    /// Less than this.
    Below(f64),
    /// None: the number explains another one.
    None,
}

/// A measured number.
#[derive(Debug)]
pub(crate) struct Number {
    /// What was measured, as the table says it.
    pub(crate) what: String,
    /// What it should be.
    pub(crate) target: Target,
    /// What it is.
    pub(crate) measured: f64,
    /// The unit of both.
    pub(crate) unit: &'static str,
}

impl Number {
    /// A number and its target.
    pub(crate) fn new(what: impl Into<String>, target: Target, measured: f64, unit: &'static str) -> Self {
        Self { what: what.into(), target, measured, unit }
    }

    fn met(&self) -> Option<bool> {
        match self.target {
            Target::AtLeast(least) => Some(self.measured >= least),
            Target::Below(most) => Some(self.measured < most),
            Target::None => None,
        }
    }

    /// `| what | target | measured | met |`
    fn row(&self) -> String {
        let (what, unit) = (&self.what, self.unit);
        let target = match self.target {
            Target::AtLeast(least) => format!("≥ {}", with_unit(least, unit)),
            Target::Below(most) => format!("< {}", with_unit(most, unit)),
            Target::None => "–".to_owned(),
        };
        let met = self.met().map_or("–", |met| if met { "met" } else { "not met" });
        format!("| {what} | {target} | {} | {met} |\n", with_unit(self.measured, unit))
    }

    fn json(&self) -> Value {
        let (relation, target) = match self.target {
            Target::AtLeast(least) => (">=", Some(least)),
            Target::Below(most) => ("<", Some(most)),
            Target::None => ("", None),
        };
        json!({
            "what": self.what, "unit": self.unit, "relation": relation, "target": target,
            "measured": self.measured, "met": self.met(),
        })
    }
}

/// Prints the numbers of a bench as rows of a table, and keeps them for `run.sh`: the rows, and a line of JSON each.
pub(crate) fn report(bench: &str, numbers: &[Number]) -> io::Result<()> {
    let rows: String = numbers.iter().map(Number::row).collect();
    let lines: Vec<String> = numbers.iter().map(|n| n.json().to_string()).collect();
    say(&format!("\n{rows}"));
    let folder = target_folder().join("bench-numbers");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("{bench}.md")), rows)?;
    fs::write(folder.join(format!("{bench}.jsonl")), lines.join("\n") + "\n")
}

/// The folder that cargo builds into.
pub(crate) fn target_folder() -> PathBuf {
    let inside = Path::new(env!("CARGO_TARGET_TMPDIR"));
    inside.parent().unwrap_or(inside).to_owned()
}

/// The middle one, the mean of the two in the middle where their number is even.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let half = numbers.len() / 2;
    match numbers.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => numbers[half],
        _ => f64::midpoint(numbers[half - 1], numbers[half]),
    }
}

/// Prints a line.
#[expect(clippy::print_stdout, reason = "what a bench measures is all that it has to say")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// Three significant digits are more than a shared machine repeats.
fn with_unit(number: f64, unit: &str) -> String {
    let text = match number {
        n if n >= 1e6 => format!("{:.2} M", n / 1e6),
        n if n >= 1e4 => format!("{:.0} k", n / 1e3),
        n if n >= 100.0 => format!("{n:.0}"),
        n if n >= 10.0 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    };
    format!("{text} {unit}").trim_end().to_owned()
}
