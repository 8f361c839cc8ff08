use super::*;

fn shape(declared: Json) -> Result<Shape, String> {
    Shape::try_from(Value::try_from(declared).unwrap())
}

fn fitted(declared: Json, value: Json) -> Result<Json, Vec<String>> {
    let mut fit = Fit::default();
    let found = fit.value(Value::try_from(value).unwrap(), &shape(declared).unwrap().value_type, "");
    if fit.problems.is_empty() { Ok(found.to_json().unwrap()) } else { Err(fit.problems) }
}

#[test]
fn short_hand_and_json_schema_say_the_same() {
    for (short, long) in [
        (json!("integer"), json!({ "type": "integer" })),
        (json!("string?"), json!({ "type": ["string", "null"] })),
        (json!("string?"), json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] })),
        (json!(["number"]), json!({ "type": "array", "items": { "type": "number" } })),
        (json!("[date]"), json!({ "items": "date" })),
        (json!({ "enum": ["a", "b"] }), json!({ "type": "string", "enum": ["a", "b"], "title": "Letter" })),
        (
            json!({ "type": "object", "properties": { "a": "integer", "b": "string?" } }),
            json!({
                "properties": { "a": { "type": "integer" }, "b": { "type": "string" } }, "required": ["a"],
                "additionalProperties": false,
            }),
        ),
    ] {
        let (short, long) = (shape(short).unwrap(), shape(long).unwrap());
        assert_eq!(short.value_type, long.value_type);
        assert_eq!(short.schema, long.schema);
    }
}

#[test]
fn the_model_is_shown_plain_json_schema() {
    let declared = json!({ "properties": {
        "day": "date", "score": { "type": "integer", "minimum": 1, "maximum": 5, "description": "five is best" },
        "notes": ["string?"],
    } });
    let shown = json!({
        "type": "object",
        "properties": {
            "day": { "type": "string", "format": "date" },
            "score": { "type": "integer", "description": "five is best", "minimum": 1, "maximum": 5 },
            "notes": { "type": "array", "items": { "anyOf": [{ "type": "string" }, { "type": "null" }] } },
        },
        "required": ["day", "score", "notes"],
        "additionalProperties": false,
    });
    let shape = shape(declared).unwrap();
    assert_eq!(shape.schema, shown);
    assert!(is_strict(&shape.value_type));
    assert!(!is_strict(&Type::list(Type::object())) && !is_strict(&Type::any()));
}

#[test]
fn what_is_no_type_is_told_with_its_place() {
    for (declared, why) in [
        (json!("intger"), "\"intger\" is no type"),
        (json!("table"), "no table"),
        (json!(["a", "b"]), "is no type"),
        (json!({}), "has a `type`"),
        (json!({ "type": "string", "pattern": "a" }), "no key `pattern`"),
        (json!({ "type": "string", "items": "string" }), "`items` goes with the type `array` alone"),
        (json!({ "type": "string", "minimum": 1 }), "`minimum` is a number, of a type"),
        (json!({ "type": "integer", "minimum": 2, "maximum": 1 }), "no number is allowed"),
        (json!({ "type": "integer", "enum": ["a"] }), "`enum` does not fit: \"a\" (string) is no integer"),
        (json!({ "type": "integer", "default": "a" }), "the default does not fit"),
        (json!({ "properties": { "a": { "properties": { "b": "strin" } } } }), "`a.b`: \"strin\" is no type"),
        (json!({ "properties": { "a": { "type": "string", "default": "" } } }), "`a`: `default` stands only"),
        (json!({ "properties": { "a": "string" }, "required": ["b"] }), "`required` names `b`"),
        (json!({ "properties": { "a": "string" }, "additionalProperties": true }), "has no others"),
        (json!({ "type": "object", "required": ["a"] }), "`required` goes with `properties`"),
        (json!({ "anyOf": ["string"] }), "at least two types"),
    ] {
        let error = shape(declared.clone()).unwrap_err();
        assert!(error.contains(why), "{declared}: {error}");
    }
}

#[test]
fn an_answer_is_held_to_its_type_and_nothing_is_made_up() {
    let person = || {
        json!({ "properties": {
            "name": "string", "age": { "type": "integer", "minimum": 0 }, "mail": "string?",
            "tags": [{ "enum": ["new", "old"] }],
        } })
    };
    let answer = json!({ "tags": ["new"], "age": 3.0, "name": "Ada", "else": 1 });
    assert_eq!(fitted(person(), answer), Ok(json!({ "name": "Ada", "age": 3, "mail": null, "tags": ["new"] })));
    let wrong = fitted(person(), json!({ "age": -1, "name": 7, "tags": ["new", "newer"] })).unwrap_err();
    assert_eq!(
        wrong,
        [
            "`name`: 7 (integer) is no string",
            "`age`: -1 is less than 0",
            "`tags[1]`: \"newer\" is none of \"new\", \"old\""
        ]
    );
    assert_eq!(fitted(person(), json!({ "name": null })).unwrap_err()[0], "`name`: null is no string");
    assert_eq!(fitted(person(), json!({ "name": null })).unwrap_err()[1], "`age`: is missing");
    for (declared, value) in [
        ("integer", json!("3")),
        ("integer", json!(true)),
        ("integer", json!(3.5)),
        ("boolean", json!(1)),
        ("number", json!("1.5")),
        ("string", json!(["a"])),
        ("date", json!("31 January")),
        ("[string]", json!("a")),
        ("object", json!([])),
    ] {
        assert_eq!(fitted(json!(declared), value.clone()).unwrap_err().len(), 1, "{declared} {value}");
    }
    assert_eq!(fitted(json!("date?"), json!("2026-01-31")), Ok(json!("2026-01-31")));
    assert_eq!(fitted(json!("decimal"), json!("12.50")), Ok(json!("12.50")));
    assert_eq!(fitted(json!({ "anyOf": ["string", "number"] }), json!(2)), Ok(json!(2.0)));
}
