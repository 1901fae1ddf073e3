//! Starting promotions: one, one once more, or one in every stage further down.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use reconciler_api::problem::{Problem, ProblemCode};
use reconciler_api::v1::{
    self, CreatePromotion, FreightSelector, PromoteDownstream, Rerun, StartedDownstream,
};
use reconciler_domain::freight::FreightFacts;
use reconciler_domain::id::{FreightId, ProjectName, PromotionId, StageName};
use reconciler_domain::plan::{
    DownstreamError, Ensured, RequestError, RequestFacts, Requested, downstream, ensured,
    goes_back, newest, newest_of_all, previous, rehearse, request, rerun, what_is_there,
};
use reconciler_domain::promotion::{BypassRequest, State as Folded};
use reconciler_domain::snapshot::StageSnapshot;
use reconciler_store::{CreatePromotionError, NewPromotion, PromotionFilter, Snapshot};

use super::Server;
use super::answer::{Answer, Json, Refusal, busy, name, promotion_id};
use super::auth::Caller;
use super::definitions::definitions;
use super::freight::find;
use super::promotions::{ATTEMPTS_MAX, damaged, object};
use crate::convert;

/// Promotions to a stage that are looked through for what to go back to.
const PAST_MAX: u32 = 100;

/// A wish for one promotion.
struct Wish<'a> {
    caller: &'a Caller,
    wanted: CreatePromotion,
    /// Whether it is that of a promotion which went back.
    again_back: bool,
}

pub(super) async fn create(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(project): Path<String>,
    Json(wanted): Json<CreatePromotion>,
) -> Answer<(StatusCode, Json<v1::Promotion>)> {
    let project: ProjectName = name(&project)?;
    let wish = Wish { caller: &caller, wanted, again_back: false };
    let (status, id) = start(&server, &project, &wish).await?;
    Ok((status, Json(object(&server, &project, &id).await?)))
}

pub(super) async fn rerun_promotion(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((project, wanted)): Path<(String, String)>,
    Json(Rerun { reason, bypass }): Json<Rerun>,
) -> Answer<(StatusCode, Json<v1::Promotion>)> {
    let (project, id): (ProjectName, PromotionId) = (name(&project)?, promotion_id(&wanted)?);
    let Some((promotion, log)) = server.store.promotion(&project, &id).await? else {
        return Err(Problem::not_found("promotion", &format!("{project}/{id}")).into());
    };
    let state = Folded::fold(&log).map_err(|error| damaged(&id, &error))?;
    let again = rerun(&promotion, state.phase())
        .map_err(|error| Problem::new(ProblemCode::WrongPhase, error.to_string()))?;
    let wanted = CreatePromotion {
        stage: again.stage.to_string(),
        freight: FreightSelector::Id(again.freight.to_string()),
        along: again.along.iter().map(ToString::to_string).collect(),
        reason: Some(reason.unwrap_or_else(|| format!("{id} once more"))),
        vars: again.vars,
        bypass,
        ensure: false,
        rehearsal: false,
    };
    let wish = Wish { caller: &caller, wanted, again_back: again.rollback };
    let (status, id) = start(&server, &project, &wish).await?;
    Ok((status, Json(object(&server, &project, &id).await?)))
}

/// Each stage is asked for by itself: what one refuses does not keep the others.
pub(super) async fn promote_downstream(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((project, wanted)): Path<(String, String)>,
    Json(PromoteDownstream { freight, reason }): Json<PromoteDownstream>,
) -> Answer<Json<Vec<StartedDownstream>>> {
    let (project, from): (ProjectName, StageName) = (name(&project)?, name(&wanted)?);
    let Some(snapshot) = server.store.stage_snapshot(&project, &from).await? else {
        return Err(Problem::not_found("stage", &format!("{project}/{from}")).into());
    };
    let freight = match &freight {
        Some(named) => named.clone(),
        None => what_is_there(&snapshot.value).map_err(|e| nowhere(&e))?.to_string(),
    };
    let freight = find(&server, &project, &freight).await?.freight;
    let known = definitions(&server, &project).await?;
    let stages = downstream(&known.stages, &from, &freight.warehouse).map_err(|e| nowhere(&e))?;
    let mut started = Vec::new();
    for stage in stages {
        let wanted = CreatePromotion {
            stage: stage.to_string(),
            freight: FreightSelector::Id(freight.id.to_string()),
            along: Vec::new(),
            reason: reason.clone(),
            vars: BTreeMap::new(),
            bypass: None,
            ensure: false,
            rehearsal: false,
        };
        let wish = Wish { caller: &caller, wanted, again_back: false };
        let (promotion, refused) = match start(&server, &project, &wish).await {
            Ok((_, id)) => match object(&server, &project, &id).await {
                Ok(promotion) => (Some(promotion), None),
                // It was started all the same; the others are still to be told of.
                Err(refusal) => (None, Some(refusal.into_problem())),
            },
            Err(refusal) => (None, Some(refusal.into_problem())),
        };
        started.push(StartedDownstream { stage: stage.to_string(), promotion, refused });
    }
    Ok(Json(started))
}

