//! Whatever stands in a configuration is accepted or told: no panic, no overflow, no secret.
//!
//! Every place of every type, as deep as the type goes, gets each of a table of hostile values, one
//! at a time, in a configuration that is otherwise right; over the wire, as a client sends it.

use std::fs;
use std::path::Path;

use provider_kit::client::{Client, Object, encode, texts};
use provider_kit::core;
use provider_kit::read_schema;
use provider_protocol::cty::conform::conform;
use provider_protocol::cty::json::{self, Extra};
use provider_protocol::cty::{Dynamic, Number, Type, Value};
use provider_protocol::provider::Provider as _;
use provider_protocol::schema::{Mode, Schema};
use provider_protocol::wire::tfplugin6 as wire;
use provider_protocol::wire::tfplugin6::diagnostic::Severity;
use provider_resources::Lockstep;
use reconciler_domain::step::{StepKind, fields};
use serde_json::Value as Json;

use crate::daemon::Daemon;
use crate::states::daemon;
use crate::wire::{beside, block_on, client as wire_client, whole};

/// What must be in no message.
const SECRET: &str = "hunter2";

/// A message longer than this would fill more than a screen with what it quotes.
const MESSAGE_MAX: usize = 20 * 1024;

fn texts_to_try() -> Vec<Value> {
    let deep = |open: &str, close: &str, depth: usize| open.repeat(depth) + &close.repeat(depth);
    let texts = [
        String::new(),
        " \t\n".to_owned(),
        "a".repeat(1 << 17),
        "\u{0}".to_owned(),
        "a\u{202e}b\u{feff}".to_owned(),
        "cafe\u{301}".to_owned(),
        "${x} %s %n {{ }} {{".to_owned(),
        deep("(", ")", 20_000),
        deep("[", "]", 20_000),
        deep("{", "}", 20_000),
        deep("{\"a\":", "}", 20_000),
        format!("{{{{ {} }}}}", "!".repeat(20_000)),
        format!("x{}", " + x".repeat(20_000)),
        "(a{1000}){1000}".to_owned(),
        format!("https://user:{SECRET}@example.com/x"),
        format!("https://user:{SECRET}@exa mple.com/x"),
        format!("ftp://user:{SECRET}@example.com/x"),
        format!("//user:{SECRET}@example.com"),
        format!(
            "{{\"url\":\"https://user:{SECRET}@example.com\",\"repo\":\"https://u:{SECRET}@x\"}}"
        ),
        format!("999999999999999999999999999h{}", "9".repeat(400)),
    ];
    texts.into_iter().map(Value::from).chain([Value::unknown()]).collect()
}

/// The values that are tried in a place of this type.
fn hostile(ty: &Type) -> Vec<Value> {
    let mut tried = match ty {
        Type::String => texts_to_try(),
        Type::Number => {
            let numbers = ["-1", "0", "0.5", "1e300", "99999999999999999999999999999999"];
            numbers.map(|it| Value::Number(it.parse::<Number>().unwrap())).to_vec()
        }
        Type::Bool => vec![true.into()],
        Type::List(element) | Type::Set(element) => {
            let of = |element: Value| Value::List(vec![element]);
            let mut lists = vec![Value::List(Vec::new()), of(Value::Null), of(Value::unknown())];
            if matches!(**element, Type::String) {
                lists.extend(texts_to_try().into_iter().map(of));
                lists.push(Value::list(vec!["a"; 2_000]));
            }
            lists
        }
        Type::Map(element) => {
            let key = "k".repeat(20_000);
            let keys = ["", "a.b", "\u{0}", "cafe\u{301}", key.as_str()];
            let mut maps: Vec<Value> =
                keys.map(|key| Value::object([(key, Value::from("x"))])).to_vec();
            maps.push(Value::object([("k", Value::Null)]));
            maps.push(Value::object([("k", Value::unknown())]));
            if matches!(**element, Type::String) {
                let texts = texts_to_try().into_iter();
                maps.extend(texts.map(|text| Value::object([("k", text)])));
            }
            maps
        }
        Type::Object(_) | Type::Tuple(_) | Type::Dynamic => Vec::new(),
    };
    tried.extend([Value::Null, Value::unknown()]);
    tried
}

