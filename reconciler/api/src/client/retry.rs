//! When a request is sent again, and after what pause.
//!
//! Pauses double, and are drawn from their upper half, so that the many clients of one daemon do
//! not come back to it at one instant. What the daemon asks for with `Retry-After` is kept to, or
//! nothing is sent again. Together the attempts of one request begin within a fixed time.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// How often, and after what pauses, a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a request is sent at most, the first time included.
    pub attempts_max: u32,
    /// The longest pause before the second attempt; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause; a server that asks for a longer one is not asked again.
    pub longest_pause: Duration,
    /// The time since the first attempt in which the last one must begin.
    pub total_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 4,
            first_pause: Duration::from_millis(150),
            longest_pause: Duration::from_secs(10),
            total_max: Duration::from_secs(30),
        }
    }
}

/// An attempt that failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// Which it was, from 1.
    pub(super) number: u32,
    /// How long ago the first one began.
    pub(super) since: Duration,
    pub(super) trouble: Trouble,
}

impl RetryPolicy {
    /// Every request is sent once.
    pub const NEVER: Self = Self {
        attempts_max: 1,
        first_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
        total_max: Duration::ZERO,
    };

    /// The pause after a failed attempt; none if there is no sense in another. `chance` is between
    /// 0 and 1.
    pub(super) fn pause(self, repeat: Repeat, failed: Attempt, chance: f64) -> Option<Duration> {
        let Attempt { number, since, trouble } = failed;
        if number >= self.attempts_max || !repeat.allows(trouble) {
            return None;
        }
        let doubled = self.first_pause.saturating_mul(1 << (number - 1).min(16));
        let drawn =
            doubled.min(self.longest_pause).mul_f64(chance.clamp(0.0, 1.0).mul_add(0.5, 0.5));
        let pause = trouble.asked_pause().unwrap_or(drawn);
        let in_time = since.saturating_add(pause) <= self.total_max;
        (pause <= self.longest_pause && in_time).then_some(pause)
    }
}

/// A number between 0 and 1 that differs from process to process and from call to call.
pub(super) fn chance() -> f64 {
    // A hasher without input gives its random key; the upper half of it fits a float exactly.
    let drawn = RandomState::new().build_hasher().finish() >> 32;
    u32::try_from(drawn).map_or(1.0, |drawn| f64::from(drawn) / f64::from(u32::MAX))
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
    /// The daemon refused to take it for now, wrote nothing, and may have said for how long.
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
    use super::{Attempt, Duration, Repeat, RetryPolicy, Trouble, chance};

    fn failed(number: u32, trouble: Trouble) -> Attempt {
        Attempt { number, since: Duration::ZERO, trouble }
    }

    #[test]
    fn pauses_double_up_to_the_last_attempt() {
        let policy = RetryPolicy::default();
        let pauses = |chance| {
            let pause = |number| {
                let pause = policy.pause(Repeat::Always, failed(number, Trouble::NotSent), chance);
                pause.map(|pause| pause.as_millis())
            };
            (1..=5).map(pause).collect::<Vec<_>>()
        };
        assert_eq!(pauses(1.0), [Some(150), Some(300), Some(600), None, None]);
        assert_eq!(pauses(0.0), [Some(75), Some(150), Some(300), None, None]);
    }

    #[test]
    fn chance_is_between_0_and_1_and_not_always_the_same() {
        let drawn: Vec<f64> = (0..64).map(|_| chance()).collect();
        assert!(drawn.iter().all(|it| (0.0..=1.0).contains(it)), "{drawn:?}");
        assert!(drawn.iter().any(|it| (it - drawn[0]).abs() > 0.01), "{drawn:?}");
    }

    #[test]
    fn what_changes_something_is_repeated_only_if_not_taken() {
        let check = |repeat, trouble| {
            RetryPolicy::default().pause(repeat, failed(1, trouble), 1.0).is_some()
        };
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
        let check = |asked, since| {
            let trouble = Trouble::Unavailable(Some(Duration::from_secs(asked)));
            let since = Duration::from_secs(since);
            RetryPolicy::default().pause(Repeat::Always, Attempt { number: 1, since, trouble }, 0.0)
        };
        assert_eq!(check(3, 0), Some(Duration::from_secs(3)));
        assert_eq!(check(11, 0), None);
        assert_eq!(check(3, 27), Some(Duration::from_secs(3)));
        assert_eq!(check(3, 28), None, "no attempt begins after the whole time");
    }

    #[test]
    fn many_attempts_do_not_overflow() {
        let policy = RetryPolicy { attempts_max: u32::MAX, ..RetryPolicy::default() };
        let pause = policy.pause(Repeat::Always, failed(u32::MAX - 1, Trouble::Lost), 1.0);
        assert_eq!(pause, Some(policy.longest_pause));
    }
}
