//! What a preview shows: the rendered prompts and the replies, in the order of the flow.

use std::sync::{Mutex, PoisonError};

use flowrun_core::events::{Event, Observer};

use crate::render::Screen;

/// Collects prompts and replies.
#[derive(Debug, Default)]
pub(crate) struct Preview {
    answers: Mutex<Vec<Answer>>,
}

#[derive(Debug)]
struct Answer {
    /// The items on the way to it: items that ran at once are shown one after the other, each in its own order.
    items: Vec<u64>,
    title: String,
    prompt: Vec<(String, String)>,
    reply: String,
}

impl Preview {
    /// Shows all that was collected.
    pub(crate) fn show(&self, screen: &Screen) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.sort_by(|a, b| a.items.cmp(&b.items));
        for answer in answers.iter() {
            screen.line("");
            screen.line(&screen.bold(&answer.title));
            for (role, text) in &answer.prompt {
                block(screen, role, text);
            }
            block(screen, "reply", &answer.reply);
        }
        screen.line("");
    }
}

fn block(screen: &Screen, label: &str, text: &str) {
    screen.line(&screen.dim(&format!("  {label}")));
    for line in text.trim_end().lines() {
        screen.line(&format!("    {line}"));
    }
}

impl Observer for Preview {
    fn on(&self, event: &Event<'_>) {
        let Event::Answered { at, model, prompt, reply } = event else { return };
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push(Answer {
            items: at.items(),
            title: format!("{at}   (model `{model}`)"),
            prompt: prompt.to_vec(),
            reply: (*reply).to_owned(),
        });
    }
}
