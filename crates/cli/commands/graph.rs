//! `flowrun graph`: a drawing of a flow.

mod dot;
mod drawing;
mod grid;
mod layout;
mod lines;
mod mermaid;
mod metrics;
mod panels;
mod svg;

use std::path::{Path, PathBuf};

use flowrun_core::registry::Registry;

use super::{Stop, print_out};
use crate::args::GraphFormat;
use crate::load::{Around, all_flows, load};
use drawing::Drawing;

pub(super) fn graph(
    registry: &Registry,
    file: &Path,
    components: &[PathBuf],
    format: GraphFormat,
) -> Result<(), Stop> {
    let loaded = load(registry, file, Around { components, ..Around::default() })?;
    let drawing = Drawing::new(&all_flows(&loaded.compiled.flow));
    print_out(&match format {
        GraphFormat::Mermaid => mermaid::text(&drawing),
        GraphFormat::Dot => dot::text(&drawing),
        GraphFormat::Svg => svg::text(&drawing),
    })
}

#[cfg(test)]
mod tests;
