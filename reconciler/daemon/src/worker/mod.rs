//! The loop: claim what is due, decide, carry out, release.
//!
//! A wake-up carries a key and no data; after a restart the same keys are due again and the same
//! path is taken. One key is worked on by one worker at a time, under a lease with an epoch: who
//! lost the lease can append nothing any more. Work on a key ends when its decision has nothing
//! left to do, and the key sleeps until the instant that the decision named.

mod crew;
mod drift;
mod lease;
mod promotion;
mod rest;
mod stage;
mod trouble;
mod warehouse;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use reconciler_effects::Effects;
use reconciler_store::{Store, StoreError, WakeKey};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::clock::{Clock, PutBack};
use crate::crash::Crash;
use crew::{Crew, Ended};
pub use drift::LookLimits;
pub(crate) use drift::Looks;
use lease::Held;
pub(crate) use rest::Rests;
use trouble::Trouble;

/// How long a lease lasts unless it is renewed.
const LEASE: Duration = Duration::from_secs(30);
/// Keys worked on at the same time. An infra run takes about 60 to 100 MB; 16 of them fit in 2 GB.
const CONCURRENT_MAX: usize = 16;
/// Longest sleep without looking for due work: a belt beside the notification.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// How often what is kept for a time only is looked through.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// Wait after an unexpected error of one key, so that a broken object costs little.
const ERROR_PAUSE: Duration = Duration::from_secs(15);
/// Longest wait after panics of one key, which get twice as long each time.
const PANIC_PAUSE_MAX: Duration = Duration::from_secs(15 * 60);

/// What the loop works with.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) store: Store,
    pub(crate) effects: Effects,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) crash: Arc<Crash>,
    pub(crate) looks: Looks,
    pub(crate) rests: Rests,
    /// Who we are in leases.
    pub(crate) owner: String,
    pub(crate) shutdown: CancellationToken,
}

/// Why work on a key ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    /// Somebody else has the lease now, or the daemon stops.
    #[error("the lease is lost")]
    LeaseLost,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored cannot be worked with.
    #[error("{0}")]
    Unusable(String),
    /// Our own code is at fault.
    #[error("this is a bug of lockstepd: it panicked at what is stored there; the log says where")]
    Panicked,
}

