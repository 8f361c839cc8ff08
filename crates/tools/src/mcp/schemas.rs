//! What a server says that its tools take and give: what the flow lists must fit it, and so must every call and answer.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use flowrun_core::cast::castable;
use flowrun_core::diagnostics::nearest;
use flowrun_core::error::StepError;
use flowrun_core::signature::Port;
use flowrun_core::types::{Kind, Type};
use jsonschema::Validator;
use serde_json::{Map, Value as Json};

/// A tool as its server lists it.
pub(super) struct Listed {
    arguments: Json,
    results: Option<Json>,
    /// Made when the tool is called the first time: a server may list many.
    made: OnceLock<Result<Made, String>>,
}

struct Made {
    arguments: Validator,
    results: Option<Validator>,
}

impl Listed {
    pub(super) fn new(tool: &rmcp::model::Tool) -> Self {
        let object = |schema: &Map<String, Json>| Json::Object(schema.clone());
        Self {
            arguments: object(&tool.input_schema),
            results: tool.output_schema.as_deref().map(object),
            made: OnceLock::new(),
        }
    }

    fn made(&self) -> Result<&Made, StepError> {
        let make = || {
            let validator = |what: &str, schema: &Json| {
                jsonschema::validator_for(schema)
                    .map_err(|e| format!("its schema of the {what} cannot be used: {e}"))
            };
            let results = self.results.as_ref().map(|schema| validator("results", schema)).transpose()?;
            Ok(Made { arguments: validator("arguments", &self.arguments)?, results })
        };
        self.made.get_or_init(make).as_ref().map_err(|why| StepError::new("tool.schema", why))
    }

    /// Whether what the flow lists fits.
    pub(super) fn check_ports(&self, arguments: &[Port], results: &[Port]) -> Result<(), StepError> {
        self.made()?;
        let wrong = |message: String| StepError::new("tool.schema", message);
        self.check_arguments_listed(arguments).map_err(wrong)?;
        match &self.results {
            Some(schema) => check_results_listed(schema, results).map_err(wrong),
            None => Ok(()),
        }
    }

    fn check_arguments_listed(&self, arguments: &[Port]) -> Result<(), String> {
        let taken = properties(&self.arguments);
        let open = self.arguments.get("additionalProperties").is_some_and(|more| *more != Json::Bool(false));
        for port in arguments {
            match taken.get(&*port.name) {
                Some(wanted) if !sent_as(&port.value_type, wanted) => {
                    return Err(format!(
                        "it takes `{}` as {}, which the flow lists as {}",
                        port.name,
                        kind_of(wanted),
                        kind_of(&port.value_type)
                    ));
                }
                None if !taken.is_empty() && !open => {
                    return Err(format!("it takes no `{}`{}", port.name, near(&port.name, &taken)));
                }
                _ => {}
            }
        }
        let required = self.arguments.get("required").and_then(Json::as_array).into_iter().flatten();
        let mut missing =
            required.filter_map(Json::as_str).filter(|name| arguments.iter().all(|p| p.name != **name));
        match missing.next() {
            Some(name) => Err(format!("it wants `{name}`, which the flow does not list")),
            None => Ok(()),
        }
    }

    /// Whether the arguments of a call are what the server says that it takes.
    pub(super) fn check_arguments(&self, arguments: &Json) -> Result<(), StepError> {
        check(&self.made()?.arguments, arguments).map_err(|why| {
            StepError::new("tool.arguments", format!("by its own schema the server takes no such call: {why}"))
        })
    }

    /// Whether what the server gave is what it says that it gives.
    pub(super) fn check_results(&self, given: &Json) -> Result<(), StepError> {
        let Some(validator) = &self.made()?.results else { return Ok(()) };
        check(validator, given).map_err(|why| {
            StepError::new("tool.result", format!("what the server gave does not fit its own schema: {why}"))
        })
    }
}

fn check(validator: &Validator, value: &Json) -> Result<(), String> {
    validator.validate(value).map_err(|error| match error.instance_path().to_string() {
        place if place.is_empty() => error.to_string(),
        place => format!("`{place}`: {error}"),
    })
}

