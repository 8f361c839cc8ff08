//! Texts and conditions in Jinja: `{{ row['country'] }}`, filters, loops; no calls, no imports, no macros.
//!
//! The variables that a text reads are found by parsing it. An undefined one is an error, and so is a null that is
//! printed; lists and objects print as JSON.

mod bridge;
mod order;
mod pieces;
mod plan;
mod text;
mod variables;

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use minijinja::value::Value as Jinja;
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior};

use crate::seed::Key;
use crate::value::Value;
use crate::words::push_thousands;
use plan::Plan;

pub use pieces::Piece;
pub use text::{Condition, OfflineText, PiecesText, Text};
pub use variables::Variable;

/// How many instructions one rendering may take; a loop over 100,000 items takes about a tenth.
const FUEL: u64 = 20_000_000;
const NAME: &str = "template";

/// What is wrong with a text or a condition, and where in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// A lower-case fragment.
    pub message: String,
    /// The bytes of the text that are meant, where that is known.
    pub range: Option<Range<usize>>,
    /// The line of the text, from 1.
    pub line: Option<usize>,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) if line > 1 => write!(f, "{} (line {line} of the text)", self.message),
            _ => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for TemplateError {}

impl From<Error> for TemplateError {
    fn from(error: Error) -> Self {
        let detail = error.detail().map(str::to_owned);
        let message = match (error.kind(), detail) {
            (ErrorKind::SyntaxError | ErrorKind::InvalidOperation | ErrorKind::UndefinedError, Some(detail)) => {
                detail
            }
            (ErrorKind::UndefinedError, None) => "undefined value".to_owned(),
            (ErrorKind::OutOfFuel, _) => "the text takes too long to render".to_owned(),
            (kind, Some(detail)) => format!("{kind}: {detail}"),
            (kind, None) => kind.to_string(),
        };
        Self { message, range: error.range(), line: error.line() }
    }
}

/// What a text may use beside its variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extras {
    /// Nothing.
    None,
    /// The seeded function `pick([…])`, of offline templates.
    Pick,
}

/// A text with holes.
pub struct Template {
    engine: Environment<'static>,
    variables: Vec<Variable>,
    names: Arc<[Arc<str>]>,
    plan: Option<Plan>,
}

impl Template {
    /// Parses a text.
    ///
    /// # Errors
    /// When it does not parse, calls something, or names a filter or test that does not exist.
    pub fn parse(source: &str, extras: Extras) -> Result<Self, TemplateError> {
        let tree = variables::tree(source)?;
        let variables = variables::of_template(&tree, extras)?;
        let plan = Plan::of(&tree, &variables);
        let mut engine = ENGINE.clone();
        engine.add_template_owned(NAME, order::strict(source, false).into_owned())?;
        let names = variables.iter().map(|v| v.name.as_str().into()).collect();
        Ok(Self { engine, variables, names, plan })
    }

    /// The variables that the text reads, in the order of their first use.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// Renders the text; `get` gives the values of its variables.
    ///
    /// # Errors
    /// When a variable has no value, a null is printed, or a filter refuses its input.
    pub fn render(&self, get: impl FnMut(&str) -> Option<Value>) -> Result<String, TemplateError> {
        self.rendered(get, None)
    }

    /// Renders an offline text, whose n-th `pick` draws from column `pick/n` below `key`.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn render_seeded(
        &self,
        key: &Key,
        get: impl FnMut(&str) -> Option<Value>,
    ) -> Result<String, TemplateError> {
        self.rendered(get, Some(key))
    }

    fn rendered(
        &self,
        get: impl FnMut(&str) -> Option<Value>,
        picks: Option<&Key>,
    ) -> Result<String, TemplateError> {
        let values = self.values(get);
        match self.plan.as_ref().and_then(|plan| plan.fill(&values)) {
            Some(text) => Ok(text),
            None => self.by_engine(&values, picks),
        }
    }

    /// The values of the variables, in their order.
    fn values(&self, mut get: impl FnMut(&str) -> Option<Value>) -> Vec<Option<Value>> {
        self.variables.iter().map(|variable| get(&variable.name)).collect()
    }

    fn by_engine(&self, values: &[Option<Value>], picks: Option<&Key>) -> Result<String, TemplateError> {
        let scope = bridge::scope(&self.names, &self.variables, values, picks.cloned())?;
        Ok(self.engine.get_template(NAME)?.render(scope)?)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("variables", &self.variables).finish_non_exhaustive()
    }
}

/// A condition or a computed value in the language of the templates.
pub struct Expression {
    compiled: minijinja::Expression<'static, 'static>,
    variables: Vec<Variable>,
    names: Arc<[Arc<str>]>,
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let variables = variables::of_expression(source)?;
        let engine: &'static Environment<'static> = &ENGINE;
        let compiled = engine.compile_expression_owned(order::strict(source, true).into_owned())?;
        let names = variables.iter().map(|v| v.name.as_str().into()).collect();
        Ok(Self { compiled, variables, names })
    }

    /// The variables that it reads, in the order of their first use.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// Computes the value; `get` gives the values of its variables.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn eval(&self, mut get: impl FnMut(&str) -> Option<Value>) -> Result<Value, TemplateError> {
        let values: Vec<_> = self.variables.iter().map(|variable| get(&variable.name)).collect();
        let scope = bridge::scope(&self.names, &self.variables, &values, None)?;
        bridge::from_jinja(&self.compiled.eval(scope)?)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expression").field("variables", &self.variables).finish_non_exhaustive()
    }
}

