//! Answers to what the steps of promotions ask.

use axum::Extension;
use axum::extract::{Path, State};
use reconciler_api::problem::{Problem, ProblemCode};
use reconciler_api::v1::{self, AnswerStep};
use reconciler_domain::id::{ProjectName, PromotionId, StepName};
use reconciler_domain::plan::{AnswerError, answer};
use reconciler_domain::step::{Answer as Said, Said as What};
use reconciler_store::AppendError;

use super::Server;
use super::answer::{Answer, Json, Refusal, busy, name, promotion_id};
use super::auth::Caller;
use super::evidence::signed;
use super::promotions::{ATTEMPTS_MAX, object};

pub(super) async fn answer_step(
    State(server): State<Server>,
    Extension(caller): Extension<Caller>,
    Path((project, wanted, step)): Path<(String, String, String)>,
    Json(body): Json<AnswerStep>,
) -> Answer<Json<v1::Promotion>> {
    let (project, id): (ProjectName, PromotionId) = (name(&project)?, promotion_id(&wanted)?);
    let step: StepName = name(&step)?;
    let said = said(&body)?;
    let given = Said {
        step,
        question: body.digest,
        by: caller.0.name.clone(),
        groups: caller.0.groups.clone(),
        said,
        comment: body.comment,
        signed: None,
    };
    for _ in 0..ATTEMPTS_MAX {
        let Some(snapshot) = server.store.promotion_snapshot(&project, &id).await? else {
            return Err(Problem::not_found("promotion", &format!("{project}/{id}")).into());
        };
        let (snapshot, seq) = snapshot.value;
        let event = answer(&snapshot, given.clone()).map_err(|error| refusal(&id, &error))?;
        let now = server.clock.now();
        let event = signed(&server, &project, &snapshot.promotion, &snapshot.state, event, now);
        match server.store.append(&project, &id, None, seq, event, now).await {
            Ok(_) => return Ok(Json(object(&server, &project, &id).await?)),
            Err(AppendError::Moved { .. }) => {}
            Err(AppendError::Store(error)) => return Err(error.into()),
            Err(error) => {
                return Err(Problem::new(ProblemCode::WrongPhase, error.to_string()).into());
            }
        }
    }
    Err(busy())
}

fn said(body: &AnswerStep) -> Answer<What> {
    match (body.approve, &body.values) {
        (Some(true), None) => Ok(What::Approved),
        (Some(false), None) => Ok(What::Refused),
        (None, Some(values)) => Ok(What::Given(values.clone())),
        (Some(_), Some(_)) | (None, None) => {
            Err(Problem::malformed("an answer has either `approve` or `values`").into())
        }
    }
}

fn refusal(promotion: &PromotionId, error: &AnswerError) -> Refusal {
    let code = match error {
        AnswerError::NotAsked { .. } => ProblemCode::WrongPhase,
        AnswerError::OtherQuestion { present, .. } => {
            return Problem::digest_mismatch(promotion.as_str(), present).into();
        }
        AnswerError::NotInGroup { .. } | AnswerError::Excluded { .. } => ProblemCode::Forbidden,
        AnswerError::OtherKind { .. }
        | AnswerError::TooLong { .. }
        | AnswerError::Misfit { .. } => ProblemCode::Invalid,
        AnswerError::Again { .. } => ProblemCode::AlreadyExists,
    };
    Problem::new(code, error.to_string()).into()
}
