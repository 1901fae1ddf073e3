//! What a child does to itself between `fork` and `exec`.
#![expect(
    unsafe_code,
    reason = "`pre_exec` is unsafe; the closure makes only async-signal-safe system calls"
)]

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{Pid, Signal};

/// How a child is tied to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Leads its own process group and is killed when the thread that spawned it ends.
    DiesWithParent,
    /// Leads its own session and outlives this process.
    OwnSession,
}

/// Arranges that `command` isolates itself before it runs its program. Signals that this process may ignore
/// (the infra shim does) or hold back (a sandbox does) are as usual there, since `exec` would keep that.
pub(crate) fn isolate(command: &mut Command, isolation: Isolation) {
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec only async-signal-safe system calls are made, no memory is
    // allocated and no lock is taken.
    unsafe {
        command.pre_exec(move || {
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                if libc::signal(signal, libc::SIG_DFL) == libc::SIG_ERR {
                    return Err(std::io::Error::last_os_error());
                }
            }
            let mut held = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
            if libc::sigemptyset(held.as_mut_ptr()) != 0
                || libc::sigprocmask(libc::SIG_SETMASK, held.as_ptr(), std::ptr::null_mut()) != 0
            {
                return Err(std::io::Error::last_os_error());
            }
            match isolation {
                Isolation::OwnSession => {
                    rustix::process::setsid()?;
                }
                Isolation::DiesWithParent => die_with(parent)?,
            }
            Ok(())
        });
    }
}

/// Makes this process ignore the signals that would end it politely. Used by the infra shim, which must
/// stay until its child has ended.
pub(crate) fn ignore_polite_signals() -> std::io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: `SIG_IGN` installs no handler, so no code of ours can run in signal context.
        if unsafe { libc::signal(signal, libc::SIG_IGN) } == libc::SIG_ERR {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

fn die_with(parent: Pid) -> std::io::Result<()> {
    rustix::process::setpgid(None, None)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the signal was asked for.
    if rustix::process::getppid() != Some(parent) {
        return Err(rustix::io::Errno::CHILD.into());
    }
    Ok(())
}
