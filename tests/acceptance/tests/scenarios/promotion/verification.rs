//! Verification: measured, and never taken for granted.

use acceptance::app::{App, values_file};
use acceptance::prometheus::Prometheus;
use acceptance::{Failure, Outcome};
use axum::http::StatusCode;
use reconciler_api::v1::{Phase, Stage, Verdict};
use serde_json::{Value, json};

use crate::pipeline::{after, call, direct, health, verified_by};
use crate::site::{PROJECT, Site, ask, refusal};

/// A stage that calls and is then verified by `checked`.
async fn stage(site: &Site, verification: &Value) -> Outcome {
    site.verification("checked", verification).await?;
    let steps = [call("call", &site.desk.url("/call"))];
    let verifications = verified_by("checked");
    let spec = json!({ "requests": direct(), "steps": steps, "verifications": verifications });
    site.stage("dev", &spec).await.map(drop)
}

#[tokio::test]
async fn a_stage_vouches_for_what_was_measured_often_enough() -> Outcome {
    let site = Site::start(&[]).await?;
    stage(&site, &health(&site.desk.url("/health"), 3)).await?;
    let freight = site.first_freight().await?;
    let done = site.promoted("dev", &freight).await?;
    let verdicts: Vec<Verdict> = done.measurements.iter().map(|seen| seen.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass; 3]);
    assert_eq!(site.desk.taken("/health").len(), 3);
    let stage: Stage = site.client()?.get(PROJECT, "dev").await?;
    assert!(stage.status.current["shop"].verified_at.is_some());
    Ok(())
}

#[tokio::test]
async fn a_failure_without_a_rollback_stays_and_nothing_goes_downstream() -> Outcome {
    let site = Site::start(&[]).await?;
    stage(&site, &health(&site.desk.url("/health"), 1)).await?;
    let steps = [call("call", &site.desk.url("/downstream"))];
    site.stage("prod", &json!({ "requests": after(&["dev"]), "steps": steps })).await?;
    site.desk.answer("/health", StatusCode::SERVICE_UNAVAILABLE);
    let freight = site.first_freight().await?;
    let id = site.promote("dev", &freight).await?;
    let failed = site.is(&id, Phase::Failed).await?;
    let error = failed.error.unwrap_or_default();
    assert!(
        error.contains("verification checked/health failed") && error.contains("503"),
        "{error}"
    );
    let remaining = failed.remaining.join("\n");
    assert!(remaining.contains("/call was sent"), "{remaining}");
    let refused = refusal(ask(&site.client()?, "prod", &freight).await)?;
    assert!(refused.to_string().contains("not verified in dev"), "{refused}");
    Ok(())
}

/// A check of one query, decided within about a second.
fn query(prometheus: &Prometheus, query: &str, success: &str) -> Value {
    json!({
        "interval": "200ms", "deadline": "1s",
        "prometheus": [
            { "name": "errors", "address": prometheus.url(), "query": query, "success": success },
        ],
    })
}