/// The entries of an object's schema, by name.
fn properties(schema: &Json) -> BTreeMap<&str, Type> {
    let definitions = ["$defs", "definitions"].map(|key| (key, schema.get(key)));
    let listed = schema.get("properties").and_then(Json::as_object).into_iter().flatten();
    listed
        .map(|(name, property)| {
            let mut whole = property.clone();
            for (key, found) in definitions {
                if let (Some(whole), Some(found)) = (whole.as_object_mut(), found) {
                    whole.insert(key.to_owned(), found.clone());
                }
            }
            (name.as_str(), Type::from_json_schema(&whole))
        })
        .collect()
}

/// Values of the results are taken by their names; of a single one also otherwise.
fn check_results_listed(schema: &Json, results: &[Port]) -> Result<(), String> {
    let given = properties(schema);
    if given.is_empty() {
        return Ok(());
    }
    let fits = |port: &Port, type_: &Type| {
        if castable(&shallow(type_), &shallow(&port.value_type)) {
            return Ok(());
        }
        let (is, listed) = (kind_of(type_), kind_of(&port.value_type));
        Err(format!("it gives `{}` as {is}, which the flow lists as {listed}", port.name))
    };
    if let [only] = results
        && !given.contains_key(&*only.name)
    {
        let wrapped = given.get(super::answer::WRAPPED).filter(|_| given.len() == 1);
        let whole = Type::from(any_object());
        return match wrapped {
            Some(wrapped) => fits(only, wrapped),
            None if castable(&whole, only.value_type.without_null()) && !is_text(&only.value_type) => Ok(()),
            None => Err(format!("it gives no `{}`{}", only.name, near(&only.name, &given))),
        };
    }
    for port in results {
        match given.get(&*port.name) {
            Some(type_) => fits(port, type_)?,
            None if port.default.is_some() || port.value_type.admits_null() => {}
            None => return Err(format!("it gives no `{}`{}", port.name, near(&port.name, &given))),
        }
    }
    Ok(())
}

fn is_text(type_: &Type) -> bool {
    type_.without_null().kind == Kind::String
}

/// Whether what is sent as one type can be taken as another: nothing is turned into a text on the way.
fn sent_as(from: &Type, to: &Type) -> bool {
    let texts = [Kind::String, Kind::Path, Kind::Date, Kind::Timestamp, Kind::Duration, Kind::Decimal, Kind::Any];
    castable(&shallow(from), &shallow(to)) && (!is_text(to) || texts.contains(&from.without_null().kind))
}

/// The type without what its objects hold, of which the values tell.
fn shallow(type_: &Type) -> Type {
    let kind = match &type_.kind {
        Kind::Object(_) => any_object(),
        Kind::List(item) => Kind::List(Box::new(shallow(item))),
        Kind::Union(members) => Kind::Union(members.iter().map(shallow).collect()),
        other => other.clone(),
    };
    Type { kind, ..type_.clone() }
}

fn any_object() -> Kind {
    Type::from_json_schema(&serde_json::json!({ "type": "object" })).kind
}

fn kind_of(type_: &Type) -> String {
    format!("`{}`", Type { one_of: None, minimum: None, maximum: None, ..type_.clone() })
}

