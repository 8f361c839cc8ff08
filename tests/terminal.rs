//! The program at a terminal: what it asks, and what somebody there answers.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::Command;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::Sandbox;

/// The end of the input, as it is typed.
const CONTROL_D: &str = "\u{4}";

const FLOW: &str = r#"
flow: chat
tools: { wipe: { type: flow, flow: wiper, confirm: true } }
steps:
  ask: { type: input_message, template: "Your name?", output: name }
  wipe: { type: tool, tool: wipe, with: { what: name } }
  bye: { type: output_message, template: "Bye {{ name }}, {{ done }}." }
flows:
  wiper: { inputs: { what: string }, steps: { say: { type: template, template: "{{ what }} is wiped", output: done } } }
"#;

/// Runs a program at a terminal of its own at which this is typed: its exit code, and what stands there in the end.
fn at_a_terminal(mut command: Command, typed: &str) -> (Option<i32>, String) {
    let here = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&here).unwrap();
    unlockpt(&here).unwrap();
    let name = ptsname(&here, Vec::new()).unwrap();
    let there = || OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    command.env("TERM", "xterm").stdin(there()).stdout(there()).stderr(there());
    let mut here = File::from(here);
    let mut program = command.spawn().unwrap();
    // It holds the other end too; the terminal is gone when the program is.
    drop(command);
    here.write_all(typed.as_bytes()).unwrap();
    let (mut said, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = here.read(&mut piece) {
        said.extend_from_slice(&piece[..read]);
    }
    (program.wait().unwrap().code(), String::from_utf8_lossy(&said).into_owned())
}

fn chat() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("flow.yaml", FLOW);
    sandbox
}

#[test]
fn it_asks_and_reads() {
    let sandbox = chat();
    let (code, said) = at_a_terminal(sandbox.command(["flow.yaml"]), &format!("Ada\ny\n{CONTROL_D}"));
    assert_eq!(code, Some(0), "{said}");
    for line in ["Your name?", "> ", "call wipe with {\"what\":\"Ada\"}? [y/N] ", "Bye Ada, Ada is wiped."] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

#[test]
fn a_call_that_is_not_allowed_is_not_made() {
    let sandbox = chat();
    let (code, said) = at_a_terminal(sandbox.command(["flow.yaml"]), &format!("Ada\nno\n{CONTROL_D}"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("error[tool.rejected]"), "{said}");
}

#[test]
fn a_run_waits_where_nobody_answers() {
    let sandbox = chat();
    let (code, said) = at_a_terminal(sandbox.command(["flow.yaml"]), CONTROL_D);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("`ask` waits for a message") && said.contains("flowrun reply "), "{said}");
    let runs = sandbox.must_run(["runs", "--json"]).json();
    let answered = sandbox.run(["reply", runs[0]["run"].as_str().unwrap(), "Bo"]);
    assert_eq!(answered.code, Some(3), "{}", answered.stderr);
    assert!(answered.stderr.contains("call `wipe` with {\"what\":\"Bo\"}"), "{}", answered.stderr);
}
