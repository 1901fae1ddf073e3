//! A process: it claims keys that are due, works on each as a job under a lease, and can die, stop for longer
//! than its lease, wake up stale, and have a clock that is wrong. It mirrors the daemon's loop.
//!
//! ```text
//! job         what a job is at, and its moves in the order of the real worker
//! promotion   moves of one promotion: intent, effect, outcome
//! choosing    moves of stages and warehouses
//! flight      requests under way to the world outside
//! ```

mod choosing;
mod flight;
mod job;
mod promotion;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

pub(crate) use flight::Flight;
pub(crate) use job::Job;

use crate::agenda::{Happening, Process};
use crate::world::World;

pub(crate) type JobId = u64;

/// How long a lease lasts unless it is renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
/// A holder that could not renew for this long stops.
const STOP_AFTER: Duration = Duration::from_secs(20);
const RENEW_EVERY: Duration = Duration::from_secs(5);
/// Keys worked on at the same time.
pub(crate) const CONCURRENT_MAX: usize = 16;
/// Longest sleep without looking for due work.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// Wait after an unexpected error of one key.
const ERROR_PAUSE: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) owner: String,
    /// Rises with each start: what was meant for an earlier life finds nobody.
    pub(crate) life: u32,
    pub(crate) up: bool,
    /// Stopped, as by SIGSTOP or a frozen machine.
    pub(crate) stopped: bool,
    /// How far its wall clock is off.
    pub(crate) offset: SignedDuration,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    /// What would have happened while it was stopped.
    pub(crate) missed: Vec<Happening>,
    /// When it looks for work next; earlier looks are void.
    pub(crate) next_tick: Timestamp,
}

impl Replica {
    pub(crate) fn new(index: usize) -> Self {
        Self {
            owner: format!("replica-{index}"),
            life: 0,
            up: true,
            stopped: false,
            offset: SignedDuration::ZERO,
            jobs: BTreeMap::new(),
            missed: Vec::new(),
            next_tick: Timestamp::MAX,
        }
    }
}

impl World {
    pub(crate) fn process(&self, replica: usize) -> Process {
        Process { replica, life: self.replicas[replica].life }
    }

    pub(crate) fn is_alive(&self, process: Process) -> bool {
        let replica = &self.replicas[process.replica];
        replica.up && replica.life == process.life
    }

    /// What a replica takes the time to be.
    pub(crate) fn local(&self, replica: usize) -> Timestamp {
        self.now + self.replicas[replica].offset
    }

    /// Lets a replica look for work at this time at the latest.
    pub(crate) fn tick_at(&mut self, replica: usize, at: Timestamp) {
        let process = self.process(replica);
        let known = &mut self.replicas[replica];
        if known.up && at < known.next_tick {
            known.next_tick = at;
            self.agenda.put(at, Happening::Tick(process));
        }
    }

    /// Claims what is due and starts a job for each key.
    pub(crate) fn tick(&mut self, process: Process) {
        let index = process.replica;
        if self.replicas[index].next_tick > self.now {
            return;
        }
        self.replicas[index].next_tick = Timestamp::MAX;
        let free = CONCURRENT_MAX.saturating_sub(self.replicas[index].jobs.len());
        let local = self.local(index);
        let due = self.store.wakeups.next_due().is_some_and(|due| due <= local);
        if free > 0 && due && !self.fate.strikes(self.faults().store_refuses) {
            let owner = self.replicas[index].owner.clone();
            let leases = self.store.wakeups.claim(&owner, LEASE, local, free);
            for lease in leases {
                self.watch.claimed(&lease);
                self.start_job(process, lease);
            }
        }
        let next = match self.store.wakeups.next_due() {
            Some(due) if self.replicas[index].jobs.len() < CONCURRENT_MAX => {
                let due = due - self.replicas[index].offset;
                due.clamp(self.now + Duration::from_millis(50), self.now + SLEEP_MAX)
            }
            Some(_) | None => self.now + SLEEP_MAX,
        };
        self.tick_at(index, next);
    }

    /// A process dies: its jobs are gone, its leases stay until they end. Requests that it sent may arrive.
    pub(crate) fn crash(&mut self, index: usize) {
        let down = self.fate.millis(200..=60_000);
        self.trace(|| format!("replica-{index} dies"));
        let replica = &mut self.replicas[index];
        replica.up = false;
        replica.stopped = false;
        replica.life += 1;
        replica.jobs.clear();
        replica.missed.clear();
        self.lose_flights(index, None);
        self.agenda.put(self.now + down, Happening::Start(index));
    }

    pub(crate) fn start(&mut self, index: usize) {
        let replica = &mut self.replicas[index];
        replica.up = true;
        replica.next_tick = Timestamp::MAX;
        self.trace(|| format!("replica-{index} starts"));
        self.tick_at(index, self.now);
    }

    /// A process stops and knows nothing of it.
    pub(crate) fn stop(&mut self, index: usize, pause: Duration) {
        self.replicas[index].stopped = true;
        self.trace(|| format!("replica-{index} stops for {pause:?}"));
        let process = self.process(index);
        self.agenda.put(self.now + pause, Happening::Resume(process));
    }

    /// A stopped process goes on where it was: everything that came in meanwhile happens now, in any order.
    pub(crate) fn resume(&mut self, process: Process) {
        let replica = &mut self.replicas[process.replica];
        replica.stopped = false;
        let missed = std::mem::take(&mut replica.missed);
        self.trace(|| format!("replica-{} goes on", process.replica));
        for happening in missed {
            let soon = self.fate.millis(0..=20);
            self.agenda.put(self.now + soon, happening);
        }
    }
}
