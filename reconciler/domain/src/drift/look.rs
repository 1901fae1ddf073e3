//! When the infra of a stage is looked at.
//!
//! Time counts from the end of the last look, or of the last promotion, which saw everything itself; so that looks
//! that take long do not follow one another without a pause.

use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::{DriftSnapshot, Watch};
use crate::id::{ProjectName, StageName};

/// Time to the next look after one that failed; twice as long after each further one, up to the usual time.
const BACKOFF: Duration = Duration::from_secs(5 * 60);
/// The longest that a stage which is looked at more often than that waits after failures.
const BACKOFF_MAX: Duration = Duration::from_secs(3600);
/// The part of the time between two looks by which they are spread.
const JITTER_PART: u32 = 10;
/// In which time looks are counted.
const COUNTED: Duration = Duration::from_secs(3600);

/// How many looks the daemon may still begin by itself.
#[derive(Debug, Clone, Copy)]
pub struct Allowance<'a> {
    /// When looks began, oldest first.
    pub begun: &'a [Timestamp],
    /// The most of them in an hour.
    pub per_hour: u32,
}

/// What to do about a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookPlan {
    /// Look at it now.
    Look,
    /// Leave it alone until then; absent: until something changes.
    Wait(Option<Timestamp>),
}

/// Decides about a stage. What somebody asked for is done even where the stage is not looked at by itself, and
/// where the daemon has begun as many looks as it may.
#[must_use]
pub fn next(snapshot: &DriftSnapshot, allowance: Allowance<'_>, now: Timestamp) -> LookPlan {
    // The end of the promotion that has the slot is heard of.
    if snapshot.bases.is_empty() || snapshot.slot.is_some() {
        return LookPlan::Wait(None);
    }
    if snapshot.is_asked() {
        return LookPlan::Look;
    }
    match due(snapshot) {
        None => LookPlan::Wait(None),
        // Unless the clock was put back since the last look.
        Some(due) if due > now && !is_ahead(snapshot, now) => LookPlan::Wait(Some(due)),
        Some(_) => match allowance.free_at(now) {
            None => LookPlan::Look,
            Some(free_at) => LookPlan::Wait(Some(free_at)),
        },
    }
}

impl DriftSnapshot {
    /// Whether somebody asked for a look that is not recorded yet. Clocks may step back: when that was says nothing.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.asked_at.is_some()
    }

    /// When the stage is looked at by itself; absent: it is not.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        if self.bases.is_empty() { None } else { due(self) }
    }
}

/// Whether everything that a look is due after has happened later than now: before the clock was put back.
fn is_ahead(snapshot: &DriftSnapshot, now: Timestamp) -> bool {
    let looked_at = snapshot.record.as_ref().map(|record| record.ended_at);
    looked_at.into_iter().chain(snapshot.settled_at).min().is_some_and(|first| first > now)
}

fn due(snapshot: &DriftSnapshot) -> Option<Timestamp> {
    let every = snapshot.stage.drift?.every;
    let record = snapshot.record.as_ref();
    let looked_at = record.map(|record| record.ended_at);
    let since = looked_at.into_iter().chain(snapshot.settled_at).max()?;
    let failures = record.filter(|_| looked_at == Some(since)).map_or(0, |record| record.failures);
    let wait = match failures {
        0 => every.saturating_add(jitter(&snapshot.project, &snapshot.stage.name, since, every)),
        failures => backoff(failures, every),
    };
    Some(since.checked_add(wait).unwrap_or(Timestamp::MAX))
}

/// How long a stage is left alone after so many failures in a row.
fn backoff(failures: u32, every: Duration) -> Duration {
    let first = BACKOFF.min(every);
    let doubled = first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    doubled.min(every.max(BACKOFF_MAX))
}

/// What keeps stages with the same time between looks from being looked at together: up to a tenth of it, the same
/// for the same stage and instant.
fn jitter(project: &ProjectName, stage: &StageName, since: Timestamp, every: Duration) -> Duration {
    let said = format!("{project}/{stage}/{}", since.as_microsecond());
    let hash = Sha256::digest(said);
    let drawn = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
    let part = f64::from(drawn) / (f64::from(u32::MAX) + 1.0);
    (every / JITTER_PART).mul_f64(part)
}

impl Allowance<'_> {
    /// When the next look may begin; absent: now.
    fn free_at(&self, now: Timestamp) -> Option<Timestamp> {
        let since = now.checked_sub(COUNTED).unwrap_or(Timestamp::MIN);
        let counted: Vec<&Timestamp> = self.begun.iter().filter(|at| **at > since).collect();
        let most = usize::try_from(self.per_hour).unwrap_or(usize::MAX);
        // With that one out of the hour there is room for one more.
        let last = counted.len().checked_sub(most)?;
        let frees = counted.get(last).map_or(now, |at| **at);
        Some(frees.checked_add(COUNTED).unwrap_or(Timestamp::MAX))
    }
}

impl Watch {
    /// Whether the time between two looks is one that is taken.
    #[must_use]
    pub fn is_in_bounds(self) -> bool {
        (Self::LEAST..=Self::MOST).contains(&self.every)
    }
}
