use super::*;
use serde_json::json;

#[test]
fn no_line_is_wider_than_the_terminal() {
    let registry = flowrun_steps::registry();
    for width in [NARROWEST, WIDEST] {
        for line in plain::list(registry.iter(), width).lines() {
            assert!(line.chars().count() <= width, "{line}");
        }
        for step in registry.iter() {
            let page = plain::one(step, width);
            let (words, _example) = page.split_once("\nexample\n").unwrap_or((&page, ""));
            for line in words.lines() {
                assert!(line.chars().count() <= width, "{}: {line}", step.name);
            }
        }
    }
}

#[test]
fn keys_are_told_in_the_words_of_a_flow_file() {
    let schema = json!({
        "properties": {
            "path": {"x-flowrun-late": true, "anyOf": [{"type": "string"}, {"type": "object"}], "description": "The\nfile."},
            "format": {"anyOf": [{"$ref": "#/$defs/Format"}, {"type": "null"}]},
            "columns": {"type": "object", "additionalProperties": {"$ref": "#/$defs/How"}, "default": {}},
            "where": {"type": ["string", "null"], "x-flowrun-template": "expression"},
            "times": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
            "seed": {"anyOf": [{"type": "integer"}, {"const": "auto"}]},
        },
        "required": ["path"],
        "$defs": {
            "Format": {"oneOf": [{"const": "json"}, {"const": "csv"}]},
            "How": {"oneOf": [
                {"type": "object", "description": "By [`shares`].", "properties": {"as": {"const": "share"}}},
                {"type": "object", "properties": {"as": {"const": "joint"}, "by": {"type": "array", "items": {"type": "string"}}}},
            ]},
        },
    });
    let keys = keys::of(&schema);
    let own: Vec<String> = keys.own.iter().map(|key| format!("{}: {}", key.name, key.terms())).collect();
    assert_eq!(
        own,
        [
            "path: string or { from: REFERENCE }, required",
            "format: json | csv",
            "columns: { NAME: { as: KIND, … } }",
            "where: expression",
            "times: integer from 1 to 9, default 3",
            "seed: integer or auto",
        ]
    );
    assert_eq!(keys.own[0].doc, "The file.");
    let groups: Vec<_> =
        keys.groups.iter().map(|group| (group.title.as_str(), group.doc.as_str(), group.keys.len())).collect();
    assert_eq!(groups, [("as: share", "By `shares`.", 0), ("as: joint", "", 1)]);
}

#[test]
fn every_key_and_every_port_is_documented() {
    for step in flowrun_steps::registry().iter() {
        assert!(!step.doc().is_empty() && !step.example.is_empty(), "{}", step.name);
        let keys = keys::of(&step.schema);
        for key in keys.own.iter().chain(keys.groups.iter().flat_map(|group| &group.keys)) {
            assert!(!key.doc.is_empty(), "{}: {}", step.name, key.name);
        }
        for port in step.ports.inputs.iter().chain(&step.ports.outputs) {
            assert!(port.doc.as_ref().is_some_and(|doc| !doc.is_empty()), "{}: {}", step.name, port.name);
        }
    }
}

#[test]
fn kinds_that_hold_themselves_are_told_once() {
    let registry = flowrun_steps::registry();
    let page = plain::one(registry.get("synthesize").unwrap(), WIDEST);
    assert_eq!(page.matches("\nsample: when\n").count(), 1);
    assert!(page.contains("is      { NAME: { sample: KIND, … } }, required"));
}

#[test]
fn a_misspelt_name_is_answered_with_the_nearest() {
    let Stop::Usage(message, help) = unknown(&flowrun_steps::registry(), "promt") else { panic!("a usage error") };
    assert_eq!(
        (message.as_str(), help.as_deref()),
        ("there is no step type `promt`", Some("did you mean `prompt`?"))
    );
}

#[test]
fn the_reference_in_the_docs_is_the_one_printed() {
    let printed = markdown::page(&flowrun_steps::registry());
    let kept = include_str!("../../../../docs/steps.md");
    assert!(kept == printed, "docs/steps.md is stale: flowrun steps --markdown > docs/steps.md");
}
