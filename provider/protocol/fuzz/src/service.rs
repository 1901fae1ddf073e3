//! The service as a whole: any bytes in place of any value of any call. Whatever comes, it is
//! answered, and never by a crash.

use std::cell::OnceCell;
use std::sync::Arc;

use async_trait::async_trait;
use provider_protocol::cty::{Type, Value};
use provider_protocol::provider::{
    Action, Change, Configure, Context, DataSource, Destroy, EphemeralResource, Found, Function,
    FunctionError, ListResource, Listed, Move, Opened, Parameter, Progress, Provider, Query,
    Renewed, Resource, Signature, State,
};
use provider_protocol::schema::{Identity, Schema};
use provider_protocol::wire::tfplugin6 as wire;
use provider_protocol::wire::tfplugin6::DynamicValue;
use provider_protocol::wire::tfplugin6::provider_server::Provider as _;
use provider_protocol::{Diagnostics, Service};
use tokio::runtime::Runtime;
use tonic::Request;
use tonic::codegen::tokio_stream::StreamExt as _;

use super::shape::schema;
use super::split;

/// One of everything, with nothing behind it: what comes in goes out.
struct Mirror;

const NAME: &str = "mirror_thing";

#[async_trait]
impl Provider for Mirror {
    type Client = ();

    fn address(&self) -> &'static str {
        "acme/mirror"
    }

    fn schema(&self) -> Schema {
        schema()
    }

    async fn configure(&self, _: Configure<'_>, _: &mut Diagnostics) -> Option<Arc<()>> {
        Some(Arc::new(()))
    }

    fn resources(&self) -> Vec<Arc<dyn Resource<()>>> {
        vec![Arc::new(Self)]
    }

    fn data_sources(&self) -> Vec<Arc<dyn DataSource<()>>> {
        vec![Arc::new(Self)]
    }

    fn functions(&self) -> Vec<Arc<dyn Function>> {
        vec![Arc::new(Self)]
    }

    fn ephemeral_resources(&self) -> Vec<Arc<dyn EphemeralResource<()>>> {
        vec![Arc::new(Self)]
    }

    fn list_resources(&self) -> Vec<Arc<dyn ListResource<()>>> {
        vec![Arc::new(Self)]
    }

    fn actions(&self) -> Vec<Arc<dyn Action<()>>> {
        vec![Arc::new(Self)]
    }
}

#[async_trait]
impl Resource<()> for Mirror {
    fn type_name(&self) -> &'static str {
        NAME
    }

    fn schema(&self) -> Schema {
        schema().version(1)
    }

    fn identity(&self) -> Option<Identity> {
        let ty = || Type::list(Type::String);
        Some(Identity::new().required("i", Type::String, "").optional("t", ty(), ""))
    }

    async fn create(&self, _: &Context<()>, it: Change<'_>, _: &mut Diagnostics) -> Option<State> {
        Some(State::new(it.planned.clone()))
    }

    async fn read(&self, _: &Context<()>, state: &State, _: &mut Diagnostics) -> Option<State> {
        Some(state.clone())
    }

    async fn update(&self, _: &Context<()>, it: Change<'_>, _: &mut Diagnostics) -> Option<State> {
        Some(State::new(it.planned.clone()))
    }

    async fn delete(&self, _: &Context<()>, _: Destroy<'_>, _: &mut Diagnostics) {}

    async fn import(&self, _: &Context<()>, id: &str, _: &mut Diagnostics) -> Option<State> {
        Some(State::new(Value::object([("i", Value::from(id))])))
    }

    async fn upgrade(
        &self,
        _: i64,
        state: &serde_json::Value,
        _: &mut Diagnostics,
    ) -> Option<Value> {
        Some(Value::from(state))
    }

    async fn upgrade_identity(
        &self,
        _: i64,
        identity: &serde_json::Value,
        _: &mut Diagnostics,
    ) -> Option<Value> {
        Some(Value::from(identity))
    }

    async fn move_from(&self, source: Move<'_>, _: &mut Diagnostics) -> Option<State> {
        let private = source.identity.map(|(_, identity)| identity.to_string());
        Some(State::new(Value::from(source.state)).private(private.unwrap_or_default()))
    }
}

