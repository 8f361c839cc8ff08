//! Shapes of values, and which fit which: the rules of Agent Spec, as pure functions.

use flowrun_core::types::{Kind, Type};
use flowrun_core::value::Value;
use indexmap::IndexMap;

/// The type of a property.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shape {
    pub(crate) form: Form,
    /// The only values allowed.
    pub(crate) one_of: Option<Vec<Value>>,
    /// The smallest number allowed.
    pub(crate) minimum: Option<f64>,
    /// The largest number allowed.
    pub(crate) maximum: Option<f64>,
}

/// The form of a type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Form {
    Any,
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array(Box<Shape>),
    Object {
        fields: IndexMap<String, Shape>,
        others: Others,
    },
    Union(Vec<Shape>),
    /// A type of ours that JSON has no word for.
    Own(Type),
}

/// What `additionalProperties` says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Others {
    Unsaid,
    Flag(bool),
    Of(Box<Shape>),
}

impl From<Form> for Shape {
    fn from(form: Form) -> Self {
        Self { form, one_of: None, minimum: None, maximum: None }
    }
}

impl Shape {
    pub(crate) fn any() -> Self {
        Form::Any.into()
    }

    pub(crate) fn string() -> Self {
        Form::String.into()
    }

    pub(crate) fn object() -> Self {
        Form::Object { fields: IndexMap::new(), others: Others::Unsaid }.into()
    }

    pub(crate) fn array(item: Self) -> Self {
        Form::Array(Box::new(item)).into()
    }

    pub(crate) fn or_null(self) -> Self {
        if matches!(self.form, Form::Any | Form::Null) {
            return self;
        }
        union(vec![self, Form::Null.into()])
    }

    /// What is left of a union without null.
    pub(crate) fn without_null(&self) -> Self {
        match &self.form {
            Form::Union(members) => {
                match members.iter().filter(|m| m.form != Form::Null).collect::<Vec<_>>().as_slice() {
                    [only] => (*only).clone(),
                    rest => union(rest.iter().map(|member| (*member).clone()).collect()),
                }
            }
            _ => self.clone(),
        }
    }

    pub(crate) fn is_any(&self) -> bool {
        self.form == Form::Any
    }

    /// The items, where it is an array.
    pub(crate) fn item(&self) -> Option<Self> {
        match &self.form {
            Form::Array(item) => Some((**item).clone()),
            Form::Own(own) if own.kind == Kind::Table => Some(Self::object()),
            _ => None,
        }
    }

    /// The type here.
    pub(crate) fn to_type(&self) -> Type {
        let mut found: Type = match &self.form {
            Form::Any => Type::any(),
            Form::Null => Type::null(),
            Form::Boolean => Type::boolean(),
            Form::Integer => Type::integer(),
            Form::Number => Type::number(),
            Form::String => Type::string(),
            Form::Array(item) => Type::list(item.to_type()),
            Form::Object { fields, .. } => {
                Kind::Object(fields.iter().map(|(name, shape)| (name.clone(), shape.to_type())).collect()).into()
            }
            Form::Union(members) => Kind::Union(members.iter().map(Self::to_type).collect()).into(),
            Form::Own(own) => own.clone(),
        };
        if self.one_of.is_some() {
            found.one_of.clone_from(&self.one_of);
        }
        found.minimum = self.minimum;
        found.maximum = self.maximum;
        found
    }

    /// What it is for the rules of Agent Spec, which know no types but those of JSON.
    fn plain(&self) -> Self {
        match &self.form {
            Form::Own(own) if own.kind == Kind::Table => Self::array(Self::any()),
            Form::Own(_) => Self::string(),
            _ => self.clone(),
        }
    }

    fn is_number(&self) -> bool {
        matches!(self.form, Form::Boolean | Form::Integer | Form::Number)
    }
}

/// A type that is any of several; unions within it are resolved and nothing stands twice.
pub(crate) fn union(members: Vec<Shape>) -> Shape {
    let mut flat: Vec<Shape> = Vec::new();
    for member in members {
        let inner = match member.form {
            Form::Union(inner) if member.one_of.is_none() => inner,
            _ => vec![member],
        };
        for one in inner {
            if !flat.contains(&one) {
                flat.push(one);
            }
        }
    }
    if flat.len() == 1 { flat.remove(0) } else { Form::Union(flat).into() }
}

