//! The kinds of things that newer clients ask for: identities, lists, ephemeral resources, actions,
//! generated configurations; and those that no provider of ours offers.

use provider_kit::client::{decode, encode};
use provider_kit::host::Started;
use provider_kit::read_schema;
use provider_protocol::cty::{Type, Value};
use provider_protocol::wire::tfplugin6 as wire;
use provider_protocol::wire::tfplugin6::diagnostic::Severity;

use crate::note;
use crate::session::{NOTE, Session, start};

struct Run {
    session: Session,
    schemas: wire::get_provider_schema::Response,
    started: Started,
    notes: tempfile::TempDir,
}

impl Run {
    async fn new() -> Self {
        let notes = tempfile::tempdir().expect("a directory");
        let started = start(None, &[]).await;
        let mut session = Session::open(&started, None, notes.path()).await;
        let schemas = session.client.get_provider_schema(wire::get_provider_schema::Request {});
        let schemas = schemas.await.expect("an answer").into_inner();
        Self { session, schemas, started, notes }
    }

    /// Creates a note; its state and identity.
    async fn create(&mut self, name: &str) -> (Value, Value) {
        let config = note(name, "text");
        let planned = self.session.plan(&Value::Null, &config).await;
        let applied = self.session.apply(&Value::Null, &planned, &config).await;
        assert_eq!(applied.diagnostics, []);
        let state = decode(applied.new_state.as_ref(), &self.session.note);
        (state, identity(applied.new_identity.as_ref()))
    }

    async fn end(self) {
        self.session.shut_down(self.started).await;
    }
}

fn identity_type() -> Type {
    Type::object([("id", Type::String)])
}

fn of(id: &str) -> Value {
    Value::object([("id", Value::from(id))])
}

fn identity(data: Option<&wire::ResourceIdentityData>) -> Value {
    decode(data.expect("an identity").identity_data.as_ref(), &identity_type())
}

fn identity_data(id: &str) -> Option<wire::ResourceIdentityData> {
    Some(wire::ResourceIdentityData { identity_data: encode(&of(id), &identity_type()) })
}

fn summaries(diags: &[wire::Diagnostic]) -> Vec<&str> {
    diags.iter().map(|diag| diag.summary.as_str()).collect()
}

#[tokio::test]
async fn everything_that_is_offered_is_said() {
    let mut run = Run::new().await;
    let metadata = run.session.client.get_metadata(wire::get_metadata::Request {}).await;
    let metadata = metadata.expect("an answer").into_inner();
    assert_eq!(metadata.resources[0].type_name, NOTE);
    assert_eq!(metadata.list_resources[0].type_name, NOTE);
    assert_eq!(metadata.ephemeral_resources[0].type_name, "notes_key");
    assert_eq!(metadata.actions[0].type_name, "notes_stamp");
    assert!(metadata.state_stores.is_empty());
    let capabilities = run.schemas.server_capabilities.expect("capabilities");
    assert_eq!(metadata.server_capabilities, Some(capabilities));
    assert!(capabilities.generate_resource_config);
    assert!(run.schemas.ephemeral_resource_schemas.contains_key("notes_key"));
    assert!(run.schemas.state_store_schemas.is_empty());
    // Nothing computes what only a configuration has: a default is the provider's own affair.
    let stamp = &run.schemas.action_schemas["notes_stamp"];
    let block = stamp.schema.as_ref().and_then(|schema| schema.block.as_ref()).expect("a block");
    assert!(block.attributes.iter().all(|attribute| !attribute.computed));
    let request = wire::get_resource_identity_schemas::Request {};
    let identities = run.session.client.get_resource_identity_schemas(request).await;
    let identities = identities.expect("an answer").into_inner().identity_schemas;
    let [id] = identities[NOTE].identity_attributes.as_slice() else { panic!("{identities:?}") };
    assert!(id.required_for_import && !id.optional_for_import);
    run.end().await;
}

