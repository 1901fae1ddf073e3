//! `lockstep_reverify`.

use std::time::Duration;

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::{Action, Context, Progress, Reader};
use provider_protocol::schema::{Attribute, Block, Schema};
use reconciler_api::v1;
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
    again: "The verification goes on; `lockstep watch` tells how it ends.",
    another: "invoke the action again to verify anew",
    superseded: "Invoke the action again to verify what is in the stage now.",
};

/// Has what is in a stage verified anew, and waits for the end.
pub(crate) struct Reverify;

#[async_trait]
impl Action<Session> for Reverify {
    fn type_name(&self) -> &'static str {
        "lockstep_reverify"
    }

    fn schema(&self) -> Schema {
        let block = Block::new()
            .describe(
                "Verifies anew what is in a stage, by the checks that the stage has now, and tells \
                 what happens until that ends. If it fails, the stage no longer vouches for the \
                 freight, and it is undone where the policies say so.",
            )
            .attribute("project", project_attribute())
            .attribute("stage", parsed::<StageName>().required().describe("The stage."))
            .attribute("reason", filled().describe("Why; recorded with the promotion."))
            .attribute(
                "wait",
                Attribute::bool()
                    .default(true)
                    .describe("Whether to wait until the verification ends."),
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
        let reverify = v1::Reverify { reason: config.text("reason") };
        let what = format!("verify stage {project}/{stage} anew");
        let call = session.api.reverify_stage(&project, &stage, &reverify);
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
        progress.report(format!("promotion {id} verifies freight {freight} in {stage}")).await;
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
