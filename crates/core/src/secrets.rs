//! Values of secret inputs, which stand nowhere but where the flow itself puts them.
//!
//! What people read is *masked*: `***` stands in the value's place. What a run keeps to go on with is *veiled*: the input's
//! name stands there, and the value comes back when the run goes on, for which it is given again.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use futures::future::BoxFuture;
use serde_json::Value as Json;

use crate::conversation::Message;
use crate::error::StepError;
use crate::events::Event;
use crate::flow::Flow;
use crate::journal::{ItemRecord, Journal};
use crate::value::Value;

/// What stands in the place of a secret.
const MASK: &str = "***";
/// What is shorter would be hidden in every other word.
pub const SHORTEST: usize = 4;
/// Lines of a secret of many lines that are hidden by themselves.
const SHORTEST_LINE: usize = 8;
/// Stands around a name in what is veiled; where a text has one itself, two stand for it.
const VEIL: char = '\u{e000}';

/// The secrets of a run.
#[derive(Clone, Default)]
pub struct Secrets(Option<Arc<Found>>);

struct Found {
    /// What is looked for, and what stands for it in what is veiled.
    forms: Vec<(String, String)>,
    /// Finds all of it at once, the longest first.
    finder: AhoCorasick,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forms = self.0.iter().flat_map(|found| &found.forms);
        f.debug_list().entries(forms.map(|(_, name)| name)).finish()
    }
}

impl Secrets {
    /// Texts by the names of their inputs. What has fewer than four characters is not hidden.
    pub fn new<'s>(values: impl IntoIterator<Item = (&'s str, &'s str)>) -> Self {
        let mut forms: Vec<(String, String)> = Vec::new();
        let mut add = |form: String, name: String| {
            if form.chars().count() >= SHORTEST && !forms.iter().any(|(known, _)| *known == form) {
                forms.push((form, name));
            }
        };
        for (name, value) in values {
            let value = value.trim();
            add(value.to_owned(), name.to_owned());
            let quoted = Json::from(value).to_string();
            add(quoted[1..quoted.len() - 1].to_owned(), format!("{name} json"));
            let percent = percent_encoded(value);
            add(percent.replace("%20", "+"), format!("{name} form"));
            add(percent, format!("{name} url"));
            for (n, line) in value.lines().map(str::trim).enumerate() {
                if line.len() >= SHORTEST_LINE {
                    add(line.to_owned(), format!("{name} {n}"));
                }
            }
        }
        let finder =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(forms.iter().map(|f| &f.0));
        match finder {
            // Too large for a finder: more than any input may hold.
            Err(_) => Self::default(),
            Ok(_) if forms.is_empty() => Self::default(),
            Ok(finder) => Self(Some(Arc::new(Found { forms, finder }))),
        }
    }

    /// Those among the inputs of a flow.
    pub fn of(flow: &Flow, inputs: &[Value]) -> Self {
        let secret = flow.inputs.iter().zip(inputs).filter(|(port, _)| port.secret);
        Self::new(secret.filter_map(|(port, value)| Some((port.name.as_str(), value.as_str()?))))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether one of them stands in the text.
    pub fn are_in(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|found| found.finder.is_match(text))
    }

    /// The text for people.
    pub fn masked<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match &self.0 {
            Some(found) if found.finder.is_match(text) => {
                let mut shown = String::with_capacity(text.len());
                found.finder.replace_all_with(text, &mut shown, |_, _, out| {
                    out.push_str(MASK);
                    true
                });
                Cow::Owned(shown)
            }
            _ => Cow::Borrowed(text),
        }
    }

    fn mask(&self, text: &mut String) {
        if let Cow::Owned(shown) = self.masked(text) {
            *text = shown;
        }
    }

    /// JSON for people: its texts are masked, names of entries too.
    pub fn masked_json(&self, json: &Json) -> Json {
        if self.is_empty() {
            return json.clone();
        }
        match json {
            Json::String(text) => self.masked(text).into(),
            Json::Array(items) => items.iter().map(|item| self.masked_json(item)).collect(),
            Json::Object(entries) => entries
                .iter()
                .map(|(name, value)| (self.masked(name).into_owned(), self.masked_json(value)))
                .collect(),
            other => other.clone(),
        }
    }

    /// An error for people.
    #[must_use]
    pub fn masked_error(&self, mut error: StepError) -> StepError {
        if self.is_empty() {
            return error;
        }
        self.mask(&mut error.message);
        error.help.iter_mut().for_each(|help| self.mask(help));
        error.details.iter_mut().for_each(|(_, text)| self.mask(text));
        error
    }

    /// Tells an event as people may hear it. Errors in it are masked where they arise.
    pub(crate) fn tell(&self, event: &Event<'_>, tell: impl Fn(&Event<'_>)) {
        match event {
            _ if self.is_empty() => tell(event),
            Event::StepFinished { at, step_type, branch, note: Some(note) } => {
                tell(&Event::StepFinished { at, step_type, branch, note: Some(&self.masked(note)) });
            }
            Event::Answered { at, model, prompt, reply } => {
                let shown = |(role, text): &(String, String)| (role.clone(), self.masked(text).into_owned());
                let prompt: Vec<_> = prompt.iter().map(shown).collect();
                tell(&Event::Answered { at, model, prompt: &prompt, reply: &self.masked(reply) });
            }
            Event::Said { at, message } => {
                let message = Message::new(message.role, &*self.masked(&message.content));
                tell(&Event::Said { at, message: &message });
            }
            Event::Note { at, text } => tell(&Event::Note { at, text: &self.masked(text) }),
            Event::Scored { at, scores } => tell(&Event::Scored { at, scores: &self.masked_json(scores) }),
            event => tell(event),
        }
    }

    /// JSON that is kept: in its texts, names stand for values.
    pub(crate) fn veiled<'t>(&self, json: &'t str) -> Cow<'t, str> {
        let Some(found) = &self.0 else { return Cow::Borrowed(json) };
        with_texts(json, |text| {
            if !found.finder.is_match(text) && !text.contains(VEIL) {
                return None;
            }
            let mut kept = String::with_capacity(text.len());
            let mut from = 0;
            for place in found.finder.find_iter(text) {
                push_plain(&mut kept, &text[from..place.start()]);
                kept.extend([VEIL]);
                kept.push_str(&found.forms[place.pattern()].1);
                kept.push(VEIL);
                from = place.end();
            }
            push_plain(&mut kept, &text[from..]);
            Some(kept)
        })
    }

    /// What was kept, as it was. A name that stands for nothing any more is left.
    pub(crate) fn unveiled<'t>(&self, json: &'t str) -> Cow<'t, str> {
        let Some(found) = &self.0 else { return Cow::Borrowed(json) };
        with_texts(json, |text| {
            if !text.contains(VEIL) {
                return None;
            }
            let mut was = String::with_capacity(text.len());
            let mut rest = text;
            while let Some((before, after)) = rest.split_once(VEIL) {
                was.push_str(before);
                let Some((name, after)) = after.split_once(VEIL) else {
                    was.push(VEIL);
                    rest = after;
                    continue;
                };
                match found.forms.iter().find(|(_, form)| form == name) {
                    _ if name.is_empty() => was.push(VEIL),
                    Some((value, _)) => was.push_str(value),
                    None => was.extend([VEIL.to_string().as_str(), name, VEIL.to_string().as_str()]),
                }
                rest = after;
            }
            was.push_str(rest);
            Some(was)
        })
    }
}

