//! Flows become documents and come back: every flow of `flows/`, `flows/tour/`, `conformance/` and `agentspec/`, and each
//! does what it did.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowrun::agentspec::{ExportOptions, ImportOptions, codes, export, import, to_json, to_yaml};
use flowrun::core::compile::compile;
use flowrun::core::diagnostics::Diagnostics;
use flowrun::core::feeds::{Feed, Feeds};
use flowrun::core::flow::{Compiled, Flow, FlowStep};
use flowrun::core::signature::Port;
use flowrun::core::spec::FlowSpec;
use flowrun::core::table::to_list;
use flowrun::core::value::Value;
use flowrun::yaml::{ParseOptions, parse};
use insta::assert_snapshot;
use serde_json::{Map, Value as Json};

use crate::agentspec;
use crate::engine::conformance::{Expected, runs_to};
use crate::support::{Engine, Sandbox, Web, registry, repository, yaml_files};

/// The steps of the library that neither Agent Spec nor `WayFlow` has. Those of a program's own are no library's.
const OWN: &[&str] = &[
    "read_table",
    "write_table",
    "synthesize",
    "sample_rows",
    "add_columns",
    "filter_rows",
    "compare_tables",
    "extract",
    "parse_verdict",
    // Of a SQLite file, as all of these are.
    "datastore_query",
    "exec",
    "search",
    "fail",
    "ask",
    "dawdle",
];

/// A flow with what it was made of.
struct Native {
    spec: FlowSpec,
    compiled: Compiled,
}

fn native(text: &str, folder: &Path) -> Result<Native, Diagnostics> {
    let spec = parse(text, &ParseOptions::new("flow.yaml", folder))?.spec;
    let compiled = compile(&spec, &registry())?;
    Ok(Native { spec, compiled })
}

/// Sensitive values, as the environment would give them.
fn environment(variable: &str) -> Option<String> {
    let given = if variable.ends_with("_COOKIES") {
        r#"{"session": "{{ name }}", "theme": "dark"}"#
    } else if variable.ends_with("_SET_ENV") {
        r#"{"MODE": "test"}"#
    } else if variable.starts_with("WEATHER") && variable.ends_with("_SENSITIVE_HEADERS") {
        r#"{"Authorization": "Bearer none"}"#
    } else if variable.ends_with("_SENSITIVE_HEADERS") {
        r#"{"Authorization": "Bearer {{ name }}"}"#
    } else {
        return None;
    };
    Some(given.to_owned())
}

fn back(text: &str, folder: &Path) -> Result<Native, Diagnostics> {
    let registry = registry();
    let has_tool = |name: &str| registry.tool(name).is_some();
    let options = ImportOptions { has_tool: &has_tool, env: &environment, ..ImportOptions::new("exported.yaml") };
    let mut spec = import(text, &options)?.spec;
    folder.clone_into(&mut spec.folder);
    let compiled = compile(&spec, &registry)?;
    Ok(Native { spec, compiled })
}

/// A flow of a name, the flow itself or one that stands below it.
fn flow_spec<'s>(spec: &'s FlowSpec, name: &str) -> Option<&'s FlowSpec> {
    let own = (spec.name.value == name).then_some(spec);
    own.or_else(|| spec.flows.iter().find_map(|(_, below)| flow_spec(below, name)))
}

/// Whether a step reads what another one gives, or the flow gives it.
fn is_read(flow: &Flow, of: usize) -> bool {
    let feeds = Feeds::new(flow);
    let ends: Vec<usize> =
        (0..flow.steps.len()).filter(|n| flow.steps[*n].is_end()).chain(feeds.last_steps()).collect();
    let mut all: Vec<Feed> = (0..flow.outputs.len()).flat_map(|output| feeds.output(&ends, output)).collect();
    for n in 0..flow.steps.len() {
        all.extend((0..flow.steps[n].signature.inputs.len()).flat_map(|place| feeds.of(n, place)));
    }
    all.iter().any(|feed| matches!(feed, Feed::Output { step, .. } if *step == of))
}

