//! Reading a document from its text to a flow.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use flowrun_core::diagnostics::{Diagnostic, Diagnostics, Spanned};
use flowrun_core::node::Node;
use flowrun_core::spec::{DatastoreSpec, DefinitionSpec, FlowSpec, ToolSpec};

use crate::component::{AGENTS, Component, FLOWS, unsupported};
use crate::document::{Document, REFERENCE, first_line, tree};
use crate::flow::Inner;
use crate::names::Names;
use crate::nodes::{Known, OTHER_AGENTS, is_known};
use crate::{ImportOptions, Imported, codes};

/// Definitions of one kind that steps refer to by name: each component is one.
pub(crate) struct Definitions<T> {
    /// The name of each component that was met; none for one with errors.
    pub(crate) known: HashMap<usize, Option<String>>,
    pub(crate) names: Names,
    pub(crate) specs: Vec<T>,
    /// Those that the document calls by one name, by their places.
    pub(crate) namesakes: HashMap<String, Vec<usize>>,
}

impl<T> Default for Definitions<T> {
    fn default() -> Self {
        Self { known: HashMap::new(), names: Names::default(), specs: Vec::new(), namesakes: HashMap::new() }
    }
}

/// What has been read so far.
pub(crate) struct Importer<'a> {
    pub(crate) doc: Document<'a>,
    pub(crate) has_tool: &'a dyn Fn(&str) -> bool,
    /// The flows that were met; none for one with errors.
    pub(crate) flows: RefCell<HashMap<usize, Option<Rc<Inner>>>>,
    /// Those that are being read, the outermost first.
    pub(crate) open: RefCell<Vec<usize>>,
    pub(crate) flow_names: RefCell<Names>,
    /// The flows that are finished, inner ones before those that run them.
    pub(crate) specs: RefCell<Vec<FlowSpec>>,
    pub(crate) models: RefCell<Definitions<DefinitionSpec>>,
    pub(crate) datastores: RefCell<Definitions<DatastoreSpec>>,
    pub(crate) tools: RefCell<Definitions<ToolSpec>>,
    /// The tools that were met; none for one with errors.
    pub(crate) known_tools: RefCell<HashMap<usize, Option<Known>>>,
}

pub(crate) fn import(text: &[u8], options: &ImportOptions<'_>) -> Result<Imported, Diagnostics> {
    let mut found = Diagnostics::new();
    let mut read = |name: &str, text: &[u8]| match tree(name, text) {
        Ok((node, warnings)) => {
            found.extend(warnings);
            Some(node)
        }
        Err(wrong) => {
            found.extend(wrong);
            None
        }
    };
    let root = read(&options.source, text);
    let files: Vec<Option<Node>> = options.components.iter().map(|(name, text)| read(name, text)).collect();
    let (Some(root), Some(files)) = (root, files.into_iter().collect::<Option<Vec<Node>>>()) else {
        return Err(found);
    };
    let importer = Importer {
        doc: Document::new(&root, &files, options),
        has_tool: options.has_tool,
        flows: RefCell::default(),
        open: RefCell::default(),
        flow_names: RefCell::default(),
        specs: RefCell::default(),
        models: RefCell::default(),
        datastores: RefCell::default(),
        tools: RefCell::default(),
        known_tools: RefCell::default(),
    };
    importer.doc.check_version(&root);
    let top = importer.top(&root);
    let Importer { doc, specs, models, datastores, tools, .. } = importer;
    let (problems, secrets) = doc.finish();
    found.extend(problems);
    let warnings = found.sorted().into_result()?;
    match top.and_then(|_| specs.into_inner().split_off_last()) {
        Some((mut spec, inner)) => {
            spec.flows = inner.into_iter().map(|flow| (flow.name.clone(), flow)).collect();
            spec.models = models.into_inner().specs;
            spec.datastores = datastores.into_inner().specs;
            spec.tools = tools.into_inner().specs;
            Ok(Imported { spec, warnings, secrets })
        }
        None => Err(warnings),
    }
}

/// The last of a list, and those before it.
trait SplitOffLast<T> {
    fn split_off_last(self) -> Option<(T, Vec<T>)>;
}

impl<T> SplitOffLast<T> for Vec<T> {
    fn split_off_last(mut self) -> Option<(T, Self)> {
        let last = self.pop()?;
        Some((last, self))
    }
}

impl<'a> Importer<'a> {
    /// The flow of a whole document.
    fn top(&self, root: &'a Node) -> Option<Rc<Inner>> {
        if root.entries().is_none() || (root.get("component_type").is_none() && root.get(REFERENCE).is_none()) {
            let message = "the document is no component: it has no `component_type`";
            self.doc.error(codes::NO_COMPONENT, message, &first_line(&root.span));
            return None;
        }
        let c = self.doc.any_component(root, "the document", "a flow")?;
        if FLOWS.kinds.contains(&c.kind) {
            return self.flow(c);
        }
        if AGENTS.kinds.contains(&c.kind) {
            return self.agent_flow(c);
        }
        self.doc.report(no_flow(c));
        None
    }
}

/// That a component is nothing that runs.
fn no_flow(c: Component<'_>) -> Diagnostic {
    if is_known(c.kind) && !OTHER_AGENTS.contains(&c.kind) {
        let message = format!("the document is a `{}`; what runs is a `Flow` or an `Agent`", c.kind);
        return Diagnostic::error(codes::NO_COMPONENT, message, c.span);
    }
    unsupported(c)
}

/// A name with the place that it has in the document.
pub(crate) fn named(name: &str, c: Component<'_>) -> Spanned<String> {
    Spanned::new(name.to_owned(), first_line(c.name_span()))
}
