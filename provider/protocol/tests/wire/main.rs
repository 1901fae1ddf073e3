//! The provider over the wire, from handshake to shutdown, with a host played by the test.

mod bad;
mod kinds;
mod session;

use std::path::Path;
use std::time::Duration;

use provider_kit::client::{decode, encode};
use provider_kit::host::{self, Identity};
use provider_protocol::cty::{Type, Value};
use provider_protocol::wire::health::HealthCheckRequest;
use provider_protocol::wire::health::health_check_response::ServingStatus;
use provider_protocol::wire::health::health_client::HealthClient;
use provider_protocol::wire::plugin::Empty;
use provider_protocol::wire::plugin::grpc_controller_client::GrpcControllerClient;
use provider_protocol::wire::plugin::grpc_stdio_client::GrpcStdioClient;
use provider_protocol::wire::tfplugin6::diagnostic::Severity;
use provider_protocol::wire::tfplugin6::provider_client::ProviderClient;
use provider_protocol::wire::tfplugin6::{self as wire, attribute_path};
use session::{END, NOTE, PROVIDER, Session, start};

fn note(name: &str, body: &str) -> Value {
    let tag = Value::object([("name", Value::from("a")), ("color", Value::Null)]);
    Value::object([
        ("name", Value::from(name)),
        ("body", Value::from(body)),
        ("tag", Value::List(vec![tag])),
    ])
}

fn path(diagnostic: &wire::Diagnostic) -> Vec<String> {
    use attribute_path::step::Selector;
    let steps = diagnostic.attribute.iter().flat_map(|path| &path.steps);
    steps
        .map(|step| match step.selector.as_ref().expect("a selector") {
            Selector::AttributeName(name) | Selector::ElementKeyString(name) => name.clone(),
            Selector::ElementKeyInt(index) => index.to_string(),
        })
        .collect()
}

#[tokio::test]
async fn a_note_lives_from_handshake_to_shutdown() {
    let notes = tempfile::tempdir().expect("a directory");
    let identity = Identity::new();
    let started = start(Some(&identity), &[]).await;
    assert_eq!(started.fields.len(), 6, "{:?}", started.fields);
    assert_eq!(started.fields[..3], ["1", "6", "unix"]);
    assert_eq!(started.fields[4], "grpc");
    let socket = started.fields[3].clone();
    let mut session = Session::open(&started, Some(&identity), notes.path()).await;

    let config = note("shop", "text");
    assert_eq!(session.validate(&config).await, []);
    let planned = session.plan(&Value::Null, &config).await;
    assert_eq!(planned.diagnostics, []);
    let value = decode(planned.planned_state.as_ref(), &session.note);
    assert_eq!(value.get("id"), Some(&Value::from("shop")));
    assert_eq!(
        value.get("tag").and_then(|tags| tags.as_list()?[0].get("color")?.as_str()),
        Some("gray")
    );

    let applied = session.apply(&Value::Null, &planned, &config).await;
    assert_eq!(applied.diagnostics, []);
    assert_eq!(applied.private, b"revision 1");
    let state = decode(applied.new_state.as_ref(), &session.note);
    assert_eq!(session.read(&state).await, state);

    let again = session.plan(&state, &config.clone().with("id", Value::Null)).await;
    assert_eq!(decode(again.planned_state.as_ref(), &session.note), state);
    assert_eq!(again.planned_private, b"kept");

    let renamed = session.plan(&state, &note("store", "text")).await;
    assert_eq!(renamed.requires_replace.len(), 1);

    let request = wire::import_resource_state::Request {
        type_name: NOTE.to_owned(),
        id: "shop".to_owned(),
        ..wire::import_resource_state::Request::default()
    };
    let imported = session.client.import_resource_state(request).await.expect("an answer");
    let imported = imported.into_inner().imported_resources;
    let partial = decode(imported[0].state.as_ref(), &session.note);
    assert_eq!(session.read(&partial).await.get("body"), Some(&Value::from("text")));

    let destroy = session.plan(&state, &Value::Null).await;
    assert_eq!(destroy.diagnostics, []);
    let gone = session.apply(&state, &destroy, &Value::Null).await;
    assert!(decode(gone.new_state.as_ref(), &session.note).is_null());
    assert!(session.read(&state).await.is_null());

    session.shut_down(started).await;
    assert!(!Path::new(&socket).exists());
}

