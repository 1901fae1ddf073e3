//! A client over the wire: it reads the schemas, turns values into messages and back, and leaves
//! every rule to whoever asks.

use std::collections::HashMap;
use std::fmt;

use provider_protocol::cty::conform::conform;
use provider_protocol::cty::{Type, Value, msgpack};
use provider_protocol::provider::Provider;
use provider_protocol::schema::Schema;
use provider_protocol::wire::tfplugin6 as wire;
use provider_protocol::wire::tfplugin6::attribute_path::step::Selector;
use provider_protocol::wire::tfplugin6::diagnostic::Severity;
use provider_protocol::wire::tfplugin6::provider_client::ProviderClient;
use provider_protocol::wire::tfplugin6::{
    AttributePath, ClientCapabilities, Diagnostic, DynamicValue, ResourceIdentityData,
};
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceExt as _};

/// What carries the calls.
pub type Transport = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, BoxError>;

/// The calls of a provider. Clones speak to the same provider, also while one of them waits.
pub type Calls = ProviderClient<Transport>;

/// A client that can do everything.
pub const CAPABLE: ClientCapabilities = ClientCapabilities {
    deferral_allowed: true,
    write_only_attributes_allowed: true,
    store_planned_private: true,
    computed_blocks_allowed: true,
};

/// A client of one provider.
pub struct Client {
    /// The calls themselves, for what has no method here.
    pub calls: Calls,
    /// What the provider offers.
    pub offer: wire::get_provider_schema::Response,
    identities: HashMap<String, wire::ResourceIdentitySchema>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// A client over a connection, or over anything else that answers requests.
    pub async fn over<T>(transport: T) -> Self
    where
        T: Service<http::Request<Body>, Response = http::Response<Body>>
            + Clone
            + Send
            + Sync
            + 'static,
        T::Error: Into<BoxError>,
        T::Future: Send,
    {
        let transport = BoxCloneSyncService::new(transport.map_err(Into::into));
        let mut calls = ProviderClient::new(transport).max_decoding_message_size(64 << 20);
        let offer = calls.get_provider_schema(wire::get_provider_schema::Request {}).await;
        let request = wire::get_resource_identity_schemas::Request {};
        let identities = calls.get_resource_identity_schemas(request).await;
        let identities = identities.expect("an answer").into_inner().identity_schemas;
        Self { calls, offer: offer.expect("an answer").into_inner(), identities }
    }

    /// A client of a provider in this process, with every byte of the wire and no connection.
    pub async fn in_process<P: Provider>(provider: P) -> Self {
        Self::over(provider_protocol::service(provider)).await
    }

    /// Configures the provider, as a client that can do everything; what it said.
    pub async fn configure(&mut self, config: &Value) -> Vec<String> {
        let schema = self.offer.provider.as_ref().expect("even an empty one");
        let request = wire::configure_provider::Request {
            terraform_version: "1.16.0".to_owned(),
            config: encode(config, &crate::read_schema(schema).ty()),
            client_capabilities: Some(CAPABLE),
        };
        let answer = self.calls.configure_provider(request).await.expect("an answer");
        texts(&answer.into_inner().diagnostics)
    }

    /// The client of one resource type.
    pub fn resource(&mut self, type_name: &str) -> Resource<'_> {
        let schema = self.offer.resource_schemas.get(type_name).expect("the type is offered");
        let schema = crate::read_schema(schema);
        let identity = self.identities.get(type_name).map(identity_type);
        let (calls, type_name) = (&mut self.calls, type_name.to_owned());
        Resource { calls, type_name, ty: schema.ty(), schema, identity }
    }
}

fn identity_type(schema: &wire::ResourceIdentitySchema) -> Type {
    Type::object(schema.identity_attributes.iter().map(|attribute| {
        (attribute.name.clone(), Type::from_wire(&attribute.r#type).expect("a type"))
    }))
}

/// The client of one resource type.
#[derive(Debug)]
pub struct Resource<'c> {
    calls: &'c mut Calls,
    type_name: String,
    /// Its schema, as a client reads it.
    pub schema: Schema,
    /// The type of its values.
    pub ty: Type,
    identity: Option<Type>,
}

/// An object, as a client keeps it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// The state, or the planned one; null where there is none.
    pub value: Value,
    /// What the provider keeps beside it.
    pub private: Vec<u8>,
    /// Its identity; null where there is none.
    pub identity: Value,
}

