//! Availability: whether freight may go to a stage. One function, used for listing, admission,
//! automation, preview and the check when a promotion commits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::freight::FreightFacts;
use crate::id::StageName;
use crate::soak::Soak;
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
/// Soak is the longest stay in an upstream, counted from the verification on. Nothing stays in a
/// control-flow stage: it passes on the soak of its own upstreams, of as many as must vouch there the
/// shortest; freight that came there straight from its warehouse, or that a person
/// let in, soaks from then on. Freight that is direct or approved need not soak.
#[must_use]
pub fn availability<'a>(
    stage: &'a StageName,
    requests: &'a [Request],
    facts: &'a FreightFacts,
    soak: &Soak,
    now: Timestamp,
) -> Availability {
    let asked = requests.iter().find(|request| request.warehouse == facts.freight.warehouse);
    let Some(request) = asked else { return Availability::NotRequested };
    let upstreams: BTreeSet<&StageName> = request.from.iter().collect();
    let held_in = |upstream: &&'a StageName| {
        let soaks = Soaks { facts, soak: soak.in_stage(upstream), now };
        Some((*upstream, soaks.held(upstream, &mut Vec::new())?))
    };
    let held: BTreeMap<&StageName, Held> = upstreams.iter().filter_map(held_in).collect();
    let so_far = || held.iter().map(|(stage, held)| ((*stage).clone(), held.longest)).collect();
    let available = |because| Availability::Available { because, soak: so_far() };
    if facts.approved_for.contains_key(stage) {
        return available(Because::Approved);
    }
    if request.direct {
        return available(Because::Direct);
    }
    if !enough(request.matching, held.len(), upstreams.len()) {
        let missing = upstreams.into_iter().filter(|stage| !held.contains_key(stage));
        return Availability::NotVerified { missing: missing.cloned().collect() };
    }
    let long_enough = held.iter().filter(|(stage, held)| held.longest >= soak.in_stage(stage));
    if enough(request.matching, long_enough.count(), upstreams.len()) {
        return available(Because::Verified);
    }
    let needed = request.matching.needed(upstreams.len());
    let until = together(needed, held.values().copied()).and_then(|held| held.enough_at);
    Availability::NotSoaked { soak: so_far(), until }
}

/// Whether freight is in the stage now, or for a control-flow stage in one that it passes on from.
#[must_use]
pub fn is_there(stage: &StageName, facts: &FreightFacts) -> bool {
    is_there_past(stage, facts, &mut Vec::new())
}

fn is_there_past<'a>(
    stage: &'a StageName,
    facts: &'a FreightFacts,
    past: &mut Vec<&'a StageName>,
) -> bool {
    let Some(request) = facts.passed_on.get(stage) else { return facts.is_in(stage) };
    if past.contains(&stage) || !facts.verified_in.contains_key(stage) {
        return false;
    }
    past.push(stage);
    let there = request.direct
        || facts.approved_for.contains_key(stage)
        || request.from.iter().any(|upstream| is_there_past(upstream, facts, past));
    past.pop();
    there
}

fn enough(matching: Matching, count: usize, of: usize) -> bool {
    count >= matching.needed(of)
}

/// Soak in one upstream that vouches for the freight.
#[derive(Debug, Clone, Copy)]
struct Held {
    /// The longest stay so far.
    longest: Duration,
    /// When a stay was, or will be, long enough if nothing moves; absent: no stay can get there.
    enough_at: Option<Timestamp>,
}

/// Several upstreams as one, of which so many must have held freight for long enough; absent: not
/// enough of them vouch.
fn together(needed: usize, held: impl Iterator<Item = Held>) -> Option<Held> {
    let held: Vec<Held> = held.collect();
    let last = needed.checked_sub(1)?;
    let mut longest: Vec<Duration> = held.iter().map(|held| held.longest).collect();
    longest.sort_by_key(|longest| std::cmp::Reverse(*longest));
    let mut enough_at: Vec<Timestamp> = held.iter().filter_map(|held| held.enough_at).collect();
    enough_at.sort();
    Some(Held { longest: *longest.get(last)?, enough_at: enough_at.get(last).copied() })
}

struct Soaks<'a> {
    facts: &'a FreightFacts,
    soak: Duration,
    now: Timestamp,
}

impl<'a> Soaks<'a> {
    /// Soak in an upstream; absent: it does not vouch for the freight. `past` are the control-flow
    /// stages that led here, so that a circle of them ends.
    fn held(&self, stage: &'a StageName, past: &mut Vec<&'a StageName>) -> Option<Held> {
        let verified_at = *self.facts.verified_in.get(stage)?;
        let Some(request) = self.facts.passed_on.get(stage) else {
            let stays = self.facts.stays.get(stage).into_iter().flatten();
            let held = stays.map(|stay| self.stay(stay.entered_at.max(verified_at), stay.left_at));
            return Some(together(1, held).unwrap_or(NEVER));
        };
        if past.contains(&stage) {
            return None;
        }
        if request.direct {
            return Some(self.stay(verified_at, None));
        }
        past.push(stage);
        let upstreams: BTreeSet<&StageName> = request.from.iter().collect();
        let held: Vec<Held> =
            upstreams.iter().filter_map(|upstream| self.held(upstream, past)).collect();
        past.pop();
        let vouched = enough(request.matching, held.len(), upstreams.len());
        let needed = request.matching.needed(upstreams.len());
        let through = together(needed, held.into_iter().filter(|_| vouched));
        let let_in = self.facts.approved_for.get(stage);
        let let_in = let_in.map(|at| self.stay(verified_at.max(*at), None));
        let both = through.into_iter().chain(let_in);
        Some(together(1, both).unwrap_or(NEVER))
    }

    fn stay(&self, from: Timestamp, to: Option<Timestamp>) -> Held {
        let length = to.unwrap_or(self.now).duration_since(from);
        let soak = SignedDuration::try_from(self.soak).ok();
        let end = soak.and_then(|soak| from.checked_add(soak).ok());
        Held {
            longest: Duration::try_from(length).unwrap_or(Duration::ZERO),
            enough_at: end.filter(|end| to.is_none_or(|left| left >= *end)),
        }
    }
}

/// An upstream that vouches for freight that never stayed there.
const NEVER: Held = Held { longest: Duration::ZERO, enough_at: None };

impl Because {
    /// In words.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Approved => "approved past its upstream",
            Self::Direct => "straight from its warehouse",
            Self::Verified => "verified upstream",
        }
    }
}
