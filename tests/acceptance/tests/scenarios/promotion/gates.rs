//! Gates: what policies say of what a promotion would do.

use acceptance::{Failure, Outcome};
use reconciler_api::v1::{Gate, GateKind, Phase, Promotion, Verdict};
use serde_json::{Value, json};

use crate::pipeline::{after, app_steps, call, direct, infra_steps, module_text};
use crate::site::{PROJECT, Site};

/// A policy under which a person starts, with infra rules.
fn rules(rules: &Value) -> Value {
    json!({ "mode": "manual", "stages": { "names": ["dev"] }, "infra": rules })
}

/// What the infra rules say of a promotion that waits.
fn infra(promotion: &Promotion) -> Outcome<&Gate> {
    let found = promotion.gates.iter().find(|gate| gate.gate == GateKind::Infra);
    found.ok_or_else(|| Failure::new(format!("{:#?}", promotion.gates)))
}

#[tokio::test]
async fn infra_rules_stop_what_a_plan_would_do() -> Outcome {
    let site = Site::start(&[]).await?;
    let steps = infra_steps(&site);
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    // Too many changes at once.
    site.policy("dev", &rules(&json!({ "max_changes": 1 }))).await?;
    let first = site.first_freight().await?;
    let id = site.promote("dev", &first).await?;
    let (waiting, _) = site.waits(&id).await?;
    let gate = infra(&waiting)?;
    assert_eq!(gate.verdict, Verdict::Fail);
    assert!(gate.message.contains("infra/modules/shop: "), "{}", gate.message);
    assert!(gate.message.contains('2') && gate.message.contains('1'), "{}", gate.message);
    assert_eq!((site.state("dev")?, site.marked("created").len()), (None, 0));
    // The policy is live until the commit.
    site.policy("dev", &rules(&json!({ "max_changes": 2 }))).await?;
    site.is(&id, Phase::Succeeded).await?;

    // What is there may not be destroyed, by one rule and by the other.
    let variables = module_text().split("resource").next().unwrap_or_default();
    let files = [("modules/shop/main.tf", variables)];
    let second = site.commit_infra("drop everything", &files).await?;
    site.policy("dev", &rules(&json!({ "protect": ["terraform_data.database"] }))).await?;
    let id = site.promote("dev", &second).await?;
    let (waiting, _) = site.waits(&id).await?;
    let gate = infra(&waiting)?;
    assert_eq!(gate.verdict, Verdict::Fail);
    assert!(gate.message.contains("terraform_data.database"), "{}", gate.message);
    assert!(!gate.message.contains("terraform_data.service"), "{}", gate.message);
    site.policy("dev", &rules(&json!({ "forbid": ["delete"] }))).await?;
    let (waiting, _) = site.waits(&id).await?;
    let message = &infra(&waiting)?.message;
    for address in ["terraform_data.database", "terraform_data.service"] {
        assert!(message.contains(address), "{message}");
    }
    assert_eq!(site.marked("destroyed").len(), 0);
    let plan = &waiting.change_set.as_ref().ok_or_else(|| Failure::new("no change set"))?.infra[0];
    assert_eq!((plan.create, plan.update, plan.replace, plan.delete), (0, 0, 0, 2));
    Ok(())
}

#[tokio::test]
async fn freight_soaks_upstream_before_automation_takes_it_on() -> Outcome {
    let site = Site::start(&["dev", "staging"]).await?;
    let steps = app_steps(&site);
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.stage("staging", &json!({ "requests": after(&["dev"]), "steps": steps })).await?;
    let staging =
        |soak: &str| json!({ "mode": "gated", "soak": soak, "stages": { "names": ["staging"] } });
    site.policy("staging", &staging("1h")).await?;
    let freight = site.first_freight().await?;
    site.promoted("dev", &freight).await?;
    let client = site.client()?;
    let explained = client.explain(PROJECT, "staging").await?;
    let candidate = &explained.candidates[0];
    assert!(!candidate.available, "{explained:#?}");
    let soak = candidate.gates.iter().find(|gate| gate.gate == GateKind::Soak);
    let soak = soak.ok_or_else(|| Failure::new(format!("{explained:#?}")))?;
    assert_eq!(soak.verdict, Verdict::Fail);
    assert_eq!(soak.policy.as_deref(), Some("staging"));
    let verified = client.freight(PROJECT, &freight.id).await?.stages["dev"].verified_at;
    let hour = std::time::Duration::from_secs(3600);
    assert_eq!(soak.until, verified.map(|verified| verified + hour), "soak counts from there");
    assert!(explained.waiting.iter().any(|waiting| waiting.reason == "Soaking"), "{explained:#?}");
    site.policy("staging", &staging("100ms")).await?;
    let is_there = async || {
        let stage: reconciler_api::v1::Stage = client.get(PROJECT, "staging").await?;
        let current = stage.status.current.get("shop").filter(|it| it.freight == freight.id);
        current.map(drop).ok_or_else(|| Failure::new(format!("{:#?}", stage.status)))
    };
    site.lockstepd.eventually(crate::site::SOON, "staging has it", is_there).await
}

