//! Values of a configuration whose strings are texts: bodies and parameters of requests.

use std::borrow::Cow;
use std::sync::Arc;

use flowrun_core::compile::Scope;
use flowrun_core::compile::codes::BAD_TEMPLATE;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::ports::Ports;
use flowrun_core::template::{Expression, Extras, Template, TemplateError, Variable};
use flowrun_core::value::Value;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// A value whose strings are texts. One that is exactly one `{{ x }}` is the value of `x`, whatever its type; every other
/// one is the text that comes out. Keys stay as they are.
#[derive(Debug, Deserialize)]
#[serde(from = "Value")]
pub(crate) enum Filled {
    Constant(Value),
    Text(Template),
    Whole {
        expression: Expression,
        /// The byte of the text at which it begins.
        begin: usize,
    },
    List(Vec<Self>),
    Map(Vec<(Arc<str>, Self)>),
    /// A text that does not parse; `problems` says so.
    Broken(TemplateError),
}

impl From<Value> for Filled {
    fn from(value: Value) -> Self {
        match value {
            Value::String(text) => Self::of_text(&text),
            Value::List(items) => Self::List(items.items().iter().cloned().map(Self::from).collect()),
            Value::Object(object) => {
                Self::Map(object.iter().map(|(key, value)| (Arc::clone(key), value.clone().into())).collect())
            }
            other => Self::Constant(other),
        }
    }
}

impl JsonSchema for Filled {
    fn schema_name() -> Cow<'static, str> {
        "Filled".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}

/// What stands within a text that is one `{{ … }}`, and where.
fn only_hole(text: &str) -> Option<(usize, &str)> {
    let trimmed = text.trim();
    let inner = trimmed.strip_prefix("{{")?.strip_suffix("}}")?;
    // Signs that drop white space around the hole.
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    let inner = inner.strip_suffix(['-', '+']).unwrap_or(inner);
    Some((inner.as_ptr() as usize - text.as_ptr() as usize, inner))
}

impl Filled {
    fn of_text(text: &str) -> Self {
        if !text.contains(['{', '}']) {
            return Self::Constant(Value::from(text));
        }
        // `{{ a }} {{ b }}` begins and ends alike, and what is between is no expression.
        if let Some((begin, inner)) = only_hole(text)
            && let Ok(expression) = Expression::parse(inner)
        {
            return Self::Whole { expression, begin };
        }
        match Template::parse(text, Extras::None) {
            Ok(template) if template.variables().is_empty() && !text.contains("{%") => {
                template.render(|_| None).map_or_else(Self::Broken, |text| Self::Constant(text.into()))
            }
            Ok(template) => Self::Text(template),
            Err(error) => Self::Broken(error),
        }
    }

    /// Visits this value and all within it, each with the keys and item numbers that lead to it.
    fn walk<'s>(&'s self, path: &[String], visit: &mut impl FnMut(&[String], &'s Self)) {
        let below = |step: String| path.iter().cloned().chain([step]).collect::<Vec<_>>();
        visit(path, self);
        match self {
            Self::List(items) => {
                for (n, item) in items.iter().enumerate() {
                    item.walk(&below(n.to_string()), visit);
                }
            }
            Self::Map(entries) => {
                for (key, value) in entries {
                    value.walk(&below(key.to_string()), visit);
                }
            }
            _ => {}
        }
    }

    /// The variables of the texts, for `inputs_read`. `key` is where the value stands in the configuration.
    pub(crate) fn reads(&self, key: &str) -> Vec<(Vec<String>, usize, &[Variable])> {
        let mut reads = Vec::new();
        self.walk(&[key.to_owned()], &mut |path, part| match part {
            Self::Text(text) => reads.push((path.to_vec(), 0, text.variables())),
            Self::Whole { expression, begin } => reads.push((path.to_vec(), *begin, expression.variables())),
            _ => {}
        });
        reads
    }

