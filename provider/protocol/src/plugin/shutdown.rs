//! Ending the process.
//!
//! The host ends it by a call. An interrupt at the terminal reaches every process of its group,
//! and is the host's to deal with: it asks to stop by another call, while ours goes on. A host
//! that was killed cannot say anything; then nobody is left to serve.

use std::future::Future;
use std::io;
use std::os::unix::process::parent_id;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::handshake::Mode;

/// How long a connection may stay open once the end has come. The host waits two seconds before
/// it kills.
const GRACE: Duration = Duration::from_millis(300);
/// How often to look whether the host is still there.
const PARENT_CHECK: Duration = Duration::from_secs(1);

/// Takes over the signals: termination ends, an interrupt does not, unless there is no host.
pub(super) fn on_signals(mode: Mode, end: &CancellationToken) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let end = end.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => end.cancel(),
                _ = interrupt.recv() => {
                    if mode == Mode::Debug {
                        end.cancel();
                    }
                }
            }
        }
    });
    Ok(())
}

/// Ends when the host is gone without a word.
pub(super) fn with_parent(mode: Mode, end: &CancellationToken) {
    if mode == Mode::Debug {
        return;
    }
    let parent = parent_id();
    let end = end.clone();
    tokio::spawn(async move {
        while parent_id() == parent {
            tokio::time::sleep(PARENT_CHECK).await;
        }
        end.cancel();
    });
}

/// Runs the server until it is done; once the end has come, for a short while at most.
pub(super) async fn within_grace<E>(
    served: impl Future<Output = Result<(), E>>,
    end: &CancellationToken,
) -> Result<(), E> {
    let late = async {
        end.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        result = served => result,
        () = late => Ok(()),
    }
}
