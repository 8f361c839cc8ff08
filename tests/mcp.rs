//! Tools of servers that speak MCP.

use serde_json::json;

use crate::support::{McpServer, Ran, Sandbox};

/// A flow with one step that calls the tool of a definition.
fn flow(definition: &str, with: &str) -> String {
    format!(
        "flow: calls\ntools:\n  call: {{ type: mcp, {definition} }}\nsteps:\n  step: {{ type: tool, tool: call, with: {with} }}\n"
    )
}

fn run(server: &McpServer, definition: &str, with: &str) -> Ran {
    let sandbox = Sandbox::new();
    let url = format!("url: \"{}\"", server.url());
    sandbox.write("flow.yaml", flow(&format!("{url}, {definition}"), with));
    sandbox.run(["flow.yaml", "--json"])
}

#[test]
fn a_server_over_http_is_called() {
    let server = McpServer::start();
    let shouted = run(&server, "tool: shout, arguments: { text: string }", "{ text: { value: hey } }");
    assert_eq!(shouted.code, Some(0), "{}", shouted.stderr);
    assert_eq!(shouted.json()["outputs"], json!({ "tool_output": "HEY" }));
    let numbers = "arguments: { a: integer, b: integer }";
    let both = format!("tool: divide, {numbers}, results: {{ quotient: integer, rest: integer }}");
    let divided = run(&server, &both, "{ a: { value: 7 }, b: { value: 2 } }");
    assert_eq!(divided.json()["outputs"], json!({ "quotient": 3, "rest": 1 }), "{}", divided.stderr);
    let one = format!("tool: divide, {numbers}, results: {{ rest: integer }}");
    let divided = run(&server, &one, "{ a: { value: 7 }, b: { value: 2 } }");
    assert_eq!(divided.json()["outputs"], json!({ "rest": 1 }), "{}", divided.stderr);
}

#[test]
fn what_a_server_refuses_is_told() {
    let server = McpServer::start();
    for (definition, with, code, said) in [
        (
            "tool: divide, arguments: { a: integer, b: integer }",
            "{ a: { value: 7 }, b: { value: 0 } }",
            "tool.failed",
            "divided by zero",
        ),
        (
            "tool: divide, arguments: { a: integer }",
            "{ a: { value: 7 } }",
            "tool.failed",
            "two numbers are wanted",
        ),
        ("tool: shuot, arguments: {}", "{}", "tool.unknown", "did you mean `shout`?"),
        ("tool: hang, arguments: {}, timeout: 0.5", "{}", "tool.timeout", "did not answer in 0.5 s"),
        (
            "tool: shout, arguments: { text: string }, results: { n: integer }",
            "{ text: { value: hey } }",
            "tool.result",
            "HEY",
        ),
    ] {
        let ran = run(&server, definition, with);
        assert_eq!(ran.code, Some(1), "{definition}: {}", ran.stderr);
        assert_eq!(ran.json()["error"]["code"], code, "{}", ran.stderr);
        if code != "tool.result" {
            assert!(ran.stderr.contains(said), "{}", ran.stderr);
        }
    }
}

