//! What cannot be reached, and what cannot stand: each is told with what and where, the rest goes
//! on, and nothing that is stored is lost.

use std::fs;

use acceptance::git::GitServer;
use acceptance::lockstepd::Settings;
use acceptance::registry::Registry;
use acceptance::{At as _, Failure, Outcome};
use jiff::Timestamp;
use reconciler_api::problem::FieldCode;
use reconciler_api::v1::{
    Condition, ConditionStatus, Freight, FreightQuery, Phase, Policy, PolicySpec, Precondition,
    Stage, StageSpec, Verification, VerificationSpec, Warehouse, WarehouseSpec,
};
use serde_json::{Value, json};

use crate::pipeline::{after, app_steps, call, direct, step};
use crate::site::{PROJECT, SOON, Site, ask, refusal};
use crate::wire::Wire;

/// The condition of a subscription.
async fn condition(site: &Site, warehouse: &str, subscription: &str) -> Outcome<Condition> {
    let found: Warehouse = site.client()?.get(PROJECT, warehouse).await?;
    let kind = format!("Discovered/{subscription}");
    let condition = found.meta.conditions.iter().find(|condition| condition.kind == kind);
    let condition = condition.cloned();
    condition.ok_or_else(|| Failure::new(format!("{:#?}", found.meta.conditions)))
}

/// Has a warehouse looked at until the condition of a subscription is this.
async fn becomes(
    site: &Site,
    warehouse: &str,
    subscription: &str,
    status: ConditionStatus,
) -> Outcome<Condition> {
    site.client()?.refresh_warehouse(PROJECT, warehouse).await?;
    let what = format!("the condition of {warehouse}/{subscription} is {status}");
    site.lockstepd
        .eventually(SOON, &what, async || {
            let found = condition(site, warehouse, subscription).await?;
            if found.status == status { Ok(found) } else { Err(Failure::new(found.message)) }
        })
        .await
}

async fn freight_of(site: &Site, warehouse: &str) -> Outcome<Vec<Freight>> {
    let query = FreightQuery { warehouse: Some(warehouse.to_owned()), ..FreightQuery::default() };
    Ok(site.client()?.list_freight(PROJECT, &query).await?.items)
}

/// What is said of a source that is not there says what is wrong, and where.
fn names_the_place(condition: &Condition, place: &str) {
    let Condition { status, reason, message, .. } = condition;
    assert_eq!((*status, reason.as_str()), (ConditionStatus::False, "DiscoveryFailed"));
    assert!(message.contains(place) && message.contains("refused"), "{message}");
}

#[tokio::test]
async fn sources_that_are_not_there_are_told_and_come_back() -> Outcome {
    let mut site = Site::start(&[]).await?;
    let registry = Registry::start().await?;
    registry.push("shop/api", "1.0.0", Timestamp::now()).await?;
    let mut git_wire = Wire::to(&site.infra.url)?;
    let mut image_wire = Wire::to(&registry.repo("shop/api"))?;
    let repo = format!("http://{}/infra.git", git_wire.address());
    let image = format!("{}/shop/api", image_wire.address());
    let spec = json!({
        "git": [{ "name": "infra", "repo": repo, "branch": "main" }],
        "image": [{ "name": "api", "repo": image, "insecure": true }],
    });
    site.warehouse("far", &spec).await?;
    let steps = [call("call", &site.desk.url("/call"))];
    site.stage("far", &json!({ "requests": [{ "warehouse": "far" }], "steps": steps })).await?;
    let told = becomes(&site, "far", "infra", ConditionStatus::False).await?;
    names_the_place(&told, &git_wire.address());
    let told = becomes(&site, "far", "api", ConditionStatus::False).await?;
    names_the_place(&told, &image_wire.address());
    // Another warehouse goes on.
    site.first_freight().await?;
    assert_eq!(freight_of(&site, "far").await?, []);

    // One of two sources is not enough, and the one that failed is named.
    git_wire.mend().await?;
    becomes(&site, "far", "infra", ConditionStatus::True).await?;
    let told = condition(&site, "far", "api").await?;
    names_the_place(&told, &image_wire.address());
    assert_eq!(freight_of(&site, "far").await?, []);
    image_wire.mend().await?;
    becomes(&site, "far", "api", ConditionStatus::True).await?;
    let is_of_far = |freight: &Freight| freight.warehouse == "far";
    let made = site.lockstepd.freight(SOON, PROJECT, "freight of both", is_of_far).await?;
    assert_eq!(made.artifacts.len(), 2);

    // Gone again, also for a daemon that starts meanwhile: what was found stays, and is promoted.
    git_wire.cut().await;
    image_wire.cut().await;
    becomes(&site, "far", "infra", ConditionStatus::False).await?;
    site.lockstepd.restart().await?;
    let told = becomes(&site, "far", "api", ConditionStatus::False).await?;
    names_the_place(&told, &image_wire.address());
    assert_eq!(freight_of(&site, "far").await?, std::slice::from_ref(&made));
    site.promoted("far", &made).await.map(drop)
}

