//! Properties: ports, variables and columns as JSON schemas with a title.

use std::collections::HashSet;

use flowrun_core::cast::{cast, parse_scalar};
use flowrun_core::diagnostics::{Diagnostic, Span};
use flowrun_core::node::{Node, NodeKind};
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use indexmap::IndexMap;

use crate::castable::{Form, Others, Shape, fits, union};
use crate::codes;
use crate::component::Component;
use crate::document::{Document, first_line};

/// Types within types, at most.
const DEEPEST: usize = 32;

/// The key by which a property says that its value is kept nowhere and shown to nobody.
pub(crate) const SECRET: &str = "x-flowrun-secret";

/// Our own key for the inputs of a node that have a default only because others want one where no edge leads, each with
/// whether null was added to its type for that.
pub(crate) const UNFED: &str = "unfed";

/// Members of a union, at most.
const MOST_MEMBERS: usize = 100;

/// Characters that no title has.
pub(crate) const FORBIDDEN: &[char] = &['.', ',', '{', '}', ' ', '\n', '\'', '"'];

/// A port, a variable or a column.
#[derive(Clone, Debug)]
pub(crate) struct Property {
    pub(crate) title: String,
    pub(crate) shape: Shape,
    pub(crate) default: Option<Value>,
    pub(crate) description: Option<String>,
    /// Whether it says, by a key of our own, that its value is kept nowhere and shown to nobody.
    pub(crate) secret: bool,
    pub(crate) span: Span,
}

impl Property {
    /// One that no document writes.
    pub(crate) fn new(title: &str, shape: Shape, span: &Span) -> Self {
        Self {
            title: title.to_owned(),
            shape,
            default: None,
            description: None,
            secret: false,
            span: span.clone(),
        }
    }

    #[must_use]
    pub(crate) fn or(mut self, default: impl Into<Value>) -> Self {
        self.default = Some(default.into());
        self
    }

    #[must_use]
    pub(crate) fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }
}

/// The property of this title.
pub(crate) fn find<'p>(all: &'p [Property], title: &str) -> Option<&'p Property> {
    all.iter().find(|property| property.title == title)
}

impl<'a> Document<'a> {
    /// The properties in a field; nothing where it is missing or null.
    pub(crate) fn properties(&self, c: Component<'a>, field: &str) -> Option<Vec<Property>> {
        let node = self.get(c, field)?;
        let Some(items) = node.items() else {
            self.wrong_field(field, "a list of properties", node);
            return None;
        };
        let mut found: Vec<Property> =
            items.iter().filter_map(|item| self.property(self.resolve(item)?)).collect();
        if field == "inputs" {
            for property in &mut found {
                let Some(unfed) = c.own(UNFED).and_then(|unfed| unfed.get(&property.title)) else { continue };
                property.default = None;
                if unfed.kind == NodeKind::Bool(true) {
                    property.shape = property.shape.without_null();
                }
            }
        }
        let mut seen = HashSet::new();
        for property in &found {
            if !seen.insert(property.title.as_str()) {
                let message = format!("`{field}` of `{}` names `{}` twice", c.name(), property.title);
                self.error(codes::OTHER_PORTS, message, &property.span);
            }
        }
        Some(found)
    }

    /// A property with its title.
    pub(crate) fn property(&self, node: &'a Node) -> Option<Property> {
        let Some(title) = node.get("title") else {
            self.error(codes::BAD_PROPERTY, "a property has no `title`", &first_line(&node.span));
            return None;
        };
        let wrong = |message: String| {
            self.error(codes::BAD_PROPERTY, message, &first_line(&title.span));
            None
        };
        match title.as_str() {
            None => wrong(format!("`title` is a text, not a {}", title.type_name())),
            Some("") => wrong("the `title` of a property is empty".to_owned()),
            Some(text) if text.contains(FORBIDDEN) => wrong(format!("`{text}` is no title of a property")),
            Some(text) => self.untitled(node, text, &title.span),
        }
    }

    /// A property that something else names.
    pub(crate) fn untitled(&self, node: &'a Node, title: &str, span: &Span) -> Option<Property> {
        let mut shape = self.shape(node, 0)?;
        let default = match node.entry("default") {
            None => None,
            Some(entry) => {
                let value = entry.value.to_value();
                if value.is_null() {
                    shape = shape.or_null();
                }
                // What JSON has no type for is written as a text.
                let value = match value.as_str() {
                    Some(text) => {
                        parse_scalar(text, &shape.to_type().without_null().kind).ok().flatten().unwrap_or(value)
                    }
                    None => value,
                };
                let fitted = Some(value).filter(|v| fits(v, &shape)).and_then(|v| cast(v, &loose(&shape)).ok());
                if fitted.is_none() {
                    let message = format!("the default of `{title}` is no {}", shape.to_type());
                    self.error(codes::BAD_DEFAULT, message, &first_line(&entry.value.span));
                }
                fitted
            }
        };
        let description = node.get("description").and_then(Node::as_str).map(str::to_owned);
        let secret = node.get(SECRET).is_some_and(|said| said.kind == NodeKind::Bool(true));
        Some(Property { title: title.to_owned(), shape, default, description, secret, span: span.clone() })
    }

