//! Requests that are asked again until their answer is as wanted: nobody is kept from anything meanwhile.

use acceptance::{Failure, Outcome};
use axum::http::StatusCode;
use reconciler_api::v1::{AbortPromotion, Phase};
use serde_json::json;

use crate::pipeline::{call, direct, step};
use crate::site::{PROJECT, SOON, Site};

/// More than the daemon has places.
const POLLS: usize = 17;

#[tokio::test]
async fn polls_keep_nobody_from_promoting_and_are_asked_at_their_own_pace() -> Outcome {
    let mut site = Site::start(&[]).await?;
    let freight = site.first_freight().await?;
    site.desk.answer("/rollout", StatusCode::SERVICE_UNAVAILABLE);
    let poll = json!({
        "url": site.desk.url("/rollout"), "poll": { "interval": "1h", "timeout": "9h" },
    });
    let mut ids = Vec::new();
    for number in 0..POLLS {
        let stage = format!("slow-{number}");
        let spec = json!({ "requests": direct(), "steps": [step("rollout", "http", &poll)] });
        site.stage(&stage, &spec).await?;
        ids.push(site.promote(&stage, &freight).await?);
    }
    for id in &ids {
        let waits = waits(&site, id).await?;
        assert!(waits.starts_with("step rollout waits for GET http"), "{waits}");
        assert!(waits.contains("/rollout to answer as wanted, until "), "{waits}");
    }

    // It wakes whoever waits in the project.
    let spec = json!({ "requests": direct(), "steps": [call("quick", &site.desk.url("/quick"))] });
    site.stage("quick", &spec).await?;
    site.promoted("quick", &freight).await?;
    assert_eq!(site.desk.taken("/rollout").len(), POLLS, "each was asked once, and not again yet");

    let reason = "nobody waits for that".to_owned();
    site.client()?.abort(PROJECT, &ids[0], &AbortPromotion { reason }).await?;
    let aborted = site.is(&ids[0], Phase::Aborted).await?;
    assert!(aborted.remaining.is_empty(), "{aborted:#?}");

    // Whoever comes back asks at once, and each waits for what is left of its time.
    let before: Vec<String> = waits_of(&site, &ids[1..]).await?;
    site.lockstepd.kill().await?;
    site.lockstepd.restart().await?;
    site.lockstepd
        .eventually(SOON, "all are asked once more", async || {
            match site.desk.taken("/rollout").len() {
                asked if asked >= 2 * POLLS - 1 => Ok(()),
                asked => Err(Failure::new(format!("asked {asked} times"))),
            }
        })
        .await?;
    assert_eq!(waits_of(&site, &ids[1..]).await?, before);
    site.desk.answer("/rollout", StatusCode::OK);
    site.lockstepd.kill().await?;
    site.lockstepd.restart().await?;
    for id in &ids[1..] {
        site.is(id, Phase::Succeeded).await?;
    }
    Ok(())
}

async fn waits_of(site: &Site, ids: &[String]) -> Outcome<Vec<String>> {
    let mut all = Vec::new();
    for id in ids {
        all.push(waits(site, id).await?);
    }
    Ok(all)
}

/// What its step waits for.
async fn waits(site: &Site, id: &str) -> Outcome<String> {
    let client = site.client()?;
    site.lockstepd
        .eventually(SOON, &format!("{id} waits"), async || {
            let promotion = client.promotion(PROJECT, id).await?;
            let first = promotion.waiting.into_iter().next();
            first.map(|waiting| waiting.message).ok_or_else(|| Failure::new("it does not wait"))
        })
        .await
}
