//! `output_message`: says something to the person.

use flowrun_core::compile::Scope;
use flowrun_core::conversation::{Message, Role};
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

const OUTPUT: &str = "output_message";

/// Says something: the text becomes a message of the conversation, which later steps, models and the person see. Within an
/// item of a map it is seen by that item, and by all else when the map has ended, in the order of the items.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutputMessage {
    /// The text; its variables are inputs of the step. Default: the input `message`.
    template: Option<Text>,
    /// Whose message it is. Default: `agent`.
    #[serde(default)]
    message_type: MessageType,
    /// The model, by its name under `models:`, that says the text in other words; the output is the text itself. Where the
    /// model is offline the text is said as it is.
    rephrase: Option<String>,
    /// Whether the text is an output of the step too. Default: true.
    #[serde(default = "yes")]
    expose_message_as_output: bool,
}

fn yes() -> bool {
    true
}

/// Whose message it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum MessageType {
    /// The flow's, as models read it: their own.
    #[default]
    Agent,
    /// An instruction for models.
    System,
    /// What a model thinks to itself.
    Thought,
    /// Shown to the person, and no part of what models read.
    DisplayOnly,
}

impl MessageType {
    fn role(self) -> Role {
        match self {
            Self::Agent => Role::Agent,
            Self::System => Role::System,
            Self::Thought => Role::Thought,
            Self::DisplayOnly => Role::DisplayOnly,
        }
    }
}

impl Step for OutputMessage {
    const TYPE: &'static str = "output_message";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str =
        "greet:\n  type: output_message\n  template: \"Hello {{ name }}, your loan is {{ status }}.\"";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("VARIABLE", Type::any()).doc("One for each variable of the text.")],
            outputs: vec![Port::new(OUTPUT, Type::string()).doc("The text.")],
            branches: vec!["next".into()],
        }
    }

    fn signature(&self, _: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let inputs = match &self.template {
            Some(text) => inputs_of([(vec!["template".to_owned()], &**text)]),
            None => vec![Port::new("message", Type::string())],
        };
        let outputs = self.expose_message_as_output.then(|| Port::new(OUTPUT, Type::string()));
        let models = self.rephrase.iter().map(|model| ModelUse { model: model.clone(), offline: true });
        Ok(Signature { models: models.collect(), ..Signature::new(inputs, outputs.into_iter().collect()) })
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let text = match &self.template {
            Some(text) => text.render(|name| input.get(name).cloned())?,
            None => input.get("message").and_then(|m| m.as_str()).unwrap_or_default().to_owned(),
        };
        let said = match &self.rephrase {
            Some(model) => rephrase::rephrased(cx, model, &text).await?,
            None => text.clone(),
        };
        cx.post(&Message::new(self.message_type.role(), said))?;
        Ok(Outcome::next(if self.expose_message_as_output { Ports::one(OUTPUT, text) } else { Ports::empty() }))
    }
}
