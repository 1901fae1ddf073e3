//! Appending to the log of a promotion: the event, what follows from it, and who has to look again.

use jiff::Timestamp;
use reconciler_domain::hold::AutomaticHold;
use reconciler_domain::id::{Principal, ProjectName, PromotionId, StageName};
use reconciler_domain::plan::{Consequences, consequences};
use reconciler_domain::promotion::{Entry, Event, Phase};
use reconciler_domain::step::KeptChange;
use reconciler_store::{AppendError, Lease, WakeKey};

use super::project::Saga;
use super::{Project, Store};
use crate::bug::Bug;

/// What an append did.
#[derive(Debug)]
pub(crate) struct Appended {
    pub(crate) seq: u64,
    /// The promotion and its whole log, if this ended it.
    pub(crate) over: Option<Box<Saga>>,
}

impl Store {
    pub(crate) fn append(
        &mut self,
        project: &ProjectName,
        id: &PromotionId,
        lease: Option<&Lease>,
        expected_seq: u64,
        event: Event,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        if matches!(event, Event::Committed { .. }) {
            return Err(AppendError::Guarded { promotion: id.clone() });
        }
        self.ready(project, id, lease, expected_seq)?;
        self.add(project, id, event, lease.is_some(), now)
    }

    #[expect(clippy::too_many_arguments, reason = "the real one has them")]
    pub(crate) fn commit_promotion(
        &mut self,
        project: &ProjectName,
        id: &PromotionId,
        lease: &Lease,
        expected_seq: u64,
        revision: u64,
        committed: &Event,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        self.ready(project, id, Some(lease), expected_seq)?;
        let present = self.projects[project].revision;
        if present != revision && self.bug != Some(Bug::RevisionIgnored) {
            return Err(AppendError::Revision { revision: present });
        }
        self.add(project, id, committed.clone(), true, now)
    }

    /// Whether whoever asks may append and has seen all of the log.
    fn ready(
        &self,
        project: &ProjectName,
        id: &PromotionId,
        lease: Option<&Lease>,
        expected_seq: u64,
    ) -> Result<(), AppendError> {
        if let Some(lease) = lease {
            let key = WakeKey::Promotion(project.clone(), id.clone());
            let held = self.wakeups.is_held(&key, lease.epoch);
            if !held && self.bug != Some(Bug::FencingOff) {
                return Err(AppendError::Fenced { promotion: id.clone() });
            }
        }
        let saga = self.saga(project, id);
        let saga = saga.ok_or_else(|| AppendError::NotFound { promotion: id.clone() })?;
        let last_seq = saga.last_seq();
        if last_seq != expected_seq && self.bug != Some(Bug::FencingOff) {
            return Err(AppendError::Moved { promotion: id.clone(), last_seq });
        }
        Ok(())
    }

    /// Appends to a promotion that is not over.
    pub(super) fn add(
        &mut self,
        project: &ProjectName,
        id: &PromotionId,
        event: Event,
        own: bool,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        let found = self.projects.get_mut(project).expect("the promotion is in it");
        let saga = found.promotions.get_mut(id).expect("looked up before");
        let stage = saga.promotion.stage.clone();
        let mut after = consequences(&saga.promotion, &saga.state, &event);
        if after.slot == Some(true) {
            let holder = found.stages.get(&stage).and_then(|record| record.slot.clone());
            if let Some(holder) = holder {
                return Err(AppendError::SlotTaken { holder });
            }
        }
        let freight = saga.promotion.freight.clone();
        if let Some(kept) = &after.keep {
            let found = &self.projects[project];
            let stands =
                |change: &KeptChange| found.kept(&stage, &freight, &change.at) == change.before;
            if !kept.changes.iter().all(stands) {
                return Err(AppendError::Changed { promotion: id.clone() });
            }
        }
        let found = self.projects.get_mut(project).expect("the promotion is in it");
        let saga = found.promotions.get_mut(id).expect("looked up before");
        let seen = is_seen(&event, &after);
        let entry = Entry { seq: saga.last_seq() + 1, at: now, event };
        let seq = entry.seq;
        saga.state.apply(&entry)?;
        if self.bug == Some(Bug::FoldKeptWrong) && matches!(entry.event, Event::Approved(_)) {
            saga.state.approvals.clear();
        }
        saga.log.push(entry);
        let phase = saga.state.phase();
        if self.bug == Some(Bug::ConsequencesLost) {
            after.enter = None;
        }
        if self.bug == Some(Bug::SlotNotTaken) {
            after.slot = None;
        }
        follow(found, id, &stage, &after, now);
        if let Some(kept) = &after.keep
            && self.bug != Some(Bug::KeptLost)
        {
            found.keep(&stage, &freight, &kept.changes);
        }
        if seen {
            found.revision += 1;
        }
        let over = match phase {
            Phase::Ended(ending) => Some(Box::new(found.retire(id, ending, self.bug))),
            Phase::Preparing
            | Phase::Waiting
            | Phase::Committing
            | Phase::Verifying
            | Phase::Unwinding => None,
        };
        if after != Consequences::default() {
            self.wake_stage(project, &stage, now);
            self.wake_downstream(project, &stage, now);
        }
        if !own {
            self.wakeups.wake(WakeKey::Promotion(project.clone(), id.clone()), now);
        }
        Ok(Appended { seq, over })
    }
}

/// Writes what follows.
fn follow(
    project: &mut Project,
    id: &PromotionId,
    stage: &StageName,
    after: &Consequences,
    now: Timestamp,
) {
    let record = project.stages.get_mut(stage).expect("a promotion has a stage");
    match after.slot {
        Some(true) => record.slot = Some(id.clone()),
        Some(false) => record.slot = None,
        None => {}
    }
    if let Some(reason) = &after.hold {
        let (reason, by) = (reason.clone(), Principal::Automation);
        record.hold = Some(AutomaticHold { reason, by, at: now });
    }
    if let Some(entered) = &after.enter {
        project.enter(stage, entered, now);
    }
    for freight in &after.verify {
        project.vouch(freight, stage, now);
    }
    for freight in &after.withdraw {
        project.withdraw(freight, stage);
    }
}

/// Whether decisions about others see the difference.
fn is_seen(event: &Event, after: &Consequences) -> bool {
    *after != Consequences::default()
        || matches!(event, Event::Approved(_) | Event::AbortRequested { .. })
}
