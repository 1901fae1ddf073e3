//! The service: which function answers which RPC.

use std::sync::Arc;

use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{Server, store};
use crate::provider::Provider;
use crate::wire::tfplugin6 as wire;
use crate::wire::tfplugin6::provider_server;

type Answer<T> = Result<Response<T>, Status>;

/// A provider as a service.
pub struct Service<P: Provider>(Arc<Server<P>>);

impl<P: Provider> Service<P> {
    /// A service of the provider, not configured yet.
    pub fn new(provider: P) -> Self {
        Self(Arc::new(Server::new(provider)))
    }
}

/// Answers the RPC of this name with a method of the server.
macro_rules! answer {
    ($self:ident, $request:ident, $rpc:literal, $method:ident) => {
        $self
            .0
            .answer($rpc, $request, |server, request, cx, diags| {
                Box::pin(server.$method(request, cx, diags))
            })
            .await
    };
}

#[async_trait]
impl<P: Provider> provider_server::Provider for Service<P> {
    async fn get_metadata(
        &self,
        request: Request<wire::get_metadata::Request>,
    ) -> Answer<wire::get_metadata::Response> {
        answer!(self, request, "GetMetadata", metadata)
    }

    async fn get_provider_schema(
        &self,
        request: Request<wire::get_provider_schema::Request>,
    ) -> Answer<wire::get_provider_schema::Response> {
        answer!(self, request, "GetProviderSchema", provider_schema)
    }

    async fn get_resource_identity_schemas(
        &self,
        request: Request<wire::get_resource_identity_schemas::Request>,
    ) -> Answer<wire::get_resource_identity_schemas::Response> {
        answer!(self, request, "GetResourceIdentitySchemas", identity_schemas)
    }

    async fn get_functions(
        &self,
        request: Request<wire::get_functions::Request>,
    ) -> Answer<wire::get_functions::Response> {
        answer!(self, request, "GetFunctions", functions)
    }

    async fn validate_provider_config(
        &self,
        request: Request<wire::validate_provider_config::Request>,
    ) -> Answer<wire::validate_provider_config::Response> {
        answer!(self, request, "ValidateProviderConfig", validate_provider)
    }

    async fn validate_resource_config(
        &self,
        request: Request<wire::validate_resource_config::Request>,
    ) -> Answer<wire::validate_resource_config::Response> {
        answer!(self, request, "ValidateResourceConfig", validate_resource)
    }

    async fn validate_data_resource_config(
        &self,
        request: Request<wire::validate_data_resource_config::Request>,
    ) -> Answer<wire::validate_data_resource_config::Response> {
        answer!(self, request, "ValidateDataResourceConfig", validate_data)
    }

    async fn validate_ephemeral_resource_config(
        &self,
        request: Request<wire::validate_ephemeral_resource_config::Request>,
    ) -> Answer<wire::validate_ephemeral_resource_config::Response> {
        answer!(self, request, "ValidateEphemeralResourceConfig", validate_ephemeral)
    }

    async fn validate_list_resource_config(
        &self,
        request: Request<wire::validate_list_resource_config::Request>,
    ) -> Answer<wire::validate_list_resource_config::Response> {
        answer!(self, request, "ValidateListResourceConfig", validate_list)
    }

    async fn validate_action_config(
        &self,
        request: Request<wire::validate_action_config::Request>,
    ) -> Answer<wire::validate_action_config::Response> {
        answer!(self, request, "ValidateActionConfig", validate_action)
    }

    async fn configure_provider(
        &self,
        request: Request<wire::configure_provider::Request>,
    ) -> Answer<wire::configure_provider::Response> {
        answer!(self, request, "ConfigureProvider", configure)
    }

    async fn stop_provider(
        &self,
        request: Request<wire::stop_provider::Request>,
    ) -> Answer<wire::stop_provider::Response> {
        answer!(self, request, "StopProvider", stop)
    }

    async fn upgrade_resource_state(
        &self,
        request: Request<wire::upgrade_resource_state::Request>,
    ) -> Answer<wire::upgrade_resource_state::Response> {
        answer!(self, request, "UpgradeResourceState", upgrade_state)
    }

    async fn upgrade_resource_identity(
        &self,
        request: Request<wire::upgrade_resource_identity::Request>,
    ) -> Answer<wire::upgrade_resource_identity::Response> {
        answer!(self, request, "UpgradeResourceIdentity", upgrade_identity)
    }

    async fn read_resource(
        &self,
        request: Request<wire::read_resource::Request>,
    ) -> Answer<wire::read_resource::Response> {
        answer!(self, request, "ReadResource", read_resource)
    }

    async fn plan_resource_change(
        &self,
        request: Request<wire::plan_resource_change::Request>,
    ) -> Answer<wire::plan_resource_change::Response> {
        answer!(self, request, "PlanResourceChange", plan_change)
    }

