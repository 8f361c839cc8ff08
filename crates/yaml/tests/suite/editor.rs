//! What an editor is told: the schema of a file accepts what the parser does.

use std::path::Path;

use flowrun_yaml::{ParseOptions, StepSchema, document_schema, parse_node};
use serde_json::{Value, json};

/// Every step type of the example, with the keys that it has there; `prompt` and `map` in more detail.
fn steps() -> Vec<StepSchema> {
    let step = |name: &str, schema: Value| StepSchema {
        type_name: name.to_owned(),
        doc: format!("A {name} step."),
        schema,
    };
    let mut steps = vec![
        step(
            "prompt",
            json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "title": "Prompt",
                "type": "object",
                "properties": { "model": { "type": "string" }, "template": { "$ref": "#/$defs/Text" }, "offline": { "$ref": "#/$defs/Text" } },
                "required": ["model", "template"],
                "additionalProperties": false,
                "$defs": { "Text": { "type": "string" } },
            }),
        ),
        step(
            "map",
            json!({
                "type": "object",
                "properties": {
                    "flow": { "type": "string" }, "over": {}, "collect": { "$ref": "#/$defs/Text" }, "accept": {},
                    "on_item_error": { "enum": ["fail", "skip", "keep"] }, "parallel": { "type": "integer" },
                },
                "required": ["flow", "over"],
                "additionalProperties": false,
                "$defs": { "Text": { "type": "array", "items": { "type": "string" } } },
            }),
        ),
    ];
    for name in [
        "read_table",
        "synthesize",
        "sample_rows",
        "add_columns",
        "write_table",
        "retry",
        "complete",
        "extract",
        "parse_verdict",
    ] {
        steps.push(step(name, json!({ "type": "object" })));
    }
    steps
}

fn tools() -> Vec<StepSchema> {
    let schema = json!({
        "type": "object",
        "properties": { "command": { "type": "array" } },
        "required": ["command"],
        "additionalProperties": false,
    });
    vec![StepSchema { type_name: "exec".to_owned(), doc: "A program.".to_owned(), schema }]
}

fn validator() -> jsonschema::Validator {
    let model = json!({
        "type": "object",
        "properties": { "provider": {}, "model": {}, "max_tokens": {}, "temperature": { "$ref": "#/$defs/Text" } },
        "additionalProperties": false,
        "$defs": { "Text": { "type": "number" } },
    });
    jsonschema::draft202012::new(&document_schema(&steps(), &tools(), &model, &datastore())).unwrap()
}

/// Two kinds of datastores, told apart by their `type`.
fn datastore() -> Value {
    let kind = |name: &str, own: Value| {
        let mut properties = json!({ "type": { "const": name, "description": "Its kind." } });
        properties.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        json!({ "type": "object", "properties": properties, "required": ["type"], "additionalProperties": false })
    };
    json!({ "oneOf": [kind("memory", json!({})), kind("sqlite", json!({ "path": { "type": "string", "description": "The file." } }))] })
}

fn json_of(text: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/good");
    let tree = parse_node(text, &ParseOptions::new("a.yaml", folder)).unwrap();
    tree.node.to_value().to_json().unwrap()
}

#[test]
fn the_schema_accepts_the_example() {
    let example = json_of(include_str!("../good/loan_dataset.yaml"));
    let problems: Vec<_> =
        validator().iter_errors(&example).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn the_schema_refuses_what_is_wrong() {
    let validator = validator();
    let accepts = |text: &str| validator.is_valid(&json_of(text));
    let step = |rest: &str| format!("steps: {{ s: {{ type: prompt, model: m, template: t, {rest} }} }}");
    for good in [
        "",
        "with: { a: b.c, d: { value: 1 }, e: [x.y, z] }",
        "next: end",
        "doc: x, output: y, wiring: explicit",
        "next: { a: { retry: s, max_trials: { from: inputs.n }, else: { retry: s, max_trials: 2, else: end } } }",
    ] {
        assert!(accepts(&step(good)), "{good}");
    }
    for bad in [
        "modle: x",
        "next: { a: { retry: s, max_trials: 3 } }",
        "next: { retry: s, max_trials: 3, else: end }",
        "with: { a: 1 }",
        "with: { a: { valeu: 1 } }",
        "wiring: names",
        "template: 3",
        "doc: 1",
    ] {
        assert!(!accepts(&step(bad).replace("template: t, template", "template")), "{bad}");
    }
    for bad in [
        "steps: {}",
        "flow: x",
        "steps: { s: { model: x } }",
        "steps: { end: { type: complete } }",
        "steps: { s: { type: nothing } }",
        "steps: { s: { type: complete } }\nstepz: 1",
        "steps: { s: { type: complete } }\nflows: { f: { seed: inputs.x, steps: { s: { type: complete } } } }",
        "steps: { s: { type: complete } }\ninputs: { a: strin }",
        "steps: { s: { type: complete } }\nmodels: { m: { temperature: hot } }",
        "steps: { s: { type: map, flow: f, over: {}, collect: name } }",
        "steps: { s: { type: complete } }\ntools: { t: { type: exec } }",
        "steps: { s: { type: complete } }\ntools: { t: { type: other, command: [] } }",
        "steps: { s: { type: complete } }\ntools: { t: { type: exec, command: [], arguments: { a: strin } } }",
        "steps: { s: { type: complete } }\ncontext: { c: { tool: t, flow: f } }",
    ] {
        assert!(!accepts(bad), "{bad}");
    }
    for good in [
        "steps: { s: { type: complete } }\ntools: { t: { type: exec, command: [], idempotent: false, arguments: { a: string? } } }",
        "steps: { s: { type: complete } }\ncontext: { c: { tool: t, output: o } }",
        "steps: { s: { type: complete } }\ninputs: { a: string?, b: [integer], c: { type: integer, default: 1, minimum: 0 } }",
        "steps: { s: { type: complete } }\nseed: inputs.s\nlimits: { max_steps: 5 }\nflows: { f: { steps: { s: { type: complete } } } }",
    ] {
        assert!(accepts(good), "{good}");
    }
}

#[test]
fn every_key_is_described() {
    fn check(schema: &Value, path: &str) {
        for (key, below) in schema.as_object().into_iter().flatten() {
            if key == "properties" {
                for (name, property) in below.as_object().into_iter().flatten() {
                    assert!(property.get("description").is_some(), "{path}/{name} has no description");
                    check(property, &format!("{path}/{name}"));
                }
            } else if !key.starts_with("step.") && !key.starts_with("tool.") && key != "model" && key != "if" {
                check(below, &format!("{path}/{key}"));
            }
        }
        for below in schema.as_array().into_iter().flatten() {
            check(below, path);
        }
    }
    check(&document_schema(&steps(), &tools(), &json!({ "type": "object" }), &datastore()), "");
}
