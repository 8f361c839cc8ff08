//! Texts that nobody would write on purpose: nothing panics, everything ends soon.

use std::fmt::Write;
use std::time::{Duration, Instant};

use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::node::{Node, NodeKind};
use flowrun_yaml::{ParseOptions, parse, parse_node};
use proptest::prelude::*;

fn environment(name: &str) -> Option<String> {
    (name == "A").then(|| "1".to_owned())
}

fn options() -> ParseOptions<'static> {
    ParseOptions::new("a.yaml", "/nonexistent").env(&environment)
}

/// The problems of a text, which must be found within a time that leaves room for a slow machine.
fn problems(text: &str) -> Diagnostics {
    let start = Instant::now();
    let found = parse(text, &options()).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(10), "it took {:?}", start.elapsed());
    found
}

/// A text made of a part for each thing.
fn each<T>(things: impl IntoIterator<Item = T>, part: impl Fn(T) -> String) -> String {
    things.into_iter().map(part).collect()
}

fn codes(text: &str) -> Vec<&'static str> {
    problems(text).iter().map(|p| p.code).collect()
}

#[test]
fn a_billion_laughs_end() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (one, below) in ('b'..='k').zip('a'..='j') {
        let list = vec![format!("*{below}"); 10].join(", ");
        writeln!(text, "{one}: &{one} [{list}]").unwrap();
    }
    assert_eq!(codes(&text), ["E0107"]);
}

#[test]
fn anchors_within_anchors_end() {
    let open: String = each(0..60, |n| format!("[&a{n} "));
    let text = format!("a: {open}[{}]{}", "x, ".repeat(50_000), "]".repeat(60));
    assert!(codes(&text).contains(&"E0107"));
}

#[test]
fn merging_again_and_again_ends() {
    let mut text = "a0: &a0 {x: 1}\n".to_owned();
    for n in 1..5000 {
        writeln!(text, "a{n}: &a{n} {{<<: *a{}, k{n}: 1}}", n - 1).unwrap();
    }
    assert!(codes(&text).contains(&"E0107"));
}

#[test]
fn deep_nesting_ends() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("a: &x [", "]")] {
        let text = open.repeat(10_000) + &close.repeat(10_000);
        let found = codes(&text);
        assert!(found.contains(&"E0107") || found == ["E0103"], "{open}: {found:?}");
    }
    let blocks: String = each(0..2000, |n| format!("{}a:\n", " ".repeat(n)));
    assert_eq!(codes(&blocks), ["E0107"]);
}

#[test]
fn deep_aliases_end() {
    let deep = format!("a: &a {}x{}\n", "[".repeat(40), "]".repeat(40));
    let text = format!("{deep}b: {}*a{}\n", "[".repeat(40), "]".repeat(40));
    assert!(codes(&text).contains(&"E0107"));
}

#[test]
fn too_many_values_end() {
    assert_eq!(codes(&format!("a: [{}]", "x,".repeat(250_000))), ["E0107"]);
}

#[test]
fn too_large_a_file_is_not_read() {
    assert_eq!(codes(&"#".repeat((4 << 20) + 1)), ["E0101"]);
}

#[test]
fn many_mistakes_are_cut_off() {
    let text: String = each(0..50_000, |n| format!("k{n}: x\n"));
    let found = problems(&text);
    assert_eq!(found.iter().count(), 501);
    assert_eq!(found.iter().last().unwrap().code, "E0107");
}

#[test]
fn numbers_beyond_all_bounds_are_refused() {
    for kind in ["decimal", "duration", "date", "timestamp", "integer"] {
        for number in ["9".repeat(28), format!("PT{}S", "9".repeat(27)), "9".repeat(400), "-1e300".to_owned()] {
            let text = format!(
                "inputs: {{ a: {{ type: {kind}, default: '{number}' }} }}\nsteps: {{ s: {{ type: x }} }}\n"
            );
            let _ = parse(&text, &options());
        }
    }
}

