//! The binary: a [`MockServer`] of its own process, for benches and for tests that kill things.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use flowrun_mock_llm::{FaultKind, Latency, MockServer, Plan};

/// An OpenAI-compatible model server on loopback, for tests and benches.
///
/// Prints its address and runs until it is interrupted. What it saw is at /counters (beside /v1).
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Port of 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// A plan as JSON. The other flags change it.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// How long each reply takes, as in 50ms or 1.5s.
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    latency: Option<f64>,
    /// Spreads --latency evenly by so much either way.
    #[arg(long, value_name = "TIME", value_parser = milliseconds, requires = "latency")]
    jitter: Option<f64>,
    /// A long-tailed latency: its mean, and the standard deviation of its logarithm, as in 50ms,1.0.
    #[arg(long, value_name = "MEAN,SIGMA", value_parser = lognormal, conflicts_with = "latency")]
    latency_lognormal: Option<Latency>,
    /// A fault and its share of the requests, as in 429=0.1 or drop=0.01. Can be given more than once.
    #[arg(long, value_name = "KIND=SHARE", value_parser = fault)]
    fault: Vec<(FaultKind, f64)>,
    /// Most faults that one call meets over its tries.
    #[arg(long, value_name = "N")]
    faults_per_call: Option<u32>,
    /// Milliseconds to wait that a 429 or 503 asks for.
    #[arg(long, value_name = "MS")]
    retry_after_ms: Option<u64>,
    /// Seed of latencies and faults.
    #[arg(long)]
    seed: Option<u64>,
    /// Threads that serve.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
}

impl Args {
    fn plan(&self) -> Result<Plan, String> {
        let mut plan = match &self.plan {
            Some(path) => {
                let text = fs::read_to_string(path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                serde_json::from_str(&text).map_err(|error| format!("{} is no plan: {error}", path.display()))?
            }
            None => Plan::default(),
        };
        plan.seed = self.seed.unwrap_or(plan.seed);
        plan.latency = match (self.latency, self.jitter, self.latency_lognormal) {
            (_, _, Some(lognormal)) => lognormal,
            (Some(ms), Some(jitter_ms), None) => Latency::Jittered { ms, jitter_ms },
            (Some(ms), None, None) => Latency::Fixed { ms },
            (None, _, None) => plan.latency,
        };
        plan.faults.shares.extend(self.fault.iter().copied());
        plan.faults.per_call = self.faults_per_call.or(plan.faults.per_call);
        plan.faults.retry_after_ms = self.retry_after_ms.or(plan.faults.retry_after_ms);
        Ok(plan)
    }
}

fn milliseconds(text: &str) -> Result<f64, String> {
    let (number, unit) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1.0),
        (None, Some(number)) => (number, 1000.0),
        (None, None) => return Err("write a time with its unit, as in 50ms or 1.5s".to_owned()),
    };
    number.parse::<f64>().map(|number| number * unit).map_err(|error| error.to_string())
}

fn lognormal(text: &str) -> Result<Latency, String> {
    let (mean, sigma) = text.split_once(',').ok_or("write the mean and sigma, as in 50ms,1.0")?;
    Ok(Latency::Lognormal {
        mean_ms: milliseconds(mean)?,
        sigma: sigma.parse().map_err(|error| format!("sigma `{sigma}`: {error}"))?,
    })
}

fn fault(text: &str) -> Result<(FaultKind, f64), String> {
    let (kind, share) = text.split_once('=').ok_or("write a fault and its share, as in 429=0.1")?;
    let kind = kind.parse::<FaultKind>().map_err(|error| error.to_string())?;
    Ok((kind, share.parse().map_err(|error| format!("share `{share}`: {error}"))?))
}

async fn run(args: &Args) -> Result<(), String> {
    let server = MockServer::start_at(args.plan()?, args.port).await.map_err(|error| error.to_string())?;
    writeln!(io::stdout(), "{}", server.base_url())
        .map_err(|error| format!("cannot print the address: {error}"))?;
    tokio::signal::ctrl_c().await.map_err(|error| format!("cannot wait for the interrupt: {error}"))?;
    server.shutdown().await;
    Ok(())
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut runtime = if args.threads == 1 {
        tokio::runtime::Builder::new_current_thread()
    } else {
        tokio::runtime::Builder::new_multi_thread()
    };
    let outcome = runtime
        .worker_threads(usize::from(args.threads))
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start a runtime: {error}"))
        .and_then(|runtime| runtime.block_on(run(&args)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Nowhere is left to report to where stderr is closed.
            let _printed = writeln!(io::stderr(), "mock-llm: {why}");
            ExitCode::FAILURE
        }
    }
}
