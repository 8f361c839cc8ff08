//! A flow that is built and run from Rust, without a file: `cargo run --example flow_in_rust`.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use flowrun::core::compile::compile;
use flowrun::core::execute::{Run, RunOptions, bind, execute};
use flowrun::core::spec::{FlowSpec, StepSpec};
use flowrun::core::types::Type;
use flowrun::core::value::{Value, from_value};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let greet = FlowSpec::new("greet")
        .input("name", Type::string(), None)
        .step(StepSpec::new("hello", "template", &json!({"template": "Hello, {{ name }}."})).output("greeting"));
    let spec = FlowSpec::new("greetings")
        .input("names", Type::list(Type::string()), Some(Value::from(vec!["Ada".into(), "Grace".into()])))
        .step(StepSpec::new(
            "all",
            "map",
            &json!({"flow": "greet", "over": {"name": "inputs.names"}, "collect": ["greeting"], "parallel": 2}),
        ))
        .output("greetings", "all.greeting")
        .flow(greet);

    let compiled = compile(&spec, &flowrun::standard())?;
    let inputs = bind(&compiled.flow, BTreeMap::new()).map_err(|wrong| wrong.join(", "))?;
    let run = Arc::new(Run::new(RunOptions { seed: 7, ..RunOptions::default() }));
    let outputs = execute(&compiled.flow, inputs, &run).await?.finished()?;

    let greetings: Vec<String> = from_value(outputs.values.get("greetings").cloned().unwrap_or_default())?;
    assert_eq!(greetings, ["Hello, Ada.", "Hello, Grace."]);
    Ok(())
}
