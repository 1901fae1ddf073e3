//! One run: some time in which everything may fail, then time to settle, then the verdict.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use jiff::Timestamp;

use crate::bug::Bug;
use crate::scenario::Scenario;
use crate::watch::{Tally, Violation};
use crate::world::World;

/// What a run that went well amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Figures.
    pub tally: Tally,
    /// Events.
    pub events: u64,
    /// Simulated time, with the time to settle.
    pub simulated: Duration,
}

/// A run that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "seed {seed}, after {events} events at {at}: {violation}\n\
     to see it happen: make simulate SEED={seed}"
)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Events until then.
    pub events: u64,
    /// Simulated time of it.
    pub at: Timestamp,
    /// What happened.
    pub violation: Violation,
}

/// Time to settle once nothing fails any more.
const SETTLE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Decisions for each thing that changed.
const WORK_MAX: u64 = 4;

/// Runs a scenario, with a deliberate bug or without.
///
/// # Errors
/// An invariant did not hold.
pub fn run(scenario: &Scenario, bug: Option<Bug>, traced: bool) -> Result<Report, Failure> {
    let mut world = World::new(scenario, bug, traced);
    let began = world.now;
    let outcome = catch_unwind(AssertUnwindSafe(|| play(&mut world)));
    if let Err(panic) = outcome {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        world.watch.fail("nothing panics", text.unwrap_or_default());
    }
    let (at, events) = (world.now, world.events);
    match world.watch.violation {
        Some(violation) => Err(Failure { seed: scenario.seed, events, at, violation }),
        None => Ok(Report {
            tally: world.watch.tally,
            events,
            simulated: Duration::try_from(at.duration_since(began)).unwrap_or_default(),
        }),
    }
}

fn play(world: &mut World) {
    let end = world.now + world.scenario.length;
    while world.now < end && world.watch.violation.is_none() {
        world.advance();
    }
    if world.watch.violation.is_some() {
        return;
    }
    world.heal();
    let settled_by = world.now + SETTLE_MAX;
    let mut next_look = world.now;
    while world.watch.violation.is_none() {
        world.advance();
        if world.now < next_look {
            continue;
        }
        next_look = world.now + Duration::from_secs(60);
        world.check_waits();
        let left = world.unsettled();
        if left.is_empty() {
            break;
        }
        if world.now > settled_by {
            let message = format!("after {SETTLE_MAX:?} without faults: {}", left.join("; "));
            world.watch.fail("everything settles", message);
        }
    }
    let tally = &world.watch.tally;
    if tally.decisions > WORK_MAX * tally.changes {
        let message = format!("{} decisions for {} changes", tally.decisions, tally.changes);
        world.watch.fail("I10, work is bounded by what changed", message);
    }
}
