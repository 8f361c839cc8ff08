//! The quick way through a text that only has values put into it: no loops, no conditions, no filters but two.
//!
//! Prompts are of this kind, and thousands of them are rendered. A [`Plan`] knows the pieces of such a text and writes
//! them one after the other. It only ever says what the template engine would say too: for a text of another kind there
//! is no plan, and for a value that is not plainly printable, such as a missing field, [`Plan::fill`] gives nothing and
//! the engine renders the text from the start, with its own words for what is wrong.

use std::fmt::Write;

use minijinja::machinery::ast;

use super::Variable;
use crate::value::{Value, scalar_text};
use crate::words::{push_number, push_thousands};

/// Above so many pieces, the engine's limit on instructions could come first.
const MOST_PIECES: usize = 100_000;

/// Room for a value whose text is not known beforehand: a number, mostly.
const ROOM: usize = 24;

/// The pieces of a text in order.
#[derive(Debug)]
pub(super) struct Plan {
    pieces: Vec<Piece>,
    /// Bytes of all texts.
    texts: usize,
    holes: usize,
}

#[derive(Debug)]
enum Piece {
    Text(Box<str>),
    Hole(Hole),
}

/// A value that is put in.
#[derive(Debug)]
struct Hole {
    /// The place among the text's variables.
    variable: usize,
    /// The fields that lead from the variable to the value.
    path: Box<[Box<str>]>,
    filter: Filter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    None,
    Thousands,
    Lower,
}

impl Plan {
    /// The plan of a text, if it is simple enough to have one.
    pub(super) fn of(tree: &ast::Stmt<'_>, variables: &[Variable]) -> Option<Self> {
        let ast::Stmt::Template(template) = tree else { return None };
        if template.children.len() > MOST_PIECES {
            return None;
        }
        let piece = |statement: &ast::Stmt<'_>| match statement {
            ast::Stmt::EmitRaw(raw) => Some(Piece::Text(raw.raw.into())),
            ast::Stmt::EmitExpr(emit) => hole(&emit.expr, variables).map(Piece::Hole),
            _ => None,
        };
        let pieces = template.children.iter().map(piece).collect::<Option<Vec<_>>>()?;
        let length = |piece: &Piece| if let Piece::Text(text) = piece { text.len() } else { 0 };
        let texts = pieces.iter().map(length).sum();
        let holes = pieces.iter().filter(|piece| matches!(piece, Piece::Hole(_))).count();
        Some(Self { pieces, texts, holes })
    }

    /// The text with these values of its variables; nothing where the engine has to say what becomes of one of them.
    pub(super) fn fill(&self, values: &[Option<Value>]) -> Option<String> {
        let mut found = Vec::with_capacity(self.holes);
        let mut length = self.texts;
        for piece in &self.pieces {
            if let Piece::Hole(hole) = piece {
                let value = hole.find(values)?;
                length += value.as_str().map_or(ROOM, str::len);
                found.push(value);
            }
        }
        let mut found = found.into_iter();
        let mut out = String::with_capacity(length);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Hole(hole) => print(&mut out, found.next()?, hole.filter)?,
            }
        }
        Some(out)
    }
}

impl Hole {
    fn find<'v>(&self, values: &'v [Option<Value>]) -> Option<&'v Value> {
        let root = values.get(self.variable)?.as_ref()?;
        self.path.iter().try_fold(root, |value, field| value.as_object()?.get(field))
    }
}

fn hole(expr: &ast::Expr<'_>, variables: &[Variable]) -> Option<Hole> {
    let (of, filter) = match expr {
        ast::Expr::Filter(call) if call.args.is_empty() => {
            let filter = match call.name {
                "thousands" => Filter::Thousands,
                "lower" => Filter::Lower,
                _ => return None,
            };
            (call.expr.as_ref()?, filter)
        }
        other => (other, Filter::None),
    };
    let mut path = Vec::new();
    let mut here = of;
    let name = loop {
        match here {
            ast::Expr::Var(var) => break var.id,
            ast::Expr::GetAttr(attr) => {
                path.push(attr.name.into());
                here = &attr.expr;
            }
            ast::Expr::GetItem(item) => {
                path.push(item.subscript_expr.as_const()?.as_str()?.into());
                here = &item.expr;
            }
            _ => return None,
        }
    };
    path.reverse();
    let variable = variables.iter().position(|v| v.name == name)?;
    Some(Hole { variable, path: path.into(), filter })
}

/// Writes a value as the engine does, or gives nothing and leaves something or nothing behind.
fn print(out: &mut String, value: &Value, filter: Filter) -> Option<()> {
    match (filter, value) {
        (Filter::None, Value::String(text)) => out.push_str(text),
        (Filter::None, Value::Bool(truth)) => out.push_str(if *truth { "true" } else { "false" }),
        (Filter::None, Value::Int(number)) => {
            sign(out, *number);
            push_number(out, number.unsigned_abs());
        }
        (Filter::None, Value::Float(number)) => float(out, *number)?,
        (Filter::None, Value::List(_) | Value::Object(_)) => out.push_str(&serde_json::to_string(value).ok()?),
        (Filter::None, Value::Decimal(_) | Value::Date(_) | Value::Timestamp(_) | Value::Duration(_)) => {
            out.push_str(&scalar_text(value)?);
        }
        (Filter::Lower, Value::String(text)) => out.push_str(&text.to_lowercase()),
        (Filter::Thousands, Value::Int(number)) => {
            sign(out, *number);
            push_thousands(out, number.unsigned_abs());
        }
        (Filter::Thousands, Value::Float(number)) => {
            let mut text = String::new();
            float(&mut text, *number)?;
            super::push_separated(out, &text)?;
        }
        _ => return None,
    }
    Some(())
}

