//! Whether the daemon answers, as far as this process knows.
//!
//! One daemon that is away is one trouble, however many resources there are: the first that goes
//! without it tells, the others do not. What cannot go on without an answer (writes, data sources,
//! actions, ephemeral resources) fails with the same words, and only the first waits for them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use provider_protocol::Diagnostics;
use reconciler_api::client::ClientError;

use crate::failure::detail;

/// For how long a daemon that did not answer is not asked again by what needs an answer.
const PAUSE: Duration = Duration::from_secs(10);

/// Whether the daemon answers.
#[derive(Debug, Default)]
pub(crate) struct Reach(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    down: Option<Down>,
    told: bool,
}

#[derive(Debug)]
struct Down {
    detail: String,
    since: Instant,
}

impl Reach {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a failed call, if it failed because the daemon could not be asked.
    pub(crate) fn noticed(&self, error: &ClientError) {
        if error.is_unreachable() {
            self.state().down = Some(Down { detail: detail(error), since: Instant::now() });
        }
    }

    /// Whether a plan has to do without the daemon; tells so once.
    pub(crate) fn goes_without(&self, diags: &mut Diagnostics) -> bool {
        let mut state = self.state();
        let Some(down) = &state.down else { return false };
        if !state.told {
            let text = format!(
                "{}\n\nThe plan goes on without it: it shows every object as it was read last, and \
                 not the effect on live freight. Whatever must be read or written fails.",
                down.detail
            );
            diags.warning("Lockstep is not reachable", text);
            state.told = true;
        }
        true
    }

    /// Refuses something that needs the daemon if another did not reach it just now. `what` is
    /// what was to be done: `create stage shop/prod`.
    pub(crate) fn refuses(&self, what: &str, diags: &mut Diagnostics) -> bool {
        let state = self.state();
        let Some(down) = state.down.as_ref().filter(|down| down.since.elapsed() < PAUSE) else {
            return false;
        };
        diags.error(format!("Cannot {what}"), down.detail.clone());
        true
    }
}
