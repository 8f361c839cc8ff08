//! `extract_json`: values out of the JSON in a text.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use flowrun_core::cast;
use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::Value;
use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::jq::Query;
use crate::json_text::all_json;

/// Takes values out of the JSON in a text, each by a jq query. JSON is looked for in fenced blocks, then in the whole
/// text, then from its first brace or bracket on; the first place where a query finds more than null counts. Where none
/// does, that is the error `extract.missing`, or the default. JSON that is broken is not repaired.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtractJson {
    /// The outputs by name, each with the jq query that finds its value.
    values: IndexMap<String, String>,
    /// Types of outputs, such as `integer`, `string?` or `[string]`. Default: `any`.
    #[serde(default)]
    types: IndexMap<String, Declared>,
    /// What outputs are where nothing is found; without one, that is an error.
    #[serde(default)]
    #[schemars(with = "IndexMap<String, serde_json::Value>")]
    defaults: IndexMap<String, Value>,
    #[serde(skip)]
    queries: OnceLock<Vec<Result<Query, String>>>,
}

/// The type of an output.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct Declared(pub(crate) Type);

impl TryFrom<Value> for Declared {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let found = match &value {
            Value::Null => Some(Type::null()),
            Value::String(word) => type_of(word),
            Value::List(items) => match items.items() {
                [Value::String(item)] => type_of(item).map(Type::list),
                _ => None,
            },
            _ => None,
        };
        let fits = |found: &Type| found.without_null().kind != Kind::Table;
        found.filter(fits).map(Self).ok_or_else(|| {
            format!(
                "{value} is no type of a value in JSON; write a word such as `integer` or `string?`, or `[string]`"
            )
        })
    }
}

impl JsonSchema for Declared {
    fn schema_name() -> Cow<'static, str> {
        "Declared".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}, {"type": "null"}]})
    }
}

/// A word, `[T]` or `T?`, as one text.
pub(crate) fn type_of(word: &str) -> Option<Type> {
    const LONGEST: usize = 64;
    if let Some(inner) = word.strip_suffix('?') {
        return if inner.ends_with('?') { None } else { type_of(inner).map(Type::nullable) };
    }
    match word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(item) if item.len() < LONGEST => type_of(item.trim()).map(Type::list),
        Some(_) => None,
        None => Type::from_word(word),
    }
}

/// A value of JSON as one of a type: JSON has dates, times and decimals as texts.
pub(crate) fn fitted(value: Value, to: &Type) -> Result<Value, cast::CastError> {
    let read = match &value {
        Value::String(text) => cast::parse_scalar(text, &to.without_null().kind)?,
        _ => None,
    };
    cast::cast(read.unwrap_or(value), to)
}

impl ExtractJson {
    /// The queries in the order of the outputs, compiled once.
    fn queries(&self) -> &[Result<Query, String>] {
        self.queries.get_or_init(|| self.values.values().map(|query| Query::parse(query)).collect())
    }

    fn type_of(&self, name: &str) -> Type {
        self.types.get(name).map_or_else(Type::any, |declared| declared.0.clone())
    }

    /// All that is wrong beyond the form.
    fn problems(&self, scope: &Scope<'_>) -> Diagnostics {
        let mut wrong = Diagnostics::new();
        if self.values.is_empty() {
            wrong.push(scope.bad(&["values"], "`values` names no output"));
        }
        for (name, query) in self.values.keys().zip(self.queries()) {
            if let Err(message) = query {
                wrong.push(scope.bad(&["values", name], message.as_str()));
            }
        }
        for (key, names) in [("types", self.names(&self.types)), ("defaults", self.names(&self.defaults))] {
            for name in names {
                let unknown = scope.bad_key(&[key, name], format!("`values` has no output `{name}`"));
                wrong.push(unknown.suggest(name, self.values.keys().map(String::as_str)));
            }
        }
        for (name, default) in &self.defaults {
            if let Err(reason) = fitted(default.clone(), &self.type_of(name)) {
                wrong.push(
                    scope.bad(&["defaults", name], format!("the default of `{name}` does not fit: {reason}")),
                );
            }
        }
        wrong
    }

    /// The names of a mapping that are no outputs.
    fn names<'m, T>(&self, mapping: &'m IndexMap<String, T>) -> Vec<&'m str> {
        mapping.keys().map(String::as_str).filter(|name| !self.values.contains_key(*name)).collect()
    }

    fn value(&self, name: &str, query: &Query, places: &[Value], text: &str) -> Result<Value, StepError> {
        let value_type = self.type_of(name);
        let shown = || text.chars().take(2000).collect::<String>();
        let mut failed = None;
        for place in places {
            match query.first(place) {
                Ok(None | Some(Value::Null)) => {}
                Ok(Some(value)) => {
                    return fitted(value, &value_type).map_err(|reason| {
                        StepError::new("extract.type", format!("what `{query}` finds is no `{name}`: {reason}"))
                            .detail("text", shown())
                            .help("retry the step that wrote it (`retry_on: [extract.type]`), or change `types:`")
                    });
                }
                // Another place may hold JSON of the form that the query is for.
                Err(reason) => failed = failed.or(Some(reason)),
            }
        }
        if let Some(default) = self.defaults.get(name) {
            return fitted(default.clone(), &value_type).map_err(StepError::from);
        }
        let message = format!("the text has no JSON in which `{query}` finds `{name}`");
        let mut missing = StepError::new("extract.missing", message);
        if let Some(reason) = failed {
            missing = missing.detail("reason", reason);
        }
        Err(missing.detail("text", shown()).help(
            "retry the step that wrote it (`retry_on: [extract.missing]`), or give the output a value under `defaults:`",
        ))
    }
}

