//! `chat_history`: the messages of the conversation so far.

use flowrun_core::compile::Scope;
use flowrun_core::conversation::{Message, Role};
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::late::Late;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::template::Text;
use flowrun_core::types::Type;
use flowrun_core::value::{ObjectBuilder, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::template::inputs_of;

const OUTPUT: &str = "chat_history";
/// The names by which the text reads the messages: ours, and that of other programs.
const MESSAGES: [&str; 2] = ["messages", OUTPUT];

/// Gives messages of the conversation, in the order in which they were said: as a text, or as a list for the
/// `chat_history` of a prompt. In an item of a map, those from before the map and those of the item.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChatHistory {
    /// How many messages at most. Default: 10.
    #[serde(default = "ten")]
    #[schemars(default = "ten_messages")]
    n: Late<u32>,
    /// Which ones: the `last`, or the `first`. Default: `last`.
    #[serde(default)]
    which: Which,
    /// How many of those are passed over, counted from the end that `which` names. Default: 0.
    #[serde(default)]
    offset: u32,
    /// Whose messages. Default: `[user, agent]`.
    #[serde(default = "both")]
    #[schemars(default = "both")]
    roles: Vec<Role>,
    /// Whether it gives a `text` or the list of `messages`. Default: `text`.
    #[serde(default)]
    give: Give,
    /// The text. It reads `messages`, a list of objects with `role`, `content` and `message_type`, the role in capitals;
    /// `chat_history` is the same list. Its other variables are inputs of the step. Default: a line `USER >> …` or `AGENT >> …` for each message.
    template: Option<Text>,
}

/// Which messages are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Which {
    /// The latest.
    #[default]
    Last,
    /// The earliest.
    First,
}

/// What is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Give {
    /// One text.
    #[default]
    Text,
    /// A list of objects with `role` and `content`.
    Messages,
}

fn ten() -> Late<u32> {
    Late::Now(ten_messages())
}

fn ten_messages() -> u32 {
    10
}

fn both() -> Vec<Role> {
    vec![Role::User, Role::Agent]
}

/// The messages that are meant, in their order.
fn chosen<'m>(all: &'m [Message], roles: &[Role], which: Which, offset: usize, n: usize) -> Vec<&'m Message> {
    let meant = all.iter().filter(|message| roles.contains(&message.role));
    match which {
        Which::First => meant.skip(offset).take(n).collect(),
        Which::Last => {
            let mut last: Vec<_> = meant.rev().skip(offset).take(n).collect();
            last.reverse();
            last
        }
    }
}

fn lines(messages: &[&Message]) -> String {
    let lines: Vec<_> =
        messages.iter().map(|m| format!("{} >> {}", m.role.word().to_uppercase(), m.content)).collect();
    lines.join("\n")
}

/// A message as the text reads it.
fn labelled(message: &Message) -> Value {
    let mut object = ObjectBuilder::default();
    object.set("role", message.role.word());
    object.set("content", &*message.content);
    object.set("message_type", message.role.word().to_uppercase());
    Value::Object(object.finish())
}

impl Step for ChatHistory {
    const TYPE: &'static str = "chat_history";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "so_far:\n  type: chat_history\n  n: 20\n  give: messages";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![
                Port::new("VARIABLE", Type::any())
                    .doc("One for each variable of the text but `messages` and `chat_history`."),
            ],
            outputs: vec![
                Port::new(OUTPUT, Type::string()).doc("The text; with `give: messages` the list of the messages."),
            ],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        if self.give == Give::Messages && self.template.is_some() {
            let message = "`template` writes a text, and the step gives the messages";
            return Err(scope.bad_key(&["template"], message).help("take one of the two out").into());
        }
        if self.roles.is_empty() {
            return Err(scope.bad(&["roles"], "`roles` names nobody's messages").into());
        }
        let mut inputs = inputs_of(self.template.iter().map(|text| (vec!["template".to_owned()], &**text)));
        inputs.retain(|port| !MESSAGES.contains(&port.name.as_str()));
        let gives = if self.give == Give::Text { Type::string() } else { Type::list(Type::object()) };
        Ok(Signature::new(inputs, vec![Port::new(OUTPUT, gives)]))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let all = cx.messages()?;
        let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        let messages = chosen(&all, &self.roles, self.which, count(self.offset), count(self.n.get(cx)?));
        let list = || Value::List(messages.iter().map(|message| message.to_value()).collect());
        let given = match (self.give, &self.template) {
            (Give::Messages, _) => list(),
            (Give::Text, None) => lines(&messages).into(),
            (Give::Text, Some(text)) => {
                let read: Value = messages.iter().map(|message| labelled(message)).collect::<Vec<_>>().into();
                let get = |name: &str| MESSAGES.contains(&name).then(|| read.clone());
                text.render(|name| get(name).or_else(|| input.get(name).cloned()))?.into()
            }
        };
        Ok(Outcome::next(Ports::one(OUTPUT, given)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_from_either_end_and_stay_in_order() {
        let said =
            [(Role::User, "a"), (Role::Agent, "b"), (Role::System, "s"), (Role::User, "c"), (Role::Agent, "d")];
        let all: Vec<_> = said.into_iter().map(|(role, text)| Message::new(role, text)).collect();
        let take = |roles: &[Role], which, offset, n| {
            chosen(&all, roles, which, offset, n).iter().map(|m| &*m.content).collect::<String>()
        };
        assert_eq!(take(&both(), Which::Last, 0, 10), "abcd");
        assert_eq!(take(&both(), Which::Last, 1, 2), "bc");
        assert_eq!(take(&both(), Which::First, 1, 2), "bc");
        assert_eq!(take(&both(), Which::First, 0, 0), "");
        assert_eq!(take(&[Role::System], Which::Last, 0, 10), "s");
        assert_eq!(lines(&chosen(&all, &both(), Which::First, 0, 2)), "USER >> a\nAGENT >> b");
    }
}
