//! Items of a map: at most `parallel` run at once, a finished one gives up its place at once, and results are taken in
//! the order of the items.
//!
//! A finished item waits for its turn in a reorder window of 64 × `parallel` items, so one slow item holds nobody back
//! until the window is full; then no more items are taken.
//!
//! A map with a target takes an item only where one is missing even if all that run are accepted: each one that is not
//! gives leave for one more. So the items that run are the same however many run at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::context::{StepCx, flow_inputs};
use super::early::{Breaker, StopAfter, Target};
use super::frame::{Frame, walk};
use super::limits::Meter;
use super::shelf::Shelf;
use super::{ItemFailure, ItemStats, Run};
use crate::address::{Address, FrameKind};
use crate::error::{INTERRUPTED, StepError};
use crate::events::{Event, ItemCounts};
use crate::flow::Flow;
use crate::journal::{ItemRecord, Journal};
use crate::value::Value;

/// Items that may wait for their turn, for each that may run.
const WINDOW: usize = 64;

/// What becomes of a map when an item fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnItemError {
    /// The map fails, once the items in flight have ended.
    #[default]
    Fail,
    /// The item is left out.
    Skip,
    /// The item stays, with nulls.
    Keep,
}

/// How items are run.
#[derive(Clone, Debug)]
pub struct ItemPlan {
    /// The flow that each item runs.
    pub flow: String,
    /// How many items there are, where that is known.
    pub total: Option<u64>,
    /// How many run at once.
    pub parallel: usize,
    /// What becomes of the map when an item fails.
    pub on_error: OnItemError,
    /// The places of the inner flow's outputs that a record keeps, in its order; the others end with their item.
    pub collect: Vec<usize>,
    /// The place among the collected outputs that says whether an item is accepted.
    pub accept: Option<usize>,
    /// How many failures end the map, where they do not end it one by one.
    pub stop_after: Option<StopAfter>,
    /// How many are to be accepted; then the map ends, and further items are discarded.
    pub target: Option<Target>,
}

impl ItemPlan {
    fn accepts(&self, record: &ItemRecord) -> bool {
        record.result.as_ref().is_ok_and(|values| are_accepted(values, self.accept))
    }
}

/// Whether an item that collects these values is accepted, by the one in this place.
fn are_accepted(values: &[Value], accept: Option<usize>) -> bool {
    accept.is_none_or(|place| values[place].is_truthy())
}

/// The values that an item's flow gets, by name; what it does not name has defaults.
type ItemInputs = Vec<(Arc<str>, Value)>;

struct Work<I> {
    run: Arc<Run>,
    flow: Arc<Flow>,
    map: Address,
    map_key: String,
    outer: Option<Arc<ItemStats>>,
    meter: Option<Arc<Meter>>,
    /// What was kept in memory when the map began.
    shelf: Shelf,
    feed: Mutex<Feed<I>>,
    window: Semaphore,
    /// Leave to take an item, where not all are taken.
    leave: Option<Semaphore>,
    halt: AtomicBool,
    breaker: Option<Mutex<Breaker>>,
    on_error: OnItemError,
    collect: Vec<usize>,
    accept: Option<usize>,
    tell: bool,
}

impl<I> Work<I> {
    /// Whether the error of an item ends the map.
    fn ends_at(&self, error: &StepError) -> bool {
        error.fatal || self.on_error == OnItemError::Fail
    }

    /// Whether so many have failed with this one that the map is certain to end.
    fn is_too_much(&self, index: u64) -> bool {
        self.breaker().is_some_and(|mut breaker| breaker.failed(index))
    }

