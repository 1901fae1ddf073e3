//! What decisions look at. A snapshot is lent: what it holds is shared with the project, or moved out of it for the
//! time of the look and moved back, so that a look costs the same however much there is.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::Arc;

use jiff::Timestamp;
use reconciler_domain::freight::{Freight, FreightFacts};
use reconciler_domain::id::{ProjectName, PromotionId, StageName, WarehouseName};
use reconciler_domain::policy::Policy;
use reconciler_domain::promotion::{Previous, Promotion};
use reconciler_domain::snapshot::{
    PromotionSnapshot, RunningPromotion, StageSnapshot, WarehouseSnapshot,
};
use reconciler_domain::stage::Stage;
use reconciler_domain::verification::Verification;

use super::Store;
use crate::bug::Bug;

use super::project::{Project, StageRecord, Succeeded};

/// Freight of one warehouse that a stage's decision looks at, besides what is there or moves.
const FREIGHT_MAX: usize = 100;

/// What a look gave, and what it was a look at.
#[derive(Debug)]
pub(crate) struct Seen<T> {
    /// The revision of the project.
    pub(crate) revision: u64,
    /// The last entry of the promotion's log; 0 for others.
    pub(crate) seq: u64,
    pub(crate) value: T,
}

impl Store {
    /// Looks at a warehouse; `None`: it is gone.
    pub(crate) fn look_at_warehouse<T>(
        &mut self,
        project: &ProjectName,
        name: &WarehouseName,
        look: impl FnOnce(&WarehouseSnapshot) -> T,
    ) -> Option<Seen<T>> {
        let found = self.projects.get_mut(project)?;
        let warehouse = found.definitions.warehouses.get(name)?.clone();
        let shelf = found.warehouses.entry(name.clone()).or_default();
        let snapshot = WarehouseSnapshot {
            project: project.clone(),
            warehouse,
            discovered: found.discovered.remove(name).unwrap_or_default(),
            refresh_asked_at: found.refresh_asked.get(name).copied(),
            freight: take(&mut shelf.ids),
        };
        let value = look(&snapshot);
        shelf.ids = snapshot.freight;
        found.discovered.insert(name.clone(), snapshot.discovered);
        Some(Seen { revision: found.revision, seq: 0, value })
    }

    /// Looks at a stage; `None`: it is gone.
    pub(crate) fn look_at_stage<T>(
        &mut self,
        project: &ProjectName,
        name: &StageName,
        look: impl FnOnce(&StageSnapshot) -> T,
    ) -> Option<Seen<T>> {
        let found = self.projects.get_mut(project)?;
        let freight = found.freight_for(name, &found.definitions.stages.get(name)?.spec);
        let definitions_changed_at = found.definitions_changed_at(name);
        let running = found.running(name);
        let stage = found.definitions.stages.remove(name)?;
        let record = found.stages.entry(name.clone()).or_default();
        let snapshot = StageSnapshot {
            project: project.clone(),
            stage,
            policies: take(&mut found.policies),
            definitions_changed_at,
            freight,
            current: take(&mut record.current),
            running,
            // Nobody in the simulation rehearses.
            rehearsals: 0,
            ended: take(&mut record.ended),
            automatic_hold: record.hold.clone(),
            holds: Vec::new(),
            freezes: Vec::new(),
            // No policy of the simulation has a rate.
            commits: Vec::new(),
        };
        let value = look(&snapshot);
        found.definitions.stages.insert(name.clone(), snapshot.stage);
        record.current = snapshot.current;
        record.ended = snapshot.ended;
        found.policies = snapshot.policies;
        Some(Seen { revision: found.revision, seq: 0, value })
    }

    /// Looks at a promotion; `None`: it is over, or never was.
    pub(crate) fn look_at_promotion<T>(
        &mut self,
        project: &ProjectName,
        id: &PromotionId,
        look: impl FnOnce(&PromotionSnapshot) -> T,
    ) -> Option<Seen<T>> {
        let found = self.projects.get_mut(project)?;
        let promotion = found.promotions.get(id)?.promotion.clone();
        let record = found.stages.get(&promotion.stage)?;
        let facts = found.facts(&promotion.freight)?.clone();
        let along = promotion.along.values().map(|id| found.facts(id).cloned());
        let mut along = along.collect::<Option<Vec<_>>>()?;
        if self.bug == Some(Bug::AlongForgotten) {
            along.clear();
        }
        let (slot, previous) = (record.slot.clone(), record.previous());
        let there = record.current.clone();
        let automatic_hold = record.hold.clone();
        let current = found.companions(&promotion, record);
        let stage = found.definitions.stages.get(&promotion.stage);
        let templates = found.templates(stage.map(|stage| &stage.spec));
        let saga = found.promotions.get_mut(id)?;
        let stage = found.definitions.stages.remove(&promotion.stage);
        let stage_metadata = found.noted.remove(&promotion.stage).unwrap_or_default();
        let policies_changed_at = found.policy_changes.get(&promotion.stage).copied();
        let seq = saga.last_seq();
        let snapshot = PromotionSnapshot {
            project: project.clone(),
            promotion,
            state: take(&mut saga.state),
            stage,
            policies: take(&mut found.definitions.policies),
            policies_changed_at,
            templates,
            // No stage of the simulation uses a task.
            tasks: Vec::new(),
            facts,
            along,
            current,
            there,
            previous,
            automatic_hold,
            holds: Vec::new(),
            freezes: Vec::new(),
            stage_metadata,
            aliases: take(&mut found.aliases),
            drift: None,
            // No policy of the simulation asks anybody.
            replies: BTreeMap::new(),
            slot,
            commits: Vec::new(),
        };
        let value = look(&snapshot);
        saga.state = snapshot.state;
        found.definitions.policies = snapshot.policies;
        found.aliases = snapshot.aliases;
        let name = snapshot.promotion.stage;
        if !snapshot.stage_metadata.is_empty() {
            found.noted.insert(name.clone(), snapshot.stage_metadata);
        }
        found.definitions.stages.extend(snapshot.stage.map(|stage| (name, stage)));
        Some(Seen { revision: found.revision, seq, value })
    }
}

