//! Generating the configuration of an object that is there.

use super::Server;
use crate::diagnostic::Diagnostics;
use crate::provider::{Context, Provider};
use crate::wire::tfplugin6::generate_resource_config;

impl<P: Provider> Server<P> {
    pub(super) async fn generate(
        &self,
        request: generate_resource_config::Request,
        _: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<generate_resource_config::Response> {
        let entry = self.resource(&request.type_name, diags)?;
        let state = entry.typed.decode(request.state.as_ref(), diags)?;
        let config = entry.typed.schema.block.configuration(&state);
        let config = entry.typed.conform(entry.item.generate(&state, config), diags)?;
        Some(generate_resource_config::Response {
            config: entry.typed.encode(&config, diags),
            diagnostics: Vec::new(),
        })
    }
}
