//! A job: work on one key under a lease. Each of its moves is an event of its own, so that anything can happen
//! between any two of them.

use std::collections::VecDeque;

use jiff::Timestamp;
use reconciler_domain::plan::{StageAct, WarehouseAct};
use reconciler_domain::promotion::{Event, Skipped};
use reconciler_store::{Lease, WakeKey};

use super::flight::{Answer, Ask};
use super::{ERROR_PAUSE, JobId, LEASE, RENEW_EVERY, STOP_AFTER};
use crate::agenda::{Happening, Process};
use crate::world::World;

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) lease: Lease,
    pub(crate) renewed_at: Timestamp,
    pub(crate) doing: Doing,
}

/// The next move of a job.
#[derive(Debug)]
pub(crate) enum Doing {
    /// Load the snapshot and decide.
    Look,
    /// Append to the log, then look again or send.
    Append { seq: u64, event: Box<Event>, then: Then },
    /// Take the slot.
    Commit { seq: u64, revision: u64, skipped: Vec<Skipped> },
    /// Ask the world outside for something.
    Send { seq: u64, ask: Box<Ask> },
    /// Wait for the answer.
    Wait { seq: u64, ask: Box<Ask> },
    /// Carry out what was decided about a stage.
    Stage { revision: u64, acts: VecDeque<StageAct> },
    /// Carry out what was decided about a warehouse.
    Warehouse { generation: u64, act: Box<WarehouseAct> },
    /// Give the key back.
    Release(Result<Option<Timestamp>, End>),
}

/// What comes after an append.
#[derive(Debug)]
pub(crate) enum Then {
    Look,
    Send(Box<Ask>),
}

/// What a move leads to.
#[derive(Debug)]
pub(super) enum Next {
    Do(Doing),
    /// An answer will come.
    Wait(Doing),
    Done(Result<Option<Timestamp>, End>),
}

/// Why work on a key ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    LeaseLost,
    Failed(String),
}

impl World {
    pub(super) fn start_job(&mut self, process: Process, lease: Lease) {
        self.jobs_made += 1;
        let id = self.jobs_made;
        self.trace(|| format!("{} claims {} (epoch {})", lease.owner, lease.key, lease.epoch));
        let job = Job { lease, renewed_at: self.now, doing: Doing::Look };
        self.replicas[process.replica].jobs.insert(id, job);
        self.agenda.put(self.now + RENEW_EVERY, Happening::Renew(process, id));
        self.step_soon(process, id);
    }

    pub(super) fn step_soon(&mut self, process: Process, id: JobId) {
        let longest = u64::try_from(self.scenario.pace.as_millis()).unwrap_or(u64::MAX);
        let soon = self.fate.millis(1..=longest);
        self.agenda.put(self.now + soon, Happening::Step(process, id));
    }

    /// Makes the next move of a job. The process may die before and after it.
    pub(crate) fn step(&mut self, process: Process, id: JobId) {
        let index = process.replica;
        if self.fate.strikes(self.faults().crash) {
            return self.crash(index);
        }
        self.meddle(index, id);
        let Some(job) = self.replicas[index].jobs.get_mut(&id) else { return };
        let doing = std::mem::replace(&mut job.doing, Doing::Look);
        if let Doing::Release(outcome) = &doing {
            return self.settle(process, id, outcome);
        }
        let lease = job.lease.clone();
        let next = match &lease.key {
            WakeKey::Warehouse(project, name) => {
                let (project, name) = (project.clone(), name.clone());
                self.warehouse_move(process, id, &project, &name, doing)
            }
            WakeKey::Stage(project, name) => {
                let (project, name) = (project.clone(), name.clone());
                self.stage_move(index, &project, &name, doing)
            }
            WakeKey::Promotion(..) => self.promotion_move(process, id, &lease, doing),
            WakeKey::Drift(..) => unreachable!("no stage of the simulation is looked at"),
        };
        self.after_move(process, id, next);
    }

