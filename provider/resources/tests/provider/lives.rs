//! Every type of resource, from its configuration to its import, as a client with all of the protocol
//! goes through it; and what is protected on the way.

use provider_kit::client::{Object, Resource, texts};
use provider_kit::core::{self, Action};
use provider_protocol::cty::Value;
use provider_protocol::provider::Provider as _;
use provider_resources::Lockstep;
use reconciler_api::v1::Kind;
use serde_json::json;

use crate::bad_input::kept;
use crate::states::daemon;
use crate::wire::{beside, client};

/// The configuration that the provider writes for an object.
async fn generated(resource: &mut Resource<'_>, object: &Value) -> Value {
    let config = resource.generate(object).await.ok();
    assert_eq!(texts(&resource.validate(&config).await), [""; 0], "what is written is valid");
    config
}

async fn lives(resource: &mut Resource<'_>, state: &Value) -> Result<(), String> {
    let config = generated(resource, state).await;
    let plan = core::plan(resource, &Object::default(), &config).await?;
    let object = core::apply(resource, &Object::default(), &plan, &config).await?;
    core::stays(resource, &object, &config).await?;
    let id = object.value.get("id").and_then(Value::as_str).unwrap();
    let imported = core::import(resource, id).await?;
    let config = generated(resource, &imported.value).await;
    let plan = core::plan(resource, &imported, &config).await?;
    if plan.action != Action::Nothing {
        return Err(format!("what is written for {id} changes it: {:#?}", plan.planned.value));
    }
    core::destroy(resource, &object).await
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
            if let Err(problem) = lives(&mut resource, &state).await {
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
