//! What a step says and asks: messages, questions, and waiting for an answer.

use std::sync::{Arc, PoisonError};

use serde_json::Value as Json;

use super::shelf::Shelf;
use super::{Run, StepCx};
use crate::conversation::{LARGEST_MESSAGE, MESSAGES, Message, Messages, Question, QuestionKind, Said};
use crate::error::{INTERRUPTED, StepError, WAITING};
use crate::events::Event;
use crate::journal::Journal;

impl Run {
    fn wait_for(&self, question: Question) -> StepError {
        let message = format!("`{}` waits for an answer", question.at);
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).push(question);
        // It passes every retry, catch and error policy: nothing has failed.
        StepError::new(WAITING, message).fatal()
    }

    /// What was said, in the order of the conversation; of a run that has not come to its end, as far as it came. An item
    /// or a flow beside others that failed has said nothing.
    pub fn said(&self) -> Vec<Said> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let secrets = self.journal.secrets();
        let shown = |said: Said| {
            if secrets.is_empty() {
                return said;
            }
            let content = secrets.masked(&said.message.content);
            Said { message: Message::new(said.message.role, &*content), ..said }
        };
        messages.said().map(shown).collect()
    }

    /// Keeps what was said, from what the frames of the run have kept in memory.
    pub(super) fn keep_said(&self, shelf: &Shelf) -> Result<(), StepError> {
        let messages =
            shelf.with(MESSAGES, || self.begun_with(), |messages: &mut Messages| Ok((messages.clone(), None)))?;
        *self.messages.lock().unwrap_or_else(PoisonError::into_inner) = messages;
        Ok(())
    }

    /// What the run waits for, in the order of the places.
    pub(super) fn questions(&self) -> Vec<Question> {
        let mut questions = std::mem::take(&mut *self.questions.lock().unwrap_or_else(PoisonError::into_inner));
        questions.sort_by(|a, b| a.id.cmp(&b.id));
        questions
    }
}

impl StepCx<'_> {
    /// The messages so far: those of the run, and in an item of a map those from before the map and its own.
    ///
    /// # Errors
    /// The journal's own.
    pub fn messages(&self) -> Result<Arc<Vec<Message>>, StepError> {
        self.look(MESSAGES, || self.run.begun_with(), |messages: &Messages| Arc::clone(&messages.all))
    }

    /// Says something. The step must not be one whose outcome is kept as a whole: on resume it would say nothing.
    ///
    /// # Errors
    /// `message.too_large`; the journal's own.
    pub fn post(&self, message: &Message) -> Result<(), StepError> {
        let bytes = message.content.len();
        if bytes > LARGEST_MESSAGE {
            let message = format!("a message has {bytes} bytes, and may have {LARGEST_MESSAGE}");
            return Err(StepError::new("message.too_large", message));
        }
        let said = Said { at: self.address().key().into(), message: message.clone() };
        self.change(MESSAGES, || self.run.begun_with(), said.to_value())?;
        self.emit(&Event::Said { at: self.place(), message });
        Ok(())
    }

    /// Asks, and gives the answer: the one that the journal holds, else that of whoever answers now. Where nobody does,
    /// the step ends in an error that stops the run, which can go on when the answer is there. `key` is unique within a
    /// visit of the step, as with [`StepCx::effect`].
    ///
    /// # Errors
    /// `run.waiting`, `run.interrupted`; `answer.unfit` where an answer is no answer; the journal's own.
    pub async fn ask(&self, key: &str, kind: QuestionKind) -> Result<Json, StepError> {
        self.first_use(key)?;
        let address = self.effect_key(key);
        if let Some(kept) = self.run.journal.effect(&address)? {
            return serde_json::from_str(&kept)
                .map_err(|e| StepError::new("journal.record", format!("an answer cannot be read: {e}")));
        }
        let question = Question { id: address.clone(), at: self.place().to_string(), kind };
        let answered = tokio::select! {
            answered = self.run.answers.answer(&question) => answered?,
            () = self.run.stop.asked() => return Err(StepError::new(INTERRUPTED, "the run was told to stop")),
        };
        let Some(answer) = answered else { return Err(self.run.wait_for(question)) };
        if let Some(why) = question.kind.refuses(&answer) {
            return Err(StepError::new("answer.unfit", why).fatal());
        }
        self.run.journal.keep_answer(address, answer.to_string())?;
        if let Some(settled) = self.run.journal.settled(true) {
            settled.await?;
        }
        Ok(answer)
    }
}
