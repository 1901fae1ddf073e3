//! Rehearsals: what a promotion would do, with real infra plans, before there is one.

use acceptance::Outcome;
use reconciler_api::v1::Phase;
use serde_json::json;

use crate::pipeline::{after, both_steps, direct};
use crate::site::{PROJECT, Site, approve, refusal};

#[tokio::test]
async fn both_halves_are_shown_and_nothing_is_touched() -> Outcome {
    let site = Site::start(&["dev", "prod"]).await?;
    for (stage, requests) in [("dev", direct()), ("prod", after(&["dev"]))] {
        site.stage(stage, &json!({ "requests": requests, "steps": both_steps(&site) })).await?;
    }
    let gated = json!({
        "stages": { "names": ["prod"] }, "mode": "manual",
        "approvals": [{ "group": "sre", "count": 1 }],
    });
    site.policy("prod", &gated).await?;
    let freight = site.first_freight().await?;
    site.promoted("dev", &freight).await?;
    let (values, state) = (site.values_of("prod").await?, site.state("prod")?);

    let cli = site.cli()?;
    let shown = cli.ok(&["plan", "prod", "--freight", &freight.short_id]).await?;
    for expected in [
        "nothing was changed",
        "plan in infra/modules/shop: 2 to create, 0 to update",
        "known only while it happens",
        "undo would",
        "needs 1 approval of group sre, has 0",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let ended = site.is("prod.1", Phase::Rehearsed).await?;
    assert!(ended.rehearsal && ended.error.is_none(), "{ended:#?}");
    assert_eq!((site.values_of("prod").await?, site.state("prod")?), (values, state));
    assert_eq!(site.marked("created"), [("dev".to_owned(), 1)].into());

    // It agrees to nothing and is in nobody's way.
    let promotion = site.promote("prod", &freight).await?;
    let (_, digest) = site.waits(&promotion).await?;
    let ann = site.person("ann", &["sre"]).await?;
    let seen = ended.change_set.map(|set| set.digest).unwrap_or_default();
    assert_eq!(seen, digest, "the promotion does what was shown");
    assert!(refusal(approve(&ann, "prod.1", &digest).await)?.to_string().contains("rehearsal"));
    approve(&ann, &promotion, &digest).await?;
    site.is(&promotion, Phase::Succeeded).await?;
    let token = site.client()?.promotion(PROJECT, "prod.1").await?;
    assert_eq!(token.phase, Phase::Rehearsed);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_prepared_says_so() -> Outcome {
    let site = Site::start(&["dev"]).await?;
    site.stage("dev", &json!({ "requests": direct(), "steps": both_steps(&site) })).await?;
    let broken = "resource \"terraform_data\" \"broken\" {\n";
    let freight = site.commit_infra("broken", &[("modules/shop/main.tf", broken)]).await?;
    let cli = site.cli()?;
    let said = cli.refused(1, &["plan", "dev", "--freight", &freight.short_id]).await?;
    assert!(said.contains("step plan failed") && said.contains("cannot be parsed"), "{said}");
    Ok(())
}
