//! Every type of resource, from its configuration to its import, as a client with all of the protocol
//! goes through it; and what is protected on the way.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use provider_kit::client::{Client, Object, Resource, texts};
use provider_kit::core::{self, Action};
use provider_protocol::cty::Value;
use provider_protocol::cty::json::{self, Extra};
use provider_protocol::plan::strip_write_only;
use provider_protocol::provider::Provider as _;
use provider_protocol::schema::{Block, Mode, Schema};
use provider_resources::Lockstep;
use reconciler_api::v1::Kind;
use serde_json::{Value as Json, json};

use crate::bad_input::kept;
use crate::states::daemon;
use crate::wire::{beside, block_on, client};

/// The configuration that the provider writes for an object.
async fn generated(resource: &mut Resource<'_>, object: &Value) -> Value {
    let config = resource.generate(object).await.ok();
    assert_eq!(texts(&resource.validate(&config).await), [""; 0], "what is written is valid");
    config
}

async fn lives(resource: &mut Resource<'_>, config: &Value) -> Result<(), String> {
    assert_eq!(texts(&resource.validate(config).await), [""; 0], "what is lived is valid");
    let plan = core::plan(resource, &Object::default(), config).await?;
    let object = core::apply(resource, &Object::default(), &plan, config).await?;
    core::stays(resource, &object, config).await?;
    let id = object.value.get("id").and_then(Value::as_str).unwrap();
    let imported = core::import(resource, id).await?;
    let mut without = config.clone();
    strip_write_only(&resource.schema.block, &mut without);
    // A secret that the configuration alone has cannot be written down.
    let config = match without == *config {
        true => generated(resource, &imported.value).await,
        false => config.clone(),
    };
    let plan = core::plan(resource, &imported, &config).await?;
    if plan.action != Action::Nothing {
        return Err(format!("what is written for {id} changes it: {:#?}", plan.planned.value));
    }
    core::destroy(resource, &object).await
}

/// Configurations of a type that have everything in them, taken together.
fn full(type_name: &str, schema: &Schema) -> Vec<Value> {
    let states = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/provider/states");
    let file = states.join(type_name).join("full.json");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| {
        panic!("{}: {error}. Every type has one, with all that can be configured", file.display())
    });
    let configs: Vec<Json> = serde_json::from_str(&text).unwrap();
    let decoded = configs.iter().map(|config| {
        json::decode(&config.to_string(), &schema.ty(), Extra::Refuse)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
    });
    decoded.map(|config| with_blocks(config, &schema.block)).collect()
}

/// A list of blocks is empty, and never null.
fn with_blocks(mut value: Value, block: &Block) -> Value {
    for (name, nested) in &block.blocks {
        let inside = match value.get(name).cloned().unwrap_or_default() {
            Value::Null => nested.empty_value(),
            Value::List(elements) => {
                Value::list(elements.into_iter().map(|it| with_blocks(it, &nested.block)))
            }
            single => with_blocks(single, &nested.block),
        };
        value.set(name, inside);
    }
    value
}

/// The places that some value sets to something that is not the default.
fn set(values: &[&Value], block: &Block, at: &str, found: &mut BTreeMap<String, bool>) {
    for (name, attribute) in &block.attributes {
        if attribute.mode == Mode::Computed || attribute.write_only {
            continue;
        }
        let is_set = |value: &&Value| match value.get(name) {
            None | Some(Value::Null) => false,
            Some(Value::List(elements)) if elements.is_empty() => false,
            other => other != attribute.default.as_ref(),
        };
        found.insert(format!("{at}.{name}"), values.iter().any(is_set));
    }
    for (name, nested) in &block.blocks {
        let inside: Vec<&Value> = values
            .iter()
            .filter_map(|value| value.get(name))
            .flat_map(|value| value.as_list().unwrap_or(std::slice::from_ref(value)))
            .collect();
        set(&inside, &nested.block, &format!("{at}.{name}"), found);
    }
}

/// What the protection of an object is, is looked at by itself, and whose it is is everywhere the same.
const ELSEWHERE: [&str; 2] = ["deletion_protection", "project"];

/// An attribute that is not sent, or not read back, is another one after the apply.
#[test]
fn everything_that_can_be_configured_is_kept() {
    beside(&daemon(), async |daemon| {
        let mut client = client(daemon, Some("shop")).await;
        for resource in Lockstep.resources() {
            let (name, schema) = (resource.type_name(), resource.schema());
            let configs = full(name, &schema);
            let mut places = BTreeMap::new();
            set(&configs.iter().collect::<Vec<_>>(), &schema.block, "", &mut places);
            let left_out = places.iter().filter(|(_, is_set)| !**is_set).map(|(place, _)| place);
            let left_out: Vec<&str> = left_out.map(|place| place.trim_start_matches('.')).collect();
            let expected =
                ELSEWHERE.into_iter().filter(|it| schema.block.attributes.contains_key(*it));
            assert_eq!(
                left_out,
                expected.collect::<Vec<_>>(),
                "{name}: full.json leaves these out"
            );
            let mut resource = client.resource(name);
            for config in configs {
                if let Err(problem) = lives(&mut resource, &config).await {
                    panic!("{name}: {problem}");
                }
            }
        }
    });
}

