//! The lines of a run: one a step, and one that moves while a map runs.
//!
//! On a terminal the moving line is a bar; elsewhere it is a line every ten seconds.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flowrun_core::address::Address;
use flowrun_core::conversation::{Message, Role};
use flowrun_core::events::{Event, ItemCounts, Observer};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::render::{Screen, plural, thousands};

/// Time between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);
const WIDEST_NAME: usize = 28;

/// Tells a person how a run goes.
pub(crate) struct Progress {
    screen: Screen,
    terminal: bool,
    inner: bool,
    width: usize,
    maps: Mutex<Vec<(Address, Arc<Moving>)>>,
    /// Messages that a person has seen before.
    seen: AtomicU64,
}

/// A map that runs.
struct Moving {
    name: String,
    total: Option<u64>,
    /// Whether the total is of accepted items, however many run.
    towards_accepted: bool,
    began: Instant,
    said: Mutex<Instant>,
    bar: Option<ProgressBar>,
    counts: Counts,
    counted: Mutex<Option<ItemCounts>>,
}

#[derive(Default)]
struct Counts {
    started: AtomicU64,
    accepted: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
}

impl Counts {
    fn ended(&self) -> u64 {
        [&self.accepted, &self.rejected, &self.failed].iter().map(|n| n.load(Ordering::Relaxed)).sum()
    }
}

