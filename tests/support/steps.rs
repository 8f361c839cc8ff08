//! Step types that tests put beside those of flowrun.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flowrun::prelude::*;
use tokio::sync::watch;

/// The registry of the program and the step types of this file.
pub(crate) fn registry() -> Registry {
    flowrun::standard()
        .with::<Fail>()
        .with::<Pay>()
        .with::<Dawdle>()
        .with::<Turn>()
        .with::<Probe>()
        .with_error_codes(["test.failed", "test.fatal", "test.odd"])
}

/// Fails on one value, and hands every other on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fail {
    /// The value.
    #[schemars(with = "serde_json::Value")]
    on: Value,
    /// The error's code.
    #[serde(default = "failed")]
    code: String,
    /// The status that a server would have answered with.
    status: Option<u16>,
    /// Whether it ends every map.
    #[serde(default)]
    fatal: bool,
    /// Whether it panics instead.
    #[serde(default)]
    panics: bool,
}

fn failed() -> String {
    "test.failed".to_owned()
}

impl Step for Fail {
    const TYPE: &'static str = "fail";
    type Input = Ports;
    type Output = Ports;

    fn signature(&self, _: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let value = || vec![Port::new("value", Type::any())];
        Ok(Signature::new(value(), value()))
    }

    async fn run(&self, _: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        if input.get("value") != Some(&self.on) {
            return Ok(Outcome::next(input));
        }
        assert!(!self.panics, "a step's own mistake");
        let mut error = StepError::new(self.code.clone(), "it was told to");
        if let Some(status) = self.status {
            error = error.detail("status", status.to_string());
        }
        Err(if self.fatal { error.fatal() } else { error })
    }
}

/// How often [`Pay`] has paid.
#[derive(Default)]
pub(crate) struct Till(AtomicU64);

impl Till {
    pub(crate) fn paid(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Does something that costs money, once for each of its visits in a run and all that resume it.
#[derive(Deserialize, JsonSchema)]
struct Pay {}

#[derive(Deserialize, JsonSchema)]
struct PayIn {
    value: i64,
}

#[derive(Serialize, JsonSchema)]
struct PayOut {
    value: i64,
}

impl Step for Pay {
    const TYPE: &'static str = "pay";
    const EFFECT: Effect = Effect::Inner;
    type Input = PayIn;
    type Output = PayOut;

    async fn run(&self, cx: &StepCx<'_>, input: PayIn) -> Result<Outcome<PayOut>, StepError> {
        let till: &Till = cx.resource()?;
        let pay = || async {
            till.0.fetch_add(1, Ordering::SeqCst);
            Ok(input.value * 10)
        };
        Ok(Outcome::next(PayOut { value: cx.effect("pay", pay).await? }))
    }
}

/// Takes its time, another one for each item.
#[derive(Deserialize, JsonSchema)]
struct Dawdle {
    /// Most milliseconds.
    most_ms: u64,
}

impl Step for Dawdle {
    const TYPE: &'static str = "dawdle";
    const EFFECT: Effect = Effect::Pure;
    type Input = Ports;
    type Output = Ports;

    fn signature(&self, _: &Scope<'_>) -> Result<Signature, Diagnostics> {
        Ok(Signature::new(Vec::new(), Vec::new()))
    }

    async fn run(&self, cx: &StepCx<'_>, _: Ports) -> Result<Outcome<Ports>, StepError> {
        let ms = cx.rng("delay").draws().below(0, self.most_ms);
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok(Outcome::next(Ports::empty()))
    }
}

/// Whose turn it is among the steps that wait for theirs.
pub(crate) struct Turns(watch::Sender<i64>);

impl Default for Turns {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

/// Waits for its turn and hands it on, so that a test says in which order things come about, without a clock.
#[derive(Deserialize, JsonSchema)]
struct Turn {}

#[derive(Deserialize, JsonSchema)]
struct TurnIn {
    turn: i64,
}

impl Step for Turn {
    const TYPE: &'static str = "turn";
    const EFFECT: Effect = Effect::Inner;
    type Input = TurnIn;
    type Output = Ports;

    fn signature(&self, _: &Scope<'_>) -> Result<Signature, Diagnostics> {
        Ok(Signature::new(vec![Port::new("turn", Type::integer())], Vec::new()))
    }

    async fn run(&self, cx: &StepCx<'_>, input: TurnIn) -> Result<Outcome<Ports>, StepError> {
        let turns: &Turns = cx.resource()?;
        let mut now = turns.0.subscribe();
        now.wait_for(|now| *now == input.turn).await.unwrap();
        turns.0.send_modify(|now| *now += 1);
        Ok(Outcome::next(Ports::empty()))
    }
}

/// A step, and each name that it read with the value.
pub(crate) type Read = (String, Vec<(String, Option<String>)>);

/// What probes have read, in the order in which they ran.
#[derive(Default)]
pub(crate) struct Trace(pub(crate) Mutex<Vec<Read>>);

/// Reads names, gives names, and takes branches as it is told.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Probe {
    /// Its optional inputs.
    reads: Vec<String>,
    /// Its inputs without a default.
    #[serde(default)]
    needs: Vec<String>,
    /// Its outputs; the value says which step gave it, and on which visit.
    gives: Vec<String>,
    /// Its branches beside `next`.
    branches: Vec<String>,
    /// The branch that it takes on each visit; after the last one, `next`.
    takes: Vec<String>,
}

impl Step for Probe {
    const TYPE: &'static str = "probe";
    const EFFECT: Effect = Effect::Pure;
    type Input = Ports;
    type Output = Ports;

    fn signature(&self, _: &Scope<'_>) -> Result<Signature, Diagnostics> {
        let inputs =
            self.reads.iter().map(|name| Port { default: Some(Value::Null), ..Port::new(name, Type::any()) });
        let inputs = inputs.chain(self.needs.iter().map(|name| Port::new(name, Type::any())));
        let outputs = self.gives.iter().map(|name| Port::new(name, Type::string()));
        let branches = self.branches.iter().map(String::as_str).chain(["next"]);
        Ok(Signature::new(inputs.collect(), outputs.collect()).branches(branches))
    }

    async fn run(&self, cx: &StepCx<'_>, input: Ports) -> Result<Outcome<Ports>, StepError> {
        let step = cx.step_name().to_string();
        let read = self
            .reads
            .iter()
            .map(|name| (name.clone(), input.get(name).and_then(Value::as_str).map(str::to_owned)));
        let mut trace = cx.resource::<Trace>()?.0.lock().unwrap();
        let visit = trace.iter().filter(|(s, _)| *s == step).count();
        trace.push((step.clone(), read.collect()));
        let outputs = self.gives.iter().map(|name| (name.as_str(), Value::from(format!("{step}.{name} {visit}"))));
        let branch = self.takes.get(visit).map_or("next", String::as_str);
        Ok(Outcome::branch(branch, outputs.collect()))
    }
}