    /// What a JSON schema says.
    pub(crate) fn shape(&self, node: &'a Node, depth: usize) -> Option<Shape> {
        if depth > DEEPEST {
            self.error(codes::BAD_PROPERTY, "types are nested too deeply", &first_line(&node.span));
            return None;
        }
        if node.entries().is_none() {
            let message = format!("a type is a mapping, not a {}", node.type_name());
            self.error(codes::BAD_PROPERTY, message, &first_line(&node.span));
            return None;
        }
        if let Some(own) = node.get("x-flowrun-type").and_then(Node::as_str).and_then(Type::from_word) {
            return Some(Form::Own(own).into());
        }
        for key in ["allOf", "oneOf", "$ref"] {
            if let Some(entry) = node.entry(key) {
                let message = format!("`{key}` is not read; the value may be any");
                self.warn(codes::NO_EFFECT, message, &entry.key_span);
                return Some(Shape::any());
            }
        }
        let mut shape = match (node.get("anyOf"), node.get("type")) {
            (Some(members), _) => self.members(members, depth)?,
            (None, None) => Shape::any(),
            (None, Some(word)) => match &word.kind {
                NodeKind::List(words) => {
                    let each = words.iter().map(|word| self.word(node, word, depth));
                    union(each.collect::<Option<Vec<_>>>()?)
                }
                _ => self.word(node, word, depth)?,
            },
        };
        if let Some(values) = node.get("enum").and_then(Node::items).filter(|items| !items.is_empty()) {
            shape.one_of = Some(values.iter().map(Node::to_value).collect());
        }
        let bound = |key: &str| node.get(key).and_then(|bound| bound.to_value().as_f64());
        shape.minimum = bound("minimum");
        shape.maximum = bound("maximum");
        Some(shape)
    }

    fn members(&self, members: &'a Node, depth: usize) -> Option<Shape> {
        let items = members.items().filter(|items| !items.is_empty() && items.len() <= MOST_MEMBERS);
        let Some(items) = items else {
            let message = format!("`anyOf` is a list of 1 to {MOST_MEMBERS} types");
            self.error(codes::BAD_PROPERTY, message, &first_line(&members.span));
            return None;
        };
        let each = items.iter().map(|item| self.shape(item, depth + 1));
        Some(union(each.collect::<Option<Vec<_>>>()?))
    }

    fn word(&self, node: &'a Node, word: &'a Node, depth: usize) -> Option<Shape> {
        let form = match word.as_str() {
            Some("string") => Form::String,
            Some("integer") => Form::Integer,
            Some("number") => Form::Number,
            Some("boolean") => Form::Boolean,
            Some("null") => Form::Null,
            Some("array") => match node.get("items") {
                Some(items) => Form::Array(Box::new(self.shape(items, depth + 1)?)),
                None => Form::Array(Box::new(Shape::any())),
            },
            Some("object") => self.object(node, depth)?,
            // A null that is not quoted.
            None if word.kind == NodeKind::Null => Form::Null,
            other => {
                let known = ["string", "integer", "number", "boolean", "null", "array", "object"];
                let message = match other {
                    Some(other) => format!("`{other}` is no type of JSON schema"),
                    None => format!("`type` is a word, not a {}", word.type_name()),
                };
                let wrong = Diagnostic::error(codes::BAD_PROPERTY, message, &first_line(&word.span));
                self.report(wrong.suggest(other.unwrap_or_default(), known));
                return None;
            }
        };
        Some(form.into())
    }

    fn object(&self, node: &'a Node, depth: usize) -> Option<Form> {
        let mut fields = IndexMap::new();
        for entry in node.get("properties").and_then(Node::entries).unwrap_or_default() {
            fields.insert(entry.key.to_string(), self.shape(&entry.value, depth + 1)?);
        }
        let others = match node.get("additionalProperties") {
            None => Others::Unsaid,
            Some(Node { kind: NodeKind::Bool(flag), .. }) => Others::Flag(*flag),
            Some(schema) => Others::Of(Box::new(self.shape(schema, depth + 1)?)),
        };
        Some(Form::Object { fields, others })
    }
}

/// The type that a default is made one of: fields that it leaves out are left to whoever reads it.
fn loose(shape: &Shape) -> Type {
    match &shape.form {
        Form::Object { .. } => Type::object(),
        Form::Array(item) => Type::list(loose(item)),
        Form::Union(members) => flowrun_core::types::Kind::Union(members.iter().map(loose).collect()).into(),
        _ => shape.to_type(),
    }
}