#[tokio::test]
async fn a_stage_without_a_policy_waits_for_a_person() -> Outcome {
    let site = Site::start(&[]).await?;
    let steps = [call("call", &site.desk.url("/call"))];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.first_freight().await?;
    let explained = site.client()?.explain(PROJECT, "dev").await?;
    let reasons: Vec<&str> = explained.waiting.iter().map(|it| it.reason.as_str()).collect();
    assert_eq!((reasons, explained.promotion), (vec!["Manual"], None));
    assert!(explained.candidates[0].available);
    Ok(())
}

#[tokio::test]
async fn what_waits_for_too_long_is_over_and_says_for_what() -> Outcome {
    let mut site = Site::start(&[]).await?;
    let steps = [call("call", &site.desk.url("/call"))];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    let gated = |most: &str| {
        json!({
            "mode": "manual", "stages": { "names": ["dev"] }, "max_wait": most,
            "approvals": [{ "group": "sre", "count": 1 }],
        })
    };
    site.policy("dev", &gated("1h")).await?;
    let freight = site.first_freight().await?;
    let id = site.promote("dev", &freight).await?;
    let (waiting, _) = site.waits(&id).await?;
    let hour = std::time::Duration::from_secs(3600);
    assert_eq!(waiting.waits_until, Some(waiting.created_at + hour), "{waiting:#?}");
    let explained = site.cli()?.ok(&["explain", "dev"]).await?;
    assert!(explained.contains("in promotion dev.1, which waits until "), "{explained}");

    // The policy counts as it is now, also after a restart.
    site.policy("dev", &gated("1s")).await?;
    let over = site.is(&id, Phase::Expired).await?;
    let error = over.error.unwrap_or_default();
    assert!(error.contains("did not commit within 1s (policy dev)"), "{error}");
    assert!(error.contains("gate approvals: needs 1 approval of group sre, has 0"), "{error}");
    assert_eq!((over.waits_until, over.committed_at), (None, None));
    site.policy("dev", &gated("10s")).await?;
    let id = site.promote("dev", &freight).await?;
    site.waits(&id).await?;
    site.lockstepd.restart().await?;
    let over = site.is(&id, Phase::Expired).await?;
    let waited = over.finished_at.map(|at| at.duration_since(over.created_at).as_secs());
    assert!(waited.is_some_and(|waited| waited >= 10), "{over:#?}");
    assert_eq!(site.desk.taken("/call"), []);
    Ok(())
}

#[tokio::test]
async fn a_request_carries_its_key() -> Outcome {
    let site = Site::start(&[]).await?;
    let steps = [call("one", &site.desk.url("/one")), call("two", &site.desk.url("/two"))];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    let freight = site.first_freight().await?;
    site.promoted("dev", &freight).await?;
    let (one, two) = (site.desk.taken("/one"), site.desk.taken("/two"));
    assert_eq!((one.len(), two.len()), (1, 1));
    assert_eq!((one[0].method.as_str(), one[0].body.as_str()), ("POST", r#"{"stage":"dev"}"#));
    let keys = [one[0].key.clone(), two[0].key.clone()];
    assert!(keys.iter().all(Option::is_some) && keys[0] != keys[1], "{keys:?}");
    // Another promotion of the same freight is another request.
    let id = site.promote("dev", &freight).await?;
    site.is(&id, Phase::Succeeded).await?;
    assert_eq!(site.desk.keys("/one").len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_call_that_fails_for_a_while_is_repeated_with_its_key() -> Outcome {
    let site = Site::start(&[]).await?;
    let steps = [call("call", &site.desk.url("/call"))];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.desk.answer("/call", axum::http::StatusCode::SERVICE_UNAVAILABLE);
    let id = site.promote("dev", &site.first_freight().await?).await?;
    let client = site.client()?;
    let waits = site.lockstepd.eventually(crate::site::SOON, "it says when again", async || {
        let promotion = client.promotion(PROJECT, &id).await?;
        let waiting = promotion.waiting.first().filter(|waiting| waiting.reason == "StepFailed");
        waiting.cloned().ok_or_else(|| Failure::new(format!("{promotion:#?}")))
    });
    let waits = waits.await?;
    assert!(waits.message.contains("503") && waits.until.is_some(), "{waits:?}");
    site.desk.answer("/call", axum::http::StatusCode::OK);
    site.is(&id, Phase::Succeeded).await?;
    assert_eq!((site.desk.taken("/call").len(), site.desk.keys("/call").len()), (2, 1));
    Ok(())
}