/// An answer, and what was said with it.
#[derive(Clone, Debug)]
pub struct Told<T> {
    /// The answer.
    pub answer: T,
    /// The diagnostics.
    pub diags: Vec<Diagnostic>,
}

impl<T> Told<T> {
    /// The answer; panics if there is an error beside it.
    #[track_caller]
    pub fn ok(self) -> T {
        assert!(!self.has_errors(), "{:#?}", texts(&self.diags));
        self.answer
    }

    /// Whether one of the diagnostics is an error.
    pub fn has_errors(&self) -> bool {
        self.diags.iter().any(|diag| diag.severity() == Severity::Error)
    }
}

/// What a plan says.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The planned object.
    pub object: Object,
    /// Whose change replaces it.
    pub requires_replace: Vec<AttributePath>,
}

impl Resource<'_> {
    /// Checks a configuration; what was said of it.
    pub async fn validate(&mut self, config: &Value) -> Vec<Diagnostic> {
        let request = wire::validate_resource_config::Request {
            type_name: self.type_name.clone(),
            config: encode(config, &self.ty),
            client_capabilities: Some(CAPABLE),
        };
        let answer = self.calls.validate_resource_config(request).await.expect("an answer");
        answer.into_inner().diagnostics
    }

    /// Plans for what is proposed; null for a destroy.
    pub async fn plan(
        &mut self,
        prior: &Object,
        proposed: &Value,
        config: &Value,
        earlier: &[u8],
    ) -> Told<Planned> {
        let request = wire::plan_resource_change::Request {
            type_name: self.type_name.clone(),
            prior_state: encode(&prior.value, &self.ty),
            proposed_new_state: encode(proposed, &self.ty),
            config: encode(config, &self.ty),
            prior_private: prior.private.clone(),
            client_capabilities: Some(CAPABLE),
            prior_identity: self.encode_identity(&prior.identity),
            planned_private: earlier.to_vec(),
            ..wire::plan_resource_change::Request::default()
        };
        let answer =
            self.calls.plan_resource_change(request).await.expect("an answer").into_inner();
        assert_eq!(answer.deferred, None, "nothing is put off");
        let object = Object {
            value: decode(answer.planned_state.as_ref(), &self.ty),
            private: answer.planned_private,
            identity: self.decode_identity(answer.planned_identity.as_ref()),
        };
        let answer_paths = answer.requires_replace;
        Told {
            answer: Planned { object, requires_replace: answer_paths },
            diags: answer.diagnostics,
        }
    }

    /// Carries out a plan.
    pub async fn apply(
        &mut self,
        prior: &Object,
        planned: &Object,
        config: &Value,
    ) -> Told<Object> {
        let request = wire::apply_resource_change::Request {
            type_name: self.type_name.clone(),
            prior_state: encode(&prior.value, &self.ty),
            planned_state: encode(&planned.value, &self.ty),
            config: encode(config, &self.ty),
            planned_private: planned.private.clone(),
            planned_identity: self.encode_identity(&planned.identity),
            ..wire::apply_resource_change::Request::default()
        };
        let answer =
            self.calls.apply_resource_change(request).await.expect("an answer").into_inner();
        let answer_object = Object {
            value: decode(answer.new_state.as_ref(), &self.ty),
            private: answer.private,
            identity: self.decode_identity(answer.new_identity.as_ref()),
        };
        Told { answer: answer_object, diags: answer.diagnostics }
    }

    /// Reads what is there.
    pub async fn read(&mut self, object: &Object) -> Told<Object> {
        let request = wire::read_resource::Request {
            type_name: self.type_name.clone(),
            current_state: encode(&object.value, &self.ty),
            private: object.private.clone(),
            client_capabilities: Some(CAPABLE),
            current_identity: self.encode_identity(&object.identity),
            ..wire::read_resource::Request::default()
        };
        let answer = self.calls.read_resource(request).await.expect("an answer").into_inner();
        assert_eq!(answer.deferred, None, "nothing is put off");
        let read = Object {
            value: decode(answer.new_state.as_ref(), &self.ty),
            private: answer.private,
            identity: self.decode_identity(answer.new_identity.as_ref()),
        };
        Told { answer: read, diags: answer.diagnostics }
    }

    /// Imports by id.
    pub async fn import(&mut self, id: &str) -> Told<Object> {
        self.imported(id.to_owned(), None).await
    }

    /// Imports by identity.
    pub async fn import_identity(&mut self, identity: &Value) -> Told<Object> {
        let identity = self.encode_identity(identity);
        self.imported(String::new(), identity).await
    }

    async fn imported(
        &mut self,
        id: String,
        identity: Option<ResourceIdentityData>,
    ) -> Told<Object> {
        let request = wire::import_resource_state::Request {
            type_name: self.type_name.clone(),
            id,
            client_capabilities: Some(CAPABLE),
            identity,
        };
        let answer =
            self.calls.import_resource_state(request).await.expect("an answer").into_inner();
        assert_eq!(answer.deferred, None, "nothing is put off");
        let imported = answer.imported_resources.first().map(|imported| Object {
            value: decode(imported.state.as_ref(), &self.ty),
            private: imported.private.clone(),
            identity: self.decode_identity(imported.identity.as_ref()),
        });
        Told { answer: imported.unwrap_or_default(), diags: answer.diagnostics }
    }

    /// Brings a state in JSON up to date.
    pub async fn upgrade(&mut self, version: i64, json: &[u8]) -> Told<Value> {
        let request = wire::upgrade_resource_state::Request {
            type_name: self.type_name.clone(),
            version,
            raw_state: Some(wire::RawState { json: json.to_vec(), ..wire::RawState::default() }),
        };
        let answer =
            self.calls.upgrade_resource_state(request).await.expect("an answer").into_inner();
        Told { answer: decode(answer.upgraded_state.as_ref(), &self.ty), diags: answer.diagnostics }
    }

    /// Makes a configuration of a state.
    pub async fn generate(&mut self, state: &Value) -> Told<Value> {
        let request = wire::generate_resource_config::Request {
            type_name: self.type_name.clone(),
            state: encode(state, &self.ty),
        };
        let answer = self.calls.generate_resource_config(request).await.expect("an answer");
        let answer = answer.into_inner();
        Told { answer: decode(answer.config.as_ref(), &self.ty), diags: answer.diagnostics }
    }

    fn encode_identity(&self, identity: &Value) -> Option<ResourceIdentityData> {
        let ty = self.identity.as_ref().filter(|_| !identity.is_null())?;
        Some(ResourceIdentityData { identity_data: encode(identity, ty) })
    }

    fn decode_identity(&self, identity: Option<&ResourceIdentityData>) -> Value {
        let ty = self.identity.as_ref();
        ty.zip(identity).map_or(Value::Null, |(ty, data)| decode(data.identity_data.as_ref(), ty))
    }
}

