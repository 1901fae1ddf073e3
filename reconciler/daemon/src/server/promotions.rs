//! Promotions: starting, watching, approving, aborting.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use reconciler_api::problem::{Problem, ProblemCode};
use reconciler_api::v1::{
    self, AbortPromotion, ApprovePromotion, CreatePromotion, EventsQuery, FreightSelector, Page,
    PromotionEvent, PromotionQuery,
};
use reconciler_domain::freight::FreightFacts;
use reconciler_domain::id::{ProjectName, PromotionId, StageName};
use reconciler_domain::plan::{
    self, ApproveError, Ensured, RequestError, RequestFacts, abort, approve, ensured, newest,
    previous, request,
};
use reconciler_domain::promotion::{Approval, BypassRequest, Event, Promotion, State as Folded};
use reconciler_domain::snapshot::StageSnapshot;
use reconciler_store::{
    AppendError, CreatePromotionError, NewPromotion, PromotionFilter, Snapshot, Subject,
};

use super::Server;
use super::answer::{Answer, Json, Parameters, Refusal, busy, name, page, promotion_id};
use super::auth::Caller;
use super::definitions::definitions;
use super::freight::find;
use crate::convert;

/// Times that a request is judged again because the world moved in between.
pub(super) const ATTEMPTS_MAX: u32 = 5;
/// Most events in one answer.
const EVENTS_MAX: u32 = 500;
/// Promotions to a stage that are looked through for what to go back to.
const PAST_MAX: u32 = 100;

pub(super) async fn list(
    State(server): State<Server>,
    Path(project): Path<String>,
    Parameters(query): Parameters<PromotionQuery>,
) -> Answer<Json<Page<v1::Promotion>>> {
    let project: ProjectName = name(&project)?;
    definitions(&server, &project).await?;
    let stage: Option<StageName> = query.stage.as_deref().map(name).transpose()?;
    let filter = PromotionFilter { stage, freight: None, active: query.active };
    let wanted = page(query.limit, query.page.as_deref())?;
    let found = server.store.list_promotions(&project, &filter, wanted).await?;
    let items = found
        .items
        .iter()
        .map(|row| convert::promotion_row(&project, &row.promotion, row.phase, row.ended_at));
    Ok(Json(Page { items: items.collect(), next: found.next.map(|next| next.to_string()) }))
}

pub(super) async fn read(
    State(server): State<Server>,
    Path((project, wanted)): Path<(String, String)>,
) -> Answer<Json<v1::Promotion>> {
    let (project, id) = (name(&project)?, promotion_id(&wanted)?);
    Ok(Json(object(&server, &project, &id).await?))
}

/// A promotion as clients get it, with the gates as they judge now.
pub(super) async fn object(
    server: &Server,
    project: &ProjectName,
    id: &PromotionId,
) -> Answer<v1::Promotion> {
    let not_found = || Problem::not_found("promotion", &format!("{project}/{id}"));
    let Some((promotion, log)) = server.store.promotion(project, id).await? else {
        return Err(not_found().into());
    };
    let state = Folded::fold(&log).map_err(|error| {
        Problem::new(
            ProblemCode::Internal,
            format!("the log of promotion {id} is damaged: {error}"),
        )
    })?;
    let next = match server.store.promotion_snapshot(project, id).await? {
        Some(snapshot) => plan::promotion(&snapshot.value.0, server.clock.now()),
        None => plan::Move::default(),
    };
    let token = server.store.token(project, &[Subject::Promotion(id.clone())]).await?;
    Ok(convert::promotion(project, &promotion, &log, &state, &next, token))
}

