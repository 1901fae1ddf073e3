//! What a stage holds, why it waits, and the graph of all of them.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::{Path, State};
use reconciler_api::problem::{Problem, ProblemCode};
use reconciler_api::v1::{
    self, CurrentFreight, DriftOutline, DriftStanding, Explain, Kind, LiftHold, Pipeline,
    PipelineEdge, PipelinePolicy, PipelineStage, StageStatus,
};
use reconciler_convert::wire_mode;
use reconciler_domain::check::in_order;
use reconciler_domain::id::{ProjectName, PromotionId, StageName};
use reconciler_domain::plan::{self, Move};
use reconciler_domain::policy::{Joined, Policy};
use reconciler_domain::snapshot::{Definitions, StageSnapshot};
use reconciler_domain::stage::Stage;
use reconciler_store::LiftError;

use super::Server;
use super::answer::{Answer, Json, name};
use super::auth::Caller;
use super::definitions::{definitions, read, stage_conditions};
use crate::convert::{Explained, active, drift_outline, explain, stage_holds, waiting};

/// The status of a stage.
pub(super) async fn stage_status(
    server: &Server,
    project: &ProjectName,
    stage: &StageName,
) -> Answer<StageStatus> {
    let definitions = definitions(server, project).await?;
    status_of(server, project, stage, &definitions).await
}

async fn status_of(
    server: &Server,
    project: &ProjectName,
    stage: &StageName,
    definitions: &Definitions,
) -> Answer<StageStatus> {
    let Some(snapshot) = server.store.stage_snapshot(project, stage).await? else {
        return Ok(StageStatus::default());
    };
    let planned = plan::stage(&snapshot.value, server.clock.now());
    let promotions = next_moves(server, project, &snapshot.value).await?;
    let downstream = definitions
        .stages
        .iter()
        .filter(|(_, other)| other.spec.upstreams().contains(&stage))
        .map(|(name, _)| name.to_string());
    Ok(StageStatus {
        current: current(server, project, stage).await?,
        promotion: snapshot.value.running.last().map(active),
        holds: stage_holds(&snapshot.value, server.clock.now()),
        waiting: planned
            .waiting
            .iter()
            .chain(promotions.values().flat_map(|next| &next.waiting))
            .map(waiting)
            .collect(),
        downstream: downstream.collect(),
        metadata: server.store.stage_metadata(project, stage).await?.into_iter().collect(),
        drift: drift(server, project, &snapshot.value.stage.spec).await?,
    })
}

/// What the last look at a stage found; of one that is looked at and was not yet, that.
async fn drift(
    server: &Server,
    project: &ProjectName,
    stage: &Stage,
) -> Answer<Option<DriftOutline>> {
    let found = server.store.drift_record(project, &stage.name).await?;
    Ok(match (&found, stage.drift) {
        (Some(found), _) => Some(drift_outline(found)),
        (None, Some(_)) => Some(DriftOutline {
            standing: DriftStanding::Unseen,
            message: "nobody looked yet".to_owned(),
            looked_at: None,
        }),
        (None, None) => None,
    })
}

async fn current(
    server: &Server,
    project: &ProjectName,
    stage: &StageName,
) -> Answer<BTreeMap<String, CurrentFreight>> {
    let occupants = server.store.occupants(project, stage).await?;
    Ok(occupants
        .into_iter()
        .map(|occupant| {
            let current = CurrentFreight {
                freight: occupant.freight.to_string(),
                promotion: Some(occupant.promotion.to_string()),
                entered_at: occupant.entered_at,
                verified_at: occupant.verified_at,
            };
            (occupant.warehouse.to_string(), current)
        })
        .collect())
}

/// The next move of each of the stage's promotions that are not over.
async fn next_moves(
    server: &Server,
    project: &ProjectName,
    snapshot: &StageSnapshot,
) -> Answer<BTreeMap<PromotionId, Move>> {
    let mut moves = BTreeMap::new();
    for running in &snapshot.running {
        let id = &running.promotion.id;
        if let Some(found) = server.store.promotion_snapshot(project, id).await? {
            moves.insert(id.clone(), plan::promotion(&found.value.0, server.clock.now()));
        }
    }
    Ok(moves)
}

