//! Putting nodes together from events, within the limits.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use flowrun_core::diagnostics::{Diagnostic, Source, Span};
use flowrun_core::node::{Entry, Node, NodeKind};
use serde_saphyr::granit_parser::{self, ScalarStyle};

use super::Stop;
use super::file::{Files, InlinedFile};
use super::interpolate::{Fault, interpolate};
use super::merge::{self, Slot};
use super::scalar::{self, NumberFault};
use crate::codes;
use crate::options::ParseOptions;
use crate::problems::{Problems, first_line, quoted, suggest};

/// A tag as written, with its place.
pub(super) struct Tag {
    name: String,
    range: Range<usize>,
}

impl Tag {
    /// The tag of a node at `node`, in whose place it is shown where it has none of its own.
    pub(super) fn new(tag: &granit_parser::Tag, range: Option<Range<usize>>, node: &Range<usize>) -> Self {
        Self { name: tag.original(), range: range.unwrap_or_else(|| node.clone()) }
    }
}

/// What an open list or mapping holds so far.
pub(super) enum Content {
    List(Vec<Node>),
    Map { slots: Vec<Slot>, key: Option<Key> },
}

impl Content {
    pub(super) fn list() -> Self {
        Self::List(Vec::new())
    }

    pub(super) fn map() -> Self {
        Self::Map { slots: Vec::new(), key: None }
    }
}

/// A key that waits for its value.
pub(super) enum Key {
    Text(Arc<str>, Span),
    Merge(Span),
    /// A problem says why; the value is read and dropped.
    Refused,
}

/// An open list or mapping.
struct Frame {
    start: usize,
    /// Where the last child ends.
    end: usize,
    anchor: usize,
    size: usize,
    height: usize,
    content: Content,
}

/// A finished node, with how many nodes it is made of and how deep it goes.
#[derive(Clone)]
struct Built {
    node: Node,
    size: usize,
    height: usize,
}

