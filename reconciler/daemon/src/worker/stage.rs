//! Carries out what was decided about a stage.

use std::collections::BTreeSet;

use jiff::Timestamp;
use reconciler_domain::id::{Principal, ProjectName, StageName};
use reconciler_domain::plan::{self, StageAct};
use reconciler_domain::snapshot::StageSnapshot;
use reconciler_store::{CreatePromotionError, NewPromotion, Snapshot};

use super::{WorkError, Worker};

impl Worker {
    /// Starts promotions and passes freight on until nothing is left to do.
    pub(super) async fn stage(
        &self,
        project: &ProjectName,
        name: &StageName,
    ) -> Result<Option<Timestamp>, WorkError> {
        loop {
            let Some(snapshot) = self.store.stage_snapshot(project, name).await? else {
                return Ok(None);
            };
            let plan = plan::stage(&snapshot.value, self.clock.now());
            if plan.acts.is_empty() {
                return Ok(plan.wake_at);
            }
            for act in plan.acts {
                if !self.stage_act(&snapshot, act).await? {
                    break;
                }
            }
        }
    }

    /// Whether the snapshot is still good for the next act.
    async fn stage_act(
        &self,
        snapshot: &Snapshot<StageSnapshot>,
        act: StageAct,
    ) -> Result<bool, WorkError> {
        let (project, stage) = (&snapshot.value.project, &snapshot.value.stage.spec.name);
        let now = self.clock.now();
        match act {
            StageAct::Pass { freight } => {
                let passed = self.store.mark_verified(project, &freight, stage, now).await;
                passed.map_err(|error| WorkError::Unusable(error.to_string()))?;
                Ok(true)
            }
            StageAct::Promote { freight, along, supersedes } => {
                let facts = snapshot.value.freight.iter().find(|f| f.freight.id == freight);
                let Some(facts) = facts else {
                    return Err(WorkError::Unusable(format!("freight {freight} is not known")));
                };
                let new = NewPromotion {
                    stage: stage.clone(),
                    warehouse: facts.freight.warehouse.clone(),
                    freight,
                    along,
                    requester: Principal::Automation,
                    groups: BTreeSet::new(),
                    reason: None,
                    vars: [].into(),
                    bypass: None,
                    rollback: false,
                    rehearsal: false,
                    supersedes,
                    hold: None,
                    release_hold: false,
                    revision: Some(snapshot.revision),
                };
                match self.store.create_promotion(project, &new, now).await {
                    Ok(promotion) => {
                        tracing::info!(promotion = %promotion.id, "promotion started");
                        Ok(false)
                    }
                    // The world moved since the snapshot: look again.
                    Err(
                        CreatePromotionError::Moved { .. } | CreatePromotionError::TooLate { .. },
                    ) => Ok(false),
                    Err(error) => Err(WorkError::Unusable(error.to_string())),
                }
            }
        }
    }
}
