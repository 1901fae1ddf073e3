//! The examples of actions, checked as a client that has actions would: over the wire, against the
//! schemas. The tools at hand may be older than actions are.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, BlockLabel, Body};
use provider_kit::client::{Client, encode, texts};
use provider_protocol::cty::{Type, Value};
use provider_protocol::provider::Provider as _;
use provider_protocol::schema::Mode;
use provider_protocol::wire::tfplugin6 as wire;
use provider_resources::Lockstep;

/// The actions of one example: their types, and what their `config` blocks hold.
fn actions(example: &Path) -> Vec<(String, BTreeMap<String, Value>)> {
    let text = fs::read_to_string(example).unwrap();
    let body: Body = text.parse().unwrap_or_else(|error| panic!("{}: {error}", example.display()));
    let actions = body.get_blocks("action");
    actions.map(|action| (label(action), config(action, example))).collect()
}

fn label(block: &Block) -> String {
    match block.labels.first() {
        Some(BlockLabel::String(label)) => label.value().clone(),
        Some(BlockLabel::Ident(label)) => label.to_string(),
        None => panic!("an action without a type"),
    }
}

fn config(action: &Block, example: &Path) -> BTreeMap<String, Value> {
    let Some(config) = action.body.get_blocks("config").next() else {
        panic!("{}: an action without a config block", example.display())
    };
    let attributes = config.body.attributes();
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

/// What a client says: it knows itself which attributes there are and must be, and asks for the
/// rest.
async fn refused(
    client: &mut Client,
    action: &str,
    given: &BTreeMap<String, Value>,
) -> Vec<String> {
    let Some(schema) = client.offer.action_schemas.get(action) else {
        return vec![format!("there is no action {action}")];
    };
    let schema = provider_kit::read_schema(schema.schema.as_ref().unwrap());
    let attributes = &schema.block.attributes;
    let unknown = given.keys().filter(|name| !attributes.contains_key(*name));
    let mut wrong: Vec<String> = unknown.map(|name| format!("there is no {name}")).collect();
    let required = attributes.iter().filter(|(_, attribute)| attribute.mode == Mode::Required);
    let missing = required.filter(|(name, _)| !given.contains_key(*name));
    wrong.extend(missing.map(|(name, _)| format!("{name} is missing")));
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
        let examples = actions(&root.join(name).join("action.tf"));
        assert!(examples.iter().any(|(of, _)| of == name), "{name} is not in its example");
        for (of, given) in &examples {
            assert_eq!(refused(&mut client, of, given).await, [""; 0], "{of}");
        }
    }
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