#[tokio::test]
async fn an_identity_goes_with_every_state() {
    let mut run = Run::new().await;
    let (state, known) = run.create("shop").await;
    assert_eq!(known, of("shop"));
    let request = wire::read_resource::Request {
        type_name: NOTE.to_owned(),
        current_state: encode(&state, &run.session.note),
        ..wire::read_resource::Request::default()
    };
    let read = run.session.client.read_resource(request).await.expect("an answer").into_inner();
    assert_eq!(identity(read.new_identity.as_ref()), of("shop"));
    let planned = run.session.plan(&state, &note("shop", "other")).await;
    assert_eq!(identity(planned.planned_identity.as_ref()), of("shop"));

    let request = wire::import_resource_state::Request {
        type_name: NOTE.to_owned(),
        identity: identity_data("shop"),
        ..wire::import_resource_state::Request::default()
    };
    let answer = run.session.client.import_resource_state(request).await.expect("an answer");
    let answer = answer.into_inner();
    assert_eq!(answer.diagnostics, []);
    let imported = &answer.imported_resources[0];
    assert_eq!(identity(imported.identity.as_ref()), of("shop"));
    let partial = decode(imported.state.as_ref(), &run.session.note);
    assert_eq!(run.session.read(&partial).await, state);
    run.end().await;
}