impl Step for ExtractJson {
    const TYPE: &'static str = "extract_json";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "parse:\n  type: extract_json\n  with: { text: write.reply }\n  values: { title: .title, tags: '[.tags[].name]', score: .rating.score }\n  types: { title: string, tags: [string], score: number? }\n  defaults: { score: null }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("text", Type::string()).doc("The text.")],
            outputs: vec![Port::new("NAME", Type::any()).doc("One for each key of `values`.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let wrong = self.problems(scope);
        if wrong.has_errors() {
            return Err(wrong);
        }
        let outputs = self.values.keys().map(|name| Port::new(name.as_str(), self.type_of(name)));
        Ok(Signature::new(vec![Port::new("text", Type::string())], outputs.collect()))
    }

    async fn run(&self, _: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let text = input.get("text").and_then(Value::as_str).unwrap_or_default();
        let places: Vec<Value> = all_json(text).collect();
        let mut found: Vec<(Arc<str>, Value)> = Vec::with_capacity(self.values.len());
        for (name, query) in self.values.keys().zip(self.queries()) {
            let query = query.as_ref().map_err(|message| StepError::new("extract.config", message.as_str()))?;
            found.push((name.as_str().into(), self.value(name, query, &places, text)?));
        }
        Ok(Outcome::next(found.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(json: &str) -> ExtractJson {
        serde_json::from_str(json).unwrap()
    }

    fn found(json: &str, text: &str) -> Result<Vec<Value>, StepError> {
        let step = step(json);
        let places: Vec<Value> = all_json(text).collect();
        let queries = step.values.keys().zip(step.queries());
        queries.map(|(name, query)| step.value(name, query.as_ref().unwrap(), &places, text)).collect()
    }

    #[test]
    fn each_value_is_the_first_that_is_not_null() {
        let text = "```json\n{\"a\": null, \"b\": 1}\n```\n```\n{\"a\": false, \"b\": 2}\n```";
        let all = found(r#"{"values": {"a": ".a", "b": ".b"}}"#, text).unwrap();
        assert_eq!(all, [Value::Bool(false), Value::Int(1)]);
    }

    #[test]
    fn a_query_may_fail_on_one_place_and_find_something_in_another() {
        let text = "```\n[1]\n```\n```\n{\"a\": 2}\n```";
        assert_eq!(found(r#"{"values": {"a": ".a"}}"#, text).unwrap(), [Value::Int(2)]);
    }

    #[test]
    fn what_is_missing_is_the_default_or_an_error() {
        let missing = found(r#"{"values": {"a": ".a"}}"#, "no JSON, {\"a\": 1").unwrap_err();
        assert_eq!(missing.code, "extract.missing");
        assert!(missing.message.contains("`.a`") && missing.message.contains("`a`"), "{missing}");
        let failed = found(r#"{"values": {"a": ".a"}}"#, "[1]").unwrap_err();
        assert_eq!((&*failed.code, &*failed.details[0].0), ("extract.missing", "reason"));
        let default = r#"{"values": {"a": ".a"}, "defaults": {"a": null}}"#;
        assert_eq!(found(default, "{}").unwrap(), [Value::Null]);
    }

    #[test]
    fn values_are_of_the_types_that_are_said() {
        let types = r#"{"values": {"n": ".n", "s": ".n", "l": ".l"}, "types": {"n": "number", "s": "string?", "l": ["string"]}}"#;
        let all = found(types, r#"{"n": 2, "l": ["x"]}"#).unwrap();
        assert_eq!(all, [Value::Float(2.0), "2".into(), vec![Value::from("x")].into()]);
        let wrong = found(r#"{"values": {"n": ".n"}, "types": {"n": "integer"}}"#, r#"{"n": "two"}"#).unwrap_err();
        assert_eq!(wrong.code, "extract.type");
        let day = found(r#"{"values": {"d": ".d"}, "types": {"d": "date"}}"#, r#"{"d": "2026-01-31"}"#).unwrap();
        assert_eq!(day[0].type_name(), "date");
    }

    #[test]
    fn types_are_words_and_lists_of_one() {
        for (word, shown) in [("integer", "integer"), ("[string?]?", "[string?]?"), ("[[any]]", "[[any]]")] {
            assert_eq!(type_of(word).unwrap().to_string(), shown);
        }
        for wrong in ["", "strin", "string??", "[string", "[]"] {
            assert_eq!(type_of(wrong), None, "{wrong}");
        }
        for wrong in [r#""table""#, "[]", r#"["string", "integer"]"#, "3"] {
            assert!(serde_json::from_str::<Declared>(wrong).is_err(), "{wrong}");
        }
    }
}