/// Whether an agent does what no agent of a document does: it has a task besides its instructions, gives its text, or reads
/// what it does not print.
fn is_own_agent(spec: &FlowSpec, flow: &Flow, n: usize) -> bool {
    let spec = flow_spec(spec, &flow.name).unwrap();
    let step = spec.steps.iter().find(|step| step.name.value == *flow.steps[n].name).unwrap();
    let says = |key: &str| step.config.get(key).is_some_and(|node| node.to_value().is_truthy());
    let system = step.config.get("system").and_then(|node| node.as_str()).unwrap_or_default();
    let printed = |port: &Port| system.contains(&format!("{{{{ {} }}}}", port.name));
    says("template")
        || says("chat_history")
        || (!says("fields") && is_read(flow, n))
        || !flow.steps[n].signature.inputs.iter().all(printed)
}

/// The types of steps of a flow, and of those below it, that no document has.
fn own_types(native: &Native) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut ahead = vec![Arc::clone(&native.compiled.flow)];
    while let Some(flow) = ahead.pop() {
        let own = |(n, step): &(usize, &FlowStep)| {
            OWN.contains(&step.step_type) || (step.step_type == "agent" && is_own_agent(&native.spec, &flow, *n))
        };
        found.extend(flow.steps.iter().enumerate().filter(own).map(|(_, step)| step.step_type.to_owned()));
        // Nothing leads back to the start of a document.
        let first = &flow.steps[0];
        if first.step_type == "start" && !Feeds::new(&flow).before(0).is_empty() {
            found.insert("start".to_owned());
        }
        ahead.extend(flow.steps.iter().flat_map(FlowStep::inner_flows).cloned());
        ahead.extend(flow.providers.iter().filter_map(|provider| provider.flow().cloned()));
    }
    found
}

/// Makes a document of a flow. Where it needs steps of our own, the error names just these, and keeping them is asked for.
fn document(native: &Native) -> Json {
    let own = own_types(native);
    let plain = export(&native.spec, &native.compiled, &ExportOptions::default());
    match plain {
        Ok(exported) => {
            assert_eq!(own, BTreeSet::new(), "exported without asking for it");
            exported.document
        }
        Err(found) => {
            let named: BTreeSet<String> = found
                .iter()
                .map(|d| {
                    assert_eq!(d.code, codes::OWN_STEP, "{found}");
                    d.message.split('`').nth(3).unwrap().to_owned()
                })
                .collect();
            assert_eq!(named, own, "{found}");
            let keep = ExportOptions { keep_custom: true, ..ExportOptions::default() };
            export(&native.spec, &native.compiled, &keep).unwrap_or_else(|e| panic!("{e}")).document
        }
    }
}

/// The flow that a document comes back as, from both forms of it; and a document of that one is there again.
fn returned(document: &Json, folder: &Path) -> Native {
    let yaml = to_yaml(document);
    let from_json = back(&to_json(document), folder).unwrap_or_else(|e| panic!("{e}\n{yaml}"));
    let found = back(&yaml, folder).unwrap_or_else(|e| panic!("{e}\n{yaml}"));
    assert_eq!(found.spec.steps.len(), from_json.spec.steps.len());
    found
}

/// A text whose server answers apart from that of the rule itself: what fails so many times is counted by its name.
fn apart(text: &str) -> String {
    let mut parts = text.split("/flaky/");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |done, rest| {
        let (times, name) = rest.split_once('/').unwrap();
        format!("{done}/flaky/{times}/back-{name}")
    })
}

fn check_rule(text: &str, folder: &Path) {
    let text = &apart(&Web::addressed(text));
    let (flow, expected) = text.split_once("\n---\n").expect("a flow, `---`, and what it comes to");
    if !Expected::read(expected).errors.is_empty() {
        return;
    }
    let native = native(flow, Path::new(".")).unwrap_or_else(|e| panic!("{e}"));
    let document = document(&native);
    let steps = returned(&document, folder).spec.steps.len();
    assert!(steps > 0);
    let yaml = to_yaml(&document);
    runs_to(&|| back(&yaml, Path::new(".")).unwrap().compiled, Expected::read(expected));
}

fn broken_of(files: Vec<PathBuf>, check: impl Fn(&Path) + std::panic::RefUnwindSafe) -> Vec<String> {
    let mut broken = Vec::new();
    for path in files {
        // Caught, so that one broken flow does not hide the next.
        if std::panic::catch_unwind(|| check(&path)).is_err() {
            broken.push(path.file_stem().unwrap().to_string_lossy().into_owned());
        }
    }
    broken
}

