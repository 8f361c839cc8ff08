//! Checks a node against the JSON schema of the type that will decode it, and finds all mistakes with their places.
//!
//! serde stops at the first mistake and loses places inside tagged enums; the schema comes from the same types, so
//! this finds what serde would refuse, all of it, before serde runs.

use serde_json::{Map, Value as Json};

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::node::{Node, NodeKind};
use crate::template::{Expression, Extras, Template, TemplateError};
use crate::words::plural;

/// Unknown key.
pub const UNKNOWN_KEY: &str = "E0102";
/// Wrong kind of value.
pub const WRONG_VALUE: &str = "E0104";
/// Missing key.
pub const MISSING_KEY: &str = "E0105";

/// A text or an expression that does not parse.
pub const BAD_TEMPLATE: &str = "E0218";

/// Marks a string as Jinja in a schema: `text`, `offline` (which may `pick`) or `expression`.
pub(crate) const TEMPLATE_MARK: &str = "x-flowrun-template";

fn parse_text(mark: &str, text: &str) -> Result<(), TemplateError> {
    match mark {
        "expression" => Expression::parse(text).map(drop),
        "offline" => Template::parse(text, Extras::Pick).map(drop),
        _ => Template::parse(text, Extras::None).map(drop),
    }
}

/// All that keeps `node` from fitting `schema`; `what` names the thing, such as ``step `judge` ``.
pub fn check(node: &Node, schema: &Json, what: &str) -> Diagnostics {
    let checker = Checker { root: schema, what };
    let mut found = Diagnostics::new();
    checker.node(node, schema, "", &mut found);
    found
}

struct Checker<'a> {
    root: &'a Json,
    what: &'a str,
}

