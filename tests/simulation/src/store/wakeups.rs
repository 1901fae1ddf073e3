//! Wake-ups, leases and epochs, with the rules of the real store: a claim gives a new epoch, a key is held
//! until its lease ends or is given back, and a wake-up that comes in meanwhile makes it due again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use reconciler_store::{Lease, LeaseError, WakeKey};

use crate::bug::Bug;

#[derive(Debug, Default)]
pub(crate) struct Wakeups {
    rows: BTreeMap<WakeKey, Row>,
    due: BTreeSet<(Timestamp, WakeKey)>,
    epoch: u64,
    /// Whether a key became due since somebody last asked.
    told: bool,
    bug: Option<Bug>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    due_at: Timestamp,
    held: bool,
    epoch: u64,
    woken_at: Option<Timestamp>,
}

impl Wakeups {
    pub(super) fn with(bug: Option<Bug>) -> Self {
        Self { bug, ..Self::default() }
    }

    pub(crate) fn wake(&mut self, key: WakeKey, at: Timestamp) {
        self.told = true;
        let Some(row) = self.rows.get_mut(&key) else {
            self.due.insert((at, key.clone()));
            let row = Row { due_at: at, held: false, epoch: 0, woken_at: None };
            self.rows.insert(key, row);
            return;
        };
        if row.held {
            if self.bug != Some(Bug::WakeUpLost) {
                row.woken_at = Some(row.woken_at.map_or(at, |woken| woken.min(at)));
            }
        } else if at < row.due_at {
            self.due.remove(&(row.due_at, key.clone()));
            row.due_at = at;
            self.due.insert((at, key));
        }
    }

    pub(crate) fn claim(
        &mut self,
        owner: &str,
        lease: Duration,
        now: Timestamp,
        limit: usize,
    ) -> Vec<Lease> {
        let due = self.due.iter().take_while(|(at, _)| *at <= now).take(limit);
        let keys: Vec<(Timestamp, WakeKey)> = due.cloned().collect();
        if keys.is_empty() {
            return Vec::new();
        }
        self.epoch += 1;
        let mut leases = Vec::with_capacity(keys.len());
        for entry in keys {
            self.due.remove(&entry);
            let key = entry.1;
            let due_at = now + lease;
            let row = Row { due_at, held: true, epoch: self.epoch, woken_at: None };
            self.due.insert((due_at, key.clone()));
            self.rows.insert(key.clone(), row);
            leases.push(Lease { key, epoch: self.epoch, owner: owner.to_owned() });
        }
        leases
    }

    pub(crate) fn renew(
        &mut self,
        lease: &Lease,
        duration: Duration,
        now: Timestamp,
    ) -> Result<(), LeaseError> {
        if !self.is_held(&lease.key, lease.epoch) {
            return Err(LeaseError::Lost { key: lease.key.clone() });
        }
        self.set_due(&lease.key, now + duration);
        Ok(())
    }

    pub(crate) fn release(
        &mut self,
        lease: &Lease,
        next_due: Option<Timestamp>,
    ) -> Result<(), LeaseError> {
        if !self.is_held(&lease.key, lease.epoch) {
            return Err(LeaseError::Lost { key: lease.key.clone() });
        }
        let row = self.rows[&lease.key];
        let due = match (row.woken_at, next_due) {
            (Some(woken), Some(next)) => Some(woken.min(next)),
            (only, None) | (None, only) => only,
        };
        match due {
            Some(due) => {
                self.set_due(&lease.key, due);
                let row = self.rows.get_mut(&lease.key).expect("it was there");
                row.held = false;
                row.woken_at = None;
                self.told = true;
            }
            None => {
                self.due.remove(&(row.due_at, lease.key.clone()));
                self.rows.remove(&lease.key);
            }
        }
        Ok(())
    }

    fn set_due(&mut self, key: &WakeKey, at: Timestamp) {
        let row = self.rows.get_mut(key).expect("it was there");
        self.due.remove(&(row.due_at, key.clone()));
        row.due_at = at;
        self.due.insert((at, key.clone()));
    }

    pub(crate) fn is_held(&self, key: &WakeKey, epoch: u64) -> bool {
        self.rows.get(key).is_some_and(|row| row.held && row.epoch == epoch)
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Whether a wake-up came in since the last time that this was asked.
    pub(crate) fn take_told(&mut self) -> bool {
        std::mem::take(&mut self.told)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}
