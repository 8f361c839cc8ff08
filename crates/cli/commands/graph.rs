//! `flowrun graph`: a drawing of a flow.

use std::path::Path;

use flowrun_core::registry::Registry;

use super::{Stop, print_out};
use crate::args::GraphFormat;
use crate::load::load;

pub(super) fn graph(registry: &Registry, file: &Path, format: GraphFormat) -> Result<(), Stop> {
    let _loaded = load(registry, file, None, &[])?;
    let _ = format;
    print_out("")
}