pub(super) async fn create(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path(project): Path<String>,
    Json(wanted): Json<CreatePromotion>,
) -> Answer<(StatusCode, Json<v1::Promotion>)> {
    let project: ProjectName = name(&project)?;
    let stage: StageName = name(&wanted.stage)?;
    let bypass = bypass_request(&wanted, &caller)?;
    for _ in 0..ATTEMPTS_MAX {
        let Some(snapshot) = server.store.stage_snapshot(&project, &stage).await? else {
            return Err(Problem::not_found("stage", &format!("{project}/{stage}")).into());
        };
        let judged = judged(&server, &project, &snapshot, &caller, &wanted, bypass.clone()).await?;
        let new = match judged {
            Judged::Start(new) => *new,
            Judged::Exists(id) => {
                return Ok((StatusCode::OK, Json(object(&server, &project, &id).await?)));
            }
        };
        match server.store.create_promotion(&project, &new, server.clock.now()).await {
            Ok(promotion) => {
                let made = object(&server, &project, &promotion.id).await?;
                return Ok((StatusCode::CREATED, Json(made)));
            }
            Err(CreatePromotionError::Moved { .. } | CreatePromotionError::TooLate { .. }) => {}
            Err(CreatePromotionError::NoStage { .. }) => {
                return Err(Problem::not_found("stage", &format!("{project}/{stage}")).into());
            }
            Err(CreatePromotionError::NoFreight { .. }) => {
                return Err(Problem::not_found("freight", new.freight.as_str()).into());
            }
            Err(CreatePromotionError::Store(error)) => return Err(error.into()),
        }
    }
    Err(busy())
}

