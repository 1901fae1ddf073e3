//! The provider over the wire, in this process: what the installed client may be too old for, and
//! what has to be interrupted at a known place.

use provider_kit::client::{
    CAPABLE, Client, Object, Planned, Resource, Told, decode, encode, texts,
};
use provider_kit::read_schema;
use provider_protocol::cty::conform::conform;
use provider_protocol::cty::{Type, Value};
use provider_protocol::plan::proposed_new;
use provider_protocol::wire::tfplugin6 as wire;
use provider_resources::Lockstep;

use crate::daemon::{Daemon, TOKEN};

/// Attributes that are set.
pub(crate) type Fields<'f> = &'f [(&'f str, Value)];

/// Runs a test beside a daemon, which has threads of its own.
pub(crate) fn beside(daemon: &Daemon, test: impl AsyncFnOnce(&Daemon)) {
    block_on(test(daemon));
}

/// Runs to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work)
}

/// A configured client.
pub(crate) async fn client(daemon: &Daemon, project: Option<&str>) -> Client {
    let mut client = Client::in_process(Lockstep).await;
    let project = ("project", Value::from(project));
    assert_eq!(configure(&mut client, &daemon.endpoint, &[project]).await, [""; 0]);
    client
}

/// Configures the provider; what it told.
pub(crate) async fn configure(
    client: &mut Client,
    endpoint: &str,
    fields: Fields<'_>,
) -> Vec<String> {
    let ty = read_schema(client.offer.provider.as_ref().unwrap()).ty();
    let place = [("endpoint", Value::from(endpoint)), ("token", TOKEN.into())];
    // What is given goes before it.
    let config = whole(&[fields, place.as_slice()].concat(), &ty);
    client.configure(&config).await
}

/// A configuration: what it leaves out is null.
pub(crate) fn whole(given: Fields<'_>, ty: &Type) -> Value {
    let Type::Object(fields) = ty else { panic!("{ty} is no object") };
    let misspelt: Vec<&str> =
        given.iter().map(|(name, _)| *name).filter(|name| !fields.contains_key(*name)).collect();
    assert_eq!(misspelt, [""; 0]);
    let of = |name: &str| given.iter().find(|(given, _)| *given == name);
    let value = |name: &String| of(name).map_or(Value::Null, |(_, value)| value.clone());
    Value::object(fields.iter().map(|(name, ty)| match (value(name), ty) {
        // A list of blocks is empty, and never null.
        (Value::Null, Type::List(element)) if matches!(**element, Type::Object(_)) => {
            (name.clone(), Value::List(Vec::new()))
        }
        (value, _) => (name.clone(), value),
    }))
}

/// Plans to create an object; with what was told.
pub(crate) async fn created(resource: &mut Resource<'_>, config: &Value) -> Told<Planned> {
    let proposed = proposed_new(&resource.schema.block, &Value::Null, config);
    let proposed = conform(proposed, &resource.ty).unwrap();
    resource.plan(&Object::default(), &proposed, config, &[]).await
}

/// Reads a data source; what it has, and what was told.
pub(crate) async fn data(
    client: &mut Client,
    type_name: &str,
    fields: Fields<'_>,
) -> (Value, Vec<String>) {
    let ty = read_schema(&client.offer.data_source_schemas[type_name]).ty();
    let request = wire::read_data_source::Request {
        type_name: type_name.to_owned(),
        config: encode(&whole(fields, &ty), &ty),
        client_capabilities: Some(CAPABLE),
        ..wire::read_data_source::Request::default()
    };
    let answer = client.calls.read_data_source(request).await.unwrap().into_inner();
    assert_eq!(answer.deferred, None, "nothing is put off");
    (decode(answer.state.as_ref(), &ty), texts(&answer.diagnostics))
}

/// Invokes an action; what it reported, and what was told.
pub(crate) async fn invoke(
    client: &mut Client,
    action: &str,
    fields: Fields<'_>,
) -> (Vec<String>, Vec<String>) {
    use wire::invoke_action::event::Type as Event;
    let ty = read_schema(client.offer.action_schemas[action].schema.as_ref().unwrap()).ty();
    let request = wire::invoke_action::Request {
        action_type: action.to_owned(),
        config: encode(&whole(fields, &ty), &ty),
        client_capabilities: Some(CAPABLE),
    };
    let mut events = client.calls.invoke_action(request).await.unwrap().into_inner();
    let mut progress = Vec::new();
    loop {
        let event = events.message().await.unwrap().expect("a last word");
        match event.r#type.expect("a type") {
            Event::Progress(event) => progress.push(event.message),
            Event::Completed(completed) => return (progress, texts(&completed.diagnostics)),
        }
    }
}

/// What a list finds: names for people, and the objects where they were asked for.
pub(crate) async fn list(
    client: &mut Client,
    type_name: &str,
    fields: Fields<'_>,
    (limit, include_resource_object): (i64, bool),
) -> (Vec<(String, Option<Value>)>, Vec<String>) {
    let ty = read_schema(&client.offer.list_resource_schemas[type_name]).ty();
    let object = read_schema(&client.offer.resource_schemas[type_name]).ty();
    let request = wire::list_resource::Request {
        type_name: type_name.to_owned(),
        config: encode(&whole(fields, &ty), &ty),
        include_resource_object,
        limit,
    };
    let mut events = client.calls.list_resource(request).await.unwrap().into_inner();
    let (mut found, mut told) = (Vec::new(), Vec::new());
    while let Some(event) = events.message().await.unwrap() {
        if !event.diagnostic.is_empty() {
            told.extend(texts(&event.diagnostic));
            continue;
        }
        let value = event.resource_object.map(|value| decode(Some(&value), &object));
        found.push((event.display_name, value));
    }
    (found, told)
}

/// Opens an ephemeral resource; what it has, what it keeps, and what was told.
pub(crate) async fn open(
    client: &mut Client,
    type_name: &str,
    fields: Fields<'_>,
) -> (Value, Option<Vec<u8>>, Vec<String>) {
    let ty = read_schema(&client.offer.ephemeral_resource_schemas[type_name]).ty();
    let request = wire::open_ephemeral_resource::Request {
        type_name: type_name.to_owned(),
        config: encode(&whole(fields, &ty), &ty),
        client_capabilities: Some(CAPABLE),
    };
    let answer = client.calls.open_ephemeral_resource(request).await.unwrap().into_inner();
    assert_eq!(answer.deferred, None, "nothing is put off");
    (decode(answer.result.as_ref(), &ty), answer.private, texts(&answer.diagnostics))
}
