//! `retry`: runs a flow until it gives what is wanted.

use flowrun_core::address::FrameKind;
use flowrun_core::compile::{Scope, codes};
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::late::Late;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::Value;
use schemars::JsonSchema;
use serde::Deserialize;

const SUCCESS: &str = "retry_step_success";
const TRIALS: &str = "retry_step_num_retries";
const PREVIOUS: &str = "previous";
const FAILURE: &str = "failure";

/// Runs a flow until one of its outputs is truthy, at most `max_trials` times, each time in a fresh frame. An inner
/// flow with an input `previous` gets the outputs of the trial before, null the first time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retry {
    /// The flow, by its name under `flows:`.
    flow: String,
    /// The output of the flow that ends the trials when it is truthy: not false, 0, "", [], {} or null.
    until: String,
    /// How often the flow runs at most. Default: 5.
    #[serde(default = "default_trials")]
    #[schemars(default = "five")]
    max_trials: Late<Trials>,
    /// Errors that count as an unsuccessful trial, by code (`extract.missing`) or kind (`model.*`). If the last trial
    /// ends in one, the step fails with it.
    #[serde(default, rename = "retry_on")]
    errors: Vec<String>,
}

/// A number of trials.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Trials(#[schemars(range(min = 1, max = 1000))] u32);

fn default_trials() -> Late<Trials> {
    Late::Now(Trials(5))
}

fn five() -> u32 {
    5
}

impl Retry {
    fn is_retried(&self, error: &StepError) -> bool {
        !error.fatal && self.errors.iter().any(|pattern| error.matches(pattern))
    }
}

impl Step for Retry {
    const TYPE: &'static str = "retry";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "attempt:\n  type: retry\n  flow: write_and_judge\n  until: is_valid\n  max_trials: 3\n  retry_on: [extract.missing, model.truncated]\n  outputs: { retry_step_success: is_valid, retry_step_num_retries: attempts }\n  next: { failure: given_up }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![Port::new("NAME", Type::any()).doc("One for each input of the flow, but `previous`.")],
            outputs: vec![
                Port::new("NAME", Type::any())
                    .doc("One for each output of the flow, but the one named in `until`."),
                Port::new(SUCCESS, Type::boolean()).doc("Whether a trial was successful."),
                Port::new(TRIALS, Type::integer()).doc("How many trials were made, from 1."),
            ],
            branches: vec!["next".into(), "END: each `complete` step of the flow".into(), FAILURE.into()],
        }
    }

    fn signature(&self, scope: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let inner = scope.flow(&self.flow, &["flow"])?;
        let Some(until) = inner.outputs.iter().find(|p| p.name == self.until) else {
            let message = format!("the flow `{}` gives no `{}`", self.flow, self.until);
            let wrong = scope.bad(&["until"], message);
            return Err(wrong.suggest(&self.until, inner.outputs.iter().map(|p| p.name.as_str())).into());
        };
        if !matches!(until.value_type.without_null().kind, Kind::Boolean | Kind::Any) {
            let message = format!("`until` names `{}`, a {}; its truth decides", self.until, until.value_type);
            scope.warn(codes::NOT_BOOLEAN, &["until"], message);
        }
        let branches = inner.branches().into_iter().chain([FAILURE.to_owned()]);
        let branches: Vec<_> = branches.collect();
        let inputs = inner.inputs.into_iter().filter(|p| p.name != PREVIOUS).collect();
        let outputs = inner.outputs.into_iter().filter(|p| p.name != self.until);
        let own = [Port::new(SUCCESS, Type::boolean()), Port::new(TRIALS, Type::integer())];
        Ok(Signature::new(inputs, outputs.chain(own).collect()).branches(branches))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let Trials(most) = self.max_trials.get(cx)?;
        let mut previous = Value::Null;
        let mut trial = 1;
        loop {
            let give = |name: &str| match name {
                PREVIOUS => Some(previous.clone()),
                name => input.get(name).cloned(),
            };
            let last = trial >= most;
            match cx.run_flow(&self.flow, FrameKind::Trial(trial), give).await {
                Ok(end) => {
                    let success = end.outputs.get(&self.until).is_some_and(Value::is_truthy);
                    if success || last {
                        let branch = if success { end.name.as_deref().unwrap_or("next") } else { FAILURE };
                        let outputs = end.outputs.iter().filter(|(name, _)| ***name != *self.until);
                        let own = [Value::Bool(success), Value::from(trial)];
                        let values = outputs.map(|(_, value)| value.clone()).chain(own).collect();
                        return Ok(Outcome::branch(branch, cx.outputs(values)));
                    }
                    previous = Value::Object(end.outputs.iter().map(|(n, v)| (n.clone(), v.clone())).collect());
                }
                Err(error) if last || !self.is_retried(&error) => return Err(error),
                // What the trial had given is gone with its error, so the one before stays `previous`.
                Err(_) => {}
            }
            trial += 1;
            cx.count_retry();
        }
    }
}
