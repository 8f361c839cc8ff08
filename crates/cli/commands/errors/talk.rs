//! Codes of conversations and of the limits of a flow.

use super::Codes;

pub(super) const TALK: Codes = &[
    (
        "run.waiting",
        "the run waits for an answer of somebody, and ends with exit code 3. Nothing has failed: `flowrun reply RUN TEXT` \
         answers, and the run goes on, with nothing done twice.",
    ),
    (
        "answer.unfit",
        "what was answered is no answer to the question: a message wants a text, a tool its result or an error, a \
         confirmation a yes or a no.",
    ),
    (
        "answer.unreadable",
        "a line at the terminal cannot be read, because it is no UTF-8 or the terminal is gone.",
    ),
    ("message.too_large", "a message of a conversation has more than 1 MiB."),
];

pub(super) const LIMITS: Codes = &[
    (
        "limit.calls",
        "a visit of a flow has made as many calls of models as its `limits: { max_calls }` allows. Everything below the \
         flow counts. Below it nothing catches this; around it, it is an error like others. At the top it ends the run.",
    ),
    (
        "limit.tokens",
        "a visit of a flow has used as many tokens as its `limits: { max_tokens }` allows. Calls that were in flight are \
         finished, so a little more than that may have been used.",
    ),
    (
        "flow.timeout",
        "a visit of an inner flow was not done within its `limits: { timeout }`. What was in flight in it was left. At the \
         top the time stops the run instead, as Ctrl-C does, and it can be resumed.",
    ),
    (
        "step.timeout",
        "a step was not done within the `limits: { step_timeout }` of its flow. What was in flight was left.",
    ),
];
