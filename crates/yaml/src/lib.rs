//! Native flow files: YAML text to a [`FlowSpec`] whose every part knows its place.
//!
//! Two stages, and each collects all the problems it finds: [`parse_node`] reads text into a tree of
//! [`Node`]s (YAML 1.2, environment variables, `!file`), then the decoders read the tree into a [`FlowSpec`].
//! [`parse`] does both. [`document_schema`] describes the same format to an editor; its descriptions stand in the
//! tables that the decoders know their keys from.

pub mod codes;
mod decode;
mod options;
mod problems;
mod schema;
mod tree;
mod write;

use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::node::Node;
use flowrun_core::spec::FlowSpec;

pub use codes::CODES;
pub use options::{Limits, ParseOptions};
pub use problems::{SECRET_KEYS, is_secret_key};
pub use schema::{StepSchema, document_schema};
pub use tree::InlinedFile;
pub use write::to_yaml;

use problems::Problems;

/// A file that was parsed.
#[derive(Clone, Debug)]
pub struct Parsed {
    /// The flow.
    pub spec: FlowSpec,
    /// What is allowed but was probably meant otherwise.
    pub warnings: Diagnostics,
    /// The files that `!file` took in, each once, in the order in which they are named first.
    pub files: Vec<InlinedFile>,
}

/// A text that was read into a tree.
#[derive(Clone, Debug)]
pub struct ParsedNode {
    /// The root.
    pub node: Node,
    /// What is allowed but was probably meant otherwise.
    pub warnings: Diagnostics,
    /// The files that `!file` took in, each once, in the order in which they are named first.
    pub files: Vec<InlinedFile>,
}

/// Reads a flow file.
///
/// # Errors
/// All problems of the file, in the order of their places. After a mistake in the YAML itself only those before it.
pub fn parse(text: impl AsRef<[u8]>, options: &ParseOptions<'_>) -> Result<Parsed, Diagnostics> {
    let mut problems = Problems::new(options.limits.problems);
    let tree = tree::read(text.as_ref(), options, &mut problems);
    let spec = tree.as_ref().map(|tree| decode::flow_file(&tree.node, options, &mut problems));
    let warnings = problems.into_diagnostics().into_result()?;
    match (tree, spec) {
        (Some(tree), Some(spec)) => Ok(Parsed { spec, warnings, files: tree.files }),
        _ => Err(warnings),
    }
}

/// Reads a YAML text into a tree, without asking what it means.
///
/// # Errors
/// All problems of the text, in the order of their places. After a mistake in the YAML itself only those before it.
pub fn parse_node(text: impl AsRef<[u8]>, options: &ParseOptions<'_>) -> Result<ParsedNode, Diagnostics> {
    let mut problems = Problems::new(options.limits.problems);
    let tree = tree::read(text.as_ref(), options, &mut problems);
    let warnings = problems.into_diagnostics().into_result()?;
    match tree {
        Some(tree) => Ok(ParsedNode { node: tree.node, warnings, files: tree.files }),
        None => Err(warnings),
    }
}
