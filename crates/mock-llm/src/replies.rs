//! What a model says: a function of the request's body and identity, and of nothing else.

use std::borrow::Cow;
use std::fmt;

use regex::Regex;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::instance::instance;
use crate::{Plan, Rule, StartError, Verdicts};

/// Most data lines that a text quotes.
const MOST_FACTS: usize = 24;

/// The parts of a request that a reply follows from.
#[derive(Deserialize)]
pub(crate) struct Request<'a> {
    #[serde(borrow, default)]
    pub(crate) model: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) messages: Vec<RequestMessage<'a>>,
    #[serde(default)]
    pub(crate) stream: bool,
    #[serde(default)]
    pub(crate) stream_options: Option<StreamOptions>,
    #[serde(default)]
    pub(crate) logprobs: Option<bool>,
    #[serde(default)]
    response_format: Option<Value>,
    #[serde(default)]
    tools: Option<Vec<Value>>,
    #[serde(default)]
    tool_choice: Option<Value>,
}

#[derive(Deserialize)]
pub(crate) struct RequestMessage<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "content")]
    content: Cow<'a, str>,
}

/// The text of a message: itself, the texts among its parts, or nothing.
fn content<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'a, str>, D::Error> {
    struct Texts;

    impl<'de> Visitor<'de> for Texts {
        type Value = Cow<'de, str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or a list of parts")
        }

        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(text))
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Cow::Owned(text.to_owned()))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(""))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
            let mut text = String::new();
            while let Some(part) = parts.next_element::<Part>()? {
                text.push_str(&part.0);
            }
            Ok(Cow::Owned(text))
        }
    }

    deserializer.deserialize_any(Texts)
}

/// The text of a part; that of a picture is empty.
struct Part(String);

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfPart;

        impl<'de> Visitor<'de> for OfPart {
            type Value = Part;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a part of a message")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut part: A) -> Result<Part, A::Error> {
                let mut text = String::new();
                while let Some(key) = part.next_key::<String>()? {
                    if key == "text" {
                        text = part.next_value()?;
                    } else {
                        part.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Part(text))
            }
        }

        deserializer.deserialize_map(OfPart)
    }
}

#[derive(Default, Deserialize)]
pub(crate) struct StreamOptions {
    #[serde(default)]
    pub(crate) include_usage: bool,
}

impl Request<'_> {
    /// The system messages and the last user message, joined by line breaks.
    fn prompt(&self) -> Cow<'_, str> {
        let last_user = self.messages.iter().rposition(|message| message.role == "user");
        let mut parts = self
            .messages
            .iter()
            .enumerate()
            .filter(|(index, message)| message.role == "system" || Some(*index) == last_user);
        let first = parts.next().map_or("", |(_, message)| &*message.content);
        parts.fold(Cow::Borrowed(first), |joined, (_, message)| {
            Cow::Owned(format!("{joined}\n{}", message.content))
        })
    }

    /// Tokens of the messages, at four characters each.
    pub(crate) fn tokens(&self) -> usize {
        self.messages.iter().map(|message| tokens(&message.content)).sum()
    }

    /// The schema that the reply must have, and the tool that must be called for it.
    fn wanted(&self) -> Option<(Option<&str>, &Value)> {
        if let Some(schema) = self.response_format.as_ref().and_then(|f| f.pointer("/json_schema/schema")) {
            return Some((None, schema));
        }
        let forced = match self.tool_choice.as_ref()? {
            Value::String(word) if word == "required" => None,
            choice => Some(choice.pointer("/function/name")?.as_str()?),
        };
        let tools = self.tools.iter().flatten().filter_map(|tool| tool.get("function"));
        let mut named = tools.filter_map(|tool| Some((tool.get("name")?.as_str()?, tool.get("parameters")?)));
        named.find(|(name, _)| forced.is_none_or(|forced| forced == *name)).map(|(name, p)| (Some(name), p))
    }
}

