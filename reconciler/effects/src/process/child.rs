//! One running child: its group, its end, and how it is stopped.
//!
//! The parent-death signal fires when the *thread* that spawned the child ends, and threads of an async
//! run time come and go. So one thread, started at first use and kept for the life of the process, does
//! every spawn.

use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{Command, ProcessError, Status};

/// A running child; its process group is killed on drop.
pub(super) struct Child {
    inner: tokio::process::Child,
    group: Option<Pid>,
}

/// How waiting for a child ended.
pub(super) enum Ended {
    /// By itself.
    Exited(Status),
    /// Stopped on cancellation.
    Cancelled,
    /// Stopped at the deadline.
    Overdue,
    /// The operating system could not tell.
    Lost(std::io::Error),
}

impl Child {
    /// Starts the command with piped streams.
    pub(super) async fn spawn(command: &Command) -> Result<Self, ProcessError> {
        let mut tokio_command = tokio::process::Command::from(command.to_std());
        let stdin = if command.stdin.is_empty() { Stdio::null() } else { Stdio::piped() };
        tokio_command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let (reply, spawned) = oneshot::channel();
        spawner()
            .send(Order { command: tokio_command, runtime: Handle::current(), reply })
            .expect("the spawner thread never ends");
        let inner =
            spawned.await.expect("the spawner thread answers every order").map_err(|source| {
                if source.kind() == std::io::ErrorKind::NotFound
                    && command.dir.as_ref().is_none_or(|dir| dir.is_dir())
                {
                    ProcessError::NotFound { program: command.name() }
                } else {
                    ProcessError::Spawn { program: command.name(), dir: command.dir_name(), source }
                }
            })?;
        let group = inner.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Self { inner, group })
    }

    pub(super) fn take_pipes(
        &mut self,
    ) -> (Option<ChildStdout>, Option<ChildStderr>, Option<ChildStdin>) {
        (self.inner.stdout.take(), self.inner.stderr.take(), self.inner.stdin.take())
    }

    /// Waits for the end; at the deadline or on cancellation brings it about.
    pub(super) async fn wait_or_stop(
        &mut self,
        deadline: Duration,
        grace: Duration,
        cancel: &CancellationToken,
    ) -> Ended {
        let reason = tokio::select! {
            biased;
            status = self.inner.wait() => {
                return status.map_or_else(Ended::Lost, |status| Ended::Exited(Status::of(status)));
            }
            () = cancel.cancelled() => Ended::Cancelled,
            () = tokio::time::sleep(deadline) => Ended::Overdue,
        };
        for _ in 0..2 {
            self.signal_group(Signal::INT);
            if tokio::time::timeout(grace, self.inner.wait()).await.is_ok() {
                return reason;
            }
        }
        self.signal_group(Signal::KILL);
        match self.inner.wait().await {
            Ok(_) => reason,
            Err(error) => Ended::Lost(error),
        }
    }

    /// Ends whatever the child left running in its group. Its number cannot name another group while a
    /// member lives.
    pub(super) fn kill_group(&mut self) {
        self.signal_group(Signal::KILL);
        self.group = None;
    }

    fn signal_group(&self, signal: Signal) {
        if let Some(group) = self.group
            && let Err(error) = rustix::process::kill_process_group(group, signal)
            && error != rustix::io::Errno::SRCH
        {
            tracing::warn!(%error, ?signal, "cannot signal the process group of a child");
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal_group(Signal::KILL);
    }
}

struct Order {
    command: tokio::process::Command,
    runtime: Handle,
    reply: oneshot::Sender<std::io::Result<tokio::process::Child>>,
}

fn spawner() -> &'static mpsc::Sender<Order> {
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        std::thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                for mut order in inbox {
                    let _in_runtime = order.runtime.enter();
                    // The caller may be gone; a child nobody takes is killed when it is dropped here.
                    drop(order.reply.send(order.command.spawn()));
                }
            })
            .expect("a process that cannot start one thread cannot work");
        orders
    })
}
