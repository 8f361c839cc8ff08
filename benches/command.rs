//! What the command takes of a person's time and machine: checking a flow, and the memory of whole runs.
//!
//! The time is that of the real binary, from start to exit. The memory is the peak of a process of its own that calls
//! the same [`flowrun::main_with`] (this program, started with `--run`) and then reads its `VmHWM` from `/proc`: only
//! the process itself can do that after its last allocation. Linux alone has it.

mod support;

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use flowrun_mock_llm::{MockServer, Plan};

use support::{Number, Target, median};

const FLOW: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/flows/justify.yaml");
const CHECKS: u32 = 50;
/// What this program is started with to be the command; the command's arguments follow.
const FLAG: &str = "--run";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, rest @ ..] = &*arguments
        && flag == FLAG
    {
        return run(rest);
    }
    let mut numbers = vec![Number::new("`flowrun check` of justify", Target::Below(20.0), check()?, "ms")];
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let server = runtime.block_on(MockServer::start(Plan::default()))?;
    let address = server.base_url();
    let runs = [
        ("peak memory, 20 rows offline", "20", None, Target::Below(40.0)),
        ("peak memory, 10,000 rows offline", "10000", None, Target::Below(150.0)),
        ("peak memory, 10,000 rows by an endpoint", "10000", Some(&*address), Target::Below(150.0)),
    ];
    for (what, rows, address, target) in runs {
        if let Some(peak) = peak(folder.path(), rows, address)? {
            numbers.push(Number::new(what, target, peak, "MB"));
        }
    }
    support::report("4-command", &numbers)?;
    Ok(ExitCode::SUCCESS)
}

/// The median time of `flowrun check`, in milliseconds.
fn check() -> Result<f64, Box<dyn Error>> {
    let mut times = Vec::new();
    for _ in 0..CHECKS {
        let began = Instant::now();
        let status =
            Command::new(env!("CARGO_BIN_EXE_flowrun")).args(["check", FLOW]).stdout(Stdio::null()).status()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        if !status.success() {
            return Err("the flow is not fine".into());
        }
    }
    Ok(median(times))
}

/// The peak memory of a run, in megabytes; none where the system does not tell it.
fn peak(folder: &Path, rows: &str, address: Option<&str>) -> Result<Option<f64>, Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([FLAG, "--quiet", FLOW, "-i"]).arg(format!("rows={rows}")).current_dir(folder);
    command.env_remove("OPENAI_API_KEY").env_remove("OPENAI_BASE_URL");
    if let Some(address) = address {
        command.env("OPENAI_BASE_URL", address);
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("the run of {rows} rows ended with {}", output.status).into());
    }
    let said = String::from_utf8(output.stdout)?;
    Ok(said.trim().parse::<f64>().ok().map(|kibibytes| kibibytes * 1024.0 / 1e6))
}

/// Is the command, then says how much memory it took at most, in kibibytes.
fn run(arguments: &[String]) -> Result<ExitCode, Box<dyn Error>> {
    let program = "flowrun".to_owned();
    let code = flowrun::main_with(&flowrun::standard(), [&program].into_iter().chain(arguments).map(Into::into));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.map(|text| text.trim_end_matches("kB").trim());
    writeln!(std::io::stdout(), "{}", peak.unwrap_or_default())?;
    Ok(code)
}
