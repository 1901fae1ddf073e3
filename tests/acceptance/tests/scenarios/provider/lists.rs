//! Lists, which the installed tools may be too old for: over the wire, against the daemon.

use std::fs;
use std::path::Path;

use acceptance::lockstepd::{Lockstepd, Settings};
use acceptance::{At as _, Failure, Outcome};
use provider_kit::client::{Client, decode, encode, texts};
use provider_kit::{core, read_schema};
use provider_protocol::cty::{Type, Value};
use provider_protocol::provider::Provider as _;
use provider_protocol::wire::tfplugin6 as wire;
use provider_resources::Lockstep;

use super::{root, with_each_tool};
use crate::site::Site;

/// One object of each type that the site does not have already.
const OBJECTS: &str = r#"
resource "lockstep_stage" "it" {
  name = "listed"
  request { warehouse = "shop" }
}
resource "lockstep_verification" "it" {
  name = "listed"
  http {
    name    = "health"
    url     = "http://127.0.0.1:1/"
    success = "response.status == 200"
  }
}
resource "lockstep_promotion_task" "it" {
  name  = "listed"
  steps = [provider::lockstep::wait("rest", { duration = "1s" })]
}
resource "lockstep_promotion_policy" "it" {
  name = "listed"
  mode = "manual"
  stages { names = [lockstep_stage.it.name] }
}
resource "lockstep_hold" "it" {
  name   = "listed"
  reason = "a test"
  stage  = lockstep_stage.it.name
}
resource "lockstep_freeze" "it" {
  name   = "listed"
  reason = "a test"
  from   = "2100-01-01T00:00:00Z"
}
resource "lockstep_instance_freeze" "it" {
  name   = "listed"
  reason = "a test"
  from   = "2100-01-01T00:00:00Z"
}
resource "lockstep_credential" "it" {
  name    = "listed"
  kind    = "http"
  address = "https://api.example.com"
  from {
    key = "token"
    env = "SHOP_TOKEN"
  }
}
resource "lockstep_api_token" "it" {
  name          = "listed"
  secret_sha256 = "9b3f1c0a4be0d4e6a6d2f5b7c8192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b"
}
"#;

/// A configuration that leaves out what is not given.
fn config(ty: &Type, given: &[(&str, &str)]) -> Value {
    let Type::Object(fields) = ty else { return Value::Null };
    let of = |name: &str| given.iter().find(|(given, _)| *given == name).map(|(_, text)| *text);
    Value::object(fields.keys().map(|name| (name.clone(), Value::from(of(name)))))
}

async fn client(lockstepd: &Lockstepd) -> Outcome<Client> {
    let mut client = Client::in_process(Lockstep).await;
    let file = lockstepd.token_file();
    let token = fs::read_to_string(&file).at(file.display())?;
    let schema = client.offer.provider.as_ref().ok_or_else(|| Failure::new("no schema"))?;
    let given = [("endpoint", lockstepd.endpoint()), ("token", token.trim().to_owned())];
    let given: Vec<(&str, &str)> = given.iter().map(|(name, it)| (*name, it.as_str())).collect();
    let config = config(&read_schema(schema).ty(), &given);
    assert_eq!(client.configure(&config).await, [""; 0]);
    Ok(client)
}

/// What a list finds with what its example configures: ids, and the objects.
async fn listed(client: &mut Client, type_name: &str) -> Outcome<Vec<(String, Value)>> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/terraform");
    let example = examples.join("list-resources").join(type_name).join("list-resource.tfquery.hcl");
    let text = fs::read_to_string(&example).at(example.display())?;
    let project = text.contains("project = \"shop\"").then_some(("project", "shop"));
    let ty = read_schema(&client.offer.list_resource_schemas[type_name]).ty();
    let object = read_schema(&client.offer.resource_schemas[type_name]).ty();
    let request = wire::list_resource::Request {
        type_name: type_name.to_owned(),
        config: encode(&config(&ty, project.as_slice()), &ty),
        include_resource_object: true,
        limit: 100,
    };
    let mut events = client.calls.list_resource(request).await.at(type_name)?.into_inner();
    let mut found = Vec::new();
    while let Some(event) = events.message().await.at(type_name)? {
        assert_eq!(texts(&event.diagnostic), [""; 0], "{type_name}");
        found.push((event.display_name, decode(event.resource_object.as_ref(), &object)));
    }
    Ok(found)
}

#[tokio::test]
async fn every_list_finds_what_is_there_as_it_is_read() -> Outcome {
    with_each_tool(async |tool| {
        let config = Some("secret_variables = [\"SHOP_*\"]\n".to_owned());
        let site = Site::start_with(Settings { config, ..Settings::default() }, &[]).await?;
        root(tool, &site.lockstepd, OBJECTS)?.apply().await?;
        let mut client = client(&site.lockstepd).await?;
        let mut types = Vec::new();
        for list in Lockstep.list_resources() {
            types.push(list.type_name());
        }
        assert!(types.len() > 8, "{types:?}");
        for type_name in types {
            let found = listed(&mut client, type_name).await?;
            let expected = match type_name {
                "lockstep_project" => "shop",
                "lockstep_warehouse" => "shop/shop",
                "lockstep_api_token" | "lockstep_instance_freeze" => "listed",
                _ => "shop/listed",
            };
            assert!(found.iter().any(|(id, _)| id == expected), "{type_name}: {found:?}");
            let mut resource = client.resource(type_name);
            for (id, object) in found {
                let read = core::import(&mut resource, &id).await.map_err(Failure::new)?;
                assert_eq!(read.value, object, "{type_name} {id}");
            }
        }
        Ok(())
    })
    .await
}
