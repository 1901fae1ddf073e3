//! Promotions: watching, approving, aborting. Starting them is `start`.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, State};
use reconciler_api::problem::{Problem, ProblemCode};
use reconciler_api::v1::{
    self, AbortPromotion, ApprovePromotion, EventsQuery, Page, PromotionEvent, PromotionQuery,
};
use reconciler_domain::id::{ProjectName, PromotionId, StageName};
use reconciler_domain::plan::{self, ApproveError, abort, approve};
use reconciler_domain::promotion::{Approval, Event, IllegalEvent, Promotion, State as Folded};
use reconciler_store::{AppendError, PromotionFilter, Subject};

use super::Server;
use super::answer::{Answer, Json, Parameters, Refusal, busy, name, page, promotion_id};
use super::auth::Caller;
use super::definitions::definitions;
use super::evidence::signed;
use crate::convert;

/// Times that a request is judged again because the world moved in between.
pub(super) const ATTEMPTS_MAX: u32 = 5;
/// Most events in one answer.
const EVENTS_MAX: u32 = 500;

pub(super) async fn list(
    State(server): State<Server>,
    Path(project): Path<String>,
    Parameters(query): Parameters<PromotionQuery>,
) -> Answer<Json<Page<v1::Promotion>>> {
    let project: ProjectName = name(&project)?;
    definitions(&server, &project).await?;
    let stage: Option<StageName> = query.stage.as_deref().map(name).transpose()?;
    let (active, rehearsal) = (query.active, query.rehearsal);
    let filter = PromotionFilter { stage, freight: None, active, rehearsal };
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
    let state = Folded::fold(&log).map_err(|error| damaged(id, &error))?;
    let next = match server.store.promotion_snapshot(project, id).await? {
        Some(snapshot) => plan::promotion(&snapshot.value.0, server.clock.now()),
        None => plan::Move::default(),
    };
    let token = server.store.token(project, &[Subject::Promotion(id.clone())]).await?;
    Ok(convert::promotion(project, &promotion, &log, &state, &next, token))
}

pub(super) fn damaged(id: &PromotionId, error: &IllegalEvent) -> Problem {
    Problem::new(ProblemCode::Internal, format!("the log of promotion {id} is damaged: {error}"))
}

pub(super) async fn approve_promotion(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((project, wanted)): Path<(String, String)>,
    Json(body): Json<ApprovePromotion>,
) -> Answer<Json<v1::Promotion>> {
    let (project, id): (ProjectName, _) = (name(&project)?, promotion_id(&wanted)?);
    let groups: BTreeSet<String> = caller.0.groups.clone();
    let approval = Approval {
        by: caller.0.name.clone(),
        groups,
        digest: body.digest,
        comment: body.comment,
        signed: None,
    };
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
        let now = server.clock.now();
        let event = signed(server, project, &promotion.promotion, &promotion.state, event, now);
        match server.store.append(project, id, None, seq, event, now).await {
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
        ApproveError::Rehearsal { .. } => {
            Problem::new(ProblemCode::WrongPhase, error.to_string()).into()
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
