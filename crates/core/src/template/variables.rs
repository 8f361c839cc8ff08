//! Finding what a text reads, by walking its syntax tree.

use std::collections::BTreeSet;
use std::ops::Range;

use minijinja::machinery::{ast, parse, parse_expr};
use minijinja::{Environment, ErrorKind};

use super::{ENGINE, Extras, TemplateError};

/// A variable that a text reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Where in the text it is read first, in bytes.
    pub range: Range<usize>,
    /// Whether the text tests it (`if x`, `x is none`, `x is defined`), so that it may be absent.
    pub optional: bool,
    /// Whether it is tested by `is defined`, for which a null counts as absent.
    pub tested_defined: bool,
    /// The fields that are read by name, `a` in `x.a` and `x['a']`, in the order of their first use.
    pub fields: Vec<String>,
    /// Whether it is also read as a whole, not only through its fields.
    pub bare: bool,
}

/// The syntax tree of a text.
pub(super) fn tree(source: &str) -> Result<ast::Stmt<'_>, TemplateError> {
    Ok(parse(source, "template", minijinja::syntax::SyntaxConfig::default())?)
}

pub(super) fn of_template(tree: &ast::Stmt<'_>, extras: Extras) -> Result<Vec<Variable>, TemplateError> {
    let mut finder = Finder::new(extras);
    finder.statement(tree)?;
    Ok(finder.found)
}

pub(super) fn of_expression(source: &str) -> Result<Vec<Variable>, TemplateError> {
    let tree = parse_expr(source)?;
    let mut finder = Finder::new(Extras::None);
    finder.expression(&tree)?;
    Ok(finder.found)
}

struct Finder {
    extras: Extras,
    found: Vec<Variable>,
    /// Names bound by the text itself, innermost last.
    bound: Vec<BTreeSet<String>>,
}

impl Finder {
    fn new(extras: Extras) -> Self {
        Self { extras, found: Vec::new(), bound: vec![BTreeSet::new()] }
    }

