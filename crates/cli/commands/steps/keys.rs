//! The keys of a step type in the words of a flow file, read off the JSON schema of its configuration.

use serde_json::{Map, Value as Json};

use super::doc_line;

/// All keys of a step type.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// Those of the step itself.
    pub(super) own: Vec<Key>,
    /// Those of the mappings inside of it.
    pub(super) groups: Vec<Group>,
}

/// A key of a mapping.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: String,
    /// What it takes: `[string]`, `integer or { from: REFERENCE }`.
    pub(super) takes: String,
    pub(super) required: bool,
    /// What it is where it is left out, as YAML, if the text does not say so itself.
    pub(super) default: Option<String>,
    pub(super) doc: String,
}

/// The keys of a kind of mapping inside of a step: `sample: categorical`, or of an entry of `messages`.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) title: String,
    pub(super) doc: String,
    pub(super) keys: Vec<Key>,
}

impl Key {
    /// What it takes, and whether it must be there.
    pub(super) fn terms(&self) -> String {
        match (&self.default, self.required) {
            (_, true) => format!("{}, required", self.takes),
            (Some(default), false) => format!("{}, default {default}", self.takes),
            (None, false) => self.takes.clone(),
        }
    }
}

/// The keys that a configuration of this schema has.
pub(super) fn of(schema: &Json) -> Keys {
    let mut reader = Reader { root: schema, described: Vec::new(), waiting: Vec::new() };
    let mut keys = Keys { own: reader.keys(schema, None), groups: Vec::new() };
    while !reader.waiting.is_empty() {
        for (title, schema, tag) in std::mem::take(&mut reader.waiting) {
            let doc = text(schema, "description");
            keys.groups.push(Group { title, doc, keys: reader.keys(schema, tag) });
        }
    }
    keys
}

struct Reader<'s> {
    root: &'s Json,
    /// The mappings that have their group.
    described: Vec<&'s Json>,
    /// Mappings that want one: its title, the schema, and the key that names the kind.
    waiting: Vec<(String, &'s Json, Option<&'s str>)>,
}

