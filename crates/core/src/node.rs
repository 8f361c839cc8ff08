//! [`Node`]: a document as written, where every value knows its place, and serde over it.

use std::fmt;
use std::sync::Arc;

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use crate::diagnostics::{Diagnostic, Source, Span};
use crate::value::Value;

/// A value of a document with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it stands.
    pub span: Span,
    /// What it is.
    pub kind: NodeKind,
    /// The file whose text this is, where it was inlined.
    pub inlined: Option<Arc<Source>>,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    String(Arc<str>),
    /// Items in order.
    List(Vec<Node>),
    /// Entries in order, no key twice.
    Map(Vec<Entry>),
}

/// One entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Node {
    /// A node at a place.
    pub fn new(kind: NodeKind, span: Span) -> Self {
        Self { span, kind, inlined: None }
    }

    /// A node of plain JSON, which stands nowhere.
    pub fn from_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let kind = match json {
            Json::Null => NodeKind::Null,
            Json::Bool(b) => NodeKind::Bool(*b),
            Json::Number(n) => match n.as_i64() {
                Some(i) => NodeKind::Int(i),
                None => NodeKind::Float(n.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(s) => NodeKind::String(s.as_str().into()),
            Json::Array(items) => NodeKind::List(items.iter().map(Self::from_json).collect()),
            Json::Object(map) => NodeKind::Map(
                map.iter()
                    .map(|(k, v)| Entry {
                        key: k.as_str().into(),
                        key_span: Span::none(),
                        value: Self::from_json(v),
                    })
                    .collect(),
            ),
        };
        Self::new(kind, Span::none())
    }

    /// The node as a value.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            NodeKind::Null => Value::Null,
            NodeKind::Bool(b) => Value::Bool(*b),
            NodeKind::Int(i) => Value::Int(*i),
            NodeKind::Float(f) => Value::Float(*f),
            NodeKind::String(s) => Value::String(Arc::clone(s)),
            NodeKind::List(items) => Value::List(items.iter().map(Self::to_value).collect()),
            NodeKind::Map(entries) => {
                Value::Object(entries.iter().map(|e| (Arc::clone(&e.key), e.value.to_value())).collect())
            }
        }
    }

    /// The word for what it is.
    pub fn type_name(&self) -> &'static str {
        match &self.kind {
            NodeKind::Null => "null",
            NodeKind::Bool(_) => "boolean",
            NodeKind::Int(_) => "integer",
            NodeKind::Float(_) => "number",
            NodeKind::String(_) => "string",
            NodeKind::List(_) => "list",
            NodeKind::Map(_) => "mapping",
        }
    }

    /// The entries, if this is a map.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.kind {
            NodeKind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The entries, if this is a map, to be changed or taken out.
    pub fn entries_mut(&mut self) -> Option<&mut Vec<Entry>> {
        match &mut self.kind {
            NodeKind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The items, if this is a list.
    pub fn items(&self) -> Option<&[Self]> {
        match &self.kind {
            NodeKind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::String(s) => Some(s),
            _ => None,
        }
    }

    /// The entry under `key`, if this is a map that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries()?.iter().find(|e| &*e.key == key)
    }

    /// The value under `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|e| &e.value)
    }

    /// The node at a path of keys and item numbers; as far as the path goes.
    pub fn at<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> &Self {
        let mut node = self;
        for step in path {
            let next = match &node.kind {
                NodeKind::List(items) => step.parse::<usize>().ok().and_then(|i| items.get(i)),
                _ => node.get(step),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    /// The place of a stretch of this string: exact in an inlined file and where the text's lines stand in the file as
    /// they are, else the whole node.
    pub fn span_within(&self, range: Option<std::ops::Range<usize>>) -> Span {
        match (&self.inlined, range) {
            (Some(source), Some(range)) => Span::new(source, range),
            (None, Some(range)) => self.written_at(&range).unwrap_or_else(|| self.span.clone()),
            (_, None) => self.span.clone(),
        }
    }

    /// Where the file holds a stretch of this string; none where an escape or a fold stands between.
    fn written_at(&self, range: &std::ops::Range<usize>) -> Option<Span> {
        let (source, text) = (self.span.source()?, self.as_str()?);
        let line_start = text.get(..range.start)?.rfind('\n').map_or(0, |n| n + 1);
        let line = text[line_start..].lines().next()?;
        let above = text[..line_start].matches('\n').count();
        let mut written_start = self.span.range().start;
        for _ in 0..above {
            written_start += source.text.get(written_start..self.span.range().end)?.find('\n')? + 1;
        }
        let written = source.text.get(written_start..self.span.range().end)?.lines().next()?;
        let start = written_start + written.find(line)? + range.start - line_start;
        let end = range.end.min(line_start + line.len()).max(range.start + 1);
        Some(Span::new(source, start..start + end - range.start))
    }
}

/// Why a node is not what a type wants, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeError {
    /// A lower-case fragment.
    pub message: String,
    /// Where; none until the deserializer that knows it adds it.
    pub span: Option<Span>,
}

impl NodeError {
    fn at(mut self, span: &Span) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }

    /// The error as a diagnostic with this code.
    pub fn into_diagnostic(self, code: &'static str) -> Diagnostic {
        Diagnostic::error(code, self.message, &self.span.unwrap_or_default())
    }
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for NodeError {}

impl de::Error for NodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), span: None }
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = NodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        match &self.kind {
            NodeKind::Null => visitor.visit_unit(),
            NodeKind::Bool(b) => visitor.visit_bool(*b),
            NodeKind::Int(i) => visitor.visit_i64(*i),
            NodeKind::Float(f) => visitor.visit_f64(*f),
            NodeKind::String(s) => visitor.visit_borrowed_str(s),
            NodeKind::List(items) => visitor.visit_seq(Items(items.iter())),
            NodeKind::Map(entries) => visitor.visit_map(Entries { rest: entries.iter(), current: None }),
        }
        .map_err(|e| e.at(&self.span))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, NodeError> {
        match self.kind {
            NodeKind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
        .map_err(|e| e.at(&self.span))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        visitor.visit_newtype_struct(self).map_err(|e| e.at(&self.span))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        match &self.kind {
            NodeKind::String(s) => visitor.visit_enum((&**s).into_deserializer()),
            NodeKind::Map(entries) if entries.len() == 1 => visitor.visit_enum(Variant(&entries[0])),
            _ => Err(de::Error::custom(format!("expected a word, not a {}", self.type_name()))),
        }
        .map_err(|e: NodeError| e.at(&self.span))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = NodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, NodeError> {
        self.0.next().map(|node| seed.deserialize(node)).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Entries<'de> {
    rest: std::slice::Iter<'de, Entry>,
    current: Option<&'de Entry>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = NodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, NodeError> {
        self.current = self.rest.next();
        let Some(entry) = self.current else {
            return Ok(None);
        };
        let key: de::value::BorrowedStrDeserializer<'de, NodeError> =
            de::value::BorrowedStrDeserializer::new(&entry.key);
        seed.deserialize(key).map(Some).map_err(|e| e.at(&entry.key_span))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, NodeError> {
        match self.current {
            Some(entry) => seed.deserialize(&entry.value).map_err(|e| e.at(&entry.value.span)),
            None => Err(de::Error::custom("a value was asked for before its key")),
        }
    }
}

struct Variant<'de>(&'de Entry);

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = NodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), NodeError> {
        let key: de::value::BorrowedStrDeserializer<'de, NodeError> =
            de::value::BorrowedStrDeserializer::new(&self.0.key);
        let name = seed.deserialize(key).map_err(|e| e.at(&self.0.key_span))?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = NodeError;

    fn unit_variant(self) -> Result<(), NodeError> {
        Err(NodeError::at(de::Error::custom(format!("`{}` takes no value", self.0.key)), &self.0.value.span))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, NodeError> {
        seed.deserialize(&self.0.value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, NodeError> {
        self.0.value.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, NodeError> {
        self.0.value.deserialize_any(visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only decoding is tested")]
    struct Config {
        min: usize,
        word: Option<String>,
    }

    #[test]
    fn an_error_carries_the_place_of_the_mistake() {
        let source = Source::new("a.yaml", "min: x");
        let node = Node::new(
            NodeKind::Map(vec![Entry {
                key: "min".into(),
                key_span: Span::new(&source, 0..3),
                value: Node::new(NodeKind::String("x".into()), Span::new(&source, 5..6)),
            }]),
            Span::new(&source, 0..6),
        );
        let error = Config::deserialize(&node).unwrap_err();
        assert_eq!(error.span.unwrap().to_string(), "a.yaml:1:6");
    }

    #[test]
    fn json_decodes_through_a_node() {
        let node = Node::from_json(&serde_json::json!({"min": 3, "word": null}));
        assert_eq!(Config::deserialize(&node).unwrap().min, 3);
        assert!(Config::deserialize(&Node::from_json(&serde_json::json!({"mni": 3}))).is_err());
    }
}
