//! Ctrl-C and SIGTERM end a run in order: once to finish what is in flight, twice to stop at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use flowrun_core::execute::Stop;

use crate::render::Screen;

const INTERRUPT: u8 = 130;
const TERMINATE: u8 = 143;

/// Which signal came first.
pub(super) struct Signals {
    code: Arc<AtomicU8>,
}

impl Signals {
    /// Listens from now on.
    pub(super) fn listen(stop: &Arc<Stop>, screen: &Screen, talks: bool) -> Result<Self, String> {
        let code = Arc::new(AtomicU8::new(0));
        let heard = Heard { code: Arc::clone(&code), stop: Arc::clone(stop), screen: screen.clone(), talks };
        heard.spawn().map_err(|e| format!("signals cannot be heard: {e}"))?;
        Ok(Self { code })
    }

    /// The exit code of a run that a signal told to stop.
    pub(super) fn exit_code(&self) -> Option<u8> {
        Some(self.code.load(Ordering::SeqCst)).filter(|code| *code != 0)
    }
}

struct Heard {
    code: Arc<AtomicU8>,
    stop: Arc<Stop>,
    screen: Screen,
    talks: bool,
}

impl Heard {
    fn heard(&self, code: u8) {
        let first = self.code.compare_exchange(0, code, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        self.stop.ask();
        if self.talks && first {
            self.screen.line("stopping: what is in flight is finished; once more to stop at once");
        }
    }

    #[cfg(unix)]
    fn spawn(self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = interrupt.recv() => self.heard(INTERRUPT),
                    Some(()) = terminate.recv() => self.heard(TERMINATE),
                    else => return,
                }
            }
        });
        Ok(())
    }

    #[cfg(not(unix))]
    fn spawn(self) -> std::io::Result<()> {
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                self.heard(INTERRUPT);
            }
        });
        Ok(())
    }
}
