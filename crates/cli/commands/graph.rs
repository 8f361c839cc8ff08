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

use std::path::Path;

use flowrun_core::registry::Registry;

use super::{Stop, print_out};
use crate::args::GraphFormat;
use crate::load::{all_flows, load};
use drawing::Drawing;

pub(super) fn graph(registry: &Registry, file: &Path, format: GraphFormat) -> Result<(), Stop> {
    let loaded = load(registry, file, None, &[])?;
    let drawing = Drawing::new(&all_flows(&loaded.compiled.flow));
    print_out(&match format {
        GraphFormat::Mermaid => mermaid::text(&drawing),
        GraphFormat::Dot => dot::text(&drawing),
        GraphFormat::Svg => svg::text(&drawing),
    })
}

#[cfg(test)]
mod tests;
