//! `retry`: runs a flow until it gives what is wanted.

use std::time::Duration;

use flowrun_core::address::FrameKind;
use flowrun_core::cast::castable;
use flowrun_core::compile::{FlowPorts, Scope, codes};
use flowrun_core::diagnostics::Diagnostics;
use flowrun_core::error::StepError;
use flowrun_core::execute::StepCx;
use flowrun_core::journal::WAIT_EFFECT;
use flowrun_core::late::Late;
use flowrun_core::ports::Ports;
use flowrun_core::signature::{Port, Signature};
use flowrun_core::step::{DocumentedPorts, Effect, Outcome, Step};
use flowrun_core::types::{Kind, Type};
use flowrun_core::value::{ObjectBuilder, Value};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error_name::{ErrorName, Written};

const SUCCESS: &str = "retry_step_success";
const TRIALS: &str = "retry_step_num_retries";
const PREVIOUS: &str = "previous";
const PREVIOUS_ERROR: &str = "previous_error";
const FAILURE: &str = "failure";

/// Where `max_delay` is not said, in seconds.
const LONGEST_DELAY: f64 = 60.0;

/// Runs a flow until one of its outputs is truthy, at most `max_trials` times, each time in a fresh frame. An inner
/// flow with an input `previous` gets the outputs of the trial before, one with an input `previous_error` the `code` and
/// `message` of the error in which that trial ended; both are null the first time.
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
    /// Errors that count as an unsuccessful trial, by code (`extract.missing`), kind (`model.*`) or status of HTTP (`429`,
    /// `5xx`). If the last trial ends in one, the step fails with it.
    #[serde(default, rename = "retry_on")]
    errors: Vec<Written>,
    /// Seconds to wait before the second trial. Default: none. Calls of models wait by themselves where a server asks for
    /// it; this is for what they know nothing of.
    delay: Option<Seconds>,
    /// How many times as long each wait is as the one before. Default: 1.
    backoff: Option<Factor>,
    /// Most seconds to wait before a trial. Default: 60.
    max_delay: Option<Seconds>,
    /// Whether `previous` and `previous_error` are what the trial before came to; where not, they are inputs of the step like
    /// the flow's others.
    #[serde(default = "hands_on")]
    hands_on: bool,
}

/// A number of trials.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Trials(#[schemars(range(min = 1, max = 1000))] u32);

/// A time.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Seconds(#[schemars(range(min = 0, max = 86400))] f64);

/// What a time is multiplied by.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Factor(#[schemars(range(min = 1, max = 100))] f64);

fn default_trials() -> Late<Trials> {
    Late::Now(Trials(5))
}

fn hands_on() -> bool {
    true
}

fn five() -> u32 {
    5
}

impl Retry {
    fn is_retried(&self, error: &StepError) -> bool {
        !error.fatal && self.errors.iter().filter_map(Written::read).any(|name| name.names(error))
    }

    /// Whether an input of the flow is one that the step itself gives.
    fn gives(&self, name: &str) -> bool {
        self.hands_on && (name == PREVIOUS || name == PREVIOUS_ERROR)
    }

    fn check(&self, scope: &Scope<'_>, inner: &FlowPorts) -> Diagnostics {
        let mut wrong = Diagnostics::new();
        match inner.outputs.iter().find(|p| p.name == self.until) {
            None => {
                let message = format!("the flow `{}` gives no `{}`", self.flow, self.until);
                let known = inner.outputs.iter().map(|p| p.name.as_str());
                wrong.push(scope.bad(&["until"], message).suggest(&self.until, known));
            }
            Some(until) if !matches!(until.value_type.without_null().kind, Kind::Boolean | Kind::Any) => {
                let message = format!("`until` names `{}`, a {}; its truth decides", self.until, until.value_type);
                scope.warn(codes::NOT_BOOLEAN, &["until"], message);
            }
            Some(_) => {}
        }
        for (n, name) in self.errors.iter().enumerate() {
            let place = n.to_string();
            let path = ["retry_on", place.as_str()];
            if let Some(name) = name.unread() {
                wrong.push(scope.bad(&path, format!("`{name}` names no error")).help(ErrorName::FORMS));
            }
            if let Some(name) = name.read() {
                name.check(scope, &path);
            }
        }
        for key in ["backoff", "max_delay"] {
            if self.delay.is_none() && scope.config().get(key).is_some() {
                let message = format!("`{key}` says how a `delay` grows, and there is none");
                wrong.push(
                    scope.bad_key(&[key], message).help("say how many seconds the first wait is: `delay: 1`"),
                );
            }
        }
        for port in inner.inputs.iter().filter(|port| self.gives(&port.name)) {
            let name = &port.name;
            let fits = port.value_type.admits_null() && castable(&Type::object(), &port.value_type);
            if !fits {
                let flow = &self.flow;
                let message = format!(
                    "the flow `{flow}` wants {} as its input `{name}`, which is null in the first trial and then an object",
                    port.value_type
                );
                wrong.push(
                    scope.bad(&["flow"], message).help(format!("declare it in the flow: `{name}: object?`")),
                );
            }
        }
        wrong
    }