/// The settings of every text; a constant, cloned for each.
static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Strict);
    engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    engine.set_formatter(format_value);
    engine.set_fuel(Some(FUEL));
    engine.set_debug(true);
    engine.add_filter("thousands", with_separators);
    order::make_strict(&mut engine);
    for function in ["range", "dict", "namespace", "debug", "cycler", "joiner", "lipsum"] {
        engine.remove_global(function);
    }
    engine
});

/// `{{ 12500000|thousands }}` is `12,500,000`; digits after the point stay as they are.
fn with_separators(value: &Jinja) -> Result<String, Error> {
    let text = if value.is_number() { value.to_string() } else { String::new() };
    separated(&text)
        .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, format!("`thousands` wants a number, not {value}")))
}

/// The text of a number with separators; nothing if it is not one with digits.
fn separated(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len() + text.len() / 3);
    push_separated(&mut out, text)?;
    Some(out)
}

/// Appends the text of a number with separators; gives nothing, and appends it or not, if it is not one with digits.
fn push_separated(out: &mut String, text: &str) -> Option<()> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let whole = whole.parse().ok()?;
    if digits.len() < text.len() {
        out.push('-');
    }
    push_thousands(out, whole);
    out.push_str(rest);
    Some(())
}

fn format_value(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Jinja) -> Result<(), Error> {
    if value.is_undefined() {
        return Ok(());
    }
    if value.is_none() {
        let detail = "a null was printed; test it first (`{% if x is not none %}`)";
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    }
    let written = match value.as_str() {
        Some(text) => out.write_str(text),
        None => match value.kind() {
            minijinja::value::ValueKind::Map
            | minijinja::value::ValueKind::Seq
            | minijinja::value::ValueKind::Iterable => out.write_str(&bridge::json_text(value)?),
            minijinja::value::ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" }),
            _ => write!(out, "{value}"),
        },
    };
    written.map_err(|_| Error::new(ErrorKind::WriteFailure, "the text could not be written"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, vars: serde_json::Value) -> Result<String, TemplateError> {
        let vars = Value::try_from(vars).unwrap();
        Template::parse(source, Extras::None)?.render(|name| vars.as_object().unwrap().get(name).cloned())
    }

    #[test]
    fn values_print_as_text_and_json() {
        let vars = serde_json::json!({"row": {"a": 6.0, "b": [1, "é"]}, "n": 3, "t": true});
        assert_eq!(
            render("{{ row['a'] }} {{ row.b }} {{ n }} {{ t }}", vars.clone()).unwrap(),
            "6.0 [1,\"é\"] 3 true"
        );
        assert_eq!(render("{{ row }}", vars).unwrap(), "{\"a\":6.0,\"b\":[1,\"é\"]}");
    }

    #[test]
    fn an_undefined_value_is_an_error() {
        let error = render("{{ row.missing }}", serde_json::json!({"row": {}})).unwrap_err();
        assert_eq!(error.message, "`row.missing` is undefined");
        let error = render("{{ x }}", serde_json::json!({})).unwrap_err();
        assert_eq!(error.message, "`x` has no value");
    }

    #[test]
    fn a_printed_null_is_an_error_and_a_tested_one_is_not() {
        let null = serde_json::json!({"x": null});
        assert!(render("{{ x }}", null.clone()).unwrap_err().message.starts_with("a null was printed"));
        assert_eq!(render("{% if x is none %}-{% else %}{{ x }}{% endif %}", null.clone()).unwrap(), "-");
        assert_eq!(render("{% if x is defined %}{{ x }}{% else %}none{% endif %}", null).unwrap(), "none");
    }

    #[test]
    fn calls_and_unknown_filters_are_refused_when_parsing() {
        for (source, message) in [
            ("{{ range(3) }}", "texts cannot call anything; `range(…)` is a call"),
            ("{{ x.items() }}", "texts cannot call anything"),
            ("{{ x|nope }}", "there is no filter `nope`"),
            ("{% if x is nope %}{% endif %}", "there is no test `nope`"),
            ("{{ x ", "unexpected end of input, expected end of variable block"),
            ("{% include 'x' %}", "unknown statement include"),
        ] {
            assert_eq!(Template::parse(source, Extras::None).unwrap_err().message, message, "{source}");
        }
    }

    #[test]
    fn picks_are_drawn_from_the_key() {
        let template = Template::parse("{{ pick(['a', 'b', 'c']) }}{{ pick([1, 2]) }}", Extras::Pick).unwrap();
        let texts: Vec<_> =
            (0..20).map(|n| template.render_seeded(&Key::new(n, "s", "offline"), |_| None).unwrap()).collect();
        let again: Vec<_> =
            (0..20).map(|n| template.render_seeded(&Key::new(n, "s", "offline"), |_| None).unwrap()).collect();
        assert_eq!(texts, again);
        assert!(texts.iter().any(|t| t != &texts[0]));
    }

    #[test]
    fn expressions_keep_types() {
        let eval = |source: &str| {
            Expression::parse(source).unwrap().eval(|name| (name == "n").then_some(Value::Int(4))).unwrap()
        };
        assert_eq!(eval("n + 1"), Value::Int(5));
        assert_eq!(eval("n / 8"), Value::Float(0.5));
        assert_eq!(eval("n > 3 and n < 9"), Value::Bool(true));
        assert_eq!(eval("[n, 'x']"), Value::from(vec![Value::Int(4), "x".into()]));
    }
}