/// Whether a value of type `from` can become one of type `to`.
pub(crate) fn castable(from: &Shape, to: &Shape) -> bool {
    let (from, to) = (&from.plain(), &to.plain());
    if from == to {
        return true;
    }
    match (&from.form, &to.form) {
        (_, Form::Any | Form::String) => true,
        _ if from.is_number() && to.is_number() => true,
        (Form::Union(members), _) => members.iter().all(|member| castable(member, to)),
        (_, Form::Union(members)) => members.iter().any(|member| castable(from, member)),
        (Form::Array(from), Form::Array(to)) => castable(from, to),
        (Form::Object { fields: given, others: a }, Form::Object { fields: wanted, others: b }) => {
            let flags_agree = match (a, b) {
                (Others::Flag(a), Others::Flag(b)) => a == b,
                _ => true,
            };
            flags_agree
                && wanted.iter().all(|(name, shape)| given.get(name).is_some_and(|other| castable(other, shape)))
        }
        (a, b) => a == b,
    }
}

/// Whether two types are one, whatever values they allow.
pub(crate) fn same(a: &Shape, b: &Shape) -> bool {
    match (&a.form, &b.form) {
        (Form::Array(a), Form::Array(b)) => same(a, b),
        (Form::Union(a), Form::Union(b)) => {
            a.iter().all(|one| b.iter().any(|other| same(one, other)))
                && b.iter().all(|one| a.iter().any(|other| same(one, other)))
        }
        (Form::Object { fields: a, .. }, Form::Object { fields: b, .. }) => {
            a.len() == b.len() && a.iter().all(|(name, one)| b.get(name).is_some_and(|other| same(one, other)))
        }
        (a, b) => a == b,
    }
}

