//! What differs in the infra of stages, and looking now.

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use reconciler_api::problem::{Problem, ProblemCode};
use reconciler_api::v1::{Kind, StageDrift};
use reconciler_domain::drift::DriftSnapshot;
use reconciler_domain::id::{ProjectName, StageName};
use reconciler_store::AskLookError;

use super::Server;
use super::answer::{Answer, Json, name};
use super::auth::Caller;
use super::definitions::definitions;
use crate::convert::stage_drift;

pub(super) async fn list(
    State(server): State<Server>,
    Path(project): Path<String>,
) -> Answer<Json<Vec<StageDrift>>> {
    let project: ProjectName = name(&project)?;
    let mut found = Vec::new();
    for (stage, defined) in &definitions(&server, &project).await?.stages {
        if defined.spec.is_control_flow() {
            continue;
        }
        let snapshot = server.store.drift_snapshot(&project, stage).await?;
        found.extend(snapshot.as_ref().map(stage_drift));
    }
    Ok(Json(found))
}

pub(super) async fn read(
    State(server): State<Server>,
    Path((project, wanted)): Path<(String, String)>,
) -> Answer<Json<StageDrift>> {
    let (project, stage): (ProjectName, StageName) = (name(&project)?, name(&wanted)?);
    Ok(Json(stage_drift(&snapshot(&server, &project, &stage).await?)))
}

/// Has the infra of a stage looked at now, whether or not it is looked at by itself.
pub(super) async fn look(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((project, wanted)): Path<(String, String)>,
) -> Answer<(StatusCode, Json<StageDrift>)> {
    let (project, stage): (ProjectName, StageName) = (name(&project)?, name(&wanted)?);
    if snapshot(&server, &project, &stage).await?.bases.is_empty() {
        let detail = format!(
            "no promotion has applied infra to stage {stage}, so there is nothing to look at"
        );
        return Err(Problem::new(ProblemCode::WrongPhase, detail).into());
    }
    let (by, now) = (caller.principal(), server.clock.now());
    match server.store.ask_look(&project, &stage, &by, now).await {
        Ok(()) => {
            let asked = snapshot(&server, &project, &stage).await?;
            Ok((StatusCode::ACCEPTED, Json(stage_drift(&asked))))
        }
        Err(AskLookError::NotFound { .. }) => Err(missing(&project, &stage).into()),
        Err(AskLookError::Store(error)) => Err(error.into()),
    }
}

async fn snapshot(
    server: &Server,
    project: &ProjectName,
    stage: &StageName,
) -> Answer<DriftSnapshot> {
    let found = server.store.drift_snapshot(project, stage).await?;
    found.ok_or_else(|| missing(project, stage).into())
}

fn missing(project: &ProjectName, stage: &StageName) -> Problem {
    Problem::not_found(Kind::Stage.as_str(), &format!("{project}/{stage}"))
}
