//! Whatever stands in a configuration is accepted or told: no panic, no overflow, no secret.
//!
//! Every place of every type, as deep as the type goes, gets each of a table of hostile values, one
//! at a time, in a configuration that is otherwise right; over the wire, as a client sends it.

use std::fs;
use std::path::Path;

use provider_kit::client::{Client, texts};
use provider_protocol::cty::json::{self, Extra};
use provider_protocol::cty::{Number, Type, Value};
use provider_protocol::provider::Provider as _;
use provider_protocol::schema::Mode;
use provider_resources::Lockstep;
use serde_json::Value as Json;

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

/// A configuration that is right: that of the kept state of the type.
fn right(type_name: &str, ty: &Type) -> Value {
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut client = Client::in_process(Lockstep).await;
        let (mut tried, mut wrong) = (0, Vec::new());
        for resource in Lockstep.resources() {
            let (name, schema) = (resource.type_name(), resource.schema());
            let ty = schema.block.ty();
            let mut config = right(name, &ty);
            for (attribute, it) in &schema.block.attributes {
                if it.mode == Mode::Computed || it.write_only {
                    config.set(attribute, Value::Null);
                }
            }
            let mut client = client.resource(name);
            assert_eq!(texts(&client.validate(&config).await), [""; 0], "{name}");
            let mut variations = Vec::new();
            vary(&config, &ty, name, &mut |place, bad| variations.push((place.to_owned(), bad)));
            for (place, bad) in variations {
                // What is not of the type's shape, a client does not send: a list of blocks is never
                // null, and has no null in it.
                let Ok(bad) = provider_protocol::cty::conform::conform(bad, &ty) else { continue };
                let told = texts(&client.validate(&bad).await);
                wrong.extend(told.iter().filter_map(|text| judge(&place, text)));
                tried += 1;
            }
        }
        assert_eq!(wrong, [""; 0]);
        assert!(tried > 1000, "{tried}");
    });
}
