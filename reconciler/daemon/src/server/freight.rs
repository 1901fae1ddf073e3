//! Freight: listing, reading, approving past its upstream.

use axum::Extension;
use axum::extract::{Path, State};
use reconciler_api::problem::{FieldProblem, Problem, ProblemCode};
use reconciler_api::v1::{self, FreightApproval, FreightQuery, Page};
use reconciler_domain::freight::{FreightFacts, FreightFilter};
use reconciler_domain::id::{ProjectName, StageName};
use reconciler_domain::plan::candidates;
use reconciler_domain::policy::Joined;
use reconciler_domain::snapshot::Definitions;
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
    let wanted = page(query.limit, query.page.as_deref())?;
    let filter = convert::freight_filter(&query).map_err(|problems| malformed(&problems))?;
    let definitions = definitions(&server, &project).await?;
    tell_unknown(&filter, &project, &definitions)?;
    if let Some(stage) = &query.stage {
        let mut items = available(&server, &project, &name(stage)?, &filter).await?;
        items.truncate(usize::try_from(wanted.limit).unwrap_or(usize::MAX));
        return Ok(Json(Page { items, next: None }));
    }
    let found = server.store.list_freight(&project, &filter, wanted).await?;
    Ok(Json(Page {
        items: found.items.iter().map(|facts| convert::freight(&project, facts)).collect(),
        next: found.next.map(|next| next.to_string()),
    }))
}

fn malformed(problems: &[FieldProblem]) -> Refusal {
    let lines: Vec<String> =
        problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
    Problem::malformed(lines.join("; ")).into()
}

/// A name that nothing has would only ever give an empty list.
fn tell_unknown(
    filter: &FreightFilter,
    project: &ProjectName,
    definitions: &Definitions,
) -> Answer<()> {
    if let Some(warehouse) = &filter.warehouse
        && !definitions.warehouses.contains_key(warehouse)
    {
        return Err(Problem::not_found("warehouse", &format!("{project}/{warehouse}")).into());
    }
    let mut stages = [&filter.verified_in, &filter.current_in].into_iter().flatten();
    match stages.find(|stage| !definitions.stages.contains_key(*stage)) {
        Some(stage) => Err(Problem::not_found("stage", &format!("{project}/{stage}")).into()),
        None => Ok(()),
    }
}

/// Freight that is available to a stage and admitted, newest first.
async fn available(
    server: &Server,
    project: &ProjectName,
    stage: &StageName,
    filter: &FreightFilter,
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
        .filter_map(|candidate| {
            snapshot.freight.iter().find(|facts| facts.freight.id == candidate.freight)
        })
        .filter(|facts| filter.admits_facts(facts))
        .map(|facts| convert::freight(project, facts))
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