#[tokio::test]
async fn wrong_credentials_are_told_without_them() -> Outcome {
    let dir = tempfile::tempdir().at("a folder for a secret")?;
    let secret = dir.path().join("git.secret");
    fs::write(&secret, "guessed\n").at("a secret")?;
    let server = GitServer::start_private("ci", "hunter2").await?;
    let repo = server.create("private").await?;
    repo.commit("begin", &[("a.txt", "one\n")]).await?;
    let prefix = repo.url.trim_end_matches("/private.git");
    let config = format!(
        "[[credential]]\nprefix = \"{prefix}\"\nusername = \"ci\"\nsecret_file = {secret:?}\n"
    );
    let settings = Settings { config: Some(config), ..Settings::default() };
    let mut site = Site::start_with(settings, &[]).await?;
    let git = json!([{ "name": "infra", "repo": repo.url, "branch": "main" }]);
    site.warehouse("private", &json!({ "git": git })).await?;
    let told = becomes(&site, "private", "infra", ConditionStatus::False).await?;
    let place = repo.url.trim_start_matches("http://");
    assert!(told.message.contains(place), "{}", told.message);
    assert!(told.message.contains("credential"), "{}", told.message);
    assert!(!told.message.contains("guessed"), "{}", told.message);
    site.first_freight().await?;
    fs::write(&secret, "hunter2\n").at("a secret")?;
    site.lockstepd.restart().await?;
    becomes(&site, "private", "infra", ConditionStatus::True).await?;
    let is_private = |freight: &Freight| freight.warehouse == "private";
    site.lockstepd.freight(SOON, PROJECT, "private freight", is_private).await?;
    assert!(!site.lockstepd.log().contains("hunter2"), "no secret is in the log");
    Ok(())
}