    fn breaker(&self) -> Option<MutexGuard<'_, Breaker>> {
        self.breaker.as_ref().map(|breaker| breaker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// No further item is taken.
    fn halt(&self) {
        self.halt.store(true, Ordering::Relaxed);
        if let Some(leave) = &self.leave {
            leave.close();
        }
    }
}

/// Leave for as many items as are wanted if all are accepted.
fn leave_for(target: Target) -> Semaphore {
    let wanted = usize::try_from(target.accepted.saturating_add(target.ahead)).unwrap_or(usize::MAX);
    Semaphore::new(if target.accepted == 0 { 0 } else { wanted.min(Semaphore::MAX_PERMITS / 2) })
}

struct Feed<I> {
    items: I,
    next: u64,
    failed: Option<StepError>,
}

impl StepCx<'_> {
    /// Runs a flow for each item and hands the records to `take` in the order of the items.
    ///
    /// # Errors
    /// An error of the items' source; with [`OnItemError::Fail`] that of the first failed item; a fatal one always.
    pub async fn run_items<I>(
        &self,
        plan: &ItemPlan,
        items: I,
        mut take: impl FnMut(ItemRecord) -> Result<(), StepError> + Send,
    ) -> Result<ItemCounts, StepError>
    where
        I: Iterator<Item = Result<ItemInputs, StepError>> + Send + 'static,
    {
        let limit = self.run.options.preview.filter(|_| self.is_top());
        let total = match (plan.total, limit) {
            _ if plan.target.is_some() => None,
            (Some(total), Some(limit)) => Some(total.min(limit)),
            (total, limit) => total.or(limit),
        };
        let items = items.take(limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX)));
        let address = self.address();
        let tell = self.is_top() || self.run.observers.wants_inner();
        if tell {
            let target = plan.target.map(|target| target.accepted);
            self.emit(&Event::MapStarted { at: &address, total, target });
        }
        let flow = Arc::clone(self.flow(&plan.flow)?);
        // A person answers one question after another.
        let parallel = if flow.waits { 1 } else { self.run.options.parallel.unwrap_or(plan.parallel).max(1) };
        let work = Arc::new(Work {
            run: Arc::clone(self.run),
            flow,
            map_key: address.key(),
            map: address.clone(),
            outer: self.frame.item.clone(),
            meter: self.frame.meter.clone(),
            shelf: self.frame.shelf.fork(),
            feed: Mutex::new(Feed { items, next: 0, failed: None }),
            window: Semaphore::new(parallel.saturating_mul(WINDOW).min(Semaphore::MAX_PERMITS)),
            leave: plan.target.map(leave_for),
            halt: AtomicBool::new(false),
            breaker: plan.stop_after.map(|limit| Mutex::new(Breaker::new(limit))),
            on_error: plan.on_error,
            collect: plan.collect.clone(),
            accept: plan.accept,
            tell,
        });
        if plan.target.is_some_and(|target| target.accepted == 0) {
            work.halt();
        }
        let workers = total.map_or(parallel, |n| parallel.min(usize::try_from(n).unwrap_or(usize::MAX)));
        let mut collector = Collector::new(plan, &address, tell);
        let mut take = |mut record: ItemRecord| {
            self.frame.shelf.add(std::mem::take(&mut record.changes))?;
            take(record)
        };
        let outcome = drive(&work, workers, |record| collector.add(&work, record, &mut take)).await;
        let pulled = work.feed.lock().unwrap_or_else(PoisonError::into_inner).next;
        let (counts, ends) = collector.finish(total.unwrap_or(pulled));
        if tell {
            self.emit(&Event::MapFinished { at: &address, counts: &counts, ends: &ends });
        }
        outcome?;
        if self.run.stop.is_asked() && counts.not_run > 0 {
            return Err(StepError::new(INTERRUPTED, "the run was told to stop"));
        }
        Ok(counts)
    }
}

/// Runs workers until the items are used up or somebody says halt; every record is handed on as it comes.
async fn drive<I>(
    work: &Arc<Work<I>>,
    workers: usize,
    mut add: impl FnMut(ItemRecord) -> Result<(), StepError>,
) -> Result<(), StepError>
where
    I: Iterator<Item = Result<ItemInputs, StepError>> + Send + 'static,
{
    let (sender, mut records) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        tasks.spawn(run_worker(Arc::clone(work), sender.clone()));
    }
    drop(sender);
    let mut first: Option<(u64, StepError)> = None;
    while let Some(record) = records.recv().await {
        let index = record.as_ref().map_or(u64::MAX, |r| r.index);
        if let Err(error) = record.and_then(&mut add) {
            work.halt();
            // The lowest item's error is told, whichever came first.
            if first.as_ref().is_none_or(|(at, _)| index < *at) {
                first = Some((index, error));
            }
        }
    }
    while let Some(joined) = tasks.join_next().await {
        if let Err(broken) = joined {
            let message = format!("a worker ended without an answer: {broken}");
            return Err(StepError::new("engine.worker", message));
        }
    }
    let source = work.feed.lock().unwrap_or_else(PoisonError::into_inner).failed.take();
    match (source, first) {
        (Some(error), _) | (None, Some((_, error))) => Err(error),
        (None, None) => Ok(()),
    }
}

async fn run_worker<I>(work: Arc<Work<I>>, records: mpsc::UnboundedSender<Result<ItemRecord, StepError>>)
where
    I: Iterator<Item = Result<ItemInputs, StepError>> + Send + 'static,
{
    run_items_in_turn(&work, &records).await;
    // What ends one worker ends all: nothing is left, or nothing more is wanted. None waits for leave any longer.
    if let Some(leave) = &work.leave {
        leave.close();
    }
}

