//! Any bytes as a flow file: they are a flow that compiles, or have mistakes; nothing breaks down.

#![no_main]

use std::sync::LazyLock;

use flowrun_core::compile::compile;
use flowrun_core::registry::Registry;
use flowrun_yaml::{ParseOptions, parse};
use libfuzzer_sys::fuzz_target;

static REGISTRY: LazyLock<Registry> = LazyLock::new(flowrun_steps::registry);

fuzz_target!(|text: &[u8]| {
    // A program that describes itself is started when its flow is checked; not by what a fuzzer makes up.
    if text.windows(4).any(|word| word == b"exec" || word == b"stdi") {
        return;
    }
    let nothing = |_: &str| None;
    let options = ParseOptions::new("flow.yaml", "/nonexistent").env(&nothing);
    match parse(text, &options) {
        Ok(parsed) => match compile(&parsed.spec, &REGISTRY) {
            Ok(compiled) => assert!(!compiled.flow.steps.is_empty()),
            Err(wrong) => assert!(wrong.has_errors()),
        },
        Err(wrong) => assert!(wrong.has_errors()),
    }
});