fn sign(out: &mut String, number: i64) {
    if number < 0 {
        out.push('-');
    }
}

/// A float always shows that it is one.
fn float(out: &mut String, number: f64) -> Option<()> {
    if !number.is_finite() {
        return None;
    }
    let from = out.len();
    write!(out, "{number}").ok()?;
    if !out[from..].contains('.') {
        out.push_str(".0");
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::{Extras, Template};
    use crate::table::{MemoryTable, Table};
    use crate::value::{List, Object, Value};

    /// Texts of which most, but not all, have a plan.
    fn sources() -> impl Strategy<Value = String> {
        let text = prop::sample::select(vec![
            "a",
            "é\n",
            "\n",
            " ",
            "{ }",
            "%",
            "{# c #}",
            "{%- raw %}{{ x }}{% endraw %}",
        ]);
        let root = prop::sample::select(vec!["x", "row", "rows", "loop", "self", "true", "none", "'x'", "1.5"]);
        let part =
            prop::sample::select(vec!["", "", ".a", "['a']", "['b c']", ".b", "[0]", "[x]", ".a.b", "['a']['a']"]);
        let filter = prop::sample::select(vec![
            "",
            "",
            "",
            "|lower",
            "|thousands",
            "|upper",
            "|thousands|lower",
            "|default('d')",
            "|lower()",
            "|tojson",
        ]);
        let open = prop::sample::select(vec!["{{ ", "{{- ", "{{"]);
        let close = prop::sample::select(vec![" }}", " -}}", "}}"]);
        let hole = (open, root, part, filter, close).prop_map(|(o, r, p, f, c)| format!("{o}{r}{p}{f}{c}"));
        let block = prop::sample::select(vec![
            "{% if x %}y{% endif %}",
            "{% set x = 1 %}",
            "{% for x in rows %}{{ x }}{% endfor %}",
        ]);
        let piece = prop_oneof![
            4 => text.prop_map(str::to_owned),
            6 => hole,
            1 => block.prop_map(str::to_owned),
        ];
        prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    fn values() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-5000..5_000_000_i64).prop_map(Value::Int),
            any::<f64>().prop_map(Value::Float),
            prop::sample::select(vec![0.0, -0.0, 6.0, 1e21, -1234.5, 1e-9]).prop_map(Value::Float),
            Just(Value::Decimal("1234.50".parse().unwrap())),
            Just(Value::Date("2026-01-31".parse().unwrap())),
            Just(Value::Timestamp("2026-01-31T12:00:00Z".parse().unwrap())),
            Just(Value::Duration(chrono::TimeDelta::milliseconds(-90_500))),
            Just(Value::Table(Table::new(MemoryTable::from_rows(&[], []).unwrap()))),
            "[a-zÀÉİ{}\"\\\\ ]{0,6}".prop_map(Value::from),
        ];
        scalar.prop_recursive(3, 12, 3, |inner| {
            let name = prop::sample::select(vec!["a", "b", "b c", "0"]);
            let entries = prop::collection::vec((name.prop_map(Arc::<str>::from), inner.clone()), 0..4);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(|items| Value::List(List::from(items))),
                entries.prop_map(|entries| Value::Object(entries.into_iter().collect::<Object>())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn both_ways_give_the_same(
            source in sources(),
            given in prop::collection::btree_map(prop::sample::select(vec!["x", "row", "rows", "loop", "self"]), values(), 0..6),
        ) {
            if let Ok(template) = Template::parse(&source, Extras::None) {
                let values = template.values(|name| given.get(name).cloned());
                let slow = template.by_engine(&values, None);
                prop_assert_eq!(template.render(|name| given.get(name).cloned()), slow, "{}", source);
            }
        }
    }

    #[test]
    fn texts_with_values_put_in_have_a_plan_and_others_have_none() {
        let planned = |source: &str| Template::parse(source, Extras::Pick).unwrap().plan.is_some();
        for source in
            ["", "a", "{{ x }}", "{{ x.a['b c'] }}%\n", "{{ x|lower }}{{ x.a|thousands }}", "a {#- b #} c"]
        {
            assert!(planned(source), "{source}");
        }
        for source in [
            "{{ x|upper }}",
            "{{ x + 1 }}",
            "{% if x %}a{% endif %}",
            "{{ x[0] }}",
            "{{ 'a' }}",
            "{{ pick(['a']) }}",
        ] {
            assert!(!planned(source), "{source}");
        }
    }

    #[test]
    fn a_planned_text_is_written_without_the_engine() {
        let row =
            Value::try_from(serde_json::json!({"name": "A", "sum": 12_500_000, "rate": 6.0, "list": [1, "b"]}))
                .unwrap();
        let source = "{{ row.name|lower }}: {{ row['sum']|thousands }} at {{ row.rate }}% {{ row.list }}\n";
        let template = Template::parse(source, Extras::None).unwrap();
        let values = template.values(|_| Some(row.clone()));
        assert_eq!(template.plan.unwrap().fill(&values).unwrap(), "a: 12,500,000 at 6.0% [1,\"b\"]");
    }
}
