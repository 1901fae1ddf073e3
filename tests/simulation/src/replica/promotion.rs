//! The moves of one promotion, in the order of the real worker: append the intent, run, append the outcome, each
//! append fenced by the lease.

use jiff::Timestamp;
use reconciler_domain::id::{ProjectName, PromotionId};
use reconciler_domain::plan::{self, Act, Move};
use reconciler_domain::promotion::{Event, Skipped};
use reconciler_domain::step::{Record, StepOutcome};
use reconciler_store::{AppendError, Lease, StoreError, WakeKey};

use super::JobId;
use super::flight::{Ask, at_most_once};
use super::job::{Doing, End, Next, Then};
use crate::agenda::Process;
use crate::bug::Bug;
use crate::store::{Appended, Seen};
use crate::world::World;

impl World {
    pub(super) fn promotion_move(
        &mut self,
        process: Process,
        id: JobId,
        lease: &Lease,
        doing: Doing,
    ) -> Next {
        match doing {
            Doing::Look => self.decide(process.replica, lease),
            Doing::Append { seq, event, then } => {
                self.append(process.replica, lease, seq, &event, then)
            }
            Doing::Commit { seq, revision, skipped } => {
                self.commit(process.replica, lease, seq, revision, skipped)
            }
            Doing::Send { seq, ask } => {
                self.send(process, id, &lease.key, &ask);
                Next::Wait(Doing::Wait { seq, ask })
            }
            Doing::Wait { .. }
            | Doing::Stage { .. }
            | Doing::Warehouse { .. }
            | Doing::Release(_) => {
                unreachable!("a promotion's job does nothing else by itself")
            }
        }
    }

    fn decide(&mut self, replica: usize, lease: &Lease) -> Next {
        let (project, id) = subject(lease);
        let local = self.local(replica);
        let watch = &mut self.watch;
        let look = |snapshot: &_| {
            let next = plan::promotion(snapshot, local);
            watch.decided(snapshot, &next, local);
            next
        };
        let Some(seen) = self.store.look_at_promotion(project, id, look) else {
            self.outside.clean(project, id);
            return Next::Done(Ok(None));
        };
        let Seen { revision, seq, value: Move { act, wake_at, .. } } = seen;
        let remembers = self.bug != Some(Bug::WaitForgotten);
        let Some(act) = act else { return Next::Done(Ok(wake_at.filter(|_| remembers))) };
        let send = |ask| Next::Do(Doing::Send { seq, ask: Box::new(ask) });
        match act {
            Act::Append(event) => Next::Do(Doing::Append { seq, event, then: Then::Look }),
            // No step of the pipelines has a timeout, and each ends long before its promotion may wait no longer.
            Act::Prepare { step, call, rebuild, ends: _ } => {
                send(Ask::Prepare { step, call, rebuild })
            }
            Act::Probe { bases, last: _ } => send(Ask::Probe { bases }),
            Act::Ask(_) => unreachable!("no policy of the simulation asks anybody"),
            Act::Commit { skipped } => Next::Do(Doing::Commit { seq, revision, skipped }),
            // Side by side: any of them goes on, and whatever was begun stays open meanwhile.
            Act::Run(mut runs) => {
                let among = self.fate.index(runs.len());
                let run = runs.swap_remove(among);
                if let Some(event) = plan::given_up(&run) {
                    let event = Box::new(event);
                    return Next::Do(Doing::Append { seq, event, then: Then::Look });
                }
                // What must not be sent twice is under way as soon as it is begun.
                let alone = runs.is_empty() || at_most_once(&run.call);
                let (node, call, resumed) = (run.node.clone(), run.call.clone(), run.resumed);
                let ask = Box::new(Ask::Run(Box::new(run)));
                if resumed || self.bug == Some(Bug::IntentNotAppended) {
                    return Next::Do(Doing::Send { seq, ask });
                }
                let event = Box::new(Event::Intent { node, call, epoch: None });
                // Beside others, what has begun need not go on at once.
                let goes_on = alone || self.fate.strikes(0.5);
                let then = if goes_on { Then::Send(ask) } else { Then::Look };
                Next::Do(Doing::Append { seq, event, then })
            }
            Act::Measure(check) => send(Ask::Measure { check }),
        }
    }