impl Project {
    fn running(&self, stage: &StageName) -> Vec<RunningPromotion> {
        let ids = self.stages.get(stage).map(|record| record.running.as_slice());
        let sagas = ids.into_iter().flatten().filter_map(|id| self.promotions.get(id));
        sagas
            .map(|saga| RunningPromotion {
                promotion: saga.promotion.clone(),
                phase: saga.state.phase(),
            })
            .collect()
    }

    /// The newest freight of each requested warehouse, and what is in the stage or promoted to it; oldest first.
    fn freight_for(&self, name: &StageName, stage: &Stage) -> Vec<Arc<FreightFacts>> {
        let mut freight = Vec::with_capacity(FREIGHT_MAX);
        for request in &stage.requests {
            let Some(shelf) = self.warehouses.get(&request.warehouse) else { continue };
            let from = shelf.freight.len().saturating_sub(FREIGHT_MAX);
            freight.extend(shelf.freight[from..].iter().cloned());
        }
        let newest = freight.len();
        if let Some(record) = self.stages.get(name) {
            let running = record.running.iter().filter_map(|id| self.promotions.get(id));
            let coming = running.flat_map(|saga| saga.promotion.promoted().map(|(_, id)| id));
            let ids = record.current.values().chain(coming);
            for id in ids {
                let Some((warehouse, at)) = self.places.get(id) else { continue };
                let shelf = &self.warehouses[warehouse].freight;
                let is_new = stage.request(warehouse).is_some() && at + FREIGHT_MAX >= shelf.len();
                let is_there = is_new || freight[newest..].iter().any(|f| f.freight.id == *id);
                if !is_there {
                    freight.push(Arc::clone(&shelf[*at]));
                }
            }
        }
        if freight.len() > newest || stage.requests.len() > 1 {
            freight.sort_by_key(|facts| facts.freight.sequence);
        }
        freight
    }

    fn definitions_changed_at(&self, name: &StageName) -> Timestamp {
        let stage = &self.definitions.stages[name];
        let selecting = self.definitions.policies.iter().filter(|p| p.spec.selects(name));
        let mut latest = selecting.map(|p| p.changed_at).fold(stage.changed_at, Timestamp::max);
        latest = latest.max(self.policy_changes.get(name).copied().unwrap_or(latest));
        for request in &stage.spec.requests {
            let found = self.definitions.warehouses.get(&request.warehouse);
            latest = latest.max(found.map_or(latest, |warehouse| warehouse.changed_at));
        }
        for upstream in stage.spec.upstreams() {
            let found = self.definitions.stages.get(upstream);
            latest = latest.max(found.map_or(latest, |stage| stage.changed_at));
        }
        latest
    }

    fn templates(&self, stage: Option<&Stage>) -> Vec<Verification> {
        let used = stage.into_iter().flat_map(|stage| &stage.verifications);
        let mut names: Vec<_> = used.map(|used| &used.template).collect();
        names.sort();
        names.dedup();
        let found = names.into_iter().filter_map(|name| self.definitions.verifications.get(name));
        found.map(|template| template.spec.clone()).collect()
    }

    /// Freight that goes with the promoted one.
    fn companions(
        &self,
        promotion: &Promotion,
        record: &StageRecord,
    ) -> BTreeMap<WarehouseName, Freight> {
        let collection = record.succeeded.last().map(|last| &last.collection);
        let pairs = collection.into_iter().flatten();
        let mut current: BTreeMap<WarehouseName, Freight> =
            pairs.map(|(warehouse, freight)| (warehouse.clone(), freight.clone())).collect();
        for other in record.running.iter().rev().filter(|other| **other != promotion.id) {
            let Some(other) = self.promotions.get(other) else { continue };
            for (warehouse, id) in other.promotion.promoted() {
                if promotion.brings_of(warehouse) || current.contains_key(warehouse) {
                    continue;
                }
                let facts = self.facts(id);
                current.extend(facts.map(|facts| (warehouse.clone(), facts.freight.clone())));
            }
        }
        current
    }
}

impl StageRecord {
    /// How what is in the stage now is made again: from the last promotion that succeeded with freight that
    /// is still there.
    fn previous(&self) -> Option<Previous> {
        let last = self.succeeded.last()?;
        let is_there =
            |succeeded: &&Succeeded| self.current.values().any(|id| succeeded.brought.contains(id));
        let of_current = self.succeeded.iter().rev().find(is_there);
        let chosen = Some(last).filter(is_there).or(of_current)?;
        chosen.previous.clone()
    }
}

/// The policies as a stage's decision sees them.
pub(super) fn policies_of(project: &Project) -> Vec<Policy> {
    project.definitions.policy_specs()
}
