//! Checking configurations. Offline: this is called in processes that are never configured, and
//! with values that are not known yet.

use super::Server;
use crate::cty::Value;
use crate::diagnostic::Diagnostics;
use crate::plan;
use crate::provider::{Context, Provider};
use crate::schema::Schema;
use crate::wire::tfplugin6::{
    ClientCapabilities, validate_data_resource_config, validate_provider_config,
    validate_resource_config,
};

impl<P: Provider> Server<P> {
    pub(super) async fn validate_provider(
        &self,
        request: validate_provider_config::Request,
        _: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<validate_provider_config::Response> {
        let typed = &self.offer().provider;
        let config = typed.decode(request.config.as_ref(), diags)?;
        by_schema(&typed.schema, &config, true, diags);
        self.provider.validate(&config, diags).await;
        Some(validate_provider_config::Response::default())
    }

    pub(super) async fn validate_resource(
        &self,
        request: validate_resource_config::Request,
        cx: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<validate_resource_config::Response> {
        let entry = self.resource(&request.type_name, diags)?;
        let config = entry.typed.decode(request.config.as_ref(), diags)?;
        let allowed = write_only_allowed(request.client_capabilities.as_ref());
        by_schema(&entry.typed.schema, &config, allowed, diags);
        entry.item.validate(&offline(cx, allowed), &config, diags).await;
        Some(validate_resource_config::Response::default())
    }

    pub(super) async fn validate_data(
        &self,
        request: validate_data_resource_config::Request,
        cx: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<validate_data_resource_config::Response> {
        let entry = self.data_source(&request.type_name, diags)?;
        let config = entry.typed.decode(request.config.as_ref(), diags)?;
        by_schema(&entry.typed.schema, &config, true, diags);
        entry.item.validate(&offline(cx, true), &config, diags).await;
        Some(validate_data_resource_config::Response::default())
    }
}

pub(super) fn write_only_allowed(capabilities: Option<&ClientCapabilities>) -> bool {
    capabilities.is_some_and(|client| client.write_only_attributes_allowed)
}

/// Without the client, so that a check cannot come to depend on it.
fn offline<C>(cx: &Context<C>, write_only_allowed: bool) -> Context<C> {
    Context {
        client: None,
        cancel: cx.cancel.clone(),
        request_id: cx.request_id.clone(),
        write_only_allowed,
    }
}

fn by_schema(schema: &Schema, config: &Value, write_only_allowed: bool, diags: &mut Diagnostics) {
    for violation in plan::validate(&schema.block, config, write_only_allowed) {
        diags.error_at(violation.path, "Invalid value", violation.problem);
    }
}
