//! The structural keys: flows, steps, wires, types. Names and descriptions come from the decoders' own tables.

use flowrun_core::spec::RESERVED_STEP_NAMES;
use flowrun_core::types::Type;
use serde_json::{Map, Value, json};

use super::StepSchema;
use super::embed::{reference, step_definition, tool_definition};
use crate::decode::context::CONTEXT_KEYS;
use crate::decode::flow::{FLOW_KEYS, LIMIT_KEYS, TOP_KEYS};
use crate::decode::input::{DEFAULT, SECRET};
use crate::decode::next::RETRY_KEYS;
use crate::decode::step::{STEP_KEYS, WIRINGS};
use crate::decode::tool::TOOL_KEYS;
use crate::decode::types::TYPE_KEYS;
use crate::decode::wire::{CONSTANT_KEYS, FROM_KEYS};
use crate::decode::{Key, names};

/// The flow of a file, or a subflow.
pub(super) fn flow(is_top: bool) -> Map<String, Value> {
    let keys = FLOW_KEYS.iter().filter(|key| is_top || !TOP_KEYS.contains(&key.name));
    object(keys, flow_key, &["steps"])
}

fn flow_key(key: &Key) -> Value {
    match key.name {
        "flow" => name(),
        "description" => text(),
        "seed" => json!({ "type": "string", "pattern": r"^inputs\." }),
        "inputs" => named("input"),
        "variables" => named("variable"),
        "context" => named("provider"),
        "outputs" => json!({ "type": "object", "additionalProperties": reference("wire") }),
        "models" => named("model"),
        "tools" => named("tool"),
        "datastores" => named("datastore"),
        "limits" => Value::Object(object(LIMIT_KEYS, limit, &[])),
        "wiring" => wiring(),
        "steps" => json!({
            "type": "object",
            "minProperties": 1,
            "propertyNames": { "pattern": names::PATTERN, "not": { "enum": RESERVED_STEP_NAMES } },
            "additionalProperties": reference("step"),
        }),
        "flows" => named("flow"),
        _ => json!({}),
    }
}

fn limit(key: &Key) -> Value {
    match key.name {
        "timeout" | "step_timeout" => json!({ "type": "number", "exclusiveMinimum": 0 }),
        _ => json!({ "type": "integer", "minimum": 1 }),
    }
}

/// The collections of a datastore: columns like inputs.
pub(super) fn collections(doc: &str) -> Value {
    let mut collection = named("variable");
    if let Value::Object(collection) = &mut collection {
        collection.insert("minProperties".to_owned(), json!(1));
    }
    json!({
        "type": "object",
        "description": doc,
        "propertyNames": { "pattern": names::PATTERN },
        "additionalProperties": collection,
    })
}

/// One of the reserved keys of a step, beside a configuration.
pub(super) fn step_key(key: &Key) -> Value {
    described(
        key,
        match key.name {
            "type" | "output" => some_text(),
            "doc" => text(),
            "with" => json!({ "type": "object", "additionalProperties": reference("wire") }),
            "next" => reference("next"),
            "outputs" => json!({ "type": "object", "additionalProperties": some_text() }),
            "wiring" => wiring(),
            _ => json!({}),
        },
    )
}

/// One of the keys of every tool, beside a configuration.
pub(super) fn tool_key(key: &Key) -> Value {
    described(
        key,
        match key.name {
            "type" => some_text(),
            "description" => text(),
            "arguments" | "results" => named("variable"),
            _ => json!({ "type": "boolean" }),
        },
    )
}