    fn bind(&mut self, target: &ast::Expr<'_>) {
        match target {
            ast::Expr::Var(var) => {
                if let Some(scope) = self.bound.last_mut() {
                    scope.insert(var.id.to_owned());
                }
            }
            ast::Expr::List(list) => list.items.iter().for_each(|item| self.bind(item)),
            ast::Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.bind(item)),
            _ => {}
        }
    }

    fn scoped(&mut self, body: impl FnOnce(&mut Self) -> Result<(), TemplateError>) -> Result<(), TemplateError> {
        self.bound.push(BTreeSet::new());
        let result = body(self);
        self.bound.pop();
        result
    }

    /// Walks a body in a scope of its own and gives the names that it bound.
    fn names_set_by(&mut self, body: &[ast::Stmt<'_>]) -> Result<BTreeSet<String>, TemplateError> {
        self.bound.push(BTreeSet::new());
        let walked = self.statements(body);
        let names = self.bound.pop().unwrap_or_default();
        walked.map(|()| names)
    }

    fn statements(&mut self, body: &[ast::Stmt<'_>]) -> Result<(), TemplateError> {
        body.iter().try_for_each(|s| self.statement(s))
    }

    fn statement(&mut self, statement: &ast::Stmt<'_>) -> Result<(), TemplateError> {
        use ast::Stmt;
        match statement {
            Stmt::Template(t) => self.statements(&t.children),
            Stmt::EmitExpr(e) => self.expression(&e.expr),
            Stmt::EmitRaw(_) => Ok(()),
            Stmt::ForLoop(f) => {
                self.expression(&f.iter)?;
                self.scoped(|me| {
                    me.bind(&f.target);
                    if let Some(scope) = me.bound.last_mut() {
                        scope.insert("loop".to_owned());
                    }
                    f.filter_expr.iter().try_for_each(|e| me.expression(e))?;
                    me.statements(&f.body)
                })?;
                self.scoped(|me| me.statements(&f.else_body))
            }
            Stmt::IfCond(c) => {
                self.condition(&c.expr)?;
                let set_if_true = self.names_set_by(&c.true_body)?;
                let set_if_false = self.names_set_by(&c.false_body)?;
                // A name that only one side sets may be unset afterwards, so reading it then reads a variable.
                if let Some(scope) = self.bound.last_mut() {
                    scope.extend(set_if_true.intersection(&set_if_false).cloned());
                }
                Ok(())
            }
            Stmt::WithBlock(w) => self.scoped(|me| {
                for (target, value) in &w.assignments {
                    me.expression(value)?;
                    me.bind(target);
                }
                me.statements(&w.body)
            }),
            Stmt::Set(s) => {
                self.expression(&s.expr)?;
                self.bind(&s.target);
                Ok(())
            }
            Stmt::SetBlock(s) => {
                s.filter.iter().try_for_each(|f| self.expression(f))?;
                self.scoped(|me| me.statements(&s.body))?;
                self.bind(&s.target);
                Ok(())
            }
            Stmt::AutoEscape(a) => self.statements(&a.body),
            Stmt::FilterBlock(f) => {
                self.expression(&f.filter)?;
                self.statements(&f.body)
            }
            Stmt::Do(d) => Err(no_calls(&d.call)),
        }
    }

    /// An expression whose truth is asked: its variables may be absent.
    fn condition(&mut self, expr: &ast::Expr<'_>) -> Result<(), TemplateError> {
        use ast::{BinOpKind, Expr, UnaryOpKind};
        match expr {
            Expr::Var(var) => {
                self.read(var, |v| {
                    v.optional = true;
                    v.bare = true;
                });
                Ok(())
            }
            Expr::UnaryOp(op) if matches!(op.op, UnaryOpKind::Not) => self.condition(&op.expr),
            Expr::BinOp(op) if matches!(op.op, BinOpKind::ScAnd | BinOpKind::ScOr) => {
                self.condition(&op.left)?;
                self.condition(&op.right)
            }
            other => self.expression(other),
        }
    }

    fn expression(&mut self, expr: &ast::Expr<'_>) -> Result<(), TemplateError> {
        use ast::Expr;
        match expr {
            Expr::Var(var) => {
                self.read(var, |v| v.bare = true);
                Ok(())
            }
            Expr::Const(_) => Ok(()),
            Expr::Slice(s) => {
                self.expression(&s.expr)?;
                [&s.start, &s.stop, &s.step].into_iter().flatten().try_for_each(|e| self.expression(e))
            }
            Expr::UnaryOp(op) => self.expression(&op.expr),
            Expr::BinOp(op) => {
                self.expression(&op.left)?;
                self.expression(&op.right)
            }
            Expr::Compare(c) => {
                self.expression(&c.expr)?;
                c.ops.iter().try_for_each(|op| self.expression(&op.expr))
            }
            Expr::IfExpr(c) => {
                self.condition(&c.test_expr)?;
                self.expression(&c.true_expr)?;
                c.false_expr.iter().try_for_each(|e| self.expression(e))
            }
            Expr::Filter(f) => {
                known("filter", f.name, f.span())?;
                f.expr.iter().try_for_each(|e| self.expression(e))?;
                self.arguments(&f.args)
            }
            Expr::Test(t) => self.test(t),
            Expr::GetAttr(a) => self.field(&a.expr, Some(a.name)),
            Expr::GetItem(i) => {
                let name = i.subscript_expr.as_const();
                self.expression(&i.subscript_expr)?;
                self.field(&i.expr, name.as_ref().and_then(|n| n.as_str()))
            }
            Expr::Call(call) => {
                if self.extras == Extras::Pick && matches!(&call.expr, Expr::Var(v) if v.id == "pick") {
                    return self.arguments(&call.args);
                }
                Err(no_calls(call))
            }
            Expr::List(l) => l.items.iter().try_for_each(|e| self.expression(e)),
            Expr::Tuple(t) => t.items.iter().try_for_each(|e| self.expression(e)),
            Expr::Map(m) => m.keys.iter().chain(&m.values).try_for_each(|e| self.expression(e)),
        }
    }

    fn test(&mut self, test: &ast::Spanned<ast::Test<'_>>) -> Result<(), TemplateError> {
        known("test", test.name, test.span())?;
        self.arguments(&test.args)?;
        match (&test.expr, test.name) {
            (ast::Expr::Var(var), "none" | "defined" | "undefined") => {
                self.read(var, |v| {
                    v.optional = true;
                    v.tested_defined |= test.name != "none";
                    v.bare = true;
                });
                Ok(())
            }
            (other, _) => self.expression(other),
        }
    }

    fn arguments(&mut self, args: &[ast::CallArg<'_>]) -> Result<(), TemplateError> {
        args.iter().try_for_each(|arg| match arg {
            ast::CallArg::Pos(e)
            | ast::CallArg::Kwarg(_, e)
            | ast::CallArg::PosSplat(e)
            | ast::CallArg::KwargSplat(e) => self.expression(e),
        })
    }

    fn field(&mut self, of: &ast::Expr<'_>, name: Option<&str>) -> Result<(), TemplateError> {
        match (of, name) {
            (ast::Expr::Var(var), Some(name)) => {
                self.read(var, |v| {
                    if !v.fields.iter().any(|f| f == name) {
                        v.fields.push(name.to_owned());
                    }
                });
                Ok(())
            }
            _ => self.expression(of),
        }
    }

    fn read(&mut self, var: &ast::Spanned<ast::Var<'_>>, note: impl FnOnce(&mut Variable)) {
        if self.bound.iter().any(|scope| scope.contains(var.id)) {
            return;
        }
        let place = self.found.iter().position(|v| v.name == var.id).unwrap_or_else(|| {
            self.found.push(Variable {
                name: var.id.to_owned(),
                range: range(var.span()),
                optional: false,
                tested_defined: false,
                fields: Vec::new(),
                bare: false,
            });
            self.found.len() - 1
        });
        note(&mut self.found[place]);
    }
}

fn range(span: minijinja::machinery::Span) -> Range<usize> {
    span.start_offset as usize..span.end_offset as usize
}

fn refuse(message: String, span: minijinja::machinery::Span) -> TemplateError {
    TemplateError { message, range: Some(range(span)), line: Some(span.start_line.into()) }
}

fn no_calls(call: &ast::Spanned<ast::Call<'_>>) -> TemplateError {
    let message = match &call.expr {
        ast::Expr::Var(var) => format!("texts cannot call anything; `{}(…)` is a call", var.id),
        _ => "texts cannot call anything".to_owned(),
    };
    refuse(message, call.span())
}

/// The engine keeps its filters and tests to itself; asking for one without arguments tells whether it exists.
fn known(what: &str, name: &str, span: minijinja::machinery::Span) -> Result<(), TemplateError> {
    let engine: &Environment<'_> = &ENGINE;
    let mut state = engine.empty_state();
    let unknown = if what == "filter" {
        name == super::order::FILTER
            || matches!(state.apply_filter(name, &[]), Err(e) if e.kind() == ErrorKind::UnknownFilter)
    } else {
        matches!(state.perform_test(name, &[]), Err(e) if e.kind() == ErrorKind::UnknownTest)
    };
    if unknown { Err(refuse(format!("there is no {what} `{name}`"), span)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &str) -> Vec<(String, bool)> {
        of_template(&tree(source).unwrap(), Extras::None)
            .unwrap()
            .into_iter()
            .map(|v| (v.name, v.optional))
            .collect()
    }

    #[test]
    fn variables_are_found_in_order_with_their_optionality() {
        let found =
            names("{{ b }}{% if a %}{{ a }}{% endif %}{% if c is none or not d %}{% endif %}{{ e if f else g }}");
        let expected =
            [("b", false), ("a", true), ("c", true), ("d", true), ("f", true), ("e", false), ("g", false)];
        assert_eq!(found, expected.map(|(n, o)| (n.to_owned(), o)));
    }

    #[test]
    fn what_the_text_binds_is_no_variable() {
        assert_eq!(
            names("{% for x, y in rows %}{{ x }}{{ loop.index }}{% endfor %}"),
            [("rows".to_owned(), false)]
        );
        assert_eq!(names("{% set a = b %}{{ a }}"), [("b".to_owned(), false)]);
        assert_eq!(names("{% if b %}{% set a = 1 %}{% endif %}{{ a }}").len(), 2);
    }

    #[test]
    fn fields_are_known_by_name() {
        let found = of_expression("inputs.keep and inputs['rows'] > 1 and x").unwrap();
        assert_eq!(found[0].fields, ["keep", "rows"]);
        assert!(!found[0].bare);
        assert!(found[1].bare);
    }
}
