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
    let policies = &definitions.policies;
    let question = Question { freight: &freight, until: &until, stages: &stages, policies };
    Ok(Json(convert::forecast(&forecast(&question, server.clock.now()), &until)))
}