impl Progress {
    /// Progress of a flow with steps of these names. `inner`: also the steps inside maps, retries and flows.
    pub(crate) fn new<'n>(
        screen: Screen,
        terminal: bool,
        inner: bool,
        names: impl Iterator<Item = &'n str>,
    ) -> Self {
        let width = names.map(|n| n.chars().count()).max().unwrap_or(0).min(WIDEST_NAME);
        Self { screen, terminal, inner, width, maps: Mutex::default(), seen: AtomicU64::new(0) }
    }

    /// Does not show so many messages of the conversation, which an earlier process has shown.
    #[must_use]
    pub(crate) fn after(mut self, seen: u64) -> Self {
        self.seen = AtomicU64::new(seen);
        self
    }

    /// Keeps the bar away while something else uses the screen.
    pub(crate) fn paused<T>(&self, act: impl FnOnce() -> T) -> T {
        let bar = self.maps().iter().find_map(|(_, m)| m.bar.clone());
        match bar {
            Some(bar) => bar.suspend(act),
            None => act(),
        }
    }

    /// A message for the person, who knows what they wrote themselves.
    fn said(&self, at: &Address, message: &Message) {
        // Finished items say nothing again, so only messages outside of items can be counted.
        let seen = at.item().is_none()
            && self.seen.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
        if seen || message.role == Role::User {
            return;
        }
        let whose = if message.role == Role::Agent { String::new() } else { format!("({}) ", message.role) };
        let text = message.content.trim_end().replace('\n', &format!("\n{}", " ".repeat(self.width + 4)));
        self.line(&at.to_string(), &format!("{whose}{text}"));
    }

    fn line(&self, name: &str, text: &str) {
        let name = format!("{name:<width$}", width = self.width);
        let line = format!("  {}  {text}", self.screen.bold(&name));
        let line = line.trim_end();
        let bar = self.maps().iter().find_map(|(_, m)| m.bar.clone());
        match bar {
            Some(bar) => bar.suspend(|| self.screen.line(line)),
            None => self.screen.line(line),
        }
    }

    fn start(&self, at: &Address, total: Option<u64>, target: Option<u64>) {
        let moving = Arc::new(Moving {
            name: at.to_string(),
            total: total.or(target),
            towards_accepted: target.is_some(),
            began: Instant::now(),
            said: Mutex::new(Instant::now()),
            bar: self
                .terminal
                .then(|| ProgressBar::with_draw_target(total.or(target), ProgressDrawTarget::stderr_with_hz(12))),
            counts: Counts::default(),
            counted: Mutex::default(),
        });
        self.show_bar(&moving);
        self.maps().push((at.clone(), moving));
    }

    /// The bar asks for its text when it is drawn, so that an item only counts.
    fn show_bar(&self, moving: &Arc<Moving>) {
        let Some(bar) = &moving.bar else { return };
        let told = Arc::downgrade(moving);
        let style = ProgressStyle::with_template("  {prefix}  {bar:24}  {told}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ ");
        bar.set_style(style.with_key("told", move |_: &ProgressState, out: &mut dyn Write| {
            if let Some(moving) = told.upgrade() {
                let _ = out.write_str(&moving.told());
            }
        }));
        bar.set_prefix(self.screen.bold(&format!("{:<width$}", moving.name, width = self.width)));
        bar.enable_steady_tick(Duration::from_millis(100));
    }

    fn maps(&self) -> MutexGuard<'_, Vec<(Address, Arc<Moving>)>> {
        self.maps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moving(&self, at: &Address) -> Option<Arc<Moving>> {
        self.maps().iter().find(|(address, _)| address == at).map(|(_, moving)| Arc::clone(moving))
    }

    fn remove(&self, at: &Address) -> Option<Arc<Moving>> {
        let mut maps = self.maps();
        let place = maps.iter().position(|(address, _)| address == at)?;
        Some(maps.remove(place).1)
    }

    fn item(&self, map: &Address, result: Result<bool, ()>, attempts: u32) {
        let Some(moving) = self.moving(map) else { return };
        let counter = match result {
            Ok(true) => &moving.counts.accepted,
            Ok(false) => &moving.counts.rejected,
            Err(()) => &moving.counts.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if attempts > 1 {
            moving.counts.retried.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(bar) = &moving.bar {
            bar.set_position(moving.done());
        } else if moving.is_time_to_say() {
            self.line(&moving.name, &moving.told());
        }
    }

    fn finish(&self, at: &Address, branch: &str, note: &str) {
        let moving = self.remove(at);
        let counts = moving.and_then(|m| m.counted.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let text = counts.as_ref().map_or_else(|| note.to_owned(), counted);
        let branch = if branch == "next" { String::new() } else { format!("   → {branch}") };
        self.line(&at.to_string(), &format!("{text}{branch}"));
    }
}

impl Moving {
    /// Whether the last line was said long enough ago; then this one counts as said.
    fn is_time_to_say(&self) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = said.elapsed() >= EVERY;
        if is_time {
            *said = Instant::now();
        }
        is_time
    }

    /// How much of the total there is.
    fn done(&self) -> u64 {
        if self.towards_accepted { self.counts.accepted.load(Ordering::Relaxed) } else { self.counts.ended() }
    }

    fn told(&self) -> String {
        let counts = &self.counts;
        let done = self.done();
        let (seconds, number) =
            (self.began.elapsed().as_secs_f64(), |n: &AtomicU64| thousands(n.load(Ordering::Relaxed)));
        #[expect(clippy::cast_precision_loss, reason = "a rate for a person")]
        let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
        let mut text = match self.total {
            Some(total) => format!("{}/{}", thousands(done), thousands(total)),
            None => thousands(done),
        };
        let _ = write!(text, "  {}/s", if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") });
        #[expect(clippy::cast_precision_loss, reason = "a time for a person")]
        if let Some(total) = self.total.filter(|_| rate > 0.0) {
            let left = Duration::from_secs_f64((total.saturating_sub(done)) as f64 / rate).as_secs();
            let _ = write!(text, "  eta {}:{:02}", left / 60, left % 60);
        }
        let in_flight = counts.started.load(Ordering::Relaxed).saturating_sub(counts.ended());
        let _ = write!(
            text,
            "   accepted {}  rejected {}  failed {}   retried {}   {in_flight} in flight",
            number(&counts.accepted),
            number(&counts.rejected),
            number(&counts.failed),
            number(&counts.retried),
        );
        text
    }
}

/// `150 items   148 accepted (3 after a retry), 1 rejected, 1 failed`.
pub(crate) fn counted(counts: &ItemCounts) -> String {
    let after = match counts.accepted_after_retry {
        0 => String::new(),
        n => format!(" ({} after a retry)", thousands(n)),
    };
    let mut text = format!(
        "{}   {} accepted{after}, {} rejected, {} failed",
        plural(counts.asked, "item"),
        thousands(counts.accepted),
        thousands(counts.rejected),
        thousands(counts.failed),
    );
    if counts.overdrawn > 0 {
        let _ = write!(text, ", {} overdrawn", thousands(counts.overdrawn));
    }
    if counts.not_run > 0 {
        let _ = write!(text, ", {} not run", thousands(counts.not_run));
    }
    text
}

impl Observer for Progress {
    fn wants_inner(&self) -> bool {
        self.inner
    }

    fn on(&self, event: &Event<'_>) {
        match event {
            Event::MapStarted { at, total, target } if at.depth() == 0 => self.start(at, *total, *target),
            Event::ItemStarted { map, .. } => {
                if let Some(moving) = self.moving(map) {
                    moving.counts.started.fetch_add(1, Ordering::Relaxed);
                }
            }
            Event::ItemFinished { map, result, attempts, .. } => {
                self.item(map, result.map_err(|_| ()), *attempts);
            }
            Event::MapFinished { at, counts, .. } if at.depth() == 0 => {
                if let Some(moving) = self.moving(at) {
                    *moving.counted.lock().unwrap_or_else(PoisonError::into_inner) = Some((*counts).clone());
                    if let Some(bar) = &moving.bar {
                        bar.finish_and_clear();
                    }
                }
            }
            Event::StepFinished { at, branch, note, step_type } if at.depth() == 0 => {
                self.finish(at, branch, note.unwrap_or(step_type));
            }
            Event::StepFinished { at, branch, note, .. } if self.inner => {
                let text = note.map_or_else(|| format!("→ {branch}"), str::to_owned);
                self.line(&at.to_string(), &text);
            }
            Event::StepFailed { at, .. } if at.depth() == 0 => {
                let counts =
                    self.remove(at).and_then(|m| m.counted.lock().unwrap_or_else(PoisonError::into_inner).clone());
                if let Some(counts) = counts {
                    self.line(&at.to_string(), &counted(&counts));
                }
            }
            Event::StepFailed { at, error } if self.inner => {
                self.line(&at.to_string(), &format!("failed: {}", error.message));
            }
            Event::Said { at, message } => self.said(at, message),
            Event::Note { at, text } if at.depth() == 0 || self.inner => self.line(&at.to_string(), text),
            _ => {}
        }
    }
}