/// Tokens of a text, at four characters each.
pub(crate) fn tokens(text: &str) -> usize {
    text.chars().count().div_ceil(4)
}

/// What the model says.
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) finish_reason: String,
    /// The tool that it calls; then the text is its arguments.
    pub(crate) tool: Option<String>,
    /// Names the completion.
    pub(crate) id: u64,
}

/// The rules and default replies of a plan.
pub(crate) struct Replies {
    script: Vec<(Regex, Rule)>,
    rules: Vec<(Regex, Rule)>,
    verdicts: Verdicts,
    asks_for_valid: Regex,
    asks_for_invalid: Regex,
}

impl Replies {
    pub(crate) fn new(plan: &Plan) -> Result<Self, StartError> {
        let expression = |text: &str| Regex::new(text).map_err(|error| StartError::Rule(Box::new(error)));
        let ready = |rules: &[Rule]| -> Result<Vec<_>, StartError> {
            rules.iter().map(|rule| Ok((expression(&rule.when)?, rule.clone()))).collect()
        };
        Ok(Self {
            script: ready(&plan.replies)?,
            rules: ready(&plan.rules)?,
            verdicts: plan.verdicts,
            asks_for_valid: expression(r"\bVALID\b")?,
            asks_for_invalid: expression(r"\bINVALID\b")?,
        })
    }

    /// The answer to a request; `body` is its bytes, `arrival` its number, from 0.
    pub(crate) fn answer(
        &self,
        request: &Request<'_>,
        body: &[u8],
        identity: Option<&str>,
        arrival: u64,
    ) -> Answer {
        let hash = hash(body, identity);
        let prompt = request.prompt();
        let scripted = usize::try_from(arrival).ok().and_then(|arrival| self.script.get(arrival));
        let mut rules = scripted.into_iter().chain(&self.rules);
        if let Some((captures, rule)) = rules.find_map(|(when, rule)| Some((when.captures(&prompt)?, rule))) {
            let mut text = String::new();
            captures.expand(&rule.reply, &mut text);
            let Rule { finish_reason, tool, .. } = rule.clone();
            return Answer { text, finish_reason, tool, id: hash };
        }
        if let Some((tool, schema)) = request.wanted() {
            let text = instance(schema, hash).to_string();
            let finish_reason = if tool.is_some() { "tool_calls" } else { "stop" }.to_owned();
            return Answer { text, finish_reason, tool: tool.map(str::to_owned), id: hash };
        }
        let text = if self.asks_for_invalid.is_match(&prompt) && self.asks_for_valid.is_match(&prompt) {
            judge(self.verdicts, hash).to_owned()
        } else {
            write(&prompt, hash)
        };
        Answer { text, finish_reason: "stop".to_owned(), tool: None, id: hash }
    }
}

fn hash(body: &[u8], identity: Option<&str>) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(identity.unwrap_or_default().as_bytes()).update(&[0]).update(body);
    let mut word = [0; 8];
    hasher.finalize_xof().fill(&mut word);
    u64::from_le_bytes(word)
}

fn judge(verdicts: Verdicts, hash: u64) -> &'static str {
    let share = f64::from((hash >> 32) as u32) / (f64::from(u32::MAX) + 1.0);
    if share < verdicts.valid {
        "VALID The text follows from the data and contradicts none of it."
    } else if share < verdicts.valid + verdicts.invalid {
        "INVALID The text leaves out a figure that the decision rests on."
    } else {
        "The text needs another look before anything can be said about it."
    }
}

