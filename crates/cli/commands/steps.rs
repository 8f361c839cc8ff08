//! `flowrun steps`: what step types there are.

use flowrun_core::registry::Registry;

use super::{Stop, print_out};

pub(super) fn steps(registry: &Registry, name: Option<&str>, markdown: bool) -> Result<(), Stop> {
    let _ = (registry, name, markdown);
    print_out("")
}
