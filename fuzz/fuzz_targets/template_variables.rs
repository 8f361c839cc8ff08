//! Any text as a template: one that parses renders, or fails for what its values are, when it is given a value for each
//! variable that was found in it; a variable that was not found would be undefined.

#![no_main]

use flowrun_core::template::{Extras, Template};
use flowrun_core::value::Value;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(template) = Template::parse(text, Extras::None) else { return };
    let mut unknown = Vec::new();
    let found = template.variables();
    for variable in found {
        assert!(text.is_char_boundary(variable.range.start) && variable.range.end <= text.len());
    }
    let _ = template.render(|name| {
        if !found.iter().any(|variable| variable.name == name) {
            unknown.push(name.to_owned());
        }
        Some(Value::from("text"))
    });
    assert!(unknown.is_empty(), "not found: {unknown:?}");
});
