//! `lockstep_approve` and `lockstep_abort`: what people say to a promotion.

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::{Action, Context, Progress, Reader};
use provider_protocol::schema::{Attribute, Block, Schema};
use reconciler_api::problem::ProblemCode;
use reconciler_api::v1::{AbortPromotion, ApprovePromotion, Phase};
use reconciler_domain::id::PromotionId;

use super::{UNSURE, project, project_attribute};
use crate::attribute::{filled, parsed};
use crate::failure::detail;
use crate::form::Read as _;
use crate::session::Session;

fn promotion_attribute() -> Attribute {
    parsed::<PromotionId>().required().describe("The promotion, such as `prod.12`.")
}

/// Approves what a promotion will do.
pub(crate) struct Approve;

#[async_trait]
impl Action<Session> for Approve {
    fn type_name(&self) -> &'static str {
        "lockstep_approve"
    }

    fn schema(&self) -> Schema {
        let block = Block::new()
            .describe(
                "Approves exactly what a promotion will do, in the name of the provider's token. If \
                 it would do something else by now, that is an error.",
            )
            .attribute("project", project_attribute())
            .attribute("promotion", promotion_attribute())
            .attribute(
                "digest",
                filled().required().describe(
                    "What is approved: the digest of the change set, as `lockstep diff` and the \
                     data source `lockstep_promotion` have it.",
                ),
            )
            .attribute("comment", filled().describe("What to say with it; it is recorded."));
        Schema::new(block)
    }

    async fn invoke(
        &self,
        cx: &Context<Session>,
        config: &Value,
        progress: &Progress,
        diags: &mut Diagnostics,
    ) {
        let Some(session) = cx.client(diags) else { return };
        let config = Reader::root(config);
        let Some(project) = project(&config, &session, diags) else { return };
        let id = config.required("promotion");
        let approval =
            ApprovePromotion { digest: config.required("digest"), comment: config.text("comment") };
        let what = format!("approve promotion {project}/{id}");
        let call = session.api.approve(&project, &id, &approval);
        let asked = session.order(&cx.cancel, (&what, UNSURE), call, diags).await;
        let Some(answer) = asked else { return };
        match answer {
            Ok(_) => {
                progress.report(format!("approved promotion {id} ({})", approval.digest)).await;
            }
            Err(error) if error.code() == Some(ProblemCode::AlreadyExists) => {
                progress.report(format!("promotion {id} was approved before")).await;
            }
            Err(error) => {
                let attribute = match error.code() {
                    Some(ProblemCode::DigestMismatch) => "digest",
                    Some(_) | None => "promotion",
                };
                let summary = format!("Cannot {what}");
                diags.error_at(Path::attribute(attribute), summary, detail(&error));
            }
        }
    }
}

/// Ends a promotion.
pub(crate) struct Abort;

#[async_trait]
impl Action<Session> for Abort {
    fn type_name(&self) -> &'static str {
        "lockstep_abort"
    }

    fn schema(&self) -> Schema {
        let block = Block::new()
            .describe(
                "Ends a promotion. Before it commits, nothing has happened; after that, what was \
                 done stays, and is told.",
            )
            .attribute("project", project_attribute())
            .attribute("promotion", promotion_attribute())
            .attribute("reason", filled().required().describe("Why; it is recorded."));
        Schema::new(block)
    }

    async fn invoke(
        &self,
        cx: &Context<Session>,
        config: &Value,
        progress: &Progress,
        diags: &mut Diagnostics,
    ) {
        let Some(session) = cx.client(diags) else { return };
        let config = Reader::root(config);
        let Some(project) = project(&config, &session, diags) else { return };
        let id = config.required("promotion");
        let abort = AbortPromotion { reason: config.required("reason") };
        let what = format!("abort promotion {project}/{id}");
        let call = session.api.abort(&project, &id, &abort);
        let asked = session.order(&cx.cancel, (&what, UNSURE), call, diags).await;
        let Some(answer) = asked else { return };
        let error = match answer {
            Ok(promotion) => {
                let phase = promotion.phase.as_str().replace('_', " ");
                return progress.report(format!("promotion {id} is to stop: {phase}")).await;
            }
            Err(error) => error,
        };
        // What was aborted before is what was wished for.
        if error.code() == Some(ProblemCode::WrongPhase) {
            let look = session.api.promotion(&project, &id);
            let Some(looked) = session.ask(&cx.cancel, &what, look, diags).await else { return };
            if looked.is_ok_and(|promotion| promotion.phase == Phase::Aborted) {
                return progress.report(format!("promotion {id} was aborted before")).await;
            }
        }
        let summary = format!("Cannot {what}");
        diags.error_at(Path::attribute("promotion"), summary, detail(&error));
    }
}