/// Builds the tree of one document.
pub(super) struct Builder<'a> {
    source: &'a Arc<Source>,
    options: &'a ParseOptions<'a>,
    problems: &'a mut Problems,
    files: Files<'a>,
    open: Vec<Frame>,
    root: Option<Node>,
    anchors: HashMap<usize, Built>,
    anchor_names: Vec<String>,
    nodes: usize,
    alias_nodes: usize,
    anchored_nodes: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new(source: &'a Arc<Source>, options: &'a ParseOptions<'a>, problems: &'a mut Problems) -> Self {
        Self {
            source,
            options,
            problems,
            files: Files::new(options),
            open: Vec::new(),
            root: None,
            anchors: HashMap::new(),
            anchor_names: Vec::new(),
            nodes: 0,
            alias_nodes: 0,
            anchored_nodes: 0,
        }
    }

    /// The root, if there was one, and the files that were taken in.
    pub(super) fn finish(self) -> (Option<Node>, Vec<InlinedFile>) {
        (self.root, self.files.read)
    }

    pub(super) fn problem(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// Remembers the name of an anchor, to propose it where an alias names none.
    pub(super) fn anchor_name(&mut self, name: &str) {
        self.anchor_names.push(name.to_owned());
    }

    /// A list or mapping begins.
    pub(super) fn open(
        &mut self,
        content: Content,
        anchor: usize,
        tag: Option<Tag>,
        range: Range<usize>,
    ) -> Result<(), Stop> {
        self.count(1, &range)?;
        if self.open.len() >= self.options.limits.depth {
            return Err(self.over("is nested too deeply", self.options.limits.depth, "levels", range));
        }
        if let Some(tag) = tag {
            self.refuse_tag(&tag, true);
        }
        self.open.push(Frame { start: range.start, end: range.end, anchor, size: 1, height: 1, content });
        Ok(())
    }

    /// A list or mapping ends; `range` is its closing bracket, or empty.
    pub(super) fn close(&mut self, range: &Range<usize>) -> Result<(), Stop> {
        let Some(frame) = self.open.pop() else {
            return Ok(());
        };
        let end = if range.is_empty() { frame.end } else { range.end };
        let kind = match frame.content {
            Content::List(items) => NodeKind::List(items),
            Content::Map { slots, .. } => NodeKind::Map(merge::close(slots, self.problems)),
        };
        let node = Node::new(kind, self.at(frame.start..end.max(frame.start)));
        let built = Built { node, size: frame.size, height: frame.height };
        self.remember(frame.anchor, &built)?;
        self.place(built);
        Ok(())
    }

    /// A scalar, as a key or as a value.
    pub(super) fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<Tag>,
        range: Range<usize>,
    ) -> Result<(), Stop> {
        if self.wants_key() {
            let key = self.key(text, style, tag, &range);
            if anchor != 0 {
                let node = Node::new(NodeKind::String(text.into()), self.at(range));
                self.remember(anchor, &Built { node, size: 1, height: 0 })?;
            }
            self.set_key(key);
            return Ok(());
        }
        self.count(1, &range)?;
        let node = match tag {
            Some(tag) if tag.name == "!file" && !self.options.plain => {
                self.inline(text, tag.range.start..range.end)
            }
            Some(tag) => {
                self.refuse_tag(&tag, false);
                self.value(text, style, range)
            }
            None => self.value(text, style, range),
        };
        let built = Built { node, size: 1, height: 0 };
        self.remember(anchor, &built)?;
        self.place(built);
        Ok(())
    }

    /// An alias: a copy of what its anchor marks, in the place of the alias.
    pub(super) fn alias(&mut self, anchor: usize, range: Range<usize>) -> Result<(), Stop> {
        let limits = &self.options.limits;
        let Some(mut built) = self.anchors.get(&anchor).cloned() else {
            self.count(1, &range)?;
            let problem = self.error("an alias inside of what it stands for", &range);
            let help = "move the anchor `&name` to a part that does not hold the alias";
            self.refused_value(problem.help(help), range);
            return Ok(());
        };
        self.alias_nodes = self.alias_nodes.saturating_add(built.size);
        if self.alias_nodes > limits.alias_nodes {
            return Err(self.over("grows too large through aliases", limits.alias_nodes, "values", range));
        }
        if self.open.len() + built.height > limits.depth {
            return Err(self.over("is nested too deeply", limits.depth, "levels", range));
        }
        self.count(built.size, &range)?;
        if self.wants_key() {
            let problem = self.error("an alias cannot be a key", &range).help("write the key itself");
            self.problems.push(problem);
            self.set_key(Key::Refused);
            return Ok(());
        }
        if !self.problems.is_sound(&built.node.span.range()) {
            self.problems.mark_unsound(range.clone());
        }
        built.node.span = self.at(range);
        self.place(built);
        Ok(())
    }

    /// An alias that no anchor before it explains.
    pub(super) fn unknown_alias(&mut self, name: &str, range: Range<usize>) -> Result<(), Stop> {
        self.count(1, &range)?;
        let problem =
            self.error(&format!("no anchor {} stands before this alias", quoted(&format!("&{name}"))), &range);
        let problem = suggest(problem, name, self.anchor_names.iter().map(String::as_str));
        self.refused_value(problem.help("a text that begins with `*` must be quoted"), range);
        Ok(())
    }

    /// Puts nothing in the place of what a problem refuses.
    fn refused_value(&mut self, problem: Diagnostic, range: Range<usize>) {
        self.problems.push_unsound(problem, range.clone());
        if self.wants_key() {
            self.set_key(Key::Refused);
        } else {
            self.place(Built { node: Node::new(NodeKind::Null, self.at(range)), size: 1, height: 0 });
        }
    }

    fn key(&mut self, text: &str, style: ScalarStyle, tag: Option<Tag>, range: &Range<usize>) -> Key {
        if let Some(tag) = tag {
            let problem = self.error(&format!("a key cannot have the tag {}", quoted(&tag.name)), &tag.range);
            self.problems.push(problem);
            return Key::Refused;
        }
        if style == ScalarStyle::Plain && range.is_empty() {
            let problem = self.error("a key is missing", range).help("write `key: value`");
            self.problems.push(problem);
            return Key::Refused;
        }
        if style == ScalarStyle::Plain && text == "<<" {
            return Key::Merge(self.at(range.clone()));
        }
        Key::Text(text.into(), self.at(range.clone()))
    }

    /// An untagged scalar in the place of a value.
    fn value(&mut self, text: &str, style: ScalarStyle, range: Range<usize>) -> Node {
        let plain = style == ScalarStyle::Plain;
        // The parser writes `~` where nothing is written.
        let text = if plain && range.is_empty() { "" } else { text };
        let range = range.start..range.start + self.written(&range).trim_end().len();
        let Some(text) = self.interpolated(text, &range) else {
            return Node::new(NodeKind::String(text.into()), self.at(range));
        };
        if !plain {
            return Node::new(NodeKind::String(text.as_ref().into()), self.at(range));
        }
        if scalar::has_leading_zero(&text) {
            let place = self.at(range.clone());
            let message = "the leading zeros of this number are lost";
            self.problems.push(
                Diagnostic::warning(codes::LEADING_ZERO, message, &place).help("quote it where text is meant"),
            );
        }
        let kind = scalar::resolve(&text).unwrap_or_else(|fault| {
            let (message, help) = match fault {
                NumberFault::TooLarge => ("an integer of more than 64 bits", "quote it where text is meant"),
                NumberFault::NotFinite => {
                    ("a number that is not finite", "a flow holds finite numbers; quote it where text is meant")
                }
            };
            let problem = Diagnostic::error(codes::WRONG_KIND, message, &self.at(range.clone())).help(help);
            self.problems.push_unsound(problem, range.clone());
            NodeKind::Null
        });
        Node::new(kind, self.at(range))
    }

    /// The text with the environment's values in it; nothing where one is missing.
    fn interpolated<'t>(&mut self, text: &'t str, range: &Range<usize>) -> Option<Cow<'t, str>> {
        if self.options.plain || !text.contains("${") {
            return Some(text.into());
        }
        let faults = match interpolate(text, self.options.env) {
            Ok(text) => return Some(text.into()),
            Err(faults) => faults,
        };
        for fault in faults {
            let problem = match fault {
                Fault::Unset(name) => {
                    let place = self.variable(&name, range);
                    let message = format!("the environment variable {} is not set", quoted(&name));
                    Diagnostic::error(codes::ENVIRONMENT, message, &place)
                        .help(format!("set it, or give a default: `${{{name}:-default}}`"))
                }
                Fault::Malformed => {
                    let place = first_line(&self.at(range.clone()));
                    Diagnostic::error(codes::WRONG_KIND, "`${` begins no environment variable", &place)
                        .help("write `${NAME}` or `${NAME:-default}`, and `$${` for the text `${`")
                }
            };
            self.problems.push(problem);
        }
        self.problems.mark_unsound(range.clone());
        None
    }

    /// The place of `${NAME` within a scalar.
    fn variable(&self, name: &str, scalar: &Range<usize>) -> Span {
        let written = self.written(scalar);
        let found = ["}", ":"].iter().find_map(|end| written.find(&format!("${{{name}{end}")));
        match found {
            Some(at) => {
                let length = written[at..].find('}').map_or(0, |end| end + 1);
                self.at(scalar.start + at..scalar.start + at + length)
            }
            None => first_line(&self.at(scalar.clone())),
        }
    }

    /// `!file PATH`.
    fn inline(&mut self, path: &str, range: Range<usize>) -> Node {
        let span = self.at(range.clone());
        let written = path;
        let Some(path) = self.interpolated(path, &range) else {
            return Node::new(NodeKind::String("".into()), span);
        };
        match self.files.get(&path, written) {
            Ok(text) => Node { kind: NodeKind::String(text.value), span, inlined: Some(text.source) },
            Err(refusal) => {
                let problem =
                    Diagnostic::error(codes::FILE, refusal.message, &first_line(&span)).help(refusal.help);
                self.problems.push_unsound(problem, range);
                Node::new(NodeKind::String("".into()), span)
            }
        }
    }

    fn refuse_tag(&mut self, tag: &Tag, is_collection: bool) {
        let problem = if is_collection && tag.name == "!file" {
            self.error("`!file` takes a path, not a list or a mapping", &tag.range).help("write `!file PATH`")
        } else {
            self.error(&format!("unknown tag {}", quoted(&tag.name)), &tag.range)
                .help("the only tag is `!file PATH`; quote a scalar to make it text")
        };
        self.problems.push(problem);
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Frame { content: Content::Map { key: None, .. }, .. }))
    }

    fn set_key(&mut self, found: Key) {
        if let Some(Frame { content: Content::Map { key, .. }, .. }) = self.open.last_mut() {
            *key = Some(found);
        }
    }

    /// Puts a finished node where it belongs.
    fn place(&mut self, built: Built) {
        if self.wants_key() {
            let problem = self.key_of_brackets(&built.node);
            self.problems.push(problem);
            self.set_key(Key::Refused);
            return;
        }
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(built.node);
            return;
        };
        frame.size = frame.size.saturating_add(built.size);
        frame.height = frame.height.max(built.height + 1);
        frame.end = frame.end.max(built.node.span.range().end);
        match &mut frame.content {
            Content::List(items) => items.push(built.node),
            Content::Map { slots, key } => match key.take() {
                Some(Key::Text(key, key_span)) => {
                    frame.end = frame.end.max(key_span.range().end);
                    slots.push(Slot::Entry(Entry { key, key_span, value: built.node }));
                }
                Some(Key::Merge(key_span)) => slots.push(Slot::Merge { key_span, value: built.node }),
                Some(Key::Refused) | None => {}
            },
        }
    }

    fn key_of_brackets(&self, key: &Node) -> Diagnostic {
        let range = key.span.range();
        let place = first_line(&key.span);
        let problem = Diagnostic::error(codes::SYNTAX, format!("a key cannot be a {}", key.type_name()), &place);
        match self.source.text.get(range.start.saturating_sub(1)..range.start) {
            Some("{") => problem.help("a text that begins with `{{` must be quoted"),
            _ => problem.help("a key is a name, such as `name: value`"),
        }
    }

    /// Keeps a copy of what has an anchor. The copies are limited too: anchors within anchors multiply them.
    fn remember(&mut self, anchor: usize, built: &Built) -> Result<(), Stop> {
        if anchor == 0 {
            return Ok(());
        }
        self.anchored_nodes = self.anchored_nodes.saturating_add(built.size);
        let limit = self.options.limits.nodes;
        if self.anchored_nodes > limit {
            return Err(self.over("has too much under anchors", limit, "values", built.node.span.range()));
        }
        self.anchors.insert(anchor, built.clone());
        Ok(())
    }

    fn count(&mut self, more: usize, range: &Range<usize>) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(more);
        let limit = self.options.limits.nodes;
        if self.nodes > limit {
            return Err(self.over("is too large", limit, "values", range.clone()));
        }
        Ok(())
    }

    fn over(&mut self, what: &str, limit: usize, unit: &str, range: Range<usize>) -> Stop {
        let place = first_line(&self.at(range));
        let problem = Diagnostic::error(codes::OVER_LIMIT, format!("the document {what}"), &place);
        self.problems
            .push(problem.help(format!("at most {limit} {unit}; keep data in files of its own that steps read")));
        Stop
    }

    fn error(&self, message: &str, range: &Range<usize>) -> Diagnostic {
        Diagnostic::error(codes::SYNTAX, message, &self.at(range.clone()))
    }

    fn at(&self, range: Range<usize>) -> Span {
        Span::new(self.source, range)
    }

    fn written(&self, range: &Range<usize>) -> &'a str {
        self.source.text.get(range.clone()).unwrap_or_default()
    }
}
