//! The thread that brings a journal to the disk.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;

/// How much a power cut may lose.
const EVERY: Duration = Duration::from_millis(20);

/// What has reached the disk: bytes of the journal, or why nothing does any more.
type Synced = Result<u64, String>;

/// Syncs a file every 20 ms while something is written to it, and at once where somebody waits.
pub(crate) struct Syncer {
    written: Arc<AtomicU64>,
    wake: Option<Sender<()>>,
    synced: watch::Receiver<Synced>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// Begins; `length` bytes are there already.
    pub(crate) fn start(file: File, length: u64) -> std::io::Result<Self> {
        let written = Arc::new(AtomicU64::new(length));
        let (wake, woken) = channel();
        let (tell, synced) = watch::channel(Ok(length));
        let counter = Arc::clone(&written);
        let thread = std::thread::Builder::new()
            .name("flowrun-journal".to_owned())
            .spawn(move || run(&file, length, &counter, &woken, &tell))?;
        Ok(Self { written, wake: Some(wake), synced, thread: Some(thread) })
    }

    /// Notes that the file has grown.
    pub(crate) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Release);
    }

    /// Why the disk takes nothing any more.
    pub(crate) fn failure(&self) -> Option<String> {
        self.synced.borrow().as_ref().err().cloned()
    }

    /// Waits until the disk has all that was written before.
    pub(crate) async fn wait(&self) -> Result<(), String> {
        let target = self.written.load(Ordering::Acquire);
        let mut synced = self.synced.clone();
        if let Some(wake) = &self.wake {
            // Where the thread has ended, the wait below says why.
            let _ = wake.send(());
        }
        let reached = synced.wait_for(|s| s.as_ref().map_or(true, |bytes| *bytes >= target)).await;
        match reached {
            Ok(state) => state.as_ref().map(|_| ()).map_err(Clone::clone),
            Err(_) => Err("the thread that syncs it has ended".to_owned()),
        }
    }
}

/// The last bytes reach the disk before the file is closed.
impl Drop for Syncer {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that syncs the journal has failed");
        }
    }
}

fn run(file: &File, length: u64, written: &AtomicU64, woken: &Receiver<()>, tell: &watch::Sender<Synced>) {
    // Not what is written by now: that may be more than the disk has.
    let mut done = length;
    loop {
        let over = match woken.recv_timeout(EVERY) {
            Ok(()) => {
                // One sync serves all who wait by now.
                while woken.try_recv().is_ok() {}
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        };
        let target = written.load(Ordering::Acquire);
        if target > done {
            let synced = file.sync_data().map(|()| target).map_err(|e| e.to_string());
            let failed = synced.is_err();
            let _before = tell.send_replace(synced);
            if failed {
                return;
            }
            done = target;
        }
        if over {
            return;
        }
    }
}
