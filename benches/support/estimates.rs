//! What criterion measured, read back from the files that it writes.

use std::error::Error;
use std::fs;
use std::path::PathBuf;

use criterion::Criterion;
use serde_json::Value;

use super::target_folder;

fn folder() -> PathBuf {
    target_folder().join("criterion")
}

/// Criterion as the command line sets it, with its files where [`seconds`] finds them.
pub(crate) fn configured() -> Criterion {
    Criterion::default().output_directory(&folder()).configure_from_args()
}

/// The median time of one iteration of a benchmark, as of its last run.
pub(crate) fn seconds(benchmark: &str) -> Result<f64, Box<dyn Error>> {
    let text = fs::read_to_string(folder().join(benchmark).join("new/estimates.json"))?;
    let estimates: Value = serde_json::from_str(&text)?;
    let nanoseconds = estimates["median"]["point_estimate"].as_f64().ok_or("criterion wrote no median")?;
    Ok(nanoseconds / 1e9)
}
