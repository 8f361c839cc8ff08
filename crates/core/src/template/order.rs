//! Comparisons by order, `a < b`, of values that have none: a text and a number, or a null.
//!
//! The template engine orders all values, those of different kinds by their kind, so that `n > 3` of a text is silently
//! true. Here each such comparison is put in the words of a filter, `(n)|compared('>', (3))`, which refuses what has no
//! order. What stands in a line stays there, so that places of errors keep their lines.

use std::borrow::Cow;
use std::ops::Range;

use minijinja::machinery::{Token, tokenize};
use minijinja::value::{Rest, Value as Jinja, ValueKind};
use minijinja::{Environment, Error, ErrorKind};

/// The filter, which no text names itself.
pub(super) const FILTER: &str = "compared";

/// The names of tests that compare by order, each with its operator.
const TESTS: [(&str, &str); 10] = [
    ("lt", "<"),
    ("lessthan", "<"),
    ("<", "<"),
    ("le", "<="),
    ("<=", "<="),
    ("gt", ">"),
    ("greaterthan", ">"),
    (">", ">"),
    ("ge", ">="),
    (">=", ">="),
];

/// How many characters of a value an error shows.
const SHOWN: usize = 40;

/// The text of a template, or with `expression` of one expression, with its comparisons by order made strict. It has to
/// be one that parses.
pub(super) fn strict(source: &str, expression: bool) -> Cow<'_, str> {
    if !source.contains(['<', '>']) {
        return Cow::Borrowed(source);
    }
    let edits = edits(source, expression);
    if edits.is_empty() {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len() + edits.len() * FILTER.len() * 2);
    let mut from = 0;
    for (range, text) in edits {
        out.push_str(&source[from..range.start]);
        out.push_str(&text);
        from = range.end;
    }
    out.push_str(&source[from..]);
    Cow::Owned(out)
}

/// Parts of a text and what takes their place, in order.
type Edits = Vec<(Range<usize>, String)>;