async fn run_items_in_turn<I>(work: &Arc<Work<I>>, records: &mpsc::UnboundedSender<Result<ItemRecord, StepError>>)
where
    I: Iterator<Item = Result<ItemInputs, StepError>> + Send + 'static,
{
    loop {
        // The permit comes back when the item's record has been taken in its turn.
        let Ok(permit) = work.window.acquire().await else {
            return;
        };
        if let Some(leave) = &work.leave {
            let Ok(one) = leave.acquire().await else {
                return;
            };
            one.forget();
        }
        if work.halt.load(Ordering::Relaxed) || work.run.stop.is_asked() {
            return;
        }
        let Some((index, inputs)) = next_item(work) else {
            return;
        };
        permit.forget();
        let record = run_item(work, index, inputs).await;
        // Before the record is handed on, so that this worker begins no further item after one that ends the map.
        let ends = match &record {
            Ok(record) => {
                record.result.as_ref().is_err_and(|error| work.ends_at(error) || work.is_too_much(index))
            }
            Err(_) => true,
        };
        if ends {
            work.halt();
        }
        if records.send(record).is_err() {
            return;
        }
        tokio::task::coop::consume_budget().await;
    }
}

fn next_item<I>(work: &Work<I>) -> Option<(u64, ItemInputs)>
where
    I: Iterator<Item = Result<ItemInputs, StepError>>,
{
    let mut feed = work.feed.lock().unwrap_or_else(PoisonError::into_inner);
    if feed.failed.is_some() {
        return None;
    }
    match feed.items.next()? {
        Ok(inputs) => {
            feed.next += 1;
            Some((feed.next - 1, inputs))
        }
        Err(error) => {
            feed.failed = Some(error);
            work.halt();
            None
        }
    }
}

/// Runs one item, or takes it from the journal. An error is the journal's own.
async fn run_item<I>(work: &Work<I>, index: u64, inputs: ItemInputs) -> Result<ItemRecord, StepError> {
    if let Some(kept) = work.run.journal.item(&work.map_key, index)? {
        recall(work, &kept);
        return Ok(kept);
    }
    if work.tell {
        work.run.tell(&Event::ItemStarted { map: &work.map, index });
    }
    let stats = Arc::new(ItemStats { outer: work.outer.clone(), ..ItemStats::default() });
    let address = work.map.frame(FrameKind::Item(index));
    let frame = Frame {
        address: address.clone(),
        attempt: 1,
        item: Some(Arc::clone(&stats)),
        shelf: Arc::new(work.shelf.fork()),
        meter: work.meter.clone(),
    };
    let walked = async {
        let values = flow_inputs(&work.flow, |name| {
            inputs.iter().find(|(n, _)| **n == *name).map(|(_, value)| value.clone())
        })?;
        walk(&work.run, &work.flow, values, &frame).await
    };
    let (result, end): (Result<Vec<Value>, StepError>, _) = match walked.await {
        Ok(end) => {
            let mut values = end.outputs.into_values();
            (Ok(work.collect.iter().map(|place| std::mem::take(&mut values[*place])).collect()), end.name)
        }
        Err(mut error) => {
            error.at.get_or_insert(address);
            (Err(work.run.masked(error)), None)
        }
    };
    // What an item changed that failed is forgotten with it. One that was left in the middle goes on later, and what it
    // has said so far is told.
    let lasts = result.as_ref().err().is_none_or(StepError::is_stop);
    let changes = if lasts { frame.shelf.take_changes() } else { Vec::new() };
    let record = ItemRecord {
        index,
        rejected: result.as_ref().is_ok_and(|values| !are_accepted(values, work.accept)),
        result,
        end,
        attempts: 1 + stats.retries.load(Ordering::Relaxed),
        usage: *stats.usage.lock().unwrap_or_else(PoisonError::into_inner),
        counters: std::mem::take(&mut *stats.counters.lock().unwrap_or_else(PoisonError::into_inner)),
        changes,
    };
    // An item that ended the map, or was left in the middle, has to run again when the run goes on.
    if !record.result.as_ref().is_err_and(|error| error.is_stop() || work.ends_at(error)) {
        work.run.journal.keep_item(&work.map_key, &record)?;
        if let Some(settled) = work.run.journal.settled(false) {
            settled.await?;
        }
    }
    Ok(record)
}

/// Counts what an item used and counted when it ran, in an earlier process.
fn recall<I>(work: &Work<I>, kept: &ItemRecord) {
    work.run.add_usage(kept.usage);
    if let Some(meter) = &work.meter {
        meter.recall(kept.usage);
    }
    if let Some(outer) = &work.outer {
        outer.add_usage(kept.usage);
    }
    for (name, times) in &kept.counters {
        work.run.count(name, *times);
        if let Some(outer) = &work.outer {
            outer.count(name, *times);
        }
    }
}

