//! Promotions and freight, made.

use std::sync::Arc;

use indexmap::IndexMap;
use jiff::Timestamp;
use reconciler_domain::artifact::Artifact;
use reconciler_domain::freight::{Freight, FreightFacts};
use reconciler_domain::hold::AutomaticHold;
use reconciler_domain::id::{
    FreightId, ProjectName, PromotionId, StageName, SubscriptionName, WarehouseName,
};
use reconciler_domain::promotion::{Event, Phase, Promotion, State};
use reconciler_domain::warehouse::Discovery;
use reconciler_store::{CreatePromotionError, NewPromotion, WakeKey};

use super::project::Saga;
use super::{Project, Store};
use crate::bug::Bug;

/// A promotion that was made, and those that it ended.
#[derive(Debug)]
pub(crate) struct Created {
    pub(crate) promotion: Promotion,
    pub(crate) superseded: Vec<Saga>,
}

impl Store {
    /// Makes a promotion, ends those that it supersedes, and puts or lifts a hold, at once.
    pub(crate) fn create_promotion(
        &mut self,
        project: &ProjectName,
        new: &NewPromotion,
        now: Timestamp,
    ) -> Result<Created, CreatePromotionError> {
        let found = self.projects.get_mut(project).expect("only known projects are worked on");
        check(found, new)?;
        let record = found.stages.entry(new.stage.clone()).or_default();
        record.last_number += 1;
        let promotion = Promotion {
            id: PromotionId::new(&new.stage, record.last_number),
            stage: new.stage.clone(),
            freight: new.freight.clone(),
            warehouse: new.warehouse.clone(),
            along: new.along.clone(),
            requester: new.requester.clone(),
            groups: new.groups.clone(),
            reason: new.reason.clone(),
            vars: new.vars.clone(),
            bypass: new.bypass.clone(),
            rollback: new.rollback,
            rehearsal: new.rehearsal,
            created_at: now,
        };
        let mut superseded = Vec::new();
        if self.bug != Some(Bug::NothingSuperseded) {
            for id in &new.supersedes {
                superseded.push(self.supersede(project, id, &promotion));
            }
        }
        self.insert(project, new, promotion.clone(), now);
        self.wakeups.wake(WakeKey::Promotion(project.clone(), promotion.id.clone()), now);
        self.wakeups.wake(WakeKey::Stage(project.clone(), new.stage.clone()), now);
        Ok(Created { promotion, superseded })
    }

    fn supersede(&mut self, project: &ProjectName, id: &PromotionId, by: &Promotion) -> Saga {
        let superseded = &self.saga(project, id).expect("checked to be there").promotion;
        let event = Event::Finished(superseded.superseded_by(by));
        let appended = self.add(project, id, event, false, by.created_at);
        let over = appended.expect("checked to be before its commit").over;
        *over.expect("this ends it")
    }

    fn insert(
        &mut self,
        project: &ProjectName,
        new: &NewPromotion,
        promotion: Promotion,
        now: Timestamp,
    ) {
        let found = self.projects.get_mut(project).expect("looked up before");
        let record = found.stages.get_mut(&new.stage).expect("made before");
        record.running.push(promotion.id.clone());
        if let Some(reason) = &new.hold {
            let (reason, by) = (reason.clone(), new.requester.clone());
            record.hold = Some(AutomaticHold { reason, by, at: now });
        } else if new.release_hold {
            record.hold = None;
        }
        let id = promotion.id.clone();
        let saga = Saga { promotion, log: Vec::new(), state: State::default() };
        found.promotions.insert(id, saga);
        found.revision += 1;
    }

    /// Makes freight and wakes the stages that request it; whether it did not exist.
    pub(crate) fn create_freight(
        &mut self,
        project: &ProjectName,
        warehouse: &WarehouseName,
        id: &FreightId,
        artifacts: &IndexMap<SubscriptionName, Artifact>,
        now: Timestamp,
    ) -> bool {
        let found = self.projects.get_mut(project).expect("only known projects are worked on");
        if found.places.contains_key(id) {
            return false;
        }
        found.sequence += 1;
        let mut facts = FreightFacts::new(Freight {
            id: id.clone(),
            warehouse: warehouse.clone(),
            artifacts: artifacts.clone(),
            created_at: now,
            sequence: found.sequence,
        });
        facts.passed_on = found.passed_on(warehouse);
        let shelf = found.warehouses.entry(warehouse.clone()).or_default();
        found.places.insert(id.clone(), (warehouse.clone(), shelf.freight.len()));
        shelf.freight.push(Arc::new(facts));
        shelf.ids.insert(id.clone());
        found.revision += 1;
        self.wake_requesting(project, warehouse, now);
        true
    }

    /// Notes that a stage without steps vouches for freight.
    pub(crate) fn mark_verified(
        &mut self,
        project: &ProjectName,
        freight: &FreightId,
        stage: &StageName,
        now: Timestamp,
    ) -> bool {
        let found = self.projects.get_mut(project).expect("only known projects are worked on");
        let is_new = found.vouch(freight, stage, now);
        if is_new {
            found.revision += 1;
            self.wake_downstream(project, stage, now);
        }
        is_new
    }

    /// Opens a stage for freight past its upstream.
    pub(crate) fn approve_freight(
        &mut self,
        project: &ProjectName,
        freight: &FreightId,
        stage: &StageName,
        now: Timestamp,
    ) {
        let found = self.projects.get_mut(project).expect("only known projects are worked on");
        let Some(facts) = found.facts_mut(freight) else { return };
        if facts.approved_for.contains_key(stage) {
            return;
        }
        facts.approved_for.insert(stage.clone(), now);
        found.revision += 1;
        self.wake_stage(project, stage, now);
    }

    /// Keeps what a look at a source found; whether it was at the present definition.
    pub(crate) fn record_discovery(
        &mut self,
        project: &ProjectName,
        warehouse: &WarehouseName,
        subscription: &SubscriptionName,
        generation: u64,
        found: Discovery,
    ) -> bool {
        let project = self.projects.get_mut(project).expect("only known projects are worked on");
        let defined = project.definitions.warehouses.get(warehouse);
        if defined.is_none_or(|defined| defined.generation != generation) {
            return false;
        }
        let of_warehouse = project.discovered.entry(warehouse.clone()).or_default();
        of_warehouse.insert(subscription.clone(), found);
        true
    }
}

fn check(found: &Project, new: &NewPromotion) -> Result<(), CreatePromotionError> {
    if new.revision.is_some_and(|meant| meant != found.revision) {
        return Err(CreatePromotionError::Moved { revision: found.revision });
    }
    if !found.definitions.stages.contains_key(&new.stage) {
        return Err(CreatePromotionError::NoStage { stage: new.stage.clone() });
    }
    for (wanted, freight) in std::iter::once((&new.warehouse, &new.freight)).chain(&new.along) {
        let of_warehouse = found.places.get(freight).map(|(warehouse, _)| warehouse);
        if of_warehouse != Some(wanted) {
            return Err(CreatePromotionError::NoFreight { freight: freight.clone() });
        }
    }
    for id in &new.supersedes {
        let phase = found.promotions.get(id).map(|saga| saga.state.phase());
        match phase {
            Some(Phase::Preparing | Phase::Waiting) => {}
            other => {
                let phase = other.map_or("not there", Phase::label);
                return Err(CreatePromotionError::TooLate { promotion: id.clone(), phase });
            }
        }
    }
    Ok(())
}
