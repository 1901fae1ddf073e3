//! Availability: whether freight may go to a stage. One function, used for listing, admission,
//! automation, preview and the check when a promotion commits.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::freight::FreightFacts;
use crate::id::StageName;
use crate::stage::{Matching, Request};

/// Whether freight is available to a stage, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// It is.
    Available {
        /// What makes it so.
        because: Because,
        /// Soak so far in each verified upstream.
        soak: BTreeMap<StageName, Duration>,
    },
    /// The stage does not ask for freight of this warehouse.
    NotRequested,
    /// Not enough upstream stages vouch for it.
    NotVerified {
        /// Those that do not.
        missing: Vec<StageName>,
    },
    /// It is verified, but not for long enough.
    NotSoaked {
        /// Soak so far in each verified upstream.
        soak: BTreeMap<StageName, Duration>,
        /// When it will be enough if nothing moves; absent if no current stay can get there.
        until: Option<Timestamp>,
    },
}

/// What makes freight available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// A person opened the stage for it.
    Approved,
    /// The stage takes it straight from the warehouse.
    Direct,
    /// Upstream stages vouch for it.
    Verified,
}

impl Availability {
    /// Whether it is available.
    #[must_use]
    pub fn is_available(&self) -> bool {
        matches!(self, Self::Available { .. })
    }
}

/// Whether freight is available to the stage with these requests, `soak` held in each upstream that
/// counts.
///
/// Soak is the longest stay in an upstream, counted from the verification on.
#[must_use]
pub fn availability(
    stage: &StageName,
    requests: &[Request],
    facts: &FreightFacts,
    soak: Duration,
    now: Timestamp,
) -> Availability {
    let asked = requests.iter().find(|request| request.warehouse == facts.freight.warehouse);
    let Some(request) = asked else { return Availability::NotRequested };
    let soaked = soak_by_upstream(request, facts, now);
    if facts.approved_for.contains_key(stage) {
        return Availability::Available { because: Because::Approved, soak: soaked };
    }
    if request.direct {
        return Availability::Available { because: Because::Direct, soak: soaked };
    }
    let (verified, missing): (Vec<&StageName>, Vec<&StageName>) =
        request.from.iter().partition(|upstream| facts.verified_in.contains_key(*upstream));
    if !enough(request.matching, verified.len(), request.from.len()) {
        let missing = missing.into_iter().cloned().collect();
        return Availability::NotVerified { missing };
    }
    let long_enough = soaked.values().filter(|held| **held >= soak).count();
    if enough(request.matching, long_enough, request.from.len()) {
        return Availability::Available { because: Because::Verified, soak: soaked };
    }
    let until = soaked_at(request, facts, soak);
    Availability::NotSoaked { soak: soaked, until }
}

fn enough(matching: Matching, count: usize, of: usize) -> bool {
    match matching {
        Matching::Any => count > 0,
        Matching::All => count == of && of > 0,
    }
}

fn soak_by_upstream(
    request: &Request,
    facts: &FreightFacts,
    now: Timestamp,
) -> BTreeMap<StageName, Duration> {
    let mut soak = BTreeMap::new();
    for upstream in &request.from {
        let Some(verified_at) = facts.verified_in.get(upstream) else { continue };
        let held = facts.stays.get(upstream).into_iter().flatten().map(|stay| {
            let from = stay.entered_at.max(*verified_at);
            let to = stay.left_at.unwrap_or(now);
            Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
        });
        soak.insert(upstream.clone(), held.max().unwrap_or(Duration::ZERO));
    }
    soak
}

/// When the soak will be reached by the stays that still last.
fn soaked_at(request: &Request, facts: &FreightFacts, soak: Duration) -> Option<Timestamp> {
    let soak = SignedDuration::try_from(soak).ok()?;
    let reached = |upstream: &StageName| -> Option<Timestamp> {
        let verified_at = facts.verified_in.get(upstream)?;
        let stays = facts.stays.get(upstream)?;
        let ends = stays.iter().filter_map(|stay| {
            let end = stay.entered_at.max(*verified_at).checked_add(soak).ok()?;
            stay.left_at.is_none_or(|left| left >= end).then_some(end)
        });
        ends.min()
    };
    let mut instants = request.from.iter().map(reached);
    match request.matching {
        Matching::Any => instants.flatten().min(),
        Matching::All => instants.try_fold(Timestamp::MIN, |latest, at| Some(latest.max(at?))),
    }
}