/// Whether a default is of a type: numbers and booleans stand for each other, and fields may be left out.
pub(crate) fn fits(value: &Value, shape: &Shape) -> bool {
    match (&shape.form, value) {
        (Form::Any | Form::Own(_), _) | (Form::Null, Value::Null) | (Form::String, Value::String(_)) => true,
        (Form::Boolean | Form::Integer | Form::Number, Value::Bool(_) | Value::Int(_) | Value::Float(_)) => true,
        (Form::Array(item), Value::List(items)) => items.items().iter().all(|one| fits(one, item)),
        (Form::Object { fields, .. }, Value::Object(object)) => {
            fields.iter().all(|(name, shape)| object.get(name).is_none_or(|field| fits(field, shape)))
        }
        (Form::Union(members), value) => members.iter().any(|member| fits(value, member)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(word: &str) -> Shape {
        if let Some(members) = word.split_once('|').map(|_| word.split('|')) {
            return union(members.map(of).collect());
        }
        if let Some(item) = word.strip_prefix('[').and_then(|w| w.strip_suffix(']')) {
            return Shape::array(of(item));
        }
        if let Some(fields) = word.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
            let (fields, others) = match fields.strip_suffix('!') {
                Some(fields) => (fields, Others::Flag(false)),
                None => (fields, Others::Unsaid),
            };
            let fields = fields.split(',').filter(|f| !f.is_empty()).map(|field| {
                let (name, shape) = field.split_once(':').unwrap();
                (name.to_owned(), of(shape))
            });
            return Form::Object { fields: fields.collect(), others }.into();
        }
        match word {
            "any" => Form::Any,
            "null" => Form::Null,
            "boolean" => Form::Boolean,
            "integer" => Form::Integer,
            "number" => Form::Number,
            "string" => Form::String,
            "table" => Form::Own(Type::table()),
            "date" => Form::Own(Kind::Date.into()),
            other => panic!("{other}"),
        }
        .into()
    }

    #[test]
    fn the_table_of_castability() {
        const YES: &[(&str, &str)] = &[
            ("string", "string"),
            ("any", "any"),
            ("integer", "any"),
            ("[string]", "any"),
            ("integer", "string"),
            ("null", "string"),
            ("[integer]", "string"),
            ("{a:integer}", "string"),
            ("any", "string"),
            ("integer", "number"),
            ("number", "integer"),
            ("boolean", "integer"),
            ("number", "boolean"),
            ("integer|boolean", "number"),
            ("integer", "string|null"),
            ("null", "integer|null"),
            ("integer|null", "number|null"),
            ("[integer]", "[number]"),
            ("[integer]", "[string]"),
            ("[[integer]]", "[[number]]"),
            ("{a:integer}", "{a:number}"),
            ("{a:integer,b:string}", "{a:integer}"),
            ("{a:integer}", "{}"),
            ("{a:integer!}", "{a:integer!}"),
            ("[integer]", "integer|[integer]"),
            ("integer", "integer|[integer]"),
            ("table", "table"),
            ("table", "[any]"),
            ("date", "string"),
            ("string", "date"),
        ];
        const NO: &[(&str, &str)] = &[
            ("string", "integer"),
            ("string", "number"),
            ("string", "boolean"),
            ("string", "null"),
            ("any", "integer"),
            ("any", "[any]"),
            ("integer", "null"),
            ("null", "integer"),
            ("integer|string", "integer"),
            ("integer|null", "number"),
            ("string", "[string]"),
            ("[string]", "[integer]"),
            ("[integer]", "integer"),
            ("{a:string}", "{a:integer}"),
            ("{}", "{a:integer}"),
            ("{b:integer}", "{a:integer}"),
            ("[any]", "{}"),
            ("{}", "[any]"),
            ("string", "integer|[integer]"),
            ("table", "integer"),
        ];
        for (pairs, expected) in [(YES, true), (NO, false)] {
            for (from, to) in pairs {
                assert_eq!(castable(&of(from), &of(to)), expected, "{from} into {to}");
            }
        }
    }

    #[test]
    fn flags_of_other_fields_must_agree() {
        let flagged = |flag| Shape::from(Form::Object { fields: IndexMap::new(), others: Others::Flag(flag) });
        assert!(castable(&flagged(true), &flagged(true)));
        assert!(!castable(&flagged(true), &flagged(false)));
        assert!(castable(&flagged(true), &of("{}")));
    }

    #[test]
    fn unions_are_flat_and_short() {
        assert_eq!(of("integer|integer"), of("integer"));
        assert_eq!(union(vec![of("integer|null"), of("null|string")]), of("integer|null|string"));
        assert_eq!(of("string").or_null().or_null(), of("string|null"));
    }

    #[test]
    fn defaults_fit_loosely() {
        assert!(fits(&Value::Int(1), &of("boolean")) && fits(&Value::Bool(true), &of("number")));
        assert!(fits(&Value::Null, &of("string|null")) && !fits(&Value::Null, &of("string")));
        assert!(!fits(&"1".into(), &of("integer")));
        assert!(fits(&Value::from(vec![Value::Int(1)]), &of("[number]")));
        assert!(!fits(&Value::from(vec![Value::from("x")]), &of("[number]")));
    }

    fn shapes() -> impl Strategy<Value = Shape> {
        const WORDS: &[&str] = &["any", "null", "boolean", "integer", "number", "string", "{}", "date"];
        prop::sample::select(WORDS).prop_map(of).prop_recursive(3, 8, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(Shape::array),
                prop::collection::vec(inner.clone(), 1..3).prop_map(union),
                prop::collection::vec(("[a-c]", inner), 0..3).prop_map(|fields| {
                    Form::Object { fields: fields.into_iter().collect(), others: Others::Unsaid }.into()
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn everything_becomes_itself_and_text(shape in shapes()) {
            prop_assert!(castable(&shape, &shape) && same(&shape, &shape));
            prop_assert!(castable(&shape, &Shape::string()) && castable(&shape, &Shape::any()));
        }

        #[test]
        fn a_wider_union_takes_what_a_member_takes(from in shapes(), to in shapes(), other in shapes()) {
            if castable(&from, &to) {
                prop_assert!(castable(&from, &union(vec![to, other])));
            }
        }
    }
}
