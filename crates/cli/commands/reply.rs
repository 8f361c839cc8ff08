//! `flowrun reply`: the answer to what a run waits for, after which it goes on.

use std::sync::Arc;

use flowrun_core::conversation::{Question, QuestionKind, answer};
use flowrun_core::registry::Registry;
use flowrun_core::secrets::{Secrets, Veiled};
use flowrun_journal::{FileJournal, OpenOptions, RunFolder, RunState, Status};
use serde_json::{Value, json};

use super::resume::GoingOn;
use super::runs::{locate, stopped};
use super::{Stop, resume};
use crate::args::ReplyArgs;
use crate::render::Screen;

pub(super) fn reply(registry: &Registry, args: &ReplyArgs, screen: &Screen, verbose: u8) -> Result<(), Stop> {
    let path = std::path::absolute(locate(Some(&args.run))?).map_err(|e| Stop::usage(e.to_string()))?;
    let folder = RunFolder::open(&path).map_err(stopped)?;
    let state = folder.state().map_err(stopped)?;
    let (question, left, state) = asked(&folder, state, args.to.as_deref())?;
    let given = given(&question.kind, args)?;
    let how = GoingOn { command: "reply", options: OpenOptions::default() };
    resume::go_on(registry, folder, &args.go_on, screen, verbose, how, |folder, secrets| {
        keep(folder, &question, &given, secrets)?;
        let status = if left.is_empty() { Status::Stopped } else { Status::Waiting };
        folder.write_state(RunState { status, questions: left, ..state }).map_err(stopped)
    })
}

/// The question that is meant, and those that are left.
fn asked(
    folder: &RunFolder,
    state: Option<RunState>,
    to: Option<&str>,
) -> Result<(Question, Vec<Value>, RunState), Stop> {
    let id = folder.id();
    let Some(state) = state.filter(|state| !state.questions.is_empty()) else {
        let stop = Stop::usage(format!("the run {id} waits for no answer"));
        return Err(stop.help(format!("`flowrun show {id}` says how it stands")));
    };
    let read = state.questions.iter().map(|q| serde_json::from_value::<Question>(q.clone()));
    let questions: Vec<Question> = read
        .collect::<Result<_, _>>()
        .map_err(|e| Stop::usage(format!("what the run {id} waits for cannot be read: {e}")))?;
    let place = match to {
        Some(step) => questions.iter().position(|q| q.at == step),
        None if questions.len() == 1 => Some(0),
        None => None,
    };
    let Some(place) = place else {
        let steps: Vec<_> = questions.iter().map(|q| format!("`{}`", q.at)).collect();
        let stop = Stop::usage(format!("the run {id} waits for answers to {}", steps.join(", ")));
        return Err(stop.help("say which one is answered: `--to STEP`"));
    };
    let mut left = state.questions.clone();
    left.remove(place);
    let question = questions.into_iter().nth(place).ok_or_else(|| Stop::usage("there is no such question"))?;
    Ok((question, left, state))
}

/// The answer in the form that the question wants.
fn given(kind: &QuestionKind, args: &ReplyArgs) -> Result<Value, Stop> {
    let answer = match (kind, args) {
        (QuestionKind::Message { .. }, ReplyArgs { text: Some(text), .. }) => json!(text),
        (QuestionKind::Tool { .. }, ReplyArgs { result: Some(result), .. }) => {
            let result: Value = serde_json::from_str(result).map_err(|e| {
                Stop::usage(format!("`--result` is no JSON: {e}")).help("quote texts: '\"like this\"'")
            })?;
            json!({"result": result})
        }
        (QuestionKind::Tool { .. }, ReplyArgs { error: Some(error), .. }) => {
            json!({"error": {"type": "Error", "message": error}})
        }
        (QuestionKind::Confirmation { .. }, ReplyArgs { accept: true, .. }) => json!({"accept": true}),
        (QuestionKind::Confirmation { .. }, ReplyArgs { reject: Some(reason), .. }) => {
            json!({"accept": false, "reason": reason})
        }
        _ => {
            let (what, how) = wanted(kind, &args.run);
            return Err(Stop::usage(format!("the run {} waits for {what}", args.run)).help(how));
        }
    };
    match kind.refuses(&answer) {
        Some(why) => Err(Stop::usage(why)),
        None => Ok(answer),
    }
}

/// What a question waits for, and how it is answered.
pub(super) fn wanted(kind: &QuestionKind, run: &str) -> (String, String) {
    match kind {
        QuestionKind::Message { .. } => ("a message".to_owned(), format!("flowrun reply {run} TEXT")),
        QuestionKind::Tool { name, arguments } => (
            format!("what the tool `{name}` gives for {}", Value::Object(arguments.clone())),
            format!("flowrun reply {run} --result JSON, or --error TEXT"),
        ),
        QuestionKind::Confirmation { name, arguments } => (
            format!("a word on whether to call `{name}` with {}", Value::Object(arguments.clone())),
            format!("flowrun reply {run} --accept, or --reject REASON"),
        ),
    }
}

fn keep(folder: &RunFolder, question: &Question, given: &Value, secrets: &Secrets) -> Result<(), Stop> {
    let journal = FileJournal::open(folder.path(), OpenOptions::default()).map_err(stopped)?;
    let journal = Veiled::new(Arc::new(journal), secrets.clone());
    futures::executor::block_on(answer(&journal, question, given)).map_err(|e| Stop::usage(e.to_string()))
}
