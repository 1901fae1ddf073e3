//! Whether the daemon answers, as far as this process knows.
//!
//! One daemon that is away is one trouble, however many resources there are: the first that goes
//! without it tells, the others do not. What cannot go on without an answer (writes, data sources,
//! actions, ephemeral resources) fails with the same words, and only the first waits for them. After
//! a pause it is asked again: it may be back.
//!
//! What answers and is of another version, or no daemon at all, is told once as an error. The run
//! fails for it, so that nothing else has to say it. It may have been one answer of something before
//! the daemon: after the same pause it is asked again, and at once where another call succeeds.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use provider_protocol::Diagnostics;
use reconciler_api::client::ClientError;

use crate::failure::detail;

/// For how long a daemon that did not answer, or not as one, is not asked again.
const PAUSE: Duration = Duration::from_secs(10);

/// Whether the daemon answers.
#[derive(Debug, Default)]
pub(crate) struct Reach(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    down: Option<Trouble>,
    told: bool,
    /// What answers cannot be spoken to.
    foreign: Option<Trouble>,
    /// Whoever saw that first told it.
    told_foreign: bool,
}

impl State {
    /// Why nothing can be asked just now.
    fn trouble(&self) -> Option<&str> {
        let mut troubles = [&self.foreign, &self.down].into_iter().flatten();
        let recent = troubles.find(|it| it.is_recent());
        recent.map(|it| it.detail.as_str())
    }
}

/// Why nothing can be asked, and since when.
#[derive(Debug)]
struct Trouble {
    detail: String,
    since: Instant,
}

impl Trouble {
    fn of(error: &ClientError) -> Self {
        Self { detail: detail(error), since: Instant::now() }
    }

    fn is_recent(&self) -> bool {
        self.since.elapsed() < PAUSE
    }
}

impl Reach {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a failed call, if it failed because the daemon could not be asked. False if what
    /// answers was told before to be no daemon to speak to.
    pub(crate) fn noticed(&self, error: &ClientError) -> bool {
        let mut state = self.state();
        if error.is_foreign() {
            state.foreign = Some(Trouble::of(error));
            return !std::mem::replace(&mut state.told_foreign, true);
        }
        if error.is_unreachable() {
            state.down = Some(Trouble::of(error));
        }
        true
    }

    /// Remembers that a call succeeded: what answers is a daemon that can be spoken to.
    pub(crate) fn answered(&self) {
        self.state().foreign = None;
    }

    /// Remembers the failed call of something that may go on without an answer, and whether it does:
    /// why is told once, here or by whoever noticed it before.
    pub(crate) fn goes_on_without(&self, error: &ClientError, diags: &mut Diagnostics) -> bool {
        let is_news = self.noticed(error);
        let is_told = error.is_unreachable() || (error.is_foreign() && !is_news);
        is_told && self.goes_without(diags)
    }

    /// Remembers a failed write. One connection that broke may have been about that one request: it
    /// is no reason to refuse the others.
    pub(crate) fn noticed_of_write(&self, error: &ClientError) {
        if !matches!(error, ClientError::Lost { .. }) {
            self.noticed(error);
        }
    }

    /// Whether a plan has to do without the daemon; tells so once.
    pub(crate) fn goes_without(&self, diags: &mut Diagnostics) -> bool {
        let mut state = self.state();
        if state.foreign.as_ref().is_some_and(Trouble::is_recent) {
            return true;
        }
        let Some(down) = state.down.as_ref().filter(|down| down.is_recent()) else { return false };
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
        let Some(trouble) = state.trouble() else { return false };
        diags.error(format!("Cannot {what}"), trouble);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> ClientError {
        ClientError::Lost { endpoint: "http://127.0.0.1:1".to_owned(), reason: "reset".to_owned() }
    }

    /// What goes without the daemon, and what is refused; and how much was told.
    fn seen(reach: &Reach) -> (bool, bool, usize) {
        let mut diags = Diagnostics::new();
        let goes_without = reach.goes_without(&mut diags);
        let refuses = reach.refuses("create stage shop/prod", &mut diags);
        (goes_without, refuses, diags.iter().count())
    }

    fn a_pause_ago() -> Instant {
        Instant::now().checked_sub(PAUSE).expect("the machine runs for longer")
    }

    #[test]
    fn a_daemon_that_was_away_is_asked_again_after_a_pause() {
        let reach = Reach::default();
        assert_eq!(seen(&reach), (false, false, 0));
        reach.noticed(&lost());
        assert_eq!(seen(&reach), (true, true, 2));
        assert_eq!(seen(&reach), (true, true, 1), "the plan is warned once");
        reach.state().down.as_mut().expect("it is down").since = a_pause_ago();
        assert_eq!(seen(&reach), (false, false, 0));
        reach.noticed(&lost());
        assert_eq!(seen(&reach), (true, true, 1));
    }

    #[test]
    fn what_cannot_be_spoken_to_is_told_by_the_first_call() {
        let reach = Reach::default();
        let endpoint = "http://127.0.0.1:1".to_owned();
        let newer = ClientError::VersionMismatch {
            endpoint,
            server: "9.0.0".to_owned(),
            client: "0.1.0",
            reason: "missing field `name`".to_owned(),
        };
        assert!(reach.noticed(&newer));
        assert!(!reach.noticed(&newer));
        assert_eq!(seen(&reach), (true, true, 1), "what is refused says why, and nothing else");
        reach.state().foreign.as_mut().expect("it is foreign").since = a_pause_ago();
        assert_eq!(seen(&reach), (false, false, 0), "it is asked again");
        assert!(!reach.noticed(&newer), "it was told");
        assert_eq!(seen(&reach), (true, true, 1));
        reach.answered();
        assert_eq!(seen(&reach), (false, false, 0), "another call succeeded");
    }

    #[test]
    fn one_answer_that_cannot_be_read_refuses_no_other() {
        let reach = Reach::default();
        let endpoint = "http://127.0.0.1:1".to_owned();
        let reason = "missing field `name`".to_owned();
        assert!(reach.noticed(&ClientError::Unreadable { endpoint, reason }));
        assert_eq!(seen(&reach), (false, false, 0));
    }

    #[test]
    fn one_write_whose_answer_was_lost_refuses_no_other() {
        let reach = Reach::default();
        reach.noticed_of_write(&lost());
        assert_eq!(seen(&reach), (false, false, 0));
        let endpoint = "http://127.0.0.1:1".to_owned();
        reach.noticed_of_write(&ClientError::Timeout { endpoint, after: PAUSE });
        assert_eq!(seen(&reach), (true, true, 2));
    }
}