    /// How long to wait before a trial from the second on.
    fn wait_before(&self, trial: u32) -> Duration {
        let Some(Seconds(first)) = self.delay else { return Duration::ZERO };
        let Factor(factor) = self.backoff.unwrap_or(Factor(1.0));
        let Seconds(most) = self.max_delay.unwrap_or(Seconds(LONGEST_DELAY.max(first)));
        let times = i32::try_from(trial.saturating_sub(2)).unwrap_or(i32::MAX);
        Duration::try_from_secs_f64((first * factor.powi(times)).min(most)).unwrap_or_default()
    }

    /// Waits before a trial, once: a run that goes on does not wait again for a trial that it has made.
    async fn wait(&self, cx: &StepCx<'_>, trial: u32) -> Result<(), StepError> {
        let time = self.wait_before(trial);
        if time.is_zero() {
            return Ok(());
        }
        let wait = || async {
            tokio::time::sleep(time).await;
            Ok(())
        };
        cx.effect(&format!("{WAIT_EFFECT}/{trial}"), wait).await
    }
}

impl Step for Retry {
    const TYPE: &'static str = "retry";
    const EFFECT: Effect = Effect::Inner;
    const EXAMPLE: &'static str = "attempt:\n  type: retry\n  flow: write_and_judge\n  until: is_valid\n  max_trials: 3\n  retry_on: [extract.missing, model.truncated, 503]\n  outputs: { retry_step_success: is_valid, retry_step_num_retries: attempts }\n  next: { failure: given_up }";

    type Input = Ports;
    type Output = Ports;

    fn documented_ports() -> DocumentedPorts {
        DocumentedPorts {
            inputs: vec![
                Port::new("NAME", Type::any())
                    .doc("One for each input of the flow, but `previous` and `previous_error`."),
            ],
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
        self.check(scope, &inner).into_result()?;
        let mut branches = inner.branches();
        if !branches.iter().any(|b| b == FAILURE) {
            branches.push(FAILURE.to_owned());
        }
        let inputs = inner.inputs.into_iter().filter(|p| !self.gives(&p.name)).collect();
        let outputs = inner.outputs.into_iter().filter(|p| p.name != self.until);
        let own = [Port::new(SUCCESS, Type::boolean()), Port::new(TRIALS, Type::integer())];
        Ok(Signature::new(inputs, outputs.chain(own).collect()).branches(branches))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let Trials(most) = self.max_trials.get(cx)?;
        let (mut previous, mut previous_error) = (Value::Null, Value::Null);
        let mut trial = 1;
        loop {
            let give = |name: &str| match name {
                PREVIOUS if self.hands_on => Some(previous.clone()),
                PREVIOUS_ERROR if self.hands_on => Some(previous_error.clone()),
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
                    previous_error = Value::Null;
                }
                Err(error) if last || !self.is_retried(&error) => return Err(error),
                // What the trial had given is gone with its error, so the one before stays `previous`.
                Err(error) => {
                    let mut said = ObjectBuilder::default();
                    said.set("code", &*error.code).set("message", error.message);
                    previous_error = said.finish().into();
                }
            }
            trial += 1;
            self.wait(cx, trial).await?;
            cx.count_retry();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest() {
        let wait = |delay, backoff: Option<f64>, most: Option<f64>, trial| {
            let (delay, backoff, max_delay) = (Some(Seconds(delay)), backoff.map(Factor), most.map(Seconds));
            let (flow, until, errors) = (String::new(), String::new(), Vec::new());
            let max_trials = default_trials();
            let retry = Retry { flow, until, max_trials, errors, delay, backoff, max_delay, hands_on: true };
            retry.wait_before(trial).as_millis()
        };
        let growing = [2, 3, 4, 5, 1000].map(|trial| wait(0.5, Some(3.0), Some(10.0), trial));
        assert_eq!(growing, [500, 1500, 4500, 10_000, 10_000]);
        assert_eq!([2, 9].map(|trial| wait(7.0, None, None, trial)), [7000, 7000]);
        assert_eq!(
            [2, 3].map(|trial| wait(100.0, Some(2.0), None, trial)),
            [100_000, 100_000],
            "as long as is said"
        );
        assert_eq!([2, 9].map(|trial| wait(40.0, Some(2.0), None, trial)), [40_000, 60_000]);
    }
}
