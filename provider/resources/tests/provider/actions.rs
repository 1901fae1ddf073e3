//! The examples of actions and of lists, checked as a client that has them would: over the wire,
//! against the schemas. The tools at hand may be older than they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, BlockLabel, Body};
use provider_kit::client::{Client, encode, texts};
use provider_kit::read_schema;
use provider_protocol::cty::{Type, Value};
use provider_protocol::provider::Provider as _;
use provider_protocol::schema::{Mode, Schema};
use provider_protocol::wire::tfplugin6 as wire;
use provider_resources::Lockstep;
use reconciler_api::v1::Kind;
use serde_json::{Value as Json, json};

use crate::daemon::Daemon;
use crate::wire::{beside, client, invoke};

/// The blocks of one example: their types, and what their `config` blocks hold.
fn blocks(block: &str, example: &Path) -> Vec<(String, BTreeMap<String, Value>)> {
    let text = fs::read_to_string(example).unwrap();
    let body: Body = text.parse().unwrap_or_else(|error| panic!("{}: {error}", example.display()));
    body.get_blocks(block).map(|found| (label(found), config(found))).collect()
}

fn label(block: &Block) -> String {
    match block.labels.first() {
        Some(BlockLabel::String(label)) => label.value().clone(),
        Some(BlockLabel::Ident(label)) => label.to_string(),
        None => panic!("a block without a type"),
    }
}

fn config(block: &Block) -> BTreeMap<String, Value> {
    let configs = block.body.get_blocks("config");
    let attributes = configs.flat_map(|config| config.body.attributes());
    attributes.map(|it| (it.key.to_string(), value(&it.value))).collect()
}

/// What the client knows of it before it has read anything.
fn value(expression: &Expression) -> Value {
    match expression {
        Expression::String(text) => Value::from(text.as_str()),
        Expression::Bool(is) => Value::Bool(**is),
        _ => Value::unknown(),
    }
}

/// The attributes that the type has and the configuration has not are null.
fn whole(given: &BTreeMap<String, Value>, ty: &Type) -> Value {
    let Type::Object(fields) = ty else { panic!("{ty} is no object") };
    let of = |name: &String| given.get(name).cloned().unwrap_or(Value::Null);
    Value::object(fields.keys().map(|name| (name.clone(), of(name))))
}

/// What a client knows itself: which attributes there are and must be.
fn misspelt(schema: &Schema, given: &BTreeMap<String, Value>) -> Vec<String> {
    let attributes = &schema.block.attributes;
    let unknown = given.keys().filter(|name| !attributes.contains_key(*name));
    let mut wrong: Vec<String> = unknown.map(|name| format!("there is no {name}")).collect();
    let required = attributes.iter().filter(|(_, attribute)| attribute.mode == Mode::Required);
    let missing = required.filter(|(name, _)| !given.contains_key(*name));
    wrong.extend(missing.map(|(name, _)| format!("{name} is missing")));
    wrong
}

/// What a client says of an action: it asks for what it does not know.
async fn refused(
    client: &mut Client,
    action: &str,
    given: &BTreeMap<String, Value>,
) -> Vec<String> {
    let Some(schema) = client.offer.action_schemas.get(action) else {
        return vec![format!("there is no action {action}")];
    };
    let schema = read_schema(schema.schema.as_ref().unwrap());
    let wrong = misspelt(&schema, given);
    if !wrong.is_empty() {
        return wrong;
    }
    let ty = schema.ty();
    let request = wire::validate_action_config::Request {
        type_name: action.to_owned(),
        config: encode(&whole(given, &ty), &ty),
    };
    let answer = client.calls.validate_action_config(request).await.unwrap().into_inner();
    texts(&answer.diagnostics)
}

#[tokio::test]
async fn every_action_has_an_example_that_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/terraform/actions");
    let mut client = Client::in_process(Lockstep).await;
    for action in Lockstep.actions() {
        let name = action.type_name();
        let examples = blocks("action", &root.join(name).join("action.tf"));
        assert!(examples.iter().any(|(of, _)| of == name), "{name} is not in its example");
        for (of, given) in &examples {
            assert_eq!(refused(&mut client, of, given).await, [""; 0], "{of}");
        }
    }
}

