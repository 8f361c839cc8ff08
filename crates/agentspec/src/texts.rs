//! Texts with holes. Core nodes know `{{ name }}` and nothing else, so that all else stands for itself; plugin nodes are
//! Jinja.

use std::fmt::Write;

use flowrun_core::template::{Extras, Template, TemplateError};

/// Words that mean something in an expression, so that no variable has them for a name.
const KEYWORDS: &[&str] = &[
    "true", "false", "none", "True", "False", "None", "not", "and", "or", "in", "is", "if", "else", "loop", "self",
];

/// A hole of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    /// The variable that it is here.
    pub(crate) variable: String,
    /// Its name in the document.
    pub(crate) name: String,
}

/// The holes of several texts: one name has one variable in all of them.
#[derive(Debug, Default)]
pub(crate) struct Holes {
    pub(crate) found: Vec<Hole>,
}

impl Holes {
    fn variable(&mut self, name: &str) -> String {
        if let Some(hole) = self.found.iter().find(|hole| hole.name == name) {
            return hole.variable.clone();
        }
        let variable = if is_plain(name) { name.to_owned() } else { format!("hole_{}_", self.found.len()) };
        self.found.push(Hole { variable: variable.clone(), name: name.to_owned() });
        variable
    }

    /// A text of a core node as one in Jinja that renders alike.
    pub(crate) fn jinja(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 16);
        let mut rest = text;
        while let Some((before, name, after)) = next_hole(rest) {
            literal(&mut out, before, false);
            let variable = self.variable(name);
            // Writing to a string cannot fail.
            let _ = write!(out, "{{{{ {variable} }}}}");
            rest = after;
        }
        literal(&mut out, rest, true);
        out
    }
}

/// The names of the holes of a core text, each once.
pub(crate) fn names(text: &str) -> Vec<String> {
    let mut holes = Holes::default();
    holes.jinja(text);
    holes.found.into_iter().map(|hole| hole.name).collect()
}

/// A text without holes, whatever it holds, as one in Jinja.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    literal(&mut out, text, true);
    out
}

/// A Jinja text as one of a core node that renders alike: one of holes alone. Nothing where it does more.
pub(crate) fn core(text: &str) -> Option<String> {
    // Jinja drops a line break at the end.
    let text = text.strip_suffix('\n').unwrap_or(text);
    let mut rest = text;
    let is_literal = |part: &str| !["{{", "{%", "{#"].iter().any(|mark| part.contains(mark));
    while let Some((before, name, after)) = next_hole(rest) {
        // A brace before a hole would be read with it.
        if !is_literal(before) || before.ends_with('{') || !is_plain(name) {
            return None;
        }
        rest = after;
    }
    is_literal(rest).then(|| text.to_owned())
}

/// A text that is the branch which conditions take: the first one that is true.
pub(crate) fn conditions(all: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (n, (branch, condition)) in all.iter().enumerate() {
        let word = if n == 0 { "if" } else { "elif" };
        // Writing to a string cannot fail.
        let _ = write!(out, "{{% {word} {condition} %}}{}", escaped(branch));
    }
    out.push_str("{% else %}default{% endif %}");
    out
}

/// Whether a name of a hole is one of a variable.
fn is_plain(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !KEYWORDS.contains(&name)
}

/// What stands before the next hole, its name, and what follows.
fn next_hole(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find("{{").map(|n| n + from) {
        let inside = text[at + 2..].trim_start();
        let end = inside.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(inside.len());
        if end > 0
            && let Some(after) = inside[end..].trim_start().strip_prefix("}}")
        {
            return Some((&text[..at], &inside[..end], after));
        }
        from = at + 1;
    }
    None
}

/// Text that stands for itself. `last`: nothing follows it.
fn literal(out: &mut String, text: &str, last: bool) {
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let follows = chars.peek().map(|(_, next)| *next);
        let line_break = last && text[at..] == *"{\n";
        match c {
            '{' if line_break => out.push_str("{{ '{' }}"),
            '{' if matches!(follows, Some('{' | '%' | '#')) || (follows.is_none() && !last) => {
                out.push_str("{{ '{' }}");
            }
            // Jinja drops a line break at the end.
            '\n' if last && at + 1 == text.len() => out.push_str("{{ '\\n' }}"),
            c => out.push(c),
        }
    }
}