/// What is compared in a row, `a < b <= c`, where it is read.
#[derive(Default)]
struct Chain {
    /// Where its first operand begins.
    start: Option<usize>,
    operators: Vec<(Range<usize>, &'static str)>,
    /// Whether `in` is among them, which the filter does not know.
    foreign: bool,
}

impl Chain {
    /// The edits that make the chain strict, if it compares by order.
    fn close(&mut self, end: usize, edits: &mut Edits) {
        let chain = std::mem::take(self);
        let by_order = chain.operators.iter().any(|(_, op)| op.starts_with(['<', '>']));
        let Some(start) = chain.start.filter(|_| by_order && !chain.foreign) else { return };
        edits.push((start..start, "(".to_owned()));
        for (n, (range, operator)) in chain.operators.into_iter().enumerate() {
            let open = if n == 0 { format!(")|{FILTER}(") } else { "), ".to_owned() };
            edits.push((range, format!("{open}'{operator}', (")));
        }
        edits.push((end..end, "))".to_owned()));
    }
}

fn edits(source: &str, expression: bool) -> Edits {
    let tokens = tokenize(source, expression, minijinja::syntax::SyntaxConfig::default());
    let tokens: Vec<_> = tokens.map_while(Result::ok).collect();
    // One chain for each bracket that is open, the innermost last.
    let mut chains = vec![Chain::default()];
    let mut edits = Edits::new();
    let mut end = 0;
    for (n, (token, span)) in tokens.iter().enumerate() {
        let range = span.start_offset as usize..span.end_offset as usize;
        let before = n.checked_sub(1).map(|n| &tokens[n].0);
        let after = tokens.get(n + 1).map(|(token, _)| token);
        let Some(chain) = chains.last_mut() else { break };
        match role(before, token, after) {
            Role::Operand => {
                chain.start.get_or_insert(range.start);
            }
            Role::Open => {
                chain.start.get_or_insert(range.start);
                chains.push(Chain::default());
            }
            Role::Close => {
                chain.close(end, &mut edits);
                chains.pop();
            }
            Role::Compares(operator) => chain.operators.push((range.clone(), operator)),
            Role::Foreign => chain.foreign = true,
            Role::Boundary => chain.close(end, &mut edits),
        }
        end = range.end;
    }
    if let Some(mut chain) = chains.pop() {
        chain.close(end, &mut edits);
    }
    edits.sort_by_key(|(range, _)| range.start);
    edits
}

/// What a token is to the comparison around it.
enum Role {
    /// A part of what is compared.
    Operand,
    Open,
    Close,
    Compares(&'static str),
    /// `in`, which compares too, and not by order.
    Foreign,
    /// What no operand reaches over: `and`, a comma, the begin of a block.
    Boundary,
}

fn role(before: Option<&Token<'_>>, token: &Token<'_>, after: Option<&Token<'_>>) -> Role {
    match token {
        Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => Role::Open,
        Token::ParenClose | Token::BracketClose | Token::BraceClose => Role::Close,
        Token::Lt => Role::Compares("<"),
        Token::Lte => Role::Compares("<="),
        Token::Gt => Role::Compares(">"),
        Token::Gte => Role::Compares(">="),
        Token::Eq => Role::Compares("=="),
        Token::Ne => Role::Compares("!="),
        // A name after a point is one whatever it is, and so is one where an operand has to stand.
        Token::Ident(_) if before.is_some_and(wants_operand) => Role::Operand,
        Token::Ident(_) if matches!(before, Some(Token::BlockStart)) => Role::Boundary,
        Token::Ident("in") => Role::Foreign,
        Token::Ident("not") => match (before, after) {
            (Some(Token::Ident("is")), _) => Role::Operand,
            (_, Some(Token::Ident("in"))) => Role::Foreign,
            _ => Role::Boundary,
        },
        Token::Ident("and" | "or" | "if" | "else") | Token::Comma | Token::Colon | Token::Assign => Role::Boundary,
        Token::TemplateData(_)
        | Token::VariableStart
        | Token::VariableEnd
        | Token::BlockStart
        | Token::BlockEnd => Role::Boundary,
        _ => Role::Operand,
    }
}

/// Whether what follows a token is a name or a value, even a word such as `not`.
fn wants_operand(token: &Token<'_>) -> bool {
    matches!(
        token,
        Token::Dot
            | Token::Lt
            | Token::Lte
            | Token::Gt
            | Token::Gte
            | Token::Eq
            | Token::Ne
            | Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::FloorDiv
            | Token::Mod
            | Token::Pow
            | Token::Tilde
    )
}

/// Makes an engine compare by order only what has one: by the filter, and by the tests `lt`, `gt` and so on, which filters
/// such as `select` name too.
pub(super) fn make_strict(engine: &mut Environment<'static>) {
    engine.add_filter(FILTER, compared);
    for (name, operator) in TESTS {
        engine.add_test(name, move |left: &Jinja, right: &Jinja| holds(left, operator, right));
    }
}

/// `(first)|compared('<', (second), '<=', (third))`.
#[expect(clippy::needless_pass_by_value, reason = "so the engine calls a filter")]
fn compared(first: &Jinja, rest: Rest<Jinja>) -> Result<bool, Error> {
    let mut left = first;
    for link in rest.chunks_exact(2) {
        let (operator, right) = (link[0].as_str().unwrap_or_default(), &link[1]);
        if !holds(left, operator, right)? {
            return Ok(false);
        }
        left = right;
    }
    Ok(true)
}

fn holds(left: &Jinja, operator: &str, right: &Jinja) -> Result<bool, Error> {
    for value in [left, right] {
        if value.is_undefined() {
            let detail = format!("an undefined value is compared by `{operator}`");
            return Err(Error::new(ErrorKind::UndefinedError, detail));
        }
    }
    if !matches!(operator, "==" | "!=") && !have_an_order(left, right) {
        return Err(Error::new(ErrorKind::InvalidOperation, no_order(left, operator, right)));
    }
    Ok(match operator {
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        ">=" => left >= right,
        "!=" => left != right,
        _ => left == right,
    })
}

fn have_an_order(left: &Jinja, right: &Jinja) -> bool {
    let kind = left.kind();
    kind == right.kind()
        && matches!(kind, ValueKind::Number | ValueKind::String | ValueKind::Bool | ValueKind::Seq)
}

fn no_order(left: &Jinja, operator: &str, right: &Jinja) -> String {
    let (of, to) = (name(left), name(right));
    let help = match (left.kind(), right.kind()) {
        (ValueKind::None, _) | (_, ValueKind::None) => "; test it first, as in `x is not none and x > 3`",
        (ValueKind::String, ValueKind::Number) | (ValueKind::Number, ValueKind::String) => {
            "; make the text a number first, as in `x|float > 3`"
        }
        _ => "",
    };
    let both = if of == to { format!("{of} and another") } else { format!("{of} and {to}") };
    format!("{both} have no order: {} {operator} {}{help}", shown(left), shown(right))
}

fn name(value: &Jinja) -> &'static str {
    match value.kind() {
        ValueKind::None => "null",
        ValueKind::Bool => "a boolean",
        ValueKind::Number => "a number",
        ValueKind::String => "a string",
        ValueKind::Seq | ValueKind::Iterable => "a list",
        ValueKind::Map => "an object",
        _ => "another value",
    }
}

fn shown(value: &Jinja) -> String {
    let text = match value.as_str() {
        Some(text) => format!("{text:?}"),
        None if value.is_none() => "null".to_owned(),
        None => value.to_string(),
    };
    if text.chars().count() <= SHOWN { text } else { text.chars().take(SHOWN).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{ENGINE, Expression, Extras, Template};
    use super::*;
    use crate::value::Value;

    #[test]
    fn comparisons_by_order_are_put_in_the_words_of_the_filter() {
        for (source, strict_source) in [
            ("n > 3", "(n )|compared('>', ( 3))"),
            ("n == 3 and x in y", "n == 3 and x in y"),
            ("not a.b|length + 1 <= (c) or d", "not (a.b|length + 1 )|compared('<=', ( (c))) or d"),
            ("1 < x <= 3", "(1 )|compared('<', ( x ), '<=', ( 3))"),
            ("f[a < b] < (c > d)", "(f[(a )|compared('<', ( b))] )|compared('<', ( ((c )|compared('>', ( d)))))"),
            ("x is not none and x.not < '<'", "x is not none and (x.not )|compared('<', ( '<'))"),
            ("1 > 1 < not -3", "(1 )|compared('>', ( 1 ), '<', ( not -3))"),
        ] {
            assert_eq!(strict(source, true), strict_source, "{source}");
        }
        let text = "a < b {% if a < b -%} c > d {{ {'k': 1 > x}['k'] }}{% elif not y>z %}{% endif %}";
        let strict_text = "a < b {% if (a )|compared('<', ( b)) -%} c > d {{ {'k': (1 )|compared('>', ( x))}['k'] }}{% elif not (y)|compared('>', (z)) %}{% endif %}";
        assert_eq!(strict(text, false), strict_text);
    }

    #[test]
    fn what_has_no_order_is_not_compared() {
        let eval = |source: &str, x: serde_json::Value| {
            let x = Value::try_from(x).unwrap();
            Expression::parse(source).unwrap().eval(|_| Some(x.clone()))
        };
        let said = |source: &str, x: serde_json::Value| eval(source, x).unwrap_err().message;
        assert_eq!(
            said("x > 3", "12".into()),
            "a string and a number have no order: \"12\" > 3; make the text a number first, as in `x|float > 3`"
        );
        assert!(said("x <= 3", serde_json::Value::Null).starts_with("null and a number have no order: null <= 3"));
        assert!(said("1 < x < 3", true.into()).starts_with("a number and a boolean have no order"));
        assert_eq!(said("x < x", serde_json::json!({})), "an object and another have no order: {} < {}");
        assert_eq!(eval("x is number and x > 3", "12".into()).unwrap(), Value::Bool(false), "it is not asked");
        assert_eq!(eval("x|int > 3", "12".into()).unwrap(), Value::Bool(true));
        assert!(said("x is gt 3", "12".into()).contains("have no order"));
        assert!(said("[1, x]|select('<', 3)|list", "12".into()).contains("have no order"));
        assert_eq!(eval("[1, x]|select('lt', 3)|list", 12.into()).unwrap(), Value::from(vec![Value::Int(1)]));
        assert_eq!(eval("1 < x <= 3 != 4", 3.into()).unwrap(), Value::Bool(true));
        let text = Template::parse("{% if x > 3 %}more{% endif %}", Extras::None).unwrap();
        assert!(text.render(|_| Some("12".into())).unwrap_err().message.contains("have no order"));
        assert_eq!(Expression::parse("x|compared('<', 1)").unwrap_err().message, "there is no filter `compared`");
    }

    fn expressions() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec!["1", "2", "-3", "x", "4.5", "[x, 2][0]", "'ab'|length"]);
        leaf.prop_map(str::to_owned).prop_recursive(5, 40, 4, |inner| {
            let operator =
                prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!=", "+", "-", "*", "and", "or"]);
            prop_oneof![
                (inner.clone(), operator.clone(), inner.clone()).prop_map(|(a, o, b)| format!("{a} {o} {b}")),
                (inner.clone(), operator, inner.clone()).prop_map(|(a, o, b)| format!("({a}){o}({b})")),
                inner.clone().prop_map(|a| format!("not {a}")),
                inner.clone().prop_map(|a| format!("({a})|int")),
                (inner.clone(), inner.clone(), inner.clone())
                    .prop_map(|(a, b, c)| format!("({a} if {b} else {c})")),
                (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{'k': {a}, 'l': {b}}}.k")),
                (inner.clone(), inner).prop_map(|(a, b)| format!("({a} is odd or [{b}, {a}][0 < 1|int])")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Where nothing is refused, nothing comes out otherwise than in the engine's own words.
        #[test]
        fn what_has_an_order_is_compared_as_ever(source in expressions(), x in -3_i64..6) {
            let engine: &minijinja::Environment<'static> = &ENGINE;
            let own = |text: &str| engine.compile_expression(text).and_then(|e| e.eval(minijinja::context!(x)));
            if let Ok(before) = engine.compile_expression(&source) {
                let before = before.eval(minijinja::context!(x));
                match own(&strict(&source, true)) {
                    Ok(after) => prop_assert_eq!(before.unwrap(), after, "{}", source),
                    Err(error) => prop_assert!(
                        before.is_err() || error.to_string().contains("have no order"),
                        "{}: {}", source, error
                    ),
                }
            }
        }
    }
}
