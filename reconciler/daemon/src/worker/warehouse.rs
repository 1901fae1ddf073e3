//! Carries out what was decided about a warehouse.

use futures::future::join_all;
use jiff::Timestamp;
use reconciler_domain::id::{ProjectName, WarehouseName};
use reconciler_domain::plan::{self, WarehouseAct};
use reconciler_domain::snapshot::WarehouseSnapshot;
use reconciler_store::RecordError;

use super::{WorkError, Worker};

impl Worker {
    /// Looks at sources and makes freight until nothing is due.
    pub(super) async fn warehouse(
        &self,
        project: &ProjectName,
        name: &WarehouseName,
    ) -> Result<Option<Timestamp>, WorkError> {
        loop {
            let Some(snapshot) = self.store.warehouse_snapshot(project, name).await? else {
                return Ok(None);
            };
            let plan = plan::warehouse(&snapshot.value, self.clock.now());
            if plan.acts.is_empty() {
                return Ok(Some(plan.wake_at));
            }
            let mut acts = Vec::new();
            for act in plan.acts {
                acts.push(self.warehouse_act(&snapshot.value, act));
            }
            for done in join_all(acts).await {
                done?;
            }
        }
    }

    async fn warehouse_act(
        &self,
        snapshot: &WarehouseSnapshot,
        act: WarehouseAct,
    ) -> Result<(), WorkError> {
        let (project, warehouse) = (&snapshot.project, &snapshot.warehouse.spec.name);
        match act {
            WarehouseAct::Discover { subscription, source } => {
                let before = snapshot.discovered.get(&subscription).cloned().unwrap_or_default();
                let found =
                    self.effects.discover(project, &source, &before, self.clock.now()).await;
                let generation = snapshot.warehouse.generation;
                let recorded = self
                    .store
                    .record_discovery(
                        project,
                        warehouse,
                        &subscription,
                        generation,
                        &found,
                        self.clock.now(),
                    )
                    .await;
                match recorded {
                    // Redefined meanwhile: the next look is at the new source.
                    Ok(()) | Err(RecordError::Stale { .. }) => Ok(()),
                    Err(RecordError::Store(error)) => Err(error.into()),
                }
            }
            WarehouseAct::CreateFreight { id, artifacts } => {
                let now = self.clock.now();
                let made =
                    self.store.create_freight(project, warehouse, &id, &artifacts, now).await;
                match made {
                    Ok(Some(freight)) => {
                        tracing::info!(freight = %freight.id, content = freight.summary(), "new freight");
                        Ok(())
                    }
                    Ok(None) => Ok(()),
                    Err(error) => Err(WorkError::Unusable(error.to_string())),
                }
            }
        }
    }
}