#[tokio::test]
async fn every_list_has_an_example_that_is_valid() {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/terraform/list-resources");
    let mut client = Client::in_process(Lockstep).await;
    for list in Lockstep.list_resources() {
        let name = list.type_name();
        let examples = blocks("list", &root.join(name).join("list-resource.tfquery.hcl"));
        assert!(!examples.is_empty(), "{name} has no example");
        for (of, given) in &examples {
            assert_eq!(of, name);
            let schema = read_schema(&client.offer.list_resource_schemas[name]);
            assert_eq!(misspelt(&schema, given), [""; 0], "{name}");
            let ty = schema.ty();
            let request = wire::validate_list_resource_config::Request {
                type_name: name.to_owned(),
                config: encode(&whole(given, &ty), &ty),
                ..wire::validate_list_resource_config::Request::default()
            };
            let answer = client.calls.validate_list_resource_config(request).await.unwrap();
            assert_eq!(texts(&answer.into_inner().diagnostics), [""; 0], "{name}");
        }
    }
}

/// Each example, invoked: what is asked of the daemon.
#[test]
fn every_example_of_an_action_does_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/terraform/actions");
    let daemon = Daemon::start();
    daemon.put(Kind::Project, "shop", json!({}));
    daemon.put(Kind::Warehouse, "shop", json!({}));
    let reviewed = |at: &str| match at {
        "promotion" => Value::from("dev.1"),
        "digest" => Value::from("sha256:0"),
        other => panic!("{other} is not known"),
    };
    beside(&daemon, async |daemon| {
        let mut client = client(daemon, Some("shop")).await;
        for (action, path, body) in [
            ("lockstep_abort", "promotions/dev.1/abort", json!({ "reason": "the region is down" })),
            (
                "lockstep_approve",
                "promotions/dev.1/approve",
                json!({ "digest": "sha256:0", "comment": "reviewed in the change meeting" }),
            ),
            (
                "lockstep_promote",
                "promotions",
                json!({
                    "stage": "staging", "freight": "newest", "reason": "the network has changed",
                    "bypass": null, "ensure": true, "rehearsal": false,
                }),
            ),
            ("lockstep_refresh", "warehouses/shop/refresh", Json::Null),
            (
                "lockstep_reverify",
                "stages/prod/reverify",
                json!({ "reason": "the error rate is measured now" }),
            ),
        ] {
            let examples = blocks("action", &root.join(action).join("action.tf"));
            let [(of, given)] = examples.as_slice() else { panic!("{examples:?}") };
            assert_eq!(of, action);
            let known = |(name, value): (&String, &Value)| match value.is_unknown() {
                true => (name.clone(), reviewed(name)),
                false => (name.clone(), value.clone()),
            };
            let given: Vec<(String, Value)> = given.iter().map(known).collect();
            let given: Vec<(&str, Value)> =
                given.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            let (progress, told) = invoke(&mut client, action, &given).await;
            assert_eq!(told, [""; 0], "{action}");
            assert!(!progress.is_empty(), "{action}");
            let steered = std::mem::take(&mut daemon.world().steered);
            assert_eq!(steered, [(format!("/v1/projects/shop/{path}"), body)], "{action}");
        }
        let actions = Lockstep.actions().len();
        assert_eq!(actions, 5, "each of them is above");
    });
}

#[tokio::test]
async fn a_wrong_example_is_seen() {
    let mut client = Client::in_process(Lockstep).await;
    let given = |fields: &[(&str, &str)]| {
        fields.iter().map(|(name, text)| ((*name).to_owned(), Value::from(*text))).collect()
    };
    let misspelt = refused(&mut client, "lockstep_refresh", &given(&[("werehouse", "shop")])).await;
    assert_eq!(misspelt, ["there is no werehouse", "warehouse is missing"]);
    let wrong = [("stage", "prod"), ("timeout", "soon")];
    let wrong = refused(&mut client, "lockstep_promote", &given(&wrong)).await;
    assert!(wrong.concat().contains("timeout"), "{wrong:?}");
}
