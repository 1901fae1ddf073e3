//! Somebody writes a state between the commit of a promotion and its apply, which then refuses the plan.

use std::fs;

use acceptance::{At as _, Failure, Outcome};
use reconciler_api::v1::{EventsQuery, Freight, Phase};
use serde_json::{Value, json};

use crate::pipeline::{apply, clone_infra, direct, plan, step};
use crate::site::{PROJECT, SOON, Site, approve};

/// Plans, asks a person, and applies; at the gates somebody agrees to what is planned.
async fn asked_in_the_middle() -> Outcome<Site> {
    let site = Site::start(&[]).await?;
    let question = json!({ "message": "Now?", "timeout": "1h" });
    let now = step("now", "wait_for_approval", &question);
    let steps = [clone_infra(&site), plan(&site, &json!({})), now, apply()];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    let agreed = json!({
        "stages": { "names": ["dev"] }, "mode": "manual",
        "approvals": [{ "group": "sre", "count": 1 }],
    });
    site.policy("dev", &agreed).await?;
    Ok(site)
}

/// Starts a promotion that is agreed to, and waits until it asks in its middle.
async fn committed(site: &Site, freight: &Freight) -> Outcome<String> {
    let id = site.promote("dev", freight).await?;
    agree(site, &id).await?;
    asks(site, &id).await?;
    Ok(id)
}

async fn agree(site: &Site, id: &str) -> Outcome {
    let (_, digest) = site.waits(id).await?;
    let ann = site.person(&format!("ann-{digest}").replace(':', "-")[..20], &["sre"]).await?;
    approve(&ann, id, &digest).await?;
    Ok(())
}

async fn asks(site: &Site, id: &str) -> Outcome {
    site.lockstepd
        .eventually(SOON, &format!("{id} asks"), async || {
            let promotion = site.client()?.promotion(PROJECT, id).await?;
            let asks = promotion.steps.iter().any(|step| step.question.is_some());
            if asks { Ok(()) } else { Err(Failure::new(format!("{promotion:#?}"))) }
        })
        .await
}

async fn go_on(site: &Site, id: &str) -> Outcome {
    site.cli()?.ok(&["approve", id, "--step", "now", "--yes"]).await.map(drop)
}

/// Writes the state as another run of terraform would have.
fn write_state(site: &Site, change: impl FnOnce(&mut Value)) -> Outcome {
    let mut state = site.state("dev")?.ok_or_else(|| Failure::new("there is no state"))?;
    let serial = state["serial"].as_u64().ok_or_else(|| Failure::new("no serial"))?;
    state["serial"] = json!(serial + 1);
    change(&mut state);
    let path = site.lockstepd.state_file(PROJECT, "dev", "infra/modules/shop");
    fs::write(&path, state.to_string()).at(path.display())
}

async fn told(site: &Site, id: &str) -> Outcome<String> {
    let log = site.client()?.promotion_events(PROJECT, id, &EventsQuery::default()).await?;
    Ok(log.into_iter().map(|event| event.message + "\n").collect())
}

#[tokio::test]
async fn a_plan_that_does_the_same_is_applied_with_its_approvals() -> Outcome {
    let site = asked_in_the_middle().await?;
    let first = committed(&site, &site.first_freight().await?).await?;
    go_on(&site, &first).await?;
    site.is(&first, Phase::Succeeded).await?;

    let second = committed(&site, &site.freight("the second").await?).await?;
    write_state(&site, |_| {})?;
    go_on(&site, &second).await?;
    site.is(&second, Phase::Succeeded).await?;
    let log = told(&site, &second).await?;
    assert!(log.contains("planned anew") && !log.contains("back to the gates"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_plan_that_does_otherwise_is_judged_anew() -> Outcome {
    let site = asked_in_the_middle().await?;
    let first = committed(&site, &site.first_freight().await?).await?;
    go_on(&site, &first).await?;
    site.is(&first, Phase::Succeeded).await?;

    let second = committed(&site, &site.freight("the second").await?).await?;
    write_state(&site, |state| {
        // The database is lost to the state, so the module would make it again.
        let resources = state["resources"].as_array_mut().expect("resources");
        resources.retain(|resource| resource["name"] != "database");
    })?;
    go_on(&site, &second).await?;
    // Nobody agreed to that: it waits, and says what is otherwise.
    site.is(&second, Phase::Waiting).await?;
    let log = told(&site, &second).await?;
    assert!(log.contains("would create `terraform_data.database`"), "{log}");
    assert_eq!(site.marked("created")["dev"], 1);
    agree(&site, &second).await?;
    asks(&site, &second).await?;
    go_on(&site, &second).await?;
    site.is(&second, Phase::Succeeded).await?;
    assert_eq!(site.marked("created")["dev"], 2);
    Ok(())
}
