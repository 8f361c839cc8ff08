//! Questions at a terminal: what is asked is shown, and a line is read.

use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;

use flowrun_core::conversation::{Answers, LARGEST_MESSAGE, Question, QuestionKind};
use flowrun_core::error::StepError;
use flowrun_core::secrets::Secrets;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::report::Progress;

/// Somebody at the terminal of the process.
pub(super) struct Terminal {
    progress: Arc<Progress>,
    secrets: Secrets,
}

impl Terminal {
    /// None where nobody can be asked there.
    pub(super) fn find(progress: &Arc<Progress>, secrets: &Secrets) -> Option<Self> {
        let there = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        there.then(|| Self { progress: Arc::clone(progress), secrets: secrets.clone() })
    }
}

impl Answers for Terminal {
    fn answer<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Option<Value>, StepError>> {
        let (progress, kind) = (Arc::clone(&self.progress), question.kind.clone());
        let secrets = self.secrets.clone();
        Box::pin(async move {
            // The wait for a line is not to be ended; where the run is, the process ends with it.
            let asked = tokio::task::spawn_blocking(move || progress.paused(|| ask(&kind, &secrets)));
            let answered = asked.await.map_err(|e| StepError::new("answer.unreadable", e.to_string()).fatal())?;
            answered.map_err(|e| {
                StepError::new("answer.unreadable", format!("the answer cannot be read: {e}")).fatal()
            })
        })
    }
}

fn ask(kind: &QuestionKind, secrets: &Secrets) -> std::io::Result<Option<Value>> {
    match kind {
        QuestionKind::Message { .. } => Ok(line("> ")?.map(Value::from)),
        QuestionKind::Confirmation { name, arguments } => {
            let arguments = secrets.masked_json(&Value::Object(arguments.clone()));
            let prompt = format!("call {name} with {arguments}? [y/N] ");
            Ok(line(&prompt)?.map(|said| json!({"accept": is_yes(&said)})))
        }
        // What a tool gives is not for a person to make up.
        QuestionKind::Tool { .. } => Ok(None),
    }
}

fn is_yes(said: &str) -> bool {
    matches!(said.trim().to_lowercase().as_str(), "y" | "yes")
}

/// A line without its end; none at the end of the input.
fn line(prompt: &str) -> std::io::Result<Option<String>> {
    // Not held while a person thinks: a run that is told to stop has something to say.
    std::io::stderr().write_all(prompt.as_bytes())?;
    std::io::stderr().flush()?;
    let mut line = String::new();
    let most = LARGEST_MESSAGE as u64;
    let read = std::io::Read::take(std::io::stdin().lock(), most).read_line(&mut line)?;
    if read == 0 {
        std::io::stderr().write_all(b"\n")?;
        return Ok(None);
    }
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        let said = ["y", " Yes\n", "", "n", "yess"].map(is_yes);
        assert_eq!(said, [true, true, false, false, false]);
    }
}
