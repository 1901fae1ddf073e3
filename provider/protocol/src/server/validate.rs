//! Checking configurations. Offline: this is called in processes that are never configured, and
//! with values that are not known yet.

use super::Server;
use crate::cty::Value;
use crate::diagnostic::Diagnostics;
use crate::plan;
use crate::provider::{Context, Provider};
use crate::schema::Schema;
use crate::wire::tfplugin6::{
    validate_action_config, validate_data_resource_config, validate_ephemeral_resource_config,
    validate_list_resource_config, validate_provider_config, validate_resource_config,
};

/// A method that validates by a schema and then asks what has it.
macro_rules! validate {
    ($($method:ident: $message:ident by $find:ident;)+) => {$(
        pub(super) async fn $method(
            &self,
            request: $message::Request,
            cx: &Context<P::Client>,
            diags: &mut Diagnostics,
        ) -> Option<$message::Response> {
            let entry = self.$find(&request.type_name, diags)?;
            let config = entry.typed.decode(request.config.as_ref(), diags)?;
            by_schema(&entry.typed.schema, &config, true, diags);
            entry.item.validate(&offline(cx), &config, diags).await;
            Some($message::Response::default())
        }
    )+};
}

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

    /// The only ones that are kept, so the only ones whose write-only values need a client that
    /// keeps them out.
    pub(super) async fn validate_resource(
        &self,
        request: validate_resource_config::Request,
        cx: &Context<P::Client>,
        diags: &mut Diagnostics,
    ) -> Option<validate_resource_config::Response> {
        let entry = self.resource(&request.type_name, diags)?;
        let config = entry.typed.decode(request.config.as_ref(), diags)?;
        by_schema(&entry.typed.schema, &config, cx.capabilities.write_only, diags);
        entry.item.validate(&offline(cx), &config, diags).await;
        Some(validate_resource_config::Response::default())
    }

    validate! {
        validate_data: validate_data_resource_config by data_source;
        validate_ephemeral: validate_ephemeral_resource_config by ephemeral;
        validate_list: validate_list_resource_config by list_resource;
        validate_action: validate_action_config by action;
    }
}

/// Without the client, so that a check cannot come to depend on it.
fn offline<C>(cx: &Context<C>) -> Context<C> {
    Context { client: None, ..cx.clone() }
}

fn by_schema(schema: &Schema, config: &Value, write_only_allowed: bool, diags: &mut Diagnostics) {
    for violation in plan::validate(&schema.block, config, write_only_allowed) {
        diags.error_at(violation.path, "Invalid value", violation.problem);
    }
}
