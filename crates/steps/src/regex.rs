//! `regex`: what a pattern matches in a text.

use std::borrow::Cow;
use std::sync::OnceLock;

use fancy_regex::{Error, Regex, RegexBuilder};
use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::extract::given;

/// How often a pattern may go back in one search.
const MOST_BACKTRACKING: usize = 1_000_000;

/// Finds what a regular expression matches: the first match, the last, or all of them. Empty matches do not count.
/// Where nothing matches, that is the error `regex.missing`, or the default; with `all`, it is an empty list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegexStep {
    /// The regular expression. Look-ahead `(?=…)`, look-behind `(?<=…)` and back references `\1` are known.
    pattern: String,
    /// Which match is given. Default: the first.
    #[serde(default, rename = "match")]
    which: Which,
    /// Whether all matches are given, as a list. Default: no.
    #[serde(default)]
    all: bool,
    /// How the pattern is read. Default: case counts, `^` and `$` are the ends of the text, and `.` is no line break.
    #[serde(default)]
    flags: Vec<Flag>,
    /// The group that is given, by name or by number; 0 is the whole match. Default: the pattern's only group, or the
    /// whole match if it has none.
    group: Option<Group>,
    /// What is given where nothing matches; without it, that is an error. Not with `all`.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Option<serde_json::Value>")]
    default: Option<Value>,
    #[serde(skip)]
    compiled: OnceLock<Result<Pattern, Wrong>>,
}

/// One match of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Which {
    /// The first match in the text.
    #[default]
    First,
    /// The last match in the text.
    Last,
}

/// How a pattern is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Flag {
    /// Capital and small letters are the same.
    IgnoreCase,
    /// `^` and `$` are the ends of lines too.
    Multiline,
    /// `.` is any character, a line break too.
    Dotall,
    /// White space in the pattern means nothing, and `#` begins a comment.
    Verbose,
}

/// The name or the number of a group.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Group(Value);

impl JsonSchema for Group {
    fn schema_name() -> Cow<'static, str> {
        "Group".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]})
    }
}

/// What is wrong with the configuration.
#[derive(Debug)]
struct Wrong {
    /// The key at which it stands.
    key: &'static str,
    message: String,
    help: Option<&'static str>,
    /// A name that is not known, and those that are.
    unknown: Option<(String, Vec<String>)>,
}

impl Wrong {
    fn at(key: &'static str, message: impl Into<String>) -> Self {
        Self { key, message: message.into(), help: None, unknown: None }
    }
}

/// A compiled pattern, and the number of the group that is meant.
#[derive(Debug)]
struct Pattern {
    regex: Regex,
    group: usize,
}

impl Pattern {
    /// The group's text in every match where it has one.
    fn parts<'t>(&self, text: &'t str) -> impl Iterator<Item = Result<&'t str, Error>> {
        self.regex.captures_iter(text).filter_map(move |found| match found {
            Ok(found) => found.get(self.group).map(|part| part.as_str()).filter(|part| !part.is_empty()).map(Ok),
            Err(error) => Some(Err(error)),
        })
    }
}

impl RegexStep {
    /// The pattern, compiled once.
    fn compiled(&self) -> &Result<Pattern, Wrong> {
        self.compiled.get_or_init(|| self.compile())
    }

    fn compile(&self) -> Result<Pattern, Wrong> {
        if self.all && self.default.is_some() {
            let message = "`default` does not go with `all`, which gives an empty list where nothing matches";
            return Err(Wrong::at("default", message));
        }
        if self.all && self.which == Which::Last {
            return Err(Wrong::at("match", "`match` does not go with `all`, which gives every match"));
        }
        let has = |flag: Flag| self.flags.contains(&flag);
        let regex = RegexBuilder::new(&self.pattern)
            .case_insensitive(has(Flag::IgnoreCase))
            .multi_line(has(Flag::Multiline))
            .dot_matches_new_line(has(Flag::Dotall))
            .verbose_mode(has(Flag::Verbose))
            .backtrack_limit(MOST_BACKTRACKING)
            .build()
            .map_err(|error| {
                let why = self.in_words(&error);
                Wrong::at("pattern", format!("`pattern` is no regular expression: {why}"))
            })?;
        let group = self.group_of(&regex)?;
        Ok(Pattern { regex, group })
    }

    /// Why the pattern is none: the last line of what its parser says, as a fragment.
    fn in_words(&self, error: &Error) -> String {
        let (said, place) = match error {
            Error::ParseError(at, why) => {
                let before = self.pattern.get(..*at).unwrap_or(&self.pattern);
                (why.to_string(), format!(", at character {}", before.chars().count() + 1))
            }
            Error::CompileError(why) => (why.to_string(), String::new()),
            other => (other.to_string(), String::new()),
        };
        let mut letters = said.lines().last().unwrap_or_default().chars();
        let fragment: String = letters.next().into_iter().flat_map(char::to_lowercase).chain(letters).collect();
        fragment + &place
    }

