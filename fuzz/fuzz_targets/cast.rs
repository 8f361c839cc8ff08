//! Any value into any type: what is cast is of the type, and casting it again changes nothing.

#![no_main]

use flowrun_core::cast::{cast, parse_text};
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (schema, value) = input;
    let Ok(schema) = serde_json::from_str::<serde_json::Value>(schema) else { return };
    let wanted = Type::from_json_schema(&schema);
    if let Ok(value) = serde_json::from_str::<serde_json::Value>(value)
        && let Ok(value) = Value::try_from(value)
        && let Ok(once) = cast(value, &wanted)
    {
        let again = cast(once.clone(), &wanted).expect("what was cast is of the type");
        assert_eq!(again, once);
    }
    if let Ok(read) = parse_text(value, &wanted) {
        cast(read, &wanted).expect("what was read is of the type");
    }
});