    /// A person may do something just before a job's move, above all between judging and committing.
    fn meddle(&mut self, index: usize, id: JobId) {
        let doing = self.replicas[index].jobs.get(&id).map(|job| &job.doing);
        let weight = if matches!(doing, Some(Doing::Commit { .. })) { 4.0 } else { 1.0 };
        if !self.fate.strikes(weight * self.faults().meddling) {
            return;
        }
        let about = match self.replicas[index].jobs.get(&id).map(|job| &job.lease.key) {
            Some(WakeKey::Stage(project, stage)) => Some((project.clone(), stage.clone())),
            Some(WakeKey::Promotion(project, promotion)) => {
                let saga = self.store.saga(project, promotion);
                saga.map(|saga| (project.clone(), saga.promotion.stage.clone()))
            }
            Some(WakeKey::Warehouse(..) | WakeKey::Drift(..)) | None => None,
        };
        if about.is_some() {
            self.person(about);
        }
    }

    fn after_move(&mut self, process: Process, id: JobId, next: Next) {
        let index = process.replica;
        if self.store.wakeups.take_told() {
            self.tick_at(index, self.now);
        }
        if self.fate.strikes(self.faults().crash) {
            return self.crash(index);
        }
        match next {
            Next::Do(doing) => {
                if let Some(job) = self.replicas[index].jobs.get_mut(&id) {
                    job.doing = doing;
                    self.step_soon(process, id);
                }
            }
            Next::Wait(doing) => {
                if let Some(job) = self.replicas[index].jobs.get_mut(&id) {
                    job.doing = doing;
                }
            }
            Next::Done(outcome) => {
                if let Some(job) = self.replicas[index].jobs.get_mut(&id) {
                    job.doing = Doing::Release(outcome);
                    self.step_soon(process, id);
                }
            }
        }
    }

    /// An answer came for a job that waits for it.
    pub(super) fn answered(&mut self, process: Process, id: JobId, answer: Answer) {
        let index = process.replica;
        let Some(job) = self.replicas[index].jobs.get_mut(&id) else { return };
        let Doing::Wait { seq, ask } = std::mem::replace(&mut job.doing, Doing::Look) else {
            return;
        };
        let lease = job.lease.clone();
        let next = self.take_answer(&lease, seq, *ask, answer);
        self.after_move(process, id, next);
    }

    /// Renews the lease; gives the work up when the lease cannot be relied on any more.
    pub(crate) fn renew(&mut self, process: Process, id: JobId) {
        let (index, local) = (process.replica, self.local(process.replica));
        let refused = self.fate.strikes(self.faults().store_refuses);
        let Some(job) = self.replicas[index].jobs.get_mut(&id) else { return };
        let lost = if refused {
            job.renewed_at + STOP_AFTER < self.now
        } else {
            job.renewed_at = self.now;
            self.store.wakeups.renew(&job.lease, LEASE, local).is_err()
        };
        if lost {
            self.lose_flights(index, Some(id));
            self.settle(process, id, &Err(End::LeaseLost));
        } else {
            self.agenda.put(self.now + RENEW_EVERY, Happening::Renew(process, id));
        }
    }

    /// Gives the key back.
    fn settle(&mut self, process: Process, id: JobId, outcome: &Result<Option<Timestamp>, End>) {
        let index = process.replica;
        let Some(job) = self.replicas[index].jobs.remove(&id) else { return };
        let local = self.local(index);
        self.trace(|| format!("{} leaves {}: {outcome:?}", job.lease.owner, job.lease.key));
        let next_due = match outcome {
            Ok(next_due) => *next_due,
            Err(End::LeaseLost) => Some(local),
            Err(End::Failed(_)) => Some(local + ERROR_PAUSE),
        };
        if !self.fate.strikes(self.faults().store_refuses) {
            // A lease that was lost meanwhile is somebody else's to give back.
            self.store.wakeups.release(&job.lease, next_due).ok();
            self.store.wakeups.take_told();
        }
        self.tick_at(index, self.now);
    }
}
