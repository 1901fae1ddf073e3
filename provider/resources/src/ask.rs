//! One call of the daemon, and what stands around each.
//!
//! A daemon that did not answer somebody else just now is not waited for again, and an interrupt
//! ends the wait. Both are told; what the daemon itself answers is left to whoever asks.

use std::future::Future;

use provider_protocol::Diagnostics;
use reconciler_api::client::ClientError;
use tokio_util::sync::CancellationToken;

use crate::session::Session;
use crate::stop::{Stopped, or_late, or_now};

impl Session {
    /// Asks for something and changes nothing. `what` is what is done: `read stage shop/prod`.
    /// None if nothing was answered, which is told.
    pub(crate) async fn ask<T>(
        &self,
        cancel: &CancellationToken,
        what: &str,
        call: impl Future<Output = Result<T, ClientError>>,
        diags: &mut Diagnostics,
    ) -> Option<Result<T, ClientError>> {
        if self.reach.refuses(what, diags) {
            return None;
        }
        let asked = or_now(cancel, call).await;
        match &asked {
            Ok(Ok(_)) => self.reach.answered(),
            Ok(Err(error)) => {
                self.reach.noticed(error);
            }
            Err(_) => {}
        }
        answered(asked, (what, ""), diags)
    }

    /// Asks for a change, whose answer is waited for a little longer. `unsure` is what is said
    /// when it may have been done nevertheless.
    pub(crate) async fn order<T>(
        &self,
        cancel: &CancellationToken,
        (what, unsure): (&str, &str),
        call: impl Future<Output = Result<T, ClientError>>,
        diags: &mut Diagnostics,
    ) -> Option<Result<T, ClientError>> {
        if self.reach.refuses(what, diags) {
            return None;
        }
        let asked = or_late(cancel, call).await;
        match &asked {
            Ok(Ok(_)) => self.reach.answered(),
            Ok(Err(error)) => self.reach.noticed_of_write(error),
            Err(_) => {}
        }
        answered(asked, (what, unsure), diags)
    }
}

/// What was answered; an interrupt is told.
fn answered<T>(
    asked: Result<T, Stopped>,
    (what, unsure): (&str, &str),
    diags: &mut Diagnostics,
) -> Option<T> {
    match asked {
        Ok(answer) => Some(answer),
        Err(stopped) => {
            stopped.tell(what, unsure, diags);
            None
        }
    }
}
