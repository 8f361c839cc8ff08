//! `choice`: a model picks one of several named ways.

use std::collections::HashSet;
use std::num::NonZeroU32;

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::late::Late;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::template::{OfflineText, Text};
use flowrun_core::types::Type;
use flowrun_core::value::{ObjectBuilder, Value};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::prompt::Prompt;

const CHOICES: &str = "choices";
const SELECTED: &str = "selected_choice";
const REPLY: &str = "llm_output";

/// What is asked where the step says nothing.
const QUESTION: &str = "Which of these fits the text best?

{% for choice in choices %}- {{ choice.name }}: {{ choice.description }}
{% endfor %}
# Text

{{ input }}

# Reply

Reply with the name of the one that fits best, exactly as it stands above, and with nothing else.";

/// Asks a model which of several named choices fits, and takes the branch of that name. The reply may say more than the
/// name; one that names none of them, or more than one, is the error `choice.unclear`, or takes the branch `otherwise`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    /// The model, by its name under `models:`.
    model: String,
    /// The choices by name, each with a sentence that says when it fits. The names are branches.
    choices: IndexMap<String, String>,
    /// The question, as one message of the user. It reads `choices`, a list of objects with `name` and `description`; its
    /// other variables are inputs of the step. Default: a question about the input `input`.
    template: Option<Text>,
    /// What answers where the model is offline: a text over the step's inputs, `choices`, `attempt` and `pick([…])`.
    offline: Option<OfflineText>,
    /// The branch that a reply without a clear choice takes; without one, that is an error.
    otherwise: Option<String>,
    /// What `selected_choice` is where `otherwise` was taken, in the place of null.
    default: Option<String>,
    /// Most tokens of the reply, in place of the model's own setting.
    max_tokens: Option<Late<NonZeroU32>>,
    /// How freely the model chooses its words, in place of the model's own setting; 0 is the least free.
    temperature: Option<Late<f64>>,
}

impl Choice {
    /// The step that asks.
    fn prompt(&self) -> Result<Prompt, String> {
        let text = match &self.template {
            Some(text) => text.clone(),
            None => Text::parse(QUESTION).map_err(|e| e.to_string())?,
        };
        let prompt = Prompt::of(&self.model, text, self.offline.clone());
        Ok(prompt.tuned(self.max_tokens.clone(), self.temperature.clone()))
    }

    fn described(&self) -> Value {
        let each = self.choices.iter().map(|(name, description)| {
            let mut choice = ObjectBuilder::default();
            choice.set("name", name.as_str()).set("description", description.as_str());
            Value::Object(choice.finish())
        });
        Value::List(each.collect())
    }

    fn check(&self, scope: &Scope<'_>) -> Diagnostics {
        let mut wrong = Diagnostics::new();
        if self.choices.len() < 2 {
            wrong.push(scope.bad(&[CHOICES], "a choice wants at least two `choices`"));
        }
        let mut seen = HashSet::new();
        for name in self.choices.keys() {
            let folded = name.trim().to_lowercase();
            if folded.is_empty() {
                wrong.push(scope.bad_key(&[CHOICES, name], "a choice has a name"));
            } else if !seen.insert(folded) {
                let message =
                    format!("`{name}` is another choice's name too: replies are read without their case");
                wrong.push(scope.bad_key(&[CHOICES, name], message));
            }
        }
        if self.default.is_some() && self.otherwise.is_none() {
            let message = "`default` is what is given where `otherwise` was taken, and there is no `otherwise`";
            wrong.push(scope.bad_key(&["default"], message));
        }
        wrong
    }
}

/// The choice that a reply names: the reply itself, or the only one that stands in it as a whole word. A longer name goes
/// before a shorter one within it.
fn named<'c>(reply: &str, choices: impl Iterator<Item = &'c str>) -> Result<&'c str, Vec<&'c str>> {
    let reply = reply.to_lowercase();
    let bare = reply.trim_matches(|c: char| c.is_whitespace() || c.is_ascii_punctuation());
    let mut folded: Vec<(&str, String)> = choices.map(|name| (name, name.trim().to_lowercase())).collect();
    if let Some((name, _)) = folded.iter().find(|(_, folded)| reply.trim() == folded || bare == folded) {
        return Ok(name);
    }
    folded.sort_by_key(|(_, folded)| std::cmp::Reverse(folded.len()));
    let (mut found, mut taken) = (Vec::new(), Vec::new());
    for (name, folded) in folded {
        let whole = |at: usize, end: usize| {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            !reply[..at].ends_with(word) && !reply[end..].starts_with(word)
        };
        for (at, _) in reply.match_indices(&folded) {
            let end = at + folded.len();
            if whole(at, end) && !taken.iter().any(|(from, to)| at < *to && *from < end) {
                taken.push((at, end));
                if !found.contains(&name) {
                    found.push(name);
                }
            }
        }
    }
    match found.as_slice() {
        [only] => Ok(only),
        _ => Err(found),
    }
}

