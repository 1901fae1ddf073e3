//! The decision about a stage: what automation promotes to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Waiting, earlier};
use crate::availability::{Availability, availability, is_there};
use crate::duration;
use crate::freeze::{self, Asker, Freeze};
use crate::freight::{Freight, FreightFacts};
use crate::gate::too_old_at;
use crate::hold::{self, Hold};
use crate::id::{FreightId, Principal, PromotionId, WarehouseName};
use crate::policy::{Joined, Mode};
use crate::promotion::Ending;
use crate::snapshot::{Defined, RunningPromotion, StageSnapshot};
use crate::soak::Soak;
use crate::stage::{Choose, Stage};
use crate::window::Action;

/// What to do for a stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StagePlan {
    /// What to do now, in order.
    pub acts: Vec<StageAct>,
    /// What does not move, and why.
    pub waiting: Vec<Waiting>,
    /// When to look again; absent: when something else changes.
    pub wake_at: Option<Timestamp>,
}

/// One thing to do for a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StageAct {
    /// Start a promotion for automation; it takes the place of those named.
    Promote {
        /// What to promote.
        freight: FreightId,
        /// Promotions that have not committed and are now pointless.
        supersedes: Vec<PromotionId>,
    },
    /// Vouch for freight in a control-flow stage.
    Pass {
        /// The freight.
        freight: FreightId,
    },
}

/// Freight that a stage could take, and how automation sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The freight.
    pub freight: FreightId,
    /// Its warehouse.
    pub warehouse: WarehouseName,
    /// Whether it may go there, the soak of the policies held.
    pub availability: Availability,
    /// Why automation does not take it although it is available; absent: it does, unless it is held.
    pub passed_over: Option<String>,
    /// The holds that keep it from the stage.
    pub held: Vec<Defined<Hold>>,
    /// The freezes that keep automation from promoting it.
    pub frozen: Vec<Defined<Freeze>>,
}

const BEHIND_EXPIRED: &str = "newer freight waited for too long here; a person can promote it";

/// Decides about a stage.
#[must_use]
pub fn stage(snapshot: &StageSnapshot, now: Timestamp) -> StagePlan {
    decide(snapshot, snapshot.definitions_changed_at, now)
}

/// The decision as it will be once the present definitions have come to rest.
pub(crate) fn stage_at_rest(snapshot: &StageSnapshot, now: Timestamp) -> StagePlan {
    decide(snapshot, Timestamp::MIN, now)
}

fn decide(snapshot: &StageSnapshot, changed_at: Timestamp, now: Timestamp) -> StagePlan {
    let mut plan = StagePlan { acts: Vec::new(), waiting: Vec::new(), wake_at: None };
    if snapshot.stage.spec.is_control_flow() {
        pass_on(snapshot, now, &mut plan);
        return plan;
    }
    let joined = Joined::of(&snapshot.policies, &snapshot.stage.spec.name);
    if stops_automation(snapshot, &joined, changed_at, now, &mut plan) {
        return plan;
    }
    let looked = Looked { snapshot, joined: &joined, now };
    for request in &snapshot.stage.spec.requests {
        choose(&looked, &request.warehouse, &mut plan);
    }
    plan
}

/// Every freight that the stage could take, newest first, with automation's view of it.
#[must_use]
pub fn candidates(snapshot: &StageSnapshot, joined: &Joined<'_>, now: Timestamp) -> Vec<Candidate> {
    let moving = Moving::of(snapshot);
    let automation = Asker { name: &Principal::Automation, groups: &BTreeSet::new() };
    let (stage, freezes) = (&snapshot.stage.spec.name, &snapshot.freezes);
    let frozen: Vec<Defined<Freeze>> =
        freeze::stopping(freezes, stage, Action::Promote, automation, now).cloned().collect();
    snapshot
        .freight
        .iter()
        .rev()
        .map(|facts| Candidate {
            freight: facts.freight.id.clone(),
            warehouse: facts.freight.warehouse.clone(),
            availability: available(snapshot, facts, joined, now),
            passed_over: passed_over(snapshot, &moving, facts)
                .or_else(|| too_old(joined, facts, now)),
            held: stopping(snapshot, facts, now).cloned().collect(),
            frozen: frozen.clone(),
        })
        .collect()
}

/// What a decision about a stage looks at.
struct Looked<'a> {
    snapshot: &'a StageSnapshot,
    joined: &'a Joined<'a>,
    now: Timestamp,
}

