//! What is hidden wherever this process says something: on the screen, and in its log.

use std::borrow::Cow;
use std::io::Write;
use std::sync::{Arc, PoisonError, RwLock};

use flowrun_core::secrets::Secrets;
use tracing_subscriber::fmt::MakeWriter;

/// The secrets of all runs of this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hidden(Arc<RwLock<Vec<Secrets>>>);

impl Hidden {
    /// Hides these too, from now on.
    pub(crate) fn add(&self, secrets: &Secrets) {
        if !secrets.is_empty() {
            self.0.write().unwrap_or_else(PoisonError::into_inner).push(secrets.clone());
        }
    }

    /// The text without any of them.
    pub(crate) fn masked<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().fold(Cow::Borrowed(text), |text, secrets| match secrets.masked(&text) {
            Cow::Owned(masked) => Cow::Owned(masked),
            Cow::Borrowed(_) => text,
        })
    }
}

/// Standard error, for the log; a line comes in one piece.
pub(crate) struct Log(Hidden);

impl<'a> MakeWriter<'a> for Hidden {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        Log(self.clone())
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        std::io::stderr().lock().write_all(self.0.masked(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secrets_of_all_runs_are_hidden() {
        let hidden = Hidden::default();
        assert_eq!(hidden.masked("hunter2! sesame"), "hunter2! sesame");
        hidden.add(&Secrets::new([("one", "hunter2!")]));
        hidden.clone().add(&Secrets::new([("two", "sesame")]));
        assert_eq!(hidden.masked("hunter2! sesame x"), "*** *** x");
    }
}
