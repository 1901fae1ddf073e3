//! Planning and invoking actions.

use futures::future::join;

use super::Server;
use super::call::Outlet;
use crate::diagnostic::Diagnostics;
use crate::plan;
use crate::provider::{Context, Progress, Provider};
use crate::secret::mask;
use crate::wire::tfplugin6::{invoke_action, plan_action};

impl<P: Provider> Server<P> {
    pub(super) async fn plan_action(
        &self,
        request: plan_action::Request,
        cx: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<plan_action::Response> {
        let entry = self.action(&request.action_type, diags)?;
        let config = entry.typed.decode(request.config.as_ref(), diags)?;
        let config = plan::with_defaults(&entry.typed.schema, &config);
        entry.item.plan(cx, &config, diags).await;
        Some(plan_action::Response::default())
    }

    pub(super) async fn invoke(
        &self,
        request: invoke_action::Request,
        cx: &Context<P::Client>,
        outlet: &Outlet<invoke_action::Event>,
        diags: &mut Diagnostics,
    ) {
        use invoke_action::event;
        let Some(entry) = self.action(&request.action_type, diags) else { return };
        let Some(config) = entry.typed.decode(request.config.as_ref(), diags) else { return };
        let config = plan::with_defaults(&entry.typed.schema, &config);
        let (progress, mut messages) = Progress::new();
        let act = async move {
            entry.item.invoke(cx, &config, &progress, diags).await;
        };
        let report = async {
            while let Some(message) = messages.recv().await {
                let progress =
                    event::Type::Progress(event::Progress { message: mask(&message).into_owned() });
                let event = invoke_action::Event { r#type: Some(progress) };
                if outlet.send(Ok(event)).await.is_err() {
                    break;
                }
            }
            messages.close();
        };
        join(act, report).await;
    }
}
