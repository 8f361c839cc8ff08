//! The process group of a program: it ends as a whole, with all that the program has started.

use tokio::process::{Child, Command};

/// Lets the program begin a group of its own, which signals of the terminal do not reach either.
pub(super) fn apart(command: &mut Command) {
    command.kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
}

/// Whether the program has ended by itself. It is not reaped yet, so that the number of its group stays its own.
#[cfg(unix)]
pub(super) fn has_ended(child: &mut Child) -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let Some(pid) = pid(child) else { return true };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
}

/// Kills the program and all that it has started.
#[cfg(unix)]
pub(super) fn kill(child: &mut Child) {
    if let Some(pid) = pid(child) {
        // Where it fails there is nobody left to kill.
        let _gone = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

#[cfg(unix)]
fn pid(child: &Child) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(i32::try_from(child.id()?).ok()?)
}

/// Whether the program has ended by itself.
#[cfg(not(unix))]
pub(super) fn has_ended(child: &mut Child) -> bool {
    !matches!(child.try_wait(), Ok(None))
}

/// Kills the program.
#[cfg(not(unix))]
pub(super) fn kill(child: &mut Child) {
    // Where it fails there is nobody left to kill.
    let _gone = child.start_kill();
}
