//! Taking the configuration into use, and being told to stop.

use std::sync::PoisonError;

use tokio_util::sync::CancellationToken;

use super::{Configured, Server};
use crate::diagnostic::Diagnostics;
use crate::provider::{Configure, Context, Provider};
use crate::wire::tfplugin6::{configure_provider, stop_provider};

impl<P: Provider> Server<P> {
    pub(super) async fn configure(
        &self,
        request: configure_provider::Request,
        cx: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<configure_provider::Response> {
        let cancel = self.forget_stop();
        let config = self.offer().provider.decode(request.config.as_ref(), diags)?;
        let configure = Configure {
            config: &config,
            tool_version: &request.terraform_version,
            capabilities: cx.capabilities,
            cancel: &cancel,
        };
        let client = self.provider.configure(configure, diags).await;
        let configured = Configured { client, capabilities: cx.capabilities };
        *self.configured.write().unwrap_or_else(PoisonError::into_inner) = configured;
        Some(configure_provider::Response::default())
    }

    /// In one process that serves several runs, a stop is of the run that it came in. What tells
    /// of the stop of this run.
    fn forget_stop(&self) -> CancellationToken {
        let mut stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        if stop.is_cancelled() {
            *stop = CancellationToken::new();
        }
        stop.clone()
    }

    pub(super) async fn stop(
        &self,
        _: stop_provider::Request,
        cx: &Context<P::Client>,
        _: &mut Diagnostics,
    ) -> Option<stop_provider::Response> {
        cx.cancel.cancel();
        Some(stop_provider::Response::default())
    }
}