fn nowhere(error: &DownstreamError) -> Problem {
    Problem::new(ProblemCode::Invalid, error.to_string())
}

/// Starts a promotion, or finds the one that does what is wanted, and says which.
async fn start(
    server: &Server,
    project: &ProjectName,
    wish: &Wish<'_>,
) -> Answer<(StatusCode, PromotionId)> {
    let stage: StageName = name(&wish.wanted.stage)?;
    let bypass = bypass_request(&wish.wanted, wish.caller, server.clock.now())?;
    for _ in 0..ATTEMPTS_MAX {
        let Some(snapshot) = server.store.stage_snapshot(project, &stage).await? else {
            return Err(Problem::not_found("stage", &format!("{project}/{stage}")).into());
        };
        let new = match judged(server, project, &snapshot, wish, bypass.clone()).await? {
            Judged::Start(new) => *new,
            Judged::Exists(id) => return Ok((StatusCode::OK, id)),
        };
        match server.store.create_promotion(project, &new, server.clock.now()).await {
            Ok(promotion) => return Ok((StatusCode::CREATED, promotion.id)),
            Err(CreatePromotionError::Moved { .. } | CreatePromotionError::TooLate { .. }) => {}
            Err(CreatePromotionError::NoStage { .. }) => {
                return Err(Problem::not_found("stage", &format!("{project}/{stage}")).into());
            }
            Err(CreatePromotionError::NoFreight { freight }) => {
                return Err(Problem::not_found("freight", freight.as_str()).into());
            }
            Err(CreatePromotionError::Store(error)) => return Err(error.into()),
        }
    }
    Err(busy())
}

fn bypass_request(
    wanted: &CreatePromotion,
    caller: &Caller,
    now: Timestamp,
) -> Answer<Option<BypassRequest>> {
    let Some(bypass) = &wanted.bypass else { return Ok(None) };
    if let Some(end) = bypass.expires.filter(|end| *end <= now) {
        let detail = format!("the gates were to be skipped until {end}, which is over");
        return Err(Problem::new(ProblemCode::Invalid, detail).into());
    }
    if bypass.reason.trim().is_empty() {
        let detail = "skipping a gate needs a reason";
        return Err(Problem::new(ProblemCode::Invalid, detail).into());
    }
    Ok(Some(BypassRequest {
        gates: bypass.gates.iter().map(convert::bypass_gate).collect(),
        groups: caller.0.groups.clone(),
        reason: bypass.reason.clone(),
        expires: bypass.expires,
    }))
}

/// What a wish for a promotion amounts to.
enum Judged {
    /// This one starts.
    Start(Box<NewPromotion>),
    /// This one is there already, and none starts.
    Exists(PromotionId),
}

