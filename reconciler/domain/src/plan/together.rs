//! What goes together: candidates of several warehouses are one promotion, as long as none of them is
//! past its commit.
//!
//! What is chosen of one warehouse joins what automation has under way of the others and may still go: the
//! promotion that brings all of it takes the place of those. What may go no longer is left out, so that it
//! keeps nothing else; conditions that do not hold of all together are asked of each alone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::stage::{Looked, Moving, StageAct};
use crate::availability::Availability;
use crate::freight::{Freight, FreightFacts};
use crate::gate::too_old_at;
use crate::hold;
use crate::id::{FreightId, Principal, PromotionId, WarehouseName};
use crate::scope::condition_scope;
use crate::snapshot::{RunningPromotion, StageSnapshot};

/// The promotions that bring what was chosen on its way, each with those whose place it takes. `chosen` is
/// in the order of the stage's requests, one of a warehouse at most.
pub(super) fn acts<'a>(
    looked: &Looked<'a>,
    moving: &Moving<'a>,
    chosen: Vec<&'a FreightFacts>,
) -> Vec<StageAct> {
    let open = open(looked.snapshot);
    let all = match looked.snapshot.stage.spec.requests.as_slice() {
        [_] => chosen,
        _ => joined(looked, moving, chosen, &open),
    };
    let mut acts = Vec::new();
    let mut superseded: Vec<&PromotionId> = Vec::new();
    for group in groups(looked, all) {
        let is_group = |running: &&RunningPromotion| {
            let left = left(looked.snapshot, running);
            let left: BTreeSet<&FreightId> = left.iter().map(|facts| &facts.freight.id).collect();
            left == group.iter().map(|facts| &facts.freight.id).collect()
        };
        if open.iter().any(is_group) {
            continue;
        }
        let in_its_place = |running: &&&RunningPromotion| {
            !superseded.contains(&&running.promotion.id)
                && group.iter().any(|f| running.promotion.brings_of(&f.freight.warehouse))
        };
        let supersedes: Vec<&PromotionId> =
            open.iter().filter(in_its_place).map(|running| &running.promotion.id).collect();
        superseded.extend(&supersedes);
        acts.extend(promote(&group, supersedes));
    }
    acts
}

fn promote(group: &[&FreightFacts], supersedes: Vec<&PromotionId>) -> Option<StageAct> {
    let mut freight = group.iter().map(|facts| &facts.freight);
    let leading = freight.next()?.id.clone();
    let along = freight.map(|along| (along.warehouse.clone(), along.id.clone())).collect();
    let supersedes = supersedes.into_iter().cloned().collect();
    Some(StageAct::Promote { freight: leading, along, supersedes })
}

/// What automation has under way and what has not committed.
fn open(snapshot: &StageSnapshot) -> Vec<&RunningPromotion> {
    let running = snapshot.running.iter();
    let by_automation =
        running.filter(|running| running.promotion.requester == Principal::Automation);
    by_automation.filter(|running| !running.phase.holds_slot()).collect()
}

/// What a promotion brings that is not in the stage already.
fn left<'a>(snapshot: &'a StageSnapshot, running: &RunningPromotion) -> Vec<&'a FreightFacts> {
    let known = snapshot.freight.iter().map(AsRef::as_ref);
    let brought = known.filter(|facts: &&FreightFacts| running.promotion.brings(&facts.freight.id));
    let there = |freight: &Freight| snapshot.current.get(&freight.warehouse) == Some(&freight.id);
    brought.filter(|facts| !there(&facts.freight)).collect()
}

/// When what is under way as one unit may have to go apart, or may go together again, by time alone.
pub(super) fn changes(looked: &Looked<'_>) -> Option<Timestamp> {
    let units = open(looked.snapshot).into_iter().map(|running| left(looked.snapshot, running));
    let units = units.filter(|left| left.len() > 1);
    units.flatten().filter_map(|facts| looked.changes(facts)).min()
}

