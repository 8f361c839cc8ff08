//! The tree: places, aliases, the environment and files.

use std::fs;

use flowrun_core::node::Node;
use flowrun_yaml::{ParseOptions, parse_node};
use serde_json::json;

use super::render;

fn environment(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("80".to_owned()),
        "FLAG" => Some("true".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn tree(text: &str) -> Node {
    parse_node(text, &ParseOptions::new("a.yaml", ".").env(&environment)).unwrap().node
}

fn json_of(text: &str) -> serde_json::Value {
    tree(text).to_value().to_json().unwrap()
}

#[test]
fn scalars_are_those_of_yaml_1_2() {
    let text = "{a: 1, b: '1', c: on, d: true, e: ~, f: , g: 0x10, h: 1.5, i: \"true\", j: null}";
    let expected = json!({
        "a": 1, "b": "1", "c": "on", "d": true, "e": null, "f": null, "g": 16, "h": 1.5, "i": "true", "j": null,
    });
    assert_eq!(json_of(text), expected);
}

#[test]
fn the_environment_is_typed_by_what_it_says() {
    let text = "a: ${PORT}\nb: \"${PORT}\"\nc: ${FLAG}\nd: x${PORT}\ne: ${NO:-1.5}\nf: $${PORT}\ng: ${EMPTY}\nh: >-\n  ${PORT}\n";
    let expected = json!({
        "a": 80, "b": "80", "c": true, "d": "x80", "e": 1.5, "f": "${PORT}", "g": null, "h": "80",
    });
    assert_eq!(json_of(text), expected);
}

#[test]
fn an_alias_stands_in_its_own_place() {
    let text = "a: &x {b: 1}\nc: *x\n";
    let root = tree(text);
    let alias = root.get("c").unwrap();
    assert_eq!(alias.get("b").unwrap().to_value(), 1_i64.into());
    assert_eq!(&text[alias.span.range()], "*x");
    assert_eq!(&text[alias.get("b").unwrap().span.range()], "1");
}

#[test]
fn merged_keys_stand_where_they_are_merged_and_give_way() {
    let text = "one: &one {a: 1, b: 1}\ntwo: &two {b: 2, c: 2}\nall:\n  z: 0\n  <<: [*one, *two]\n  c: 3\nquoted: {'<<': 1}\n";
    let root = json_of(text);
    assert_eq!(root["all"].to_string(), r#"{"z":0,"a":1,"b":1,"c":3}"#);
    assert_eq!(root["quoted"], json!({"<<": 1}));
}

#[test]
fn places_of_blocks_end_with_their_last_value() {
    let text = "a:\n  b: 1\n  c: [x, y]   # note\n\nd: |\n  text\n\n\ne: 2\n";
    let root = tree(text);
    let written = |key: &str| &text[root.get(key).unwrap().span.range()];
    assert_eq!(written("a"), "b: 1\n  c: [x, y]");
    assert_eq!(written("d"), "text");
    assert_eq!(root.get("d").unwrap().as_str(), Some("text\n"));
}

#[test]
fn a_file_is_taken_in_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("prompts")).unwrap();
    fs::write(folder.path().join("prompts/a b.md"), "Hi ${PORT}\n\n").unwrap();
    let text = "a: !file prompts/a b.md\nb: !file \"prompts/a b.md\"\n";
    let parsed = parse_node(text, &ParseOptions::new("flows/x.yaml", folder.path())).unwrap();
    let node = parsed.node.get("a").unwrap();
    assert_eq!(node.as_str(), Some("Hi ${PORT}\n\n"));
    assert_eq!(&text[node.span.range()], "!file prompts/a b.md");
    let inlined = node.inlined.as_ref().unwrap();
    assert_eq!((inlined.name.as_str(), inlined.text.as_str()), ("flows/prompts/a b.md", "Hi ${PORT}\n\n"));
    assert_eq!(parsed.files.len(), 1);
}

#[cfg(unix)]
#[test]
fn a_file_may_not_leave_the_folder_by_any_way() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.txt"), "x").unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
    let direct = outside.path().join("secret.txt").display().to_string();
    let name = outside.path().file_name().unwrap().to_string_lossy();
    for path in [direct.as_str(), "link/secret.txt", &format!("../{name}/secret.txt")] {
        let text = format!("a: !file {path}\n");
        let options = ParseOptions::new("x.yaml", folder.path());
        let problems = render(&parse_node(&text, &options).unwrap_err());
        assert!(problems.starts_with("E0108") && problems.contains("outside"), "{problems}");
        let allowed = options.allow([outside.path().to_owned()]);
        assert_eq!(parse_node(&text, &allowed).unwrap().node.get("a").unwrap().as_str(), Some("x"));
    }
}

#[test]
fn a_file_that_is_no_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bytes"), b"a\n\xff").unwrap();
    fs::write(folder.path().join("large"), vec![b'x'; (4 << 20) + 1]).unwrap();
    let options = ParseOptions::new("x.yaml", folder.path());
    let text = "[!file bytes, !file large, !file .]";
    insta::assert_snapshot!(render(&parse_node(text, &options).unwrap_err()));
}

#[test]
fn a_text_that_is_not_utf_8_is_refused_at_its_line() {
    let options = ParseOptions::new("x.yaml", ".");
    insta::assert_snapshot!(render(&parse_node(b"a: 1\nb: \xff\xfe\n", &options).unwrap_err()));
}