#[tokio::test]
async fn prometheus_is_asked_and_no_samples_are_no_evidence() -> Outcome {
    let site = Site::start(&[]).await?;
    let app = App::start(&site.gitops, &["dev"]).await?;
    let values = "image:\n  tag: 1.0.0\n";
    site.gitops.commit("dev: deployed", &[(&values_file("dev"), values)]).await?;
    let prometheus = Prometheus::start(&app.target()).await?;
    let up = r#"up{job="app"}"#;
    let freight = site.first_freight().await?;

    stage(&site, &query(&prometheus, up, "result.value == 1.0")).await?;
    let id = site.promote("dev", &freight).await?;
    let passed = site.is(&id, Phase::Succeeded).await?;
    assert_eq!(passed.measurements[0].verdict, Verdict::Pass, "{:#?}", passed.measurements);

    stage(&site, &query(&prometheus, up, "result.value < 0.01")).await?;
    let id = site.promote("dev", &freight).await?;
    let failed = site.is(&id, Phase::Failed).await?;
    assert_eq!(failed.measurements[0].verdict, Verdict::Fail);

    // An error ratio of something that nobody serves: there is no sample.
    stage(&site, &query(&prometheus, r#"up{job="nobody"}"#, "result.value < 0.01")).await?;
    let id = site.promote("dev", &freight).await?;
    let unknown = site.is(&id, Phase::Inconclusive).await?;
    let error = unknown.error.unwrap_or_default();
    assert!(error.contains("no evidence") && error.contains("no sample"), "{error}");
    assert!(unknown.measurements.iter().all(|seen| seen.verdict == Verdict::Unknown));

    // Nor is a metrics provider that does not answer.
    let url = prometheus.url();
    drop(prometheus);
    let gone = json!({
        "interval": "200ms", "deadline": "1s",
        "prometheus": [{ "name": "errors", "address": url, "query": up, "success": "true" }],
    });
    stage(&site, &gone).await?;
    let id = site.promote("dev", &freight).await?;
    let unknown = site.is(&id, Phase::Inconclusive).await?;
    let error = unknown.error.unwrap_or_default();
    let place = url.trim_start_matches("http://");
    assert!(error.contains("no evidence") && error.contains(place), "{error}");
    Ok(())
}

#[tokio::test]
async fn what_is_there_is_verified_anew_by_the_checks_of_today() -> Outcome {
    let site = Site::start(&[]).await?;
    let app = App::start(&site.gitops, &["dev"]).await?;
    let values = "image:\n  tag: 1.0.0\n";
    site.gitops.commit("dev: deployed", &[(&values_file("dev"), values)]).await?;
    let prometheus = Prometheus::start(&app.target()).await?;
    let (up, cli) = (r#"up{job="app"}"#, site.cli()?);
    let freight = site.first_freight().await?;
    let nothing = cli.refused(1, &["reverify", "dev"]).await?;
    assert!(nothing.contains("there is no stage shop/dev"), "{nothing}");
    stage(&site, &query(&prometheus, up, "result.value == 1.0")).await?;
    let steps = [call("call", &site.desk.url("/downstream"))];
    site.stage("prod", &json!({ "requests": after(&["dev"]), "steps": steps })).await?;
    let nothing = cli.refused(1, &["reverify", "dev"]).await?;
    assert!(nothing.contains("there is no freight in stage shop/dev"), "{nothing}");
    let done = site.promoted("dev", &freight).await?;
    let verified = async || -> Outcome<bool> {
        let stage: Stage = site.client()?.get(PROJECT, "dev").await?;
        Ok(stage.status.current["shop"].verified_at.is_some())
    };
    assert!(verified().await?);

    // A stricter check, which what is there does not pass; no policy undoes it.
    stage(&site, &query(&prometheus, up, "result.value < 0.01")).await?;
    let told =
        cli.run(&["reverify", "dev", "--reason", "stricter", "--wait"]).await?.ended_with(1)?;
    let told = told.said();
    assert!(told.contains("verified anew, asked by admin (stricter): 1 checks"), "{told}");
    assert!(told.contains("verification checked/errors failed"), "{told}");
    assert!(!verified().await?);
    let refused = refusal(ask(&site.client()?, "prod", &freight).await)?;
    assert!(refused.to_string().contains("not verified in dev"), "{refused}");

    // No evidence decides nothing.
    stage(&site, &query(&prometheus, r#"up{job="nobody"}"#, "result.value < 0.01")).await?;
    let told = cli.run(&["reverify", "dev", "--wait"]).await?.ended_with(1)?.said();
    assert!(told.contains("what was decided before stands"), "{told}");
    assert!(!verified().await?);

    stage(&site, &query(&prometheus, up, "result.value == 1.0")).await?;
    cli.ok(&["reverify", "dev", "--wait"]).await?;
    assert!(verified().await?);
    assert_eq!(site.desk.taken("/call").len(), 1, "nothing is carried out again");
    let promotion = site.is(&done.id, Phase::Succeeded).await?;
    assert_eq!(promotion.measurements.len(), 1, "those of the last time");
    ask(&site.client()?, "prod", &freight).await?;
    let none = cli.refused(1, &["reverify", "prod"]).await?;
    assert!(!none.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_proves_nothing_is_not_vouched_for() -> Outcome {
    let site = Site::start(&[]).await?;
    let dead = json!({
        "interval": "200ms", "deadline": "500ms",
        "http": [{ "name": "health", "url": "http://127.0.0.1:1/", "success": "true" }],
    });
    stage(&site, &dead).await?;
    let steps = [call("call", &site.desk.url("/downstream"))];
    site.stage("prod", &json!({ "requests": after(&["dev"]), "steps": steps })).await?;
    let freight = site.first_freight().await?;
    let id = site.promote("dev", &freight).await?;
    site.is(&id, Phase::Inconclusive).await?;
    let stage: Stage = site.client()?.get(PROJECT, "dev").await?;
    let current = stage.status.current.get("shop");
    let current = current.ok_or_else(|| Failure::new("it is there, only not verified"))?;
    assert_eq!((current.freight.as_str(), current.verified_at), (freight.id.as_str(), None));
    let refused = refusal(ask(&site.client()?, "prod", &freight).await)?;
    assert!(refused.to_string().contains("not verified in dev"), "{refused}");
    Ok(())
}
