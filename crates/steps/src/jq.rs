//! jq queries over values.

use flowrun_core::value::Value;
use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::{Val, read};

type Filter = jaq_core::compile::Filter<jaq_core::Native<data::JustLut<Val>>>;

/// A compiled jq query.
pub(crate) struct Query {
    source: String,
    filter: Filter,
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Query").field(&self.source).finish()
    }
}

impl std::fmt::Display for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.source)
    }
}

impl Query {
    /// Compiles a query.
    ///
    /// # Errors
    /// A message when it does not parse or calls what jq does not have.
    pub(crate) fn parse(source: &str) -> Result<Self, String> {
        let arena = Arena::default();
        let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let loader = Loader::new(definitions);
        let modules = loader
            .load(&arena, File { code: source, path: () })
            .map_err(|_| format!("`{source}` is no jq query"))?;
        let functions = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
        let filter = Compiler::default().with_funs(functions).compile(modules).map_err(|errors| {
            let names: Vec<_> =
                errors.iter().flat_map(|(_, e)| e.iter().map(|(name, _)| format!("`{name}`"))).collect();
            format!("the jq query `{source}` uses {}, which does not exist", names.join(", "))
        })?;
        Ok(Self { source: source.to_owned(), filter })
    }

    /// The first result of the query on a value; `None` where it has none.
    ///
    /// # Errors
    /// A message when the query fails on the value.
    pub(crate) fn first(&self, value: &Value) -> Result<Option<Value>, String> {
        let text = serde_json::to_string(value).map_err(|e| e.to_string())?;
        let input = read::parse_single(text.as_bytes()).map_err(|e| e.to_string())?;
        let cx = Ctx::<data::JustLut<Val>>::new(&self.filter.lut, Vars::new([]));
        let Some(result) = self.filter.id.run((cx, input)).map(unwrap_valr).next() else { return Ok(None) };
        let result = result.map_err(|e| format!("`{}` failed: {e}", self.source))?;
        let found: Value = serde_json::from_str(&result.to_string()).map_err(|e| e.to_string())?;
        Ok(Some(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_result_counts_and_numbers_keep_their_form() {
        let value: Value = serde_json::from_str(r#"{"a": [6.0, 7], "n": null}"#).unwrap();
        let first = |query: &str| Query::parse(query).unwrap().first(&value).unwrap();
        assert_eq!(first(".a[]"), Some(Value::Float(6.0)));
        assert_eq!(first(".a[1]"), Some(Value::Int(7)));
        assert_eq!(first(".n"), Some(Value::Null));
        assert_eq!(first("empty"), None);
        assert!(Query::parse(".a[").unwrap_err().contains("no jq query"));
        assert!(Query::parse("nope").unwrap_err().contains("`nope`"));
        assert!(Query::parse(".a.b").unwrap().first(&value).is_err());
    }
}
