//! Stages that never get what they ask for, by what happened so far: soak that no freight stayed for, and queues that
//! grow faster than their rates let them move.
//!
//! These are guesses about the future from the past, and say what they are made of. Nothing is said from fewer than
//! [`SEEN_MIN`] cases, nor about what was so before the change.

use std::time::Duration;

use jiff::Timestamp;

use super::{Change, Changes, Warning};
use crate::availability::{Availability, availability};
use crate::duration;
use crate::id::{StageName, WarehouseName};
use crate::policy::{Joined, Mode, Policy, Rate};
use crate::snapshot::StageSnapshot;
use crate::stage::{Choose, Request};

/// The fewest cases that tell something.
const SEEN_MIN: usize = 5;

/// What keeps a stage from getting anything, or from ever getting everything.
struct Starved {
    stage: StageName,
    cause: Cause,
    detail: String,
}

#[derive(PartialEq)]
enum Cause {
    /// Freight of this warehouse leaves its upstream before it has soaked.
    Soak(WarehouseName),
    /// Freight comes faster than this rate of this policy lets it commit.
    Rate { policy: String, rate: String },
}

/// What the changes starve, at the field that does.
pub(super) fn of_stages(
    stages: &[(Option<&StageSnapshot>, StageSnapshot)],
    changes: &Changes,
    now: Timestamp,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (before, after) in stages {
        let known = before.map(|before| starved(before, now)).unwrap_or_default();
        let new = starved(after, now)
            .into_iter()
            .filter(|found| known.iter().all(|known| known.cause != found.cause));
        warnings.extend(new.filter_map(|found| warning(found, changes)));
    }
    warnings
}

/// The warning at the change that brings it; absent: none of them does by itself.
fn warning(found: Starved, changes: &Changes) -> Option<Warning> {
    let Starved { stage, cause, detail } = found;
    let of_policy = |policy: &Policy| match &cause {
        Cause::Soak(_) => Some(if policy.soak.is_some() { "soak" } else { "soak_in" }.to_owned())
            .filter(|_| policy.selects(&stage) && policy.least_soak().is_some()),
        Cause::Rate { policy: name, rate } => {
            let at = policy.rates.iter().position(|asked| asked.name == *rate)?;
            (policy.name.as_str() == name).then(|| format!("rates[{at}]"))
        }
    };
    let path = |change: &Change| match change {
        Change::Policy(_, Some(policy)) => of_policy(policy),
        Change::Stage(name, Some(_)) if *name == stage => Some(match &cause {
            Cause::Soak(_) => "requests".to_owned(),
            Cause::Rate { .. } => "choose".to_owned(),
        }),
        Change::Policy(_, None)
        | Change::Stage(..)
        | Change::Warehouse(..)
        | Change::Verification(..)
        | Change::Task(..)
        | Change::Hold(..)
        | Change::Freeze(..) => None,
    };
    let mut causes = changes.all.iter().enumerate();
    let (change, path) = causes.find_map(|(at, change)| Some((at, path(change)?)))?;
    let summary = match cause {
        Cause::Soak(_) => "Freight would not stay long enough to soak",
        Cause::Rate { .. } => "Freight comes faster than it may go",
    };
    Some(Warning { change, path, summary: summary.to_owned(), detail })
}

fn starved(snapshot: &StageSnapshot, now: Timestamp) -> Vec<Starved> {
    let stage = &snapshot.stage.spec;
    let joined = Joined::of(&snapshot.policies, &stage.name);
    let mut found: Vec<Starved> = stage
        .requests
        .iter()
        .filter_map(|request| never_soaks(snapshot, &joined, request, now))
        .collect();
    let queues = stage.choose == Choose::Queue && joined.mode != Mode::Manual;
    for policy in joined.policies.iter().filter(|_| queues) {
        found.extend(policy.rates.iter().filter_map(|rate| too_slow(snapshot, policy, rate)));
    }
    found
}

/// Nothing that was verified upstream stayed there for the soak.
fn never_soaks(
    snapshot: &StageSnapshot,
    joined: &Joined<'_>,
    request: &Request,
    now: Timestamp,
) -> Option<Starved> {
    let stage = &snapshot.stage.spec;
    if request.direct || joined.soak.is_zero() {
        return None;
    }
    let mut left = Vec::new();
    let asked = std::slice::from_ref(request);
    for facts in &snapshot.freight {
        match availability(&stage.name, asked, facts, &joined.soak, now) {
            Availability::Available { .. } => return None,
            Availability::NotSoaked { soak, until: None } => {
                left.push(soak.into_values().max().unwrap_or_default());
            }
            // What is there now may yet soak: those before it tell whether it is likely.
            Availability::NotSoaked { until: Some(_), .. }
            | Availability::NotVerified { .. }
            | Availability::NotRequested => {}
        }
    }
    let longest = left.iter().max().filter(|_| left.len() >= SEEN_MIN)?;
    let detail = format!(
        "Stage {} would take freight of warehouse {} after a soak of {}, but none of the last {} that were \
         verified upstream stayed there for that long before newer freight came (the longest {}): unless it \
         comes less often, or `choose` of the upstream changes, nothing gets to {}.",
        stage.name,
        request.warehouse,
        joined.soak.print(&request.from),
        left.len(),
        duration::print(Duration::from_secs(longest.as_secs())),
        stage.name,
    );
    let cause = Cause::Soak(request.warehouse.clone());
    Some(Starved { stage: stage.name.clone(), cause, detail })
}

/// A queue of which less is taken away than comes.
fn too_slow(snapshot: &StageSnapshot, policy: &Policy, rate: &Rate) -> Option<Starved> {
    let stage = &snapshot.stage.spec;
    let every = at_most_every(rate)?;
    let mut came: Vec<Timestamp> = Vec::new();
    for facts in &snapshot.freight {
        let request = stage.request(&facts.freight.warehouse)?;
        let verified = request.from.iter().filter_map(|stage| facts.verified_in.get(stage)).min();
        let direct = request.direct.then_some(&facts.freight.created_at);
        came.extend(direct.into_iter().chain(verified).min());
    }
    came.sort();
    let (first, last) = (*came.first()?, *came.last()?);
    let between = u32::try_from(came.len() - 1).ok().filter(|n| *n as usize >= SEEN_MIN)?;
    let span = Duration::try_from(last.duration_since(first)).ok()?;
    if span >= every * between {
        return None;
    }
    let detail = format!(
        "Stage {} takes all freight, one after the other, and rate {} of policy {} lets one go each {}, but {} \
         came within {}: the queue grows for as long as that goes on. Let more go, or have `choose` take the \
         latest.",
        stage.name,
        rate.name,
        policy.name,
        duration::print(every),
        came.len(),
        duration::print(Duration::from_secs(span.as_secs())),
    );
    let cause = Cause::Rate { policy: policy.name.to_string(), rate: rate.name.clone() };
    Some(Starved { stage: stage.name.clone(), cause, detail })
}

/// The least time between two commits, over a long time.
fn at_most_every(rate: &Rate) -> Option<Duration> {
    let most = rate.most.map(|most| most.per / most.count);
    most.max(rate.cooldown)
}
