//! [`Worker`]: one process that answers line by line.

use flowrun_core::error::StepError;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout};

use super::Program;
use super::started::Started;

/// A process with its pipes.
pub(super) struct Worker {
    process: Started,
    /// None once it was told that nothing comes any more.
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts a process of a program.
    pub(super) fn start(program: &Program) -> Result<Self, StepError> {
        let (process, stdin, stdout) = Started::start(program)?;
        Ok(Self { process, stdin: Some(stdin), stdout: BufReader::new(stdout) })
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }

    /// What runs.
    pub(super) fn process(&mut self) -> &mut Started {
        &mut self.process
    }

    /// Tells it that nothing comes any more, so that it can end by itself.
    pub(super) fn close(&mut self) {
        self.stdin = None;
    }

    /// Sends a line, which ends with a line break, and waits for the line that answers it.
    pub(super) async fn exchange(&mut self, program: &Program, line: &[u8]) -> Result<Vec<u8>, StepError> {
        match tokio::time::timeout(program.timeout, self.ask(program, line)).await {
            Ok(answer) => answer,
            Err(_) => {
                let seconds = program.timeout.as_secs_f64();
                let message = format!("`{}` did not answer in {seconds} s, and was ended", program.name());
                let error =
                    StepError::new("tool.timeout", message).help("raise `timeout:`, or ask for less at once");
                Err(self.process.blamed(program, error).await)
            }
        }
    }

    async fn ask(&mut self, program: &Program, line: &[u8]) -> Result<Vec<u8>, StepError> {
        if let Some(stdin) = &mut self.stdin {
            // A program that takes nothing any more may have answered before it ended; if not, its end is read below.
            let _sent = stdin.write_all(line).await.and(stdin.flush().await);
        }
        let mut answer = Vec::new();
        loop {
            let read =
                self.stdout.fill_buf().await.map_err(|e| {
                    StepError::new("tool.died", format!("`{}` cannot be read: {e}", program.name()))
                })?;
            if read.is_empty() {
                return Err(self.process.ended(program).await);
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(read.len(), |end| end + 1);
            answer.extend_from_slice(&read[..end.unwrap_or(taken)]);
            self.stdout.consume(taken);
            if answer.len() > program.longest_line {
                let message =
                    format!("`{}` wrote a line of more than {} bytes", program.name(), program.longest_line);
                let error =
                    StepError::new("tool.protocol", message).help("let it say less, or raise `max_line_bytes:`");
                return Err(self.process.blamed(program, error).await);
            }
            if end.is_some() {
                return Ok(answer);
            }
        }
    }
}