/// A variable of a Jinja text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) name: String,
    /// Whether it is printed as it is, so that it is a text.
    pub(crate) printed: bool,
    /// Whether the text tests it, so that it may be absent.
    pub(crate) optional: bool,
}

/// The variables of a Jinja text.
pub(crate) fn variables(text: &str) -> Result<Vec<Read>, TemplateError> {
    let template = Template::parse(text, Extras::None)?;
    let printed = names(text);
    let each = template.variables().iter().map(|variable| Read {
        name: variable.name.clone(),
        printed: printed.contains(&variable.name),
        optional: variable.optional,
    });
    Ok(each.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowrun_core::value::Value;
    use proptest::prelude::*;

    fn rendered(text: &str) -> String {
        let mut holes = Holes::default();
        let jinja = holes.jinja(text);
        let template = Template::parse(&jinja, Extras::None).unwrap_or_else(|e| panic!("{jinja:?}: {e:?}"));
        let name_of = |variable: &str| holes.found.iter().find(|h| h.variable == variable).unwrap().name.clone();
        template.render(|variable| Some(Value::from(format!("<{}>", name_of(variable))))).unwrap()
    }

    #[test]
    fn only_names_in_double_braces_are_holes() {
        for (text, expected) in [
            ("a {{x}} b", "a <x> b"),
            ("{{ x }}{{  y_1 }}", "<x><y_1>"),
            ("{{x}} {{x}}", "<x> <x>"),
            ("{{ a.b }}", "{{ a.b }}"),
            ("{{ a|upper }}", "{{ a|upper }}"),
            ("{% if a %}{{a}}{% endif %}", "{% if a %}<a>{% endif %}"),
            ("{{{x}}}", "{<x>}"),
            ("{{ {{x}} }}", "{{ <x> }}"),
            ("{# no note #}", "{# no note #}"),
            ("{{ none }} {{ 1st }} {{ größe }}", "<none> <1st> <größe>"),
            ("ends with a line\n", "ends with a line\n"),
            ("two\n\n", "two\n\n"),
            ("{", "{"),
            ("{{", "{{"),
            ("{{ '{' }}", "{{ '{' }}"),
            ("", ""),
        ] {
            assert_eq!(rendered(text), expected, "{text}");
        }
    }

    #[test]
    fn a_text_of_holes_alone_goes_back() {
        for (text, back) in [
            ("a {{x}} b {{ y }}\n", Some("a {{x}} b {{ y }}")),
            ("plain {x} 5%", Some("plain {x} 5%")),
            ("{{ x|upper }}", None),
            ("{{ a.b }}", None),
            ("{% if a %}{{ a }}{% endif %}", None),
            ("{# note #}{{ a }}", None),
            ("{{- a }}", None),
            ("{{ true }}", None),
            ("{{{ a }}}", None),
        ] {
            assert_eq!(core(text).as_deref(), back, "{text}");
        }
    }

    #[test]
    fn variables_of_jinja_are_found() {
        let found =
            variables("{{ a }}{{ b.c }}{% if d %}{{ d }}{% endif %}{% for e in f %}{{ e }}{% endfor %}").unwrap();
        let shown: Vec<_> = found.iter().map(|r| (r.name.as_str(), r.printed, r.optional)).collect();
        assert_eq!(shown, [("a", true, false), ("b", false, false), ("d", true, true), ("f", false, false)]);
        assert!(variables("{{ a").is_err());
    }

    proptest! {
        #[test]
        fn a_text_without_holes_renders_as_itself(text in "[{}%#a \n'\"\\\\]{0,20}") {
            prop_assume!(names(&text).is_empty());
            prop_assert_eq!(rendered(&text), text);
        }
    }
}
