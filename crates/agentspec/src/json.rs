//! JSON to a tree of nodes with places. YAML's parser reads most JSON, but neither tabs nor pairs of surrogates.

use std::collections::HashSet;
use std::sync::Arc;

use flowrun_core::diagnostics::{Source, Span};
use flowrun_core::node::{Entry, Node, NodeKind};

/// Entries that are looked through one by one; most objects have no more.
const FEW: usize = 12;

/// Deeper documents are refused.
const DEEPEST: usize = 256;

/// Reads a text; nothing where it is no JSON.
pub(crate) fn read(source: &Arc<Source>) -> Option<Node> {
    let mut reader = Reader { source, text: &source.text, at: 0 };
    reader.blank();
    let node = reader.value(0)?;
    reader.blank();
    (reader.at == reader.text.len()).then_some(node)
}

struct Reader<'s> {
    source: &'s Arc<Source>,
    text: &'s str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek() == Some(wanted)).then(|| self.at += 1)
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        if depth > DEEPEST {
            return None;
        }
        let start = self.at;
        let kind = match self.peek()? {
            b'{' => self.object(depth)?,
            b'[' => self.array(depth)?,
            b'"' => NodeKind::String(self.string()?.into()),
            _ => self.word()?,
        };
        Some(Node::new(kind, Span::new(self.source, start..self.at)))
    }

    fn object(&mut self, depth: usize) -> Option<NodeKind> {
        self.take(b'{')?;
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = HashSet::new();
        loop {
            self.blank();
            if entries.is_empty() && self.take(b'}').is_some() {
                break;
            }
            let start = self.at;
            let key: Arc<str> = self.string()?.into();
            let key_span = Span::new(self.source, start..self.at);
            self.blank();
            self.take(b':')?;
            self.blank();
            let value = self.value(depth + 1)?;
            let twice = if entries.len() < FEW {
                entries.iter().any(|entry| entry.key == key)
            } else {
                if seen.is_empty() {
                    seen.extend(entries.iter().map(|entry| Arc::clone(&entry.key)));
                }
                !seen.insert(Arc::clone(&key))
            };
            if twice {
                return None;
            }
            entries.push(Entry { key, key_span, value });
            self.blank();
            if self.take(b',').is_none() {
                self.take(b'}')?;
                break;
            }
        }
        Some(NodeKind::Map(entries))
    }

    fn array(&mut self, depth: usize) -> Option<NodeKind> {
        self.take(b'[')?;
        let mut items = Vec::new();
        loop {
            self.blank();
            if items.is_empty() && self.take(b']').is_some() {
                break;
            }
            items.push(self.value(depth + 1)?);
            self.blank();
            if self.take(b',').is_none() {
                self.take(b']')?;
                break;
            }
        }
        Some(NodeKind::List(items))
    }

    /// A string, decoded by the JSON library once its end is found.
    fn string(&mut self) -> Option<String> {
        let start = self.at;
        self.take(b'"')?;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        serde_json::from_str(self.text.get(start..self.at)?).ok()
    }

    fn word(&mut self) -> Option<NodeKind> {
        let rest = &self.text[self.at..];
        let end = rest.find([',', ']', '}', ' ', '\t', '\r', '\n']).unwrap_or(rest.len());
        self.at += end;
        match serde_json::from_str(&rest[..end]).ok()? {
            serde_json::Value::Null => Some(NodeKind::Null),
            serde_json::Value::Bool(b) => Some(NodeKind::Bool(b)),
            serde_json::Value::Number(n) => match n.as_i64() {
                Some(i) => Some(NodeKind::Int(i)),
                // A whole number of more than 64 bits would come back as another one.
                None if n.is_u64() => None,
                None => n.as_f64().filter(|f| f.is_finite()).map(NodeKind::Float),
            },
            _ => None,
        }
    }
}

/// The keys of the outermost object, as far as the text is JSON.
pub(crate) fn top_keys(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut keys, mut depth, mut at) = (Vec::new(), 0_usize, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let start = at + 1;
                at = start;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                let is_key = text.get(at + 1..).is_some_and(|rest| rest.trim_start().starts_with(':'));
                if let Some(key) = text.get(start..at).filter(|_| depth == 1 && is_key) {
                    keys.push(key);
                }
            }
            _ => {}
        }
        at += 1;
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn back(text: &str) -> Option<serde_json::Value> {
        read(&Source::new("a.json", text)).and_then(|node| node.to_value().to_json().ok())
    }

    #[test]
    fn what_the_library_reads_is_read_alike() {
        for text in [
            r#"{"a": [1, -2.5, 1e3, true, false, null], "b": {"c": "x\n\u00e9\ud83d\ude00\/"}}"#,
            "[\t1 ,\r\n2\t]",
            "{}",
            "[]",
            r#""x""#,
        ] {
            assert_eq!(back(text), serde_json::from_str(text).ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_left_to_the_other_parser() {
        for text in [
            "{a: 1}",
            "{\"a\": 1,}",
            "[1",
            "{\"a\" 1}",
            "01",
            "\"x",
            "{\"a\": 1} x",
            "{\"a\":1,\"a\":2}",
            "18446744073709551615",
        ] {
            assert_eq!(back(text), None, "{text}");
        }
        assert_eq!(back(&"[".repeat(100_000)), None);
    }

    #[test]
    fn values_know_their_places() {
        let node = read(&Source::new("a.json", "{\n  \"a\": [true, \"é\", 12]\n}")).unwrap();
        let items = node.get("a").and_then(Node::items).unwrap();
        assert_eq!(items[2].span.to_string(), "a.json:2:20");
        assert_eq!(node.entry("a").unwrap().key_span.to_string(), "a.json:2:3");
    }
}
