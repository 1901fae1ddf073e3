//! Holding a lease: renewed while work goes on, given up in time when it cannot be renewed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reconciler_store::{Lease, LeaseError};
use tokio::time::{Instant, sleep, sleep_until};

use super::{LEASE, WorkError};

/// How long a lease is relied on after it was asked for. Nobody else has it before all of it is over.
const RELIED_ON: Duration = Duration::from_secs(LEASE.as_secs() * 2 / 3);
/// How often it is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(LEASE.as_secs() / 6);

/// A lease in the hands of its holder, whose own monotonic clock says how long it can be relied on:
/// never the wall clock, which jumps, and never two clocks compared.
#[derive(Debug)]
pub(super) struct Held {
    /// What is held.
    pub(super) lease: Lease,
    until: Mutex<Instant>,
}

impl Held {
    /// A lease that was asked for at this instant.
    pub(super) fn since(asked_at: Instant, lease: Lease) -> Self {
        Self { lease, until: Mutex::new(asked_at + RELIED_ON) }
    }

    /// Asked before every effect: a process that was stopped goes on wherever it was.
    ///
    /// # Errors
    /// The lease can no longer be relied on.
    pub(super) fn check(&self) -> Result<(), WorkError> {
        if Instant::now() < self.until() { Ok(()) } else { Err(WorkError::LeaseLost) }
    }

    /// Returns when the lease can no longer be relied on: it was taken over, or two thirds of its time are
    /// over since a renewal was asked for that came through. One that hangs keeps nobody.
    pub(super) async fn hold<F>(&self, renew: impl Fn() -> F)
    where
        F: Future<Output = Result<(), LeaseError>>,
    {
        loop {
            let renewal = async {
                sleep(RENEW_EVERY).await;
                let asked_at = Instant::now();
                (asked_at, renew().await)
            };
            let key = &self.lease.key;
            tokio::select! {
                biased;
                () = sleep_until(self.until()) => {
                    tracing::warn!("the lease of {key} was not renewed in time: work on it is broken off");
                    return;
                }
                (asked_at, renewed) = renewal => match renewed {
                    Ok(()) => *self.locked() = asked_at + RELIED_ON,
                    Err(LeaseError::Lost { .. }) => return,
                    Err(LeaseError::Store(error)) => {
                        tracing::warn!(%error, "the lease of {key} could not be renewed");
                    }
                }
            }
        }
    }

    fn until(&self) -> Instant {
        *self.locked()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};

    use reconciler_store::StoreError;

    use super::*;

    fn held() -> Held {
        let key = "stage/shop/dev".parse().expect("a key");
        Held::since(Instant::now(), Lease { key, epoch: 1, owner: "w".to_owned() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_hangs_keeps_nobody() {
        let held = held();
        let begun = Instant::now();
        held.hold(pending).await;
        assert_eq!(begun.elapsed(), RELIED_ON);
        assert!(matches!(held.check(), Err(WorkError::LeaseLost)));
    }

    #[tokio::test(start_paused = true)]
    async fn renewals_that_fail_keep_nobody_either() {
        let held = held();
        let begun = Instant::now();
        let full = || StoreError::NotCommitted { reason: "the disk is full".to_owned() };
        held.hold(|| ready(Err(full().into()))).await;
        assert_eq!(begun.elapsed(), RELIED_ON);
    }

    #[tokio::test(start_paused = true)]
    async fn it_counts_from_when_the_last_renewal_was_asked_for() {
        let (held, asked) = (held(), Cell::new(0));
        let begun = Instant::now();
        // Each takes 3 s; the fourth and all after it hang.
        held.hold(async || {
            asked.set(asked.get() + 1);
            if asked.get() > 3 {
                pending::<()>().await;
            }
            sleep(Duration::from_secs(3)).await;
            Ok(())
        })
        .await;
        let last_good = RENEW_EVERY * 3 + Duration::from_secs(3) * 2;
        assert_eq!(begun.elapsed(), last_good + RELIED_ON);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_somebody_else_has_is_given_up_at_once() {
        let held = held();
        let key = held.lease.key.clone();
        let begun = Instant::now();
        held.hold(|| ready(Err(LeaseError::Lost { key: key.clone() }))).await;
        assert_eq!(begun.elapsed(), RENEW_EVERY);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_stopped_for_too_long_does_not_act() {
        let held = held();
        tokio::time::advance(RELIED_ON - Duration::from_secs(1)).await;
        assert!(held.check().is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(matches!(held.check(), Err(WorkError::LeaseLost)));
    }
}
