//! What happens when the user interrupts.
//!
//! The client waits for what is under way, so that waits end at once. A write gets a little time,
//! because its answer is what the state needs; after that it is not known whether it was done.

use std::future::Future;
use std::time::Duration;

use provider_protocol::Diagnostics;
use provider_protocol::provider::Context;

/// How long the answer to a write is waited for after an interrupt.
const GRACE: Duration = Duration::from_secs(5);

/// The user interrupted before there was an answer.
pub(super) struct Stopped {
    uncertain: bool,
}

impl Stopped {
    /// Tells what was not waited for; `object` is its kind and id.
    pub(super) fn tell(&self, verb: &str, object: &str, diags: &mut Diagnostics) {
        let text = if self.uncertain {
            format!("The daemon had not answered when the run was interrupted. {UNCERTAIN}")
        } else {
            "The run was interrupted.".to_owned()
        };
        diags.error(format!("Interrupted: {verb} {object}"), text);
    }
}

/// Of a write without an answer.
pub(super) const UNCERTAIN: &str = "It may have been done nevertheless. The next plan shows what \
    is there; should it create something that exists already, import that.";

/// Does something that changes nothing, until an interrupt.
pub(super) async fn or_now<C, T>(
    cx: &Context<C>,
    work: impl Future<Output = T>,
) -> Result<T, Stopped> {
    tokio::select! {
        done = work => Ok(done),
        () = cx.cancel.cancelled() => Err(Stopped { uncertain: false }),
    }
}

/// Does something that changes something, until a little after an interrupt.
pub(super) async fn or_late<C, T>(
    cx: &Context<C>,
    work: impl Future<Output = T>,
) -> Result<T, Stopped> {
    let late = async {
        cx.cancel.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        done = work => Ok(done),
        () = late => Err(Stopped { uncertain: true }),
    }
}
