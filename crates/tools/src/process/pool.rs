//! [`Pool`]: the processes of a program, started when they are wanted and kept for further calls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use flowrun_core::error::StepError;
use tokio::sync::Semaphore;

use super::worker::Worker;
use super::{Call, Program, Reply};

/// How long a program may take to end after it was told that nothing comes any more, in steps of a millisecond.
const GRACE: u32 = 300;

/// The processes of a program. A call has one for itself; what fails in a call is never used again.
pub struct Pool {
    program: Program,
    idle: Mutex<Vec<Worker>>,
    free: Semaphore,
    calls: AtomicU64,
}

impl Pool {
    /// A pool without any process yet.
    pub fn new(program: Program) -> Self {
        let free = Semaphore::new(program.workers.max(1));
        Self { program, idle: Mutex::default(), free, calls: AtomicU64::new(0) }
    }

    /// Asks a process, and waits for one that is free.
    ///
    /// # Errors
    /// What the program answers as an error (`tool.failed`), and all that can happen to it.
    pub async fn call(&self, call: Call<'_>) -> Result<Reply, StepError> {
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        let line = call.line(id)?;
        let Ok(_free) = self.free.acquire().await else {
            return Err(StepError::new("tool.died", "its processes are closed"));
        };
        let mut worker = self.worker()?;
        let answer = worker.exchange(&self.program, &line).await?;
        match Reply::read(&answer, id) {
            Ok(reply) => {
                self.idle().push(worker);
                reply.map_err(|mut error| {
                    error.message = self.program.redact(error.message);
                    error
                })
            }
            Err(why) => {
                let message = format!("what `{}` answered is no message: {why}", self.program.name());
                let answer = self.program.redact(excerpt(&answer));
                let error = StepError::new("tool.protocol", message).detail("answer", answer);
                let help = "it answers each line with one line, `{\"id\": …, \"result\": …}` or `{\"id\": …, \"error\": …}`; what it says besides goes to standard error";
                Err(worker.process().blamed(&self.program, error.help(help)).await)
            }
        }
    }

    /// A process that has nothing to do: an old one that is still there, or a new one.
    fn worker(&self) -> Result<Worker, StepError> {
        loop {
            let Some(mut worker) = self.idle().pop() else { return Worker::start(&self.program) };
            if !worker.has_ended() {
                return Ok(worker);
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Worker>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The beginning of an answer, for an error.
fn excerpt(answer: &[u8]) -> String {
    const LONGEST: usize = 500;
    let text = String::from_utf8_lossy(&answer[..answer.len().min(LONGEST)]).into_owned();
    if answer.len() > LONGEST { format!("{text}…") } else { text }
}

/// Programs may have something to write out before they end, so they are told first and killed after a while.
impl Drop for Pool {
    fn drop(&mut self) {
        let mut workers = std::mem::take(&mut *self.idle());
        workers.iter_mut().for_each(Worker::close);
        for _ in 0..GRACE {
            if workers.iter_mut().all(Worker::has_ended) {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}