/// All definitions but those of the configurations of steps and tools, and the model's.
pub(super) fn definitions(steps: &[StepSchema], tools: &[StepSchema]) -> Map<String, Value> {
    let mut out = Map::new();
    let mut define = |name: &str, schema: Value| out.insert(name.to_owned(), schema);
    define("flow", Value::Object(flow(false)));
    define("step", by_type(object(STEP_KEYS, step_key, &["type"]), steps, step_definition));
    define("tool", by_type(object(TOOL_KEYS, tool_key, &["type"]), tools, tool_definition));
    define(
        "reference",
        json!({
            "type": "string",
            "pattern": r"^[\p{L}\p{N}_-]+(\.[^{}]+)?$",
            "description": "`step.output`, `inputs.name`, `variables.name`, `visits.step`, or a bare name: what was produced last under it.",
        }),
    );
    define(
        "wire",
        json!({
            "description": "Where a value comes from: a reference, a constant `{ value: … }`, or a list of references, of which the one produced last counts.",
            "oneOf": [
                reference("reference"),
                object(CONSTANT_KEYS, |_| json!({}), &["value"]),
                { "type": "array", "items": reference("reference"), "minItems": 1 },
            ],
        }),
    );
    define(
        "target",
        json!({
            "description": "A step, `end`, or a retry edge.",
            "oneOf": [name(), object(RETRY_KEYS, retry_key, &["retry", "max_trials", "else"])],
        }),
    );
    // A retry edge whose branch was forgotten.
    let retry_keys: Vec<_> = RETRY_KEYS.iter().map(|key| key.name).collect();
    define(
        "next",
        json!({
            "oneOf": [
                name(),
                {
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": reference("target"),
                    "not": { "required": ["retry"], "minProperties": 2, "propertyNames": { "enum": retry_keys } },
                },
            ],
        }),
    );
    let words: Vec<_> = Type::WORDS.iter().flat_map(|word| [(*word).to_owned(), format!("{word}?")]).collect();
    define(
        "type",
        json!({
            "description": "A word such as `integer` or `string?`, `[string]` for a list, or the long form.",
            "oneOf": [
                { "enum": words },
                { "type": "string", "pattern": r"^\[.*\]\??$" },
                { "type": "null" },
                { "type": "array", "items": reference("type"), "minItems": 1, "maxItems": 1 },
                object(TYPE_KEYS, type_key, &["type"]),
            ],
        }),
    );
    for (name, what, more) in [
        ("input", "The type of an input, or its long form with a default.", &[DEFAULT, SECRET][..]),
        ("variable", "The type of a variable, argument or column, or its long form with a default.", &[DEFAULT]),
    ] {
        let schema = json!({
            "description": what,
            "if": { "type": "object" },
            "then": object(TYPE_KEYS.iter().chain(more), type_key, &["type"]),
            "else": reference("type"),
        });
        define(name, schema);
    }
    define(
        "provider",
        json!({
            "description": "Where a value of the context comes from: a constant, a flow, or a tool.",
            "oneOf": [
                object(provider_keys(&["value"]), |_| json!({}), &["value"]),
                object(provider_keys(&["flow", "output"]), provider_key, &["flow"]),
                object(provider_keys(&["tool", "output"]), provider_key, &["tool"]),
            ],
        }),
    );
    out
}

fn provider_keys(names: &[&str]) -> impl Iterator<Item = &'static Key> {
    CONTEXT_KEYS.iter().filter(|key| names.contains(&key.name))
}

fn provider_key(key: &Key) -> Value {
    if key.name == "output" { some_text() } else { name() }
}

/// A step or a tool: its type decides what stands beside the reserved keys.
fn by_type(mut out: Map<String, Value>, kinds: &[StepSchema], definition: fn(&str) -> String) -> Value {
    out.shift_remove("additionalProperties");
    if kinds.is_empty() {
        return Value::Object(out);
    }
    let types: Vec<_> =
        kinds.iter().map(|kind| json!({ "const": kind.type_name, "description": kind.doc })).collect();
    if let Some(Value::Object(properties)) = out.get_mut("properties") {
        let about = properties.get("type").and_then(|t| t.get("description")).cloned();
        properties.insert("type".to_owned(), json!({ "description": about, "oneOf": types }));
    }
    let conditions: Vec<_> = kinds
        .iter()
        .map(|kind| {
            json!({
                "if": { "properties": { "type": { "const": kind.type_name } }, "required": ["type"] },
                "then": reference(&definition(&kind.type_name)),
            })
        })
        .collect();
    out.insert("allOf".to_owned(), Value::Array(conditions));
    Value::Object(out)
}

fn retry_key(key: &Key) -> Value {
    match key.name {
        "retry" => json!({ "allOf": [name(), { "not": { "const": "end" } }] }),
        "max_trials" => json!({
            "oneOf": [
                { "type": "integer", "minimum": 1, "maximum": u32::MAX },
                object(FROM_KEYS, |_| reference("reference"), &["from"]),
            ],
        }),
        _ => reference("target"),
    }
}

fn type_key(key: &Key) -> Value {
    match key.name {
        "type" | "items" => reference("type"),
        "enum" => json!({ "type": "array", "minItems": 1 }),
        "minimum" | "maximum" => json!({ "type": "number" }),
        "properties" => json!({ "type": "object", "additionalProperties": reference("type") }),
        "description" => text(),
        "secret" => json!({ "type": "boolean" }),
        _ => json!({}),
    }
}

/// An object with these keys and no others.
fn object<'k>(
    keys: impl IntoIterator<Item = &'k Key>,
    schema_of: impl Fn(&Key) -> Value,
    required: &[&str],
) -> Map<String, Value> {
    let properties: Map<_, _> =
        keys.into_iter().map(|key| (key.name.to_owned(), described(key, schema_of(key)))).collect();
    let mut out = Map::new();
    out.insert("type".to_owned(), json!("object"));
    out.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        out.insert("required".to_owned(), json!(required));
    }
    out.insert("additionalProperties".to_owned(), json!(false));
    out
}

fn described(key: &Key, mut schema: Value) -> Value {
    if let Value::Object(map) = &mut schema {
        map.insert("description".to_owned(), json!(key.doc));
    }
    schema
}

fn named(definition: &str) -> Value {
    json!({
        "type": "object",
        "propertyNames": { "pattern": names::PATTERN },
        "additionalProperties": reference(definition),
    })
}

fn name() -> Value {
    json!({ "type": "string", "pattern": names::PATTERN })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn some_text() -> Value {
    json!({ "type": "string", "minLength": 1 })
}

fn wiring() -> Value {
    let words: Vec<_> = WIRINGS.iter().map(|(word, _)| *word).collect();
    json!({ "enum": words })
}