/// A text that carries every data line of the prompt, so that a reader can check it against them.
fn write(prompt: &str, hash: u64) -> String {
    const OPENINGS: [&str; 4] = [
        "The file was read in full.",
        "The case was looked at as a whole.",
        "All of the data was weighed.",
        "The record speaks clearly.",
    ];
    const CLOSINGS: [&str; 4] = [
        "Taken together this carries the decision.",
        "On these grounds the decision stands.",
        "Nothing in it speaks against the decision.",
        "This is what the decision rests on.",
    ];
    let [opening, middle, closing, ..] = hash.to_le_bytes().map(usize::from);

    let mut text = format!("Justification: {}", OPENINGS[opening % OPENINGS.len()]);
    for (number, (key, value)) in facts(prompt).take(MOST_FACTS).enumerate() {
        let sentence = match (middle + number) % 3 {
            0 => format!(" The {key} is {value}."),
            1 => format!(" With {key} at {value} the picture is consistent."),
            _ => format!(" It matters that {key} is {value}."),
        };
        text.push_str(&sentence);
    }
    text.push(' ');
    text.push_str(CLOSINGS[closing % CLOSINGS.len()]);
    text
}

/// The `Key: value` lines of a prompt.
fn facts(prompt: &str) -> impl Iterator<Item = (&str, &str)> {
    prompt.lines().filter_map(|line| {
        let line = line.trim_start_matches(['-', '*', '•', ' ', '\t']);
        let (key, value) = line.split_once(':')?;
        let value = value.strip_prefix(' ')?.trim();
        let is_key = key.len() <= 40
            && key.starts_with(char::is_alphabetic)
            && key.chars().all(|letter| letter.is_alphanumeric() || " _-()/%".contains(letter));
        (is_key && !value.is_empty() && value.len() <= 120).then_some((key, value))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Rule;

    fn answer(plan: &Plan, messages: &[(&str, &str)], identity: &str) -> Answer {
        let messages: Vec<_> =
            messages.iter().map(|(role, content)| json!({ "role": role, "content": content })).collect();
        let body = json!({ "model": "m", "messages": messages }).to_string();
        let request: Request<'_> = serde_json::from_str(&body).unwrap();
        Replies::new(plan).unwrap().answer(&request, body.as_bytes(), Some(identity), 0)
    }

    #[test]
    fn texts_carry_the_data_and_depend_on_the_call_alone() {
        let prompt = "Write about:\n- Income: 52,000\nLoan amount: 10 000 EUR\nSee http://x: no\nEmpty:\n";
        let text = |identity| answer(&Plan::default(), &[("user", prompt)], identity).text;
        assert!(text("a").starts_with("Justification: "));
        for fact in ["Income", "52,000", "Loan amount", "10 000 EUR"] {
            assert!(text("a").contains(fact), "{}", text("a"));
        }
        assert!(!text("a").contains("Empty") && !text("a").contains("http"));
        assert_eq!(text("a"), text("a"));
        assert!(["b", "c", "d", "e"].iter().any(|identity| text(identity) != text("a")));
    }

    #[test]
    fn verdicts_have_their_shares() {
        let count = |verdicts, word| {
            let plan = Plan { verdicts, ..Plan::default() };
            (0..1000)
                .filter(|n: &u32| {
                    answer(&plan, &[("user", "Say VALID or INVALID.")], &n.to_string()).text.starts_with(word)
                })
                .count()
        };
        assert!((70..130).contains(&count(Verdicts::default(), "INVALID")));
        assert_eq!(count(Verdicts { valid: 1.0, invalid: 0.0 }, "VALID"), 1000);
        assert_eq!(count(Verdicts { valid: 0.0, invalid: 0.0 }, "The text"), 1000);
        assert!(answer(&Plan::default(), &[("user", "This is INVALID.")], "a").text.starts_with("Justification"));
    }

    #[test]
    fn the_first_rule_that_matches_answers() {
        let cut = Rule::new("long", "cut").finish("length");
        let plan = Plan {
            rules: vec![Rule::new(r"capital of (?<land>\w+)", "${land} City"), cut, Rule::new("", "else")],
            ..Plan::default()
        };
        assert_eq!(answer(&plan, &[("system", "long"), ("user", "the capital of Peru?")], "").text, "Peru City");
        assert_eq!(answer(&plan, &[("system", "long"), ("user", "x")], "").finish_reason, "length");
        assert_eq!(answer(&plan, &[("user", "long"), ("assistant", "y"), ("user", "x")], "").text, "else");
    }
}