/// The newest freight of each warehouse, by sequence.
type Newest<'a> = BTreeMap<&'a WarehouseName, i64>;

/// What freight of the same warehouse stands in the way of older freight.
struct Moving<'a> {
    /// In the stage, or on its way there.
    moving: Newest<'a>,
    /// What waited for too long, where the stage takes the newest: what is older would wait as well, one after the
    /// other.
    expired: Newest<'a>,
}

impl<'a> Moving<'a> {
    fn of(snapshot: &'a StageSnapshot) -> Self {
        let running = snapshot.running.iter().map(|running| &running.promotion.warehouse);
        let warehouses: BTreeSet<&WarehouseName> = snapshot.current.keys().chain(running).collect();
        let mut newest = BTreeMap::new();
        for facts in snapshot.freight.iter().rev() {
            if newest.len() == warehouses.len() {
                break;
            }
            let Freight { id, warehouse, sequence, .. } = &facts.freight;
            let there = snapshot.current.get(warehouse) == Some(id);
            let coming = || snapshot.running.iter().any(|run| run.promotion.freight == *id);
            if there || coming() {
                newest.entry(warehouse).or_insert(*sequence);
            }
        }
        Self { moving: newest, expired: expired(snapshot) }
    }

    fn is_newer_than(&self, facts: &FreightFacts) -> bool {
        is_older(facts, &self.moving)
    }
}

fn is_older(facts: &FreightFacts, newest: &Newest<'_>) -> bool {
    let newest = newest.get(&facts.freight.warehouse);
    newest.is_some_and(|sequence| facts.freight.sequence < *sequence)
}

/// The newest freight that expired here and that the stage still would take but for that.
fn expired(snapshot: &StageSnapshot) -> Newest<'_> {
    let mut newest = Newest::new();
    let stage = &snapshot.stage.spec;
    let some = snapshot.ended.values().any(|ending| *ending == Ending::Expired);
    if !some || stage.choose == Choose::Queue {
        return newest;
    }
    for facts in snapshot.freight.iter().rev() {
        let expired = snapshot.ended.get(&facts.freight.id) == Some(&Ending::Expired);
        if expired && (stage.choose != Choose::MatchUpstream || in_upstream(stage, facts)) {
            newest.entry(&facts.freight.warehouse).or_insert(facts.freight.sequence);
        }
    }
    newest
}

/// Whether the freight is in an upstream stage now, or needs to be in none.
fn in_upstream(stage: &Stage, facts: &FreightFacts) -> bool {
    let request = stage.request(&facts.freight.warehouse);
    request.is_some_and(|r| r.direct || r.from.iter().any(|upstream| is_there(upstream, facts)))
}

fn pass_on(snapshot: &StageSnapshot, now: Timestamp, plan: &mut StagePlan) {
    let stage = &snapshot.stage.spec;
    for facts in &snapshot.freight {
        let found = availability(&stage.name, &stage.requests, facts, &Soak::default(), now);
        if !found.is_available() || facts.verified_in.contains_key(&stage.name) {
            continue;
        }
        if !waits_for_holds(snapshot, facts, now, plan) {
            plan.acts.push(StageAct::Pass { freight: facts.freight.id.clone() });
        }
    }
}

/// Mode, holds of the stage and settle; each says why.
fn stops_automation(
    snapshot: &StageSnapshot,
    joined: &Joined<'_>,
    changed_at: Timestamp,
    now: Timestamp,
    plan: &mut StagePlan,
) -> bool {
    let subject = format!("stage {}", snapshot.stage.spec.name);
    if joined.mode == Mode::Manual {
        let message = if joined.policies.is_empty() {
            "no policy selects the stage; a person starts its promotions".to_owned()
        } else {
            "the stage is manual; a person starts its promotions".to_owned()
        };
        plan.waiting.push(Waiting { subject, reason: "Manual", message, until: None });
        return true;
    }
    if let Some(hold) = &snapshot.automatic_hold {
        let message = format!("held by {}: {}", hold.by, hold.reason);
        plan.waiting.push(Waiting { subject, reason: "Held", message, until: None });
        return true;
    }
    let mut closing = hold::closing(&snapshot.holds, &snapshot.stage.spec.name, now).peekable();
    if closing.peek().is_some() {
        for hold in closing {
            wait_for(hold, &subject, plan);
        }
        return true;
    }
    let settled = changed_at.checked_add(joined.settle);
    let settled = settled.unwrap_or(Timestamp::MAX);
    if settled > now {
        let message = format!(
            "definitions changed at {changed_at}; automation waits {} for the rest of them",
            duration::print(joined.settle),
        );
        let until = Some(settled);
        plan.waiting.push(Waiting { subject, reason: "Settling", message, until });
        plan.wake_at = earlier(plan.wake_at, until);
        return true;
    }
    false
}

