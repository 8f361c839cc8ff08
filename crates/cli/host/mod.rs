//! `flowrun host`: runs flows for a program in any language, and calls the functions that it lends.
//!
//! JSON-RPC 2.0 on standard input and output, one message a line. One thread reads, one writes; each request is a task.

mod outgoing;
mod params;
mod run;
mod session;
mod wire;

use std::io::BufReader;
use std::sync::Arc;

use flowrun_core::error::StepError;
use flowrun_core::registry::Registry;
use serde_json::Value;

use crate::commands::Stop;
use crate::render::Hidden;
use outgoing::{Outgoing, gone};
use session::Session;
use wire::{Incoming, Line, RpcError};

/// Requests that may be under way at once; further lines wait to be read.
const AT_ONCE: usize = 1024;

/// Serves the program on the other side until its input ends.
pub(crate) fn serve(registry: &Registry, hidden: &Hidden) -> Result<(), Stop> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Stop::usage(format!("no threads can be started: {e}")))?;
    let (outgoing, writer) = Outgoing::begin(std::io::stdout());
    let ended = std::thread::scope(|scope| {
        let (lines, incoming) = tokio::sync::mpsc::channel(AT_ONCE);
        scope.spawn(move || read_lines(&lines));
        runtime.block_on(converse(registry, hidden, Arc::clone(&outgoing), incoming))
    });
    drop(outgoing);
    runtime.shutdown_background();
    // What was answered is still written.
    let _broken = writer.join();
    ended
}

fn read_lines(lines: &tokio::sync::mpsc::Sender<std::io::Result<Line>>) {
    let mut input = BufReader::with_capacity(1 << 16, std::io::stdin().lock());
    while let Some(line) = wire::next_line(&mut input).transpose() {
        let broken = line.is_err();
        if lines.blocking_send(line).is_err() || broken {
            return;
        }
    }
}

async fn converse(
    registry: &Registry,
    hidden: &Hidden,
    outgoing: Arc<Outgoing>,
    mut lines: tokio::sync::mpsc::Receiver<std::io::Result<Line>>,
) -> Result<(), Stop> {
    let session = Arc::new(Session::new(Arc::clone(&outgoing), hidden.clone()).map_err(Stop::usage)?);
    let permits = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
    let mut broken = None;
    while let Some(line) = lines.recv().await {
        let incoming = match line {
            Ok(Line::Bytes(line)) => wire::read(&line),
            Ok(Line::TooLong) => {
                let message = format!("a message has more than {} bytes", wire::LARGEST);
                Incoming::Wrong { id: Value::Null, error: RpcError::invalid(message) }
            }
            Err(error) => {
                broken = Some(Stop::usage(format!("standard input cannot be read: {error}")));
                break;
            }
        };
        match incoming {
            Incoming::Answer { id, given } => outgoing.answered(id, given),
            Incoming::Wrong { id, error } => {
                if outgoing.waits() {
                    // It may have been the answer to a call, which would wait for ever.
                    let message = format!("the host wrote a line that is no answer: {}", error.message);
                    outgoing.fail_all(&StepError::new("host.answer", message).fatal(), false);
                }
                outgoing.answer(&id, Err(error)).await;
            }
            // What compiles looks at the registry, which no task may outlive.
            Incoming::Request { id, method, params } if method == "load" => {
                let given = session.load(registry, params);
                respond(&outgoing, id, given).await;
            }
            Incoming::Request { id, method, params } => {
                let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
                let (session, outgoing) = (Arc::clone(&session), Arc::clone(&outgoing));
                let begun = session.begin(&method, params);
                tokio::spawn(async move {
                    let given = match begun {
                        Ok(begun) => session.finish(begun).await,
                        Err(error) => Err(error),
                    };
                    respond(&outgoing, id, given).await;
                    drop(permit);
                });
            }
        }
    }
    outgoing.fail_all(&gone(), true);
    session.end().await;
    broken.map_or(Ok(()), Err)
}

/// A request without an id is a notification, which nobody answers.
async fn respond(outgoing: &Outgoing, id: Option<Value>, given: Result<Value, RpcError>) {
    if let Some(id) = id {
        outgoing.answer(&id, given).await;
    }
}
