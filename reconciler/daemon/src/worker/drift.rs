//! Looks at the infra of stages: each under the lease of its key, in a place that nothing else needs.
//!
//! What was found is recorded before the directory of the look is removed. A look that is overtaken by a promotion,
//! or whose lease is lost, is broken off and forgotten; the key comes up again.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use reconciler_domain::drift::{self, Allowance, DriftRecord, DriftSnapshot, LookPlan, StateDrift};
use reconciler_domain::id::{ProjectName, StageName};
use reconciler_store::RecordDriftError;

use super::lease::Held;
use super::{WorkError, Worker};

/// In which time the looks that began are remembered.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(1);

/// How many looks there may be, over all projects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookLimits {
    /// At once.
    pub at_once: u32,
    /// Begun in an hour; those that people ask for are not held back by it.
    pub per_hour: u32,
}

impl Default for LookLimits {
    fn default() -> Self {
        Self { at_once: 2, per_hour: 60 }
    }
}

/// The looks that began in the last hour, and how many there may be.
#[derive(Debug, Clone)]
pub(crate) struct Looks {
    pub(super) limits: LookLimits,
    begun: Arc<Mutex<Vec<Timestamp>>>,
}

impl Looks {
    pub(crate) fn new(limits: LookLimits) -> Self {
        Self { limits, begun: Arc::default() }
    }

    /// Decides, and notes a look that begins: two decisions do not use up one place.
    fn decide(&self, snapshot: &DriftSnapshot, now: Timestamp) -> LookPlan {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.retain(|at| now.duration_since(*at) < REMEMBERED);
        let allowance = Allowance { begun: &begun, per_hour: self.limits.per_hour };
        let plan = drift::next(snapshot, allowance, now);
        if plan == LookPlan::Look {
            begun.push(now);
        }
        plan
    }
}

impl Worker {
    /// Looks at a stage if it is time to.
    pub(super) async fn drift(
        &self,
        held: &Held,
        project: &ProjectName,
        stage: &StageName,
    ) -> Result<Option<Timestamp>, WorkError> {
        loop {
            let Some(snapshot) = self.store.drift_snapshot(project, stage).await? else {
                return Ok(None);
            };
            match self.looks.decide(&snapshot, self.clock.now()) {
                LookPlan::Wait(until) => return Ok(until),
                LookPlan::Look => self.look(held, &snapshot).await?,
            }
        }
    }

    async fn look(&self, held: &Held, snapshot: &DriftSnapshot) -> Result<(), WorkError> {
        let (project, stage) = (&snapshot.project, &snapshot.stage.name);
        let began_at = self.clock.now();
        // Lives until the record is written, or this is broken off.
        let dir = self.effects.look_dir(project, stage).map_err(WorkError::Unusable)?;
        let looked = async {
            let mut states = Vec::with_capacity(snapshot.bases.len());
            for basis in &snapshot.bases {
                let now = self.clock.now();
                let found = self.effects.look_for_drift(project, stage, &dir, basis, now).await;
                states.push(StateDrift::of(basis, found));
            }
            states
        };
        let states = tokio::select! {
            biased;
            () = self.slot_taken(snapshot) => {
                tracing::debug!("a promotion took the slot: the look is put off");
                return Ok(());
            }
            states = looked => states,
        };
        let before = snapshot.record.as_ref();
        let record = DriftRecord::new(before, began_at, self.clock.now(), states);
        held.check()?;
        match self.store.record_drift(&held.lease, snapshot, &record).await {
            Ok(()) => {
                tracing::info!(standing = ?record.standing(), "looked at the infra: {}", record.describe());
                Ok(())
            }
            // Decided anew: it waits for the promotion, or there is no such stage.
            Err(error @ RecordDriftError::Overtaken { .. }) => {
                tracing::debug!(%error, "the look is put off");
                Ok(())
            }
            Err(RecordDriftError::Lost { .. }) => Err(WorkError::LeaseLost),
            Err(RecordDriftError::Store(error)) => Err(error.into()),
        }
    }

    /// Ends when a promotion has the slot of the stage: its infra is about to change.
    async fn slot_taken(&self, snapshot: &DriftSnapshot) {
        let mut changes = self.store.changes();
        loop {
            match self.store.slot_of(&snapshot.project, &snapshot.stage.name).await {
                Ok(Some(_)) => return,
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the slot of the stage cannot be read"),
            }
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}
