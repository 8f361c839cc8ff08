//! Any bytes as a document of Agent Spec, with a file of components behind `---`: it is a flow that compiles, or has mistakes;
//! nothing breaks down.

#![no_main]

use std::sync::LazyLock;

use flowrun_agentspec::{ImportOptions, import, is_agent_spec};
use flowrun_core::compile::compile;
use flowrun_core::registry::Registry;
use libfuzzer_sys::fuzz_target;

static REGISTRY: LazyLock<Registry> = LazyLock::new(flowrun_steps::registry);

const BETWEEN: &[u8] = b"\n---\n";

fuzz_target!(|text: &[u8]| {
    // A program that describes itself is started when its flow is checked; not by what a fuzzer makes up.
    if text.windows(4).any(|word| word == b"exec") {
        return;
    }
    let mut options = ImportOptions::new("document");
    let mut document = text;
    if let Some(at) = text.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        document = &text[..at];
        options.components = vec![("components".to_owned(), text[at + BETWEEN.len()..].to_vec())];
    }
    let _ = is_agent_spec(document);
    match import(document, &options) {
        Ok(imported) => {
            assert!(!imported.warnings.has_errors());
            match compile(&imported.spec, &REGISTRY) {
                Ok(compiled) => assert!(!compiled.flow.steps.is_empty()),
                Err(wrong) => assert!(wrong.has_errors()),
            }
        }
        Err(wrong) => assert!(wrong.has_errors()),
    }
});
