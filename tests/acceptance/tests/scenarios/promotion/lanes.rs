//! Lanes: what is carried out side by side, with real applies.

use std::fs;

use acceptance::{At as _, Failure, Outcome};
use axum::http::StatusCode;
use reconciler_api::v1::{Phase, Precondition, Task, TaskSpec};
use serde_json::{Value, json};

use crate::pipeline::{clone_gitops, clone_infra, commit, direct, push, step, undone, update};
use crate::site::{PROJECT, SOON, Site};

/// Infra in two regions at once, each waiting for a gate of its own; then the application, which is
/// told of both; then a call.
async fn two_regions() -> Outcome<Site> {
    let site = Site::start(&["dev"]).await?;
    let gate = site.mark_file("gate-").display().to_string();
    let vars = json!({
        "environment": "{{ inputs.region }}", "release": "{{ freight.infra.commit }}",
        "marks": site.marks().display().to_string(), "gate": format!("{gate}{{{{ inputs.region }}}}"),
    });
    let dir = "infra/modules/shop";
    let plan = json!({ "dir": dir, "state": "{{ inputs.region }}", "vars": vars });
    let task = json!({
        "inputs": [{ "name": "region", "type": "string" }],
        "steps": [
            clone_infra(&site),
            step("plan", "tf_plan", &plan),
            step("apply", "tf_apply", &json!({ "plan": "plan" })),
            step("out", "tf_output", &json!({ "dir": dir })),
        ],
    });
    let task: TaskSpec = serde_json::from_value(task).at("a task")?;
    site.client()?.put::<Task>(PROJECT, "region", &task, Precondition::None).await?;
    let roll = json!({
        "name": "roll", "uses": "task",
        "config": { "task": "region", "inputs": { "region": "{{ each.value }}" } },
        "control": { "for_each": { "eu": "eu", "us": "us" }, "parallel": "regions" },
    });
    let told = json!({
        "release": "{{ freight.infra.commit }}",
        "database.url": "{{ steps.roll.eu.out.database_url }},{{ steps.roll.us.out.database_url }}",
    });
    let last = json!({
        "name": "last", "uses": "http",
        "config": { "url": site.desk.url("/last"), "method": "POST", "delivery": "at_least_once" },
        "control": { "retry": { "attempts": 1 } },
    });
    let steps = [roll, clone_gitops(&site), update(&told), commit(), push(), last];
    site.stage("dev", &json!({ "requests": direct(), "steps": steps })).await?;
    site.policy("dev", &undone("dev")).await?;
    Ok(site)
}

/// Opens both gates, for ever.
fn open(site: &Site) -> Outcome {
    for region in ["eu", "us"] {
        fs::write(site.mark_file(&format!("gate-{region}")), "").at("a gate")?;
    }
    Ok(())
}

/// Which release a region's state says.
fn release(site: &Site, region: &str) -> Outcome<String> {
    let path = site.lockstepd.state_file(PROJECT, "dev", region);
    let text = fs::read_to_string(&path).at(path.display())?;
    let state: Value = serde_json::from_str(&text).at(path.display())?;
    let release = &state["outputs"]["release"]["value"];
    release.as_str().map(str::to_owned).ok_or_else(|| Failure::new(format!("no release: {state}")))
}

#[tokio::test]
async fn regions_are_applied_side_by_side_and_survive_the_daemon() -> Outcome {
    let mut site = two_regions().await?;
    let freight = site.first_freight().await?;
    let id = site.promote("dev", &freight).await?;
    // Both applies wait for their gates at the same time: none waited for the other.
    site.lockstepd
        .eventually(SOON, "both regions are being applied", async || {
            let begun = site.marked("created").len();
            if begun == 2 { Ok(()) } else { Err(Failure::new(format!("{begun} of 2"))) }
        })
        .await?;
    site.lockstepd.kill().await?;
    site.lockstepd.restart().await?;
    open(&site)?;
    site.is(&id, Phase::Succeeded).await?;
    let once = [("eu".to_owned(), 1), ("us".to_owned(), 1)];
    assert_eq!(site.marked("created"), once.into());
    let values = site.values_of("dev").await?;
    assert_eq!(values.matches("postgres://").count(), 2, "{values}");
    assert_eq!(site.desk.taken("/last").len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_was_applied_side_by_side_is_undone_with_the_rest() -> Outcome {
    let site = two_regions().await?;
    open(&site)?;
    let first = site.first_freight().await?;
    site.promoted("dev", &first).await?;
    let values = site.values_of("dev").await?;
    let before = [release(&site, "eu")?, release(&site, "us")?];
    site.desk.answer("/last", StatusCode::BAD_REQUEST);
    let second = site.freight("the second").await?;
    let id = site.promote("dev", &second).await?;
    let ended = site.is(&id, Phase::RolledBack).await?;
    let error = ended.error.unwrap_or_default();
    assert!(error.contains("undone: step last failed"), "{error}");
    assert_eq!([release(&site, "eu")?, release(&site, "us")?], before);
    assert_eq!(site.values_of("dev").await?, values);
    Ok(())
}
