//! A text in other words, for the steps that speak to a person.

use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::template::{OfflineText, Text};

use crate::prompt::Prompt;

const MESSAGE: &str = "message";

/// What the model is asked.
const REQUEST: &str =
    "Say the message below in other words, as a helpful person would in a conversation. Keep its \
language and everything that it says, asks and names; add nothing. Reply with the new message alone.

# Message

{{ message }}";

/// The text in other words; the text itself where the model is offline.
pub(crate) async fn rephrased(cx: &StepCx<'_>, model: &str, text: &str) -> Result<String, StepError> {
    let broken = |e: &dyn std::fmt::Display| StepError::new("template.failed", e.to_string());
    let request = Text::parse(REQUEST).map_err(|e| broken(&e))?;
    let same = OfflineText::parse("{{ message }}").map_err(|e| broken(&e))?;
    Prompt::of(model, request, Some(same)).reply(cx, &Ports::one(MESSAGE, text)).await
}
