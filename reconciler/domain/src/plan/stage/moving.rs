//! What of the same warehouse stands in the way of older freight, and what lets freight go again that failed with
//! others.

use std::collections::{BTreeMap, BTreeSet};

use super::super::together;
use super::{Looked, StagePlan, choose, in_upstream};
use crate::freight::{Freight, FreightFacts};
use crate::id::WarehouseName;
use crate::promotion::{Ended, Ending};
use crate::snapshot::StageSnapshot;
use crate::stage::Choose;

/// The newest freight of each warehouse, by sequence.
type Newest<'a> = BTreeMap<&'a WarehouseName, i64>;

/// What freight of the same warehouse stands in the way of older freight.
pub(in crate::plan) struct Moving<'a> {
    /// In the stage, or on its way there.
    moving: Newest<'a>,
    /// In the stage, or to come there by the present decision: what failed with something older is free again.
    fresh: Newest<'a>,
    /// What waited for too long, where the stage takes the newest: what is older would wait as well, one after the
    /// other.
    expired: Newest<'a>,
}

impl<'a> Moving<'a> {
    pub(super) fn of(looked: &Looked<'a>) -> Self {
        let mut moving = Self::before(looked.snapshot);
        // In a queue each freight has its turn, and what failed had it.
        let queues = looked.snapshot.stage.spec.choose == Choose::Queue;
        let mut ended = looked.snapshot.ended.values();
        if !queues && ended.any(|ended| !ended.beside.is_empty()) {
            moving.fresh = fresh(looked, &moving);
        }
        moving
    }

    /// As long as it is not known what is chosen.
    fn before(snapshot: &'a StageSnapshot) -> Self {
        let running = snapshot.running.iter();
        let running = running.flat_map(|running| running.promotion.promoted().map(|(of, _)| of));
        let warehouses: BTreeSet<&WarehouseName> = snapshot.current.keys().chain(running).collect();
        let mut newest = BTreeMap::new();
        for facts in snapshot.freight.iter().rev() {
            if newest.len() == warehouses.len() {
                break;
            }
            let Freight { id, warehouse, sequence, .. } = &facts.freight;
            let there = snapshot.current.get(warehouse) == Some(id);
            let coming = || snapshot.running.iter().any(|run| run.promotion.brings(id));
            if there || coming() {
                newest.entry(warehouse).or_insert(*sequence);
            }
        }
        Self { moving: newest, fresh: Newest::new(), expired: expired(snapshot) }
    }

    pub(super) fn is_newer_than(&self, facts: &FreightFacts) -> bool {
        is_older(facts, &self.moving)
    }

    /// Whether newer freight of its warehouse waited for too long.
    pub(super) fn is_behind_expired(&self, facts: &FreightFacts) -> bool {
        is_older(facts, &self.expired)
    }

    /// Whether the freight failed together with other freight, and nothing newer took the place of any of that.
    pub(in crate::plan) fn is_tied(&self, snapshot: &StageSnapshot, facts: &FreightFacts) -> bool {
        let ended = snapshot.ended.get(&facts.freight.id);
        ended.is_some_and(|ended| is_over(ended.ending) && !self.is_untied(snapshot, ended))
    }

    /// Whether newer freight takes the place of some that came to the stage with it.
    pub(super) fn is_untied(&self, snapshot: &StageSnapshot, ended: &Ended) -> bool {
        ended.beside.iter().any(|(warehouse, id)| {
            let known = snapshot.freight.iter().find(|facts| facts.freight.id == *id);
            // What is not known any more is older than all that is.
            let sequence = known.map_or(i64::MIN, |facts| facts.freight.sequence);
            self.fresh.get(warehouse).is_some_and(|newest| *newest > sequence)
        })
    }
}

/// What is in the stage, or would come there if nothing had ever failed together.
fn fresh<'a>(looked: &Looked<'a>, moving: &Moving<'a>) -> Newest<'a> {
    let snapshot = looked.snapshot;
    let mut newest = together::still_coming(looked);
    let there = snapshot.freight.iter().map(|facts| &facts.freight);
    let there =
        there.filter(|freight| snapshot.current.get(&freight.warehouse) == Some(&freight.id));
    let mut unsaid = StagePlan { acts: Vec::new(), waiting: Vec::new(), wake_at: None };
    let requests = snapshot.stage.spec.requests.iter();
    let chosen = requests.filter_map(|it| choose(looked, moving, &it.warehouse, &mut unsaid));
    for freight in chosen.map(|facts| &facts.freight).chain(there) {
        let known = newest.entry(&freight.warehouse).or_insert(freight.sequence);
        *known = freight.sequence.max(*known);
    }
    newest
}

/// Whether a promotion that ended so is not made again by automation.
pub(super) fn is_over(ending: Ending) -> bool {
    match ending {
        Ending::Failed
        | Ending::RolledBack
        | Ending::Stuck
        | Ending::Aborted
        | Ending::Expired
        | Ending::Inconclusive => true,
        Ending::Succeeded | Ending::Superseded | Ending::Rehearsed => false,
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
    let expired = |ended: &Ended| ended.ending == Ending::Expired;
    let some = snapshot.ended.values().any(expired);
    if !some || stage.choose == Choose::Queue {
        return newest;
    }
    for facts in snapshot.freight.iter().rev() {
        let expired = snapshot.ended.get(&facts.freight.id).is_some_and(expired);
        if expired && (stage.choose != Choose::MatchUpstream || in_upstream(stage, facts)) {
            newest.entry(&facts.freight.warehouse).or_insert(facts.freight.sequence);
        }
    }
    newest
}