    /// The number of the group that is meant.
    fn group_of(&self, regex: &Regex) -> Result<usize, Wrong> {
        let groups = regex.captures_len().saturating_sub(1);
        match self.group.as_ref().map(|group| &group.0) {
            None if groups <= 1 => Ok(groups),
            None => Err(Wrong {
                help: Some("write `group: 1`, or `group: NAME` for `(?<NAME>…)`; `group: 0` is the whole match"),
                ..Wrong::at(
                    "pattern",
                    format!("the pattern has {groups} groups, and `group` does not say which is meant"),
                )
            }),
            Some(Value::Int(number)) => {
                let known = usize::try_from(*number).ok().filter(|number| *number <= groups);
                known.ok_or_else(|| {
                    let message = format!("there is no group {number}: the pattern's last group is {groups}");
                    Wrong::at("group", message)
                })
            }
            Some(Value::String(name)) => {
                let place = regex.capture_names().position(|known| known == Some(&**name));
                place.ok_or_else(|| {
                    let known = regex.capture_names().flatten().map(str::to_owned).collect();
                    let message = format!("the pattern has no group `{name}`");
                    Wrong { unknown: Some((name.to_string(), known)), ..Wrong::at("group", message) }
                })
            }
            Some(other) => Err(Wrong::at("group", format!("`group` is a name or a number, not {other}"))),
        }
    }

    fn output_type(&self) -> Type {
        if self.all {
            return Type::list(Type::string());
        }
        match &self.default {
            Some(Value::String(_)) | None => Type::string(),
            Some(Value::Null) => Type::string().nullable(),
            Some(_) => Type::any(),
        }
    }

    fn find(&self, pattern: &Pattern, text: &str) -> Result<Option<Value>, Error> {
        let mut parts = pattern.parts(text);
        if self.all {
            let all: Vec<Value> = parts.map(|part| part.map(Value::from)).collect::<Result<_, _>>()?;
            return Ok(Some(all.into()));
        }
        let part = match self.which {
            Which::First => parts.next().transpose()?,
            Which::Last => parts.try_fold(None, |_, part| part.map(Some))?,
        };
        Ok(part.map(Value::from))
    }
}

impl Step for RegexStep {
    const TYPE: &'static str = "regex";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "amount:\n  type: regex\n  with: { text: write.draft }\n  pattern: 'total: (?<amount>[0-9.]+)(?= EUR)'\n  match: last\n  flags: [ignore_case]\n  output: amount";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("text", Type::string()).doc("The text.")],
            outputs: vec![Port::new("output", Type::string()).doc("The match; the list of matches with `all`.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        if let Err(wrong) = self.compiled() {
            let mut found = scope.bad(&[wrong.key], wrong.message.as_str());
            if let Some(help) = wrong.help {
                found = found.help(help);
            }
            if let Some((name, known)) = &wrong.unknown {
                found = found.suggest(name, known.iter().map(String::as_str));
            }
            return Err(found.into());
        }
        let output = Port::new("output", self.output_type());
        Ok(Signature::new(vec![Port::new("text", Type::string())], vec![output]))
    }

