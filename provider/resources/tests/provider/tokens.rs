//! Tokens: what a configuration of one may say, and those that are open for a run.

use provider_kit::client::{Client, decode, encode, texts};
use provider_kit::read_schema;
use provider_protocol::cty::Value;
use provider_protocol::wire::tfplugin6 as wire;
use provider_resources::Lockstep;
use reconciler_api::v1::Kind;
use serde_json::json;

use crate::daemon::{Daemon, TOKEN};
use crate::terraform::Terraform;
use crate::wire::{beside, client, whole};

const SECRET: &str = "lockstep_0123456789abcdef0123456789abcdef";

#[test]
fn a_token_has_one_secret_that_can_be_found() {
    let check = |attributes: &str, expected: &[&str]| {
        let config = format!("resource \"lockstep_api_token\" \"it\" {{\n{attributes}\n}}\n");
        let told = Terraform::new(&config).validate();
        let fits = told.len() == expected.len()
            && expected.iter().all(|expected| told.iter().any(|told| told.contains(expected)));
        assert!(fits, "{config}\nshould tell\n{expected:#?}\nand tells\n{told:#?}");
    };
    let good = format!("name = \"Ada@example.com\"\nsecret_wo = \"{SECRET}\"");
    check(&format!("{good}\nsecret_wo_version = 1"), &[]);
    check(&good, &["Missing version"]);
    check("name = \"ada\"", &["Missing secret"]);
    let digest = "0".repeat(64);
    check(&format!("name = \"ada\"\nsecret_sha256 = \"{digest}\""), &[]);
    check(
        &format!("{good}\nsecret_wo_version = 1\nsecret_sha256 = \"{digest}\""),
        &["Give one of `secret_wo` and `secret_sha256`", "there is none"],
    );
    check(
        "name = \"automation\"\nsecret_wo = \"hunter2\"\nsecret_wo_version = 1",
        &["this stands for what nobody asked for", "A secret begins with lockstep_"],
    );
    check("name = \"ada\"\nsecret_sha256 = \"ABC\"", &["64 lower-case hexadecimal digits"]);
}

#[test]
fn a_secret_is_sent_with_its_version_only() {
    let config = |version: u32, groups: &str| {
        format!(
            "resource \"lockstep_api_token\" \"it\" {{\n  name = \"ci\"\n  groups = {groups}\n  \
             secret_wo = \"{SECRET}\"\n  secret_wo_version = {version}\n}}\n"
        )
    };
    let daemon = Daemon::start();
    let key = (Kind::Token, String::new(), "ci".to_owned());
    let sent = || daemon.world().objects[&key].spec.clone();
    let terraform = Terraform::at(&daemon.endpoint, &config(1, "[]"));
    terraform.apply();
    assert_eq!(sent()["secret"], SECRET);
    terraform.plan_is_empty();
    terraform.write(&config(1, "[\"sre\"]"));
    terraform.apply();
    assert_eq!((&sent()["secret"], &sent()["groups"]), (&json!(null), &json!(["sre"])));
    terraform.write(&config(2, "[\"sre\"]"));
    terraform.apply();
    assert_eq!(sent()["secret"], SECRET);
    // Changed by somebody else, it is put back.
    {
        let mut world = daemon.world();
        let object = world.objects.get_mut(&key).unwrap();
        object.generation += 1;
        object.spec["version"] = json!(null);
    }
    assert_eq!(terraform.plan(&[]).code, 2);
    terraform.apply();
    assert_eq!((&sent()["secret"], &sent()["version"]), (&json!(SECRET), &json!(2)));
    assert!(!terraform.state().to_string().contains(SECRET));
}

#[test]
fn a_token_is_open_for_as_long_as_it_is_renewed() {
    let daemon = Daemon::start();
    beside(&daemon, async |daemon| {
        let mut client = client(daemon, None).await;
        let ty = read_schema(&client.offer.ephemeral_resource_schemas["lockstep_token"]).ty();
        let type_name = || "lockstep_token".to_owned();
        let before = jiff::Timestamp::now().as_second();
        let request = wire::open_ephemeral_resource::Request {
            type_name: type_name(),
            config: encode(&whole(&[("lifetime", "10m".into())], &ty), &ty),
            client_capabilities: None,
        };
        let opened = client.calls.open_ephemeral_resource(request).await.unwrap().into_inner();
        assert_eq!(opened.diagnostics, []);
        let renew_at = opened.renew_at.unwrap().seconds - before;
        assert!((300..600).contains(&renew_at), "half of its time: {renew_at}");
        let value = decode(opened.result.as_ref(), &ty);
        assert_eq!(value.get("token"), Some(&Value::from(TOKEN)));
        let name = value.get("name").and_then(Value::as_str).unwrap().to_owned();
        let kept = opened.private.clone();
        assert!(!String::from_utf8_lossy(kept.as_deref().unwrap()).contains(TOKEN));

        let renew = wire::renew_ephemeral_resource::Request {
            type_name: type_name(),
            private: kept.clone(),
        };
        let renewed = client.calls.renew_ephemeral_resource(renew.clone()).await.unwrap();
        let renewed = renewed.into_inner();
        assert_eq!((renewed.diagnostics, &renewed.private), (Vec::new(), &kept));
        assert!(renewed.renew_at.is_some());
        for _ in 0..2 {
            let close = wire::close_ephemeral_resource::Request {
                type_name: type_name(),
                private: kept.clone(),
            };
            let closed = client.calls.close_ephemeral_resource(close).await.unwrap();
            assert_eq!(closed.into_inner().diagnostics, []);
            assert!(!daemon.world().objects.contains_key(&(
                Kind::Token,
                String::new(),
                name.clone()
            )));
        }
        let late = client.calls.renew_ephemeral_resource(renew).await.unwrap().into_inner();
        let told = texts(&late.diagnostics).join("\n");
        assert!(told.contains(&format!("Cannot renew token {name}")), "{told}");
        assert_eq!(late.private, kept);
    });
}

#[tokio::test]
async fn a_lifetime_is_neither_too_short_nor_too_long() {
    let mut client = Client::in_process(Lockstep).await;
    let ty = read_schema(&client.offer.ephemeral_resource_schemas["lockstep_token"]).ty();
    let mut told = async |lifetime: &str| {
        let config = Value::object([("lifetime", Value::from(lifetime))]);
        let request = wire::validate_ephemeral_resource_config::Request {
            type_name: "lockstep_token".to_owned(),
            config: encode(&config, &ty),
        };
        let answer = client.calls.validate_ephemeral_resource_config(request).await.unwrap();
        texts(&answer.into_inner().diagnostics).join("\n")
    };
    assert_eq!(told("1m").await, "");
    assert_eq!(told("24h").await, "");
    for bad in ["59s", "25h"] {
        let told = told(bad).await;
        assert!(told.contains("lasts between 1m and 1d"), "{told}");
    }
}
