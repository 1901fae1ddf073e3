//! When freight can be in a stage at the earliest.

use axum::extract::{Path, State};
use reconciler_api::problem::Problem;
use reconciler_api::v1::{self, ForecastQuery, Kind};
use reconciler_domain::forecast::{Question, before, forecast};
use reconciler_domain::id::{ProjectName, StageName};

use super::Server;
use super::answer::{Answer, Json, Parameters, name};
use super::definitions::definitions;
use super::freight::find;
use crate::convert;

pub(super) async fn forecast_stage(
    State(server): State<Server>,
    Path((project, wanted)): Path<(String, String)>,
    Parameters(query): Parameters<ForecastQuery>,
) -> Answer<Json<v1::Forecast>> {
    let (project, until): (ProjectName, StageName) = (name(&project)?, name(&wanted)?);
    let definitions = definitions(&server, &project).await?;
    if !definitions.stages.contains_key(&until) {
        let id = format!("{project}/{until}");
        return Err(Problem::not_found(Kind::Stage.as_str(), &id).into());
    }
    let freight = find(&server, &project, &query.freight).await?;
    let wanted = before(&definitions, &until);
    let stages = server.store.stage_snapshots(&project, &wanted).await?.value;
    let now = server.clock.now();
    // Windows of many stages may take a while to look through.
    let told = tokio::task::spawn_blocking(move || {
        let policies = &definitions.policies;
        let question = Question { freight: &freight, until: &until, stages: &stages, policies };
        convert::forecast(&forecast(&question, now), &until)
    });
    let told = told.await.map_err(|_| Problem::internal())?;
    Ok(Json(told))
}