/// A value for the wire.
#[must_use]
pub fn encode(value: &Value, ty: &Type) -> Option<DynamicValue> {
    let value = conform(value.clone(), ty).expect("of the type");
    let msgpack = msgpack::encode(&value, ty).expect("of the type");
    Some(DynamicValue { msgpack, json: Vec::new() })
}

/// A value from the wire; null where there is none.
#[must_use]
pub fn decode(value: Option<&DynamicValue>, ty: &Type) -> Value {
    value.map_or(Value::Null, |value| msgpack::decode(&value.msgpack, ty).expect("of the type"))
}

/// Each diagnostic as `SEVERITY at PATH: SUMMARY: DETAIL`.
#[must_use]
pub fn texts(diags: &[Diagnostic]) -> Vec<String> {
    let text = |diag: &Diagnostic| {
        let severity = match diag.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Invalid => panic!("a diagnostic without severity: {diag:?}"),
        };
        let path = diag.attribute.as_ref().map(path).unwrap_or_default();
        format!("{severity} at {path}: {}: {}", diag.summary, diag.detail)
    };
    diags.iter().map(text).collect()
}

/// A path as `a.0.b`.
#[must_use]
pub fn path(path: &AttributePath) -> String {
    let steps = path.steps.iter().map(|step| match step.selector.as_ref().expect("a selector") {
        Selector::AttributeName(name) | Selector::ElementKeyString(name) => name.clone(),
        Selector::ElementKeyInt(index) => index.to_string(),
    });
    steps.collect::<Vec<_>>().join(".")
}