    /// Texts that do not parse, and keys that look as if they were texts.
    pub(crate) fn problems(&self, scope: &Scope<'_>, key: &str) -> Diagnostics {
        let mut wrong = Diagnostics::new();
        self.walk(&[key.to_owned()], &mut |path, part| {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            match part {
                Self::Broken(error) => {
                    let name = path.last().copied().unwrap_or(key);
                    let mut broken = scope.error(BAD_TEMPLATE, &path, format!("`{name}`: {error}"));
                    let node = scope.config().at(path.iter().copied());
                    let span = node.span_within(error.range.clone());
                    broken.span = if span.source().is_some() { span } else { broken.span };
                    wrong.push(broken);
                }
                Self::Map(entries) => {
                    for (key, _) in entries.iter().filter(|(key, _)| key.contains("{{") || key.contains("{%")) {
                        let path: Vec<&str> = path.iter().copied().chain([&**key]).collect();
                        let message = "a key stays as it is written; only values can have holes";
                        wrong.push(scope.bad_key(&path, message));
                    }
                }
                _ => {}
            }
        });
        wrong
    }

    /// The value with the inputs in its texts.
    ///
    /// # Errors
    /// `template.failed` where a text cannot be rendered.
    pub(crate) fn fill(&self, input: &Ports) -> Result<Value, StepError> {
        let get = |name: &str| input.get(name).cloned();
        Ok(match self {
            Self::Constant(value) => value.clone(),
            Self::Text(text) => Value::from(text.render(get)?),
            Self::Whole { expression, .. } => expression.eval(get)?,
            Self::List(items) => items.iter().map(|item| item.fill(input)).collect::<Result<Vec<_>, _>>()?.into(),
            Self::Map(entries) => {
                let filled = entries.iter().map(|(key, value)| Ok((Arc::clone(key), value.fill(input)?)));
                Value::Object(filled.collect::<Result<Vec<_>, StepError>>()?.into_iter().collect())
            }
            Self::Broken(error) => return Err(error.clone().into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(json: &str) -> Filled {
        serde_json::from_str(json).unwrap()
    }

    fn fill(json: &str) -> Result<Value, StepError> {
        let inputs = [("x", Value::Int(3)), ("l", vec![Value::Int(1)].into()), ("n", Value::Null)];
        filled(json).fill(&inputs.into_iter().collect())
    }

    fn value(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_text_that_is_one_hole_keeps_the_type() {
        let json = r#"{"a": "{{ x }}", "b": " {{- l -}} ", "c": ["{{ n }}", 6.0, true], "d": "{{ x }}{{ x }}", "e": "n={{ x }}", "f": "{{ '{' }}", "g": "{{ x + 1 }}"}"#;
        let expected = r#"{"a": 3, "b": [1], "c": [null, 6.0, true], "d": "33", "e": "n=3", "f": "{", "g": 4}"#;
        assert_eq!(fill(json).unwrap(), value(expected));
        assert_eq!(
            fill(r#"{"plain": "a } b", "raw": "{% raw %}{{ x }}{% endraw %}"}"#).unwrap(),
            value(r#"{"plain": "a } b", "raw": "{{ x }}"}"#)
        );
    }

    #[test]
    fn variables_are_known_with_their_places() {
        let filled = filled(r#"{"a": ["{{ x }}", "b {{ y }}"]}"#);
        let reads = filled.reads("json");
        let places: Vec<_> =
            reads.iter().map(|(path, begin, v)| (path.join("."), *begin, v[0].name.as_str())).collect();
        assert_eq!(places, [("json.a.0".to_owned(), 2, "x"), ("json.a.1".to_owned(), 0, "y")]);
    }

    #[test]
    fn what_does_not_parse_or_has_no_value_is_an_error() {
        assert!(matches!(filled(r#""{{ x ""#), Filled::Broken(_)));
        assert_eq!(fill(r#""{{ x ""#).unwrap_err().code, "template.failed");
        assert_eq!(fill(r#""{{ nothing }}""#).unwrap_err().code, "template.failed");
        assert_eq!(fill(r#""a {{ n }}""#).unwrap_err().code, "template.failed");
    }
}