fn push_plain(kept: &mut String, text: &str) {
    for c in text.chars() {
        kept.push(c);
        if c == VEIL {
            kept.push(c);
        }
    }
}

/// As it stands in an address.
fn percent_encoded(text: &str) -> String {
    use fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// JSON with those of its texts replaced for which there is another one.
fn with_texts(json: &str, mut other: impl FnMut(&str) -> Option<String>) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let (mut changed, mut copied, mut at) = (String::new(), 0, 0);
    while let Some(start) = bytes[at..].iter().position(|b| *b == b'"').map(|n| at + n) {
        let mut end = start + 1;
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let literal = json.get(start..=end).unwrap_or_default();
        at = (end + 1).min(bytes.len());
        let text = if literal.contains('\\') {
            serde_json::from_str(literal).map(Cow::Owned).ok()
        } else {
            literal.get(1..literal.len().max(2) - 1).map(Cow::Borrowed)
        };
        if let Some(new) = text.and_then(|text: Cow<'_, str>| other(&text)) {
            changed.push_str(&json[copied..start]);
            changed.push_str(&Json::from(new).to_string());
            copied = at;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    changed.push_str(&json[copied..]);
    Cow::Owned(changed)
}

/// A journal in which names stand for the values of secrets.
pub struct Veiled {
    journal: Arc<dyn Journal>,
    secrets: Secrets,
}

impl Veiled {
    /// The journal behind a veil, which is none where there are no secrets.
    pub fn new(journal: Arc<dyn Journal>, secrets: Secrets) -> Self {
        Self { journal, secrets }
    }

    /// The same over another journal.
    pub(crate) fn over(self, journal: Arc<dyn Journal>) -> Self {
        Self { journal, ..self }
    }

    /// The same with other secrets.
    pub(crate) fn hiding(self, secrets: Secrets) -> Self {
        Self { secrets, ..self }
    }

    /// What it hides.
    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }
}

/// A record with its text changed; none where it stays as it is.
fn changed(record: &ItemRecord, change: impl Fn(&str) -> Option<String>) -> Result<Option<ItemRecord>, StepError> {
    let wrong =
        |e: serde_json::Error| StepError::new("journal.record", format!("an item cannot be kept: {e}")).fatal();
    let text = serde_json::to_string(record).map_err(wrong)?;
    change(&text).map(|changed| serde_json::from_str(&changed).map_err(wrong)).transpose()
}

/// The text where it is another one.
fn if_changed(text: Cow<'_, str>) -> Option<String> {
    match text {
        Cow::Owned(text) => Some(text),
        Cow::Borrowed(_) => None,
    }
}

impl Journal for Veiled {
    fn keeps(&self) -> bool {
        self.journal.keeps()
    }

    fn effect(&self, key: &str) -> Result<Option<String>, StepError> {
        let Some(kept) = self.journal.effect(key)? else { return Ok(None) };
        let was = if_changed(self.secrets.unveiled(&kept));
        Ok(Some(was.unwrap_or(kept)))
    }

    fn keep_effect(&self, key: String, outcome: String) -> Result<(), StepError> {
        let veiled = if_changed(self.secrets.veiled(&outcome));
        self.journal.keep_effect(key, veiled.unwrap_or(outcome))
    }

    fn keep_answer(&self, key: String, answer: String) -> Result<(), StepError> {
        let veiled = if_changed(self.secrets.veiled(&answer));
        self.journal.keep_answer(key, veiled.unwrap_or(answer))
    }

    fn item(&self, map: &str, index: u64) -> Result<Option<ItemRecord>, StepError> {
        let Some(kept) = self.journal.item(map, index)? else { return Ok(None) };
        if self.secrets.is_empty() {
            return Ok(Some(kept));
        }
        let was = changed(&kept, |text| if_changed(self.secrets.unveiled(text)))?;
        Ok(Some(was.unwrap_or(kept)))
    }

    fn keep_item(&self, map: &str, record: &ItemRecord) -> Result<(), StepError> {
        if self.secrets.is_empty() {
            return self.journal.keep_item(map, record);
        }
        let veiled = changed(record, |text| if_changed(self.secrets.veiled(text)))?;
        self.journal.keep_item(map, veiled.as_ref().unwrap_or(record))
    }

    fn outlives(&self) -> bool {
        self.journal.outlives()
    }

    fn settled(&self, must: bool) -> Option<BoxFuture<'_, Result<(), StepError>>> {
        self.journal.settled(must)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::journal::MemoryJournal;

    #[test]
    fn a_secret_is_masked_in_every_form() {
        let secrets =
            Secrets::new([("key", "a \"b\" ü/c"), ("short", "abc"), ("longer", "abcd-efgh"), ("part", "abcd")]);
        for (text, shown) in [
            ("say a \"b\" ü/c twice: a \"b\" ü/c", "say *** twice: ***"),
            (r#"{"x": "a \"b\" ü/c"}"#, r#"{"x": "***"}"#),
            ("https://host/?q=a%20%22b%22%20%C3%BC%2Fc&r=a+%22b%22+%C3%BC%2Fc", "https://host/?q=***&r=***"),
            ("abc", "abc"),
            ("abcd-efgh, abcd-e", "***, ***-e"),
        ] {
            assert_eq!(secrets.masked(text), shown);
        }
        assert!(secrets.are_in("xabcdx") && !secrets.are_in("abc"));
        assert!(Secrets::new([("short", " abc "), ("none", "")]).is_empty());
        assert_eq!(
            Secrets::new([("pem", "-----BEGIN\nMIIEvQIBADAN\n-----END")]).masked("at MIIEvQIBADAN"),
            "at ***"
        );
        let shown = format!("{secrets:?}");
        assert!(shown.contains("longer") && !shown.contains("abcd"), "{shown}");
    }

    /// What is kept, and whether as an answer.
    #[derive(Default)]
    struct Noted(std::sync::Mutex<Vec<(String, bool)>>);

    impl Journal for Noted {
        fn effect(&self, _: &str) -> Result<Option<String>, StepError> {
            Ok(None)
        }

        fn keep_effect(&self, _: String, outcome: String) -> Result<(), StepError> {
            self.0.lock().unwrap().push((outcome, false));
            Ok(())
        }

        fn keep_answer(&self, _: String, answer: String) -> Result<(), StepError> {
            self.0.lock().unwrap().push((answer, true));
            Ok(())
        }

        fn item(&self, _: &str, _: u64) -> Result<Option<ItemRecord>, StepError> {
            Ok(None)
        }

        fn keep_item(&self, _: &str, _: &ItemRecord) -> Result<(), StepError> {
            Ok(())
        }
    }

    #[test]
    fn an_answer_is_kept_as_one_without_the_secrets_in_it() {
        let noted = Arc::new(Noted::default());
        let secrets = Secrets::new([("key", "hunter2!")]);
        let veiled = Veiled::new(Arc::<Noted>::clone(&noted), secrets.clone());
        veiled.keep_answer("ask#1!input".to_owned(), "\"it is hunter2!\"".to_owned()).unwrap();
        veiled.keep_effect("ask#1!reply".to_owned(), "\"yes\"".to_owned()).unwrap();
        let answer = secrets.veiled("\"it is hunter2!\"").into_owned();
        assert!(!answer.contains("hunter2!"));
        assert_eq!(*noted.0.lock().unwrap(), [(answer, true), ("\"yes\"".to_owned(), false)]);
    }

    #[test]
    fn an_error_is_masked_in_all_its_lines() {
        let secrets = Secrets::new([("key", "hunter2!")]);
        let error =
            StepError::new("http.status", "no hunter2!").help("not hunter2!").detail("reply", "hunter2! again");
        let shown = format!("{:?}", secrets.masked_error(error));
        assert!(!shown.contains("hunter2") && shown.contains("***"), "{shown}");
    }

    #[test]
    fn a_name_stands_in_a_journal_and_the_value_comes_back() {
        let kept = Arc::new(MemoryJournal::new());
        let veiled = Veiled::new(kept.clone(), Secrets::new([("key", "hunter2!")]));
        let outcome = r#"{"a":"x hunter2! y","hunter2!":12345,"b":"\ue000 hunter2!\n"}"#;
        veiled.keep_effect("k".to_owned(), outcome.to_owned()).unwrap();
        let raw = kept.effect("k").unwrap().unwrap();
        assert!(!raw.contains("hunter2") && raw.contains("\u{e000}key\u{e000}"), "{raw}");
        let json = |text: &str| serde_json::from_str::<Json>(text).unwrap();
        assert_eq!(json(&veiled.effect("k").unwrap().unwrap()), json(outcome));
        // Without the secret, what is left is still JSON.
        let without = Veiled::new(kept, Secrets::new([("other", "sesame")]));
        assert!(without.effect("k").unwrap().unwrap().contains("\u{e000}key\u{e000}"));
    }

    proptest! {
        #[test]
        fn what_is_veiled_comes_back(
            value in r#"[ -~ü"\\]{1,12}"#,
            texts in prop::collection::vec(r#"[ -~"\\\u{e000}ü]{0,20}"#, 0..6),
            number in any::<i64>(),
        ) {
            let secrets = Secrets::new([("key", value.as_str()), ("two", "true"), ("three", "12345")]);
            let joined = texts.join(&value);
            let json = serde_json::json!({ "texts": texts, &value: joined, "n": number, "t": true }).to_string();
            let veiled = secrets.veiled(&json).into_owned();
            let again: Json = serde_json::from_str(&secrets.unveiled(&veiled)).unwrap();
            prop_assert_eq!(again, serde_json::from_str::<Json>(&json).unwrap());
            serde_json::from_str::<Json>(&veiled).unwrap();
            if value.trim().chars().count() >= SHORTEST {
                let Json::Object(kept) = serde_json::from_str(&veiled).unwrap() else { unreachable!() };
                prop_assert!(!kept.keys().any(|name| name.contains(value.trim())));
            }
        }

        #[test]
        fn texts_of_json_are_found_wherever_they_stand(text in "\\PC{0,40}") {
            // What is no JSON is left in peace, and what is comes back.
            let same = with_texts(&text, |found| Some(found.to_owned()));
            if let Ok(json) = serde_json::from_str::<Json>(&text) {
                prop_assert_eq!(serde_json::from_str::<Json>(&same).unwrap(), json);
            }
        }
    }
}
