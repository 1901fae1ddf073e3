//! Identities and lists, which the installed client may be too old for: over the wire.

use provider_kit::client::Client;
use provider_protocol::cty::Value;
use provider_protocol::provider::Provider as _;
use provider_resources::Lockstep;
use reconciler_api::v1::Kind;
use serde_json::json;

use crate::daemon::Daemon;
use crate::wire::{Fields, beside, client, list};

fn of(project: Option<&str>, name: &str) -> Value {
    Value::object([("project", Value::from(project)), ("name", name.into())])
}

/// What is found without anything being told.
async fn found(
    client: &mut Client,
    type_name: &str,
    fields: Fields<'_>,
    asked: (i64, bool),
) -> Vec<(String, Option<Value>)> {
    let (found, told) = list(client, type_name, fields, asked).await;
    assert_eq!(told, [""; 0]);
    found
}

#[tokio::test]
async fn every_type_has_an_identity_and_a_list() {
    let client = Client::in_process(Lockstep).await;
    // A wish is no object: the promotion that fulfils it is another each time.
    let wishes = ["lockstep_promotion"];
    for resource in Lockstep.resources() {
        let name = resource.type_name();
        if wishes.contains(&name) {
            continue;
        }
        assert!(resource.identity().is_some(), "{name}");
        assert!(client.offer.list_resource_schemas.contains_key(name), "{name}");
    }
}

#[test]
fn an_object_is_imported_by_its_identity() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    daemon.put(Kind::Stage, "dev", json!({ "requests": [{ "warehouse": "shop" }] }));
    beside(&daemon, async |daemon| {
        let mut client = client(daemon, Some("shop")).await;
        let mut stage = client.resource("lockstep_stage");
        for project in [Some("shop"), None] {
            let start = stage.import_identity(&of(project, "dev")).await.ok();
            let read = stage.read(&start).await.ok();
            assert_eq!(read.value.get("id"), Some(&Value::from("shop/dev")));
            assert_eq!(read.identity, of(Some("shop"), "dev"));
        }
        let by_id = stage.import("shop/dev").await.ok();
        assert_eq!(stage.read(&by_id).await.ok().identity, of(Some("shop"), "dev"));
        let mut project = client.resource("lockstep_project");
        let identity = Value::object([("name", Value::from("shop"))]);
        let start = project.import_identity(&identity).await.ok();
        assert_eq!(project.read(&start).await.ok().identity, identity);
    });
}

#[test]
fn an_identity_without_a_project_needs_the_providers() {
    let daemon = Daemon::start();
    beside(&daemon, async |daemon| {
        let mut client = client(daemon, None).await;
        let told = client.resource("lockstep_stage").import_identity(&of(None, "dev")).await;
        assert!(told.diags.iter().any(|it| it.summary == "Missing project"), "{:?}", told.diags);
    });
}

#[test]
fn what_is_there_is_listed() {
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    for name in ["dev", "prod"] {
        daemon.put(Kind::Stage, name, json!({ "requests": [{ "warehouse": "shop" }] }));
    }
    beside(&daemon, async |daemon| {
        let mut client = client(daemon, Some("shop")).await;
        let names = |found: Vec<(String, Option<Value>)>| -> Vec<String> {
            found.into_iter().map(|(name, _)| name).collect()
        };
        let stages = found(&mut client, "lockstep_stage", &[], (0, false)).await;
        assert!(stages.iter().all(|(_, object)| object.is_none()));
        assert_eq!(names(stages), ["shop/dev", "shop/prod"]);
        let one =
            found(&mut client, "lockstep_stage", &[("project", "shop".into())], (1, true)).await;
        let object = one[0].1.as_ref().unwrap();
        assert_eq!(object.get("name"), Some(&Value::from("dev")));
        assert_eq!(object.get("request").and_then(Value::as_list).map(<[Value]>::len), Some(1));
        assert_eq!(names(one), ["shop/dev"]);
        let none = found(&mut client, "lockstep_promotion_policy", &[], (0, false)).await;
        assert_eq!(names(none), [""; 0]);
    });
}