impl Worker {
    /// Runs until shutdown; what is under way is then left to the next process.
    pub(crate) async fn run(self) {
        // Looks at drift have places of their own: they never take one from a promotion.
        let (mut crew, mut looks) = (Crew::default(), Crew::default());
        let mut trouble = Trouble::default();
        let mut prune = tokio::time::interval(PRUNE_EVERY);
        let mut clock = PutBack::since(self.clock.now(), Instant::now());
        while !self.shutdown.is_cancelled() {
            // One instant for both: what comes due between two would be seen by neither.
            let now = self.clock.now();
            if let Some(by) = clock.by(now, Instant::now()) {
                self.look_at_all(by).await;
            }
            let begun = match self.start_looks(&mut looks, now).await {
                Ok(()) => self.start_due(&mut crew, now).await.map(|()| now),
                Err(error) => Err(error),
            };
            let pause = match begun {
                Ok(looked_at) => {
                    trouble.is_over();
                    self.pause(looked_at).await
                }
                Err(error) => trouble.pause(&error, Instant::now()),
            };
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                // Whoever cannot write hears of nothing new.
                () = self.store.woken().notified(), if !trouble.lasts() => {}
                () = crew.one_ends(), if crew.is_at_work() => {}
                () = looks.one_ends(), if looks.is_at_work() => {}
                _ = prune.tick() => self.prune().await,
                () = tokio::time::sleep(pause) => {}
            }
        }
        for mut crew in [looks, crew] {
            while crew.is_at_work() {
                crew.one_ends().await;
            }
        }
    }

    /// Looks at everything once: what was due by a clock that was put back would not be for as long again.
    async fn look_at_all(&self, put_back_by: Duration) {
        let seconds = put_back_by.as_secs();
        tracing::warn!(seconds, "the clock was put back: everything is looked at once");
        self.rests.forget();
        if let Err(error) = self.store.wake_all().await {
            tracing::warn!(%error, "not everything could be made due: it is so after a restart");
        }
    }

    /// Begins looks that are due and have a place.
    async fn start_looks(&self, looks: &mut Crew, now: Timestamp) -> Result<(), StoreError> {
        looks.gather();
        let taken = u32::try_from(looks.len()).unwrap_or(u32::MAX);
        let free = self.looks.limits.at_once.saturating_sub(taken);
        let asked_at = Instant::now();
        for lease in self.store.claim_looks(&self.owner, &looks.held(), LEASE, now, free).await? {
            let panics = looks.panics(&lease.key);
            let held = Held::since(asked_at, lease.clone());
            looks.start(lease, self.clone().work(held, panics));
        }
        Ok(())
    }

    /// Begins what is due and has a place.
    async fn start_due(&self, crew: &mut Crew, now: Timestamp) -> Result<(), StoreError> {
        crew.gather();
        let free = CONCURRENT_MAX.saturating_sub(crew.len());
        let limit = u32::try_from(free).unwrap_or(u32::MAX);
        let asked_at = Instant::now();
        if free == 0 {
            return Ok(());
        }
        for lease in self.store.claim(&self.owner, &crew.held(), LEASE, now, limit).await? {
            let panics = crew.panics(&lease.key);
            let held = Held::since(asked_at, lease.clone());
            crew.start(lease, self.clone().work(held, panics));
        }
        Ok(())
    }

    /// Forgets what is kept for a time only.
    async fn prune(&self) {
        match self.store.preview_prune(self.clock.now()).await {
            Ok(0) => {}
            Ok(gone) => tracing::debug!(gone, "old previews forgotten"),
            Err(error) => tracing::warn!(%error, "old previews could not be forgotten"),
        }
    }

    /// How long nothing comes up by itself. What was due at the last look and was not begun then has no place
    /// until work ends, and that is heard of.
    async fn pause(&self, looked_at: Timestamp) -> Duration {
        match self.store.next_due(looked_at).await {
            Ok(Some(due)) => {
                let wait: SignedDuration = due.duration_since(self.clock.now());
                Duration::try_from(wait).unwrap_or(Duration::from_millis(50)).min(SLEEP_MAX)
            }
            Ok(None) => SLEEP_MAX,
            Err(_) => Duration::from_secs(1),
        }
    }

    /// Works on one key while the lease holds, then lets it sleep; `panics` of the same key came before.
    async fn work(self, held: Held, panics: u32) -> Ended {
        let span = tracing::info_span!("work", key = %held.lease.key, epoch = held.lease.epoch);
        async {
            let renew = || self.store.renew(&held.lease, LEASE, self.clock.now());
            let outcome = tokio::select! {
                // Whoever was stopped for too long must not act before it sees that.
                biased;
                () = held.hold(renew) => Err(WorkError::LeaseLost),
                () = self.shutdown.cancelled() => Err(WorkError::LeaseLost),
                outcome = AssertUnwindSafe(self.dispatch(&held)).catch_unwind() => {
                    outcome.unwrap_or(Err(WorkError::Panicked))
                }
            };
            let ended = match &outcome {
                Err(WorkError::Panicked) => Ended::Panicked,
                Ok(_) | Err(_) => Ended::Orderly,
            };
            self.settle(&held, outcome, panics).await;
            ended
        }
        .instrument(span)
        .await
    }

    fn dispatch<'a>(
        &'a self,
        held: &'a Held,
    ) -> BoxFuture<'a, Result<Option<Timestamp>, WorkError>> {
        match &held.lease.key {
            WakeKey::Warehouse(project, name) => self.warehouse(project, name).boxed(),
            WakeKey::Stage(project, name) => self.stage(project, name).boxed(),
            WakeKey::Promotion(project, id) => self.promotion(held, project, id).boxed(),
            WakeKey::Drift(project, name) => self.drift(held, project, name).boxed(),
        }
    }

    async fn settle(
        &self,
        Held { lease, .. }: &Held,
        outcome: Result<Option<Timestamp>, WorkError>,
        panics: u32,
    ) {
        let next_due = match outcome {
            Ok(next_due) => next_due,
            Err(WorkError::LeaseLost) => Some(self.clock.now()),
            Err(error) => {
                tracing::error!(%error, "work on {} failed", lease.key);
                let pause = match error {
                    WorkError::Panicked => panic_pause(panics),
                    WorkError::LeaseLost | WorkError::Store(_) | WorkError::Unusable(_) => {
                        ERROR_PAUSE
                    }
                };
                self.clock.now().checked_add(pause).ok()
            }
        };
        if let Err(error) = self.store.release(lease, next_due).await {
            tracing::debug!(%error, "{} was not released", lease.key);
        }
    }
}

/// How long a key rests that panicked, after so many panics one after the other.
fn panic_pause(before: u32) -> Duration {
    ERROR_PAUSE.saturating_mul(2_u32.saturating_pow(before)).min(PANIC_PAUSE_MAX)
}
