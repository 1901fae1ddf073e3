//! Handles on processes by descriptor: the end of one that is no child of ours, and signals that cannot
//! reach another process which has got its number.
#![expect(
    unsafe_code,
    reason = "registering a descriptor with the run time is unsafe for lack of I/O safety"
)]

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::io::unix::AsyncFd;

/// One process, whatever happens to its number.
pub(crate) struct PidFd(OwnedFd);

impl PidFd {
    /// The process that has the number now; `None` if there is none.
    pub(crate) fn open(pid: i32) -> std::io::Result<Option<Self>> {
        let Some(pid) = Pid::from_raw(pid) else { return Ok(None) };
        match rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(fd) => Ok(Some(Self(fd))),
            Err(Errno::SRCH) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sends a signal; a process that has ended meanwhile is no error.
    pub(crate) fn signal(&self, signal: Signal) -> std::io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.0, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Resolves when the process has ended.
    pub(crate) async fn ended(self) -> std::io::Result<()> {
        // SAFETY: the descriptor is owned, is given away to the registration, and is closed only after
        // that is undone, when both are dropped.
        let registered = unsafe { AsyncFd::register(self.0) }?;
        registered.readable().await.map(drop)
    }
}
