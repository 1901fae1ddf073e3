//! `lockstep_promote`.

use std::time::Duration;

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::{Action, Context, Progress, Reader};
use provider_protocol::schema::{Attribute, Block, Schema};
use reconciler_api::v1::{CreatePromotion, FreightSelector};
use reconciler_domain::duration;
use reconciler_domain::id::StageName;

use super::{UNSURE, project, project_attribute};
use crate::attribute::{filled, parsed, span};
use crate::failure::detail;
use crate::follow::{Advice, Patience, follow, tell};
use crate::form::Read as _;
use crate::session::Session;

/// How long to wait where the configuration does not say.
const TIMEOUT: Duration = Duration::from_secs(30 * 60);

const ADVICE: Advice = Advice {
    again: "Invoke the action again to wait on: no second promotion is started.",
    another: "invoke the action again for another promotion",
    superseded: "Name that freight, or leave `freight` out for the newest.",
};

/// Promotes freight to a stage, and waits for the end.
pub(crate) struct Promote;

#[async_trait]
impl Action<Session> for Promote {
    fn type_name(&self) -> &'static str {
        "lockstep_promote"
    }

    fn schema(&self) -> Schema {
        let block = Block::new()
            .describe(
                "Promotes freight to a stage, unless it is there already or on its way, and tells \
                 what happens until the promotion ends.",
            )
            .attribute("project", project_attribute())
            .attribute("stage", parsed::<StageName>().required().describe("Where to."))
            .attribute(
                "freight",
                filled().describe(
                    "The freight: its id, or a beginning of it that is unique. Default: the newest \
                     that is available to the stage and not held.",
                ),
            )
            .attribute("reason", filled().describe("Why; recorded with the promotion."))
            .attribute(
                "wait",
                Attribute::bool()
                    .default(true)
                    .describe("Whether to wait until the promotion ends."),
            )
            .attribute("timeout", span().describe("How long to wait. Default: `30m`."));
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
        let stage = config.required("stage");
        let request = CreatePromotion {
            stage: stage.clone(),
            freight: config.text("freight").map_or(FreightSelector::Newest, FreightSelector::Id),
            along: Vec::new(),
            reason: config.text("reason"),
            vars: [].into(),
            bypass: None,
            ensure: true,
            rehearsal: false,
        };
        let what = format!("promote to stage {project}/{stage}");
        let call = session.api.promote(&project, &request);
        let asked = session.order(&cx.cancel, (&what, UNSURE), call, diags).await;
        let Some(answer) = asked else { return };
        let begun = match answer {
            Ok(begun) => begun,
            Err(error) => {
                let summary = format!("Cannot {what}");
                return diags.error_at(Path::attribute("stage"), summary, detail(&error));
            }
        };
        let (id, freight) = (begun.id.clone(), begun.freight.clone());
        progress.report(format!("promotion {id} brings freight {freight} to {stage}")).await;
        if config.bool("wait").known() == Some(false) {
            return;
        }
        let timeout = config.text("timeout").and_then(|text| duration::parse(&text).ok());
        let timeout = timeout.unwrap_or(TIMEOUT);
        let patience = Patience { timeout, cancel: &cx.cancel, progress: Some(progress) };
        let followed = follow(&session, begun, patience).await;
        tell(&followed, timeout, &ADVICE, diags);
    }
}
