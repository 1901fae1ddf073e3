//! Promotions of freight of several warehouses: what may go together does, and what failed together is not tried
//! again as it was.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use reconciler_domain::freight::FreightFacts;
use reconciler_domain::id::{FreightId, Principal, ProjectName, StageName};
use reconciler_domain::plan::{StageAct, StagePlan, candidates};
use reconciler_domain::policy::Joined;
use reconciler_domain::promotion::{Ending, Promotion};
use reconciler_domain::snapshot::{PromotionSnapshot, RunningPromotion, StageSnapshot};
use reconciler_domain::stage::Choose;

use crate::store::Saga;

fn known<'a>(snapshot: &'a StageSnapshot, id: &FreightId) -> Option<&'a FreightFacts> {
    snapshot.freight.iter().map(AsRef::as_ref).find(|facts| facts.freight.id == *id)
}

/// What each act of a plan promotes.
fn brought(plan: &StagePlan) -> impl Iterator<Item = BTreeSet<&FreightId>> {
    plan.acts.iter().filter_map(|act| match act {
        StageAct::Promote { freight, along, .. } => {
            Some(std::iter::once(freight).chain(along.values()).collect())
        }
        StageAct::Pass { .. } => None,
    })
}

/// Automation never brings what is older than what is there, or that itself.
pub(super) fn goes_back(snapshot: &StageSnapshot, plan: &StagePlan) -> Option<String> {
    let older = |id: &&FreightId| {
        let Some(wanted) = known(snapshot, id) else { return false };
        let there = snapshot.current.get(&wanted.freight.warehouse);
        let there = there.and_then(|there| known(snapshot, there));
        there.is_some_and(|there| there.freight.sequence >= wanted.freight.sequence)
    };
    let back = brought(plan).flatten().find(older)?;
    Some(format!("automation goes back to {back} in stage {}", snapshot.stage.spec.name))
}

/// Two promotions of automation that have not committed, of freight that may go, are one. No policy of the
/// simulation has conditions, and nothing is held: freight may go that is available.
pub(super) fn apart(snapshot: &StageSnapshot, plan: &StagePlan, now: Timestamp) -> Option<String> {
    if !plan.acts.is_empty() || plan.waiting.iter().any(stops_automation) {
        return None;
    }
    let joined = Joined::of(&snapshot.policies, &snapshot.stage.spec.name);
    let found = candidates(snapshot, &joined, now);
    let may_go = |id: &FreightId| {
        found.iter().any(|it| it.freight == *id && it.availability.is_available())
            && !snapshot.current.values().any(|there| there == id)
    };
    let open = |running: &&RunningPromotion| {
        running.promotion.requester == Principal::Automation
            && !running.phase.holds_slot()
            && running.promotion.promoted().any(|(_, id)| may_go(id))
    };
    let open: Vec<String> =
        snapshot.running.iter().filter(open).map(|it| it.promotion.id.to_string()).collect();
    (open.len() > 1).then(|| format!("{} wait apart", open.join(" and ")))
}

/// Whether automation does nothing for the stage as a whole, and so does not join what waits.
fn stops_automation(waiting: &reconciler_domain::plan::Waiting) -> bool {
    matches!(waiting.reason, "Manual" | "Held" | "Settling")
}

/// Freight that the promotion is to bring and that is not in what it was prepared with.
pub(super) fn left_out(snapshot: &PromotionSnapshot) -> Option<String> {
    let frozen = snapshot.state.frozen.as_ref()?;
    let mut promoted = snapshot.promotion.promoted();
    let missing = promoted.find(|(warehouse, id)| {
        frozen.collection.get(*warehouse).is_none_or(|freight| freight.id != **id)
    });
    missing.map(|(_, id)| id.to_string())
}

/// How the last promotion of each freight ended, told from the ends themselves.
#[derive(Debug, Default)]
pub(super) struct Combinations {
    last: BTreeMap<(ProjectName, StageName, FreightId), (u64, Option<Promotion>)>,
}

impl Combinations {
    pub(super) fn over(&mut self, project: &ProjectName, saga: &Saga) {
        let promotion = &saga.promotion;
        let ending = saga.state.finish.as_ref().map(|(_, finish)| finish.ending);
        let failed = match ending {
            Some(
                Ending::Failed
                | Ending::RolledBack
                | Ending::Stuck
                | Ending::Aborted
                | Ending::Expired
                | Ending::Inconclusive,
            ) => Some(promotion.clone()),
            Some(Ending::Succeeded | Ending::Superseded | Ending::Rehearsed) | None => None,
        };
        for (_, freight) in promotion.promoted() {
            let place = (project.clone(), promotion.stage.clone(), freight.clone());
            let last = self.last.entry(place).or_default();
            if promotion.id.number() >= last.0 {
                *last = (promotion.id.number(), failed.clone());
            }
        }
    }

    /// Freight whose last promotion failed comes again with newer freight in place of what it failed with, or beside
    /// such; in a queue never.
    pub(super) fn again(&self, snapshot: &StageSnapshot, plan: &StagePlan) -> Option<String> {
        let stage = &snapshot.stage.spec;
        for act in brought(plan) {
            for id in &act {
                let place = (snapshot.project.clone(), stage.name.clone(), (*id).clone());
                let Some((_, Some(failed))) = self.last.get(&place) else { continue };
                let others = failed.promoted().filter(|(_, other)| other != id);
                let newer = |(warehouse, other): (_, &FreightId)| {
                    let there = snapshot.current.get(warehouse);
                    let coming = act.iter().copied().chain(there);
                    let coming = coming.filter_map(|id| known(snapshot, id));
                    let mut of_it = coming.filter(|it| it.freight.warehouse == *warehouse);
                    let sequence =
                        known(snapshot, other).map_or(i64::MIN, |it| it.freight.sequence);
                    of_it.any(|it| it.freight.sequence > sequence)
                };
                if stage.choose == Choose::Queue || !{ others }.any(newer) {
                    let (id, failed) = (id.short(), &failed.id);
                    return Some(format!("{id} comes to {} again as in {failed}", stage.name));
                }
            }
        }
        None
    }
}
