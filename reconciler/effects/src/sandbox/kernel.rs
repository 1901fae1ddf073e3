//! What the kernel offers and no safe interface does: a child in namespaces of its own, signals that are
//! waited for, flags of whole trees of mounts.
#![expect(
    unsafe_code,
    reason = "system calls without a safe wrapper, made by a process that has one thread"
)]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::Duration;

use rustix::process::Pid;

/// Who came back from [`clone_into`].
pub(super) enum Cloned {
    /// The child, the first process of its namespaces.
    Child,
    /// The parent; this is the child.
    Parent(Pid),
}

/// Flags of a mount, as `mount_setattr(2)` takes them.
#[derive(Debug, Clone, Copy)]
pub(super) struct MountAttributes(u64);

impl MountAttributes {
    /// Set-user-ID bits and devices mean nothing.
    pub(super) const INERT: Self = Self(libc::MS_NOSUID | libc::MS_NODEV);
    /// Nor can anything be written.
    pub(super) const READ_ONLY: Self = Self(libc::MS_NOSUID | libc::MS_NODEV | libc::MS_RDONLY);
    /// For a device: it is one, and no program.
    pub(super) const DEVICE: Self = Self(libc::MS_NOSUID | libc::MS_NOEXEC);
}

/// The argument of `mount_setattr(2)`. Its flags have the values of the old ones for what is used here.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Signals that the processes of the sandbox wait for instead of being ended by them.
const WAITED_FOR: [libc::c_int; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGCHLD];

/// Makes a child in new namespaces, as `fork` does but for these.
///
/// # Errors
/// The kernel refuses, or this process has another thread.
pub(super) fn clone_into(namespaces: libc::c_int) -> io::Result<Cloned> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("a process with several threads cannot make a sandbox"));
    }
    let flags = libc::c_long::from(namespaces | libc::SIGCHLD);
    // SAFETY: without a stack and shared memory this is `fork`: the child goes on with a copy of this
    // process. It has the only thread there was, so no lock of another one is held in the copy.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    match i32::try_from(pid) {
        Ok(0) => Ok(Cloned::Child),
        Ok(pid) if pid > 0 => Ok(Cloned::Parent(
            Pid::from_raw(pid).ok_or_else(|| io::Error::other("no process has number 0"))?,
        )),
        Ok(_) | Err(_) => Err(io::Error::last_os_error()),
    }
}

/// From here on the signals wait for [`next_signal`].
pub(super) fn hold_signals() -> io::Result<()> {
    let set = signal_set()?;
    // SAFETY: the set is initialised, and no old one is asked for.
    match unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Closes everything but standard input, output and error: what whoever started us left open must not
/// be a way out of the sandbox.
pub(super) fn close_inherited() -> io::Result<()> {
    // SAFETY: called before this process opened anything, so nothing that is closed is in use.
    match unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The next signal, if one comes in time.
pub(super) fn next_signal(within: Duration) -> io::Result<Option<libc::c_int>> {
    let set = signal_set()?;
    let time = libc::timespec {
        tv_sec: libc::time_t::try_from(within.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: within.subsec_nanos().into(),
    };
    // SAFETY: set and time are initialised, and nothing about the signal is asked for.
    let signal =
        unsafe { libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const time) };
    if signal > 0 {
        return Ok(Some(signal));
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR) => Ok(None),
        Some(_) | None => Err(error),
    }
}

/// Sets flags on a tree of mounts that is attached nowhere yet.
pub(super) fn set_attributes(tree: BorrowedFd<'_>, attributes: MountAttributes) -> io::Result<()> {
    let given = MountAttr { attr_set: attributes.0, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    // SAFETY: the path is empty and ends in NUL, the argument is as large as is said.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const given,
            size_of::<MountAttr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Leaves the keys of whoever started this process behind.
pub(super) fn forget_keys() -> io::Result<()> {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null name asks for a new anonymous keyring; nothing is read or written.
    let ring = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, 0, 0, 0, 0) };
    if ring >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn signal_set() -> io::Result<libc::sigset_t> {
    // SAFETY: `sigemptyset` initialises the set before anything reads it.
    unsafe {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        if libc::sigemptyset(set.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut set = set.assume_init();
        for signal in WAITED_FOR {
            if libc::sigaddset(&raw mut set, signal) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(set)
    }
}
