//! Steps that wait in the middle of a promotion: for a condition, and for people.

use acceptance::{Failure, Outcome};
use reconciler_api::v1::{EventsQuery, Phase, Promotion};
use serde_json::json;

use crate::pipeline::{call, direct, step};
use crate::site::{PROJECT, Site};

/// Waits until a promotion says that it waits for this.
async fn told(site: &Site, id: &str, what: &str) -> Outcome<Promotion> {
    site.lockstepd
        .eventually(crate::site::SOON, &format!("{id} waits for {what}"), async || {
            let promotion = site.client()?.promotion(PROJECT, id).await?;
            let is_told = promotion.waiting.iter().any(|waiting| waiting.message.contains(what));
            if is_told { Ok(promotion) } else { Err(Failure::new(format!("{promotion:#?}"))) }
        })
        .await
}

/// How many entries the log of a promotion has.
async fn entries(site: &Site, id: &str) -> Outcome<usize> {
    Ok(site.client()?.promotion_events(PROJECT, id, &EventsQuery::default()).await?.len())
}

#[tokio::test]
async fn a_step_waits_until_another_stage_vouches_for_the_freight() -> Outcome {
    let mut site = Site::start(&[]).await?;
    let steps = [call("said", &site.desk.url("/canary"))];
    site.stage("canary", &json!({ "requests": direct(), "steps": steps })).await?;
    let wait = json!({
        "condition": "in_stage('canary').verified", "interval": "1s", "timeout": "1h",
    });
    let steps = [step("quiet", "wait", &wait), call("said", &site.desk.url("/prod"))];
    site.stage("prod", &json!({ "requests": direct(), "steps": steps })).await?;
    let freight = site.first_freight().await?;
    let id = site.promote("prod", &freight).await?;
    told(&site, &id, "`in_stage('canary').verified` does not hold").await?;
    // The looks leave no trace, and outlive the daemon.
    let log = entries(&site, &id).await?;
    site.lockstepd.restart().await?;
    told(&site, &id, "`in_stage('canary').verified` does not hold").await?;
    assert_eq!(entries(&site, &id).await?, log);
    assert_eq!(site.desk.taken("/prod"), []);
    site.promoted("canary", &freight).await?;
    site.is(&id, Phase::Succeeded).await?;
    assert_eq!(site.desk.taken("/prod").len(), 1);
    Ok(())
}
