//! The loop: claim what is due, decide, carry out, release.
//!
//! A wake-up carries a key and no data; after a restart the same keys are due again and the same
//! path is taken. One key is worked on by one worker at a time, under a lease with an epoch: who
//! lost the lease can append nothing any more. Work on a key ends when its decision has nothing
//! left to do, and the key sleeps until the instant that the decision named.

mod lease;
mod promotion;
mod stage;
mod warehouse;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use reconciler_effects::Effects;
use reconciler_store::{Lease, Store, StoreError, WakeKey};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::clock::Clock;
use crate::crash::Crash;

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

/// What the loop works with.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) store: Store,
    pub(crate) effects: Effects,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) crash: Arc<Crash>,
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
}

impl Worker {
    /// Runs until shutdown; what is under way is then left to the next process.
    pub(crate) async fn run(self) {
        let mut running = JoinSet::new();
        let mut prune = tokio::time::interval(PRUNE_EVERY);
        while !self.shutdown.is_cancelled() {
            self.start_due(&mut running).await;
            let pause = self.pause().await;
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                () = self.store.woken().notified() => {}
                Some(_) = running.join_next(), if !running.is_empty() => {}
                _ = prune.tick() => self.prune().await,
                () = tokio::time::sleep(pause) => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    async fn start_due(&self, running: &mut JoinSet<()>) {
        while running.try_join_next().is_some() {}
        let free = CONCURRENT_MAX.saturating_sub(running.len());
        if free == 0 {
            return;
        }
        let limit = u32::try_from(free).unwrap_or(u32::MAX);
        match self.store.claim(&self.owner, LEASE, self.clock.now(), limit).await {
            Ok(leases) => {
                for lease in leases {
                    running.spawn(self.clone().work(lease));
                }
            }
            Err(error) => tracing::error!(%error, "due work could not be claimed"),
        }
    }

    /// Forgets what is kept for a time only.
    async fn prune(&self) {
        match self.store.preview_prune(self.clock.now()).await {
            Ok(0) => {}
            Ok(gone) => tracing::debug!(gone, "old previews forgotten"),
            Err(error) => tracing::warn!(%error, "old previews could not be forgotten"),
        }
    }

    async fn pause(&self) -> Duration {
        match self.store.next_due().await {
            Ok(Some(due)) => {
                let wait: SignedDuration = due.duration_since(self.clock.now());
                Duration::try_from(wait).unwrap_or(Duration::from_millis(50)).min(SLEEP_MAX)
            }
            Ok(None) => SLEEP_MAX,
            Err(_) => Duration::from_secs(1),
        }
    }

    /// Works on one key while the lease holds, then lets it sleep.
    async fn work(self, lease: Lease) {
        let span = tracing::info_span!("work", key = %lease.key, epoch = lease.epoch);
        async {
            let held = lease::hold(&self, &lease);
            let outcome = tokio::select! {
                outcome = self.dispatch(&lease) => outcome,
                () = held => Err(WorkError::LeaseLost),
                () = self.shutdown.cancelled() => Err(WorkError::LeaseLost),
            };
            self.settle(&lease, outcome).await;
        }
        .instrument(span)
        .await;
    }

    fn dispatch<'a>(
        &'a self,
        lease: &'a Lease,
    ) -> BoxFuture<'a, Result<Option<Timestamp>, WorkError>> {
        match &lease.key {
            WakeKey::Warehouse(project, name) => self.warehouse(project, name).boxed(),
            WakeKey::Stage(project, name) => self.stage(project, name).boxed(),
            WakeKey::Promotion(project, id) => self.promotion(lease, project, id).boxed(),
        }
    }

    async fn settle(&self, lease: &Lease, outcome: Result<Option<Timestamp>, WorkError>) {
        let next_due = match outcome {
            Ok(next_due) => next_due,
            Err(WorkError::LeaseLost) => Some(self.clock.now()),
            Err(error) => {
                tracing::error!(%error, "work on {} failed", lease.key);
                self.clock.now().checked_add(ERROR_PAUSE).ok()
            }
        };
        if let Err(error) = self.store.release(lease, next_due).await {
            tracing::debug!(%error, "{} was not released", lease.key);
        }
    }
}
