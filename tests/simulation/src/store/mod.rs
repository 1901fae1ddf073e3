//! What survives a crash: the store in memory, with the guards of the real one.
//!
//! ```text
//! wakeups       keys, leases, epochs
//! project       what a project holds: definitions, freight, stages, promotions, its revision
//! snapshot      what a decision may look at, lent and taken back instead of copied
//! append        the log: fence, position, revision, slot, consequences
//! create        promotions, freight
//! definitions   stages, policies, warehouses, and whom their change wakes
//! ```
//!
//! A method is one transaction. It refuses in the same cases as the method of the same name of
//! `reconciler-store`, with the same errors, and wakes the same keys.

mod append;
mod create;
mod definitions;
mod project;
mod snapshot;
mod wakeups;

use std::collections::BTreeMap;

use jiff::Timestamp;
use reconciler_domain::id::{FreightId, ProjectName, PromotionId, StageName, WarehouseName};
use reconciler_store::WakeKey;

pub(crate) use append::Appended;
pub(crate) use definitions::Edit;
pub(crate) use project::{Project, Saga};
pub(crate) use snapshot::Seen;
pub(crate) use wakeups::Wakeups;

use crate::bug::Bug;

#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) projects: BTreeMap<ProjectName, Project>,
    pub(crate) wakeups: Wakeups,
    bug: Option<Bug>,
}

impl Store {
    pub(crate) fn with(bug: Option<Bug>) -> Self {
        Self { projects: BTreeMap::new(), wakeups: Wakeups::with(bug), bug }
    }

    pub(crate) fn project(&self, name: &ProjectName) -> &Project {
        &self.projects[name]
    }

    /// A promotion that is not over.
    pub(crate) fn saga(&self, project: &ProjectName, id: &PromotionId) -> Option<&Saga> {
        self.projects.get(project)?.promotions.get(id)
    }

    /// How much newer each freight that a promotion brings is than what it would replace, in the order of making.
    pub(crate) fn steps_on(&self, project: &ProjectName, id: &PromotionId) -> Vec<i64> {
        let Some(found) = self.projects.get(project) else { return Vec::new() };
        let Some(saga) = found.promotions.get(id) else { return Vec::new() };
        let there = found.stages.get(&saga.promotion.stage).map(|record| &record.current);
        let sequence = |id: &FreightId| found.facts(id).map(|facts| facts.freight.sequence);
        let brought = saga.promotion.promoted();
        let steps = brought.filter_map(|(warehouse, id)| {
            let replaced = there.and_then(|there| there.get(warehouse)).and_then(sequence);
            Some(sequence(id)? - replaced.unwrap_or(0))
        });
        steps.collect()
    }

    fn wake_stage(&mut self, project: &ProjectName, stage: &StageName, at: Timestamp) {
        self.wakeups.wake(WakeKey::Stage(project.clone(), stage.clone()), at);
        let running = self.projects[project].stages.get(stage).map(|record| &record.running);
        for id in running.into_iter().flatten() {
            self.wakeups.wake(WakeKey::Promotion(project.clone(), id.clone()), at);
        }
    }

    /// Wakes the stages that name this stage as an upstream.
    fn wake_downstream(&mut self, project: &ProjectName, stage: &StageName, at: Timestamp) {
        let stages = &self.projects[project].definitions.stages;
        let downstream = stages.values().filter(|other| other.spec.upstreams().contains(&stage));
        let names: Vec<StageName> = downstream.map(|other| other.spec.name.clone()).collect();
        for name in names {
            self.wake_stage(project, &name, at);
        }
    }

    /// Wakes the stages that request freight of this warehouse.
    fn wake_requesting(&mut self, project: &ProjectName, warehouse: &WarehouseName, at: Timestamp) {
        let stages = &self.projects[project].definitions.stages;
        let users = stages.values().filter(|stage| stage.spec.request(warehouse).is_some());
        let names: Vec<StageName> = users.map(|stage| stage.spec.name.clone()).collect();
        for name in names {
            self.wake_stage(project, &name, at);
        }
    }
}