#[tokio::test]
async fn repositories_and_branches_that_do_not_exist_are_named() -> Outcome {
    let site = Site::start(&[]).await?;
    let missing = site.infra.url.replace("infra.git", "nothing.git");
    let git = json!([
        { "name": "repo", "repo": missing, "branch": "main" },
        { "name": "branch", "repo": site.infra.url, "branch": "trunk" },
        { "name": "good", "repo": site.infra.url, "branch": "main" },
    ]);
    site.warehouse("typos", &json!({ "git": git })).await?;
    let told = becomes(&site, "typos", "repo", ConditionStatus::False).await?;
    assert!(told.message.contains("nothing.git"), "{}", told.message);
    let told = becomes(&site, "typos", "branch", ConditionStatus::False).await?;
    assert!(told.message.contains("trunk"), "{}", told.message);
    becomes(&site, "typos", "good", ConditionStatus::True).await?;
    let found: Warehouse = site.client()?.get(PROJECT, "typos").await?;
    let conditions = found.meta.conditions;
    let incomplete = conditions.iter().find(|condition| condition.reason == "Incomplete");
    let message = incomplete.map(|condition| condition.message.as_str()).unwrap_or_default();
    assert!(message.contains("repo") && message.contains("branch"), "{conditions:#?}");
    assert!(!message.contains("good"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_repository_that_is_away_holds_up_its_promotion_and_no_other() -> Outcome {
    let site = Site::start(&["dev"]).await?;
    let mut wire = Wire::to(&site.infra.url)?;
    let away = format!("http://{}/gitops.git", wire.address());
    let checkout = json!({ "gitops": { "branch": "main" } });
    let mut steps =
        vec![step("gitops", "git_clone", &json!({ "repo": away, "checkout": checkout }))];
    steps.extend(app_steps(&site).into_iter().skip(1));
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    let calls = [call("call", &site.desk.url("/call"))];
    site.stage("other", &json!({ "requests": direct(), "steps": calls })).await?;
    let freight = site.first_freight().await?;
    let id = site.promote("dev", &freight).await?;
    let client = site.client()?;
    let waits = site.lockstepd.eventually(SOON, "it says why it waits", async || {
        let promotion = client.promotion(PROJECT, &id).await?;
        let waiting = promotion.waiting.first().filter(|it| it.reason == "PrepareFailed");
        waiting.cloned().ok_or_else(|| Failure::new(format!("{promotion:#?}")))
    });
    let waits = waits.await?;
    assert!(waits.message.contains("step gitops") && waits.until.is_some(), "{waits:?}");
    assert!(waits.message.contains(&wire.address()), "{waits:?}");
    site.promoted("other", &freight).await?;
    wire.mend().await?;
    site.is(&id, Phase::Succeeded).await?;
    Ok(())
}

/// Something that cannot stand: what it is, where, and which kind of mistake.
type Refused = (Value, &'static str, FieldCode);

#[tokio::test]
async fn warehouses_that_cannot_stand_are_refused_at_their_field() -> Outcome {
    let site = Site::start(&[]).await?;
    let image = |more: Value| {
        let mut image = json!({ "name": "api", "repo": "registry.example.com/api" });
        for (name, value) in more.as_object().into_iter().flatten() {
            image[name] = value.clone();
        }
        json!({ "image": [image] })
    };
    let git = |repo: &str| json!({ "git": [{ "name": "infra", "repo": repo, "branch": "main" }] });
    let require = |text: &str| {
        let mut spec = git("https://git.example.com/infra.git");
        spec["require"] = json!(text);
        spec
    };
    let refused: [Refused; 7] = [
        (image(json!({ "constraint": "=~1" })), "image[0].constraint", FieldCode::BadConstraint),
        (image(json!({ "allow_tags": ["["] })), "image[0].allow_tags[0]", FieldCode::BadRegex),
        (image(json!({ "platform": "linux" })), "image[0].platform", FieldCode::BadPlatform),
        (git("not a repository"), "git[0].repo", FieldCode::BadUrl),
        (require("freight.infra.commit =="), "require", FieldCode::BadExpression),
        (require("freight.infra.comit == ''"), "require", FieldCode::BadExpression),
        (json!({ "interval": "soon", "git": [] }), "interval", FieldCode::BadDuration),
    ];
    for (spec, path, code) in refused {
        let parsed: WarehouseSpec = serde_json::from_value(spec.clone()).at("a warehouse")?;
        let put = site.client()?;
        let put = put.put::<Warehouse>(PROJECT, "bad", &parsed, Precondition::None).await;
        is_refused(put, &spec, path, code)?;
    }
    Ok(())
}

#[tokio::test]
async fn stages_that_cannot_stand_are_refused_at_their_field() -> Outcome {
    let site = Site::start(&[]).await?;
    site.stage("dev", &json!({ "requests": direct() })).await?;
    site.stage("staging", &json!({ "requests": after(&["dev"]) })).await?;
    let with = |steps: &[Value]| json!({ "requests": direct(), "steps": steps });
    let plan = |config: Value| with(&[step("plan", "tf_plan", &config)]);
    let refused: [Refused; 8] = [
        (
            json!({ "requests": after(&["stagin"]) }),
            "requests[0].from[0]",
            FieldCode::UnknownUpstream,
        ),
        (
            json!({ "requests": [{ "warehouse": "shpo" }] }),
            "requests[0].warehouse",
            FieldCode::UnknownWarehouse,
        ),
        (json!({ "requests": after(&["staging"]) }), "requests[0].from[0]", FieldCode::Cycle),
        (
            json!({ "requests": direct(), "verifications": [{ "name": "a", "template": "b" }] }),
            "verifications[0].template",
            FieldCode::UnknownVerification,
        ),
        (with(&[step("a", "tf_aply", &json!({}))]), "steps[0].uses", FieldCode::UnknownStep),
        (
            plan(json!({ "dri": "infra", "dir": "infra" })),
            "steps[0].config.dri",
            FieldCode::UnknownArgument,
        ),
        (
            with(&[call("a", "{{ freight.infra.comit }}")]),
            "steps[0].config.url",
            FieldCode::BadExpression,
        ),
        (with(&[call("a", "{{ vars.region")]), "steps[0].config.url", FieldCode::BadExpression),
    ];
    for (spec, path, code) in refused {
        let parsed: StageSpec = serde_json::from_value(spec.clone()).at("a stage")?;
        let client = site.client()?;
        let put = client.put::<Stage>(PROJECT, "dev", &parsed, Precondition::None).await;
        is_refused(put, &spec, path, code)?;
    }
    let kept: Stage = site.client()?.get(PROJECT, "dev").await?;
    assert_eq!(kept.meta.generation, 1, "what was refused changed nothing");
    Ok(())
}

#[tokio::test]
async fn policies_and_verifications_that_cannot_stand_are_refused_at_their_field() -> Outcome {
    let site = Site::start(&[]).await?;
    let client = site.client()?;
    let policies: [Refused; 3] = [
        (
            json!({ "mode": "gated", "stages": { "names": ["pr[od"] } }),
            "stages.names[0]",
            FieldCode::BadGlob,
        ),
        (
            json!({ "mode": "gated", "stages": { "names": ["prod"] }, "soak": "a while" }),
            "soak",
            FieldCode::BadDuration,
        ),
        (
            json!({ "mode": "automatic", "stages": { "names": ["prod"] }, "soak": "1h" }),
            "mode",
            FieldCode::Conflicting,
        ),
    ];
    for (spec, path, code) in policies {
        let parsed: PolicySpec = serde_json::from_value(spec.clone()).at("a policy")?;
        let put = client.put::<Policy>(PROJECT, "bad", &parsed, Precondition::None).await;
        is_refused(put, &spec, path, code)?;
    }
    let check = |url: &str, success: &str| json!({ "http": [{ "name": "health", "url": url, "success": success }] });
    let verifications: [Refused; 2] = [
        (
            check("http://a.example", "response.stauts == 200"),
            "http[0].success",
            FieldCode::BadExpression,
        ),
        (check("http://a.example/{{ args.", "true"), "http[0].url", FieldCode::BadExpression),
    ];
    for (spec, path, code) in verifications {
        let parsed: VerificationSpec = serde_json::from_value(spec.clone()).at("a verification")?;
        let put = client.put::<Verification>(PROJECT, "bad", &parsed, Precondition::None).await;
        is_refused(put, &spec, path, code)?;
    }
    Ok(())
}

/// Makes sure that a definition is refused for what is wrong at one field.
fn is_refused<T: std::fmt::Debug>(
    put: Result<T, reconciler_api::client::ClientError>,
    spec: &Value,
    path: &str,
    code: FieldCode,
) -> Outcome {
    let error = refusal(put).map_err(|failure| failure.with("definition", &spec.to_string()))?;
    let errors = error.problem().map(|problem| problem.errors.clone()).unwrap_or_default();
    let found = errors.iter().any(|error| error.path == path && error.code == code);
    assert!(found, "{spec}\n{path} {code}\n{errors:#?}");
    Ok(())
}

#[tokio::test]
async fn a_promotion_of_what_is_not_there_is_refused() -> Outcome {
    let site = Site::start(&[]).await?;
    let steps = [call("call", &site.desk.url("/call"))];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    let freight = site.first_freight().await?;
    let client = site.client()?;
    let refused = refusal(ask(&client, "none", &freight).await)?;
    assert!(refused.to_string().contains("none"), "{refused}");
    let gone = Freight { id: "f".repeat(40), ..freight };
    let refused = refusal(ask(&client, "dev", &gone).await)?;
    assert!(refused.to_string().contains("ffffffff"), "{refused}");
    Ok(())
}
