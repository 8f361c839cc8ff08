//! Panics of steps: each is an error of its step and not the end of the process.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use crate::error::StepError;

thread_local! {
    /// Whether a step runs on this thread, so that its panic is caught here.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// Where the last panic of a step on this thread arose, between the hook and the catch.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// For the panic hook of a program: whether this panic is one of a step, which is told as the error of its run and need
/// not be told a second time. It notes the place for that error.
pub fn is_of_a_step(panic: &PanicHookInfo<'_>) -> bool {
    let inside = INSIDE.get();
    if inside {
        PLACE.set(panic.location().map(ToString::to_string));
    }
    inside
}

/// Runs a step. A panic is a bug in it, which ends the run as an error.
pub(super) async fn caught<T>(step: impl Future<Output = Result<T, StepError>>) -> Result<T, StepError> {
    let mut step = pin!(step);
    std::future::poll_fn(|task| {
        let outside = INSIDE.replace(true);
        let polled = catch_unwind(AssertUnwindSafe(|| step.as_mut().poll(task)));
        INSIDE.set(outside);
        polled.unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<&str>().copied();
            let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
            Poll::Ready(Err(error(said)))
        })
    })
    .await
}

fn error(said: &str) -> StepError {
    let error = StepError::new("step.panic", format!("the step broke down: {said}"));
    let error = error.help("this is a mistake in the step; RUST_BACKTRACE=1 shows how it came about").fatal();
    match PLACE.take() {
        Some(place) => error.detail("source", place),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn what_a_step_says_when_it_breaks_down_is_its_error() {
        let broken = block_on(caught::<()>(async { panic!("at {}", 7) })).unwrap_err();
        assert_eq!((&*broken.code, broken.fatal), ("step.panic", true));
        assert_eq!(broken.message, "the step broke down: at 7");
        assert!(!INSIDE.get(), "what comes after it is no step");
        assert!(block_on(caught(async { Ok(INSIDE.get()) })).unwrap(), "it is one itself");
    }
}
