//! Freight: listing, reading, approving past its upstream.

use axum::Extension;
use axum::extract::{Path, State};
use reconciler_api::problem::{Problem, ProblemCode};
use reconciler_api::v1::{self, FreightApproval, FreightQuery, Page};
use reconciler_domain::freight::FreightFacts;
use reconciler_domain::id::{ProjectName, StageName, WarehouseName};
use reconciler_domain::plan::candidates;
use reconciler_domain::policy::Joined;
use reconciler_store::{FindFreightError, FreightError};

use super::Server;
use super::answer::{Answer, Json, Parameters, Refusal, name, page};
use super::auth::Caller;
use super::definitions::definitions;
use crate::convert;

pub(super) async fn list(
    State(server): State<Server>,
    Path(project): Path<String>,
    Parameters(query): Parameters<FreightQuery>,
) -> Answer<Json<Page<v1::Freight>>> {
    let project: ProjectName = name(&project)?;
    definitions(&server, &project).await?;
    let warehouse: Option<WarehouseName> = query.warehouse.as_deref().map(name).transpose()?;
    if let Some(stage) = &query.stage {
        let stage = name(stage)?;
        let items = available(&server, &project, &stage, warehouse.as_ref()).await?;
        return Ok(Json(Page { items, next: None }));
    }
    let wanted = page(query.limit, query.page.as_deref())?;
    let found = server.store.list_freight(&project, warehouse.as_ref(), wanted).await?;
    Ok(Json(Page {
        items: found.items.iter().map(|facts| convert::freight(&project, facts)).collect(),
        next: found.next.map(|next| next.to_string()),
    }))
}

/// Freight that is available to a stage, newest first.
async fn available(
    server: &Server,
    project: &ProjectName,
    stage: &StageName,
    warehouse: Option<&WarehouseName>,
) -> Answer<Vec<v1::Freight>> {
    let Some(snapshot) = server.store.stage_snapshot(project, stage).await? else {
        return Err(Problem::not_found("stage", &format!("{project}/{stage}")).into());
    };
    let snapshot = snapshot.value;
    let joined = Joined::of(&snapshot.policies, stage);
    let open = candidates(&snapshot, &joined, server.clock.now());
    Ok(open
        .iter()
        .filter(|candidate| candidate.availability.is_available())
        .filter(|candidate| warehouse.is_none_or(|warehouse| candidate.warehouse == *warehouse))
        .filter_map(|candidate| {
            let facts = snapshot.freight.iter().find(|f| f.freight.id == candidate.freight)?;
            Some(convert::freight(project, facts))
        })
        .collect())
}

pub(super) async fn read(
    State(server): State<Server>,
    Path((project, wanted)): Path<(String, String)>,
) -> Answer<Json<v1::Freight>> {
    let project: ProjectName = name(&project)?;
    let facts = find(&server, &project, &wanted).await?;
    Ok(Json(convert::freight(&project, &facts)))
}

pub(super) async fn approve(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((project, wanted)): Path<(String, String)>,
    Json(approval): Json<FreightApproval>,
) -> Answer<Json<v1::Freight>> {
    let project: ProjectName = name(&project)?;
    let stage: StageName = name(&approval.stage)?;
    if approval.reason.trim().is_empty() {
        let detail = "opening a stage past its upstream needs a reason";
        return Err(Problem::new(ProblemCode::Invalid, detail).into());
    }
    let facts = find(&server, &project, &wanted).await?;
    let id = facts.freight.id;
    let (by, now) = (caller.principal(), server.clock.now());
    let approved =
        server.store.approve_freight(&project, &id, &stage, &by, &approval.reason, now).await;
    match approved {
        Ok(()) => {}
        Err(FreightError::NoStage { .. }) => {
            return Err(Problem::not_found("stage", &format!("{project}/{stage}")).into());
        }
        Err(FreightError::NoFreight { .. }) => {
            return Err(Problem::not_found("freight", id.as_str()).into());
        }
        Err(FreightError::Store(error)) => return Err(error.into()),
    }
    let facts = find(&server, &project, id.as_str()).await?;
    Ok(Json(convert::freight(&project, &facts)))
}

/// Freight by its id or a unique beginning of it.
pub(super) async fn find(
    server: &Server,
    project: &ProjectName,
    wanted: &str,
) -> Answer<FreightFacts> {
    let found = server.store.find_freight(project, wanted).await;
    found.map_err(|error| match error {
        FindFreightError::NotFound { .. } => Refusal::from(Problem::not_found("freight", wanted)),
        FindFreightError::TooShort { .. } => Problem::malformed(error.to_string()).into(),
        FindFreightError::Ambiguous { ids, .. } => {
            let ids = ids.iter().map(ToString::to_string).collect();
            Problem::ambiguous_freight(wanted, ids).into()
        }
        FindFreightError::Store(error) => error.into(),
    })
}
