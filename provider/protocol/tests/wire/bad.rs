//! Input that nobody should send: each is answered, at its place, and none by a crash.

use provider_kit::client::{Client, Object, decode, encode, texts};
use provider_kit::core;
use provider_protocol::cty::{Type, Value, msgpack};
use provider_protocol::wire::tfplugin6 as wire;

use crate::note;
use crate::session::{NOTE, start};

struct Run {
    client: Client,
    _started: provider_kit::host::Started,
    _notes: tempfile::TempDir,
}

impl Run {
    async fn new() -> Self {
        let notes = tempfile::tempdir().expect("a directory");
        let started = start(None, &[]).await;
        let channel = started.connect(None).await.expect("a connection");
        let mut client = Client::over(channel).await;
        let directory = notes.path().to_str().expect("UTF-8");
        let config = Value::object([("directory", Value::from(directory))]);
        assert_eq!(client.configure(&config).await, [""; 0]);
        Self { client, _started: started, _notes: notes }
    }

    async fn validate(&mut self, config: Option<wire::DynamicValue>) -> Vec<String> {
        let request = wire::validate_resource_config::Request {
            type_name: NOTE.to_owned(),
            config,
            client_capabilities: None,
        };
        let answer = self.client.calls.validate_resource_config(request).await;
        texts(&answer.expect("an answer").into_inner().diagnostics)
    }
}

fn raw(msgpack: Vec<u8>) -> Option<wire::DynamicValue> {
    Some(wire::DynamicValue { msgpack, json: Vec::new() })
}

#[tokio::test]
async fn what_is_not_known_breaks_no_check() {
    let mut run = Run::new().await;
    let ty = run.client.resource(NOTE).ty;
    let Type::Object(attributes) = &ty else { panic!("{ty}") };
    let unknown = Value::object(attributes.keys().map(|name| (name, Value::unknown())));
    assert_eq!(
        run.validate(encode(&unknown, &ty)).await,
        // Only that the client is too old for what might be a secret.
        ["error at secret: Invalid value: Write-only attributes need Terraform 1.11 or OpenTofu \
          1.11. With an older version the value would be kept in the state."]
    );
    for name in attributes.keys() {
        let config = note("n", "text").with(name, Value::unknown()).with("secret", Value::Null);
        let told = run.validate(encode(&config, &ty)).await;
        assert_eq!(told, [""; 0], "{name}");
    }
}

#[tokio::test]
async fn values_of_another_type_are_refused() {
    let mut run = Run::new().await;
    let ty = run.client.resource(NOTE).ty;
    let good = encode(&note("n", "text"), &ty).expect("a value").msgpack;
    let cut = good[..good.len() - 1].to_vec();
    let longer = [good.clone(), vec![0xc0]].concat();
    for (bad, problem) in [
        (vec![0x07], "marker 0x07 where an object belongs"),
        (vec![0x80], "0 attributes in an object of"),
        (vec![0xc1], "marker 0xc1 where an object belongs"),
        (cut, "value ends early"),
        (longer, "1 bytes after the value"),
    ] {
        let told = run.validate(raw(bad)).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("Cannot read a value"), "{told:?}");
        assert!(told[0].contains(problem), "{told:?}");
    }
}

#[tokio::test]
async fn null_elements_and_text_of_any_form_are_kept() {
    let mut run = Run::new().await;
    let mut notes = run.client.resource(NOTE);
    let config = note("cafe\u{301}", &"long ".repeat(400_000))
        .with("steps", Value::List(vec![Value::Null]))
        .with("labels", Value::object([("team", Value::Null)]));
    // Straight to the wire: a client would have brought the text into its normal form.
    let ty = notes.ty.clone();
    let conformed = decode(encode(&config, &ty).as_ref(), &ty);
    assert_eq!(conformed.get("name"), Some(&Value::from("caf\u{e9}")));
    let decomposed = conformed.clone().with("name", "cafe\u{301}");
    let wire_bytes = msgpack::encode(&decomposed, &ty).expect("of the type");
    assert_eq!(msgpack::decode(&wire_bytes, &ty).expect("of the type"), conformed);
    let plan = core::plan(&mut notes, &Object::default(), &conformed).await.expect("a plan");
    let object = core::apply(&mut notes, &Object::default(), &plan, &conformed).await;
    let object = object.expect("a note");
    core::stays(&mut notes, &object, &conformed).await.expect("no change");
    assert_eq!(run.validate(raw(wire_bytes)).await, [""; 0]);
}

#[tokio::test]
async fn values_that_nest_without_end_are_refused() {
    let mut run = Run::new().await;
    let level = [vec![0x92, 0xc4, 0x09], b"\"dynamic\"".to_vec()].concat();
    let deep = level.repeat(100_000);
    let name = encode(&Value::from("n"), &Type::String).expect("a value");
    let arguments = vec![name, wire::DynamicValue { msgpack: deep, json: Vec::new() }];
    let request = wire::call_function::Request { name: "step".to_owned(), arguments };
    let answer = run.client.calls.call_function(request).await.expect("an answer").into_inner();
    let text = answer.error.expect("an error").text;
    assert!(text.contains("value nests deeper than 128"), "{text}");

    let json = format!("{}1{}", r#"{"name":["#.repeat(50_000), "]}".repeat(50_000));
    for version in [1, 0, -1] {
        let told = run.client.resource(NOTE).upgrade(version, json.as_bytes()).await;
        assert!(told.has_errors(), "{version}");
    }
}

/// OpenTofu sends a null argument as a value with nothing in it.
#[tokio::test]
async fn nothing_at_all_is_null() {
    let mut run = Run::new().await;
    let name = encode(&Value::from("n"), &Type::String).expect("a value");
    let arguments = vec![name, wire::DynamicValue::default()];
    let request = wire::call_function::Request { name: "step".to_owned(), arguments };
    let answer = run.client.calls.call_function(request).await.expect("an answer").into_inner();
    let error = answer.error.expect("an error");
    assert_eq!((error.text.as_str(), error.function_argument), ("not an object", Some(1)));
    assert_eq!(run.validate(None).await, [""; 0]);
    assert_eq!(run.validate(raw(Vec::new())).await, [""; 0]);
}

#[tokio::test]
async fn states_that_cannot_be_read_are_told_without_their_secrets() {
    let mut run = Run::new().await;
    let mut notes = run.client.resource(NOTE);
    for (version, json, problem) in [
        (7, r#"{"name":"n"}"#, "The state is of a newer version: The state has version 7"),
        (1, r#"{"secret":["correct horse"]}"#, "at secret: an array where string belongs"),
        (1, r#"{"weight":"correct horse"}"#, "at weight: not a decimal number"),
        (1, r#"{"tag":{"name":"correct horse"}}"#, "at tag: an object of another form where"),
        (1, r#"{"name":"correct horse"#, "not JSON: EOF"),
        (0, r#"{"name":"correct horse"#, "not JSON: EOF"),
        (1, r#"{"weight":1e999999999}"#, "at weight: number is out of range"),
        (0, r#"{"weight":1e999999999}"#, "at weight: number is out of range"),
        (0, r#"{"gone":"correct horse"}"#, "at gone: no such attribute"),
    ] {
        let told = notes.upgrade(version, json.as_bytes()).await;
        let texts = texts(&told.diags).join("\n");
        assert!(told.has_errors() && texts.contains(problem), "{json}: {texts}");
        assert!(!texts.contains("correct horse"), "{texts}");
    }
}
