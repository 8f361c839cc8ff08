//! Time on the wall and on the cores.

use std::fs;
use std::time::{Duration, Instant};

/// Linux counts the CPU time of a process in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// A moment.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    wall: Instant,
    cpu: Option<Duration>,
}

/// What has passed since a moment.
pub(crate) struct Took {
    /// Time on the wall.
    pub(crate) wall: Duration,
    /// Time that all cores spent on this process, where the system tells it.
    pub(crate) cpu: Option<Duration>,
}

impl Clock {
    /// Now.
    pub(crate) fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu() }
    }

    /// What has passed.
    pub(crate) fn took(&self) -> Took {
        let cpu = cpu().zip(self.cpu).map(|(now, then)| now.saturating_sub(then));
        Took { wall: self.wall.elapsed(), cpu }
    }
}

/// CPU time of this process, in its own code and in the system's.
fn cpu() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold anything; the numbers behind it begin with the third field.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(TICK * (ticks()? + ticks()?))
}
