//! `parse_verdict`: reads a judge's VALID or INVALID.

use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::step::{Effect, Outcome, Step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reads a judge's verdict. The whole upper-case word INVALID anywhere wins; else VALID; a text with neither is not
/// valid, with the reason `no verdict`, and is counted apart in the run's summary.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ParseVerdict {}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct In {
    /// The judge's reply.
    text: String,
}

#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Out {
    /// Whether the verdict is VALID.
    is_valid: bool,
    /// What follows the verdict, trimmed.
    reason: String,
}

const NO_VERDICT: &str = "no verdict";

fn verdict(text: &str) -> Out {
    for (word, is_valid) in [("INVALID", false), ("VALID", true)] {
        if let Some(after) = after_word(text, word) {
            let reason = after.trim_start_matches(|c: char| c.is_whitespace() || ":.,;-–—*`)\"'".contains(c));
            return Out { is_valid, reason: reason.trim_end().to_owned() };
        }
    }
    Out { is_valid: false, reason: NO_VERDICT.to_owned() }
}

/// The text after the first place where `word` stands as a whole word.
fn after_word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let is_inner = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).find_map(|(at, _)| {
        let after = &text[at + word.len()..];
        let whole = !is_inner(text[..at].chars().next_back()) && !is_inner(after.chars().next());
        whole.then_some(after)
    })
}

impl Step for ParseVerdict {
    const TYPE: &'static str = "parse_verdict";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "valid:\n  type: parse_verdict\n  with: { text: judge.verdict }";

    type Input = In;
    type Output = Out;

    async fn run(&self, cx: &StepCx<'_>, input: In) -> Result<Outcome<Out>, StepError> {
        let out = verdict(&input.text);
        if out.reason == NO_VERDICT {
            cx.count(NO_VERDICT, 1);
        }
        Ok(Outcome::next(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_wins_and_words_are_whole() {
        for (text, is_valid, reason) in [
            ("VALID", true, ""),
            ("VALID: all five criteria hold.", true, "all five criteria hold."),
            ("It looks VALID, but I say INVALID - the rate is wrong\n", false, "the rate is wrong"),
            ("**INVALID** because", false, "because"),
            ("INVALIDATED", false, NO_VERDICT),
            ("valid", false, NO_VERDICT),
            ("", false, NO_VERDICT),
            ("NOT_VALID", false, NO_VERDICT),
        ] {
            assert_eq!(verdict(text), Out { is_valid, reason: reason.to_owned() }, "{text}");
        }
    }
}
