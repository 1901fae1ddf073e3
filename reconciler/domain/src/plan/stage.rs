//! The decision about a stage: what automation promotes to it.

mod moving;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Waiting, earlier, together};
use crate::availability::{Availability, availability, is_there};
use crate::duration;
use crate::freeze::{self, Asker, Freeze};
use crate::freight::{Freight, FreightFacts};
use crate::gate::too_old_at;
use crate::hold::{self, Hold};
use crate::id::{FreightId, Principal, PromotionId, WarehouseName};
use crate::policy::{Joined, Mode};
use crate::promotion::{Ended, Ending};
use crate::snapshot::{Defined, RunningPromotion, StageSnapshot};
use crate::soak::Soak;
use crate::stage::{Choose, Stage};
use crate::window::Action;

pub(super) use moving::Moving;
use moving::is_over;

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
        /// Freight of other warehouses that comes along, as one unit with it.
        along: BTreeMap<WarehouseName, FreightId>,
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
    let moving = Moving::of(&looked);
    let mut chosen = Vec::new();
    for request in &snapshot.stage.spec.requests {
        chosen.extend(choose(&looked, &moving, &request.warehouse, &mut plan));
    }
    plan.acts = together::acts(&looked, &moving, chosen);
    plan.wake_at = earlier(plan.wake_at, together::changes(&looked));
    plan
}

/// Every freight that the stage could take, newest first, with automation's view of it.
#[must_use]
pub fn candidates(snapshot: &StageSnapshot, joined: &Joined<'_>, now: Timestamp) -> Vec<Candidate> {
    let moving = Moving::of(&Looked { snapshot, joined, now });
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
#[derive(Clone, Copy)]
pub(super) struct Looked<'a> {
    pub(super) snapshot: &'a StageSnapshot,
    pub(super) joined: &'a Joined<'a>,
    pub(super) now: Timestamp,
}

impl Looked<'_> {
    pub(super) fn available(&self, facts: &FreightFacts) -> Availability {
        available(self.snapshot, facts, self.joined, self.now)
    }

    pub(super) fn is_held(&self, facts: &FreightFacts) -> bool {
        stopping(self.snapshot, facts, self.now).next().is_some()
    }
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

/// The freight of one warehouse that is to come; what does not, and why, is put into the plan.
fn choose<'a>(
    looked: &Looked<'a>,
    moving: &Moving<'a>,
    warehouse: &WarehouseName,
    plan: &mut StagePlan,
) -> Option<&'a FreightFacts> {
    let Looked { snapshot, joined, now } = *looked;
    let of_warehouse = |facts: &&Arc<FreightFacts>| facts.freight.warehouse == *warehouse;
    let mut chosen: Option<&'a FreightFacts> = None;
    for facts in snapshot.freight.iter().filter(of_warehouse).rev() {
        if moving.is_newer_than(facts) {
            // So is it than all that follow, and what is older than what moves is not taken.
            break;
        }
        let why = passed_over(snapshot, moving, facts).or_else(|| too_old(joined, facts, now));
        if let Some(why) = why {
            plan.waiting.extend(left_out(snapshot, moving, facts, why));
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
    chosen.filter(|chosen| !waits_for_another(snapshot, &chosen.freight, plan))
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

/// Whether a promotion of the same warehouse has to end first; the plan then says so.
fn waits_for_another(snapshot: &StageSnapshot, chosen: &Freight, plan: &mut StagePlan) -> bool {
    let in_the_way = |running: &&RunningPromotion| {
        running.promotion.brings_of(&chosen.warehouse)
            && match snapshot.stage.spec.choose {
                Choose::Queue => true,
                // What a person started is not superseded by automation.
                Choose::Latest | Choose::MatchUpstream => {
                    running.promotion.requester != Principal::Automation
                        && !running.phase.holds_slot()
                }
            }
    };
    let Some(running) = snapshot.running.iter().find(in_the_way) else { return false };
    plan.waiting.push(Waiting {
        subject: format!("freight {}", chosen.id.short()),
        reason: "PromotionRunning",
        message: format!("waits for promotion {} to end", running.promotion.id),
        until: None,
    });
    true
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
    let running = snapshot.running.iter().find(|running| running.promotion.brings(&freight.id));
    if let Some(running) = running {
        return Some(format!("promotion {} is bringing it", running.promotion.id));
    }
    match snapshot.ended.get(&freight.id) {
        None => {}
        Some(ended) if ended.ending == Ending::Succeeded => {
            return Some("it was in the stage before; a person can promote it".to_owned());
        }
        Some(ended) if is_over(ended.ending) && !moving.is_untied(snapshot, ended) => {
            return Some(did_not_succeed(ended, stage.choose));
        }
        // It goes again with what takes the place of what it failed with.
        Some(ended) if is_over(ended.ending) => {}
        // A rehearsal is never the last promotion of a freight. What was superseded is taken again once nothing
        // newer stands in its way.
        Some(_) => {
            if moving.is_newer_than(facts) {
                return Some("newer freight took its place".to_owned());
            }
            return moving.is_behind_expired(facts).then(|| BEHIND_EXPIRED.to_owned());
        }
    }
    if moving.is_newer_than(facts) {
        return Some("newer freight is in the stage".to_owned());
    }
    if stage.choose == Choose::MatchUpstream && !in_upstream(stage, facts) {
        return Some("it is in no upstream stage now".to_owned());
    }
    moving.is_behind_expired(facts).then(|| BEHIND_EXPIRED.to_owned())
}

fn did_not_succeed(ended: &Ended, choose: Choose) -> String {
    let beside: Vec<String> =
        ended.beside.iter().map(|(of, id)| format!("freight {} of {of}", id.short())).collect();
    let beside = beside.join(", ");
    match (beside.is_empty(), choose) {
        (true, _) => "its last promotion here did not succeed; a person can promote it".to_owned(),
        (false, Choose::Queue) => format!(
            "its last promotion here, with {beside}, did not succeed; a person can promote it"
        ),
        (false, Choose::Latest | Choose::MatchUpstream) => format!(
            "its last promotion here, with {beside}, did not succeed; it goes again with newer freight in \
             place of that, or when a person promotes it"
        ),
    }
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
    let coming = snapshot.running.iter().any(|running| running.promotion.brings(&freight.id));
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
