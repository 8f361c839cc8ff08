//! `template`: text with holes.

use flowrun_core::compile::Scope;
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Asked, Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::template::{Template, Text, Variable};
use flowrun_core::types::Type;
use flowrun_core::value::Value;
use schemars::JsonSchema;
use serde::Deserialize;

/// Renders a text. Its variables are the step's inputs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TemplateStep {
    /// The text, in Jinja: `{{ row['country'] }}`, filters and loops. An undefined value is an error, and so is a
    /// null that is printed.
    template: Text,
}

/// The inputs that some texts read, each once; one that every text that reads it also tests is optional. Each text
/// comes with the keys and item numbers that lead to it.
pub(crate) fn inputs_of<'t>(texts: impl IntoIterator<Item = (Vec<String>, &'t Template)>) -> Vec<Port> {
    inputs_that_read(texts.into_iter().map(|(path, text)| (path, text.variables())))
}

/// As [`inputs_of`], from the variables of texts or conditions.
pub(crate) fn inputs_that_read<'v>(all: impl IntoIterator<Item = (Vec<String>, &'v [Variable])>) -> Vec<Port> {
    inputs_read(all.into_iter().map(|(path, variables)| (path, 0, variables)))
}

/// As [`inputs_of`], for variables of anything that stands in a text, which begins at a byte of it.
pub(crate) fn inputs_read<'t>(reads: impl IntoIterator<Item = (Vec<String>, usize, &'t [Variable])>) -> Vec<Port> {
    let mut ports: Vec<Port> = Vec::new();
    for (path, begin, variables) in reads {
        for variable in variables {
            let default = variable.optional.then_some(Value::Null);
            let range = begin + variable.range.start..begin + variable.range.end;
            let asked = Asked { path: path.clone(), range };
            match ports.iter_mut().find(|p| p.name == variable.name) {
                Some(port) if default.is_none() => port.default = None,
                Some(_) => {}
                None => ports.push(Port { default, asked: Some(asked), ..Port::new(&variable.name, Type::any()) }),
            }
        }
    }
    ports
}

impl Step for TemplateStep {
    const TYPE: &'static str = "template";
    const EFFECT: Effect = Effect::Pure;
    const EXAMPLE: &'static str = "greeting:\n  type: template\n  template: \"Dear {{ name }},\"";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("VARIABLE", Type::any()).doc("One for each variable of the text.")],
            outputs: vec![Port::new("output", Type::string()).doc("The rendered text.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, _: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let outputs = vec![Port::new("output", Type::string())];
        Ok(Signature::new(inputs_of([(vec!["template".to_owned()], &*self.template)]), outputs))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let text = self.template.render(|name| input.get(name).cloned())?;
        Ok(Outcome::next(cx.outputs(vec![text.into()])))
    }
}