fn bypass_request(wanted: &CreatePromotion, caller: &Caller) -> Answer<Option<BypassRequest>> {
    let Some(bypass) = &wanted.bypass else { return Ok(None) };
    if bypass.reason.trim().is_empty() {
        let detail = "skipping a gate needs a reason";
        return Err(Problem::new(ProblemCode::Invalid, detail).into());
    }
    Ok(Some(BypassRequest {
        gates: bypass.gates.iter().map(convert::bypass_gate).collect(),
        groups: caller.0.groups.clone(),
        reason: bypass.reason.clone(),
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
    caller: &Caller,
    wanted: &CreatePromotion,
    bypass: Option<BypassRequest>,
) -> Answer<Judged> {
    let now = server.clock.now();
    let mut stage = snapshot.value.clone();
    let freight = match &wanted.freight {
        FreightSelector::Newest => {
            let newest = newest(&stage, now).map_err(|error| request_refusal(&error))?;
            newest.freight.id.clone()
        }
        FreightSelector::Previous if wanted.ensure => {
            let detail =
                "`previous` goes further back each time, so it cannot be ensured; name the freight";
            return Err(Problem::new(ProblemCode::Invalid, detail).into());
        }
        FreightSelector::Previous => {
            meet_the_past(server, project, &mut stage).await?;
            let previous = previous(&stage, now).map_err(|error| request_refusal(&error))?;
            previous.freight.id.clone()
        }
        FreightSelector::Id(id) => {
            let facts = find(server, project, id).await?;
            let id = facts.freight.id.clone();
            meet(&mut stage, facts);
            id
        }
    };
    let facts = RequestFacts {
        stage: &stage,
        freight: &freight,
        requester: &caller.0.name,
        bypass: bypass.as_ref(),
    };
    if wanted.ensure
        && let Some(there) = ensured(&facts)
        && let Some(id) = promotion_of(server, project, &facts, there).await?
    {
        return Ok(Judged::Exists(id));
    }
    let granted = request(&facts, now).map_err(|error| request_refusal(&error))?;
    let warehouse = stage
        .freight
        .iter()
        .find(|known| known.freight.id == freight)
        .map(|known| known.freight.warehouse.clone());
    let Some(warehouse) = warehouse else {
        return Err(Problem::not_found("freight", freight.as_str()).into());
    };
    Ok(Judged::Start(Box::new(NewPromotion {
        stage: stage.stage.spec.name.clone(),
        freight,
        warehouse,
        requester: caller.principal(),
        groups: caller.0.groups.clone(),
        reason: wanted.reason.clone(),
        bypass,
        rollback: wanted.freight == FreightSelector::Previous,
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
    let filter = PromotionFilter { stage: name, ..PromotionFilter::default() };
    let page = reconciler_store::Page { after: None, limit: PAST_MAX };
    for row in server.store.list_promotions(project, &filter, page).await?.items {
        let known = |known: &Arc<FreightFacts>| known.freight.id == row.promotion.freight;
        if !stage.freight.iter().any(known) {
            meet(stage, find(server, project, row.promotion.freight.as_str()).await?);
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
        RequestError::ControlFlow { .. } => ProblemCode::Invalid,
        RequestError::NotAvailable { .. }
        | RequestError::NoneAvailable { .. }
        | RequestError::NoPrevious { .. } => ProblemCode::FreightUnavailable,
        RequestError::Held { .. } => return Problem::held(error.to_string()).into(),
        RequestError::Running { .. } => ProblemCode::PromotionRunning,
        RequestError::NoBypass { .. } => ProblemCode::Forbidden,
    };
    Problem::new(code, error.to_string()).into()
}

pub(super) async fn approve_promotion(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((project, wanted)): Path<(String, String)>,
    Json(body): Json<ApprovePromotion>,
) -> Answer<Json<v1::Promotion>> {
    let (project, id): (ProjectName, _) = (name(&project)?, promotion_id(&wanted)?);
    let groups: BTreeSet<String> = caller.0.groups.clone();
    let approval =
        Approval { by: caller.0.name.clone(), groups, digest: body.digest, comment: body.comment };
    decide(&server, &project, &id, |promotion, state| approve(promotion, state, approval.clone()))
        .await?;
    Ok(Json(object(&server, &project, &id).await?))
}

pub(super) async fn abort_promotion(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((project, wanted)): Path<(String, String)>,
    Json(body): Json<AbortPromotion>,
) -> Answer<Json<v1::Promotion>> {
    let (project, id): (ProjectName, _) = (name(&project)?, promotion_id(&wanted)?);
    decide(&server, &project, &id, |promotion, state| {
        abort(promotion, state, caller.principal(), body.reason.clone())
    })
    .await?;
    Ok(Json(object(&server, &project, &id).await?))
}

/// Appends what a person's wish amounts to, judged against the newest log.
async fn decide(
    server: &Server,
    project: &ProjectName,
    id: &PromotionId,
    wish: impl Fn(&Promotion, &Folded) -> Result<Event, ApproveError>,
) -> Answer<()> {
    for _ in 0..ATTEMPTS_MAX {
        let Some(snapshot) = server.store.promotion_snapshot(project, id).await? else {
            return Err(Problem::not_found("promotion", &format!("{project}/{id}")).into());
        };
        let (promotion, seq) = snapshot.value;
        let event = wish(&promotion.promotion, &promotion.state)
            .map_err(|error| approve_refusal(&promotion.state, &error))?;
        match server.store.append(project, id, None, seq, event, server.clock.now()).await {
            Ok(_) => return Ok(()),
            Err(AppendError::Moved { .. }) => {}
            Err(AppendError::Store(error)) => return Err(error.into()),
            Err(error) => {
                let problem = Problem::new(ProblemCode::WrongPhase, error.to_string());
                return Err(problem.into());
            }
        }
    }
    Err(busy())
}

fn approve_refusal(state: &Folded, error: &ApproveError) -> Refusal {
    match error {
        ApproveError::NotWaiting { promotion, .. } => {
            let phase = convert::phase(state.phase());
            Problem::wrong_phase(promotion.as_str(), phase, "approved").into()
        }
        ApproveError::OtherDigest { promotion, present, .. } => {
            Problem::digest_mismatch(promotion.as_str(), present).into()
        }
        ApproveError::Again { .. } => {
            Problem::new(ProblemCode::AlreadyExists, error.to_string()).into()
        }
        ApproveError::Over { promotion, .. } => {
            let phase = convert::phase(state.phase());
            Problem::wrong_phase(promotion.as_str(), phase, "aborted").into()
        }
    }
}

pub(super) async fn events(
    State(server): State<Server>,
    Path((project, wanted)): Path<(String, String)>,
    Parameters(query): Parameters<EventsQuery>,
) -> Answer<Json<Vec<PromotionEvent>>> {
    let (project, id): (ProjectName, PromotionId) = (name(&project)?, promotion_id(&wanted)?);
    let wait = query.wait.unwrap_or(0).min(EventsQuery::WAIT_SECONDS_MAX);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(wait.into());
    let mut changes = server.store.changes();
    if server.store.promotion(&project, &id).await?.is_none() {
        return Err(Problem::not_found("promotion", &format!("{project}/{id}")).into());
    }
    loop {
        let entries = server.store.log(&project, &id, query.after.unwrap_or(0), EVENTS_MAX).await?;
        let timed_out = tokio::time::Instant::now() >= deadline;
        if !entries.is_empty() || timed_out || server.shutdown.is_cancelled() {
            return Ok(Json(entries.iter().map(convert::event).collect()));
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = server.shutdown.cancelled() => {}
        }
    }
}