/// The newest freight of each warehouse that automation brings and that may still go, by sequence.
pub(super) fn still_coming<'a>(looked: &Looked<'a>) -> BTreeMap<&'a WarehouseName, i64> {
    let mut coming = BTreeMap::new();
    for running in open(looked.snapshot) {
        for facts in left(looked.snapshot, running).into_iter().filter(|it| looked.may_go(it)) {
            let newest = coming.entry(&facts.freight.warehouse).or_insert(i64::MIN);
            *newest = facts.freight.sequence.max(*newest);
        }
    }
    coming
}

/// What was chosen, and what is under way of the other warehouses and may still go.
fn joined<'a>(
    looked: &Looked<'a>,
    moving: &Moving<'a>,
    chosen: Vec<&'a FreightFacts>,
    open: &[&RunningPromotion],
) -> Vec<&'a FreightFacts> {
    let mut all = chosen;
    for facts in open.iter().flat_map(|running| left(looked.snapshot, running)) {
        let is_free = all.iter().all(|it| it.freight.warehouse != facts.freight.warehouse);
        if is_free && looked.may_go(facts) && !moving.is_tied(looked.snapshot, facts) {
            all.push(facts);
        }
    }
    let requests = &looked.snapshot.stage.spec.requests;
    let place = |facts: &&FreightFacts| {
        requests.iter().position(|request| request.warehouse == facts.freight.warehouse)
    };
    all.sort_by_key(place);
    all
}

/// Who goes with whom: all together, unless conditions hold of some alone and not of all.
fn groups<'a>(looked: &Looked<'_>, all: Vec<&'a FreightFacts>) -> Vec<Vec<&'a FreightFacts>> {
    let alone = |facts: &&FreightFacts| conditions_hold(looked, &[facts]);
    if all.len() < 2 || conditions_hold(looked, &all) || !all.iter().any(alone) {
        return vec![all];
    }
    let (going, waiting): (Vec<_>, Vec<_>) = all.into_iter().partition(alone);
    let mut groups = match conditions_hold(looked, &going) {
        true => vec![going],
        false => going.into_iter().map(|facts| vec![facts]).collect(),
    };
    groups.extend((!waiting.is_empty()).then_some(waiting));
    groups
}

/// Whether the conditions of the policies hold of freight that comes together, beside what is there.
fn conditions_hold(looked: &Looked<'_>, together: &[&FreightFacts]) -> bool {
    let conditions = looked.joined.policies.iter().flat_map(|policy| &policy.conditions);
    let mut conditions = conditions.peekable();
    if conditions.peek().is_none() {
        return true;
    }
    let mut companions = looked.snapshot.companions();
    let coming = together.iter().map(|facts| &facts.freight);
    companions.extend(coming.map(|freight| (freight.warehouse.clone(), freight.clone())));
    let stage = &looked.snapshot.stage.spec;
    let scopes: Vec<_> = together
        .iter()
        .map(|facts| condition_scope(stage, facts, &companions, &BTreeMap::new()))
        .collect();
    conditions.all(|condition| scopes.iter().all(|it| condition.when.holds(it) == Ok(true)))
}

impl Looked<'_> {
    /// Whether what automation asks of freight before there is a promotion of it is so now.
    pub(super) fn may_go(&self, facts: &FreightFacts) -> bool {
        self.available(facts).is_available() && !self.is_held(facts) && !self.is_too_old(facts)
    }

    fn is_too_old(&self, facts: &FreightFacts) -> bool {
        let end = too_old_at(self.joined, &facts.freight);
        end.is_some_and(|end| end <= self.now)
    }

    /// When time alone may change whether freight may go.
    fn changes(&self, facts: &FreightFacts) -> Option<Timestamp> {
        let soaked = match self.available(facts) {
            Availability::NotSoaked { until, .. } => until,
            Availability::Available { .. }
            | Availability::NotRequested
            | Availability::NotVerified { .. } => None,
        };
        let stage = &self.snapshot.stage.spec.name;
        let holds = hold::stopping(&self.snapshot.holds, stage, &facts.freight, self.now);
        let ends = holds.filter_map(|hold| hold.spec.expires).chain(soaked);
        let ends = ends.chain(too_old_at(self.joined, &facts.freight));
        ends.filter(|end| *end > self.now).min()
    }
}
