//! A host that has the example provider configured, and speaks to it over the wire.

use std::path::Path;
use std::time::Duration;

use provider_kit::client::{decode, encode};
use provider_kit::host::{self, Identity, Started};
use provider_kit::read_schema;
use provider_protocol::cty::conform::conform;
use provider_protocol::cty::{Type, Value};
use provider_protocol::plan::proposed_new;
use provider_protocol::schema::Schema;
use provider_protocol::wire::plugin::Empty;
use provider_protocol::wire::plugin::grpc_controller_client::GrpcControllerClient;
use provider_protocol::wire::tfplugin6 as wire;
use provider_protocol::wire::tfplugin6::provider_client::ProviderClient;
use tonic::transport::Channel;

/// The example provider.
pub(crate) const PROVIDER: &str = env!("CARGO_BIN_EXE_terraform-provider-notes");
pub(crate) const NOTE: &str = "notes_note";
/// Longer than any end may take, and shorter than the wait of a host that then kills.
pub(crate) const END: Duration = Duration::from_millis(1500);

/// Starts the example provider. With an identity it is asked for mutual TLS.
pub(crate) async fn start(identity: Option<&Identity>, variables: &[(&str, &str)]) -> Started {
    host::start(Path::new(PROVIDER), identity, variables).await
}

pub(crate) struct Session {
    pub(crate) client: ProviderClient<Channel>,
    pub(crate) channel: Channel,
    pub(crate) note: Type,
    schema: Schema,
}

impl Session {
    pub(crate) async fn open(started: &Started, identity: Option<&Identity>, notes: &Path) -> Self {
        let channel = started.connect(identity).await.expect("a connection");
        let mut client = ProviderClient::new(channel.clone());
        let schemas = client.get_provider_schema(wire::get_provider_schema::Request {}).await;
        let schemas = schemas.expect("an answer").into_inner();
        let schema = read_schema(&schemas.resource_schemas[NOTE]);
        let ty = read_schema(schemas.provider.as_ref().expect("even an empty one")).ty();
        let config = Value::object([("directory", Value::from(notes.to_str().expect("UTF-8")))]);
        let request = wire::configure_provider::Request {
            terraform_version: "1.11.4".to_owned(),
            config: encode(&config, &ty),
            client_capabilities: None,
        };
        let configured = client.configure_provider(request).await.expect("an answer");
        assert_eq!(configured.into_inner().diagnostics, []);
        Self { client, channel, note: schema.ty(), schema }
    }

    pub(crate) async fn validate(&mut self, config: &Value) -> Vec<wire::Diagnostic> {
        let request = wire::validate_resource_config::Request {
            type_name: NOTE.to_owned(),
            config: encode(config, &self.note),
            client_capabilities: None,
        };
        let answer = self.client.validate_resource_config(request).await.expect("an answer");
        answer.into_inner().diagnostics
    }

    pub(crate) async fn plan(
        &mut self,
        prior: &Value,
        config: &Value,
    ) -> wire::plan_resource_change::Response {
        self.plan_again(prior, config, &[]).await
    }

    /// Plans with what an earlier plan kept.
    pub(crate) async fn plan_again(
        &mut self,
        prior: &Value,
        config: &Value,
        kept: &[u8],
    ) -> wire::plan_resource_change::Response {
        let full = conform(config.clone(), &self.note).expect("of the type");
        let proposed = if config.is_null() {
            Value::Null
        } else {
            proposed_new(&self.schema.block, prior, &full)
        };
        let request = wire::plan_resource_change::Request {
            type_name: NOTE.to_owned(),
            prior_state: encode(prior, &self.note),
            proposed_new_state: encode(&proposed, &self.note),
            config: encode(config, &self.note),
            prior_private: b"kept".to_vec(),
            planned_private: kept.to_vec(),
            ..wire::plan_resource_change::Request::default()
        };
        self.client.plan_resource_change(request).await.expect("an answer").into_inner()
    }

    pub(crate) async fn apply(
        &mut self,
        prior: &Value,
        plan: &wire::plan_resource_change::Response,
        config: &Value,
    ) -> wire::apply_resource_change::Response {
        let request = wire::apply_resource_change::Request {
            type_name: NOTE.to_owned(),
            prior_state: encode(prior, &self.note),
            planned_state: plan.planned_state.clone(),
            config: encode(config, &self.note),
            planned_private: plan.planned_private.clone(),
            ..wire::apply_resource_change::Request::default()
        };
        self.client.apply_resource_change(request).await.expect("an answer").into_inner()
    }

    pub(crate) async fn read(&mut self, state: &Value) -> Value {
        let request = wire::read_resource::Request {
            type_name: NOTE.to_owned(),
            current_state: encode(state, &self.note),
            private: b"kept".to_vec(),
            ..wire::read_resource::Request::default()
        };
        let answer = self.client.read_resource(request).await.expect("an answer").into_inner();
        assert_eq!(answer.diagnostics, []);
        decode(answer.new_state.as_ref(), &self.note)
    }

    pub(crate) async fn shut_down(self, started: Started) {
        let mut controller = GrpcControllerClient::new(self.channel);
        // The answer may be lost with the process.
        drop(controller.shutdown(Empty {}).await);
        let (stdout, stderr, code) =
            tokio::time::timeout(END, started.end()).await.expect("an end in time");
        assert_eq!((stdout.as_str(), stderr.as_str(), code), ("", "", Some(0)));
    }
}
