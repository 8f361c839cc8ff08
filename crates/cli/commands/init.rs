//! `flowrun init`: a folder with a flow that runs.

use std::path::Path;

use super::Stop;
use crate::args::InitKind;
use crate::render::Screen;

pub(super) fn init(kind: InitKind, dir: &Path, screen: &Screen) -> Result<(), Stop> {
    let _ = (kind, dir, screen);
    Ok(())
}