#[test]
fn long_names_are_cut_and_not_compared() {
    let name = "n".repeat(1 << 20);
    let found = problems(&format!("? {name}\n: 1\nsteps:\n  ? \"{name}.\"\n  : {{ type: x }}\n"));
    assert!(found.iter().all(|p| p.message.len() < 200), "{}", found.iter().count());
}

#[test]
fn a_large_file_ends_soon() {
    let flow = |steps: usize| {
        let mut text = "flow: large\nsteps:\n".to_owned();
        for n in 0..steps {
            write!(text, "  s{n}:\n    type: prompt\n    model: writer\n    template: \"{{{{ x }}}}\"\n").unwrap();
            text.push_str(
                "    with: { x: inputs.x }\n    next: { bad: { retry: s0, max_trials: 3, else: end } }\n",
            );
        }
        text
    };
    let text = flow(10_000);
    let start = Instant::now();
    let parsed = parse(&text, &ParseOptions::new("large.yaml", ".")).unwrap();
    let took = start.elapsed();
    assert_eq!(parsed.spec.steps.len(), 10_000);
    assert!(took < Duration::from_secs(20), "it took {took:?}");
}

/// Every place lies in the text, and holds what lies below it.
fn check_places(node: &Node, text: &str) {
    let range = node.span.range();
    assert!(text.get(range.clone()).is_some(), "{range:?} is no part of the text");
    for entry in node.entries().into_iter().flatten() {
        assert!(text.get(entry.key_span.range()).is_some());
        check_places(&entry.value, text);
    }
    for item in node.items().into_iter().flatten() {
        check_places(item, text);
    }
}

fn check(bytes: &[u8]) {
    let (text, tree) = (String::from_utf8_lossy(bytes), parse_node(bytes, &options()));
    if let Ok(tree) = tree {
        check_places(&tree.node, &text);
    }
    if let Err(problems) = parse(bytes, &options()) {
        assert!(problems.has_errors());
        for problem in problems.iter() {
            assert!(text.get(problem.span.range()).is_some(), "{problem} at {:?}", problem.span.range());
        }
    }
}

/// Texts of the pieces that flow files are made of, well and badly put together.
fn pieces() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "flow: x\n",
        "steps:",
        "inputs:",
        "\n",
        "\n  ",
        "\n    ",
        "a",
        "b: ",
        ": ",
        "- ",
        "? ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a",
        "<<: ",
        "!file ",
        "!file x.md",
        "!!str ",
        "|\n",
        ">-\n",
        "\"",
        "'",
        "${A}",
        "${B}",
        "${A:-1}",
        "$${",
        "~",
        "007",
        "1.5",
        ".inf",
        "99999999999999999999",
        "\t",
        "#",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "é",
        "\u{feff}",
        "\r\n",
        "type: ",
        "next: ",
        "retry: ",
        "max_trials: ",
        "else: ",
        "with: ",
        "default: ",
        "enum: ",
        "items: ",
        "minimum: ",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes);
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        check(text.as_bytes());
    }

    #[test]
    fn any_pieces_are_answered(text in pieces()) {
        check(text.as_bytes());
    }

    #[test]
    fn the_place_of_a_scalar_is_its_text(words in prop::collection::vec("[a-zé][a-z0-9é]{0,8}", 1..8), block in any::<bool>()) {
        let list: Vec<_> = words.iter().map(|w| format!("w{w}")).collect();
        let text = if block {
            format!("k:\n{}", each(&list, |w| format!("  - {w}   # c\n")))
        } else {
            format!("k: [{}]\n", list.join(" , "))
        };
        let tree = parse_node(&text, &options()).unwrap();
        let entry = tree.node.entry("k").unwrap();
        prop_assert_eq!(&text[entry.key_span.range()], "k");
        let items = entry.value.items().unwrap();
        prop_assert_eq!(items.len(), list.len());
        for (item, word) in items.iter().zip(&list) {
            prop_assert_eq!(&text[item.span.range()], word.as_str());
            prop_assert_eq!(&item.kind, &NodeKind::String(word.as_str().into()));
        }
    }
}