impl<'a> Checker<'a> {
    fn resolve(&self, schema: &'a Json) -> &'a Json {
        const DEEPEST: usize = 32;
        let mut schema = schema;
        for _ in 0..DEEPEST {
            let target = schema.get("$ref").and_then(Json::as_str).and_then(|r| r.strip_prefix('#'));
            match target.and_then(|pointer| self.root.pointer(pointer)) {
                Some(next) => schema = next,
                None => break,
            }
        }
        schema
    }

    /// `key` is the key under which the node stands, empty at the root.
    fn node(&self, node: &Node, schema: &'a Json, key: &str, found: &mut Diagnostics) {
        let schema = self.resolve(schema);
        let Some(map) = schema.as_object() else {
            return;
        };
        for part in map.get("allOf").and_then(Json::as_array).into_iter().flatten() {
            self.node(node, part, key, found);
        }
        if let Some(options) = map.get("oneOf").or_else(|| map.get("anyOf")).and_then(Json::as_array) {
            self.options(node, options, key, found);
        }
        if let Some(wrong) = self.wrong_kind(node, map, key) {
            found.push(wrong);
            return;
        }
        self.scalar(node, map, key, found);
        match &node.kind {
            NodeKind::Map(_) if map.contains_key("properties") || map.contains_key("additionalProperties") => {
                self.map(node, map, key, found);
            }
            NodeKind::List(items) => {
                if let Some(item) = map.get("items") {
                    for node in items {
                        self.node(node, item, key, found);
                    }
                }
                let fewest = map.get("minItems").and_then(Json::as_u64).unwrap_or(0);
                if (items.len() as u64) < fewest {
                    let message = format!("{} needs at least {}", self.name(key), plural(fewest, "item"));
                    found.push(Diagnostic::error(WRONG_VALUE, message, &node.span));
                }
            }
            _ => {}
        }
    }

    fn name(&self, key: &str) -> String {
        if key.is_empty() { self.what.to_owned() } else { format!("`{key}`") }
    }

    fn wrong_kind(&self, node: &Node, schema: &Map<String, Json>, key: &str) -> Option<Diagnostic> {
        let wanted: Vec<&str> = match schema.get("type")? {
            Json::String(one) => vec![one],
            Json::Array(several) => several.iter().filter_map(Json::as_str).collect(),
            _ => return None,
        };
        if wanted.iter().any(|w| fits(node, w)) {
            return None;
        }
        let words: Vec<_> = wanted.iter().filter(|w| **w != "null").map(|w| article(word(w))).collect();
        let message = format!("{} must be {}, not {}", self.name(key), words.join(" or "), said(node, key));
        Some(Diagnostic::error(WRONG_VALUE, message, &node.span))
    }

    fn scalar(&self, node: &Node, schema: &Map<String, Json>, key: &str, found: &mut Diagnostics) {
        let allowed: Vec<&Json> = match (schema.get("enum"), schema.get("const")) {
            (Some(Json::Array(values)), _) => values.iter().collect(),
            (_, Some(value)) => vec![value],
            _ => Vec::new(),
        };
        let here = node.to_value().to_json().ok();
        if !allowed.is_empty() && !allowed.iter().any(|v| here.as_ref() == Some(*v)) {
            let message = format!("{} cannot be {}", self.name(key), said(node, key));
            let words = allowed.iter().filter_map(|v| v.as_str());
            let wrong = Diagnostic::error(WRONG_VALUE, message, &node.span);
            found.push(wrong.suggest(node.as_str().unwrap_or_default(), words));
        }
        if let (Some(mark), NodeKind::String(text)) =
            (schema.get(TEMPLATE_MARK).and_then(Json::as_str), &node.kind)
            && let Err(error) = parse_text(mark, text)
        {
            let message = format!("{}: {error}", self.name(key));
            found.push(Diagnostic::error(BAD_TEMPLATE, message, &node.span_within(error.range)));
        }
        let Some(number) = here.as_ref().and_then(Json::as_f64) else {
            return;
        };
        let bound = |name: &str| schema.get(name).and_then(Json::as_f64);
        let wrong = match (bound("minimum"), bound("maximum"), bound("exclusiveMinimum")) {
            (Some(low), _, _) if number < low => Some(format!("at least {low}")),
            (_, Some(high), _) if number > high => Some(format!("at most {high}")),
            (_, _, Some(low)) if number <= low => Some(format!("more than {low}")),
            _ => None,
        };
        if let Some(wanted) = wrong {
            let message = format!("{} must be {wanted}, not {}", self.name(key), said(node, key));
            found.push(Diagnostic::error(WRONG_VALUE, message, &node.span));
        }
    }

    fn map(&self, node: &Node, schema: &'a Map<String, Json>, key: &str, found: &mut Diagnostics) {
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Json::as_object);
        let rest = schema.get("additionalProperties");
        let whose = if key.is_empty() { self.what.to_owned() } else { format!("`{key}` of {}", self.what) };
        for entry in node.entries().unwrap_or_default() {
            match (properties.and_then(|p| p.get(&*entry.key)), rest) {
                (Some(below), _) => self.node(&entry.value, below, &entry.key, found),
                (None, Some(Json::Bool(false))) => {
                    let message = format!("unknown key `{}` in {whose}", entry.key);
                    let known = properties.unwrap_or(&empty).keys().map(String::as_str);
                    found
                        .push(Diagnostic::error(UNKNOWN_KEY, message, &entry.key_span).suggest(&entry.key, known));
                }
                (None, Some(below @ Json::Object(_))) => self.node(&entry.value, below, &entry.key, found),
                (None, _) => {}
            }
        }
        for wanted in
            schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str)
        {
            if node.get(wanted).is_none() {
                let mut wrong = Diagnostic::error(MISSING_KEY, format!("{whose} lacks `{wanted}`"), &node.span);
                let doc = properties.and_then(|p| p.get(wanted)).and_then(|p| p.get("description"));
                if let Some(doc) = doc.and_then(Json::as_str) {
                    wrong = wrong.help(format!("`{wanted}`: {}", doc.lines().next().unwrap_or_default()));
                }
                found.push(wrong);
            }
        }
    }

    /// One of several: the first that fits; else the mistakes against the one that was meant.
    fn options(&self, node: &Node, options: &'a [Json], key: &str, found: &mut Diagnostics) {
        let attempts: Vec<(&Json, Diagnostics)> = options
            .iter()
            .map(|option| {
                let mut wrong = Diagnostics::new();
                self.node(node, option, key, &mut wrong);
                (self.resolve(option), wrong)
            })
            .collect();
        if attempts.iter().any(|(_, wrong)| wrong.is_empty()) {
            return;
        }
        // What may also be null is told by what it is otherwise.
        let mut not_null = attempts.iter().filter(|(o, _)| o.get("type").and_then(Json::as_str) != Some("null"));
        if let (Some((_, wrong)), None) = (not_null.next(), not_null.next()) {
            found.extend(wrong.clone());
            return;
        }
        if let Some(wrong) = self.by_tag(node, &attempts, key) {
            found.extend(wrong);
            return;
        }
        let mut same_kind = attempts.iter().filter(|(option, _)| {
            option.as_object().is_some_and(|o| o.contains_key("type") && self.wrong_kind(node, o, key).is_none())
        });
        if let (Some((_, wrong)), None) = (same_kind.next(), same_kind.next()) {
            found.extend(wrong.clone());
            return;
        }
        let consts: Vec<_> =
            attempts.iter().filter_map(|(o, _)| o.get("const")).filter_map(Json::as_str).collect();
        if !consts.is_empty() {
            let message = format!("{} cannot be {}", self.name(key), said(node, key));
            let wrong = Diagnostic::error(WRONG_VALUE, message, &node.span);
            found.push(wrong.suggest(node.as_str().unwrap_or_default(), consts));
            return;
        }
        let mut words: Vec<_> = attempts
            .iter()
            .filter_map(|(o, _)| o.get("type").and_then(Json::as_str))
            .filter(|w| *w != "null")
            .map(|w| article(word(w)))
            .collect();
        words.dedup();
        let message = format!("{} must be {}, not {}", self.name(key), words.join(" or "), said(node, key));
        found.push(Diagnostic::error(WRONG_VALUE, message, &node.span));
    }

    /// Where the options are told apart by a key with a constant, as `sample: KIND` does.
    fn by_tag(&self, node: &Node, attempts: &[(&Json, Diagnostics)], key: &str) -> Option<Diagnostics> {
        let tag_of = |option: &Json| {
            let properties = option.get("properties")?.as_object()?;
            let (name, value) = properties.iter().find_map(|(n, p)| Some((n, p.get("const")?.as_str()?)))?;
            Some((name.clone(), value.to_owned()))
        };
        let tags: Vec<_> = attempts.iter().filter_map(|(option, wrong)| Some((tag_of(option)?, wrong))).collect();
        let ((tag, _), _) = tags.first()?;
        let Some(entry) = node.entries()?.iter().find(|e| *e.key == **tag) else {
            let message = format!("{} lacks `{tag}`", self.name(key));
            let words: Vec<_> = tags.iter().map(|((_, value), _)| format!("`{value}`")).collect();
            let wrong = Diagnostic::error(MISSING_KEY, message, &node.span);
            return Some(wrong.help(format!("`{tag}` is one of {}", words.join(", "))).into());
        };
        let meant = entry.value.as_str().unwrap_or_default();
        if let Some((_, wrong)) = tags.iter().find(|((_, value), _)| value == meant) {
            return Some((*wrong).clone());
        }
        let message = format!("`{tag}` cannot be {}", said(&entry.value, tag));
        let wrong = Diagnostic::error(WRONG_VALUE, message, &entry.value.span);
        Some(wrong.suggest(meant, tags.iter().map(|((_, value), _)| value.as_str())).into())
    }
}