#[async_trait]
impl DataSource<()> for Mirror {
    fn type_name(&self) -> &'static str {
        NAME
    }

    fn schema(&self) -> Schema {
        schema()
    }

    async fn read(&self, _: &Context<()>, config: &Value, _: &mut Diagnostics) -> Option<Value> {
        Some(config.clone())
    }
}

impl Function for Mirror {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> Signature {
        let parameter = || Parameter::new("any", Type::Dynamic).allow_null().allow_unknown();
        Signature::new([parameter()], Type::Dynamic).variadic(parameter())
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        Ok(arguments[0].clone())
    }
}

#[async_trait]
impl EphemeralResource<()> for Mirror {
    fn type_name(&self) -> &'static str {
        NAME
    }

    fn schema(&self) -> Schema {
        schema()
    }

    async fn open(&self, _: &Context<()>, config: &Value, _: &mut Diagnostics) -> Option<Opened> {
        Some(Opened::new(config.clone()))
    }

    async fn renew(&self, _: &Context<()>, private: &[u8], _: &mut Diagnostics) -> Option<Renewed> {
        Some(Renewed { private: private.to_vec(), renew_at: None })
    }
}

#[async_trait]
impl ListResource<()> for Mirror {
    fn type_name(&self) -> &'static str {
        NAME
    }

    fn schema(&self) -> Schema {
        schema()
    }

    async fn list(
        &self,
        _: &Context<()>,
        query: Query<'_>,
        found: &mut Found,
        _: &mut Diagnostics,
    ) {
        let listed = Listed::new(query.config.clone(), "any").object(query.config.clone());
        found.send(listed).await;
    }
}

#[async_trait]
impl Action<()> for Mirror {
    fn type_name(&self) -> &'static str {
        NAME
    }

    fn schema(&self) -> Schema {
        schema()
    }

    async fn invoke(&self, _: &Context<()>, _: &Value, progress: &Progress, _: &mut Diagnostics) {
        progress.report("done").await;
    }
}

thread_local! {
    static SERVICE: OnceCell<(Runtime, Service<Mirror>)> = const { OnceCell::new() };
}

/// Calls, one of them for each input.
pub fn service(data: &[u8]) {
    SERVICE.with(|made| {
        let (runtime, service) = made.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            (runtime.expect("a runtime"), Service::new(Mirror))
        });
        runtime.block_on(call(service, data));
    });
}

/// Fills a request, calls, and looks at the diagnostics.
macro_rules! calls {
    ($service:ident, $which:expr; $($method:ident: $request:expr,)+) => {{
        let calls = [$(stringify!($method)),+];
        let which = calls[$which % calls.len()];
        $(if which == stringify!($method) {
            let request = Request::new($request);
            let answer = $service.$method(request).await.expect("an answer");
            is_no_crash(&answer.into_inner().diagnostics);
        })+
    }};
}

fn is_no_crash(told: &[wire::Diagnostic]) {
    for diag in told {
        assert_ne!(diag.summary, "Bug in the provider", "{}", diag.detail);
    }
}