/// Counts records, and puts them in order.
struct Collector<'a> {
    plan: &'a ItemPlan,
    address: &'a Address,
    tell: bool,
    waiting: BTreeMap<u64, ItemRecord>,
    next: u64,
    counts: ItemCounts,
    ends: Vec<(Arc<str>, u64)>,
}

impl<'a> Collector<'a> {
    fn new(plan: &'a ItemPlan, address: &'a Address, tell: bool) -> Self {
        Self {
            plan,
            address,
            tell,
            waiting: BTreeMap::new(),
            next: 0,
            counts: ItemCounts::default(),
            ends: Vec::new(),
        }
    }

    /// Whether as many are accepted as are wanted.
    fn is_reached(&self) -> bool {
        self.plan.target.is_some_and(|target| self.counts.accepted >= target.accepted)
    }

    fn add<I>(
        &mut self,
        work: &Work<I>,
        record: ItemRecord,
        take: &mut impl FnMut(ItemRecord) -> Result<(), StepError>,
    ) -> Result<(), StepError> {
        let ends = |record: &ItemRecord| record.result.as_ref().err().filter(|e| work.ends_at(e)).cloned();
        // Where there is a target, an item that ends the map may be one that is not wanted any more.
        let mut failed = if self.plan.target.is_none() { ends(&record) } else { None };
        self.arrived(work, &record);
        self.waiting.insert(record.index, record);
        let mut stopped = None;
        while let Some(record) = self.waiting.remove(&self.next) {
            self.next += 1;
            work.window.add_permits(1);
            if self.is_reached() {
                self.counts.overdrawn += 1;
                continue;
            }
            if self.plan.target.is_some() {
                self.count(work, &record);
                failed = failed.or(ends(&record));
                if self.is_reached() {
                    work.halt();
                }
            }
            let failed_here = record.result.as_ref().err().filter(|error| !error.is_stop());
            if let (Some(error), Some(mut breaker)) = (failed_here, work.breaker()) {
                stopped = stopped.or(breaker.in_turn(record.index, error));
            }
            take(record)?;
        }
        failed.or(stopped).map_or(Ok(()), Err)
    }

    /// What can be said of a record before its turn. Where there is a target, it may be one that is not wanted any more,
    /// and is counted in its turn.
    fn arrived<I>(&mut self, work: &Work<I>, record: &ItemRecord) {
        if self.plan.target.is_none() {
            self.count(work, record);
        }
        if let Some(leave) = work.leave.as_ref().filter(|_| !self.plan.accepts(record)) {
            leave.add_permits(1);
        }
    }

    fn count<I>(&mut self, work: &Work<I>, record: &ItemRecord) {
        if record.result.as_ref().is_err_and(StepError::is_stop) {
            // Nothing has failed: the item has to run again.
            return;
        }
        let retried = u64::from(record.attempts > 1);
        self.counts.retried += retried;
        let result = match &record.result {
            Ok(_) => {
                let accepted = self.plan.accepts(record);
                if accepted {
                    self.counts.accepted += 1;
                    self.counts.accepted_after_retry += retried;
                } else {
                    self.counts.rejected += 1;
                }
                Ok(accepted)
            }
            Err(error) => {
                self.counts.failed += 1;
                work.run.add_failure(failure(self.address, record, error));
                Err(error)
            }
        };
        if let Some(end) = &record.end {
            match self.ends.iter_mut().find(|(name, _)| name == end) {
                Some((_, times)) => *times += 1,
                None => self.ends.push((Arc::clone(end), 1)),
            }
        }
        if self.tell {
            let (index, attempts) = (record.index, record.attempts);
            work.run.tell(&Event::ItemFinished { map: self.address, index, result, attempts });
        }
    }

    fn finish(mut self, asked: u64) -> (ItemCounts, Vec<(Arc<str>, u64)>) {
        let counts = &self.counts;
        let done = counts.accepted + counts.rejected + counts.failed + counts.overdrawn;
        // Where there is a target, at least as many were still to run as were missing.
        let asked =
            self.plan.target.map_or(asked, |target| done + target.accepted.saturating_sub(counts.accepted));
        self.counts.asked = asked.max(done);
        self.counts.not_run = self.counts.asked - done;
        self.ends.sort();
        (self.counts, self.ends)
    }
}

fn failure(map: &Address, record: &ItemRecord, error: &StepError) -> ItemFailure {
    ItemFailure {
        map: map.to_string(),
        item: record.index,
        step: error.at.as_ref().map(ToString::to_string).unwrap_or_default(),
        code: error.code.to_string(),
        message: error.message.clone(),
        details: error.details.iter().map(|(k, v)| (k.to_string(), v.clone().into())).collect(),
        attempts: record.attempts,
    }
}