    async fn apply_resource_change(
        &self,
        request: Request<wire::apply_resource_change::Request>,
    ) -> Answer<wire::apply_resource_change::Response> {
        answer!(self, request, "ApplyResourceChange", apply_change)
    }

    async fn import_resource_state(
        &self,
        request: Request<wire::import_resource_state::Request>,
    ) -> Answer<wire::import_resource_state::Response> {
        answer!(self, request, "ImportResourceState", import_state)
    }

    async fn move_resource_state(
        &self,
        request: Request<wire::move_resource_state::Request>,
    ) -> Answer<wire::move_resource_state::Response> {
        answer!(self, request, "MoveResourceState", move_state)
    }

    async fn generate_resource_config(
        &self,
        request: Request<wire::generate_resource_config::Request>,
    ) -> Answer<wire::generate_resource_config::Response> {
        answer!(self, request, "GenerateResourceConfig", generate)
    }

    async fn read_data_source(
        &self,
        request: Request<wire::read_data_source::Request>,
    ) -> Answer<wire::read_data_source::Response> {
        answer!(self, request, "ReadDataSource", read_data)
    }

    async fn call_function(
        &self,
        request: Request<wire::call_function::Request>,
    ) -> Answer<wire::call_function::Response> {
        answer!(self, request, "CallFunction", call_function)
    }

    async fn open_ephemeral_resource(
        &self,
        request: Request<wire::open_ephemeral_resource::Request>,
    ) -> Answer<wire::open_ephemeral_resource::Response> {
        answer!(self, request, "OpenEphemeralResource", open)
    }

    async fn renew_ephemeral_resource(
        &self,
        request: Request<wire::renew_ephemeral_resource::Request>,
    ) -> Answer<wire::renew_ephemeral_resource::Response> {
        answer!(self, request, "RenewEphemeralResource", renew)
    }

    async fn close_ephemeral_resource(
        &self,
        request: Request<wire::close_ephemeral_resource::Request>,
    ) -> Answer<wire::close_ephemeral_resource::Response> {
        answer!(self, request, "CloseEphemeralResource", close)
    }

    async fn plan_action(
        &self,
        request: Request<wire::plan_action::Request>,
    ) -> Answer<wire::plan_action::Response> {
        answer!(self, request, "PlanAction", plan_action)
    }

    async fn list_resource(
        &self,
        request: Request<wire::list_resource::Request>,
    ) -> Answer<BoxStream<wire::list_resource::Event>> {
        self.0.stream("ListResource", request, |server, request, cx, outlet, diags| {
            Box::pin(server.list(request, cx, outlet, diags))
        })
    }

    async fn invoke_action(
        &self,
        request: Request<wire::invoke_action::Request>,
    ) -> Answer<BoxStream<wire::invoke_action::Event>> {
        self.0.stream("InvokeAction", request, |server, request, cx, outlet, diags| {
            Box::pin(server.invoke(request, cx, outlet, diags))
        })
    }

    async fn validate_state_store_config(
        &self,
        request: Request<wire::validate_state_store::Request>,
    ) -> Answer<wire::validate_state_store::Response> {
        self.0.no_store("ValidateStateStoreConfig", request).await
    }

    async fn configure_state_store(
        &self,
        request: Request<wire::configure_state_store::Request>,
    ) -> Answer<wire::configure_state_store::Response> {
        self.0.no_store("ConfigureStateStore", request).await
    }

    async fn lock_state(
        &self,
        request: Request<wire::lock_state::Request>,
    ) -> Answer<wire::lock_state::Response> {
        self.0.no_store("LockState", request).await
    }

    async fn unlock_state(
        &self,
        request: Request<wire::unlock_state::Request>,
    ) -> Answer<wire::unlock_state::Response> {
        self.0.no_store("UnlockState", request).await
    }

    async fn get_states(
        &self,
        request: Request<wire::get_states::Request>,
    ) -> Answer<wire::get_states::Response> {
        self.0.no_store("GetStates", request).await
    }

    async fn delete_state(
        &self,
        request: Request<wire::delete_state::Request>,
    ) -> Answer<wire::delete_state::Response> {
        self.0.no_store("DeleteState", request).await
    }

    async fn read_state_bytes(
        &self,
        request: Request<wire::read_state_bytes::Request>,
    ) -> Answer<BoxStream<wire::read_state_bytes::Response>> {
        self.0.stream("ReadStateBytes", request, |_, request, _, _, diags| {
            store::refuse(&request, diags);
            Box::pin(async {})
        })
    }

    async fn write_state_bytes(
        &self,
        _: Request<Streaming<wire::write_state_bytes::RequestChunk>>,
    ) -> Answer<wire::write_state_bytes::Response> {
        Ok(store::no_upload())
    }
}
