//! Verifying anew what is in a stage.

use axum::Extension;
use axum::extract::{Path, State};
use reconciler_api::problem::{FieldCode, FieldProblem, Problem, ProblemCode};
use reconciler_api::v1::{self, Kind, Reverify};
use reconciler_domain::id::{ProjectName, PromotionId, StageName};
use reconciler_domain::plan::{Other, ReverifyError, reverify};
use reconciler_domain::promotion::Event;
use reconciler_store::{AppendError, Page, PromotionFilter};

use super::Server;
use super::answer::{Answer, Json, Refusal, busy, name};
use super::auth::Caller;
use super::promotions::{ATTEMPTS_MAX, object};

/// Promotions of one freight, or to one stage, that are looked through.
const TRIED_MAX: u32 = 20;

pub(super) async fn reverify_stage(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((project, wanted)): Path<(String, String)>,
    Json(Reverify { reason }): Json<Reverify>,
) -> Answer<Json<v1::Promotion>> {
    let (project, stage): (ProjectName, StageName) = (name(&project)?, name(&wanted)?);
    let id = format!("{project}/{stage}");
    if server.store.stage_snapshot(&project, &stage).await?.is_none() {
        return Err(Problem::not_found(Kind::Stage.as_str(), &id).into());
    }
    let mut refused = None;
    for promotion in candidates(&server, &project, &stage).await? {
        match go_on(&server, &project, &promotion, &caller, reason.as_deref()).await? {
            Ok(()) => return Ok(Json(object(&server, &project, &promotion).await?)),
            // It failed before it came to that; an earlier one may have brought the freight.
            Err(error @ ReverifyError::NotDone { .. }) => {
                refused.get_or_insert(error);
            }
            Err(error) => return Err(refusal(&stage, &error)),
        }
    }
    match refused {
        Some(error) => Err(refusal(&stage, &error)),
        None => Err(Problem::not_found("freight", &format!("in stage {id}")).into()),
    }
}

/// The promotions to the stage of what is in it, newest first.
async fn candidates(
    server: &Server,
    project: &ProjectName,
    stage: &StageName,
) -> Answer<Vec<PromotionId>> {
    let mut found = Vec::new();
    for occupant in server.store.occupants(project, stage).await? {
        let filter = PromotionFilter {
            stage: Some(stage.clone()),
            freight: Some(occupant.freight),
            active: None,
            rehearsal: Some(false),
        };
        let page = Page { after: None, limit: TRIED_MAX };
        let listed = server.store.list_promotions(project, &filter, page).await?;
        found.extend(listed.items.into_iter().map(|row| row.promotion.id));
    }
    found.sort_by_key(|id| std::cmp::Reverse(id.number()));
    Ok(found)
}

/// Appends the wish to the log of a promotion, judged against the newest state of things.
async fn go_on(
    server: &Server,
    project: &ProjectName,
    id: &PromotionId,
    caller: &Caller,
    reason: Option<&str>,
) -> Answer<Result<(), ReverifyError>> {
    for _ in 0..ATTEMPTS_MAX {
        let Some(snapshot) = server.store.promotion_snapshot(project, id).await? else {
            return Err(Problem::not_found("promotion", &format!("{project}/{id}")).into());
        };
        let (promotion, seq) = snapshot.value;
        let stage = promotion.promotion.stage.clone();
        let others = others(server, project, &stage).await?;
        let reason = reason.map(str::to_owned);
        let event = match reverify(&promotion, &others, caller.principal(), reason) {
            Ok(event) => event,
            Err(error) => return Ok(Err(error)),
        };
        match server.store.append(project, id, None, seq, event, server.clock.now()).await {
            Ok(_) => return Ok(Ok(())),
            Err(AppendError::SlotTaken { holder }) => {
                return Ok(Err(ReverifyError::UnderWay { holder, stage }));
            }
            Err(AppendError::Store(error)) => return Err(error.into()),
            Err(AppendError::NotFound { .. }) => {
                return Err(Problem::not_found("promotion", &format!("{project}/{id}")).into());
            }
            // The world moved in between: judge again.
            Err(
                AppendError::Moved { .. }
                | AppendError::Changed { .. }
                | AppendError::Illegal(_)
                | AppendError::Fenced { .. }
                | AppendError::Revision { .. }
                | AppendError::Guarded { .. },
            ) => {}
        }
    }
    Err(busy())
}

/// The newest promotions to the stage.
async fn others(server: &Server, project: &ProjectName, stage: &StageName) -> Answer<Vec<Other>> {
    let (stage, rehearsal) = (Some(stage.clone()), Some(false));
    let filter = PromotionFilter { stage, rehearsal, ..PromotionFilter::default() };
    let page = Page { after: None, limit: TRIED_MAX };
    let mut others = Vec::new();
    for row in server.store.list_promotions(project, &filter, page).await?.items {
        let id = row.promotion.id;
        let log = server.store.promotion(project, &id).await?;
        let mut log = log.into_iter().flat_map(|(_, log)| log).rev();
        let last = log
            .find(|entry| matches!(entry.event, Event::Committed { .. } | Event::SentBack { .. }));
        let committed = last.is_some_and(|entry| matches!(entry.event, Event::Committed { .. }));
        others.push(Other { promotion: id, phase: row.phase, committed });
    }
    Ok(others)
}

fn refusal(stage: &StageName, error: &ReverifyError) -> Refusal {
    let code = match error {
        ReverifyError::NotDone { .. }
        | ReverifyError::NotThere { .. }
        | ReverifyError::Overlaid { .. } => ProblemCode::WrongPhase,
        ReverifyError::UnderWay { .. } => ProblemCode::PromotionRunning,
        ReverifyError::NoChecks { .. } | ReverifyError::Unusable { .. } => {
            let field = FieldProblem::new("verifications", FieldCode::Invalid, error.to_string());
            return Problem::invalid(Kind::Stage, stage.as_str(), vec![field]).into();
        }
    };
    Problem::new(code, error.to_string()).into()
}
