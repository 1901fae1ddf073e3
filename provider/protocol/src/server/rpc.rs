//! The service: which function answers which RPC.

use tonic::{Request, Response, Status, async_trait};

use super::Server;
use crate::provider::Provider;
use crate::wire::tfplugin6 as wire;
use crate::wire::tfplugin6::provider_server;

type Answer<T> = Result<Response<T>, Status>;

/// Answers `$rpc` of the message module `$message` with the method `$method`.
macro_rules! answer {
    ($self:ident, $request:ident, $rpc:literal, $subject:expr, $method:ident) => {
        $self
            .answer($rpc, $subject, $request, |server, request, cx, diags| {
                Box::pin(server.$method(request, cx, diags))
            })
            .await
    };
}

fn nobody<Q>(_: &Q) -> &str {
    ""
}

#[async_trait]
impl<P: Provider> provider_server::Provider for Server<P> {
    async fn get_metadata(
        &self,
        request: Request<wire::get_metadata::Request>,
    ) -> Answer<wire::get_metadata::Response> {
        answer!(self, request, "GetMetadata", nobody, metadata)
    }

    async fn get_provider_schema(
        &self,
        request: Request<wire::get_provider_schema::Request>,
    ) -> Answer<wire::get_provider_schema::Response> {
        answer!(self, request, "GetProviderSchema", nobody, provider_schema)
    }

    async fn get_resource_identity_schemas(
        &self,
        request: Request<wire::get_resource_identity_schemas::Request>,
    ) -> Answer<wire::get_resource_identity_schemas::Response> {
        answer!(self, request, "GetResourceIdentitySchemas", nobody, identity_schemas)
    }

    async fn get_functions(
        &self,
        request: Request<wire::get_functions::Request>,
    ) -> Answer<wire::get_functions::Response> {
        answer!(self, request, "GetFunctions", nobody, functions)
    }

    async fn validate_provider_config(
        &self,
        request: Request<wire::validate_provider_config::Request>,
    ) -> Answer<wire::validate_provider_config::Response> {
        answer!(self, request, "ValidateProviderConfig", nobody, validate_provider)
    }

    async fn validate_resource_config(
        &self,
        request: Request<wire::validate_resource_config::Request>,
    ) -> Answer<wire::validate_resource_config::Response> {
        answer!(self, request, "ValidateResourceConfig", |q| &q.type_name, validate_resource)
    }

    async fn validate_data_resource_config(
        &self,
        request: Request<wire::validate_data_resource_config::Request>,
    ) -> Answer<wire::validate_data_resource_config::Response> {
        answer!(self, request, "ValidateDataResourceConfig", |q| &q.type_name, validate_data)
    }

    async fn configure_provider(
        &self,
        request: Request<wire::configure_provider::Request>,
    ) -> Answer<wire::configure_provider::Response> {
        answer!(self, request, "ConfigureProvider", nobody, configure)
    }

    async fn stop_provider(
        &self,
        request: Request<wire::stop_provider::Request>,
    ) -> Answer<wire::stop_provider::Response> {
        answer!(self, request, "StopProvider", nobody, stop)
    }

    async fn upgrade_resource_state(
        &self,
        request: Request<wire::upgrade_resource_state::Request>,
    ) -> Answer<wire::upgrade_resource_state::Response> {
        answer!(self, request, "UpgradeResourceState", |q| &q.type_name, upgrade_state)
    }

    async fn read_resource(
        &self,
        request: Request<wire::read_resource::Request>,
    ) -> Answer<wire::read_resource::Response> {
        answer!(self, request, "ReadResource", |q| &q.type_name, read_resource)
    }

    async fn plan_resource_change(
        &self,
        request: Request<wire::plan_resource_change::Request>,
    ) -> Answer<wire::plan_resource_change::Response> {
        answer!(self, request, "PlanResourceChange", |q| &q.type_name, plan_change)
    }

    async fn apply_resource_change(
        &self,
        request: Request<wire::apply_resource_change::Request>,
    ) -> Answer<wire::apply_resource_change::Response> {
        answer!(self, request, "ApplyResourceChange", |q| &q.type_name, apply_change)
    }

    async fn import_resource_state(
        &self,
        request: Request<wire::import_resource_state::Request>,
    ) -> Answer<wire::import_resource_state::Response> {
        answer!(self, request, "ImportResourceState", |q| &q.type_name, import_state)
    }

    async fn move_resource_state(
        &self,
        request: Request<wire::move_resource_state::Request>,
    ) -> Answer<wire::move_resource_state::Response> {
        answer!(self, request, "MoveResourceState", |q| &q.target_type_name, move_state)
    }

    async fn read_data_source(
        &self,
        request: Request<wire::read_data_source::Request>,
    ) -> Answer<wire::read_data_source::Response> {
        answer!(self, request, "ReadDataSource", |q| &q.type_name, read_data)
    }

    async fn call_function(
        &self,
        request: Request<wire::call_function::Request>,
    ) -> Answer<wire::call_function::Response> {
        answer!(self, request, "CallFunction", |q| &q.name, call_function)
    }
}
