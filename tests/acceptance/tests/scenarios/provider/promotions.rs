//! `lockstep_promotion`: freight that a configuration wants in a stage; and what is done once.

use acceptance::{Failure, Outcome};
use axum::http::StatusCode;
use provider_kit::client::{self, Client, encode, texts};
use provider_protocol::cty::{Type, Value as Cty};
use provider_protocol::wire::tfplugin6 as wire;
use provider_resources::Lockstep;
use reconciler_api::v1::{Phase, PromotionQuery};
use serde_json::{Value, json};

use super::{root, with_each_tool};
use crate::pipeline::{call, direct, health, verified_by};
use crate::site::{PROJECT, SOON, Site, approve};

fn newest(rest: &str) -> String {
    format!(
        "resource \"lockstep_promotion\" \"dev\" {{\n  stage  = \"dev\"\n  newest = true\n{rest}\n}}\n"
    )
}

/// A site with a stage `dev` of one call.
async fn shop() -> Outcome<Site> {
    let site = Site::start(&[]).await?;
    let steps = [call("call", &site.desk.url("/call"))];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    Ok(site)
}

/// The ids of every promotion to `dev`, newest first.
async fn promotions(site: &Site) -> Outcome<Vec<String>> {
    let query = PromotionQuery { stage: Some("dev".to_owned()), ..PromotionQuery::default() };
    let page = site.client()?.list_promotions(PROJECT, &query).await?;
    Ok(page.items.into_iter().map(|promotion| promotion.id).collect())
}

fn attribute(state: &Value, name: &str) -> Value {
    state["values"]["root_module"]["resources"][0]["values"][name].clone()
}

#[tokio::test]
async fn the_newest_freight_is_brought_once_for_each_trigger() -> Outcome {
    with_each_tool(async |tool| {
        let site = shop().await?;
        let first = site.first_freight().await?;
        let root = root(tool, &site.lockstepd, &newest("  triggers = { release = \"1\" }"))?;
        root.apply().await?;
        root.unchanged().await?;
        let state = root.state().await?;
        assert_eq!(attribute(&state, "promotion"), "dev.1");
        assert_eq!(attribute(&state, "freight_id"), first.id.as_str());
        assert_eq!(attribute(&state, "phase"), "succeeded");
        let done = site.client()?.promotion(PROJECT, "dev.1").await?;
        let digest = done.change_set.map(|set| set.digest);
        assert_eq!(attribute(&state, "digest"), json!(digest));
        // Newer freight is no drift, and neither is what others promote.
        let second = site.freight("the second").await?;
        site.promoted("dev", &second).await?;
        root.unchanged().await?;
        // Asked again, it finds the newest there already.
        root.write("main.tf", &newest("  triggers = { release = \"2\" }"))?;
        root.apply().await?;
        let state = root.state().await?;
        assert_eq!(attribute(&state, "promotion"), "dev.2");
        assert_eq!(promotions(&site).await?, ["dev.2", "dev.1"]);
        root.unchanged().await?;
        // To destroy it is to forget it.
        root.destroy().await?;
        assert_eq!(promotions(&site).await?, ["dev.2", "dev.1"]);
        // What is there can be taken into a state as it is.
        let config = format!(
            "resource \"lockstep_promotion\" \"dev\" {{\n  stage = \"dev\"\n  freight = {:?}\n}}\n",
            second.short_id
        );
        root.write("main.tf", &config)?;
        root.import("lockstep_promotion.dev", "shop/dev.2").await?;
        root.unchanged().await
    })
    .await
}