#[tokio::test]
async fn mistakes_are_told_at_their_place() {
    let notes = tempfile::tempdir().expect("a directory");
    let started = start(None, &[]).await;
    let mut session = Session::open(&started, None, notes.path()).await;
    let mut config = note("shop", "text").with("meta", "{").with("secret", "s3cret");
    let tag = Value::object([("name", Value::from("a")), ("color", Value::from("red"))]);
    config.set("tag", Value::List(vec![tag.clone(), tag]));
    let told = session.validate(&config).await;
    let told: Vec<_> =
        told.iter().map(|diag| (path(diag).join("."), diag.summary.as_str())).collect();
    assert_eq!(
        told,
        [
            ("meta".to_owned(), "Invalid value"),
            ("secret".to_owned(), "Invalid value"),
            ("tag.1.name".to_owned(), "Duplicate name"),
        ]
    );
    session.shut_down(started).await;
}

#[tokio::test]
async fn bugs_of_the_provider_are_diagnostics() {
    let notes = tempfile::tempdir().expect("a directory");
    let started = start(None, &[]).await;
    let mut session = Session::open(&started, None, notes.path()).await;

    let config = note("one", "panic");
    let planned = session.plan(&Value::Null, &config).await;
    let applied = session.apply(&Value::Null, &planned, &config).await;
    let [told] = applied.diagnostics.as_slice() else { panic!("{:?}", applied.diagnostics) };
    assert_eq!(told.severity(), Severity::Error);
    assert_eq!(told.summary, "Bug in the provider");
    assert!(told.detail.contains("asked to"), "{}", told.detail);

    let config = note("one", "overreach");
    let planned = session.plan(&Value::Null, &config).await;
    let [told] = planned.diagnostics.as_slice() else { panic!("{:?}", planned.diagnostics) };
    assert_eq!(told.summary, "Bug in the provider: invalid plan");
    assert_eq!(path(told), ["weight"]);

    let config = note("two", "lie");
    let planned = session.plan(&Value::Null, &config).await;
    let applied = session.apply(&Value::Null, &planned, &config).await;
    assert_eq!(path(&applied.diagnostics[0]), ["body"]);
    assert!(applied.new_state.is_some());

    let config = note("three", "half");
    let planned = session.plan(&Value::Null, &config).await;
    let applied = session.apply(&Value::Null, &planned, &config).await;
    assert_eq!(applied.diagnostics[0].summary, "Note is half done");
    let kept = decode(applied.new_state.as_ref(), &session.note);
    assert_eq!(kept.get("name"), Some(&Value::from("three")));

    session.shut_down(started).await;
}

#[tokio::test]
async fn nobody_else_gets_in() {
    let identity = Identity::new();
    let started = start(Some(&identity), &[]).await;
    let other = Identity::new();
    let refused = match started.connect(Some(&other)).await {
        Err(_) => true,
        // With TLS 1.3 the client hears of it only when it speaks.
        Ok(channel) => {
            ProviderClient::new(channel).get_metadata(wire::get_metadata::Request {}).await.is_err()
        }
    };
    assert!(refused);
    assert!(started.connect(Some(&identity)).await.is_ok());
}

#[tokio::test]
async fn the_hosts_own_services_answer() {
    let notes = tempfile::tempdir().expect("a directory");
    let started = start(None, &[("PLUGIN_MULTIPLEX_GRPC", "true")]).await;
    assert_eq!(started.fields[6], "false");
    let session = Session::open(&started, None, notes.path()).await;
    let mut health = HealthClient::new(session.channel.clone());
    let request = HealthCheckRequest { service: "plugin".to_owned() };
    let checked = health.check(request).await.expect("an answer").into_inner();
    assert_eq!(checked.status(), ServingStatus::Serving);

    // An open stream does not keep the process from ending.
    let mut stdio = GrpcStdioClient::new(session.channel.clone());
    let _stream = stdio.stream_stdio(()).await.expect("a stream");
    session.shut_down(started).await;
}

