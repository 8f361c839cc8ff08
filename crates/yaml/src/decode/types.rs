//! Types in short hand.

use flowrun_core::cast;
use flowrun_core::diagnostics::Diagnostic;
use flowrun_core::node::{Entry, Node, NodeKind};
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::Value;

use super::{Decoder, Key, get, key, wrong_kind};
use crate::codes;
use crate::problems::{described, first_line, is_literal, quoted, suggest};

/// The keys of a type in its long form.
pub(crate) const TYPE_KEYS: &[Key] = &[
    key("type", "The type: a word such as `integer` or `string?`, or `[string]` for a list."),
    key("enum", "The only values allowed."),
    key("minimum", "The smallest number allowed."),
    key("maximum", "The largest number allowed."),
    key("items", "The type of a list's items."),
    key("properties", "The types of an object's fields."),
    key("description", "What it is for."),
];

const FORMS: &str =
    "write a word such as `integer` or `string?`, `[string]` for a list, or `{ type: …, enum: […] }`";

impl Decoder<'_> {
    /// The type of `name`, in any of its forms.
    pub(super) fn value_type(&mut self, name: &str, node: &Node) -> Option<Type> {
        match &node.kind {
            NodeKind::String(word) => self.type_word(name, word, node),
            // The type of null is spelled like null itself; nothing at all is no type.
            NodeKind::Null if !node.span.range().is_empty() => Some(Type::null()),
            NodeKind::List(items) => {
                if let [item] = items.as_slice() {
                    return self.value_type(name, item).map(Type::list);
                }
                let message = format!("the type of {} is a list of {} types", quoted(name), items.len());
                self.push(
                    Diagnostic::error(codes::WRONG_KIND, message, &first_line(&node.span))
                        .help("`[T]` is a list whose items are `T`; for `T` or null write `T?`"),
                );
                None
            }
            NodeKind::Map(entries) => {
                if let Some(default) = get(entries, "default") {
                    let message = format!(
                        "`default` stands only at an input or a variable, not within the type of {}",
                        quoted(name)
                    );
                    self.push(Diagnostic::error(codes::UNKNOWN_KEY, message, &default.key_span));
                }
                let known: Vec<Entry> = entries.iter().filter(|e| &*e.key != "default").cloned().collect();
                self.known_keys(&known, TYPE_KEYS, &format!("the type of {}", quoted(name)), None);
                self.long_type(name, node, entries)
            }
            _ => {
                let message = format!("the type of {} cannot be {}", quoted(name), described(name, node));
                self.push(Diagnostic::error(codes::WRONG_KIND, message, &node.span).help(FORMS));
                None
            }
        }
    }

    fn type_word(&mut self, name: &str, word: &str, node: &Node) -> Option<Type> {
        let found = word_type(word);
        if found.is_none() {
            let message = format!("the type of {} cannot be {}", quoted(name), described(name, node));
            let problem = Diagnostic::error(codes::WRONG_KIND, message, &first_line(&node.span));
            self.push(suggest(problem, word, Type::WORDS.iter().copied()));
        }
        found
    }

    /// The type that the entries of a long form describe; unknown keys are the caller's to refuse.
    pub(super) fn long_type(&mut self, name: &str, node: &Node, entries: &[Entry]) -> Option<Type> {
        let Some(word) = get(entries, "type") else {
            let message = format!("{} has no `type`", quoted(name));
            let place = first_line(&node.span);
            self.push(Diagnostic::error(codes::MISSING_KEY, message, &place).help(FORMS));
            return None;
        };
        let mut found = self.value_type(name, &word.value)?;
        if let Some(items) = get(entries, "items") {
            found = self.with_items(name, found, items)?;
        }
        if let Some(properties) = get(entries, "properties") {
            found = self.with_properties(name, found, properties)?;
        }
        if let Some(description) = get(entries, "description") {
            self.string(description)?;
        }
        found.minimum = self.bound(&found, get(entries, "minimum"));
        found.maximum = self.bound(&found, get(entries, "maximum"));
        if let (Some(low), Some(high), Some(entry)) = (found.minimum, found.maximum, get(entries, "maximum"))
            && low > high
        {
            let message = "`maximum` is less than `minimum`, so no number is allowed";
            self.push(Diagnostic::error(codes::WRONG_KIND, message, &entry.value.span));
        }
        if let Some(listed) = get(entries, "enum") {
            found.one_of = self.listed(name, &found, listed);
        }
        Some(found)
    }

    fn with_items(&mut self, name: &str, found: Type, items: &Entry) -> Option<Type> {
        let is_list = matches!(found.without_null().kind, Kind::List(_));
        if !is_list {
            self.misplaced(items, &found, "`array`");
            return Some(found);
        }
        let nullable = found.admits_null();
        let list = Type::list(self.value_type(name, &items.value)?);
        Some(if nullable { list.nullable() } else { list })
    }

    fn with_properties(&mut self, name: &str, found: Type, properties: &Entry) -> Option<Type> {
        if !matches!(found.without_null().kind, Kind::Object(_)) {
            self.misplaced(properties, &found, "`object`");
            return Some(found);
        }
        let nullable = found.admits_null();
        let help = "write `properties: { field: type }`";
        let entries = self.entries("properties", &properties.value, help)?;
        let mut fields = Vec::with_capacity(entries.len());
        for entry in entries {
            let field = self.port("field", entry).value;
            fields.push(self.value_type(&format!("{name}.{field}"), &entry.value).map(|t| (field, t)));
        }
        let object = Type::from(Kind::Object(fields.into_iter().collect::<Option<_>>()?));
        Some(if nullable { object.nullable() } else { object })
    }

    fn misplaced(&mut self, entry: &Entry, found: &Type, wanted: &str) {
        let message = match found.without_null().kind {
            // These show what they are made of, such as values that the environment gave.
            Kind::List(_) | Kind::Union(_) => format!("`{}` goes with the type {wanted} alone", entry.key),
            _ => format!("`{}` goes with the type {wanted}, not with `{found}`", entry.key),
        };
        self.push(Diagnostic::error(codes::WRONG_KIND, message, &entry.key_span));
    }

    fn bound(&mut self, found: &Type, entry: Option<&Entry>) -> Option<f64> {
        let entry = entry?;
        if !matches!(found.without_null().kind, Kind::Integer | Kind::Number | Kind::Decimal) {
            self.misplaced(entry, found, "`integer`, `number` or `decimal`");
            return None;
        }
        let number = entry.value.to_value().as_f64();
        if number.is_none() {
            let problem = wrong_kind(&entry.key, "a number", &entry.value);
            self.push(problem);
        }
        number
    }

    fn listed(&mut self, name: &str, found: &Type, entry: &Entry) -> Option<Vec<Value>> {
        let Some(items) = entry.value.items().filter(|items| !items.is_empty()) else {
            let problem = wrong_kind("enum", "a list of at least one value", &entry.value);
            self.push(problem.help("write `enum: [a, b]`"));
            return None;
        };
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            values.extend(self.value_of(name, "a value of `enum`", found, item, &entry.value));
        }
        Some(values)
    }

    /// A value that must be of a type: a default, or one of the only values allowed. All that a message may show of
    /// it and of its type stands in `around`.
    pub(super) fn value_of(
        &mut self,
        name: &str,
        what: &str,
        to: &Type,
        node: &Node,
        around: &Node,
    ) -> Option<Value> {
        if !self.problems.is_sound(&node.span.range()) {
            return None;
        }
        let kind = &to.without_null().kind;
        let read = match &node.kind {
            NodeKind::String(text) if *kind == Kind::Duration && is_endless(text) => {
                let message = format!("{what} of {} is longer than any duration can be", quoted(name));
                self.push(Diagnostic::error(codes::WRONG_KIND, message, &first_line(&node.span)));
                return None;
            }
            NodeKind::String(text) => cast::parse_scalar(text, kind),
            _ => Ok(None),
        };
        let cast = read.and_then(|value| cast::cast(value.unwrap_or_else(|| node.to_value()), to));
        cast.map_err(|reason| {
            // The reason shows the values, which must not be seen where the environment gave them.
            let message = if is_literal(name, around) {
                format!("{what} of {} does not fit: {reason}", quoted(name))
            } else {
                format!("{what} of {} does not fit its type", quoted(name))
            };
            self.push(Diagnostic::error(codes::WRONG_KIND, message, &first_line(&node.span)));
        })
        .ok()
    }
}

/// Whether a duration has more whole seconds than 64 bits of microseconds count.
fn is_endless(duration: &str) -> bool {
    const MOST_DIGITS: usize = 13;
    let seconds = duration.trim_start_matches(|c: char| !c.is_ascii_digit() || c == '0');
    seconds.bytes().take_while(u8::is_ascii_digit).count() > MOST_DIGITS
}

/// A word, `[T]` or `T?`, as one text.
fn word_type(word: &str) -> Option<Type> {
    let (inner, nullable) = match word.strip_suffix('?') {
        Some(inner) => (inner, true),
        None => (word, false),
    };
    let found = match inner.strip_prefix('[').and_then(|i| i.strip_suffix(']')) {
        Some(item) if item.len() < 64 => Type::list(word_type(item.trim())?),
        Some(_) => return None,
        None if inner.ends_with('?') => return None,
        None => Type::from_word(inner)?,
    };
    Some(if nullable { found.nullable() } else { found })
}
