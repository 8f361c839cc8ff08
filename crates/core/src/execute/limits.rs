//! What bounds a visit of a flow: calls, tokens, time; and what a program of one's own wants to stop at.
//!
//! Calls and tokens are counted by meters, one for each visit of a flow that has such a limit, each within the meter of
//! the flow around it: whatever happens below a flow counts, finished items of an earlier process too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::{Asked, FlowEnd};
use super::{Run, StepCx};
use crate::address::Address;
use crate::error::{INTERRUPTED, StepError};
use crate::events::Usage;
use crate::flow::{Flow, Limits};

/// Something that may want a run to stop, asked before each step at every depth, from many tasks at once; must be quick.
pub trait Interrupt: Send + Sync {
    /// Why the run stops now; none where it goes on. `usage` is that of the whole run so far.
    fn stops(&self, at: &Address, usage: &Usage) -> Option<String>;
}

/// Counts what a visit of a flow uses, against the limits of that flow.
#[derive(Debug)]
pub(super) struct Meter {
    flow: Arc<str>,
    max_calls: Option<u64>,
    max_tokens: Option<u64>,
    calls: AtomicU64,
    tokens: AtomicU64,
    outer: Option<Arc<Self>>,
}

impl Meter {
    /// The meter of a visit: one of its own where the flow limits calls or tokens, else that of the flow around it.
    pub(super) fn of(flow: &Flow, outer: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let Limits { max_calls, max_tokens, .. } = flow.limits;
        if max_calls.is_none() && max_tokens.is_none() {
            return outer.cloned();
        }
        Some(Arc::new(Self {
            flow: Arc::clone(&flow.name),
            max_calls,
            max_tokens,
            calls: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            outer: outer.cloned(),
        }))
    }

    fn all(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::successors(Some(self), |meter| meter.outer.as_ref())
    }

    /// Takes the right to one call from this meter and all around it, or says which one refuses.
    fn take_call(self: &Arc<Self>) -> Result<(), StepError> {
        for (taken, meter) in self.all().enumerate() {
            let before = meter.calls.fetch_add(1, Ordering::SeqCst);
            let refused = match (meter.max_calls, meter.max_tokens) {
                (Some(most), _) if before >= most => Some(meter.refusal("calls", most)),
                (_, Some(most)) if meter.tokens.load(Ordering::SeqCst) >= most => {
                    Some(meter.refusal("tokens", most))
                }
                _ => None,
            };
            if let Some(error) = refused {
                self.give_back(taken + 1);
                return Err(error);
            }
        }
        Ok(())
    }

    fn refusal(&self, what: &str, most: u64) -> StepError {
        let code = if what == "calls" { "limit.calls" } else { "limit.tokens" };
        let message = format!("the flow `{}` has used the {most} {what} that its `limits` allow", self.flow);
        // Nothing below the flow may go on; where the flow ends, the error is one like others.
        StepError::new(code, message)
            .detail("flow", &*self.flow)
            .help(format!("raise `limits: {{ max_{what}: N }}`"))
            .fatal()
    }

    fn give_back(self: &Arc<Self>, meters: usize) {
        for meter in self.all().take(meters) {
            meter.calls.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Counts calls that were not asked for here, because an earlier process made them.
    pub(super) fn count_calls(self: &Arc<Self>, calls: u64) {
        for meter in self.all() {
            meter.calls.fetch_add(calls, Ordering::SeqCst);
        }
    }

    pub(super) fn count_tokens(self: &Arc<Self>, usage: Usage) {
        let tokens = usage.input_tokens + usage.output_tokens;
        if tokens > 0 {
            for meter in self.all() {
                meter.tokens.fetch_add(tokens, Ordering::SeqCst);
            }
        }
    }

    /// Counts what a finished item of an earlier process used.
    pub(super) fn recall(self: &Arc<Self>, usage: Usage) {
        self.count_calls(usage.calls);
        self.count_tokens(usage);
    }
}

/// The right to one call; given back unless the call was answered.
struct Begun<'m>(Option<&'m Arc<Meter>>);

impl Begun<'_> {
    fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if let Some(meter) = self.0 {
            meter.give_back(usize::MAX);
        }
    }
}