fn unclear(reply: String, found: &[&str]) -> StepError {
    let message = if found.is_empty() {
        "the reply names none of the choices".to_owned()
    } else {
        let names: Vec<_> = found.iter().map(|name| format!("`{name}`")).collect();
        format!("the reply names more than one choice: {}", names.join(", "))
    };
    StepError::new("choice.unclear", message)
        .detail("reply", reply)
        .help("ask for the name alone, say `otherwise: BRANCH`, or retry it: `retry_on: [choice.unclear]`")
}

impl Step for Choice {
    const TYPE: &'static str = "choice";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "route:\n  type: choice\n  model: router\n  with: { input: inputs.message }\n  choices:\n    refund: The customer wants money back.\n    question: The customer asks something about an order.\n  otherwise: unclear\n  offline: \"{{ pick(['refund', 'question']) }}\"\n  next: { refund: refund, question: answer, unclear: hand_over }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![
                Port::new("VARIABLE", Type::any()).doc("One for each variable of the text but `choices`."),
            ],
            outputs: vec![
                Port::new(SELECTED, Type::string())
                    .doc("The name of the choice; `default`, else null, where `otherwise` was taken."),
                Port::new(REPLY, Type::string()).doc("The reply as it came."),
            ],
            branches: vec!["CHOICE: each named in `choices`".into(), "OTHERWISE: what `otherwise` says".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        self.check(scope).into_result()?;
        let prompt = self.prompt().map_err(|message| scope.bad(&["template"], message))?;
        let mut signature = prompt.signature(scope)?;
        signature.inputs.retain(|port| port.name != CHOICES);
        if self.template.is_none() {
            // Its places are those of a text that does not stand in the file.
            signature.inputs.iter_mut().for_each(|port| port.asked = None);
        }
        let mut selected = Type::string();
        let names = self.choices.keys().chain(&self.default);
        selected.one_of = Some(names.map(|name| Value::from(name.as_str())).collect());
        let may_be_null = self.otherwise.is_some() && self.default.is_none();
        let selected = if may_be_null { selected.nullable() } else { selected };
        signature.outputs = vec![Port::new(SELECTED, selected), Port::new(REPLY, Type::string())];
        let mut branches: Vec<String> = self.choices.keys().cloned().collect();
        branches.extend(self.otherwise.clone().filter(|branch| !self.choices.contains_key(branch)));
        Ok(signature.branches(branches))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let prompt = self.prompt().map_err(|e| StepError::new("template.failed", e))?;
        let given = input.iter().map(|(name, value)| (name.as_ref(), value.clone()));
        let given: Ports = given.chain([(CHOICES, self.described())]).collect();
        let reply = prompt.reply(cx, &given).await?;
        let outcome = |branch: &str, selected: Value, reply: String| {
            Outcome::branch(branch, [(SELECTED, selected), (REPLY, Value::from(reply))].into_iter().collect())
        };
        match (named(&reply, self.choices.keys().map(String::as_str)), &self.otherwise) {
            (Ok(name), _) => Ok(outcome(name, name.into(), reply)),
            (Err(_), Some(otherwise)) => {
                let selected = self.default.as_deref().map_or(Value::Null, Value::from);
                Ok(outcome(otherwise, selected, reply))
            }
            (Err(found), None) => Err(unclear(reply, &found)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["refund", "order", "order status", "Größe"];

    fn read(reply: &str) -> Result<&'static str, Vec<&'static str>> {
        named(reply, NAMES.into_iter())
    }

    #[test]
    fn a_reply_names_one_choice() {
        for (reply, name) in [
            ("refund", "refund"),
            ("  **Refund**.\n", "refund"),
            ("I would say: refund, since the customer wants a refund.", "refund"),
            ("order status", "order status"),
            ("It is about the order status!", "order status"),
            ("GRÖSSE or rather größe", "Größe"),
        ] {
            assert_eq!(read(reply), Ok(name), "{reply}");
        }
    }

    #[test]
    fn a_reply_that_names_none_or_several_is_unclear() {
        assert_eq!(read("refundable, reorder, order_status"), Err(vec![]));
        assert_eq!(read(""), Err(vec![]));
        assert_eq!(read("order or refund"), Err(vec!["refund", "order"]));
        assert_eq!(read("order status, or just order"), Err(vec!["order status", "order"]));
        assert_eq!(unclear("both".into(), &["a", "b"]).message, "the reply names more than one choice: `a`, `b`");
    }

    #[test]
    fn the_question_reads_the_choices_and_the_input() {
        let text = Text::parse(QUESTION).unwrap();
        let names: Vec<&str> = text.variables().iter().map(|v| v.name.as_str()).collect();
        assert_eq!(names, ["choices", "input"]);
    }
}
