//! Infrastructure plans of promotions, in full.

use axum::extract::{Path, State};
use reconciler_api::problem::{Problem, ProblemCode};
use reconciler_api::v1::FullPlan;
use reconciler_domain::id::{ProjectName, StepName};
use reconciler_domain::promotion::State as Folded;
use reconciler_domain::step::PlanRecord;

use super::Server;
use super::answer::{Answer, Json, name, promotion_id};
use super::promotions::damaged;

pub(super) async fn read(
    State(server): State<Server>,
    Path((project, wanted, step)): Path<(String, String, String)>,
) -> Answer<Json<FullPlan>> {
    let (project, id): (ProjectName, _) = (name(&project)?, promotion_id(&wanted)?);
    let Some((_, log)) = server.store.promotion(&project, &id).await? else {
        return Err(Problem::not_found("promotion", &format!("{project}/{id}")).into());
    };
    let state = Folded::fold(&log).map_err(|error| damaged(&id, &error))?;
    let not_found = || Problem::not_found("plan", &format!("{project}/{id}/{step}"));
    let step: StepName = step.parse().map_err(|_| not_found())?;
    let plan = state.plan_of(&step).ok_or_else(not_found)?;
    Ok(Json(full(&step, plan).map_err(|error| {
        Problem::new(ProblemCode::Internal, format!("the plan of step {step} is damaged: {error}"))
    })?))
}

fn full(step: &StepName, plan: &PlanRecord) -> Result<FullPlan, serde_json::Error> {
    let text = plan.text.as_ref();
    Ok(FullPlan {
        step: step.to_string(),
        dir: plan.call.dir.clone(),
        workspace: plan.call.options.workspace.clone(),
        digest: plan.semantic_digest.to_string(),
        text_bytes: text.map_or(0, |text| text.bytes),
        cut: text.is_some_and(reconciler_domain::step::PlanText::is_cut),
        text: text.map(|text| text.text.clone()),
        summary: serde_json::to_value(&plan.summary)?,
    })
}