    fn append(
        &mut self,
        replica: usize,
        lease: &Lease,
        mut seq: u64,
        event: &Event,
        then: Then,
    ) -> Next {
        let happened = matches!(event, Event::Outcome { .. });
        loop {
            let local = self.local(replica);
            match self.write(lease, seq, event, local) {
                Ok(seq) => {
                    return Next::Do(match then {
                        Then::Look => Doing::Look,
                        Then::Send(ask) => Doing::Send { seq, ask },
                    });
                }
                Err(AppendError::Moved { last_seq, .. }) if happened => seq = last_seq,
                Err(AppendError::Moved { .. }) => return Next::Do(Doing::Look),
                Err(error) => return refused(&error),
            }
        }
    }

    /// One append, which the store may refuse, or commit without a word.
    fn write(
        &mut self,
        lease: &Lease,
        seq: u64,
        event: &Event,
        local: Timestamp,
    ) -> Result<u64, AppendError> {
        let (project, id) = subject(lease);
        let faults = self.faults();
        if self.fate.strikes(faults.store_refuses) {
            let reason = "the disk is full".to_owned();
            return Err(StoreError::NotCommitted { reason }.into());
        }
        let written = self.store.append(project, id, Some(lease), seq, event.clone(), local)?;
        let seq = written.seq;
        self.accepted(Some(lease), project, id, event, written);
        if self.fate.strikes(faults.store_reply_lost) {
            return Err(StoreError::Interrupted.into());
        }
        Ok(seq)
    }

    fn commit(
        &mut self,
        replica: usize,
        lease: &Lease,
        seq: u64,
        revision: u64,
        skipped: Vec<Skipped>,
    ) -> Next {
        let (project, id) = subject(lease);
        let local = self.local(replica);
        let faults = self.faults();
        if self.fate.strikes(faults.store_refuses) {
            return Next::Done(Err(End::Failed("the disk is full".to_owned())));
        }
        let steps = self.store.steps_on(project, id);
        let watch = &mut self.watch;
        let look = |snapshot: &_| watch.may_commit(snapshot, &steps, local);
        let judged = self.store.look_at_promotion(project, id, look).map(|seen| seen.value);
        let event = Event::Committed { skipped };
        let committed =
            self.store.commit_promotion(project, id, lease, seq, revision, &event, local);
        match committed {
            Ok(written) => {
                self.watch.committed(project, id, judged);
                self.accepted(Some(lease), project, id, &event, written);
                if self.fate.strikes(faults.store_reply_lost) {
                    return Next::Done(Err(End::Failed("cut off".to_owned())));
                }
                Next::Do(Doing::Look)
            }
            // Something that the gates looked at changed in between: judge again.
            Err(error @ (AppendError::Revision { .. } | AppendError::SlotTaken { .. })) => {
                self.trace(|| format!("{project}/{id}: {error}"));
                Next::Do(Doing::Look)
            }
            Err(error) => refused(&error),
        }
    }

    /// An entry is in the log: what every run checks of it.
    pub(crate) fn accepted(
        &mut self,
        lease: Option<&Lease>,
        project: &ProjectName,
        id: &PromotionId,
        event: &Event,
        written: Appended,
    ) {
        self.trace(|| format!("{project}/{id} {}: {}", written.seq, crate::trace::told(event)));
        self.watch.appended(lease, project, id, event);
        if let Event::Outcome { outcome, .. } = event
            && let StepOutcome::Done { record: Record::Kept(kept), .. } = &**outcome
        {
            let saga = written.over.as_deref().or_else(|| self.store.saga(project, id));
            let promotion = &saga.expect("it was written just now").promotion;
            self.watch.kept(project, promotion, kept);
        }
        if let Some(over) = written.over {
            self.watch.over(project, &over);
        }
    }
}

/// What a lease of a promotion is about.
pub(super) fn subject(lease: &Lease) -> (&ProjectName, &PromotionId) {
    match &lease.key {
        WakeKey::Promotion(project, id) => (project, id),
        WakeKey::Stage(..) | WakeKey::Warehouse(..) | WakeKey::Drift(..) => {
            unreachable!("only promotions are worked on here")
        }
    }
}

fn refused(error: &AppendError) -> Next {
    match error {
        AppendError::Fenced { .. } => Next::Done(Err(End::LeaseLost)),
        // What was to be kept was decided from what was there.
        AppendError::Moved { .. } | AppendError::Changed { .. } => Next::Do(Doing::Look),
        other => Next::Done(Err(End::Failed(other.to_string()))),
    }
}