/// Calls with every variation of a value: where, and the whole.
fn vary(value: &Value, ty: &Type, place: &str, whole: &mut dyn FnMut(&str, Value)) {
    for bad in hostile(ty) {
        whole(place, bad);
    }
    match (value, ty) {
        (Value::List(elements), Type::List(element)) => {
            for (at, inner) in elements.iter().enumerate() {
                vary(inner, element, &format!("{place}[{at}]"), &mut |place, bad| {
                    let mut elements = elements.clone();
                    elements[at] = bad;
                    whole(place, Value::List(elements));
                });
            }
            if let Some(first) = elements.first() {
                whole(place, Value::List(vec![first.clone(); 200]));
            }
        }
        (Value::Map(_), Type::Object(fields)) => {
            for (name, ty) in fields {
                let inner = value.get(name).cloned().unwrap_or_default();
                vary(&inner, ty, &format!("{place}.{name}"), &mut |place, bad| {
                    whole(place, value.clone().with(name.clone(), bad));
                });
            }
        }
        _ => {}
    }
}

/// A state that was kept of the type.
pub(crate) fn kept(type_name: &str, ty: &Type) -> Value {
    let states = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/provider/states");
    let state = fs::read(states.join(type_name).join("v0/terraform.tfstate")).unwrap();
    let state: Json = serde_json::from_slice(&state).unwrap();
    let resources = state["resources"].as_array().unwrap();
    let resource = resources.iter().find(|it| it["type"] == type_name).unwrap();
    let attributes = resource["instances"][0]["attributes"].to_string();
    json::decode(&attributes, ty, Extra::Drop).unwrap()
}

/// What is wrong with a message.
fn judge(place: &str, text: &str) -> Option<String> {
    let begin: String = text.chars().take(300).collect();
    if text.contains("Bug in the provider") || text.contains(SECRET) {
        return Some(format!("{place}: {begin}"));
    }
    (text.len() > MESSAGE_MAX).then(|| format!("{place}: {} bytes: {begin}", text.len()))
}

#[test]
fn whatever_stands_in_a_configuration_is_accepted_or_told() {
    // As much stack as the threads have that serve a client.
    block_on(async {
        let mut client = Client::in_process(Lockstep).await;
        let (mut tried, mut wrong) = (0, Vec::new());
        for resource in Lockstep.resources() {
            let (name, schema) = (resource.type_name(), resource.schema());
            let ty = schema.block.ty();
            let mut config = kept(name, &ty);
            for (attribute, it) in &schema.block.attributes {
                if it.mode == Mode::Computed || it.write_only {
                    config.set(attribute, Value::Null);
                }
            }
            let mut client = client.resource(name);
            assert_eq!(texts(&client.validate(&config).await), [""; 0], "{name}");
            for (place, bad) in variations(&config, &ty, name) {
                let told = texts(&client.validate(&bad).await);
                wrong.extend(told.iter().filter_map(|text| judge(&place, text)));
                tried += 1;
            }
        }
        assert_eq!(wrong, [""; 0]);
        assert!(tried > 1000, "{tried}");
    });
}

/// What the checks let pass is planned, with a daemon, by the client's rules.
#[test]
fn whatever_is_valid_is_planned_or_told() {
    beside(&daemon(), async |daemon| {
        let mut client = wire_client(daemon, Some("shop")).await;
        let (mut planned, mut wrong) = (0, Vec::new());
        for resource in Lockstep.resources() {
            let (name, schema) = (resource.type_name(), resource.schema());
            let ty = schema.block.ty();
            let mut config = kept(name, &ty);
            for (attribute, it) in &schema.block.attributes {
                if it.mode == Mode::Computed || it.write_only {
                    config.set(attribute, Value::Null);
                }
            }
            let mut client = client.resource(name);
            for (place, bad) in variations(&config, &ty, name) {
                if client.validate(&bad).await.iter().any(|it| it.severity() == Severity::Error) {
                    continue;
                }
                planned += 1;
                let Err(told) = core::plan(&mut client, &Object::default(), &bad).await else {
                    continue;
                };
                wrong.extend(told.split("\nerror at ").filter_map(|text| judge(&place, text)));
                // An error of the provider, and no rule of the client that it broke.
                if !told.starts_with("error at ") && !told.starts_with("warning at ") {
                    wrong.push(format!("{place}: {told}"));
                }
            }
        }
        assert_eq!(wrong, [""; 0]);
        assert!(planned > 500, "{planned}");
    });
}

