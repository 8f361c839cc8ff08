//! Tools as they are written.

use super::InputSpec;
use crate::diagnostics::{Span, Spanned};
use crate::node::Node;

/// A tool as written.
#[derive(Clone, Debug)]
pub struct ToolSpec {
    /// Its name.
    pub name: Spanned<String>,
    /// Its kind in the registry.
    pub kind: Spanned<String>,
    /// What it does, for who decides whether to call it.
    pub description: Option<String>,
    /// What it takes, where that is listed.
    pub arguments: Option<Vec<InputSpec>>,
    /// What it gives, where that is listed.
    pub results: Option<Vec<InputSpec>>,
    /// Whether a call may be made twice without harm, where that is said.
    pub idempotent: Option<bool>,
    /// Whether somebody has to allow each call, where that is said.
    pub confirm: Option<bool>,
    /// All other keys.
    pub config: Node,
    /// Where it stands.
    pub span: Span,
}
