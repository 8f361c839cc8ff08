//! The model server, in a process of its own with one thread.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use flowrun_mock_llm::{Latency, MockServer, Plan};

/// What this program is started with to be the server; its latency follows as JSON.
pub(crate) const FLAG: &str = "--serve";

/// A running server, which ends when this is dropped.
pub(crate) struct Server {
    process: Child,
    url: String,
}

impl Server {
    /// Starts one and waits until it listens.
    pub(crate) fn start(latency: Latency) -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([FLAG, &serde_json::to_string(&latency)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut url = String::new();
        if let Some(said) = process.stdout.take() {
            BufReader::new(said).read_line(&mut url)?;
        }
        Ok(Self { process, url: url.trim().to_owned() })
    }

    /// Its address, as a model's `base_url`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Makes it draw its latencies from the first one on again, so that both sides meet the same.
    pub(crate) async fn reset(&self) -> Result<(), reqwest::Error> {
        let url = self.url.trim_end_matches("/v1");
        reqwest::Client::new().post(format!("{url}/reset")).send().await?.error_for_status().map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It also ends by itself when its input is closed; nothing is lost if this fails.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves until the process that started this one closes our input.
pub(crate) fn serve(latency: &str) -> Result<(), Box<dyn Error>> {
    let plan = Plan { latency: serde_json::from_str(latency)?, ..Plan::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let server = runtime.block_on(MockServer::start(plan))?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", server.base_url())?;
    out.flush()?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