#[test]
fn every_type_is_made_imported_and_written_down() {
    beside(&daemon(), async |daemon| {
        let mut client = client(daemon, Some("shop")).await;
        for resource in Lockstep.resources() {
            let name = resource.type_name();
            let mut resource = client.resource(name);
            let mut state = kept(name, &resource.ty);
            if state.get("deletion_protection").is_some() {
                state.set("deletion_protection", false);
            }
            // One project is there from the beginning.
            if name == "lockstep_project" {
                state.set("name", "other");
                state.set("id", "other");
            }
            let config = generated(&mut resource, &state).await;
            if let Err(problem) = lives(&mut resource, &config).await {
                panic!("{name}: {problem}");
            }
        }
    });
}

#[test]
fn what_is_protected_is_not_destroyed() {
    let daemon = daemon();
    let protected = json!({ "deletion_protection": true });
    daemon.put(Kind::Project, "kept", protected.clone());
    daemon.put(Kind::Warehouse, "kept", protected.clone());
    let mut stage = protected;
    stage["requests"] = json!([{ "warehouse": "kept" }]);
    daemon.put(Kind::Stage, "kept", stage);
    beside(&daemon, async |daemon| {
        let mut client = client(daemon, Some("shop")).await;
        for (type_name, id) in [
            ("lockstep_project", "kept"),
            ("lockstep_warehouse", "shop/kept"),
            ("lockstep_stage", "shop/kept"),
        ] {
            let mut resource = client.resource(type_name);
            let object = core::import(&mut resource, id).await.unwrap();
            let refused = core::destroy(&mut resource, &object).await.unwrap_err();
            assert!(refused.contains("protected from deletion"), "{type_name}: {refused}");
            // A client that does not ask before is refused by the daemon.
            let nothing = Object { private: object.private.clone(), ..Object::default() };
            let told = resource.apply(&object, &nothing, &Value::Null).await;
            assert!(told.has_errors(), "{type_name}");
            assert_eq!(told.answer.value, object.value, "{type_name} is still there");
        }
    });
}

/// As while the configuration of the provider is not known.
#[test]
fn what_cannot_be_read_is_not_imported() {
    block_on(async {
        let mut client = Client::in_process(Lockstep).await;
        for resource in Lockstep.resources() {
            let name = resource.type_name();
            let mut resource = client.resource(name);
            let state = kept(name, &resource.ty);
            let id = state.get("id").and_then(Value::as_str).unwrap();
            let refused = core::import(&mut resource, id).await.unwrap_err();
            assert!(refused.contains(": Cannot import ") && refused.contains(id), "{refused}");
            assert!(refused.contains("known only after apply"), "{refused}");
            // What was read before stays as it was.
            let private = br#"{"v":1,"generation":1,"freight":"abcd"}"#.to_vec();
            let object = Object { value: state, private, identity: Value::Null };
            let read = resource.read(&object).await.ok();
            assert_eq!(read.value.get("id"), object.value.get("id"), "{name}");
            assert_eq!(read.private, object.private, "{name}");
        }
    });
}

/// The secrets of two types are in no state, so what is written down for an object has none.
#[test]
fn a_secret_has_to_be_added_to_what_is_written_down() {
    let daemon = daemon();
    let spec = json!({ "description": "", "kind": "git", "address": "https://git.example.com/a",
        "username": "u", "version": null, "from": [] });
    let mut stored = spec.clone();
    stored["version"] = json!(1);
    stored["data"] = json!({ "password": "secret" });
    daemon.put(Kind::Credential, "stored", stored);
    let mut elsewhere = spec;
    elsewhere["from"] = json!([{ "key": "password", "env": "SHOP_PASSWORD" }]);
    daemon.put(Kind::Credential, "elsewhere", elsewhere);
    let token = json!({ "groups": [], "admin": false, "expires_at": null, "version": 1 });
    daemon.put(Kind::Token, "stored", token.clone());
    let mut hashed = token;
    hashed["version"] = json!(null);
    hashed["secret_sha256"] = json!("0".repeat(64));
    daemon.put(Kind::Token, "hashed", hashed);
    beside(&daemon, async |daemon| {
        let mut client = client(daemon, Some("shop")).await;
        for (type_name, id, missing) in [
            ("lockstep_credential", "shop/stored", Some("data_wo")),
            ("lockstep_credential", "shop/elsewhere", None),
            ("lockstep_api_token", "stored", Some("secret_wo")),
            ("lockstep_api_token", "hashed", None),
        ] {
            let mut resource = client.resource(type_name);
            let object = core::import(&mut resource, id).await.unwrap();
            let config = resource.generate(&object.value).await.ok();
            let told = texts(&resource.validate(&config).await);
            let Some(missing) = missing else {
                assert_eq!(told, [""; 0], "{id}");
                continue;
            };
            assert!(told[0].contains("Missing secret") && told[0].contains(missing), "{told:?}");
            let description = &resource.schema.block.description;
            let said = format!("add `{missing}`");
            assert!(description.contains(&said), "{type_name}: {description}");
        }
    });
}
