//! Runs that branch off others, flows that were changed, and journals that were made smaller.

use flowrun_mock_llm::Plan;
use insta::assert_snapshot;

use super::{ASK, kill, killed, said, slow, started};
use crate::support::{Mock, Sandbox};

#[test]
fn a_fork_does_again_what_comes_from_its_step_on() {
    let mock = Mock::start(Plan::default());
    let sandbox = Sandbox::new().models(&mock);
    // The run that it was, and how many requests it made.
    let made = |args: &[&str]| {
        let before = mock.counters().requests;
        let told = sandbox.must_run([args, &["--json"]].concat()).json();
        (told["run"].as_str().unwrap().to_owned(), mock.counters().requests - before)
    };
    sandbox.write("flow.yaml", ASK);
    let (first, requests) = made(&["flow.yaml"]);
    let rows = sandbox.read("out/answers.jsonl");
    assert_eq!(requests, 40);
    // What comes before the step is taken from the other run.
    let (forked, requests) = made(&["fork", &first, "--from", "joined"]);
    assert_eq!((requests, sandbox.read("out/answers.jsonl")), (0, rows.clone()));
    let told = sandbox.must_run(["show", &forked]).stdout;
    assert!(told.contains(&format!("forked   from {first} at joined")), "{told}");
    assert_eq!(made(&["fork", &first, "--from", "each"]).1, 40);
    // Where the flow was changed, calls before the step are not made again if they ask the same.
    sandbox.write("flow.yaml", ASK.replace("path: out/", "path: other/"));
    assert_eq!(made(&["fork", &first, "--from", "export"]).1, 0);
    assert_eq!(sandbox.read("other/answers.jsonl"), rows);
    let unknown = sandbox.run(["fork", &first, "--from", "eech"]);
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown.stderr.contains("has not come to a step `eech`")
            && unknown.stderr.contains("did you mean `each`?")
    );
}

#[test]
fn what_was_finished_over_another_flow_counts_no_more_also_after_a_second_kill() {
    let mock = Mock::start(slow(20.0));
    let sandbox = killed(&mock);
    let before = mock.counters().requests;
    sandbox.write("flow.yaml", ASK.replace("Question {{", "The question {{"));
    let lines = super::journaled(&sandbox);
    kill(started(&sandbox, &["resume", "--accept-changes"], lines + 8));
    sandbox.must_run(["resume"]);
    let made = mock.counters().requests - before;
    assert!((40..=48).contains(&made), "{made} requests for 40 questions that are all other ones");
    assert_eq!(sandbox.records("out/answers.jsonl").len(), 40);
}

#[test]
fn a_compacted_run_says_what_it_cannot_do_any_more() {
    let mock = Mock::start(slow(20.0));
    let sandbox = killed(&mock);
    let told = said(&sandbox, &sandbox.must_run(["compact"]));
    let told = told.split_once('\n').unwrap().1;
    assert_snapshot!(told, @"  `resume` and `retry` go on as before; over a flow that was changed, what N asked is asked again");
    sandbox.write("flow.yaml", ASK.replace("collect: [answer]", "accept: answer, collect: [answer]"));
    let ran = sandbox.run(["resume"]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.contains("makes the calls of its finished items again, which `compact` has dropped"),
        "{}",
        ran.stderr
    );
}
