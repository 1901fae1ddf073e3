//! What will happen, by time. What happens at one instant happens in the order in which it was put down.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use jiff::Timestamp;

use crate::outside::FlightId;
use crate::replica::JobId;

/// Something that will happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Happening {
    /// A process looks for work that is due.
    Tick(Process),
    /// A job makes its next move.
    Step(Process, JobId),
    /// A job renews its lease.
    Renew(Process, JobId),
    /// A request reaches the world outside.
    Landing(FlightId),
    /// The answer to a request comes back.
    Reply(FlightId),
    /// A process starts again.
    Start(usize),
    /// A stopped process goes on.
    Resume(Process),
    /// A process dies, stops for a while, or its clock is set.
    Accident,
    /// A source gets a new version.
    Release(usize),
    /// A person does something.
    Person,
    /// Someone changes the world outside past Lockstep.
    Stranger,
    /// A person sees to it that everything goes on, at the end of a run.
    Caretaker,
}

/// One life of a replica: events of an earlier life are void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) replica: usize,
    pub(crate) life: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Entry>,
    order: u64,
}

impl Agenda {
    pub(crate) fn put(&mut self, at: Timestamp, what: Happening) {
        self.order += 1;
        self.heap.push(Entry { at, order: self.order, what });
    }

    pub(crate) fn next(&mut self) -> Option<(Timestamp, Happening)> {
        self.heap.pop().map(|entry| (entry.at, entry.what))
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    at: Timestamp,
    order: u64,
    what: Happening,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