#[test]
fn every_rule_holds_of_what_comes_back() {
    let broken = broken_of(yaml_files("tests/conformance"), |path| {
        check_rule(&std::fs::read_to_string(path).unwrap(), Path::new("."));
    });
    assert!(broken.is_empty(), "the rules above are those of {broken:#?}");
}

#[test]
fn every_document_comes_back() {
    let mut broken = Vec::new();
    for (path, text, expected) in agentspec::documents() {
        let Ok(imported) = agentspec::read(&path, &text) else { continue };
        let Ok(compiled) = compile(&imported.spec, &registry()) else { continue };
        let native = Native { spec: imported.spec, compiled };
        let check = || {
            let document = document(&native);
            returned(&document, Path::new("."));
            let yaml = to_yaml(&document);
            runs_to(&|| back(&yaml, Path::new(".")).unwrap().compiled, Expected::read(&expected));
        };
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_err() {
            broken.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    assert!(broken.is_empty(), "the documents above are {broken:#?}");
}

/// What a flow gives by itself, its models offline.
fn given(compiled: Compiled, folder: &Path) -> Json {
    let outputs = Engine::new(compiled, folder).answers(vec!["north".into()]).run(BTreeMap::new());
    let outputs = outputs.unwrap_or_else(|e| panic!("{e}"));
    let shown = |value: &Value| match value {
        Value::Table(table) => to_list(table).unwrap().to_json().unwrap(),
        other => other.to_json().unwrap(),
    };
    let values: Map<_, _> = outputs.values.iter().map(|(name, v)| (name.to_string(), shown(v))).collect();
    serde_json::json!({ "end": outputs.end, "outputs": values })
}

#[test]
fn every_flow_gives_what_it_gave() {
    let files = yaml_files("flows").into_iter().chain(yaml_files("flows/tour")).collect();
    let broken = broken_of(files, |path| {
        let folder = path.parent().unwrap();
        let native = native(&std::fs::read_to_string(path).unwrap(), folder).unwrap_or_else(|e| panic!("{e}"));
        let document = document(&native);
        let found = returned(&document, folder);
        assert_eq!(given(found.compiled, folder), given(native.compiled, folder), "{}", path.display());
    });
    assert!(broken.is_empty(), "the flows above are {broken:#?}");
}

/// What the program says of a flow when it is asked for a document.
fn written(name: &str) -> String {
    let path = repository(&format!("flows/{name}.yaml"));
    let text = std::fs::read_to_string(&path).unwrap();
    let native = native(&text, path.parent().unwrap()).unwrap_or_else(|e| panic!("{e}"));
    to_yaml(&document(&native))
}

#[test]
fn documents_are_what_people_expect() {
    for name in ["tour/branch", "tour/input_message", "tour/map", "tour/parallel"] {
        assert_snapshot!(name.replace('/', "_"), written(name));
    }
    assert_eq!(written("justify"), written("justify"), "the same flow gives the same document");
}

/// An agent with tools of every kind that a document has a component for.
const ADVISER: &str = r#"
flow: advises
inputs: { city: string }
outputs: { advice: advise.advice, sure: advise.sure }
models: { adviser: { model: small, base_url: "http://127.0.0.1:1/v1" } }
tools:
  weather:
    type: http
    description: The weather of a city.
    url: "https://weather.example/{{ city }}"
    params: { days: "{{ days }}" }
    arguments: { city: string, days: { type: integer, default: 3 } }
    headers: { Accept: application/json }
    extract: { now: .now, later: .later }
    types: { now: string, later: [string] }
  look_up: { type: mcp, url: "https://words.example/mcp", tool: find-word, arguments: { word: string }, results: { meaning: string }, timeout: 5 }
  count: { type: mcp, command: [python3, count.py, --slow], cwd: tests, env: [HOME], set_env: { MODE: test }, arguments: { text: string }, results: { words: integer }, confirm: true }
steps:
  advise:
    type: agent
    model: adviser
    conversation: true
    system: "Advise who goes to {{ city }}."
    tools: [weather, look_up, count]
    fields: { advice: string, sure: { type: boolean, description: Whether it is sure. } }
    offline: '{"advice": "an umbrella", "sure": true}'
  more: { type: agent, model: adviser, system: "{{ city }}!", ask_user: true, max_iterations: 3, send_message: true, offline: Well. }
"#;

#[test]
fn an_agent_and_its_tools_are_components() {
    let there = native(ADVISER, Path::new(".")).unwrap_or_else(|e| panic!("{e}"));
    let document =
        export(&there.spec, &there.compiled, &ExportOptions::default()).unwrap_or_else(|e| panic!("{e}"));
    assert_snapshot!("adviser", to_yaml(&document.document));
    let found = returned(&document.document, Path::new("."));
    let tools = |native: &Native| -> Vec<Json> {
        let step = |step: &FlowStep| {
            let each = step.tool_definitions().map(|(name, tool)| {
                let ports = |ports: &[Port]| -> Vec<String> {
                    ports.iter().map(|p| format!("{}: {} {:?}", p.name, p.value_type, p.default)).collect()
                };
                serde_json::json!([
                    name,
                    tool.description,
                    tool.confirm,
                    ports(&tool.arguments),
                    ports(&tool.results)
                ])
            });
            each.collect::<Vec<_>>()
        };
        native.compiled.flow.steps.iter().flat_map(step).collect()
    };
    assert_eq!(tools(&found), tools(&there));
    let config = |native: &Native, name: &str| {
        let tool = native.spec.tools.iter().find(|tool| tool.name.value == name).unwrap();
        let mut config = tool.config.to_value().to_json().unwrap();
        // What a key is where nothing is said, said or not.
        if config["tool"] == *name {
            config.as_object_mut().unwrap().remove("tool");
        }
        config
            .as_object_mut()
            .unwrap()
            .retain(|_, value| *value != serde_json::json!([]) && *value != serde_json::json!({}));
        config
    };
    for name in ["look_up", "count"] {
        assert_eq!(config(&found, name), config(&there, name));
    }
}

#[test]
fn the_command_writes_a_document_that_is_checked_and_run() {
    let sandbox = Sandbox::with_flows();
    let refused = sandbox.run(["export", "flows/justify.yaml"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
    for own in ["`seed_data` is a `read_table`", "`structured` is a `synthesize`", "`export` is a `write_table`"] {
        assert!(refused.stderr.contains(own), "{own} in {}", refused.stderr);
    }
    for format in ["yaml", "json"] {
        let target = format!("made/justify.{format}");
        let ran =
            sandbox.must_run(["export", "--keep-custom", "--format", format, "-o", &target, "flows/justify.yaml"]);
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
        let checked = sandbox.must_run(["check", "--base-dir", "flows", &target]);
        assert!(checked.stderr.contains("fine (3 flows"), "{}", checked.stderr);
    }
    let printed = sandbox.must_run(["export", "--keep-custom", "flows/justify.yaml"]);
    assert_eq!(printed.stdout, sandbox.read("made/justify.yaml"));
    assert!(printed.stdout.contains("agentspec_version: \"25.4.2\""), "{}", printed.stdout);
    let newer = ["export", "--keep-custom", "--agentspec-version", "26.3.1", "flows/justify.yaml"];
    assert!(sandbox.must_run(newer).stdout.contains("agentspec_version: \"26.3.1\""));
}

#[test]
fn a_secret_never_stands_in_a_document() {
    let sandbox = Sandbox::new().env("SOME_KEY", "sk-very-secret").env("SOME_TOKEN", "also-secret");
    let flow = "flow: asks\nmodels: { writer: { base_url: https://models.example/v1, api_key: \"${SOME_KEY}\" } }\nsteps:\n  \
                look: { type: http, url: https://api.example, sensitive_headers: { A: \"${SOME_TOKEN}\" }, cookies: { c: \"${SOME_TOKEN}\" } }\n  \
                ask: { type: prompt, model: writer, template: Say. }\n";
    sandbox.write("asks.yaml", flow);
    let ran = sandbox.must_run(["export", "asks.yaml"]);
    for secret in ["sk-very-secret", "also-secret"] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{}{}", ran.stdout, ran.stderr);
    }
    for variable in ["WRITER_API_KEY", "ASKS_LOOK_SENSITIVE_HEADERS", "ASKS_LOOK_COOKIES"] {
        assert!(ran.stderr.contains(variable), "{variable} in {}", ran.stderr);
    }
}