fn near(name: &str, known: &BTreeMap<&str, Type>) -> String {
    nearest(name, known.keys().copied()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn listed(input: Json, output: Option<Json>) -> Listed {
        let mut tool = json!({ "name": "t" });
        tool["inputSchema"] = input;
        tool["outputSchema"] = output.unwrap_or_default();
        Listed::new(&serde_json::from_value(tool).unwrap())
    }

    fn ports(ports: &[(&str, &str)]) -> Vec<Port> {
        let type_of = |word: &str| match word.strip_prefix('[').and_then(|item| item.strip_suffix(']')) {
            Some(item) => Type::list(Type::from_word(item).unwrap()),
            None => match word.strip_suffix('?') {
                Some(word) => Type::from_word(word).unwrap().nullable(),
                None => Type::from_word(word).unwrap(),
            },
        };
        ports.iter().map(|(name, word)| Port::new(*name, type_of(word))).collect()
    }

    fn refused(listed: &Listed, arguments: &[(&str, &str)], results: &[(&str, &str)]) -> String {
        listed.check_ports(&ports(arguments), &ports(results)).map_or_else(|e| e.message, |()| String::new())
    }

    #[test]
    fn what_the_flow_lists_of_arguments_must_fit() {
        let tool = listed(
            json!({ "type": "object", "properties": { "text": { "type": "string" }, "n": { "$ref": "#/$defs/n" } },
                    "required": ["text"], "$defs": { "n": { "type": "integer" } } }),
            None,
        );
        for (arguments, why) in [
            (&[("text", "string")][..], ""),
            (&[("text", "date"), ("n", "number")], ""),
            (&[("text", "any")], ""),
            (&[("txet", "string")], "it takes no `txet`; did you mean `text`?"),
            (&[("n", "integer")], "it wants `text`, which the flow does not list"),
            (&[("text", "integer")], "it takes `text` as `string`, which the flow lists as `integer`"),
            (
                &[("text", "string"), ("n", "string")],
                "it takes `n` as `integer`, which the flow lists as `string`",
            ),
        ] {
            assert_eq!(refused(&tool, arguments, &[("out", "string")]), why);
        }
        let open =
            listed(json!({ "type": "object", "properties": { "a": {} }, "additionalProperties": true }), None);
        assert_eq!(refused(&open, &[("b", "string")], &[]), "");
        assert_eq!(refused(&listed(json!({ "type": "object" }), None), &[("b", "string")], &[]), "");
    }

    #[test]
    fn what_the_flow_lists_of_results_must_fit() {
        let gives = |properties: Json| {
            listed(json!({ "type": "object" }), Some(json!({ "type": "object", "properties": properties })))
        };
        let two = gives(json!({ "quotient": { "type": "integer" }, "rest": { "type": "integer" } }));
        for (results, why) in [
            (&[("quotient", "integer"), ("rest", "number")][..], ""),
            (&[("rest", "integer")], ""),
            (&[("both", "object")], ""),
            (&[("rest", "[integer]")], "it gives `rest` as `integer`, which the flow lists as `[integer]`"),
            (&[("quotient", "integer"), ("rset", "integer")], "it gives no `rset`; did you mean `rest`?"),
            (&[("quotient", "integer"), ("more", "integer?")], ""),
            (&[("sum", "integer")], "it gives no `sum`"),
        ] {
            assert_eq!(refused(&two, &[], results), why);
        }
        let wrapped = gives(json!({ "result": { "type": "string" } }));
        assert_eq!(refused(&wrapped, &[], &[("out", "string")]), "");
        assert!(refused(&wrapped, &[], &[("out", "integer")]).starts_with("it gives `out` as `string`"));
    }

    #[test]
    fn calls_and_answers_are_checked_by_the_whole_schema() {
        let tool = listed(
            json!({ "type": "object", "properties": { "n": { "type": "integer", "minimum": 0 } } }),
            Some(
                json!({ "type": "object", "properties": { "half": { "type": "object", "required": ["whole"] } } }),
            ),
        );
        assert!(tool.check_arguments(&json!({ "n": 1 })).is_ok());
        let error = tool.check_arguments(&json!({ "n": -1 })).unwrap_err();
        assert_eq!(error.code, "tool.arguments");
        assert!(error.message.contains("`/n`: -1 is less than the minimum of 0"), "{}", error.message);
        assert!(tool.check_results(&json!({ "half": { "whole": 1 } })).is_ok());
        let error = tool.check_results(&json!({ "half": {} })).unwrap_err();
        assert_eq!(error.code, "tool.result");
        assert!(error.message.contains("\"whole\" is a required property"), "{}", error.message);
    }

    #[test]
    fn a_schema_that_leads_elsewhere_is_not_followed() {
        let tool =
            listed(json!({ "type": "object", "properties": { "n": { "$ref": "http://127.0.0.1:9/n" } } }), None);
        let error = tool.check_ports(&[], &[]).unwrap_err();
        assert_eq!(error.code, "tool.schema");
        assert!(error.message.starts_with("its schema of the arguments cannot be used"), "{}", error.message);
    }
}