pub(super) async fn explain_stage(
    State(server): State<Server>,
    Path((project, wanted)): Path<(String, String)>,
) -> Answer<Json<Explain>> {
    let (project, stage): (ProjectName, StageName) = (name(&project)?, name(&wanted)?);
    let definitions = definitions(&server, &project).await?;
    let Some(snapshot) = server.store.stage_snapshot(&project, &stage).await? else {
        let id = format!("{project}/{stage}");
        return Err(Problem::not_found(Kind::Stage.as_str(), &id).into());
    };
    let explained = Explained {
        snapshot: &snapshot.value,
        policies: &definitions.policies,
        current: current(&server, &project, &stage).await?,
        promotions: next_moves(&server, &project, &snapshot.value).await?,
    };
    Ok(Json(explain(explained, server.clock.now())))
}

pub(super) async fn lift(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((project, wanted)): Path<(String, String)>,
    Json(LiftHold { reason }): Json<LiftHold>,
) -> Answer<Json<v1::Stage>> {
    let (parsed, stage): (ProjectName, StageName) = (name(&project)?, name(&wanted)?);
    if reason.trim().is_empty() {
        let detail = "lifting a hold needs a reason";
        return Err(Problem::new(ProblemCode::Invalid, detail).into());
    }
    let (by, now) = (caller.principal(), server.clock.now());
    match server.store.lift_automatic_hold(&parsed, &stage, &by, &reason, now).await {
        Ok(()) => read::<Stage>(State(server), Path((project, wanted))).await,
        Err(LiftError::NoStage { .. }) => {
            let id = format!("{parsed}/{stage}");
            Err(Problem::not_found(Kind::Stage.as_str(), &id).into())
        }
        Err(LiftError::NotHeld { .. }) => {
            let on = format!("on stage {parsed}/{stage}");
            let problem = Problem::not_found("automatic hold", &on);
            let hint = "`lockstep hold list` shows every hold; one with a name is lifted by it";
            Err(problem.with_hint(hint).into())
        }
        Err(LiftError::Store(error)) => Err(error.into()),
    }
}

pub(super) async fn pipeline(
    State(server): State<Server>,
    Path(project): Path<String>,
) -> Answer<Json<Pipeline>> {
    let project: ProjectName = name(&project)?;
    let definitions = definitions(&server, &project).await?;
    let policies = definitions.policy_specs();
    let mut graph = Pipeline {
        warehouses: definitions.warehouses.keys().map(ToString::to_string).collect(),
        policies: policies.iter().map(|policy| policy_node(policy, &definitions)).collect(),
        ..Pipeline::default()
    };
    graph.policies.sort_by(|a, b| a.name.cmp(&b.name));
    let specs = definitions.stages.iter().map(|(name, stage)| (name, &stage.spec)).collect();
    for stage in in_order(&specs) {
        let Some(defined) = definitions.stages.get(stage) else { continue };
        let status = status_of(&server, &project, stage, &definitions).await?;
        let joined = Joined::of(&policies, stage);
        graph.stages.push(PipelineStage {
            name: stage.to_string(),
            control_flow: defined.spec.is_control_flow(),
            mode: wire_mode(joined.mode),
            policies: joined.policies.iter().map(|policy| policy.name.to_string()).collect(),
            conditions: stage_conditions(&status),
            current: status.current,
            promotion: status.promotion,
        });
        graph.edges.extend(edges_to(&defined.spec));
    }
    graph.edges.sort();
    Ok(Json(graph))
}

fn policy_node(policy: &Policy, definitions: &Definitions) -> PipelinePolicy {
    let selected = definitions.stages.keys().filter(|stage| policy.selects(stage));
    PipelinePolicy {
        name: policy.name.to_string(),
        mode: wire_mode(policy.mode),
        stages: selected.map(ToString::to_string).collect(),
    }
}

/// Along which edges freight comes to a stage.
fn edges_to(stage: &Stage) -> Vec<PipelineEdge> {
    let mut edges = Vec::new();
    for request in &stage.requests {
        let from = request.from.iter().map(Some);
        for from in request.direct.then_some(None).into_iter().chain(from) {
            edges.push(PipelineEdge {
                warehouse: request.warehouse.to_string(),
                from: from.map(ToString::to_string),
                to: stage.name.to_string(),
            });
        }
    }
    edges
}
