//! [`Started`]: a program that runs.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flowrun_core::error::StepError;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::{Program, group};

/// As much as is shown of what a program wrote to its standard error: the end.
const LONGEST_STDERR: usize = 8 << 10;

/// How long the end of what it wrote is waited for, once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A process that was started, and is killed with all that it has started when this value goes.
pub(crate) struct Started {
    child: Child,
    stderr: Arc<Mutex<Vec<u8>>>,
    /// Reads what it writes to its standard error, to its end.
    reader: JoinHandle<()>,
}

impl Started {
    /// Starts a program, and gives what it reads and what it writes.
    pub(crate) fn start(program: &Program) -> Result<(Self, ChildStdin, ChildStdout), StepError> {
        let wrong = |why: String| {
            StepError::new("tool.start", format!("`{}` cannot be started: {why}", program.name()))
                .help("check `command:`; no shell reads it, and paths are relative to the flow's file")
        };
        let mut command = Command::new(program.executable().map_err(wrong)?);
        command.args(program.command.iter().skip(1)).env_clear().envs(program.environment()?);
        if !program.folder.as_os_str().is_empty() {
            command.current_dir(&program.folder);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        group::apart(&mut command);
        let mut child = command.spawn().map_err(|e| wrong(e.to_string()))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            group::kill(&mut child);
            return Err(wrong("it has no pipes".to_owned()));
        };
        let tail = Arc::new(Mutex::new(Vec::new()));
        let reader = tokio::spawn(keep_end(stderr, Arc::clone(&tail)));
        Ok((Self { child, stderr: tail, reader }, stdin, stdout))
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        group::has_ended(&mut self.child)
    }

    /// The error of a program that has ended while it was asked.
    pub(crate) async fn ended(&mut self, program: &Program) -> StepError {
        // It may have closed its output only; all that is left of it ends now.
        group::kill(&mut self.child);
        let status = self.child.wait().await.map_or_else(|e| e.to_string(), how);
        let message = format!("`{}` ended while it was called: {status}", program.name());
        self.blamed(program, StepError::new("tool.died", message)).await
    }

    /// Ends the program, and adds to the error the end of what it wrote to its standard error.
    pub(crate) async fn blamed(&mut self, program: &Program, error: StepError) -> StepError {
        group::kill(&mut self.child);
        // A process that has left the group may hold the pipe open.
        let _read = tokio::time::timeout(LAST_WORDS, &mut self.reader).await;
        let said = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        if said.is_empty() { error } else { error.detail("stderr", program.redact(said)) }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        group::kill(&mut self.child);
    }
}

fn how(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        // 9 is how it was ended above, after it had closed its output.
        return if signal == 9 {
            "it was killed, or closed its output".to_owned()
        } else {
            format!("signal {signal}")
        };
    }
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}

/// Reads all that a program writes to its standard error, and keeps the end of it.
async fn keep_end(mut stderr: ChildStderr, tail: Arc<Mutex<Vec<u8>>>) {
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = stderr.read(&mut chunk).await {
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&chunk[..length]);
        let over = tail.len().saturating_sub(LONGEST_STDERR);
        tail.drain(..over);
    }
}