fn choose(looked: &Looked<'_>, warehouse: &WarehouseName, plan: &mut StagePlan) {
    let Looked { snapshot, joined, now } = *looked;
    let moving = Moving::of(snapshot);
    let of_warehouse = |facts: &&Arc<FreightFacts>| facts.freight.warehouse == *warehouse;
    let mut chosen: Option<&FreightFacts> = None;
    for facts in snapshot.freight.iter().filter(of_warehouse).rev() {
        if moving.is_newer_than(facts) {
            // So is it than all that follow, and what is older than what moves is not taken.
            break;
        }
        let why = passed_over(snapshot, &moving, facts).or_else(|| too_old(joined, facts, now));
        if let Some(why) = why {
            plan.waiting.extend(left_out(snapshot, &moving, facts, why));
            continue;
        }
        if waits_for_holds(snapshot, facts, now, plan) {
            continue;
        }
        match available(snapshot, facts, joined, now) {
            Availability::Available { .. } => match snapshot.stage.spec.choose {
                Choose::Latest | Choose::MatchUpstream => {
                    chosen = Some(facts);
                    break;
                }
                // The oldest that is left: go on to the end.
                Choose::Queue => chosen = Some(facts),
            },
            other @ (Availability::NotRequested
            | Availability::NotVerified { .. }
            | Availability::NotSoaked { .. }) => {
                let until = plan_wake(plan, &other);
                plan.waiting.extend(not_yet(facts, &other, until));
                if snapshot.stage.spec.choose == Choose::Queue && until.is_some() {
                    // It is next by time alone: what is newer queues behind it.
                    chosen = None;
                }
            }
        }
    }
    let Some(chosen) = chosen else { return };
    let competing: Vec<&RunningPromotion> = snapshot
        .running
        .iter()
        .filter(|running| running.promotion.warehouse == *warehouse)
        .collect();
    if let Some(act) = promote(snapshot, chosen, &competing, plan) {
        plan.acts.push(act);
    }
}

/// Whether holds keep the freight from the stage; the plan then says so.
fn waits_for_holds(
    snapshot: &StageSnapshot,
    facts: &FreightFacts,
    now: Timestamp,
    plan: &mut StagePlan,
) -> bool {
    let subject = format!("freight {}", facts.freight.id.short());
    let before = plan.waiting.len();
    for hold in stopping(snapshot, facts, now) {
        wait_for(hold, &subject, plan);
    }
    plan.waiting.len() > before
}

fn wait_for(hold: &Defined<Hold>, subject: &str, plan: &mut StagePlan) {
    let (message, until) = (hold::describe(hold), hold.spec.expires);
    plan.waiting.push(Waiting { subject: subject.to_owned(), reason: "Held", message, until });
    plan.wake_at = earlier(plan.wake_at, until);
}

fn stopping<'a>(
    snapshot: &'a StageSnapshot,
    facts: &'a FreightFacts,
    now: Timestamp,
) -> impl Iterator<Item = &'a Defined<Hold>> {
    hold::stopping(&snapshot.holds, &snapshot.stage.spec.name, &facts.freight, now)
}

/// The act that brings the chosen freight on its way, or a reason for waiting.
fn promote(
    snapshot: &StageSnapshot,
    chosen: &FreightFacts,
    competing: &[&RunningPromotion],
    plan: &mut StagePlan,
) -> Option<StageAct> {
    let id = &chosen.freight.id;
    let waits_for = match snapshot.stage.spec.choose {
        Choose::Queue => competing.first(),
        // What a person started is not superseded by automation.
        Choose::Latest | Choose::MatchUpstream => competing.iter().find(|running| {
            running.promotion.requester != Principal::Automation && !running.phase.holds_slot()
        }),
    };
    if let Some(running) = waits_for {
        plan.waiting.push(Waiting {
            subject: format!("freight {}", id.short()),
            reason: "PromotionRunning",
            message: format!("waits for promotion {} to end", running.promotion.id),
            until: None,
        });
        return None;
    }
    let supersedes = competing
        .iter()
        .filter(|running| !running.phase.holds_slot())
        .map(|running| running.promotion.id.clone())
        .collect();
    Some(StageAct::Promote { freight: id.clone(), supersedes })
}

