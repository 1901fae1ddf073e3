//! What happens when the user interrupts.
//!
//! The client waits for what is under way, so that waits end at once. A write gets a little time,
//! because its answer is what the state needs; after that it is not known whether it was done.

use std::future::Future;
use std::time::Duration;

use provider_protocol::Diagnostics;
use tokio_util::sync::CancellationToken;

/// How long the answer to a write is waited for after an interrupt.
const GRACE: Duration = Duration::from_secs(5);

/// The user interrupted before there was an answer.
pub(crate) struct Stopped {
    uncertain: bool,
}

impl Stopped {
    /// Tells what was not waited for: `what`, as in `read stage shop/prod`. `unsure` is what is
    /// said of a write that may have been done.
    pub(crate) fn tell(&self, what: &str, unsure: &str, diags: &mut Diagnostics) {
        let text = if self.uncertain {
            format!("The daemon had not answered when the run was interrupted. {unsure}")
        } else {
            "The run was interrupted.".to_owned()
        };
        diags.error(format!("Interrupted: {what}"), text);
    }
}

/// Does something that changes nothing, until an interrupt.
pub(crate) async fn or_now<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = T>,
) -> Result<T, Stopped> {
    tokio::select! {
        done = work => Ok(done),
        () = cancel.cancelled() => Err(Stopped { uncertain: false }),
    }
}

/// Does something that changes something, until a little after an interrupt.
pub(crate) async fn or_late<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = T>,
) -> Result<T, Stopped> {
    let late = async {
        cancel.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        done = work => Ok(done),
        () = late => Err(Stopped { uncertain: true }),
    }
}