#[tokio::test]
async fn freight_that_is_enforced_is_brought_back() -> Outcome {
    with_each_tool(async |tool| {
        let site = shop().await?;
        let first = site.first_freight().await?;
        let config = format!(
            "resource \"lockstep_promotion\" \"dev\" {{\n  stage = \"dev\"\n  freight = {:?}\n  \
             enforce = true\n}}\n",
            first.short_id
        );
        let root = root(tool, &site.lockstepd, &config)?;
        root.apply().await?;
        root.unchanged().await?;
        let second = site.freight("the second").await?;
        site.promoted("dev", &second).await?;
        let plan = root.plan(&[]).await?;
        assert_eq!(plan.actions(), [("lockstep_promotion.dev".to_owned(), "update".to_owned())]);
        root.apply().await?;
        root.unchanged().await?;
        assert_eq!(attribute(&root.state().await?, "promotion"), "dev.3");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_wait_that_is_too_short_says_what_is_missing_and_goes_on() -> Outcome {
    with_each_tool(async |tool| {
        let site = shop().await?;
        let policy = json!({
            "mode": "manual", "stages": { "names": ["dev"] }, "approvals": [{ "group": "sre" }],
        });
        site.policy("dev", &policy).await?;
        site.first_freight().await?;
        let root = root(tool, &site.lockstepd, &newest("  timeouts { create = \"3s\" }"))?;
        let told = root.refused(&["apply", "-auto-approve"]).await?;
        let flat = told.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "Promotion dev.1 is still waiting",
            "needs 1 approval of group sre, has 0",
            "`lockstep approve dev.1` approves it",
            "no second promotion is started",
        ] {
            assert!(flat.contains(part), "{part}: {told}");
        }
        let state = root.state().await?;
        assert_eq!(attribute(&state, "promotion"), "dev.1", "it exists, and the state says so");
        let (_, digest) = site.waits("dev.1").await?;
        approve(&site.person("ann", &["sre"]).await?, "dev.1", &digest).await?;
        site.is("dev.1", Phase::Succeeded).await?;
        root.apply().await?;
        root.unchanged().await?;
        assert_eq!(promotions(&site).await?, ["dev.1"], "no second one was started");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_promotion_that_fails_or_is_refused_says_why() -> Outcome {
    with_each_tool(async |tool| {
        let site = shop().await?;
        site.desk.answer("/call", StatusCode::BAD_REQUEST);
        let root = root(tool, &site.lockstepd, &newest(""))?;
        let first = site.first_freight().await?;
        let cli = site.cli()?;
        cli.ok(&["hold", "create", "shut", "--stage", "dev", "--reason", "an audit"]).await?;
        let config = format!(
            "resource \"lockstep_promotion\" \"dev\" {{\n  stage = \"dev\"\n  freight = {:?}\n}}\n",
            first.id
        );
        root.write("main.tf", &config)?;
        let told = root.refused(&["apply", "-auto-approve"]).await?;
        let flat = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("is kept from stage dev: hold shut of admin: an audit"), "{told}");
        assert_eq!(promotions(&site).await?, [""; 0]);
        cli.ok(&["hold", "lift", "shut"]).await?;
        root.write("main.tf", &newest(""))?;
        let told = root.refused(&["apply", "-auto-approve"]).await?;
        let flat = told.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in ["Promotion dev.1 did not succeed: failed", "step call failed", "400"] {
            assert!(flat.to_lowercase().contains(&part.to_lowercase()), "{part}: {told}");
        }
        // Mended, the next apply asks anew.
        site.desk.answer("/call", StatusCode::OK);
        root.apply().await?;
        assert_eq!(attribute(&root.state().await?, "promotion"), "dev.2");
        root.unchanged().await
    })
    .await
}

#[tokio::test]
async fn a_promotion_is_read_with_its_gates() -> Outcome {
    with_each_tool(async |tool| {
        let site = shop().await?;
        let policy = json!({
            "mode": "manual", "stages": { "names": ["dev"] }, "approvals": [{ "group": "sre" }],
        });
        site.policy("dev", &policy).await?;
        let id = site.promote("dev", &site.first_freight().await?).await?;
        let (_, digest) = site.waits(&id).await?;
        let reads = r#"
data "lockstep_promotion" "newest" { stage = "dev" }
data "lockstep_promotion" "one" { name = "dev.1" }
output "phase" { value = data.lockstep_promotion.newest.phase }
output "digest" { value = data.lockstep_promotion.one.digest }
output "gates" {
  value = { for gate in data.lockstep_promotion.one.gates : gate.gate => gate.verdict }
}
output "waiting" { value = data.lockstep_promotion.one.waiting[*].message }
output "steps" { value = data.lockstep_promotion.one.steps[*].name }
"#;
        let root = root(tool, &site.lockstepd, reads)?;
        root.apply().await?;
        let state = root.state().await?;
        let output = |name: &str| state["values"]["outputs"][name]["value"].clone();
        assert_eq!((output("phase"), output("digest")), (json!("waiting"), json!(digest)));
        assert_eq!(output("gates"), json!({ "upstream": "pass", "approvals": "fail" }));
        assert_eq!(output("waiting"), json!(["needs 1 approval of group sre, has 0"]));
        assert_eq!(output("steps"), json!(["call"]));
        Ok(())
    })
    .await
}

/// A client over the wire that can do what the tools at hand cannot, towards the site's daemon.
async fn wired(site: &Site, token: &std::path::Path) -> Client {
    let mut client = Client::in_process(Lockstep).await;
    let schema = client.offer.provider.clone().expect("a schema");
    let config = Cty::object([
        ("endpoint", Cty::from(site.lockstepd.endpoint())),
        ("token_file", token.display().to_string().into()),
        ("project", PROJECT.into()),
    ]);
    let config = whole(config, &provider_kit::read_schema(&schema).ty());
    assert_eq!(client.configure(&config).await, [""; 0]);
    client
}

/// What a configuration leaves out is null.
fn whole(config: Cty, ty: &Type) -> Cty {
    let Type::Object(fields) = ty else { panic!("{ty} is no object") };
    fields.keys().fold(config, |config, name| match config.get(name) {
        Some(_) => config,
        None => config.with(name.as_str(), Cty::Null),
    })
}

/// Invokes an action; what it reported, and what went wrong.
async fn invoke(
    client: &mut Client,
    action: &str,
    fields: &[(&str, &str)],
) -> (Vec<String>, String) {
    use wire::invoke_action::event::Type as Event;
    let schema = client.offer.action_schemas[action].schema.as_ref();
    let ty = provider_kit::read_schema(schema.expect("a schema")).ty();
    let config = Cty::object(fields.iter().map(|(name, text)| (*name, Cty::from(*text))));
    let config = whole(config, &ty);
    let request = wire::invoke_action::Request {
        action_type: action.to_owned(),
        config: encode(&config, &ty),
        client_capabilities: None,
    };
    let mut events = client.calls.invoke_action(request).await.expect("a stream").into_inner();
    let mut progress = Vec::new();
    loop {
        let event = events.message().await.expect("an event").expect("a last word");
        match event.r#type.expect("a type") {
            Event::Progress(event) => progress.push(event.message),
            Event::Completed(completed) => {
                return (progress, texts(&completed.diagnostics).join("\n"));
            }
        }
    }
}

#[tokio::test]
async fn actions_tell_how_it_goes_and_do_nothing_twice() -> Outcome {
    let site = shop().await?;
    let policy = json!({
        "mode": "manual", "stages": { "names": ["dev"] }, "approvals": [{ "group": "sre" }],
    });
    site.policy("dev", &policy).await?;
    let mut admin = wired(&site, &site.lockstepd.token_file()).await;
    let ann = site.lockstepd.token(PROJECT, "ann", &["sre"]).await?;
    let mut ann = wired(&site, &ann).await;
    let commit = site.infra.tip("main").await?;
    let (told, wrong) = invoke(&mut admin, "lockstep_refresh", &[("warehouse", "shop")]).await;
    assert_eq!(
        (told, wrong.as_str()),
        (vec!["the sources of warehouse shop are being asked".to_owned()], "")
    );
    let is_it = |freight: &reconciler_api::v1::Freight| match &freight.artifacts["infra"] {
        reconciler_api::v1::Artifact::Git(git) => git.commit == commit,
        reconciler_api::v1::Artifact::Image(_) => false,
    };
    let freight = site.lockstepd.freight(SOON, PROJECT, "there is freight", is_it).await?;

    let promote = [("stage", "dev"), ("timeout", "2s")];
    let (told, wrong) = invoke(&mut admin, "lockstep_promote", &promote).await;
    assert_eq!(told[0], format!("promotion dev.1 brings freight {} to dev", freight.id));
    assert!(told.contains(&"preparing".to_owned()), "{told:?}");
    assert!(wrong.contains("Promotion dev.1 is still waiting"), "{wrong}");
    let (_, digest) = site.waits("dev.1").await?;
    let other = [("promotion", "dev.1"), ("digest", "sha256:0")];
    let (_, wrong) = invoke(&mut ann, "lockstep_approve", &other).await;
    assert!(wrong.contains(&digest), "{wrong}");
    let this = [("promotion", "dev.1"), ("digest", digest.as_str()), ("comment", "fine")];
    site.desk.hold("/call");
    let (told, wrong) = invoke(&mut ann, "lockstep_approve", &this).await;
    assert_eq!(
        (told, wrong),
        (vec![format!("approved promotion dev.1 ({digest})")], String::new())
    );
    site.is("dev.1", Phase::Committing).await?;
    site.desk.release("/call");
    // The same wish again follows the same promotion to its end.
    let (told, wrong) = invoke(&mut admin, "lockstep_promote", &[("stage", "dev")]).await;
    assert_eq!(wrong, "");
    for part in ["committed", "call: done"] {
        assert!(told.iter().any(|line| line == part), "{part}: {told:?}");
    }
    assert!(told.last().is_some_and(|line| line.starts_with("succeeded")), "{told:?}");
    assert_eq!(promotions(&site).await?, ["dev.1"]);

    site.freight("the second").await?;
    let (_, wrong) = invoke(&mut admin, "lockstep_promote", &promote).await;
    assert!(wrong.contains("Promotion dev.2 is still"), "{wrong}");
    let abort = [("promotion", "dev.2"), ("reason", "wrong week")];
    let (_, wrong) = invoke(&mut admin, "lockstep_abort", &abort).await;
    assert_eq!(wrong, "");
    site.is("dev.2", Phase::Aborted).await?;
    let (told, wrong) = invoke(&mut admin, "lockstep_abort", &abort).await;
    assert_eq!((told, wrong.as_str()), (vec!["promotion dev.2 was aborted before".to_owned()], ""));
    let done = [("promotion", "dev.1"), ("reason", "late")];
    let (_, wrong) = invoke(&mut admin, "lockstep_abort", &done).await;
    assert!(wrong.contains("dev.1 is succeeded"), "{wrong}");
    Ok(())
}

#[tokio::test]
async fn what_is_there_is_verified_anew_by_an_action() -> Outcome {
    let site = Site::start(&[]).await?;
    site.verification("checked", &health(&site.desk.url("/health"), 1)).await?;
    let steps = [call("call", &site.desk.url("/call"))];
    let verifications = verified_by("checked");
    let spec = json!({ "requests": direct(), "steps": steps, "verifications": verifications });
    site.stage("dev", &spec).await?;
    let mut client = wired(&site, &site.lockstepd.token_file()).await;
    let anew = [("stage", "dev"), ("reason", "people complain")];
    let (told, wrong) = invoke(&mut client, "lockstep_reverify", &anew).await;
    assert!(wrong.contains("no freight in stage shop/dev"), "{wrong}");
    assert_eq!(told, Vec::<String>::new());

    let freight = site.first_freight().await?;
    site.promoted("dev", &freight).await?;
    let (told, wrong) = invoke(&mut client, "lockstep_reverify", &anew).await;
    assert_eq!(wrong, "");
    assert_eq!(told[0], format!("promotion dev.1 verifies freight {} in dev", freight.id));
    assert!(told.last().is_some_and(|line| line.starts_with("succeeded")), "{told:?}");
    site.desk.answer("/health", StatusCode::SERVICE_UNAVAILABLE);
    let (told, wrong) = invoke(&mut client, "lockstep_reverify", &anew).await;
    assert!(wrong.contains("checked/health failed"), "{wrong}\n{told:?}");
    site.is("dev.1", Phase::Failed).await?;
    assert_eq!(site.desk.taken("/call").len(), 1, "nothing is carried out again");
    Ok(())
}

#[tokio::test]
async fn an_interrupt_ends_the_wait_and_keeps_what_is_true() -> Outcome {
    let site = shop().await?;
    let policy = json!({
        "mode": "manual", "stages": { "names": ["dev"] }, "approvals": [{ "group": "sre" }],
    });
    site.policy("dev", &policy).await?;
    site.first_freight().await?;
    let mut client = wired(&site, &site.lockstepd.token_file()).await;
    let mut calls = client.calls.clone();
    let mut resource = client.resource("lockstep_promotion");
    let config = resource.schema.block.empty_value();
    let config = config.with("stage", "dev").with("newest", true);
    let nothing = client::Object::default();
    let planned = resource.plan(&nothing, &config, &config, &[]).await.ok();
    let stop = async {
        site.waits("dev.1").await?;
        let stopped = calls.stop_provider(wire::stop_provider::Request {}).await;
        stopped.map(drop).map_err(|status| Failure::new(status.to_string()))
    };
    let (told, stopped) = tokio::join!(resource.apply(&nothing, &planned.object, &config), stop);
    stopped?;
    let wrong = texts(&told.diags).join("\n");
    assert!(wrong.contains("Interrupted while waiting for a promotion"), "{wrong}");
    assert_eq!(told.answer.value.get("promotion"), Some(&Cty::from("dev.1")));
    assert_eq!(told.answer.value.get("phase"), Some(&Cty::from("waiting")));
    Ok(())
}