impl<'s> Reader<'s> {
    /// The keys of a mapping, but the one that names its kind.
    fn keys(&mut self, schema: &'s Json, tag: Option<&str>) -> Vec<Key> {
        let required = schema.get("required").and_then(Json::as_array);
        let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|r| r.as_str() == Some(name)));
        let Some(properties) = schema.get("properties").and_then(Json::as_object) else { return Vec::new() };
        let own = properties.iter().filter(|(name, _)| Some(name.as_str()) != tag);
        own.map(|(name, key)| {
            let doc = text(key, "description");
            let default = key.get("default").filter(|d| !is_nothing(d) && !doc.contains("Default:"));
            Key {
                name: name.clone(),
                takes: self.word(key, name, 0),
                required: is_required(name),
                default: default.map(Json::to_string),
                doc,
            }
        })
        .collect()
    }

    fn resolved(&self, schema: &'s Json) -> &'s Json {
        let name = schema.get("$ref").and_then(Json::as_str).and_then(|r| r.strip_prefix("#/$defs/"));
        name.and_then(|name| self.root.get("$defs")?.get(name)).unwrap_or(schema)
    }

    /// What a schema admits, in words. `key` is where it stands, for the title of a group.
    fn word(&mut self, schema: &'s Json, key: &str, depth: usize) -> String {
        /// What is nested deeper than this is cut.
        const DEEPEST: usize = 6;
        if depth > DEEPEST {
            return "…".to_owned();
        }
        let late = schema.get("x-flowrun-late").is_some();
        let schema = self.resolved(schema);
        if let Some(template) = schema.get("x-flowrun-template").and_then(Json::as_str) {
            return if template == "expression" { "expression" } else { "text" }.to_owned();
        }
        if let Some(word) = schema.get("const").map(plain) {
            return word;
        }
        if let Some(words) = schema.get("enum").and_then(Json::as_array) {
            return words.iter().filter(|word| !word.is_null()).map(plain).collect::<Vec<_>>().join(" | ");
        }
        let choices = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Json::as_array);
        if let Some(choices) = choices {
            return self.choice(choices, late, key, depth);
        }
        match kind(schema) {
            "array" => match schema.get("items") {
                Some(items) => format!("[{}]", self.word(items, key, depth + 1)),
                None => "[any]".to_owned(),
            },
            "object" => self.mapping(schema, key, depth),
            "integer" => format!("integer{}", bounds(schema)),
            "number" => format!("number{}", bounds(schema)),
            other => other.to_owned(),
        }
    }

    fn choice(&mut self, choices: &'s [Json], late: bool, key: &str, depth: usize) -> String {
        let choices: Vec<&'s Json> = choices.iter().filter(|choice| kind(choice) != "null").collect();
        if late {
            let now = choices.first().map_or_else(|| "any".to_owned(), |now| self.word(now, key, depth + 1));
            return format!("{now} or {{ from: REFERENCE }}");
        }
        if let Some(tag) = tag_of(&choices) {
            for choice in choices {
                let name = choice.get("properties").and_then(|all| all.get(tag)?.get("const")).map(plain);
                self.describe(format!("{tag}: {}", name.unwrap_or_default()), choice, Some(tag));
            }
            return format!("{{ {tag}: KIND, … }}");
        }
        let words = choices.iter().all(|choice| choice.get("const").is_some());
        let mut all: Vec<String> = Vec::new();
        for choice in choices {
            let word = self.word(choice, key, depth + 1);
            if !all.contains(&word) {
                all.push(word);
            }
        }
        all.join(if words { " | " } else { " or " })
    }

    fn mapping(&mut self, schema: &'s Json, key: &str, depth: usize) -> String {
        if schema.get("properties").and_then(Json::as_object).is_some_and(|keys| !keys.is_empty()) {
            self.describe(format!("in `{key}`"), schema, None);
            let names: Vec<&str> = schema
                .get("properties")
                .and_then(Json::as_object)
                .into_iter()
                .flat_map(Map::keys)
                .map(String::as_str)
                .collect();
            return format!("{{ {} }}", names.join(", "));
        }
        match schema.get("additionalProperties") {
            Some(Json::Object(_)) if self.holds_itself(schema) => "{ NAME: … }".to_owned(),
            Some(value @ Json::Object(_)) => format!("{{ NAME: {} }}", self.word(value, key, depth + 1)),
            _ => "{ NAME: any }".to_owned(),
        }
    }

    /// Whether the values of a mapping are of the kind that the mapping belongs to.
    fn holds_itself(&self, schema: &'s Json) -> bool {
        let Some(value) = schema.get("additionalProperties") else { return false };
        let kind = self.resolved(value);
        let choices = kind.get("oneOf").or_else(|| kind.get("anyOf")).and_then(Json::as_array);
        choices.is_some_and(|all| all.iter().any(|choice| std::ptr::eq(choice, schema)))
    }

    fn describe(&mut self, title: String, schema: &'s Json, tag: Option<&'s str>) {
        if !self.described.iter().any(|known| std::ptr::eq(*known, schema)) {
            self.described.push(schema);
            self.waiting.push((title, schema, tag));
        }
    }
}

/// The key by which several mappings say what kind they are.
fn tag_of<'s>(choices: &[&'s Json]) -> Option<&'s str> {
    let properties = |choice: &'s Json| choice.get("properties").and_then(Json::as_object);
    let (first, rest) = choices.split_first()?;
    let mut named = properties(first)?.iter().filter(|(_, schema)| schema.get("const").is_some());
    let (tag, _) = named.next()?;
    let same = |choice: &&'s Json| properties(choice).and_then(|p| p.get(tag)?.get("const")).is_some();
    rest.iter().all(same).then_some(tag)
}

/// The type that a schema names, apart from null.
fn kind(schema: &Json) -> &str {
    match schema.get("type") {
        Some(Json::String(kind)) => kind,
        Some(Json::Array(kinds)) => kinds.iter().filter_map(Json::as_str).find(|k| *k != "null").unwrap_or("any"),
        _ => "any",
    }
}

fn bounds(schema: &Json) -> String {
    let bound = |key: &str| schema.get(key).and_then(Json::as_f64);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        // That a count is not negative goes without saying.
        (Some(least), None) if least != 0.0 => format!(" from {least}"),
        (None, Some(most)) => format!(" up to {most}"),
        _ => String::new(),
    }
}

fn is_nothing(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Array(items) => items.is_empty(),
        Json::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn text(schema: &Json, key: &str) -> String {
    schema.get(key).and_then(Json::as_str).map(doc_line).unwrap_or_default()
}
