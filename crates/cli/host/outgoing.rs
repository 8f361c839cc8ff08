//! What goes to the host: answers, notifications, and calls of the functions that it lends.
//!
//! One thread writes. What is to be written waits in a short queue, so a host that does not read slows the runs down
//! and makes nothing grow.

use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use flowrun_core::error::StepError;
use flowrun_core::value::Object;
use flowrun_tools::host::Lends;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::wire::{LARGEST, RpcError, answer};

/// Messages that may wait to be written.
const QUEUE: usize = 256;

/// The way to the host.
pub(super) struct Outgoing {
    queue: mpsc::Sender<Vec<u8>>,
    next: AtomicU64,
    pending: Mutex<HashMap<u64, oneshot::Sender<Result<Value, StepError>>>>,
    gone: AtomicBool,
}

impl Outgoing {
    /// Begins to write to `output`; the thread ends when this is dropped.
    pub(super) fn begin(mut output: impl Write + Send + 'static) -> (Arc<Self>, JoinHandle<()>) {
        let (queue, mut waiting) = mpsc::channel::<Vec<u8>>(QUEUE);
        let writer = std::thread::spawn(move || {
            while let Some(mut message) = waiting.blocking_recv() {
                // Whatever is there goes out at once, with one call.
                while message.len() < 1 << 16
                    && let Ok(more) = waiting.try_recv()
                {
                    message.extend_from_slice(&more);
                }
                if output.write_all(&message).and_then(|()| output.flush()).is_err() {
                    // The host reads no more; its input will end too, which ends the session.
                    return;
                }
            }
        });
        let outgoing =
            Self { queue, next: AtomicU64::new(1), pending: Mutex::default(), gone: AtomicBool::new(false) };
        (Arc::new(outgoing), writer)
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Result<Value, StepError>>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(&self, message: Vec<u8>) -> Result<(), StepError> {
        self.queue.send(message).await.map_err(|_| gone())
    }

    /// Answers a request.
    pub(super) async fn answer(&self, id: &Value, given: Result<Value, RpcError>) {
        let mut line = line_of(&answer(id, given));
        if line.len() > LARGEST {
            let message = format!("the answer has {} bytes, and a message may have {LARGEST}", line.len());
            let error = RpcError::new(-32002, message).data(json!({ "code": "host.too_large" }));
            line = line_of(&answer(id, Err(error)));
        }
        // A host that is gone needs no answer.
        let _gone = self.send(line).await;
    }

    /// Tells something; left out where the host does not read, as the next one says more.
    pub(super) fn tell(&self, event: &Value) {
        let _full = self.queue.try_send(line_of(&json!({ "jsonrpc": "2.0", "method": "event", "params": event })));
    }

    /// The host has answered a call. An answer that nobody waits for any more is passed over.
    pub(super) fn answered(&self, id: u64, given: Result<Value, Value>) {
        if let Some(waits) = self.pending().remove(&id) {
            let _left = waits.send(given.map_err(|error| failure(&error)));
        }
    }

    /// Whether calls wait for answers.
    pub(super) fn waits(&self) -> bool {
        !self.pending().is_empty()
    }

    /// No call will be answered: those under way end in this error. `for_ever`: later ones too.
    pub(super) fn fail_all(&self, error: &StepError, for_ever: bool) {
        self.gone.fetch_or(for_ever, Ordering::SeqCst);
        for (_, waits) in self.pending().drain() {
            let _left = waits.send(Err(error.clone()));
        }
    }

    async fn call(&self, run: &str, name: &str, arguments: &Object) -> Result<Value, StepError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let arguments = flowrun_core::value::Value::Object(arguments.clone()).to_json();
        let arguments = arguments.map_err(|e| StepError::new("tool.arguments", e.to_string()))?;
        let line = line_of(&json!({
            "jsonrpc": "2.0", "id": id, "method": "call_tool",
            "params": { "run": run, "name": name, "arguments": arguments },
        }));
        if line.len() > LARGEST {
            let message =
                format!("the call of `{name}` has {} bytes, and a message may have {LARGEST}", line.len());
            return Err(StepError::new("host.too_large", message));
        }
        let (answers, answered) = oneshot::channel();
        self.pending().insert(id, answers);
        let forgotten = Forget { outgoing: self, id };
        if self.gone.load(Ordering::SeqCst) {
            return Err(gone());
        }
        self.send(line).await?;
        let given = answered.await.map_err(|_| gone())?;
        drop(forgotten);
        given
    }
}

/// Forgets a call whose step waits no longer.
struct Forget<'o> {
    outgoing: &'o Outgoing,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.outgoing.pending().remove(&self.id);
    }
}

pub(super) fn gone() -> StepError {
    StepError::new("host.gone", "the program that lends the function is gone").fatal()
}

/// What a host says of a function that failed.
fn failure(error: &Value) -> StepError {
    let Some(message) = error.get("message").and_then(Value::as_str) else {
        return StepError::new("host.answer", format!("the host answered an error without a `message`: {error}"))
            .fatal();
    };
    let failed = StepError::new("tool.failed", message);
    match error.get("data").and_then(|data| data.get("type")).and_then(Value::as_str) {
        Some(class) => failed.detail("type", class),
        None => failed,
    }
}

fn line_of(message: &Value) -> Vec<u8> {
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// The functions that the host lends to one run.
pub(super) struct Lent {
    pub(super) outgoing: Arc<Outgoing>,
    pub(super) run: String,
}

impl Lends for Lent {
    fn call<'a>(&'a self, name: &'a str, arguments: &'a Object) -> BoxFuture<'a, Result<Value, StepError>> {
        self.outgoing.call(&self.run, name, arguments).boxed()
    }
}