#[tokio::test]
async fn an_interrupt_is_left_to_the_host() {
    let notes = tempfile::tempdir().expect("a directory");
    let started = start(None, &[]).await;
    let id = started.child.id().expect("a process").to_string();
    let signal = |name: &'static str| {
        let sent = std::process::Command::new("kill").args([name, &id]).status();
        assert!(sent.expect("kill").success());
    };
    signal("-INT");
    let mut session = Session::open(&started, None, notes.path()).await;
    assert_eq!(session.validate(&note("shop", "text")).await, []);
    signal("-TERM");
    let (_, _, code) = tokio::time::timeout(END, started.end()).await.expect("an end in time");
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn logs_are_lines_that_the_host_reads() {
    let notes = tempfile::tempdir().expect("a directory");
    let started = start(None, &[("TF_LOG", "debug")]).await;
    let mut session = Session::open(&started, None, notes.path()).await;
    session.validate(&note("shop", "text")).await;
    drop(GrpcControllerClient::new(session.channel).shutdown(Empty {}).await);
    let (_, stderr, _) = started.end().await;
    let lines: Vec<serde_json::Value> =
        stderr.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let served = lines.iter().find(|line| line["tf_rpc"] == "ValidateResourceConfig");
    let served = served.expect("a line for the request");
    assert_eq!(served["tf_resource_type"], NOTE);
    assert!(lines.iter().all(|line| line["@message"].is_string()));
}

