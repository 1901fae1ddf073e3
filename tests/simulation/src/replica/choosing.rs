//! The moves of stages and warehouses, in the order of the real worker.

use reconciler_domain::id::{Principal, ProjectName, StageName, SubscriptionName, WarehouseName};
use reconciler_domain::plan::{self, StageAct, WarehouseAct};
use reconciler_domain::warehouse::Discovery;
use reconciler_store::{CreatePromotionError, NewPromotion, WakeKey};

use super::JobId;
use super::flight::Ask;
use super::job::{Doing, End, Next};
use crate::agenda::Process;
use crate::world::World;

impl World {
    pub(super) fn stage_move(
        &mut self,
        replica: usize,
        project: &ProjectName,
        name: &StageName,
        doing: Doing,
    ) -> Next {
        let local = self.local(replica);
        let Doing::Stage { revision, mut acts } = doing else {
            let watch = &mut self.watch;
            let look = |snapshot: &_| {
                let plan = plan::stage(snapshot, local);
                watch.chosen(snapshot, &plan, local);
                plan
            };
            let Some(seen) = self.store.look_at_stage(project, name, look) else {
                return Next::Done(Ok(None));
            };
            let plan = seen.value;
            if plan.acts.is_empty() {
                return Next::Done(Ok(plan.wake_at));
            }
            return Next::Do(Doing::Stage { revision: seen.revision, acts: plan.acts.into() });
        };
        let Some(act) = acts.pop_front() else { return Next::Do(Doing::Look) };
        if self.fate.strikes(self.faults().store_refuses) {
            return Next::Done(Err(End::Failed("the disk is full".to_owned())));
        }
        match act {
            StageAct::Pass { freight } => {
                self.store.mark_verified(project, &freight, name, local);
                self.watch.changed();
                self.trace(|| format!("{project}: freight {} passes {name}", freight.short()));
                Next::Do(Doing::Stage { revision, acts })
            }
            StageAct::Promote { freight, along, supersedes } => {
                let facts = self.store.project(project).facts(&freight);
                let warehouse = facts.expect("it was looked at").freight.warehouse.clone();
                let new = NewPromotion {
                    stage: name.clone(),
                    warehouse,
                    freight,
                    along,
                    requester: Principal::Automation,
                    groups: [].into(),
                    reason: None,
                    vars: [].into(),
                    bypass: None,
                    rollback: false,
                    rehearsal: false,
                    supersedes,
                    hold: None,
                    release_hold: false,
                    revision: Some(revision),
                };
                match self.create_promotion(project, &new, local) {
                    Ok(())
                    | Err(
                        CreatePromotionError::Moved { .. } | CreatePromotionError::TooLate { .. },
                    ) => Next::Do(Doing::Look),
                    Err(error) => Next::Done(Err(End::Failed(error.to_string()))),
                }
            }
        }
    }

    pub(super) fn warehouse_move(
        &mut self,
        process: Process,
        id: JobId,
        project: &ProjectName,
        name: &WarehouseName,
        doing: Doing,
    ) -> Next {
        let local = self.local(process.replica);
        let Doing::Warehouse { generation, act } = doing else {
            let watch = &mut self.watch;
            let look = |snapshot: &_| {
                let plan = plan::warehouse(snapshot, local);
                watch.gathered(snapshot, &plan, local);
                (plan, snapshot.warehouse.generation)
            };
            let Some(seen) = self.store.look_at_warehouse(project, name, look) else {
                return Next::Done(Ok(None));
            };
            let (plan, generation) = seen.value;
            // The others are in the next look again.
            return match plan.acts.into_iter().next() {
                Some(act) => Next::Do(Doing::Warehouse { generation, act: Box::new(act) }),
                None => Next::Done(Ok(Some(plan.wake_at))),
            };
        };
        match *act {
            WarehouseAct::Discover { subscription, source } => {
                let found = &self.store.project(project).discovered;
                let before = found.get(name).and_then(|found| found.get(&subscription)).cloned();
                let before = Box::new(before.unwrap_or_default());
                let source = Box::new(source);
                let ask = Box::new(Ask::Discover { subscription, source, before });
                let key = WakeKey::Warehouse(project.clone(), name.clone());
                self.send(process, id, &key, &ask);
                Next::Wait(Doing::Wait { seq: generation, ask })
            }
            WarehouseAct::CreateFreight { id, artifacts } => {
                if self.fate.strikes(self.faults().store_refuses) {
                    return Next::Done(Err(End::Failed("the disk is full".to_owned())));
                }
                if self.store.create_freight(project, name, &id, &artifacts, local) {
                    self.watch.changed();
                    self.trace(|| format!("{project}: new freight {} of {name}", id.short()));
                }
                Next::Do(Doing::Look)
            }
        }
    }

    /// Keeps what a look at a source found. Redefined meanwhile: the next look is at the new source.
    pub(super) fn record_discovery(
        &mut self,
        key: &WakeKey,
        generation: u64,
        subscription: &SubscriptionName,
        found: Discovery,
    ) -> Next {
        let WakeKey::Warehouse(project, name) = key else {
            unreachable!("only warehouses look at sources")
        };
        self.store.record_discovery(project, name, subscription, generation, found);
        self.watch.changed();
        Next::Do(Doing::Look)
    }
}