/// Every variation that a client would send: each is of the type's shape. A list of blocks is never
/// null, and has no null in it.
fn variations(right: &Value, ty: &Type, place: &str) -> Vec<(String, Value)> {
    let mut varied = Vec::new();
    vary(right, ty, place, &mut |place, bad| varied.push((place.to_owned(), bad)));
    let conformed = varied.into_iter();
    conformed.filter_map(|(place, bad)| Some((place, conform(bad, ty).ok()?))).collect()
}

/// What a configuration is of.
#[derive(Clone, Copy, Debug)]
enum Of {
    Provider,
    Data(&'static str),
    Ephemeral(&'static str),
    List(&'static str),
    Action(&'static str),
}

/// A configuration of everything but resources that is right.
const RIGHT: [(Of, &[(&str, &str)]); 25] = [
    (Of::Provider, &[("endpoint", "http://127.0.0.1:1"), ("token", "t"), ("project", "shop")]),
    (Of::Data("lockstep_freight"), &[("id", "abcd")]),
    (Of::Data("lockstep_freights"), &[("warehouse", "shop")]),
    (Of::Data("lockstep_pipeline"), &[]),
    (Of::Data("lockstep_policy_preview"), &[("name", "prod"), ("policy", POLICY)]),
    (Of::Data("lockstep_promotion"), &[("name", "dev.1")]),
    (Of::Data("lockstep_stage"), &[("name", "dev")]),
    (Of::Ephemeral("lockstep_token"), &[("lifetime", "1h")]),
    (Of::List("lockstep_api_token"), &[]),
    (Of::List("lockstep_credential"), &[("project", "shop")]),
    (Of::List("lockstep_freeze"), &[("project", "shop")]),
    (Of::List("lockstep_hold"), &[("project", "shop")]),
    (Of::List("lockstep_instance_freeze"), &[]),
    (Of::List("lockstep_project"), &[]),
    (Of::List("lockstep_promotion_policy"), &[("project", "shop")]),
    (Of::List("lockstep_promotion_task"), &[("project", "shop")]),
    (Of::List("lockstep_stage"), &[("project", "shop")]),
    (Of::List("lockstep_verification"), &[("project", "shop")]),
    (Of::List("lockstep_warehouse"), &[("project", "shop")]),
    (Of::Action("lockstep_abort"), &[("promotion", "dev.1"), ("reason", "late")]),
    (Of::Action("lockstep_approve"), &[("promotion", "dev.1"), ("digest", "sha256:0")]),
    (Of::Action("lockstep_promote"), &[("stage", "dev")]),
    (Of::Action("lockstep_refresh"), &[("warehouse", "shop")]),
    (Of::Action("lockstep_reverify"), &[("stage", "dev"), ("timeout", "1h")]),
    (Of::Action("lockstep_promote"), &[("stage", "dev"), ("freight", "abcd")]),
];

const POLICY: &str = r#"{ "mode": "manual", "stages": { "names": ["prod"] } }"#;

impl Of {
    fn schema(self, client: &Client) -> Schema {
        let offer = &client.offer;
        read_schema(match self {
            Self::Provider => offer.provider.as_ref().unwrap(),
            Self::Data(name) => &offer.data_source_schemas[name],
            Self::Ephemeral(name) => &offer.ephemeral_resource_schemas[name],
            Self::List(name) => &offer.list_resource_schemas[name],
            Self::Action(name) => offer.action_schemas[name].schema.as_ref().unwrap(),
        })
    }

    /// What is told of a configuration.
    async fn validate(self, client: &mut Client, value: &Value, ty: &Type) -> Vec<String> {
        let (calls, config) = (&mut client.calls, encode(value, ty));
        let name = |name: &str| name.to_owned();
        let told = match self {
            Self::Provider => {
                let request = wire::validate_provider_config::Request { config };
                calls.validate_provider_config(request).await.unwrap().into_inner().diagnostics
            }
            Self::Data(of) => {
                let type_name = name(of);
                let request = wire::validate_data_resource_config::Request { type_name, config };
                calls.validate_data_resource_config(request).await.unwrap().into_inner().diagnostics
            }
            Self::Ephemeral(of) => {
                let type_name = name(of);
                let request =
                    wire::validate_ephemeral_resource_config::Request { type_name, config };
                let answer = calls.validate_ephemeral_resource_config(request).await;
                answer.unwrap().into_inner().diagnostics
            }
            Self::List(of) => {
                let type_name = name(of);
                let request = wire::validate_list_resource_config::Request {
                    type_name,
                    config,
                    ..wire::validate_list_resource_config::Request::default()
                };
                calls.validate_list_resource_config(request).await.unwrap().into_inner().diagnostics
            }
            Self::Action(of) => {
                let action_type = name(of);
                let request =
                    wire::validate_action_config::Request { type_name: action_type, config };
                calls.validate_action_config(request).await.unwrap().into_inner().diagnostics
            }
        };
        texts(&told)
    }
}

#[test]
fn so_it_is_beside_resources() {
    block_on(async {
        let mut client = Client::in_process(Lockstep).await;
        let offered = 1
            + client.offer.data_source_schemas.len()
            + client.offer.ephemeral_resource_schemas.len()
            + client.offer.list_resource_schemas.len()
            + client.offer.action_schemas.len();
        // One of the actions is there twice.
        assert_eq!(RIGHT.len(), offered + 1, "everything has a configuration that is right");
        let mut wrong = Vec::new();
        for (of, fields) in RIGHT {
            let ty = of.schema(&client).ty();
            let fields: Vec<(&str, Value)> =
                fields.iter().map(|(name, text)| (*name, Value::from(*text))).collect();
            let right = whole(&fields, &ty);
            assert_eq!(of.validate(&mut client, &right, &ty).await, [""; 0], "{of:?}");
            for (place, bad) in variations(&right, &ty, &format!("{of:?}")) {
                let told = of.validate(&mut client, &bad, &ty).await;
                wrong.extend(told.iter().filter_map(|text| judge(&place, text)));
            }
        }
        assert_eq!(wrong, [""; 0]);
    });
}

/// What a function answers to arguments: what is wrong with them.
async fn called(client: &mut Client, name: &str, arguments: &[(Value, Type)]) -> Option<String> {
    let encoded = arguments.iter().map(|(value, ty)| encode(value, ty).unwrap()).collect();
    let request = wire::call_function::Request { name: name.to_owned(), arguments: encoded };
    let answer = client.calls.call_function(request).await.unwrap().into_inner();
    answer.error.map(|error| error.text)
}

/// Arguments of a kind of step with something hostile in one of them. Not each text is tried in each
/// argument, but each in many.
fn steps(kind: &str) -> Vec<Value> {
    let fields = StepKind::from_name(kind).map(fields).unwrap_or_default();
    let texts = hostile(&Type::String);
    let some = |at: usize| (0..3).map(move |turn| at * 5 + turn * 8 + kind.len());
    let inside = fields.iter().enumerate().flat_map(|(at, field)| {
        let texts = &texts;
        some(at).map(move |it| Value::object([(field.name, texts[it % texts.len()].clone())]))
    });
    inside.collect()
}

/// A value for a parameter or an argument that takes anything.
fn dynamic(value: Value) -> Value {
    let ty = match &value {
        Value::Map(fields) => {
            Type::object(fields.iter().map(|(name, value)| (name.clone(), type_of(value))))
        }
        other => type_of(other),
    };
    Value::Dynamic(Box::new(Dynamic { ty, value }))
}

fn type_of(value: &Value) -> Type {
    match value {
        Value::Bool(_) => Type::Bool,
        Value::Number(_) => Type::Number,
        _ => Type::String,
    }
}

#[test]
fn whatever_a_function_is_called_with_is_answered() {
    block_on(async {
        let mut client = Client::in_process(Lockstep).await;
        let (mut wrong, mut refused) = (Vec::new(), 0);
        for function in Lockstep.functions() {
            let (name, parameters) = (function.name(), function.signature().parameters);
            let plain = |ty: &Type| match ty {
                Type::Dynamic => (dynamic(Value::object::<&str>([])), Type::Dynamic),
                Type::Bool => (Value::Bool(true), Type::Bool),
                Type::Number => (Value::from(1), Type::Number),
                ty => (Value::from("x"), ty.clone()),
            };
            let arguments: Vec<(Value, Type)> =
                parameters.iter().map(|parameter| plain(&parameter.ty)).collect();
            for (at, parameter) in parameters.iter().enumerate() {
                let fits = |bad: &Value| {
                    (parameter.allow_unknown || !bad.is_unknown())
                        && (parameter.allow_null || !bad.is_null())
                };
                let bad = match &parameter.ty {
                    Type::String => hostile(&Type::String),
                    Type::Dynamic => {
                        hostile(&Type::String).into_iter().chain(steps(name)).map(dynamic).collect()
                    }
                    other => hostile(other),
                };
                for bad in bad.into_iter().filter(fits) {
                    let mut arguments = arguments.clone();
                    arguments[at].0 = bad;
                    let told = called(&mut client, name, &arguments).await;
                    refused += usize::from(told.is_some());
                    wrong.extend(told.and_then(|text| judge(name, &text)));
                }
            }
        }
        assert_eq!(wrong, [""; 0]);
        assert!(refused > 500, "{refused}");
    });
}

/// What a client keeps for the provider comes back from a file that anybody can write.
#[test]
fn whatever_was_kept_is_read_or_told() {
    let kept_bytes: [&[u8]; 9] = [
        b"",
        b"\x00\xff",
        b"{",
        b"null",
        b"[]",
        br#"{"v":1}"#,
        br#"{"v":1,"generation":-1}"#,
        br#"{"v":1,"generation":99999999999999999999,"token":"x"}"#,
        br#"{"v":1,"generation":1,"token":"18446744073709551616","name":"../x","lifetime":"soon"}"#,
    ];
    let daemon = Daemon::start();
    beside(&daemon, async |daemon| {
        let mut client = wire_client(daemon, Some("shop")).await;
        let mut wrong = Vec::new();
        for bytes in kept_bytes {
            for resource in Lockstep.resources() {
                let name = resource.type_name();
                let mut resource = client.resource(name);
                let value = kept(name, &resource.ty);
                let state = Object { value, private: bytes.to_vec(), identity: Value::Null };
                let read = resource.read(&state).await;
                wrong.extend(texts(&read.diags).iter().filter_map(|text| judge(name, text)));
                let config = resource.generate(&state.value).await.ok();
                let changed = config.clone().with("description", "another");
                let fits = resource.schema.block.attributes.contains_key("description");
                let proposed = if fits { changed } else { config };
                let plan = resource.plan(&state, &proposed, &proposed, bytes).await;
                wrong.extend(texts(&plan.diags).iter().filter_map(|text| judge(name, text)));
                let apply = resource.apply(&state, &plan.answer.object, &proposed).await;
                wrong.extend(texts(&apply.diags).iter().filter_map(|text| judge(name, text)));
            }
            let (type_name, private) = ("lockstep_token".to_owned(), Some(bytes.to_vec()));
            let renew = wire::renew_ephemeral_resource::Request { type_name, private };
            let renewed = client.calls.renew_ephemeral_resource(renew.clone()).await.unwrap();
            assert_eq!(renewed.into_inner().diagnostics.len(), 1, "{bytes:?}");
            let wire::renew_ephemeral_resource::Request { type_name, private } = renew;
            let close = wire::close_ephemeral_resource::Request { type_name, private };
            let closed = client.calls.close_ephemeral_resource(close).await.unwrap().into_inner();
            wrong.extend(texts(&closed.diagnostics).iter().filter_map(|text| judge("close", text)));
        }
        assert_eq!(wrong, [""; 0]);
    });
}