#[tokio::test]
async fn states_of_before_are_brought_up() {
    let notes = tempfile::tempdir().expect("a directory");
    let started = start(None, &[]).await;
    let mut session = Session::open(&started, None, notes.path()).await;
    let upgrade = |version, json: &str| wire::upgrade_resource_state::Request {
        type_name: NOTE.to_owned(),
        version,
        raw_state: Some(wire::RawState { json: json.into(), ..wire::RawState::default() }),
    };
    let json = r#"{"name":"a","weight":12345678901234567890.5,"gone":[1],"secret":"s"}"#;
    let older = r#"{"name":"a","weight":12345678901234567890.5,"text":"t","secret":"s"}"#;
    for (version, json, body) in [(1, json, Value::Null), (0, older, Value::from("t"))] {
        let answer = session.client.upgrade_resource_state(upgrade(version, json)).await;
        let answer = answer.expect("an answer").into_inner();
        assert_eq!(answer.diagnostics, []);
        let state = decode(answer.upgraded_state.as_ref(), &session.note);
        let weight = state.get("weight").and_then(Value::as_number).expect("a number").to_string();
        assert_eq!(weight, "12345678901234567890.5");
        assert_eq!(state.get("tag"), Some(&Value::List(vec![])));
        assert_eq!(state.get("secret"), Some(&Value::Null));
        assert_eq!(state.get("body"), Some(&body));
    }

    for (version, json, told) in [
        (-1, r#"{"name":"a"}"#, "State is of an older version"),
        (1, "{", "Cannot read the state"),
        (0, "{", "Cannot read the state"),
        (1, "", "State is too old"),
    ] {
        let answer = session.client.upgrade_resource_state(upgrade(version, json)).await;
        assert_eq!(answer.expect("an answer").into_inner().diagnostics[0].summary, told);
    }
    session.shut_down(started).await;
}

#[tokio::test]
async fn objects_of_other_types_are_taken_over() {
    let notes = tempfile::tempdir().expect("a directory");
    let started = start(None, &[]).await;
    let mut session = Session::open(&started, None, notes.path()).await;
    let json = |json: &str| Some(wire::RawState { json: json.into(), ..Default::default() });
    let request = |provider: &str, state: &str| wire::move_resource_state::Request {
        source_provider_address: format!("registry.terraform.io/acme/{provider}"),
        source_type_name: "memos_memo".to_owned(),
        source_schema_version: 3,
        source_state: json(state),
        source_private: b"of the memo".to_vec(),
        source_identity: json(r#"{"title":"a"}"#),
        source_identity_schema_version: 2,
        target_type_name: NOTE.to_owned(),
    };
    let memo = r#"{"title":"a","weight":12345678901234567890.5}"#;
    let answer = session.client.move_resource_state(request("memos", memo)).await;
    let answer = answer.expect("an answer").into_inner();
    assert_eq!(answer.diagnostics, []);
    assert_eq!(answer.target_private, b"of the memo");
    let state = decode(answer.target_state.as_ref(), &session.note);
    for (name, value) in [
        ("name", Value::from("a")),
        ("id", "a".into()),
        ("weight", Value::Number("12345678901234567890.5".parse().expect("a number"))),
        ("meta", r#"{"version":3,"identity":[2,{"title":"a"}]}"#.into()),
        ("tag", Value::List(vec![])),
    ] {
        assert_eq!(state.get(name), Some(&value), "{name}");
    }
    let identity = answer.target_identity.and_then(|it| it.identity_data);
    let identity = decode(identity.as_ref(), &Type::object([("id", Type::String)]));
    assert_eq!(identity.get("id"), Some(&Value::from("a")));

    for (provider, state, told) in [
        ("others", memo, "Cannot move from this type"),
        ("memos", r#"{"title":["a"]}"#, "Cannot read the memo"),
        ("memos", "", "State is too old"),
    ] {
        let answer = session.client.move_resource_state(request(provider, state)).await;
        let answer = answer.expect("an answer").into_inner();
        assert_eq!(answer.diagnostics[0].summary, told);
        assert_eq!(answer.target_state, None);
    }
    session.shut_down(started).await;
}

/// What a plan kept comes back when the same is planned once more while applying.
#[tokio::test]
async fn what_a_plan_kept_comes_back() {
    let notes = tempfile::tempdir().expect("a directory");
    let started = start(None, &[]).await;
    let mut session = Session::open(&started, None, notes.path()).await;
    let config = note("shop", "twice");
    let first = session.plan(&Value::Null, &config).await;
    assert_eq!(
        (first.diagnostics, first.planned_private.as_slice()),
        (vec![], b"planned".as_slice())
    );
    let again = session.plan_again(&Value::Null, &config, &first.planned_private).await;
    assert_eq!(again.planned_private, b"planned again");
    session.shut_down(started).await;
}

#[tokio::test]
async fn functions_take_arguments_of_any_shape() {
    let started = start(None, &[]).await;
    let channel = started.connect(None).await.expect("a connection");
    let mut client = ProviderClient::new(channel);
    let mut call = async |name: &str, arguments: Vec<Option<wire::DynamicValue>>| {
        let arguments = arguments.into_iter().flatten().collect();
        let request = wire::call_function::Request { name: name.to_owned(), arguments };
        client.call_function(request).await.expect("an answer").into_inner()
    };
    let name = || encode(&Value::from("build"), &Type::String);
    let config =
        |key: &str| encode(&Value::object([(key, Value::list(["make", "all"]))]), &Type::Dynamic);
    let answer = call("step", vec![name(), config("run")]).await;
    let ty = Type::object(["name", "uses", "config"].map(|name| (name, Type::String)));
    let step = decode(answer.result.as_ref(), &ty);
    assert_eq!(step.get("config"), Some(&Value::from(r#"{"run":["make","all"]}"#)));

    let wrong = call("step", vec![name(), config("rnu")]).await.error.expect("an error");
    assert_eq!(wrong.function_argument, Some(1));
    let few = call("step", vec![name()]).await.error.expect("an error");
    assert_eq!(few.text, "1 arguments, where 2 belong");
    let odd =
        call("step", vec![name(), Some(wire::DynamicValue { msgpack: vec![0xc1], json: vec![] })]);
    assert!(odd.await.error.expect("an error").text.starts_with("Cannot read a value"));
    assert!(call("nothing", vec![]).await.error.is_some());
}

#[tokio::test]
async fn a_provider_whose_host_was_killed_ends() {
    use tokio::io::AsyncReadExt as _;
    // The shell is the host; what it started must not outlive it.
    let mut shell = tokio::process::Command::new("sh")
        .args(["-c", "\"$0\" & wait", PROVIDER])
        .env(host::COOKIE.0, host::COOKIE.1)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut stdout = shell.stdout.take().expect("a pipe");
    let mut first = [0];
    stdout.read_exact(&mut first).await.expect("a handshake");
    shell.kill().await.expect("running");
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stdout.read_to_end(&mut rest)).await;
    ended.expect("an end").expect("readable");
}

#[test]
fn a_person_is_told_what_this_is() {
    let output = std::process::Command::new(PROVIDER)
        .env_remove(host::COOKIE.0)
        .output()
        .expect("the provider starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(said.starts_with("This is the provider acme/notes"), "{said}");
}