/// The promotion that the caller may start, as this snapshot shows the world.
async fn judged(
    server: &Server,
    project: &ProjectName,
    snapshot: &Snapshot<StageSnapshot>,
    wish: &Wish<'_>,
    bypass: Option<BypassRequest>,
) -> Answer<Judged> {
    let Wish { caller, wanted, again_back } = wish;
    let now = server.clock.now();
    let mut stage = snapshot.value.clone();
    if wanted.ensure && wanted.rehearsal {
        let detail = "a rehearsal brings nothing, so it ensures nothing: ask for one of both";
        return Err(Problem::new(ProblemCode::Invalid, detail).into());
    }
    if !wanted.along.is_empty() && !matches!(wanted.freight, FreightSelector::Id(_)) {
        let detail = "`along` goes with freight that is named by its id";
        return Err(Problem::new(ProblemCode::Invalid, detail).into());
    }
    // What leads, and what comes along.
    let brought: Vec<FreightId> = match &wanted.freight {
        FreightSelector::Newest | FreightSelector::Id(_)
            if wanted.ensure && !wanted.vars.is_empty() =>
        {
            let detail = "`vars` are for one promotion, so they cannot be ensured";
            return Err(Problem::new(ProblemCode::Invalid, detail).into());
        }
        FreightSelector::Newest => {
            let newest = if wanted.rehearsal { newest_of_all(&stage) } else { newest(&stage, now) };
            let newest = newest.map_err(|error| request_refusal(&error))?;
            vec![newest.freight.id.clone()]
        }
        FreightSelector::Previous if wanted.ensure => {
            let detail =
                "`previous` goes further back each time, so it cannot be ensured; name the freight";
            return Err(Problem::new(ProblemCode::Invalid, detail).into());
        }
        FreightSelector::Previous => {
            meet_the_past(server, project, &mut stage).await?;
            let previous = previous(&stage, now).map_err(|error| request_refusal(&error))?;
            previous.into_iter().map(|facts| facts.freight.id.clone()).collect()
        }
        FreightSelector::Id(id) => {
            let mut named = Vec::with_capacity(1 + wanted.along.len());
            for id in std::iter::once(id).chain(&wanted.along) {
                let facts = find(server, project, id).await?;
                named.push(facts.freight.id.clone());
                meet(&mut stage, facts);
            }
            named
        }
    };
    let Some((freight, along)) = brought.split_first() else {
        return Err(Problem::not_found("freight", "in the stage").into());
    };
    let facts = RequestFacts {
        stage: &stage,
        freight,
        along,
        requester: &caller.0.name,
        vars: &wanted.vars,
        bypass: bypass.as_ref(),
    };
    if wanted.ensure
        && let Some(there) = ensured(&facts)
        && let Some(id) = promotion_of(server, project, &facts, there).await?
    {
        return Ok(Judged::Exists(id));
    }
    let granted = if wanted.rehearsal {
        rehearse(&facts, now).map(|()| Requested::default())
    } else {
        request(&facts, now)
    };
    let granted = granted.map_err(|error| request_refusal(&error))?;
    let mut by_warehouse = Vec::with_capacity(brought.len());
    for id in &brought {
        let Some(known) = stage.freight.iter().find(|known| known.freight.id == *id) else {
            return Err(Problem::not_found("freight", id.as_str()).into());
        };
        by_warehouse.push((known.freight.warehouse.clone(), id.clone()));
    }
    let (warehouse, freight) = by_warehouse.remove(0);
    let rollback = wanted.freight == FreightSelector::Previous
        || (*again_back && brought.iter().all(|freight| goes_back(&stage, freight)));
    Ok(Judged::Start(Box::new(NewPromotion {
        stage: stage.stage.spec.name.clone(),
        freight,
        warehouse,
        along: by_warehouse.into_iter().collect(),
        requester: caller.principal(),
        groups: caller.0.groups.clone(),
        reason: wanted.reason.clone(),
        vars: wanted.vars.clone(),
        bypass,
        rollback,
        rehearsal: wanted.rehearsal,
        supersedes: granted.supersedes,
        hold: granted.hold,
        release_hold: granted.release_hold,
        revision: Some(snapshot.revision),
    })))
}

/// Adds freight to a snapshot. Old freight is not among its newest ones.
fn meet(stage: &mut StageSnapshot, facts: FreightFacts) {
    if !stage.freight.iter().any(|known| known.freight.id == facts.freight.id) {
        stage.freight.push(Arc::new(facts));
        stage.freight.sort_by_key(|known| known.freight.sequence);
    }
}

/// Adds the freight that was promoted to the stage before, however that ended.
async fn meet_the_past(
    server: &Server,
    project: &ProjectName,
    stage: &mut StageSnapshot,
) -> Answer<()> {
    let name = Some(stage.stage.spec.name.clone());
    let rehearsal = Some(false);
    let filter = PromotionFilter { stage: name, rehearsal, ..PromotionFilter::default() };
    let page = reconciler_store::Page { after: None, limit: PAST_MAX };
    for row in server.store.list_promotions(project, &filter, page).await?.items {
        for (_, freight) in row.promotion.promoted() {
            let known = |known: &Arc<FreightFacts>| known.freight.id == *freight;
            if !stage.freight.iter().any(known) {
                meet(stage, find(server, project, freight.as_str()).await?);
            }
        }
    }
    Ok(())
}

/// The promotion that brought freight or is bringing it. None: it came without one.
async fn promotion_of(
    server: &Server,
    project: &ProjectName,
    facts: &RequestFacts<'_>,
    ensured: Ensured,
) -> Answer<Option<PromotionId>> {
    match ensured {
        Ensured::Running(id) => Ok(Some(id)),
        Ensured::There => {
            let stage = &facts.stage.stage.spec.name;
            let there = server.store.occupants(project, stage).await?;
            let brought = there.into_iter().find(|occupant| occupant.freight == *facts.freight);
            Ok(brought.map(|occupant| occupant.promotion))
        }
    }
}

fn request_refusal(error: &RequestError) -> Refusal {
    let code = match error {
        RequestError::ControlFlow { .. }
        | RequestError::NotSettable { .. }
        | RequestError::SameWarehouse { .. }
        | RequestError::LongValue { .. } => ProblemCode::Invalid,
        RequestError::NotAvailable { .. }
        | RequestError::NoneAvailable { .. }
        | RequestError::NoPrevious { .. } => ProblemCode::FreightUnavailable,
        RequestError::Held { .. } => return Problem::held(error.to_string()).into(),
        RequestError::Running { .. } | RequestError::Rehearsals { .. } => {
            ProblemCode::PromotionRunning
        }
        RequestError::NoBypass { .. } => ProblemCode::Forbidden,
    };
    Problem::new(code, error.to_string()).into()
}