    async fn run(&self, _: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let text = input.get("text").and_then(Value::as_str).unwrap_or_default();
        let shown = || text.chars().take(2000).collect::<String>();
        let pattern =
            self.compiled().as_ref().map_err(|wrong| StepError::new("regex.config", wrong.message.as_str()))?;
        let found = self.find(pattern, text).map_err(|error| {
            StepError::new("regex.too_slow", format!("`{}` takes too long on the text", self.pattern))
                .detail("reason", error.to_string())
                .detail("text", shown())
                .help("change the pattern so that a text can match it in one way only; `(a+)+` has many")
        })?;
        let value = found.or_else(|| self.default.clone()).ok_or_else(|| {
            StepError::new("regex.missing", format!("the text has no match of `{}`", self.pattern))
                .detail("text", shown())
                .help("retry the step that wrote it (`retry_on: [regex.missing]`), or give a `default:`")
        })?;
        Ok(Outcome::next(Ports::one("output", value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(json: &str) -> RegexStep {
        serde_json::from_str(json).unwrap()
    }

    fn found(json: &str, text: &str) -> Option<Value> {
        let step = step(json);
        step.find(step.compiled().as_ref().unwrap(), text).unwrap()
    }

    fn wrong(json: &str) -> (&'static str, String) {
        let wrong = step(json).compile().unwrap_err();
        (wrong.key, wrong.message)
    }

    #[test]
    fn the_first_the_last_and_all_matches() {
        assert_eq!(found(r#"{"pattern": "[0-9]+"}"#, "a 1 b 22"), Some("1".into()));
        assert_eq!(found(r#"{"pattern": "[0-9]+", "match": "last"}"#, "a 1 b 22"), Some("22".into()));
        let all: Value = vec![Value::from("1"), Value::from("22")].into();
        assert_eq!(found(r#"{"pattern": "[0-9]+", "all": true}"#, "a 1 b 22"), Some(all));
        assert_eq!(found(r#"{"pattern": "[0-9]+", "all": true}"#, "none"), Some(Vec::<Value>::new().into()));
        assert_eq!(found(r#"{"pattern": "[0-9]+"}"#, "none"), None);
    }

    #[test]
    fn empty_matches_do_not_count() {
        assert_eq!(found(r#"{"pattern": "[0-9]*"}"#, "ab 7"), Some("7".into()));
        assert_eq!(found(r#"{"pattern": "[0-9]*", "match": "last"}"#, "7 ab"), Some("7".into()));
        assert_eq!(found(r#"{"pattern": "a(b?)"}"#, "a ab"), Some("b".into()));
        assert_eq!(found(r#"{"pattern": "a(b)?"}"#, "a a"), None);
    }

    #[test]
    fn groups_are_meant_by_name_or_number() {
        let text = "12 EUR, 13 USD";
        let pattern = r#""pattern": "(?<sum>[0-9]+) (?<unit>[A-Z]+)""#;
        assert_eq!(found(&format!(r#"{{{pattern}, "group": "unit"}}"#), text), Some("EUR".into()));
        assert_eq!(found(&format!(r#"{{{pattern}, "group": 1}}"#), text), Some("12".into()));
        assert_eq!(found(&format!(r#"{{{pattern}, "group": 0}}"#), text), Some("12 EUR".into()));
        assert_eq!(wrong(&format!("{{{pattern}}}")).0, "pattern");
        assert_eq!(wrong(&format!(r#"{{{pattern}, "group": 3}}"#)).0, "group");
        assert_eq!(wrong(&format!(r#"{{{pattern}, "group": "units"}}"#)).1, "the pattern has no group `units`");
    }

    #[test]
    fn patterns_look_around_and_refer_back() {
        assert_eq!(found(r#"{"pattern": "[0-9]+(?= EUR)"}"#, "12 USD, 13 EUR"), Some("13".into()));
        assert_eq!(found(r#"{"pattern": "(?<=#)[a-z]+"}"#, "a #tag"), Some("tag".into()));
        assert_eq!(found(r#"{"pattern": "([a-z])\\1", "group": 0}"#, "abba"), Some("bb".into()));
    }

    #[test]
    fn flags_change_how_a_pattern_is_read() {
        assert_eq!(found(r#"{"pattern": "TOTAL", "flags": ["ignore_case"]}"#, "total"), Some("total".into()));
        assert_eq!(found(r#"{"pattern": "^b$", "flags": ["multiline"]}"#, "a\nb\nc"), Some("b".into()));
        assert_eq!(found(r#"{"pattern": "a.b", "flags": ["dotall"]}"#, "a\nb"), Some("a\nb".into()));
        assert_eq!(found(r#"{"pattern": "a b # both", "flags": ["verbose"]}"#, "ab"), Some("ab".into()));
        for plain in ["TOTAL", "^b$", "a.b"] {
            assert_eq!(found(&format!(r#"{{"pattern": "{plain}"}}"#), "total\na\nb\nc"), None, "{plain}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let (key, message) = wrong(r#"{"pattern": "(a"}"#);
        assert_eq!(key, "pattern");
        assert!(message.starts_with("`pattern` is no regular expression: opening parenthesis"), "{message}");
        assert_eq!(wrong(r#"{"pattern": "a", "all": true, "default": ""}"#).0, "default");
        assert_eq!(wrong(r#"{"pattern": "a", "all": true, "match": "last"}"#).0, "match");
    }

    #[test]
    fn a_default_that_is_null_is_one() {
        assert_eq!(step(r#"{"pattern": "a", "default": null}"#).output_type().to_string(), "string?");
        assert_eq!(step(r#"{"pattern": "a"}"#).default, None);
    }

    #[test]
    fn a_pattern_that_takes_too_long_is_given_up() {
        let step = step(r#"{"pattern": "^(a|b|ab)*(?<!b)!"}"#);
        let pattern = step.compiled().as_ref().unwrap();
        assert!(step.find(pattern, &format!("{}!", "ab".repeat(50))).is_err());
    }
}
