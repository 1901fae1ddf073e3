//! What to do while the store takes nothing: wait longer each time, and say so now and then. The disk that
//! is full is often the one with the log on it.

use std::time::Duration;

use reconciler_store::StoreError;
use tokio::time::Instant;

/// First wait; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest wait, and with it the time after which the loop goes on once there is room again.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// How often it is told.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Whether due work can be claimed.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// Failures one after the other.
    failures: u32,
    told_at: Option<Instant>,
}

impl Trouble {
    /// Whether the last claim failed.
    pub(super) fn lasts(&self) -> bool {
        self.failures > 0
    }

    /// A claim went well.
    pub(super) fn is_over(&mut self) {
        if self.lasts() {
            tracing::info!("due work can be claimed again");
            *self = Self::default();
        }
    }

    /// A claim failed: how long to wait before the next one.
    pub(super) fn pause(&mut self, error: &StoreError, now: Instant) -> Duration {
        if self.told_at.is_none_or(|told_at| now.duration_since(told_at) >= TELL_EVERY) {
            self.told_at = Some(now);
            tracing::error!(
                %error,
                "due work cannot be claimed, so nothing moves: make room where the data directory is, if \
                 its disk is full"
            );
        }
        let pause = PAUSE.saturating_mul(2_u32.saturating_pow(self.failures)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_get_longer_and_it_is_told_once_a_minute() {
        let full = StoreError::NotCommitted { reason: "the disk is full".to_owned() };
        let mut trouble = Trouble::default();
        let mut now = Instant::now();
        let mut told = Vec::new();
        let mut waits = Vec::new();
        for _ in 0..12 {
            let before = trouble.told_at;
            let pause = trouble.pause(&full, now);
            told.push(trouble.told_at != before);
            waits.push(pause.as_secs());
            now += pause;
        }
        assert_eq!(waits, [1, 2, 4, 8, 15, 15, 15, 15, 15, 15, 15, 15]);
        let told: Vec<usize> = (0..told.len()).filter(|at| told[*at]).collect();
        assert_eq!(told, [0, 7, 11], "at 0 s, 60 s and 120 s");
        assert!(trouble.lasts());
        trouble.is_over();
        assert!(!trouble.lasts());
        assert_eq!(trouble.pause(&full, now).as_secs(), 1);
    }
}