#[tokio::test]
async fn identities_of_other_versions_are_told_apart() {
    let mut run = Run::new().await;
    let mut upgrade = async |version, json: &str| {
        let raw_identity = Some(wire::RawState { json: json.into(), ..wire::RawState::default() });
        let type_name = NOTE.to_owned();
        let request = wire::upgrade_resource_identity::Request { type_name, version, raw_identity };
        let answer = run.session.client.upgrade_resource_identity(request).await;
        answer.expect("an answer").into_inner()
    };
    let same = upgrade(0, r#"{"id":"a","gone":1}"#).await;
    assert_eq!(identity(same.upgraded_identity.as_ref()), of("a"));
    for (version, told) in
        [(-1, "Identity is of an older version"), (7, "The identity is of a newer version")]
    {
        assert_eq!(summaries(&upgrade(version, r#"{"id":"a"}"#).await.diagnostics), [told]);
    }
    run.end().await;
}

#[tokio::test]
async fn a_list_ends_where_the_client_says() {
    let mut run = Run::new().await;
    for name in ["ant", "bee", "bug"] {
        run.create(name).await;
    }
    let ty = read_schema(&run.schemas.list_resource_schemas[NOTE]).ty();
    let mut list = async |prefix: Value, limit, include_resource_object| {
        let config = encode(&Value::object([("prefix", prefix)]), &ty);
        let type_name = NOTE.to_owned();
        let request =
            wire::list_resource::Request { type_name, config, include_resource_object, limit };
        let answer = run.session.client.list_resource(request).await.expect("a stream");
        let mut events = answer.into_inner();
        let mut found = Vec::new();
        while let Some(event) = events.message().await.expect("an event") {
            found.push(event);
        }
        found
    };
    let all = list(Value::Null, 0, false).await;
    let names: Vec<&str> = all.iter().map(|event| event.display_name.as_str()).collect();
    assert_eq!(names, ["note ant", "note bee", "note bug"]);
    assert!(all.iter().all(|event| event.resource_object.is_none()));
    let [bee] = list(Value::from("b"), 1, true).await.try_into().expect("one event");
    assert_eq!(identity(bee.identity.as_ref()), of("bee"));
    let object = decode(bee.resource_object.as_ref(), &run.session.note);
    assert_eq!(object.get("body"), Some(&Value::from("text")));

    // What is wrong with one of them does not hide the others.
    std::fs::write(run.notes.path().join("bee.json"), "{").expect("writable");
    let told = list(Value::Null, 10, true).await;
    let told: Vec<_> = told.iter().map(|event| summaries(&event.diagnostic)).collect();
    assert_eq!(told, [vec![], vec!["Cannot read the note"], vec![]]);
    // And what is wrong with all of them comes alone.
    run.notes.close().expect("removable");
    let [told] = list(Value::Null, 10, true).await.try_into().expect("one event");
    assert!(told.identity.is_none());
    assert_eq!(summaries(&told.diagnostic), ["Cannot list the notes"]);
    run.session.shut_down(run.started).await;
}

#[tokio::test]
async fn a_key_is_opened_renewed_and_closed() {
    let mut run = Run::new().await;
    let ty = read_schema(&run.schemas.ephemeral_resource_schemas["notes_key"]).ty();
    let type_name = || "notes_key".to_owned();
    let config = encode(&Value::object([("owner", Value::from("ada"))]), &ty);
    let request = wire::validate_ephemeral_resource_config::Request {
        type_name: type_name(),
        config: config.clone(),
    };
    let validated = run.session.client.validate_ephemeral_resource_config(request).await;
    assert_eq!(validated.expect("an answer").into_inner().diagnostics, []);
    let request = wire::open_ephemeral_resource::Request {
        type_name: type_name(),
        config,
        client_capabilities: None,
    };
    let opened = run.session.client.open_ephemeral_resource(request).await;
    let opened = opened.expect("an answer").into_inner();
    assert_eq!(opened.diagnostics, []);
    assert_eq!(opened.renew_at.expect("a time").seconds, 0);
    let key = decode(opened.result.as_ref(), &ty);
    assert_eq!(key.get("text"), Some(&Value::from("key of ada")));
    assert_eq!(key.get("shape"), Some(&Value::from("flat")));
    let file = run.notes.path().join("ada.key");
    assert!(file.exists());

    let request =
        wire::renew_ephemeral_resource::Request { type_name: type_name(), private: opened.private };
    let renewed = run.session.client.renew_ephemeral_resource(request).await;
    let renewed = renewed.expect("an answer").into_inner();
    assert_eq!((renewed.renew_at, renewed.private.as_deref()), (None, Some(b"ada".as_slice())));
    assert_eq!(std::fs::read_to_string(&file).expect("a key"), "renewed");
    for _ in 0..2 {
        let request = wire::close_ephemeral_resource::Request {
            type_name: type_name(),
            private: renewed.private.clone(),
        };
        let closed = run.session.client.close_ephemeral_resource(request).await;
        assert_eq!(closed.expect("an answer").into_inner().diagnostics, []);
        assert!(!file.exists());
    }
    run.end().await;
}

struct Invoked {
    progress: Vec<String>,
    completed: wire::invoke_action::event::Completed,
}

async fn invoke(run: &mut Run, fields: &[(&str, &str)]) -> Invoked {
    use wire::invoke_action::event::Type as Event;
    let request = request(run, fields);
    let answer = run.session.client.invoke_action(request).await.expect("a stream");
    let mut events = answer.into_inner();
    let mut progress = Vec::new();
    while let Some(event) = events.message().await.expect("an event") {
        match event.r#type.expect("a type") {
            Event::Progress(event) => progress.push(event.message),
            Event::Completed(completed) => {
                assert!(events.message().await.expect("the end").is_none());
                return Invoked { progress, completed };
            }
        }
    }
    panic!("ended without a last word");
}

fn request(run: &Run, fields: &[(&str, &str)]) -> wire::invoke_action::Request {
    let schema = run.schemas.action_schemas["notes_stamp"].schema.as_ref().expect("a schema");
    let fields = fields.iter().map(|(name, value)| (*name, Value::from(*value)));
    wire::invoke_action::Request {
        action_type: "notes_stamp".to_owned(),
        config: encode(&Value::object(fields), &read_schema(schema).ty()),
        client_capabilities: None,
    }
}

#[tokio::test]
async fn an_action_tells_how_it_goes() {
    let mut run = Run::new().await;
    let (state, _) = run.create("shop").await;
    let done = invoke(&mut run, &[("note", "shop")]).await;
    assert_eq!(done.progress, ["looking for shop", "stamped"]);
    assert_eq!(done.completed.diagnostics, []);
    assert_eq!(run.session.read(&state).await.get("body"), Some(&Value::from("seen")));

    let missing = invoke(&mut run, &[("note", "nowhere")]).await;
    assert_eq!(summaries(&missing.completed.diagnostics), ["No such note"]);
    let crashed = invoke(&mut run, &[("note", "panic")]).await;
    assert_eq!(summaries(&crashed.completed.diagnostics), ["Bug in the provider"]);

    let wire::invoke_action::Request { action_type, config, client_capabilities } =
        request(&run, &[("note", "shop"), ("text", "")]);
    let request = wire::plan_action::Request { action_type, config, client_capabilities };
    let planned = run.session.client.plan_action(request).await.expect("an answer").into_inner();
    assert_eq!(summaries(&planned.diagnostics), ["Nothing to stamp"]);
    run.end().await;
}

#[tokio::test]
async fn an_action_ends_when_it_is_told_to_stop() {
    use wire::invoke_action::event::Type as Event;
    let mut run = Run::new().await;
    let request = request(&run, &[("note", "wait")]);
    let mut events =
        run.session.client.invoke_action(request).await.expect("a stream").into_inner();
    let first = events.message().await.expect("an event").expect("progress");
    assert!(matches!(first.r#type, Some(Event::Progress(_))));
    let stopped = run.session.client.stop_provider(wire::stop_provider::Request {}).await;
    assert_eq!(stopped.expect("an answer").into_inner().error, "");
    let last = events.message().await.expect("an event").expect("a last word");
    let Some(Event::Completed(completed)) = last.r#type else { panic!("{last:?}") };
    assert_eq!(summaries(&completed.diagnostics), ["Interrupted"]);
    run.end().await;
}

#[tokio::test]
async fn a_configuration_is_made_from_a_state() {
    let mut run = Run::new().await;
    let (state, _) = run.create("shop").await;
    let request = wire::generate_resource_config::Request {
        type_name: NOTE.to_owned(),
        state: encode(&state, &run.session.note),
    };
    let generated = run.session.client.generate_resource_config(request).await;
    let generated = generated.expect("an answer").into_inner();
    assert_eq!(generated.diagnostics, []);
    let config = decode(generated.config.as_ref(), &run.session.note);
    assert_eq!(config.get("name"), Some(&Value::from("shop")));
    for left_out in ["id", "revision", "protected", "secret"] {
        assert_eq!(config.get(left_out), Some(&Value::Null), "{left_out}");
    }
    let planned = run.session.plan(&state, &config).await;
    assert_eq!(decode(planned.planned_state.as_ref(), &run.session.note), state);
    run.end().await;
}

#[tokio::test]
async fn what_is_not_offered_is_refused_with_a_diagnostic() {
    let mut run = Run::new().await;
    let type_name = || "notes_nothing".to_owned();
    let client = &mut run.session.client;
    let request = wire::validate_state_store::Request { type_name: type_name(), config: None };
    let answer = client.validate_state_store_config(request).await.expect("an answer");
    assert_eq!(summaries(&answer.into_inner().diagnostics), ["No such state store"]);
    let request = wire::read_state_bytes::Request { type_name: type_name(), ..Default::default() };
    let mut events = client.read_state_bytes(request).await.expect("a stream").into_inner();
    let only = events.message().await.expect("an event").expect("one");
    assert_eq!(summaries(&only.diagnostics), ["No such state store"]);
    let upload = tokio_stream::iter([wire::write_state_bytes::RequestChunk::default()]);
    let answer = client.write_state_bytes(upload).await.expect("an answer").into_inner();
    assert_eq!(summaries(&answer.diagnostics), ["No such state store"]);

    let request =
        wire::open_ephemeral_resource::Request { type_name: type_name(), ..Default::default() };
    let answer = client.open_ephemeral_resource(request).await.expect("an answer").into_inner();
    assert_eq!(summaries(&answer.diagnostics), ["No such ephemeral resource"]);
    let request = wire::list_resource::Request { type_name: type_name(), ..Default::default() };
    let mut events = client.list_resource(request).await.expect("a stream").into_inner();
    let only = events.message().await.expect("an event").expect("one");
    assert_eq!(summaries(&only.diagnostic), ["No such list resource"]);
    assert_eq!(only.diagnostic[0].severity(), Severity::Error);
    let request = wire::invoke_action::Request { action_type: type_name(), ..Default::default() };
    assert!(client.invoke_action(request).await.is_ok());
    run.end().await;
}