fn available(
    snapshot: &StageSnapshot,
    facts: &FreightFacts,
    joined: &Joined<'_>,
    now: Timestamp,
) -> Availability {
    let stage = &snapshot.stage.spec;
    availability(&stage.name, &stage.requests, facts, &joined.soak, now)
}

/// Why automation does not take this freight, whatever its availability.
fn passed_over(
    snapshot: &StageSnapshot,
    moving: &Moving<'_>,
    facts: &FreightFacts,
) -> Option<String> {
    let freight = &facts.freight;
    let stage = &snapshot.stage.spec;
    if snapshot.current.get(&freight.warehouse) == Some(&freight.id) {
        return Some("it is in the stage".to_owned());
    }
    let running = snapshot.running.iter().find(|running| running.promotion.freight == freight.id);
    if let Some(running) = running {
        return Some(format!("promotion {} is bringing it", running.promotion.id));
    }
    if let Some(ending) = snapshot.ended.get(&freight.id) {
        let again = match ending {
            Ending::Succeeded => "it was in the stage before",
            // A rehearsal is never the last promotion of a freight.
            Ending::Superseded | Ending::Rehearsed => {
                // It is taken again only once nothing newer stands in its way.
                if moving.is_newer_than(facts) {
                    return Some("newer freight took its place".to_owned());
                }
                return is_older(facts, &moving.expired).then(|| BEHIND_EXPIRED.to_owned());
            }
            Ending::Failed
            | Ending::RolledBack
            | Ending::Stuck
            | Ending::Aborted
            | Ending::Expired
            | Ending::Inconclusive => "its last promotion here did not succeed",
        };
        return Some(format!("{again}; a person can promote it"));
    }
    if moving.is_newer_than(facts) {
        return Some("newer freight is in the stage".to_owned());
    }
    if stage.choose == Choose::MatchUpstream && !in_upstream(stage, facts) {
        return Some("it is in no upstream stage now".to_owned());
    }
    is_older(facts, &moving.expired).then(|| BEHIND_EXPIRED.to_owned())
}

/// Freight that is too old never becomes younger.
fn too_old(joined: &Joined<'_>, facts: &FreightFacts, now: Timestamp) -> Option<String> {
    let end = too_old_at(joined, &facts.freight)?;
    let most = duration::print(joined.max_age?);
    (end <= now).then(|| format!("it is older than {most} since {end}"))
}

/// Freight that is newer than what is in the stage and yet not taken is worth a word; what is there,
/// on its way or older is not.
fn left_out(
    snapshot: &StageSnapshot,
    moving: &Moving<'_>,
    facts: &FreightFacts,
    message: String,
) -> Option<Waiting> {
    let freight = &facts.freight;
    let there = snapshot.current.get(&freight.warehouse) == Some(&freight.id);
    let coming = snapshot.running.iter().any(|running| running.promotion.freight == freight.id);
    if there || coming || moving.is_newer_than(facts) {
        return None;
    }
    let subject = format!("freight {}", freight.id.short());
    Some(Waiting { subject, reason: "PassedOver", message, until: None })
}

fn plan_wake(plan: &mut StagePlan, found: &Availability) -> Option<Timestamp> {
    let until = match found {
        Availability::NotSoaked { until, .. } => *until,
        Availability::Available { .. }
        | Availability::NotRequested
        | Availability::NotVerified { .. } => None,
    };
    plan.wake_at = earlier(plan.wake_at, until);
    until
}

fn not_yet(
    facts: &FreightFacts,
    found: &Availability,
    until: Option<Timestamp>,
) -> Option<Waiting> {
    let subject = format!("freight {}", facts.freight.id.short());
    match found {
        Availability::Available { .. } | Availability::NotRequested => None,
        Availability::NotVerified { missing } => {
            let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
            Some(Waiting {
                subject,
                reason: "NotVerifiedUpstream",
                message: format!("not verified upstream in {}", names.join(", ")),
                until,
            })
        }
        Availability::NotSoaked { .. } => Some(Waiting {
            subject,
            reason: "Soaking",
            message: match until {
                Some(at) => format!("soaks upstream until {at}"),
                None => "did not soak upstream for long enough and is no longer there".to_owned(),
            },
            until,
        }),
    }
}
