//! justify's map against a model server, beside a bare HTTP client that makes the same calls: what the engine costs
//! on top of the network.
//!
//! The server is a process of its own (this program, started with `--serve`), so that it shares nothing but the
//! machine with what is measured. The two sides run in this process in turns, each time with new connections.

mod bare;
mod clock;
mod engine;
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::error::Error;

use flowrun_mock_llm::Latency;

use clock::Took;
use server::Server;
use support::{Number, Target, median, say};

/// The allocator of the program, for both sides.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: u32 = 10_000;
/// Rows of the run before the first round, which is not counted.
const WARM_UP: u32 = 500;

/// The engine's rows a second as a share of the bare client's.
const LEAST_RATIO: Target = Target::AtLeast(0.85);

/// What one side did in one round.
struct Done {
    took: Took,
    /// Calls that were answered.
    calls: u64,
}

/// The rounds of one side.
#[derive(Default)]
struct Side {
    rates: Vec<f64>,
    cpu: Vec<f64>,
    calls: u64,
}

impl Side {
    fn add(&mut self, done: &Done) {
        self.rates.push(f64::from(ROWS) / done.took.wall.as_secs_f64());
        self.cpu.extend(done.took.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / f64::from(ROWS)));
        self.calls = done.calls;
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, latency] = &*arguments
        && flag == server::FLAG
    {
        return server::serve(latency);
    }
    if let Some(side) = arguments.iter().find_map(|argument| argument.strip_prefix("--only=")) {
        return tokio::runtime::Runtime::new()?.block_on(only(side));
    }
    // Without a latency a round is over in a second and depends on who else uses the machine, so there are more of them.
    let settings = [
        ("0 ms, 64 in flight", Latency::Fixed { ms: 0.0 }, 64, 9),
        ("50 ms, 256 in flight", Latency::Fixed { ms: 50.0 }, 256, 3),
        ("lognormal 50 ms, 256 in flight", Latency::Lognormal { mean_ms: 50.0, sigma: 1.0 }, 256, 3),
    ];
    let runtime = tokio::runtime::Runtime::new()?;
    let mut numbers = Vec::new();
    for (name, latency, in_flight, rounds) in settings {
        numbers.extend(runtime.block_on(compare(name, latency, in_flight, rounds))?);
    }
    support::report("3-endpoint", &numbers)?;
    Ok(())
}

/// One side alone at 0 ms, for a profiler: `--only=engine` or `--only=bare`.
async fn only(side: &str) -> Result<(), Box<dyn Error>> {
    let server = Server::start(Latency::Fixed { ms: 0.0 })?;
    let done = match side {
        "engine" => engine::run(server.url(), ROWS, 64).await?,
        "bare" => bare::run(server.url(), ROWS, 64).await?,
        other => return Err(format!("`--only={other}` is neither `engine` nor `bare`").into()),
    };
    say(&format!("{side}: {:.0} rows/s, CPU {:?}", f64::from(ROWS) / done.took.wall.as_secs_f64(), done.took.cpu));
    Ok(())
}

/// Several rounds at one latency.
async fn compare(
    name: &str,
    latency: Latency,
    in_flight: usize,
    rounds: u32,
) -> Result<Vec<Number>, Box<dyn Error>> {
    let server = Server::start(latency)?;
    engine::run(server.url(), WARM_UP, in_flight).await?;
    bare::run(server.url(), WARM_UP, in_flight).await?;
    let (mut ours, mut theirs) = (Side::default(), Side::default());
    for round in 0..rounds {
        // Whoever comes second finds a warmer machine, so they take turns at that too.
        for engine_runs in [round % 2 == 0, round % 2 == 1] {
            server.reset().await?;
            if engine_runs {
                ours.add(&engine::run(server.url(), ROWS, in_flight).await?);
            } else {
                theirs.add(&bare::run(server.url(), ROWS, in_flight).await?);
            }
        }
    }
    let ratios = ours.rates.iter().zip(&theirs.rates).map(|(a, b)| a / b).collect();
    say(&format!("{name}: {} calls by the engine, {} by the bare client", ours.calls, theirs.calls));
    let mut numbers = vec![
        Number::new(format!("{name}: engine / bare client"), LEAST_RATIO, median(ratios), ""),
        Number::new(format!("{name}: engine"), Target::None, median(ours.rates), "rows/s"),
        Number::new(format!("{name}: bare client"), Target::None, median(theirs.rates), "rows/s"),
    ];
    if !ours.cpu.is_empty() {
        let share = median(ours.cpu) / median(theirs.cpu);
        numbers.push(Number::new(
            format!("{name}: CPU time of the engine / of the bare client"),
            Target::None,
            share,
            "",
        ));
    }
    Ok(numbers)
}