impl StepCx<'_> {
    /// As [`StepCx::effect_of`], for a call of a model: it counts against the limits of the flows around it, and is not
    /// made where one of them is used up. Calls in flight are finished, so tokens may go past their limit by what those
    /// use.
    ///
    /// # Errors
    /// `limit.calls`, `limit.tokens`; as [`StepCx::effect_of`].
    pub async fn call<T, F, Fut>(&self, key: &str, asked: &Asked, run: F) -> Result<T, StepError>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, StepError>> + Send,
    {
        let meter = self.frame.meter.as_ref();
        let place = self.place_of(key, asked)?;
        if let Some(kept) = self.kept_there(&place)? {
            if let Some(meter) = meter {
                meter.count_calls(1);
            }
            return Ok(kept);
        }
        meter.map_or(Ok(()), Meter::take_call)?;
        let begun = Begun(meter);
        let answer = run().await?;
        begun.answered();
        self.keep_there(place, &answer).await?;
        Ok(answer)
    }

    /// Counts a call of a model that is no effect of its own, such as one that a template answers in its place.
    ///
    /// # Errors
    /// `limit.calls`, `limit.tokens`.
    pub fn count_call(&self) -> Result<(), StepError> {
        self.frame.meter.as_ref().map_or(Ok(()), Meter::take_call)
    }
}

/// Whether a program of one's own wants the run to stop here.
pub(super) fn interrupted(run: &Run, at: impl Fn() -> Address) -> Result<(), StepError> {
    if run.interrupts.is_empty() {
        return Ok(());
    }
    let (at, usage) = (at(), run.usage());
    match run.interrupts.iter().find_map(|interrupt| interrupt.stops(&at, &usage)) {
        Some(why) => Err(StepError::new(INTERRUPTED, why).fatal()),
        None => Ok(()),
    }
}

/// Waits for a visit of an inner flow, or for its time to be over. The error of a limit of this flow, which nothing below
/// could catch, is one like others from here on. The time of the top flow is watched by [`super::execute`].
pub(super) async fn within(
    flow: &Flow,
    top: bool,
    walk: impl Future<Output = Result<FlowEnd, StepError>>,
) -> Result<FlowEnd, StepError> {
    let ended = match flow.limits.timeout.filter(|_| !top) {
        None => walk.await,
        Some(most) => tokio::time::timeout(most, walk).await.unwrap_or_else(|_| {
            let message = format!("the flow `{}` was not done after {}", flow.name, seconds(most));
            Err(StepError::new("flow.timeout", message).help("raise `limits: { timeout: SECONDS }`"))
        }),
    };
    ended.map_err(|mut error| {
        let own =
            |error: &StepError| error.details.iter().any(|(label, name)| label == "flow" && **name == *flow.name);
        if !top && error.code.starts_with("limit.") && own(&error) {
            error.fatal = false;
        }
        error
    })
}

/// Waits for a step, or for the time that its flow gives each step to be over.
pub(super) async fn step_within<T>(
    most: Duration,
    step: impl Future<Output = Result<T, StepError>>,
) -> Result<T, StepError> {
    tokio::time::timeout(most, step).await.unwrap_or_else(|_| {
        let message = format!("the step was not done after {}", seconds(most));
        Err(StepError::new("step.timeout", message).help("raise `limits: { step_timeout: SECONDS }`"))
    })
}

/// A time for a person.
pub(super) fn seconds(time: Duration) -> String {
    let plural = if time == Duration::from_secs(1) { "" } else { "s" };
    format!("{} second{plural}", time.as_secs_f64())
}
