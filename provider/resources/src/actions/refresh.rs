//! `lockstep_refresh`.

use async_trait::async_trait;
use provider_protocol::Diagnostics;
use provider_protocol::cty::{Path, Value};
use provider_protocol::provider::{Action, Context, Progress, Reader};
use provider_protocol::schema::{Block, Schema};
use reconciler_domain::id::WarehouseName;

use super::{UNSURE, project, project_attribute};
use crate::attribute::parsed;
use crate::failure::detail;
use crate::form::Read as _;
use crate::session::Session;

/// Has the sources of a warehouse asked now.
pub(crate) struct Refresh;

#[async_trait]
impl Action<Session> for Refresh {
    fn type_name(&self) -> &'static str {
        "lockstep_refresh"
    }

    fn schema(&self) -> Schema {
        let block = Block::new()
            .describe("Has the sources of a warehouse asked now; does not wait for their answers.")
            .attribute("project", project_attribute())
            .attribute(
                "warehouse",
                parsed::<WarehouseName>().required().describe("The warehouse."),
            );
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
        let name = config.required("warehouse");
        let what = format!("refresh warehouse {project}/{name}");
        let call = session.api.refresh_warehouse(&project, &name);
        let asked = session.order(&cx.cancel, (&what, UNSURE), call, diags).await;
        let Some(answer) = asked else { return };
        match answer {
            Ok(_) => {
                progress.report(format!("the sources of warehouse {name} are being asked")).await;
            }
            Err(error) => {
                let summary = format!("Cannot {what}");
                diags.error_at(Path::attribute("warehouse"), summary, detail(&error));
            }
        }
    }
}