#[test]
fn what_a_server_says_of_its_tools_holds() {
    let server = McpServer::start();
    let halve = |arguments: &str, results: &str, with: &str| {
        run(&server, &format!("tool: halve, arguments: {arguments}, results: {results}"), with)
    };
    let halved = halve("{ n: integer }", "{ half: integer }", "{ n: { value: 8 } }");
    assert_eq!(halved.json()["outputs"], json!({ "half": 4 }), "{}", halved.stderr);
    for (arguments, results, with, code, said) in [
        ("{ m: integer }", "{ half: integer }", "{ m: { value: 8 } }", "tool.schema", "it takes no `m`"),
        ("{}", "{ half: integer }", "{}", "tool.schema", "it wants `n`, which the flow does not list"),
        ("{ n: string }", "{ half: integer }", "{ n: { value: a } }", "tool.schema", "lists as `string`"),
        ("{ n: integer }", "{ halff: integer }", "{ n: { value: 8 } }", "tool.schema", "did you mean `half`?"),
        ("{ n: integer }", "{ half: [integer] }", "{ n: { value: 8 } }", "tool.schema", "lists as `[integer]`"),
        ("{ n: integer }", "{ half: integer }", "{ n: { value: -8 } }", "tool.arguments", "the minimum of 0"),
        (
            "{ n: integer }",
            "{ half: integer }",
            "{ n: { value: 7 } }",
            "tool.result",
            "is not of type \"integer\"",
        ),
    ] {
        let ran = halve(arguments, results, with);
        assert_eq!(ran.code, Some(1), "{arguments} {results}: {}", ran.stderr);
        let error = &ran.json()["error"];
        assert_eq!((error["code"].as_str(), error["step"].as_str()), (Some(code), Some("step")), "{}", ran.stderr);
        assert!(ran.stderr.contains(said), "{}", ran.stderr);
    }
}

/// A server over pipes: it knows the handshake, one tool, and one call.
const OVER_PIPES: &str = r#"#!/bin/sh
echo "it listens" >&2
while read -r line; do
  id=$(expr "$line" : '.*"id":\([0-9]*\)')
  case $line in
    *'"initialize"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":"2025-03-26","capabilities":{"tools":{}},"serverInfo":{"name":"t","version":"1"}}}';;
    *'"tools/list"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"tools":[{"name":"add","inputSchema":{"type":"object"}}]}}';;
    *'"tools/call"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"content":[{"type":"text","text":"5"}]}}';;
  esac
done
echo > ended
"#;

#[test]
fn a_server_over_pipes_is_started_only_where_that_is_allowed() {
    let sandbox = Sandbox::new();
    sandbox.write("server.sh", OVER_PIPES);
    let definition = "command: [sh, server.sh], tool: add, arguments: { a: integer }, results: { sum: integer }";
    sandbox.write("flow.yaml", flow(definition, "{ a: { value: 2 } }"));
    sandbox.must_run(["check", "flow.yaml"]);
    let refused = sandbox.run(["flow.yaml"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("--allow-stdio-mcp") && !sandbox.path(".flowrun").exists(),
        "{}",
        refused.stderr
    );
    let ran = sandbox.must_run(["flow.yaml", "--allow-stdio-mcp", "--json"]);
    assert_eq!(ran.json()["outputs"], json!({ "sum": 5 }));
    // One that nothing calls starts nothing.
    let only_defined = "steps:\n  say: { type: constant, values: { x: 1 } }\n";
    let unused = flow(definition, "{}").split("steps:").next().unwrap().to_owned() + only_defined;
    sandbox.write("flow.yaml", unused);
    sandbox.must_run(["flow.yaml", "--new"]);
}

#[test]
fn a_program_that_does_not_speak_mcp_is_told_with_its_last_words() {
    let sandbox = Sandbox::new();
    let definition = "command: [sh, -c, 'echo no licence >&2; exit 3'], arguments: {}";
    sandbox.write("flow.yaml", flow(definition, "{}"));
    let ran = sandbox.run(["flow.yaml", "--allow-stdio-mcp"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("error[tool.unreachable]") && ran.stderr.contains("no licence"), "{}", ran.stderr);
}

#[test]
fn a_secret_header_is_not_told() {
    let sandbox = Sandbox::new().env("KEY", "hunter2-hunter2");
    let definition =
        "url: \"http://127.0.0.1:9/mcp\", arguments: {}, sensitive_headers: { Authorization: \"Bearer ${KEY}\" }";
    sandbox.write("flow.yaml", flow(definition, "{}"));
    let ran = sandbox.run(["flow.yaml"]);
    assert!(ran.stderr.contains("error[tool.unreachable]"), "{}", ran.stderr);
    let kept: String =
        sandbox.files(".flowrun").values().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
    assert!(!format!("{}{kept}", ran.stderr).contains("hunter2"), "{}", ran.stderr);
}
