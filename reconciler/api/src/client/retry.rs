//! When a request is sent again, and after what pause.
//!
//! There is no jitter: a client repeats a handful of times for one person or one plan, and the
//! same troubles then take the same time.

use std::time::Duration;

/// How often, and after what pauses, a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a request is sent at most, the first time included.
    pub attempts_max: u32,
    /// The pause before the second attempt; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause; a server that asks for a longer one is not asked again.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 4,
            first_pause: Duration::from_millis(150),
            longest_pause: Duration::from_secs(10),
        }
    }
}

impl RetryPolicy {
    /// Every request is sent once.
    pub const NEVER: Self =
        Self { attempts_max: 1, first_pause: Duration::ZERO, longest_pause: Duration::ZERO };

    /// The pause after a failed attempt (counted from 1); none if there is no sense in another.
    pub(super) fn pause(self, attempt: u32, repeat: Repeat, trouble: Trouble) -> Option<Duration> {
        if attempt >= self.attempts_max || !repeat.allows(trouble) {
            return None;
        }
        let doubled = self.first_pause.saturating_mul(1 << (attempt - 1).min(16));
        let pause = trouble.asked_pause().unwrap_or(doubled.min(self.longest_pause));
        (pause <= self.longest_pause).then_some(pause)
    }
}

/// Which troubles a request may be repeated after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It changes nothing, or the same as before: after any.
    Always,
    /// It changes something: only if the daemon surely did not take it.
    IfNotTaken,
}

impl Repeat {
    const fn allows(self, trouble: Trouble) -> bool {
        match (self, trouble) {
            (Self::Always, _) | (Self::IfNotTaken, Trouble::NotSent | Trouble::Refused(_)) => true,
            (Self::IfNotTaken, Trouble::Unavailable(_) | Trouble::Lost) => false,
        }
    }
}

/// Why an attempt failed, if another may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No connection came about.
    NotSent,
    /// The daemon refused to take it for now, and may have said for how long.
    Refused(Option<Duration>),
    /// The daemon, or what stands before it, cannot serve; the request may have been taken.
    Unavailable(Option<Duration>),
    /// The connection broke before the answer was whole.
    Lost,
}

impl Trouble {
    pub(super) fn of(error: &reqwest::Error) -> Option<Self> {
        if error.is_connect() {
            return Some(Self::NotSent);
        }
        // Whoever waited for a timeout once is told, not made to wait again.
        let lost = !error.is_timeout() && !error.is_builder();
        lost.then_some(Self::Lost)
    }

    const fn asked_pause(self) -> Option<Duration> {
        match self {
            Self::Refused(pause) | Self::Unavailable(pause) => pause,
            Self::NotSent | Self::Lost => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Repeat, RetryPolicy, Trouble};

    #[test]
    fn pauses_double_up_to_the_last_attempt() {
        let policy = RetryPolicy::default();
        let pauses = (1..=5).map(|attempt| policy.pause(attempt, Repeat::Always, Trouble::NotSent));
        insta::assert_debug_snapshot!(pauses.collect::<Vec<_>>(), @r"
        [
            Some(
                150ms,
            ),
            Some(
                300ms,
            ),
            Some(
                600ms,
            ),
            None,
            None,
        ]
        ");
    }

    #[test]
    fn what_changes_something_is_repeated_only_if_not_taken() {
        let check = |repeat, trouble| RetryPolicy::default().pause(1, repeat, trouble).is_some();
        for trouble in
            [Trouble::NotSent, Trouble::Refused(None), Trouble::Unavailable(None), Trouble::Lost]
        {
            assert!(check(Repeat::Always, trouble), "{trouble:?}");
        }
        assert!(check(Repeat::IfNotTaken, Trouble::NotSent));
        assert!(check(Repeat::IfNotTaken, Trouble::Refused(None)));
        assert!(!check(Repeat::IfNotTaken, Trouble::Unavailable(None)));
        assert!(!check(Repeat::IfNotTaken, Trouble::Lost));
    }

    #[test]
    fn a_pause_that_was_asked_for_is_kept_or_refused() {
        let check = |seconds| {
            let trouble = Trouble::Unavailable(Some(Duration::from_secs(seconds)));
            RetryPolicy::default().pause(1, Repeat::Always, trouble)
        };
        assert_eq!(check(3), Some(Duration::from_secs(3)));
        assert_eq!(check(11), None);
    }

    #[test]
    fn many_attempts_do_not_overflow() {
        let policy = RetryPolicy { attempts_max: u32::MAX, ..RetryPolicy::default() };
        let pause = policy.pause(u32::MAX - 1, Repeat::Always, Trouble::Lost);
        assert_eq!(pause, Some(policy.longest_pause));
    }
}
