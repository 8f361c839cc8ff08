//! `input_message`: asks the person.

use flowrun_core::compile::Scope;
use flowrun_core::conversation::{Message, QuestionKind, Role};
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{ModelUse, Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::template::Text;
use flowrun_core::types::Type;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::rephrase;
use crate::template::inputs_of;

const OUTPUT: &str = "user_provided_input";

/// Asks the person for a message. At a terminal `flowrun` asks and reads a line; elsewhere the run ends with exit code 3
/// and waits: `flowrun reply RUN TEXT` gives the answer, and the run goes on, with nothing done twice.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InputMessage {
    /// What the person is told first; its variables are inputs of the step. Without it, nothing is said.
    template: Option<Text>,
    /// The model, by its name under `models:`, that says the text in other words. Where it is offline the text is said as
    /// it is.
    rephrase: Option<String>,
}

impl Step for InputMessage {
    const TYPE: &'static str = "input_message";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str =
        "ask:\n  type: input_message\n  template: \"Which region is {{ name }} from?\"\n  output: region";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("VARIABLE", Type::any()).doc("One for each variable of the text.")],
            outputs: vec![Port::new(OUTPUT, Type::string()).doc("What the person wrote.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        if self.template.is_none() && self.rephrase.is_some() {
            let message = "`rephrase` says a text in other words, and there is none";
            return Err(scope.bad_key(&["rephrase"], message).help("say what is asked under `template`").into());
        }
        let inputs = inputs_of(self.template.iter().map(|text| (vec!["template".to_owned()], &**text)));
        let models = self.rephrase.iter().map(|model| ModelUse { model: model.clone(), offline: true });
        let outputs = vec![Port::new(OUTPUT, Type::string())];
        Ok(Signature { models: models.collect(), waits: true, ..Signature::new(inputs, outputs) })
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let mut told = self.template.as_ref().map(|t| t.render(|name| input.get(name).cloned())).transpose()?;
        if let (Some(text), Some(model)) = (&mut told, &self.rephrase) {
            *text = rephrase::rephrased(cx, model, text).await?;
        }
        if let Some(text) = &told {
            cx.post(&Message::new(Role::Agent, text.as_str()))?;
        }
        let answer = cx.ask("answer", QuestionKind::Message { text: told }).await?;
        let answer = answer.as_str().unwrap_or_default();
        cx.post(&Message::new(Role::User, answer))?;
        Ok(Outcome::next(Ports::one(OUTPUT, answer)))
    }
}