async fn call(service: &Service<Mirror>, data: &[u8]) {
    let (which, data) = split(data);
    let (how, data) = split(data);
    let mut parts = data.splitn(3, |byte| *byte == 0xc1);
    let mut value = || {
        let part = parts.next().unwrap_or_default().to_vec();
        let (msgpack, json) = if how % 8 == 7 { (Vec::new(), part) } else { (part, Vec::new()) };
        Some(DynamicValue { msgpack, json })
    };
    let type_name = || NAME.to_owned();
    let raw = || Some(wire::RawState { json: data.to_vec(), ..wire::RawState::default() });
    let identity = |identity_data| Some(wire::ResourceIdentityData { identity_data });
    if how % 5 == 4 {
        return streams(service, value(), which).await;
    }
    calls! {
        service, which;
        validate_provider_config: wire::validate_provider_config::Request { config: value() },
        validate_resource_config: wire::validate_resource_config::Request {
            type_name: type_name(), config: value(), client_capabilities: None,
        },
        validate_action_config: wire::validate_action_config::Request {
            type_name: type_name(), config: value(),
        },
        upgrade_resource_state: wire::upgrade_resource_state::Request {
            type_name: type_name(), version: (how % 3) as i64, raw_state: raw(),
        },
        upgrade_resource_identity: wire::upgrade_resource_identity::Request {
            type_name: type_name(), version: (how % 3) as i64 - 1, raw_identity: raw(),
        },
        move_resource_state: wire::move_resource_state::Request {
            target_type_name: type_name(), source_state: raw(), source_identity: raw(),
            ..wire::move_resource_state::Request::default()
        },
        read_resource: wire::read_resource::Request {
            type_name: type_name(), current_state: value(), current_identity: identity(value()),
            ..wire::read_resource::Request::default()
        },
        plan_resource_change: wire::plan_resource_change::Request {
            type_name: type_name(), prior_state: value(), config: value(),
            proposed_new_state: value(), ..wire::plan_resource_change::Request::default()
        },
        apply_resource_change: wire::apply_resource_change::Request {
            type_name: type_name(), prior_state: value(), config: value(),
            planned_state: value(), ..wire::apply_resource_change::Request::default()
        },
        import_resource_state: wire::import_resource_state::Request {
            type_name: type_name(), id: String::from_utf8_lossy(data).into_owned(),
            identity: identity(value()), client_capabilities: None,
        },
        generate_resource_config: wire::generate_resource_config::Request {
            type_name: type_name(), state: value(),
        },
        read_data_source: wire::read_data_source::Request {
            type_name: type_name(), config: value(),
            ..wire::read_data_source::Request::default()
        },
        open_ephemeral_resource: wire::open_ephemeral_resource::Request {
            type_name: type_name(), config: value(), client_capabilities: None,
        },
        plan_action: wire::plan_action::Request {
            action_type: type_name(), config: value(), client_capabilities: None,
        },
        configure_provider: wire::configure_provider::Request {
            config: value(), ..wire::configure_provider::Request::default()
        },
        validate_data_resource_config: wire::validate_data_resource_config::Request {
            type_name: type_name(), config: value(),
        },
        validate_ephemeral_resource_config: wire::validate_ephemeral_resource_config::Request {
            type_name: type_name(), config: value(),
        },
        validate_list_resource_config: wire::validate_list_resource_config::Request {
            type_name: type_name(), config: value(), limit: value(),
            ..wire::validate_list_resource_config::Request::default()
        },
        move_resource_state: wire::move_resource_state::Request {
            target_type_name: type_name(), source_state: raw(), source_identity: raw(),
            ..wire::move_resource_state::Request::default()
        },
        renew_ephemeral_resource: wire::renew_ephemeral_resource::Request {
            type_name: type_name(), private: Some(data.to_vec()),
        },
        close_ephemeral_resource: wire::close_ephemeral_resource::Request {
            type_name: type_name(), private: Some(data.to_vec()),
        },
    }
    let arguments = vec![value().unwrap_or_default(), value().unwrap_or_default()];
    let request = wire::call_function::Request { name: type_name(), arguments };
    let answer = service.call_function(Request::new(request)).await.expect("an answer");
    if let Some(error) = answer.into_inner().error {
        assert!(!error.text.starts_with("Bug in the provider: "), "{}", error.text);
    }
}

/// The calls that answer with a stream.
async fn streams(service: &Service<Mirror>, config: Option<DynamicValue>, which: usize) {
    if which.is_multiple_of(2) {
        let limit = i64::try_from(which % 6).expect("a small number") - 2;
        let type_name = NAME.to_owned();
        let include_resource_object = which.is_multiple_of(4);
        let request =
            wire::list_resource::Request { type_name, config, include_resource_object, limit };
        let answer = service.list_resource(Request::new(request)).await.expect("an answer");
        let mut events = answer.into_inner();
        while let Some(event) = events.next().await {
            is_no_crash(&event.expect("an event").diagnostic);
        }
        return;
    }
    let action_type = NAME.to_owned();
    let request = wire::invoke_action::Request { action_type, config, client_capabilities: None };
    let answer = service.invoke_action(Request::new(request)).await.expect("an answer");
    let mut events = answer.into_inner();
    while let Some(event) = events.next().await {
        use wire::invoke_action::event::Type as Event;
        if let Some(Event::Completed(completed)) = event.expect("an event").r#type {
            is_no_crash(&completed.diagnostics);
        }
    }
}