fn fits(node: &Node, json_type: &str) -> bool {
    match json_type {
        "null" => node.kind == NodeKind::Null,
        "boolean" => matches!(node.kind, NodeKind::Bool(_)),
        "integer" => matches!(node.kind, NodeKind::Int(_)),
        "number" => matches!(node.kind, NodeKind::Int(_) | NodeKind::Float(_)),
        "string" => matches!(node.kind, NodeKind::String(_)),
        "array" => matches!(node.kind, NodeKind::List(_)),
        "object" => matches!(node.kind, NodeKind::Map(_)),
        _ => true,
    }
}

fn word(json_type: &str) -> &str {
    match json_type {
        "array" => "list",
        "object" => "mapping",
        other => other,
    }
}

fn article(word: &str) -> String {
    let article = if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {word}")
}

/// Keys whose values are never said.
const SECRETS: &[&str] = &["api_key", "token", "password", "authorization", "sensitive_headers", "cookies"];

/// What stands there, for a message: scalars in full, a secret never.
fn said(node: &Node, key: &str) -> String {
    const LONGEST: usize = 40;
    match &node.kind {
        NodeKind::Null => "null".to_owned(),
        NodeKind::List(_) | NodeKind::Map(_) => article(node.type_name()),
        _ if SECRETS.contains(&key) => format!("the {} that stands there", node.type_name()),
        NodeKind::String(text) if text.chars().count() > LONGEST => "the text that stands there".to_owned(),
        _ => format!("the {} {}", node.type_name(), node.to_value()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::JsonSchema;
    use serde_json::json;

    #[derive(JsonSchema)]
    #[schemars(deny_unknown_fields)]
    #[expect(dead_code, reason = "only the schema is used")]
    struct Config {
        /// How many.
        rows: u32,
        mode: Option<Mode>,
        #[schemars(default)]
        columns: std::collections::BTreeMap<String, Column>,
    }

    #[derive(JsonSchema)]
    #[schemars(rename_all = "snake_case")]
    #[expect(dead_code, reason = "only the schema is used")]
    enum Mode {
        /// Quick.
        Fast,
        /// Careful.
        Slow,
    }

    #[derive(JsonSchema)]
    #[schemars(tag = "sample", rename_all = "snake_case", deny_unknown_fields)]
    #[expect(dead_code, reason = "only the schema is used")]
    enum Column {
        /// By frequency.
        Categorical { column: Option<String> },
        /// Coherent.
        Mapped { by: Vec<String> },
    }

    fn wrong(config: &serde_json::Value) -> Vec<String> {
        let schema = schemars::schema_for!(Config).to_value();
        check(&Node::from_json(config), &schema, "step `s`")
            .into_iter()
            .map(|d| [d.message, d.label.or(d.help).unwrap_or_default()].join(" | "))
            .collect()
    }

    #[test]
    fn what_fits_passes() {
        let config = json!({"rows": 3, "mode": "fast", "columns": {"a": {"sample": "mapped", "by": ["b"]}}});
        assert_eq!(wrong(&config), Vec::<String>::new());
        assert_eq!(wrong(&json!({"rows": 3, "mode": null})), Vec::<String>::new());
    }

    #[test]
    fn every_mistake_is_found() {
        let config = json!({"rows": -1, "mdoe": 1, "columns": {"a": {"sample": "maped"}, "b": {"sample": "mapped", "bye": 1}, "c": {}, "d": 3}});
        insta::assert_snapshot!(wrong(&config).join("\n"));
        insta::assert_snapshot!(wrong(&json!({"mode": "fats", "columns": []})).join("\n"));
    }
}
